"""CLIP's image encoder, taught by labels that tell what one caption tells and nothing more.

`labelled_facts` tells all facts of a scene at every visit, and a caption tells the relation of two
things in one of five cases. Here the facts are read from the captions by rule. At each visit one
caption of the image is drawn, as for CLIP, and only what it tells counts. "A red dog" tells that
the dog is red and in no other colour, and that there is one dog. It leaves open where the dog is.

A kind that the caption does not name counts nothing, and neither does a vague noun ("an animal") or
number ("some"). CLIP learns more from its batch, where the other captions are wrong answers: it
learns which kinds an image does not show. To the labels nobody tells that. So what they know more
than CLIP in binding and relations cannot come from being told more.
"""

import dataclasses
import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from clipnb.claims.drawn import draw_training_set
from clipnb.claims.words.labelled_facts import COUNTS, FACTS
from clipnb.experiments.fitting import load_or_fit
from clipnb.experiments.small_clip import SMALL_RECIPE
from clipnb.experiments.twin import MultiLabelBaseline
from clipnb.features import sample_captions
from clipnb.runtime import seed_everything
from clipnb.scenes import COLOURS
from clipnb.scenes.words import (
    COLOUR_SYNONYMS,
    NOUN_FORMS,
    OPPOSITE,
    RELATION_PHRASES,
    SIZE_WORDS,
)

# "Some", "several" and "a few" leave the number open.
NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "a pair of": 2, "three": 3}
OPEN_NUMBERS = ("some", "several", "a few")
SIZES = tuple(word for words in SIZE_WORDS.values() for word in words)
COLOUR_WORDS = {colour: colour for colour in COLOURS} | {
    word: colour for colour, words in COLOUR_SYNONYMS.items() for word in words
}
PLAIN_NOUNS = {noun: kind for kind, forms in NOUN_FORMS.items() for noun in forms.plain[0]}
NOUNS = PLAIN_NOUNS | {
    noun: kind for kind, forms in NOUN_FORMS.items() for pair in forms.synonyms for noun in pair
}
# The facts of a thing between which a caption chooses.
CHOICES = (COLOURS, COUNTS, tuple(OPPOSITE))


def match_any(words: Sequence[str]) -> str:
    """Return a group of a regular expression for some words, the longer ones first."""
    return f"({'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})"


NUMBER, SIZE = match_any([*NUMBERS, *OPEN_NUMBERS]), match_any(SIZES)
THING = re.compile(
    rf"\b(?:{NUMBER} )?(?:{SIZE} )?(?:{match_any(COLOUR_WORDS)} )?{match_any(NOUNS)}\b"
)
LINKS = {phrase: relation for relation, phrases in RELATION_PHRASES.items() for phrase in phrases}
LINK = re.compile(rf"\b{match_any(LINKS)}$")


# ---- reading captions ------------------------------------------------------------------------


def read_caption(caption: str) -> set[tuple]:
    """Return which of FACTS a caption of a scene tells, such as {("dog", "red"), ("dog", 2)}.

    A noun without a number is one thing, and then it is a plain noun, because all others have a
    number or an article. (In "two pups bloom" the last word is a verb.)
    """
    text = caption.lower()
    things = [each for each in THING.finditer(text) if each[1] or each[4] in PLAIN_NOUNS]
    told = set()
    for number, _, colour, noun in (each.groups() for each in things):
        kind = NOUNS[noun]
        if colour:
            told.add((kind, COLOUR_WORDS[colour]))
        if number not in OPEN_NUMBERS:
            told.add((kind, NUMBERS[number or "one"]))
    if len(things) == 2:
        first, second = things
        relation = read_relation(text[first.end() : second.start()], text[second.end() :])
        if relation is not None:
            told |= {(NOUNS[first[4]], relation), (NOUNS[second[4]], OPPOSITE[relation])}
    return told


def read_relation(between: str, after: str) -> str | None:
    """Return how the first thing lies to the second by the words between and after them, or None.

    Nothing but the words just before the second thing counts: "under the stars" is a place.
    """
    for side, other in (("left", "right"), ("right", "left")):
        if between == f" on the {side} and " and after.startswith(f" on the {other}"):
            return f"{side} of"
    found = LINK.search(between.strip())
    return LINKS[found[1]] if found else None


def mark_facts(caption: str) -> Tensor:
    """Mark what a caption tells of each of FACTS, int8 (F,): 1 true, -1 false, 0 left open.

    A thing has one colour, one number and one place beside the other thing, so a fact that is told
    makes the others of its kind false.
    """
    told = read_caption(caption)
    closed = {
        (kind, other)
        for kind, fact in told
        for choices in CHOICES
        if fact in choices
        for other in choices
    }
    marks = [1 if fact in told else -1 if fact in closed else 0 for fact in FACTS]
    return torch.tensor(marks, dtype=torch.int8)


# ---- training --------------------------------------------------------------------------------


def told_loss(logits: Tensor, marks: Tensor) -> Tensor:
    """Compute the mean binary cross-entropy of the facts that are told, in nats.

    logits: (B, F). marks: as `mark_facts`, (B, F). It is 0 where nothing is told.
    """
    is_told = (marks != 0).float()
    truth = (marks > 0).float()
    total = F.binary_cross_entropy_with_logits(logits, truth, is_told, reduction="sum")
    return total / is_told.sum().clamp(min=1)


def fit_told_facts(seed: int, n_scenes: int, epochs: int, rate: float) -> MultiLabelBaseline:
    """Train (or load) the image encoder on what the captions of the scenes of a seed tell."""
    name = f"told_facts_{n_scenes}_supervised"
    recipe = dataclasses.replace(SMALL_RECIPE, name=name, epochs=epochs, learning_rate=rate)
    train_set = draw_training_set(seed, n_scenes, recipe.stored_size)
    marks = torch.stack(
        [torch.stack([mark_facts(text) for text in own]) for own in train_set.captions]
    )  # (N, 5, F)
    seed_everything(seed)

    def loss(model: MultiLabelBaseline, images: Tensor, rows: Tensor) -> Tensor:
        drawn = sample_captions(marks, rows, 1)[:, 0]  # (B, F)
        return told_loss(model(images), drawn.to(images.device))

    model = MultiLabelBaseline(recipe, len(FACTS))
    return load_or_fit(model, loss, train_set, recipe, seed)
