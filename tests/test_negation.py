"""Texts that a model misreads, and the queries that say what they mean."""

import pytest

from clipnb.search.negation import explain_negation, rewrite_negation
from clipnb.search.query import parse_query


@pytest.mark.parametrize(
    "text, query",
    [
        ("a dog and no cat", "a dog - cat"),
        ("A dog, but not a cat!", "A dog - cat"),
        ("without people", "- people"),
        ("not red", "- red"),
        ("a car that is not red", "a car - red"),
        ("a street without any people", "a street - people"),
        ("beach with no people and no dogs", "beach - people - dogs"),
        ("a beach without people or cars", "a beach - people - cars"),
        ("a dog without a leash in the snow", "a dog in the snow - leash"),
        ("no people on the beach", "the beach - people"),
        ("nobody on the beach", "the beach - people"),
        ("a beach with no one on it", "a beach on it - people"),
        ("neither a dog nor a cat", "- dog - cat"),
        ("a man who isn’t wearing a hat", "a man - hat"),
        ("a man wearing no shirt is on a rock", "a man is on a rock - shirt"),
        ("a man without a shirt standing on a rock", "a man standing on a rock - shirt"),
        ("a boy with no shirt on", "a boy - shirt"),
        ("a boy with no shirt on is on a rock", "a boy is on a rock - shirt"),
        ("a boy with no shirt on .", "a boy - shirt"),
        ("a girl without her dog", "a girl - dog"),
        ("dogs that don't run", "dogs - run"),
        ("2:dog and no cat", "2:dog - cat"),
        ("a red car, not a blue one", "a red car - blue one"),
    ],
)
def test_a_negation_is_rewritten(text, query):
    assert rewrite_negation(text) == query
    assert str(parse_query(query)) == query
    assert explain_negation(text).endswith(f"is: {query}")


def test_the_explanation_names_what_the_model_looks_for():
    assert explain_negation("a dog and no cat") == (
        "Words such as “no” and “without” hardly count for the model, so it looks for “cat” as "
        "well. A query that leaves this out is: a dog - cat"
    )
    long = explain_negation("a dog without " + "x" * 10_000)
    assert long.endswith("as in: a dog - cat") and len(long) < 300


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a dog",
        "no",
        "not",
        "a dog without",
        "a no parking sign",
        "no smoking",
        "a sign that says no dogs",
        "a no dogs allowed sign",
        "no dogs allowed sign",
        "a house not far from the lake",
        "not only a dog",
        "whether or not",
        "rain or no rain",
        "say no to fur",
        "No. 7",
        "no 7 bus",
        "No, a dog",
        "a knot",
        "snow",
        "notes on nothing",
        "no no no",
        "dog - cat",
        "dog + no cat",
        "do not enter",
        "a no sleeve shirt",
    ],
)
def test_no_false_alarm(text):
    assert explain_negation(text) is None
    assert rewrite_negation(text) is None


def test_a_long_text_takes_no_long_time():
    assert rewrite_negation("a dog and no cat " * 600).count("- cat") == 600
