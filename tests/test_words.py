"""Which words a model knows, and what an unknown one may mean."""

import random
import time

import pytest

from clipnb.search.words import (
    SpellingIndex,
    UnknownWord,
    collect_words,
    count_edits,
    describe_unknown_words,
    explain_unknown_words,
    find_unknown_words,
    find_words,
    index_vocabulary,
)
from clipnb.tokenizer import clip_tokenizer, train_tokenizer

CAPTIONS = [
    "a red dog and a yellow automobile",
    "two dogs beside a puppy in the snow",
    "a skateboard on the mountain",
    "a café by the house",
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CAPTIONS * 3, vocab_size=400)


# ---- finding ---------------------------------------------------------------------------------


def test_find_words():
    assert find_words("A dog's DOG, 7 cafés! snow_man") == ["a", "dog", "cafés", "snow", "man"]
    assert find_words("cafe\u0301") == ["café"]  # an accent of its own is composed
    assert find_words("🐕 42 +") == []


def test_collect_words():
    captions = [["A dog, a dog", "two dogs"], ["a cat"]]
    assert collect_words(captions) == {"a", "dog", "two", "dogs", "cat"}
    assert collect_words(captions, at_least=2) == {"a"}
    assert collect_words([]) == set()


def test_words_that_are_no_single_token_are_unknown(tokenizer):
    assert find_unknown_words(tokenizer, "A red zebra and a dog, zebra") == ["zebra"]
    assert find_unknown_words(tokenizer, "a café") == []
    assert find_unknown_words(tokenizer, "собака") == ["собака"]


def test_the_words_of_the_captions_decide_where_they_are_known():
    tokenizer = clip_tokenizer()
    known = {"dog", "a", "quaggaraptor"}
    assert find_unknown_words(tokenizer, "a zebra, a quaggaraptor") == ["quaggaraptor"]
    assert find_unknown_words(tokenizer, "a zebra, a quaggaraptor", known) == ["zebra"]


def test_a_last_word_may_still_grow(tokenizer):
    assert find_unknown_words(tokenizer, "a red mounta", still_typing=True) == []
    assert find_unknown_words(tokenizer, "a red mounta ", still_typing=True) == ["mounta"]
    assert find_unknown_words(tokenizer, "a red mounta.", still_typing=True) == ["mounta"]
    assert find_unknown_words(tokenizer, "a mounta red", still_typing=True) == ["mounta"]
    assert find_unknown_words(tokenizer, "a red mounta") == ["mounta"]
    assert find_unknown_words(tokenizer, "a red mountq", still_typing=True) == ["mountq"]
    assert find_unknown_words(tokenizer, "a CAFE\u0301", still_typing=True) == []
    known = {"zebra"}
    assert find_unknown_words(tokenizer, "zebr", known, still_typing=True) == []
    assert find_unknown_words(tokenizer, "mounta", known, still_typing=True) == ["mounta"]


# ---- near in spelling ------------------------------------------------------------------------


def count_edits_slowly(one, other):
    """The definition, without a shortcut."""
    if not one or not other:
        return len(one) + len(other)
    if one[-1] == other[-1]:
        return count_edits_slowly(one[:-1], other[:-1])
    options = [
        count_edits_slowly(one[:-1], other),
        count_edits_slowly(one, other[:-1]),
        count_edits_slowly(one[:-1], other[:-1]),
    ]
    if one[-2:] == other[-2:][::-1] and len(one) > 1:
        options.append(count_edits_slowly(one[:-2], other[:-2]))
    return 1 + min(options)


def test_edits_are_counted_as_defined():
    rng = random.Random(0)
    for _ in range(500):
        one, other = ("".join(rng.choices("abc", k=rng.randint(0, 5))) for _ in range(2))
        wanted = count_edits_slowly(one, other)
        assert count_edits(one, other, most=9) == wanted, (one, other)
        assert count_edits(one, other, most=1) == min(wanted, 2), (one, other)


def test_edits_by_hand():
    assert count_edits("dgo", "dog", 3) == 1  # two letters swapped
    assert count_edits("puppys", "puppies", 3) == 2
    assert count_edits("cat", "cat", 3) == 0
    assert count_edits("", "cat", 3) == 3


def test_the_filter_by_letters_loses_nothing():
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdeé", k=rng.randint(3, 7))) for _ in range(300)]
    index = SpellingIndex(words)
    for word in words[:40]:
        typed = word[:1] + rng.choice("abcde") + word[2:]
        near = [known for known in words if count_edits(typed, known, 1) <= 1]
        ranks = [(set(typed) != set(known), typed[0] != known[0]) for known in near]
        wanted = [known for known, rank in zip(near, ranks, strict=True) if rank == min(ranks)]
        assert index.find_within(typed, 1) == wanted


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("dgo", "dog"),
        ("yelow", "yellow"),
        ("hosue", "house"),
        ("puppys", "puppy"),
        ("automobil", "automobile"),
        ("skateboaridng", None),
        ("scateboard", "skateboard"),
        ("mountian", "mountain"),
        ("zebra", None),
        ("quantum", None),
        ("q", None),
        ("zz", None),
        ("x" * 1000, None),
        ("caffé", "café"),
    ],
)
def test_suggestions(tokenizer, typed, meant):
    unknown = explain_unknown_words(tokenizer, typed)
    assert [word.word for word in unknown] == [typed]
    assert unknown[0].spelling == meant
    assert unknown[0].nearest[:1] == ([meant] if meant else unknown[0].nearest[:1])


def test_two_edits_need_a_long_word_with_the_same_first_letter():
    index = SpellingIndex(["kites", "skateboard"])
    assert index.explain("kittens").spelling is None
    assert index.explain("skatebaord").spelling == "skateboard"
    assert index.explain("skatebaorrd").spelling == "skateboard"
    assert index.explain("zkatebaord").spelling is None


def test_frequent_words_come_first_among_equally_plausible_ones():
    assert SpellingIndex(["house", "mouse"]).explain("bouse").nearest == ["house", "mouse"]
    assert SpellingIndex(["mouse", "house"]).explain("bouse").spelling == "mouse"
    assert SpellingIndex(["mouse", "bouts"]).explain("bouss").spelling == "bouts"  # first letter


def test_a_short_word_with_many_neighbours_gets_no_suggestion():
    words = ["cat", "bat", "hat", "rat"]
    assert SpellingIndex(words).explain("xat") == UnknownWord("xat")
    assert SpellingIndex(words[:3]).explain("xat").nearest == ["cat", "bat", "hat"]


def test_relatives_begin_as_the_word_does():
    index = SpellingIndex(["surfboard", "surf", "surfer", "sea"])
    assert index.explain("surfboarding") == UnknownWord("surfboarding", None, ["surfboard"])


def test_known_words_are_the_only_ones_suggested():
    tokenizer = clip_tokenizer()
    assert explain_unknown_words(tokenizer, "yelow")[0].spelling == "yellow"
    assert explain_unknown_words(tokenizer, "yelow", {"red"})[0].spelling is None
    known = {"red", "quaggaraptor"}  # the second is no single token
    assert explain_unknown_words(tokenizer, "quagaraptor", known)[0].spelling == "quaggaraptor"


def test_only_the_first_unknown_words_get_neighbours(tokenizer):
    unknown = explain_unknown_words(tokenizer, "qa qb qc qd qe yelow hosue")
    assert [word.spelling for word in unknown] == [None] * 7
    assert explain_unknown_words(tokenizer, "a red dog") == []
    assert explain_unknown_words(tokenizer, "") == []


@pytest.mark.parametrize("text", ["yelow gutiar snowbordng", "aaa qwertyuiop photografer" * 300])
def test_explaining_is_fast_enough_for_every_keystroke(text):
    tokenizer = clip_tokenizer()
    index_vocabulary(tokenizer)
    start = time.perf_counter()
    explain_unknown_words(tokenizer, text)
    assert time.perf_counter() - start < 0.3  # measured: 7 to 20 ms


# ---- in words --------------------------------------------------------------------------------


def test_nothing_unknown_is_nothing_to_say():
    assert describe_unknown_words([]) == ""


def test_sentences():
    zebra = UnknownWord("zebra")
    yelow = UnknownWord("yelow", "yellow", ["yellow"])
    surfing = UnknownWord("surfing", None, ["surf", "surfer"])
    assert describe_unknown_words([zebra]) == "This model does not know the word “zebra”."
    assert describe_unknown_words([yelow], "a yelow dog") == (
        "This model does not know the word “yelow”; did you mean “yellow”?"
    )
    assert describe_unknown_words([surfing], "a surfing dog").endswith(
        "the word “surfing”; nearest in spelling it knows “surf”, “surfer”."
    )
    all_unknown = describe_unknown_words([zebra], "zebra 7")
    assert all_unknown.endswith("so the order of the images means little.")
    four = describe_unknown_words([zebra] * 4)
    assert four.endswith("Nor does it know another word of this text.")
    many = describe_unknown_words([zebra] * 1003)
    assert many.endswith("Nor does it know 1,000 more words of this text.")
    assert len(describe_unknown_words([UnknownWord("x" * 1000)])) < 100


def test_quotes_around_a_word_are_no_part_of_it_and_endings_are_no_words():
    text = "'dog' ‘cat’ the dog's ball, they're here"
    assert find_words(text) == ["dog", "cat", "the", "ball", "they", "here"]
