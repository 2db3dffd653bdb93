"""The retrieval widget without a browser: what is typed, and the words that are not known.

tests/test_browser_widget.py looks at the widget as a reader does.
"""

import html
import re

import pytest
from PIL import Image
from widget_parts import NAMES, read_cards

from clipnb import RetrievalWidget
from clipnb.search.negation import explain_negation

# ---- queries ---------------------------------------------------------------------------------


def test_it_starts_with_the_images_of_its_query(widget, index):
    assert widget.hits == index.search("a red dog", 3)
    assert "a red dog" in widget.status.value
    cards = read_cards(widget)
    assert len(cards) == 3
    for hit, text in zip(widget.hits, cards, strict=True):
        assert f"{hit.score:.2f}" in text
        assert "data:image/webp;base64," in text


def test_typing_changes_the_images(widget, index):
    before = read_cards(widget)
    widget.query.value = "blue boat"
    assert widget.hits == index.search("blue boat", 3)
    assert read_cards(widget) != before
    assert "blue boat" in widget.status.value


@pytest.mark.parametrize("query", ["", "   ", "\t\n"])
def test_an_empty_query_asks_for_words(widget, query):
    widget.search(query)
    assert widget.hits == []
    assert read_cards(widget) == []
    assert "Type a few words" in widget.status.value


@pytest.mark.parametrize("query", ["собака", "犬", "🐕", "ℵ"])
def test_an_unknown_script_is_answered(widget, query):
    widget.query.value = query
    assert widget.hits == []
    assert query in widget.status.value
    assert "no word" in widget.status.value
    widget.query.value = "dog"
    assert len(widget.hits) == 3, "the next query does not work"


@pytest.mark.parametrize("attack", ["<img src=x onerror=alert(1)>", '"><script>', "<b>bold</b>"])
def test_queries_cannot_inject_html(widget, attack):
    widget.k.value = len(NAMES)
    widget.query.value = attack
    everything = "".join([widget.status.value, *read_cards(widget)])
    assert attack not in everything
    assert "<script" not in everything


def test_captions_cannot_inject_html(widget):
    widget.k.value = len(NAMES)
    escaped = "&lt;b&gt;bold&lt;/b&gt; &amp; &quot;fish&quot;"
    assert any(escaped in text for text in read_cards(widget))


@pytest.mark.parametrize("query", ["dog " * 5000, "dog" * 5000])
def test_a_very_long_query_is_cut_in_the_echo(widget, query):
    widget.query.value = query
    assert len(widget.hits) == 3
    assert len(widget.status.value) < 400
    assert "…" in widget.status.value


def test_half_an_emoji_does_no_harm(widget):
    widget.query.value = "dog \ud83d"
    assert len(widget.hits) == 3


def test_the_whole_of_unicode_does_no_harm(widget):
    widget.query.value = "".join(map(chr, range(1, 0xD800, 7)))
    assert len(widget.hits) in (0, 3)


# ---- words that the model has not learned ----------------------------------------------------


@pytest.mark.parametrize(
    "query, words",
    [
        ("a zebra", ["zebra"]),
        ("quantum chromodynamics", ["quantum", "chromodynamics"]),
        ("a Zebra, a QUAGGA: a dog", ["zebra", "quagga"]),
    ],
)
def test_unknown_words_are_told_and_greyed(widget, query, words):
    widget.query.value = query
    for word in words:
        assert f"does not know the word “{word}”" in widget.status.value
        assert re.search(f'class="clipnb-unknown">{word}<', widget.status.value, re.IGNORECASE)
    assert len(widget.hits) == 3


@pytest.mark.parametrize("query", ["a red dog", "dog, boat!", "dog's 2 boat's", "a red do"])
def test_known_words_and_words_being_typed_are_not_told(widget, query):
    widget.query.value = query
    assert "does not know" not in widget.status.value


def test_an_unfinished_word_is_told_once_it_is_finished(widget):
    widget.query.value = "a red do "
    assert "does not know the word “do”" in widget.status.value


def test_a_misspelt_word_is_corrected_by_a_click(widget, index):
    assert [button.layout.display for button in widget.suggestions.children] == ["none"] * 3
    widget.query.value = "a gren tree"
    first = widget.suggestions.children[0]
    assert first.layout.display is None
    assert "a green tree" in first.description
    first.click()
    assert widget.query.value == "a green tree"
    assert widget.hits == index.search("a green tree", 3)
    assert first.layout.display == "none"
    widget.back.click()
    assert widget.query.value == "a gren tree"


def test_a_negation_is_explained_and_rewritten(widget):
    widget.query.value = "a dog and no cat"
    assert html.escape(explain_negation("a dog and no cat")) in widget.status.value
    widget.suggestions.children[0].click()
    assert widget.query.value == "a dog - cat"
    assert "“a dog” − “cat”" in widget.status.value


@pytest.fixture
def boat_file(tmp_path, monkeypatch):
    """An image file `boaty.jpg` in the current folder."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8), "blue").save("boaty.jpg")
    return "./boaty.jpg"


def test_the_name_of_a_file_is_no_word_of_the_query(widget, boat_file):
    widget.query.value = f"boaty dog + {boat_file} "
    assert "does not know the word “boaty”" in widget.status.value
    assert "know the word “jpg”" not in widget.status.value
    assert "knows no other word" not in widget.status.value
    assert widget.suggestions.texts == ["boat dog + ./boaty.jpg"]
    widget.suggestions.children[0].click()
    assert len(widget.hits) == 3
    assert "does not know" not in widget.status.value


def test_a_word_is_finished_where_something_else_follows_it(widget, boat_file):
    for text in (f"do + {boat_file}", "do +", "do + dog"):
        widget.query.value = text
        assert "does not know the word “do”" in widget.status.value, text
    widget.query.value = "dog + do"
    assert "does not know" not in widget.status.value


def test_a_negation_in_a_sum_is_explained_and_rewritten(widget):
    widget.query.value = "2:dog without cat + boat"
    assert "it looks for “cat” as well" in widget.status.value
    assert widget.suggestions.texts == ["2:dog - cat + boat"]


def test_the_words_of_a_template_are_not_those_of_the_query(widget):
    widget.options.template.value = "a zebra with no {}"
    assert "zebra" not in widget.status.value
    assert widget.suggestions.texts == []


# ---- how many --------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, len(NAMES)])
def test_k_changes_how_many_images_are_shown(widget, k):
    widget.k.value = k
    assert len(widget.hits) == len(read_cards(widget)) == k


@pytest.mark.parametrize("k, start", [(0, 1), (-5, 1), (3, 3), (100, len(NAMES))])
def test_k_stays_within_the_collection(index, k, start):
    widget = RetrievalWidget(index, "dog", k=k)
    assert widget.k.value == len(widget.hits) == start
    widget.k.value = 1000
    assert widget.k.value == widget.k.max == len(widget.hits) == len(NAMES)
    widget.k.value = 0
    assert widget.k.value == len(widget.hits) == 1


def test_most_is_the_largest_k(index):
    assert RetrievalWidget(index, "dog", k=100, most=4).k.value == 4
