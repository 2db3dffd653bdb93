"""Texts that a model misreads, and the queries that say what they mean."""

from pathlib import Path

import pytest

from clipnb.search.negation import explain_negation, explain_terms, rewrite_negation, rewrite_terms
from clipnb.search.query import Query, Term, parse_query
from clipnb.tokenizer import train_tokenizer


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


# ---- whole queries ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["a dog and a cat in the snow with no boat without a tree"] * 9, 200)


@pytest.mark.parametrize(
    "text, query",
    [
        ("dog without cat + snow", "dog - cat + snow"),
        ("snow + without people", "snow - people"),
        ("2:dog and no cat - 3:boat", "2:dog - cat - 3:boat"),
        ("snow - a dog without a leash", "snow - a dog without a leash"),
        ("dog + snow", "dog + snow"),
    ],
)
def test_the_texts_of_a_query_are_rewritten(text, query):
    assert rewrite_terms(parse_query(text).terms) == query


def test_the_words_of_all_texts_are_explained_at_once(tokenizer):
    terms = parse_query("dog without cat + zzyzx - quagga").terms
    unknown, sentences = explain_terms(tokenizer, terms)
    assert [word.word for word in unknown] == ["zzyzx", "quagga"]
    assert sentences[0].count("does not know") == 2
    assert sentences[1].endswith(
        "“cat” as well. " + ("A query that leaves this out is: dog - cat + zzyzx - quagga")
    )
    assert explain_terms(tokenizer, parse_query("dog + snow").terms) == ([], [])
    assert explain_terms(tokenizer, ()) == ([], [])


def test_the_explanation_of_one_text_is_the_same(tokenizer):
    [sentence] = explain_terms(tokenizer, parse_query("dog and no cat").terms)[1]
    assert sentence == explain_negation("dog and no cat")


def test_paths_and_images_have_no_words(tokenizer):
    terms = (Term(1.0, Path("zzyzx.jpg")), Term(1.0, "quagga no cat"), Term(-1.0, object()))
    unknown, sentences = explain_terms(tokenizer, terms)
    assert [word.word for word in unknown] == ["quagga"]
    assert "knows no other word" not in sentences[0], "the order comes from the images too"
    assert sentences[1].endswith(f"is: {Query(terms[:1])} + quagga - cat")
