"""The retrieval widget without a browser: traits are set and buttons clicked.

tests/test_browser.py looks at it as a reader does.
"""

import base64
import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

from clipnb import (
    RECIPES,
    CaptionDataset,
    ImageIndex,
    RetrievalWidget,
    create_model,
    train_tokenizer,
)
from clipnb.widgets.accessible import LIVE, OWN_KEYS
from clipnb.widgets.images import format_image

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
    "query, line",
    [
        ("a zebra", "never read the word “zebra”."),
        ("zebra", "never read the word “zebra”, so this order means little."),
        ("quantum chromodynamics", "the words “quantum”, “chromodynamics”, so this order"),
        ("a Zebra, a QUAGGA: a dog", "the words “zebra”, “quagga”."),
        ("unicorn xylophone zeppelin quagga zebra", "“xylophone”, “zeppelin” and 2 more, so"),
    ],
)
def test_unknown_words_are_told(widget, query, line):
    widget.query.value = query
    assert line in widget.status.value
    assert len(widget.hits) == 3


@pytest.mark.parametrize("query", ["a red dog", "dog, boat!", "dog's 2 boat's", "a red do"])
def test_known_words_and_words_being_typed_are_not_told(widget, query):
    widget.query.value = query
    assert "never read" not in widget.status.value


def test_an_unfinished_word_is_told_once_it_is_finished(widget):
    widget.query.value = "a red do "
    assert "never read the word “do”" in widget.status.value


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
    caption = index.captions[index.row[clicked]]
    assert any(text.strip(" .") in widget.status.value for text in caption)


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


def test_back_returns_to_the_text_and_to_images(widget, index):
    assert widget.back.disabled
    text_hits, text_status = widget.hits, widget.status.value
    widget.cards[1].pick.click()
    image_hits, image_status = widget.hits, widget.status.value
    widget.cards[0].pick.click()
    assert widget.hits != image_hits
    widget.back.click()
    assert (widget.hits, widget.status.value) == (image_hits, image_status)
    assert widget.query.value == ""
    assert not widget.back.disabled
    widget.back.click()
    assert (widget.hits, widget.status.value) == (text_hits, text_status)
    assert widget.query.value == "a red dog"
    assert widget.back.disabled
    widget.go_back()
    assert widget.hits == text_hits


def test_typing_forgets_the_way_back(widget):
    widget.cards[1].pick.click()
    widget.query.value = "blue boat"
    assert widget.back.disabled


def test_an_index_of_one_image(index):
    one = ImageIndex(
        index.model,
        index.tokenizer,
        index.image_features[:1],
        index.text_features[:1],
        index.images[:1],
        index.image_ids[:1],
        index.captions[:1],
    )
    widget = RetrievalWidget(one, "dog")
    assert "1 of 1 images" in widget.status.value
    widget.cards[0].pick.click()
    assert widget.hits == []
    assert widget.status.value == "The index holds no other image."
    widget.back.click()
    assert len(widget.hits) == 1


# ---- readers who listen ----------------------------------------------------------------------


def test_the_buttons_over_the_images_have_their_captions_as_names(widget):
    widget.k.value = len(NAMES)
    names = [card.pick.description for card in widget.gallery.children]
    for name, hit in zip(names, widget.hits, strict=True):
        assert hit.caption.strip(" .") in name
    assert len(set(names)) == len(NAMES)


def test_the_status_is_a_live_region_and_the_helper_comes_first(widget):
    assert LIVE in widget.status._dom_classes
    assert OWN_KEYS in widget.gallery._dom_classes
    helper = widget.children[0]
    assert helper.value.startswith("<style onload=")
    assert helper.layout.display == "none"
    assert widget.k.description == "images"


# ---- the rest --------------------------------------------------------------------------------


def test_cards_are_used_again(widget):
    cards = list(widget.cards)
    for query in ("a", "a r", "a red"):
        widget.query.value = query
    assert widget.cards == cards, "new widgets for every letter would pile up in the browser"


@pytest.mark.parametrize("side, shown", [(8, 8), (64, 64), (276, 276), (500, 276)])
def test_images_are_sent_small(side, shown):
    noise = np.random.default_rng(0).integers(256, size=(3, 8, 8), dtype=np.uint8)
    image = np.kron(noise, np.ones((1, side // 8 + 1, side // 8 + 1), np.uint8))[:, :side, :side]
    text = format_image(image, '"a" <dog>')
    assert 'alt="&quot;a&quot; &lt;dog&gt;"' in text
    data = base64.b64decode(text.split("base64,")[1].split('"')[0])
    decoded = Image.open(io.BytesIO(data))
    assert decoded.format == "WEBP"
    assert decoded.size == (shown, shown)
    if side == 64:
        near = np.asarray(decoded.convert("RGB"), float).transpose(2, 0, 1)
        assert np.abs(near - image).mean() < 20
        assert len(data) < 4000


def test_larger_images_can_be_shown_in_place_of_the_models(index):
    large = np.zeros((len(NAMES), 3, 64, 64), dtype=np.uint8)
    widget = RetrievalWidget(index, "a red dog", k=1, shown=large)
    assert format_image(large[0]) in read_cards(widget)[0]
    widget.cards[0].pick.click()
    assert len(widget.hits) == 1, "a search by image uses the model's own images"


def test_its_repr_is_short_and_stable(widget, index):
    assert repr(widget) == repr(RetrievalWidget(index)) == "RetrievalWidget(8 images)"
