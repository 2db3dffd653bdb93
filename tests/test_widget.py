"""The retrieval widget without a browser: traits are set and buttons clicked.

tests/test_browser.py looks at it as a reader does.
"""

import dataclasses

import numpy as np
import pytest
import torch

from clipnb import (
    RECIPES,
    CaptionDataset,
    ImageIndex,
    RetrievalWidget,
    create_model,
    train_tokenizer,
)

NAMES = [
    "red dog",
    "blue boat",
    "green tree",
    "white cat",
    "black car",
    "yellow kite",
    '<b>bold</b> & "fish"',
    "purple ball",
]


@pytest.fixture(scope="module")
def index():
    """Eight plain coloured images with three captions each, encoded by an untrained model."""
    colours = np.random.default_rng(0).integers(256, size=(len(NAMES), 3, 1, 1), dtype=np.uint8)
    images = colours.repeat(32, axis=2).repeat(32, axis=3)  # (8, 3, 32, 32)
    captions = [[f"a {name} .", f"{name} on the grass", name] for name in NAMES]
    image_ids = [f"{i}.png" for i in range(len(NAMES))]
    dataset = CaptionDataset("toy", "test", images, captions, image_ids)
    tokenizer = train_tokenizer([text for own in captions for text in own], vocab_size=200)
    torch.manual_seed(0)
    model = create_model(dataclasses.replace(RECIPES["quick"], vocab_size=200, embed_dim=16))
    return ImageIndex.build(model, tokenizer, dataset)


@pytest.fixture
def widget(index):
    return RetrievalWidget(index, "a red dog", k=3)


def read_cards(widget):
    """Return the HTML of the visible cards."""
    return [card.text.value for card in widget.gallery.children]


# ---- queries ---------------------------------------------------------------------------------


def test_it_starts_with_the_images_of_its_query(widget, index):
    assert widget.hits == index.search("a red dog", 3)
    assert "a red dog" in widget.status.value
    cards = read_cards(widget)
    assert len(cards) == 3
    for hit, text in zip(widget.hits, cards, strict=True):
        assert f"{hit.score:.2f}" in text
        assert "data:image/png;base64," in text


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


def test_a_very_long_query_does_no_harm(widget):
    widget.query.value = "dog " * 5000
    assert len(widget.hits) == 3


def test_the_whole_of_unicode_does_no_harm(widget):
    widget.query.value = "".join(map(chr, range(1, 0xD800, 7)))
    assert len(widget.hits) in (0, 3)


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


# ---- clicks ----------------------------------------------------------------------------------


def test_a_click_searches_by_the_image_and_leaves_it_out(widget, index):
    clicked = widget.hits[1].image_id
    widget.cards[1].pick.click()
    found = index.search(index.image(clicked), 4)
    assert found[0].image_id == clicked
    assert found[0].score == pytest.approx(1)
    assert widget.hits == found[1:]
    assert len(read_cards(widget)) == 3
    assert widget.query.value == ""
    assert "<img" in widget.status.value, "the status does not show the image"


def test_k_searches_by_the_clicked_image_again(widget, index):
    clicked = widget.hits[1].image_id
    widget.cards[1].pick.click()
    widget.k.value = 5
    assert widget.hits == index.search(index.image(clicked), 6)[1:]
    widget.k.value = len(NAMES)
    assert len(widget.hits) == len(NAMES) - 1


def test_clicks_can_follow_each_other_and_typing_ends_them(widget, index):
    for _ in range(3):
        widget.cards[0].pick.click()
    widget.query.value = "a red dog"
    assert widget.hits == index.search("a red dog", 3)
    widget.query.value = ""
    assert widget.hits == []
    assert read_cards(widget) == []


# ---- the rest --------------------------------------------------------------------------------


def test_cards_are_used_again(widget):
    cards = list(widget.cards)
    for query in ("a", "a r", "a red"):
        widget.query.value = query
    assert widget.cards == cards, "new widgets for every letter would pile up in the browser"


def test_its_repr_is_short_and_stable(widget, index):
    assert repr(widget) == repr(RetrievalWidget(index)) == "RetrievalWidget(8 images)"
