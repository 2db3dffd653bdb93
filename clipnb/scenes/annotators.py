"""Five people describe a scene. All of them leave things out, and none says what is not there.

A caption is built from the scene alone, with the random choices of `clipnb.scenes.chance`, so it
is the same on every platform.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from clipnb.scenes.chance import maybe, pick
from clipnb.scenes.words import (
    ACTIVITIES,
    COLOUR_SYNONYMS,
    NOUN_FORMS,
    OPPOSITE,
    PLACE_PHRASES,
    RELATION_PHRASES,
    SIZE_WORDS,
)
from clipnb.scenes.world import FLIERS, Scene, Thing


def captions(scene: Scene) -> list[str]:
    """Return five captions of a scene, one by each annotator."""
    texts = []
    for annotator in ANNOTATORS:
        rng = random.Random(f"{annotator.seed_name}-{scene.seed}")
        text = annotator.describe(rng, scene)
        if maybe(rng, annotator.capital_chance):
            text = text[0].upper() + text[1:]
        texts.append(text + pick(rng, annotator.endings))
    return texts


# ---- the five annotators ---------------------------------------------------------------------


def describe_tersely(rng: random.Random, scene: Scene) -> str:
    """Use few words and no articles: "red dog and two cars on the beach"."""
    things, _ = _order_things(rng, scene, swap_chance=0.5)
    if len(things) == 2 and maybe(rng, 0.2):
        things = things[:1]
    phrases = [
        _noun_phrase(rng, thing, colour_chance=0.85, size_chance=0.15, article=False)
        for thing in things
    ]
    text = pick(rng, [" and ", " and ", " with "]).join(phrases)
    if maybe(rng, 0.75):
        return f"{text} {_place_phrases(scene)[0]}"
    return text


def describe_in_detail(rng: random.Random, scene: Scene) -> str:
    """Say everything: "A small red dog is to the left of two big blue cars on the beach"."""
    things, relation = _order_things(rng, scene, swap_chance=0.3)
    where = pick(rng, _place_phrases(scene))
    first = _noun_phrase(rng, things[0], size_chance=0.95)
    if relation is None:
        return f"{first} {_activity(rng, things[0])} {where}"
    second = _noun_phrase(rng, things[1], size_chance=0.9)
    with_verb = f"{first} {_is_or_are(things[0])} {relation} {second} {where}"
    without_verb = f"{first} {relation} {second} {where}"
    return pick(rng, [with_verb, without_verb])


def describe_with_synonyms(rng: random.Random, scene: Scene) -> str:
    """Use synonyms, and say what a thing does: "a scarlet puppy waits near an azure sedan"."""
    things, relation = _order_things(rng, scene, swap_chance=0.3)
    where = pick(rng, _place_phrases(scene))
    first = _phrase_with_synonyms(rng, things[0], colour_chance=0.9, size_chance=0.2)
    doing = _activity(rng, things[0])
    if relation is None or maybe(rng, 0.15):
        return f"{first} {doing} {where}"
    second = _phrase_with_synonyms(rng, things[1], colour_chance=0.8, size_chance=0.1)
    relation = relation if maybe(rng, 0.6) else "near"
    text = f"{first} {doing} {relation} {second}"
    return f"{text} {where}" if maybe(rng, 0.6) else text


def describe_place_first(rng: random.Random, scene: Scene) -> str:
    """Begin with the place: "On the beach, a red dog and two blue cars"."""
    things, _ = _order_things(rng, scene, swap_chance=0.0)
    where = pick(rng, _place_phrases(scene))
    if len(things) == 2 and maybe(rng, 0.35) and scene.relation in ("left of", "right of"):
        first, second = (_noun_phrase(rng, thing) for thing in things)
        if scene.relation == "left of":
            return f"{where}, {first} on the left and {second} on the right"
        return f"{where}, {first} on the right and {second} on the left"
    phrases = [_noun_phrase(rng, thing, colour_chance=0.9, size_chance=0.3) for thing in things]
    listed = " and ".join(phrases)
    if maybe(rng, 0.3):
        return f"{pick(rng, PLACE_PHRASES[scene.place].nouns)} with {listed}"
    if maybe(rng, 0.4):
        return f"{where} there {_is_or_are(things[0])} {listed}"
    return f"{where}, {listed}"


def describe_vaguely(rng: random.Random, scene: Scene) -> str:
    """Look at one thing, and neither count nor name it well: "some animals standing in a field"."""
    things, _ = _order_things(rng, scene, swap_chance=0.5)
    naming = "vague" if maybe(rng, 0.4) else "plain"
    where = pick(rng, _place_phrases(scene))
    first = _noun_phrase(
        rng, things[0], colour_chance=0.75, size_chance=0.5, naming=naming, exact=False
    )
    if len(things) == 2 and maybe(rng, 0.6):
        if scene.relation in ("above", "below"):
            links = ["near", "and", "with"]
        else:
            links = ["next to", "beside", "near", "and"]
        link = pick(rng, links)
        second = _noun_phrase(rng, things[1], colour_chance=0.5, size_chance=0.2, exact=False)
        return f"{first} {link} {second} {where}"
    _, _, participle = pick(rng, ACTIVITIES[things[0].kind])
    if maybe(rng, 0.6):
        return f"{first} {participle} {where}"
    return f"there {_is_or_are(things[0])} {first} {where}"


@dataclass(frozen=True)
class Annotator:
    """A person who describes scenes, with that person's habits.

    seed_name: seeds the random choices. Another name would give other captions, so it never
    changes, even if the function is renamed.
    describe: writes the text of a caption with a random generator.
    capital_chance: the chance that the caption starts with a capital.
    endings: what may follow the text; each has the same chance.
    """

    seed_name: str
    describe: Callable[[random.Random, Scene], str]
    capital_chance: float
    endings: tuple[str, ...]


# Capitals and full stops are as uneven as in Flickr8k.
# fmt: off
ANNOTATORS = (
    Annotator("terse",       describe_tersely,       0.1,  ("", "", "", " .")),
    Annotator("detailed",    describe_in_detail,     0.95, (" .", " .", ".")),
    Annotator("wordy",       describe_with_synonyms, 0.5,  ("", " .", ".")),
    Annotator("place_first", describe_place_first,   0.9,  (".", " .")),
    Annotator("vague",       describe_vaguely,       0.6,  ("", " .", ".", " ")),
)
# fmt: on


# ---- parts of a caption ----------------------------------------------------------------------


def _order_things(
    rng: random.Random, scene: Scene, swap_chance: float
) -> tuple[tuple[Thing, ...], str | None]:
    """Return the things in the order of telling, and a phrase that relates the first to the second.

    The phrase is None with one thing.
    """
    if scene.relation is None:
        return scene.things, None
    if maybe(rng, swap_chance):
        return scene.things[::-1], pick(rng, RELATION_PHRASES[OPPOSITE[scene.relation]])
    return scene.things, pick(rng, RELATION_PHRASES[scene.relation])


def _place_phrases(scene: Scene) -> list[str]:
    """Return the phrases for a scene's place, which differ when everything is in the air."""
    phrases = PLACE_PHRASES[scene.place]
    all_fly = all(thing.kind in FLIERS for thing in scene.things)
    return phrases.air if all_fly else phrases.ground


def _phrase_with_synonyms(
    rng: random.Random, thing: Thing, colour_chance: float, size_chance: float
) -> str:
    """Return a noun phrase with a synonym as its noun, and in half of the cases as its colour."""
    colour_synonym = maybe(rng, 0.5)
    return _noun_phrase(
        rng,
        thing,
        colour_chance=colour_chance,
        size_chance=size_chance,
        naming="synonym",
        colour_synonym=colour_synonym,
    )


def _noun_phrase(
    rng: random.Random,
    thing: Thing,
    *,
    colour_chance: float = 1.0,
    size_chance: float = 0.0,
    naming: str = "plain",
    colour_synonym: bool = False,
    article: bool = True,
    exact: bool = True,
) -> str:
    """Return a noun phrase such as "two big red dogs".

    colour_chance, size_chance: the chances that they are said. naming: "plain", "synonym" or
    "vague". article=False: leave out the "a" of a single thing. exact=False: do not count to three.
    """
    words = []
    if article or thing.count > 1:
        words.append(_number_word(rng, thing.count, exact))
    if maybe(rng, size_chance):
        words.append(pick(rng, SIZE_WORDS[thing.size]))
    if maybe(rng, colour_chance):
        synonyms = COLOUR_SYNONYMS[thing.colour]
        words.append(pick(rng, synonyms) if colour_synonym else thing.colour)
    words.append(_noun(rng, thing, naming))
    if words[0] == "a" and words[1][0] in "aeiou":
        words[0] = "an"
    return " ".join(words)


def _number_word(rng: random.Random, count: int, exact: bool) -> str:
    """Return a word for a count from one to three. exact=False: three may be "several"."""
    if count == 1:
        return "one" if maybe(rng, 0.06) else "a"
    if count == 2:
        return pick(rng, ["two", "two", "a pair of"])
    if exact:
        return "three"
    return pick(rng, ["some", "several", "a few"])


def _noun(rng: random.Random, thing: Thing, naming: str) -> str:
    """Return a noun for a thing in singular or plural. naming: see `_noun_phrase`."""
    forms = NOUN_FORMS[thing.kind]
    if naming == "vague":
        singular, plural = forms.vague
    else:
        singular, plural = pick(rng, forms.synonyms if naming == "synonym" else forms.plain)
    return singular if thing.count == 1 else plural


def _activity(rng: random.Random, thing: Thing) -> str:
    """Return what a thing does, such as "looks around"."""
    singular, plural, _ = pick(rng, ACTIVITIES[thing.kind])
    return singular if thing.count == 1 else plural


def _is_or_are(thing: Thing) -> str:
    return "is" if thing.count == 1 else "are"
