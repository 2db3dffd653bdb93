"""The retrieval widget without a browser: traits set and buttons clicked. tests/test_browser.py looks at it as a reader does."""

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
    images = colours.repeat(32, axis=2).repeat(32, axis=3)
    captions = [[f"a {name} .", f"{name} on the grass", name] for name in NAMES]
    dataset = CaptionDataset(
        "toy", "test", images, captions, [f"{i}.png" for i in range(len(NAMES))]
    )
    tokenizer = train_tokenizer([c for three in captions for c in three], vocab_size=200)
    torch.manual_seed(0)
    model = create_model(dataclasses.replace(RECIPES["quick"], vocab_size=200, embed_dim=16))
    return ImageIndex.build(model, tokenizer, dataset)


@pytest.fixture
def widget(index):
    return RetrievalWidget(index, "a red dog", k=3)


def display_path(widget):
    """What the visible cards say."""
    return [card.text.value for card in widget.gallery.children]


def test_it_starts_with_the_images_of_its_query(widget, index):
    assert widget.hits == index.search("a red dog", 3)
    assert len(display_path(widget)) == 3 and "a red dog" in widget.status.value
    for hit, text in zip(widget.hits, display_path(widget)):
        assert f"{hit.score:.2f}" in text and "data:image/png;base64," in text


def test_typing_changes_the_images(widget, index):
    before = display_path(widget)
    widget.query.value = "blue boat"
    assert (
        widget.hits == index.search("blue boat", 3)
        and display_path(widget) != before
        and "blue boat" in widget.status.value
    )


def test_k_changes_how_many(widget, index):
    for k in 1, len(NAMES):
        widget.k.value = k
        assert len(widget.hits) == len(display_path(widget)) == k


@pytest.mark.parametrize("k, start", [(0, 1), (-5, 1), (3, 3), (100, len(NAMES))])
def test_k_stays_within_the_collection(index, k, start):
    widget = RetrievalWidget(index, "dog", k=k)
    assert widget.k.value == len(widget.hits) == start
    widget.k.value = 1000
    assert widget.k.value == widget.k.max == len(widget.hits) == len(NAMES)
    widget.k.value = 0
    assert widget.k.value == len(widget.hits) == 1


def test_most_bounds_k(index):
    assert RetrievalWidget(index, "dog", k=100, most=4).k.value == 4


def test_a_click_searches_by_the_image_and_leaves_it_out(widget, index):
    clicked = widget.hits[1].image_id
    widget.cards[1].pick.click()
    found = index.search(index.image(clicked), 4)
    assert found[0].image_id == clicked and found[0].score == pytest.approx(1)
    assert widget.hits == found[1:] and len(display_path(widget)) == 3
    assert widget.query.value == "" and "<img" in widget.status.value, (
        "the question is now the image, and it is shown"
    )
    widget.k.value = 5
    assert widget.hits == index.search(index.image(clicked), 6)[1:], (
        "k asks the same question again"
    )
    widget.k.value = len(NAMES)
    assert len(widget.hits) == len(NAMES) - 1


def test_clicks_can_follow_each_other_and_typing_ends_them(widget, index):
    for _ in range(3):
        widget.cards[0].pick.click()
    widget.query.value = "a red dog"
    assert widget.hits == index.search("a red dog", 3)
    widget.query.value = ""
    assert widget.hits == [] and display_path(widget) == []


@pytest.mark.parametrize("query", ["", "   ", "\t\n"])
def test_an_empty_query_asks_for_words(widget, query):
    widget.search(query)
    assert (
        widget.hits == []
        and display_path(widget) == []
        and "Type a few words" in widget.status.value
    )


@pytest.mark.parametrize("query", ["собака", "犬", "🐕", "ℵ"])
def test_an_unknown_script_is_answered(widget, query):
    widget.query.value = query
    assert widget.hits == [] and query in widget.status.value and "no word" in widget.status.value
    widget.query.value = "dog"
    assert len(widget.hits) == 3, "and the next query works again"


def test_captions_and_queries_cannot_inject_html(widget):
    widget.k.value = len(NAMES)
    for attack in "<img src=x onerror=alert(1)>", '"><script>', "<b>bold</b>":
        widget.query.value = attack
        everything = "".join([widget.status.value, *display_path(widget)])
        assert attack not in everything and "<script" not in everything
    assert any(
        "&lt;b&gt;bold&lt;/b&gt; &amp; &quot;fish&quot;" in text for text in display_path(widget)
    )


def test_a_very_long_query_and_the_whole_of_unicode_do_no_harm(widget):
    for query in "dog " * 5000, "".join(map(chr, range(1, 0xD800, 7))):
        widget.query.value = query
        assert len(widget.hits) in (0, 3)


def test_cards_are_reused(widget):
    cards = list(widget.cards)
    for query in "a", "a r", "a red":
        widget.query.value = query
    assert widget.cards == cards, "new widgets for every letter would pile up in the browser"


def test_its_repr_is_short_and_stable(widget, index):
    assert repr(widget) == repr(RetrievalWidget(index)) == "RetrievalWidget(8 images)"
