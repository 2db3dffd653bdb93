"""Pairs of images and sentences that differ in one fact: exams in binding, relations and counting.

Each pair can be scored as in ARO (Yuksekgonul et al. 2023) and as in Winoground (Thrush et al.
2022).
"""

import dataclasses
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from clipnb.experiments.exams import has_one_thing, render_dataset, sample_scenes
from clipnb.experiments.small_clip import SMALL_RECIPE
from clipnb.features import encode_images, encode_texts
from clipnb.model import CLIP
from clipnb.scenes import COLOURS, KINDS, Scene, Thing
from clipnb.scenes.words import NOUN_FORMS, OPPOSITE
from clipnb.scenes.world import HELD_OUT
from clipnb.tokenizer import Tokenizer

NAMING = ("kind", "colour")
NUMBER_WORDS = {1: "a", 2: "two", 3: "three"}
RELATION_WORDS = {
    "left of": "to the left of",
    "right of": "to the right of",
    "above": "above",
    "below": "below",
}
TIE = 1e-4  # sentences whose cosines are as close as that are alike

# What the protocols of both experiments on C16 share.
LIMITS_TEXT = {
    "quote": (
        "CLIP also struggles with more abstract and systematic tasks such as counting the number "
        "of objects in an image."
    ),
    "source": "Radford et al. 2021, §6",
    "match": "proxy",
    "margin": 4.5,
    "margin_reason": (
        "The paper has no figure on this scale. It is a quarter of the 18.2 points by which its "
        "model stays behind a probe on supervised features in counting (CLEVRCounts, Figure 5)."
    ),
}


# ---- pairs of images and sentences -----------------------------------------------------------


def describe_thing(thing: Thing) -> str:
    """Describe a thing as the captions do: "two red dogs".

    It is "a" before every colour, because "an" would tell which thing is orange.
    """
    singular, plural = NOUN_FORMS[thing.kind].plain[0]
    noun = singular if thing.count == 1 else plural
    return f"{NUMBER_WORDS[thing.count]} {thing.colour} {noun}"


def describe_scene(scene: Scene, with_relation: bool) -> str:
    """Describe the things of a scene, and how they lie if asked."""
    link = RELATION_WORDS[scene.relation] if with_relation else "and"
    return f" {link} ".join(describe_thing(thing) for thing in scene.things)


def is_known(scene: Scene) -> bool:
    """Tell whether training may show all pairs of kind and colour of a scene."""
    return all((thing.kind, thing.colour) not in HELD_OUT for thing in scene.things)


def exchange_colours(scene: Scene) -> Scene | None:
    """Return a scene whose two things have exchanged their colours, or None if it cannot be."""
    if len(scene.things) != 2 or scene.things[0].colour == scene.things[1].colour:
        return None
    first, second = scene.things
    things = (
        dataclasses.replace(first, colour=second.colour),
        dataclasses.replace(second, colour=first.colour),
    )
    return dataclasses.replace(scene, things=things)


def reverse_relation(scene: Scene) -> Scene | None:
    """Return a scene whose two things have exchanged their places, or None if it has one."""
    if scene.relation is None:
        return None
    return dataclasses.replace(scene, relation=OPPOSITE[scene.relation])


def change_count(scene: Scene) -> Scene | None:
    """Return a scene with three of its one thing instead of two, or the other way round.

    A noun has the same form after both numbers, so that nothing but the number tells.
    """
    if not has_one_thing(scene) or scene.things[0].count == 1:
        return None
    return change_thing(scene, count=5 - scene.things[0].count)


def change_kind(scene: Scene) -> Scene | None:
    """Return a scene of one thing with another kind of thing."""
    kinds = [kind for kind in KINDS if kind != scene.things[0].kind]
    kind = random.Random(f"kind-{scene.seed}").choice(kinds)
    return change_thing(scene, kind=kind) if has_one_thing(scene) else None


def change_colour(scene: Scene) -> Scene | None:
    """Return a scene of one thing with that thing in another colour."""
    colours = [colour for colour in COLOURS if colour != scene.things[0].colour]
    colour = random.Random(f"colour-{scene.seed}").choice(colours)
    return change_thing(scene, colour=colour) if has_one_thing(scene) else None


def change_thing(scene: Scene, **changes: str | int) -> Scene:
    """Return a scene whose first thing is changed."""
    thing = dataclasses.replace(scene.things[0], **changes)
    return dataclasses.replace(scene, things=(thing, *scene.things[1:]))


CHANGES: dict[str, Callable[[Scene], Scene | None]] = {
    "binding": exchange_colours,
    "relations": reverse_relation,
    "counting": change_count,
    "kind": change_kind,
    "colour": change_colour,
}


class PairExam(NamedTuple):
    """N pairs of images that differ in one fact, and the sentence of each image."""

    images: tuple[np.ndarray, np.ndarray]  # each uint8 (N, 3, S, S)
    sentences: list[tuple[str, str]]  # N pairs
    scenes: tuple[list[Scene], list[Scene]]  # what the images show


def draw_exam(skill: str, n_images: int, name: str = "limits") -> PairExam:
    """Draw the pairs of an exam, the same for every seed."""
    change = CHANGES[skill]

    def keep(scene: Scene) -> bool:
        twin = change(scene)
        return twin is not None and is_known(twin)

    firsts = sample_scenes(n_images, f"{name}-{skill}", keep=keep)
    twins = [change(scene) for scene in firsts]
    images = tuple(render_dataset(own, SMALL_RECIPE.image_size).images for own in (firsts, twins))
    tells = skill == "relations"
    sentences = [
        (describe_scene(first, tells), describe_scene(twin, tells))
        for first, twin in zip(firsts, twins, strict=True)
    ]
    return PairExam(images, sentences, (firsts, twins))


# ---- scores ----------------------------------------------------------------------------------


def compare_pairs(
    model: CLIP,
    tokenizer: Tokenizer,
    images: Sequence[np.ndarray],
    sentences: Sequence[Sequence[str]],
) -> Tensor:
    """Return the cosines (N, I, M) of the I images of each row with its M sentences."""
    image_features = [encode_images(model, own) for own in images]  # I times (N, D)
    columns = list(zip(*sentences, strict=True))  # M lists of N sentences
    text_features = [encode_texts(model, tokenizer(list(own))) for own in columns]
    rows = image_features[0].new_empty(len(sentences), len(images), len(columns))
    for i, image in enumerate(image_features):
        for j, text in enumerate(text_features):
            rows[:, i, j] = (image * text).sum(dim=1)
    return rows


def score_first(scores: Tensor) -> np.ndarray:
    """Score the choice between two sentences, float (N,): 1 for the first one, 0.5 for a tie.

    scores: (N, 2).
    """
    ahead = scores[:, 0] - scores[:, 1]
    return ((ahead > TIE).double() + 0.5 * (ahead.abs() <= TIE).double()).numpy()


def score_pairs(scores: Tensor) -> dict[str, np.ndarray]:
    """Score each pair in four ways. scores: cosines (N, 2, 2), image by sentence.

    "choice": which of two sentences fits an image, mean of both images, as in ARO; chance is a
    half. The others are those of Winoground, bool: "text", right for both images; "image", right
    for both sentences; "group", both of them. Chance is a quarter, a quarter and a sixth.
    """
    first, second = score_first(scores[:, 0]), score_first(scores[:, 1].flip(1))
    image_first, image_second = score_first(scores[:, :, 0]), score_first(scores[:, :, 1].flip(1))
    text = (first == 1) & (second == 1)
    image = (image_first == 1) & (image_second == 1)
    return {"choice": (first + second) / 2, "text": text, "image": image, "group": text & image}
