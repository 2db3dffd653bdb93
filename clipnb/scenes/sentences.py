"""Sentences about a scene in simple words, and sentences that are wrong in one fact.

They test what a model knows: does it prefer the true sentence to one that is wrong in one fact?
The captions of the scenes are richer. They come from `clipnb.scenes.annotators`.
"""

import random
from collections.abc import Sequence
from typing import Any

from clipnb.scenes import COLOURS, KINDS, PLACES
from clipnb.scenes.words import NOUN_FORMS, OPPOSITE

FACTS = ("kind", "place", "colour", "count", "relation", "whose colour")
# The values that a fact of one thing can take.
CHOICES: dict[str, Sequence] = {"kind": KINDS, "colour": COLOURS, "count": (1, 2, 3)}
NUMBER_WORDS = ("one", "two", "three")
PREPOSITIONS = {"street": "on the", "beach": "on the", "night": "at"}  # "in the" elsewhere


def tell_place(place: str) -> str:
    """Tell where a scene is: "on the beach"."""
    return f"{PREPOSITIONS.get(place, 'in the')} {place}"


def tell_thing(kind: str, colour: str, count: int, **others: Any) -> str:
    """Tell one entry of a label's objects in words: "two red dogs".

    others: the other facts of the entry, which the sentence leaves out.
    """
    singular, plural = NOUN_FORMS[kind].plain[0]
    return f"{NUMBER_WORDS[count - 1]} {colour} {singular if count == 1 else plural}"


def tell(label: dict) -> str:
    """Tell a whole scene in words: "two red dogs left of one blue car on the beach".

    label: as in `CaptionDataset.labels`.
    """
    things = [tell_thing(**thing) for thing in label["objects"]]
    return f" {label['relation']} ".join(things) + f" {tell_place(label['place'])}"


def tell_wrongly(label: dict, fact: str, rng: random.Random) -> str | None:
    """Tell a scene with one fact changed, or return None if the scene has no such fact.

    fact: one of `FACTS`. "kind", "colour" and "count" change the first thing, to a value that no
    thing of the scene has. "relation" says the opposite. "whose colour" exchanges the colours of
    two things, so the sentence has the same words in another order.
    """
    first, *rest = label["objects"]
    if fact == "place":
        others = [place for place in PLACES if place != label["place"]]
        return tell(label | {"place": rng.choice(others)})
    if fact in CHOICES:
        taken = [thing[fact] for thing in label["objects"]]
        others = [value for value in CHOICES[fact] if value not in taken]
        return tell(label | {"objects": [first | {fact: rng.choice(others)}, *rest]})
    if not rest:  # the other facts are about two things
        return None
    if fact == "relation":
        return tell(label | {"relation": OPPOSITE[label["relation"]]})
    (second,) = rest
    if first["colour"] == second["colour"]:  # to exchange them would change nothing
        return None
    swapped = [first | {"colour": second["colour"]}, second | {"colour": first["colour"]}]
    return tell(label | {"objects": swapped})
