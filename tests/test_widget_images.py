"""The retrieval widget without a browser: images, their details and names, files that are gone."""

import base64
import html
import io

import numpy as np
import pytest
from PIL import Image
from widget_parts import NAMES, read_cards

from clipnb import ImageIndex, RetrievalWidget
from clipnb.widgets import cards
from clipnb.widgets.accessible import LIVE, OWN_KEYS
from clipnb.widgets.images import format_image

# ---- details ---------------------------------------------------------------------------------


def test_details_show_captions_and_why(widget, index):
    assert widget.details.layout.display == "none"
    widget.cards[1].open.click()
    assert widget.details.layout.display is None
    text = widget.details.text.value
    nearest = index.search_captions(index.feature(widget.hits[1].image_id), 5)
    for hit in nearest:
        assert html.escape(hit.caption) in text
    assert ">dog</th>" in text
    assert "<img" in widget.details.figure.value
    widget.details.region.value = True
    assert widget.details.figure.value.count("<img") == 2
    widget.details.close_it.click()
    assert widget.details.layout.display == "none"


def test_a_new_search_hides_the_details(widget):
    widget.cards[0].open.click()
    widget.query.value = "boat"
    assert widget.details.layout.display == "none"


def test_details_of_a_search_by_image_explain_no_words(widget):
    widget.cards[0].pick.click()
    widget.cards[0].open.click()
    assert "Why this one" not in widget.details.text.value


@pytest.mark.parametrize("wrong", ["5000:dog", "./none.jpg", "dog - dog"])
def test_details_after_a_wrong_query_are_those_of_what_is_shown(widget, wrong):
    widget.cards[0].open.click()
    text = widget.details.text.value
    widget.query.value = wrong
    assert widget.details.layout.display == "none"
    widget.cards[0].open.click()
    assert widget.details.layout.display is None
    assert widget.details.text.value == text


# ---- files that are gone ---------------------------------------------------------------------


@pytest.fixture
def on_disk(index, tmp_path):
    """The same images as files, which the index reads when they are shown."""
    paths = [tmp_path / name for name in index.image_ids]
    for path, image in zip(paths, index.images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    return ImageIndex(
        index.model,
        index.tokenizer,
        index.image_features,
        image_ids=index.image_ids,
        paths=paths,
    )


def test_a_file_that_is_gone_is_told_on_its_card_until_it_is_back(on_disk, monkeypatch):
    gone = on_disk.search("a red dog", 3)[1].image_id
    path = on_disk.paths[on_disk.row[gone]]
    content = path.read_bytes()
    path.unlink()
    widget = RetrievalWidget(on_disk, "a red dog", k=3)
    told = ["This file is gone." in text for text in read_cards(widget)]
    assert told == [False, True, False]
    widget.cards[1].open.click()
    assert widget.details.layout.display == "none"
    assert gone in widget.status.value and "<img" not in widget.status.value
    widget.cards[1].pick.click()
    assert len(widget.hits) == 3, "its feature is known all the same"
    widget.back.click()
    path.write_bytes(content)
    widget.show_again()
    assert "This file is gone." not in "".join(read_cards(widget))


def test_a_file_that_vanishes_later_is_told_in_the_status(on_disk):
    widget = RetrievalWidget(on_disk, "a red dog", k=3)
    on_disk.paths[on_disk.row[widget.hits[0].image_id]].unlink()
    widget.cards[0].open.click()
    assert widget.details.layout.display is None, "the thumbnail is still there"
    widget.details.region.value = True
    assert widget.hits[0].image_id in widget.details.figure.value


def test_images_without_captions_have_the_names_of_their_files(index):
    names = [f"<i>/{i}.jpg" for i in range(len(NAMES))]
    plain = ImageIndex(
        index.model, index.tokenizer, index.image_features, None, index.images, names
    )
    widget = RetrievalWidget(plain, "a red dog", k=3)
    for hit, text in zip(widget.hits, read_cards(widget), strict=True):
        assert hit.image_id.removeprefix("<i>/") in text
        assert "<i>/" not in text
    widget.cards[0].open.click()
    widget.cards[0].pick.click()
    widget.options.map_it.value = True
    assert len(widget.hits) == 3


# ---- what goes over the wire -----------------------------------------------------------------


def test_an_image_is_sent_once(widget):
    pictures = {}
    for query in ["a red dog", "blue boat", "tree", "a red dog"] * 2:
        widget.query.value = query
        for hit, card in zip(widget.hits, widget.cards, strict=False):
            picture = pictures.setdefault(hit.image_id, card.children[-1])
            assert card.children[-1] is picture


def test_images_shown_long_ago_are_forgotten(widget, monkeypatch):
    monkeypatch.setattr(cards, "MOST_PICTURES", 4)
    for query in NAMES:
        widget.query.value = query
        assert len(widget.gallery.pictures.widgets) <= 4
        assert all(card.children[-1].comm is not None for card in widget.gallery.children)


# ---- readers who listen ----------------------------------------------------------------------


def test_the_buttons_over_the_images_have_their_captions_as_names(widget):
    widget.k.value = len(NAMES)
    names = [card.pick.description for card in widget.gallery.children]
    for name, hit in zip(names, widget.hits, strict=True):
        assert hit.caption.strip(" .") in name
    assert len(set(names)) == len(NAMES)


def test_the_status_is_a_live_region_and_the_helper_comes_first(widget):
    assert LIVE in widget.status._dom_classes
    assert OWN_KEYS in widget._dom_classes
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
