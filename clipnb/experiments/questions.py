"""Questions about images that have a right answer, and none once their subject is left out."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from clipnb.datasets import CaptionDataset
from clipnb.experiments.nouns import NOUN_CLASSES, noun_forms
from clipnb.scenes import COLOURS, KINDS, PLACES

N_CAPTIONS = 200  # questions that are whole captions
FEWEST = 50  # images that must be left without the subject
ADJECTIVES = (
    *("black", "brown", "white", "red", "blue", "yellow", "orange", "green", "pink", "small"),
    *("large", "young", "little", "old"),
)
# For a question about a noun in a photo, its images are left out, and those whose captions hold
# one of these words: another word for it, a kind of it, or what it is part of.
# fmt: off
RELATED = {
    "dog": "doggy puppy puppies pup canine canines hound poodle retriever labrador terrier collie "
           "shepherd greyhound greyhounds pug dachshund bulldog husky corgi beagle animal animals",
    "man": "guy guys male males gentleman person people adult adults player players biker cyclist "
           "climber surfer skier snowboarder skateboarder hiker worker rider he his",
    "woman": "lady ladies female females person people adult adults she her",
    "boy": "child children kid kids toddler toddlers baby youth male person people",
    "girl": "child children kid kids toddler toddlers baby female woman lady person people",
    "child": "kid kids boy boys girl girls toddler toddlers baby babies infant youngster "
             "youngsters",
    "water": "ocean sea lake river pool pond wave waves stream creek waterfall surf puddle "
             "fountain swim swims swimming swimmer surfer surfing surfboard splash splashes "
             "splashing canoe kayak kayaker boat wet",
    "beach": "sand sandy shore shoreline ocean sea seaside coast surf waves",
    "grass": "grassy lawn field meadow yard turf park",
    "snow": "snowy ski skier skiers skiing skis snowboard snowboarder snowboarders snowboarding "
            "sled sledding snowball snowman snowmobile ice snowsuit",
    "bike": "bicycle bicycles biker bikers biking bicyclist bicyclists cyclist cyclists cycling "
            "motorbike motorcycle motorcycles tricycle dirtbike bmx",
    "ball": "basketball basketballs football footballs soccer baseball tennis softball volleyball",
    "street": "road roads sidewalk city traffic intersection crosswalk alley pavement",
    "mountain": "mountainside mountaintop mountainous hill hills hillside cliff cliffs peak peaks "
                "rocky rock rocks summit slope slopes",
    "car": "vehicle vehicles truck trucks automobile automobiles auto racecar jeep van suv taxi "
           "cab racing",
    "field": "meadow grass grassy pasture lawn",
    "pool": "swimming swim swims swimmer",
    "wave": "surf surfer surfers surfing surfboard surfs ocean wakeboard",
    "rock": "rocky boulder boulders cliff cliffs stone stones mountain mountains climber climbing",
    "sand": "sandy beach dune dunes shore",
    "tree": "branch branches forest woods wooded log trunk woodland stump leaves",
    "soccer": "football ball goalie kick kicking kicks goal",
    "football": "soccer ball tackle tackled quarterback jersey touchdown sooners",
    "road": "street streets path highway track trail",
    "crowd": "crowded group people audience spectators fans concert many large",
}
# fmt: on


@dataclass
class Question:
    """A text and its truth about N images.

    kind: subject, attribute (with subject), place (with subject), or caption. right: bool (N,),
    the images that answer it. absent: bool (N,), those without its subject.
    """

    text: str
    kind: str
    right: Tensor
    absent: Tensor


def ask_about_scenes(dataset: CaptionDataset, seed: int = 0) -> list[Question]:
    """Ask for the kinds of the scenes, alone, with a colour and with a place, and for captions.

    The labels tell what is right. The subject of a caption is any of the kinds in its image.
    """
    kinds = [{each["kind"] for each in label["objects"]} for label in dataset.labels]
    coloured = [
        {(each["colour"], each["kind"]) for each in label["objects"]} for label in dataset.labels
    ]
    places = [label["place"] for label in dataset.labels]
    scenes = list(zip(places, coloured, strict=True))
    questions = []

    def ask(text: str, kind: str, right: list[bool], absent: list[bool]) -> None:
        if any(right):
            questions.append(Question(text, kind, torch.tensor(right), torch.tensor(absent)))

    for kind in KINDS:
        shown = [kind in own for own in kinds]
        absent = [not each for each in shown]
        ask(f"a {kind}", "subject", shown, absent)
        for colour in COLOURS:
            right = [(colour, kind) in own for own in coloured]
            ask(f"a {colour} {kind}", "attribute", right, absent)
        for place in PLACES:
            right = [a and b == place for a, b in zip(shown, places, strict=True)]
            ask(f"a {kind}, {place}", "place", right, absent)
    generator = random.Random(seed)
    for i in generator.sample(range(len(dataset)), min(N_CAPTIONS, len(dataset))):
        right = [scene == scenes[i] for scene in scenes]
        absent = [not kinds[i] & own for own in kinds]
        ask(generator.choice(dataset.captions[i]), "caption", right, absent)
    return questions


def ask_about_photos(dataset: CaptionDataset, seed: int = 0) -> list[Question]:
    """Ask for frequent nouns, alone, after an adjective and with a place, and for captions.

    An image is right for a noun if a caption mentions it. `RELATED` tells what is left out.
    """
    words = [[re.findall("[a-z]+", caption.lower()) for caption in own] for own in dataset.captions]
    mentioned = [set().union(*own) for own in words]
    has, absent = {}, {}
    for noun in NOUN_CLASSES:
        forms = noun_forms(noun)
        related = forms | set(RELATED[noun].split())
        has[noun] = torch.tensor([bool(forms & own) for own in mentioned])
        absent[noun] = torch.tensor([not related & own for own in mentioned])
    questions = []

    def ask(text: str, kind: str, right: Tensor, without: Tensor) -> None:
        if right.sum() >= 2 and without.sum() >= FEWEST:
            questions.append(Question(text, kind, right, without))

    for noun in NOUN_CLASSES:
        ask(f"a {noun}", "subject", has[noun], absent[noun])
        for adjective in ADJECTIVES:
            right = torch.tensor([has_pair(own, adjective, noun) for own in words])
            ask(f"a {adjective} {noun}", "attribute", right, absent[noun])
        for place in ("water", "beach", "grass", "snow", "street", "field", "pool"):
            if place not in RELATED[noun].split() and place != noun:
                right = has[noun] & has[place]
                ask(f"a {noun} in the {place}", "place", right, absent[noun])
    generator = random.Random(seed)
    for i in generator.sample(range(len(dataset)), min(N_CAPTIONS, len(dataset))):
        caption = generator.choice(dataset.captions[i])
        said = set(re.findall("[a-z]+", caption.lower()))
        subjects = [noun for noun in NOUN_CLASSES if noun_forms(noun) & said]
        if subjects:
            without = torch.stack([absent[noun] for noun in subjects]).all(dim=0)
            right = torch.arange(len(dataset)) == i
            if without.sum() >= FEWEST:
                questions.append(Question(caption, "caption", right, without))
    return questions


def has_pair(captions: Sequence[Sequence[str]], first: str, second: str) -> bool:
    """Tell whether two words follow each other in one of the captions, given as words."""
    return any((first, second) in pairwise(own) for own in captions)
