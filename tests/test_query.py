"""The grammar of a query."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from clipnb.search.query import MOST_TERMS, Query, Term, parse_query


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A working directory with some image files, which are empty: nothing here opens them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ["a.jpg", "new york.jpg", "a + b.jpg", "two  spaces.png", "noted", "2.jpg"]:
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    return tmp_path


def read(text):
    """Return the terms of a query as pairs, after a trip through its own text."""
    query = parse_query(text)
    assert parse_query(str(query)) == query
    return [(term.weight, term.content) for term in query.terms]


# ---- texts and operators ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a dog",
        "t-shirt",
        "black-and-white photo",
        "-5 degrees",
        "c++ code",
        "a-",
        "+5",
        "12:30 train",
        "16:9",
        "2:3 dogs",
        "note: a dog",
        "C: a dog",
        "a dog at 2:x",
        "emoji 🐕 + ".strip(" +"),
        "כלב בשלג",
        "<script>alert(1)</script>",
        "x" * 10_000,
        "a b " * 2_500 + "c",
    ],
)
def test_a_text_stays_a_text(text):
    assert read(text) == [(1, text)]


def test_plus_and_minus_count_between_spaces():
    assert read("dog + snow - people") == [(1, "dog"), (1, "snow"), (-1, "people")]
    assert read("  dog   +\tsnow\n- two   people ") == [(1, "dog"), (1, "snow"), (-1, "two people")]
    assert read("+ dog") == [(1, "dog")]


def test_a_query_may_only_subtract():
    assert read("- people - cars") == [(-1, "people"), (-1, "cars")]


@pytest.mark.parametrize("text", ["", "  \n ", [], [""], [" ", ""]])
def test_a_query_without_words_has_no_terms(text):
    assert read(text) == []
    assert str(parse_query(text)) == ""


def test_arguments_read_as_one_string_does():
    wanted = [(1, "dog in snow"), (-1, "a cat")]
    assert read(["dog in snow", "-", "a cat"]) == wanted
    assert read(["dog", "in", "snow", "-", "a cat"]) == wanted
    assert read(["dog in snow - a cat"]) == wanted


def test_a_quoted_part_stays_whole():
    assert read('"rock - paper" + hands') == [(1, "rock - paper"), (1, "hands")]
    assert read('the "rock - paper" game') == [(1, "the rock - paper game")]
    assert read('2:"rock - paper"') == [(2, "rock - paper")]
    assert read('"dog" - "a cat"') == [(1, "dog"), (-1, "a cat")]
    assert read('"2:dog" + cat') == [(2, "dog"), (1, "cat")]  # as a shell would read it


def test_quotes_that_enclose_nothing_are_dropped():
    assert read('5" screen + 6" screen') == [(1, "5 screen"), (1, "6 screen")]
    assert read('"open + cat') == [(1, "open"), (1, "cat")]  # still being typed


@pytest.mark.parametrize(
    "text, weight",
    [
        ("2:dog", 2),
        ("0.5:dog", 0.5),
        (".5:dog", 0.5),
        ("2: dog", 2),
        ("+2:dog", 2),
        ("1e2:dog", 100),
    ],
)
def test_weights(text, weight):
    assert read(text) == [(weight, "dog")]
    assert read(f"snow - {text}") == [(1, "snow"), (-weight, "dog")]


def test_a_negative_weight_subtracts():
    assert read("cat + -2:dog") == [(1, "cat"), (-2, "dog")]
    assert str(parse_query("cat + -2:dog")) == "cat - 2:dog"
    assert read("cat - -2:dog") == [(1, "cat"), (2, "dog")]


def test_a_text_that_looks_weighted_survives():
    assert read('1:"2:dog"') == [(1, "2:dog")]
    assert read('2:"12:30 train"') == [(2, "12:30 train")]
    assert str(parse_query('2:"12:30 train"')) == '2:"12:30 train"'


def test_random_queries_survive_the_trip():
    rng = random.Random(0)
    pieces = ["dog", "a", "2:", "0.5:", "12:30", '"', " + ", " - ", " ", "-", "+", ":", "1", "x-y"]
    n_read = 0
    for _ in range(3000):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 9)))
        try:
            query = parse_query(text)
        except ValueError as error:
            assert "\n" not in str(error)
            continue
        assert parse_query(str(query)) == query, text
        assert parse_query([text]) == query
        n_read += 1
    assert n_read > 1000


# ---- files -----------------------------------------------------------------------------------


def test_files_are_found_by_suffix_or_by_the_form_of_a_path(photos):
    assert read("a.jpg") == [(1, Path("a.jpg"))]
    assert read("A dog + ./a.jpg") == [(1, "A dog"), (1, Path("a.jpg"))]
    assert read("folder/../a.jpg") == [(1, Path("folder/../a.jpg"))]
    assert read(str(photos / "a.jpg")) == [(1, photos / "a.jpg")]
    assert read("~/a.jpg") == [(1, photos / "a.jpg")]
    assert read("./noted") == [(1, Path("noted"))]
    assert read("noted") == [(1, "noted")]  # without ./ and suffix it is a word
    assert read("2:./2.jpg - 2.jpg") == [(2, Path("2.jpg")), (-1, Path("2.jpg"))]


def test_file_names_with_spaces_and_operators(photos):
    assert read("./new york.jpg + night") == [(1, Path("new york.jpg")), (1, "night")]
    assert read('"./new york.jpg" + night') == [(1, Path("new york.jpg")), (1, "night")]
    assert read("./two  spaces.png") == [(1, Path("two  spaces.png"))]
    assert read('"a + b.jpg" - dog') == [(1, Path("a + b.jpg")), (-1, "dog")]
    assert read(["a + b.jpg", "-", "dog"]) == [(1, Path("a + b.jpg")), (-1, "dog")]
    assert read(["2:a + b.jpg"]) == [(2, Path("a + b.jpg"))]


@pytest.mark.parametrize(
    "text, message",
    [
        ("./b.jpg", r"no image file './b.jpg'\.$"),
        ("b.JPEG", "no image file 'b.JPEG'"),
        ("dog + ../b", "no image file '../b'"),
        ("~/b.jpg", "no image file '~/b.jpg'"),
        ("/b", "no image file '/b'"),
        ("./a.jpg people", "Put a \\+ or - between an image and a text"),
        ("./folder", "'./folder' is a folder"),
        ("https://example.com/a.jpg", "is an address; download the image"),
        ("x" * 10_000 + ".jpg", "no image file 'x+…'"),
        ("\0.jpg", "no image file"),
        ("\ud800.jpg", "no image file"),
    ],
)
def test_a_file_that_is_not_there_is_told(photos, text, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_query(text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


# ---- what cannot be read ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, message",
    [
        ("dog +", r"nothing follows the '\+'"),
        ("dog -", "nothing follows the '-'"),
        ("-", "nothing follows the '-'"),
        ("dog + - cat", r"nothing follows the '\+'"),
        (["dog", "+", "", "-", "cat"], r"nothing follows the '\+'"),
        ("0:dog", "'0' is no weight in '0:dog'"),
        ("nan:dog", "'nan' is no weight"),
        ("-inf:dog", "'-inf' is no weight"),
        ("1e400:dog", "'1e400' is no weight"),
        ("1001:dog", "from 0.001 to 1,000"),
        ("2,5:dog", "'2,5' is no weight"),
        ("1.2.3:dog", "'1.2.3' is no weight"),
        ("9" * 500 + ":dog", "9…' is no weight"),
        ("2:", "nothing to search for in '2:'"),
        ("cat + 2:", "nothing to search for in '2:'"),
        ('""', "nothing to search for"),
        ('2:""', "nothing to search for"),
        ("a + " * MOST_TERMS + "a", f"at most {MOST_TERMS} terms, but this has {MOST_TERMS + 1}"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_query(text)
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


def test_the_largest_query_is_read():
    assert len(read("a + " * (MOST_TERMS - 1) + "a")) == MOST_TERMS


@pytest.mark.parametrize("texts", [[3], ["dog", None], [b"dog"]])
def test_what_is_no_string_is_told(texts):
    with pytest.raises(TypeError, match="a query is a string or a list of strings"):
        parse_query(texts)


# ---- queries made in code --------------------------------------------------------------------


def test_the_text_of_a_query():
    assert parse_query("2:a dog").text == "a dog"
    assert parse_query("- a dog").text is None
    assert parse_query("dog + cat").text is None
    assert Query([Term(1, Path("a.jpg"))]).text is None
    assert Query([]).text is None


def test_queries_with_images_are_compared_and_written():
    image, other = np.zeros((3, 4, 4), np.uint8), np.ones((3, 4, 4), np.uint8)
    query = Query([Term(1.0, image), Term(-2.0, "snow")])
    assert query == Query((Term(1.0, image), Term(-2.0, "snow")))
    assert query != Query([Term(1.0, other), Term(-2.0, "snow")])
    assert Term(1.0, "dog") != Term(2.0, "dog")
    assert Term(1.0, "a.jpg") != Term(1.0, Path("a.jpg"))
    assert Term(1.0, "dog") != "dog"
    assert str(query) == "(image) - 2:snow"


def test_paths_are_written_as_paths():
    assert str(Query([Term(1.0, Path("a.jpg"))])) == "./a.jpg"
    assert str(Query([Term(1.0, Path("a - b"))])) == '"./a - b"'
    absolute = Path(os.path.abspath("a.jpg"))
    assert str(Query([Term(2.0, absolute)])) == f"2:{absolute}"
