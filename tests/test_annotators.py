"""The captions of the scenes: the same everywhere, true in every word, and uneven as people's."""

import collections
import dataclasses
import functools
import itertools
import re

import numpy as np
import pytest

from clipnb.scenes import COLOURS, KINDS, annotators, captions, dataset_scene, words


def some_scenes(n, split="train"):
    return [dataset_scene(split, i) for i in range(n)]


def words_of(caption):
    return re.findall(r"[a-z-]+", caption.lower())


# ---- the same everywhere ---------------------------------------------------------------------

KNOWN_CAPTIONS = [
    "little green bird at night",
    "A small green bird under two big red houses under the stars .",
    "a green songbird flaps its wings near two crimson homes.",
    "Under a starry sky, a green bird and two red houses .",
    "A green animal with open wings at night .",
]


def test_known_captions_are_the_same_on_every_platform():
    assert captions(dataset_scene("train", 5)) == KNOWN_CAPTIONS


def test_renaming_the_function_of_an_annotator_changes_no_caption(monkeypatch):
    renamed = [
        dataclasses.replace(annotator, describe=functools.partial(annotator.describe))
        for annotator in annotators.ANNOTATORS
    ]
    assert not any(hasattr(annotator.describe, "__name__") for annotator in renamed)
    monkeypatch.setattr(annotators, "ANNOTATORS", renamed)
    assert captions(dataset_scene("train", 5)) == KNOWN_CAPTIONS


# ---- true in every word ----------------------------------------------------------------------


def find_meanings(phrases_of):
    """Return {word: the values it can stand for}. phrases_of: {value: phrases for it}."""
    meanings = collections.defaultdict(set)
    for value, phrases in phrases_of.items():
        for phrase in phrases:
            for word in words_of(phrase):
                meanings[word].add(value)
    return meanings


def nouns_for(kind):
    forms = words.NOUN_FORMS[kind]
    return [noun for pair in (*forms.plain, *forms.synonyms, forms.vague) for noun in pair]


# Words that name nothing by themselves.
# fmt: off
COMMON = {
    "on", "in", "at", "a", "the", "of", "over", "under", "with",
    "day", "toy", "round", "flying", "open",
}
# fmt: on
KINDS_MEANT = find_meanings({kind: nouns_for(kind) for kind in KINDS})
COLOURS_MEANT = find_meanings({c: [c, *words.COLOUR_SYNONYMS[c]] for c in COLOURS})
SIZES_MEANT = find_meanings(words.SIZE_WORDS)
PLACES_MEANT = find_meanings(
    {place: itertools.chain(*phrases) for place, phrases in words.PLACE_PHRASES.items()}
)
COUNTS_MEANT = {"two": 2, "pair": 2, "three": 3, "several": 3, "few": 3, "some": 3}


@pytest.mark.parametrize("split", ["train", "compositions"])
def test_captions_never_say_what_is_not_there(split):
    for scene in some_scenes(500, split):
        tables = [
            (KINDS_MEANT, {thing.kind for thing in scene.things}),
            (COLOURS_MEANT, {thing.colour for thing in scene.things}),
            (SIZES_MEANT, {thing.size for thing in scene.things}),
            (PLACES_MEANT, {scene.place}),
        ]
        counts = {thing.count for thing in scene.things}
        for caption in captions(scene):
            said = set(words_of(caption)) - COMMON
            for meanings, truth in tables:
                for word in said & set(meanings):
                    assert meanings[word] & truth, (word, caption, scene)
            for word in said & set(COUNTS_MEANT):
                assert COUNTS_MEANT[word] in counts, (caption, scene)


NUMBERS_MEANT = {"a": 1, "an": 1, "one": 1, "two": 2, "a pair of": 2}  # others mean three
NOUNS_PATTERN = "|".join(sorted(KINDS_MEANT, key=len, reverse=True))
NOUN_PHRASE = re.compile(
    r"\b(two|a pair of|three|some|several|a few|an?|one) "  # number
    r"((?:[a-z-]+ )*?)"  # adjectives
    rf"({NOUNS_PATTERN})\b"
)


def fits(thing, count, adjectives, noun):
    """Tell whether a thing is meant by a noun phrase."""
    if thing.kind not in KINDS_MEANT[noun] or thing.count != count:
        return False
    return all(
        thing.colour in COLOURS_MEANT.get(word, ()) or thing.size in SIZES_MEANT.get(word, ())
        for word in adjectives
    )


def test_each_noun_comes_with_its_own_number_colour_and_size():
    n_phrases = 0
    for scene in some_scenes(600):
        for caption in captions(scene):
            for number, adjectives, noun in NOUN_PHRASE.findall(caption.lower()):
                adjectives = adjectives.split()
                if not all(word in COLOURS_MEANT or word in SIZES_MEANT for word in adjectives):
                    continue  # the match ran over something else ("a beach with ...", "toy ball")
                count = NUMBERS_MEANT.get(number, 3)
                assert any(fits(thing, count, adjectives, noun) for thing in scene.things), (
                    caption,
                    scene,
                )
                n_phrases += 1
    assert n_phrases > 2500


RELATION_MEANT = {
    phrase: relation for relation, phrases in words.RELATION_PHRASES.items() for phrase in phrases
}
RELATIONS_PATTERN = "|".join(sorted(RELATION_MEANT, key=len, reverse=True))
RELATION_SAID = re.compile(rf"(.*?)\b({RELATIONS_PATTERN}) (?!the stars|a starry)(.*)")


def kinds_in(text):
    """Return the kinds of thing that a text can mean."""
    kinds = set()
    for word in set(words_of(text)) - COMMON:
        kinds |= KINDS_MEANT.get(word, set())
    return kinds


def test_relations_in_captions_are_true():
    n_relations = 0
    for scene in some_scenes(600):
        if scene.relation is None:
            continue
        first, second = scene.things
        for caption in captions(scene):
            match = RELATION_SAID.search(caption.lower())
            if not match or not kinds_in(match[3]):
                continue
            before, after = kinds_in(match[1]), kinds_in(match[3])
            in_order = first.kind in before
            expected = scene.relation if in_order else words.OPPOSITE[scene.relation]
            assert RELATION_MEANT[match[2]] == expected, (caption, scene)
            assert (second.kind in after) == in_order, (caption, scene)
            n_relations += 1
    assert n_relations > 300


# ---- like the captions of people -------------------------------------------------------------


def test_captions_read_like_flickr8k():
    by_scene = [captions(scene) for scene in some_scenes(800)]
    flat = list(itertools.chain(*by_scene))
    lengths = [len(words_of(caption)) for caption in flat]
    assert all(len(five) == 5 for five in by_scene)
    assert min(lengths) >= 1
    assert 8 <= np.mean(lengths) <= 12
    assert 150 <= len({word for caption in flat for word in words_of(caption)}) <= 260
    assert {caption[0].isupper() for caption in flat} == {True, False}
    assert {caption.rstrip()[-1] == "." for caption in flat} == {True, False}
    slips = re.compile(r"\ba [aeiou]|\ban [^aeiou]|  |\n|^ ")
    assert not any(slips.search(caption.lower()) for caption in flat)


def test_equal_captions_of_different_images_occur_but_are_few():
    owners = collections.defaultdict(set)
    by_scene = [
        [" ".join(words_of(caption)) for caption in captions(scene)] for scene in some_scenes(1500)
    ]
    for i, five in enumerate(by_scene):
        for caption in five:
            owners[caption].add(i)
    shared = [len(owners[caption]) > 1 for five in by_scene for caption in five]
    assert 0.01 < np.mean(shared) < 0.10  # 3 % here, 7 % among all 6,000 training images
