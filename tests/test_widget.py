"""The retrieval widget without a browser: traits are set and buttons clicked.

tests/test_browser.py looks at it as a reader does.
"""

import base64
import dataclasses
import html
import io
import re

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
from clipnb.search.negation import explain_negation
from clipnb.widgets import cards, history
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
    """Return the HTML of the visible cards, images included."""
    return [card.text.value + card.children[-1].value for card in widget.gallery.children]


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


# ---- clicks ----------------------------------------------------------------------------------


def test_a_click_searches_by_the_image_and_leaves_it_out(widget, index):
    clicked = widget.hits[1].image_id
    widget.cards[1].pick.click()
    found = index.search(index.feature(clicked), 4)
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
    assert widget.hits == index.search(index.feature(clicked), 6)[1:]
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


def test_typing_after_a_click_keeps_the_way_back(widget):
    widget.cards[1].pick.click()
    hits = widget.hits
    for text in ("b", "blue", "blue boat"):
        widget.query.value = text
    widget.back.click()
    assert widget.hits == hits, "letters that are typed quickly are one search"
    widget.back.click()
    assert widget.query.value == "a red dog"
    widget.forward.click()
    widget.forward.click()
    assert widget.query.value == "blue boat"
    assert widget.forward.disabled


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


# ---- plus and minus --------------------------------------------------------------------------


def test_words_and_images_are_added_and_subtracted(widget, index):
    added, subtracted = widget.hits[0].image_id, widget.hits[1].image_id
    widget.cards[0].add.click()
    i = [hit.image_id for hit in widget.hits].index(subtracted)
    widget.cards[i].subtract.click()
    vector = index.encode("a red dog") + index.feature(added) - index.feature(subtracted)
    found = [hit.image_id for hit in index.search(vector, 5)]
    expected = [image_id for image_id in found if image_id not in (added, subtracted)][:3]
    assert [hit.image_id for hit in widget.hits] == expected
    assert "“a red dog” +" in widget.status.value
    assert "− <img" in widget.status.value
    assert widget.query.value == "a red dog", "the words stay in the box"
    widget.only_text.click()
    assert widget.hits == index.search("a red dog", 3)
    assert widget.only_text.layout.display == "none"


def test_the_box_understands_the_grammar(widget, index):
    widget.query.value = "2:dog + boat - tree"
    vector = 2 * index.encode("dog") + index.encode("boat") - index.encode("tree")
    assert [hit.image_id for hit in widget.hits] == [h.image_id for h in index.search(vector, 3)]
    assert "2 × “dog” + “boat” − “tree”" in widget.status.value


@pytest.mark.parametrize("text", ["a red dog +", "a red dog -", "a red dog + "])
def test_a_term_that_is_not_typed_yet_changes_nothing(widget, index, text):
    widget.query.value = text
    assert widget.hits == index.search("a red dog", 3)


@pytest.mark.parametrize(
    "text, told",
    [
        ("5000:dog", "no weight"),
        ("./<b>none</b>.jpg", "no image file"),
        ("dog + - cat", "nothing"),
        ("dog - dog", "cancel each other"),
    ],
)
def test_a_query_that_is_wrong_is_told_in_one_line_and_nothing_is_lost(widget, text, told):
    hits = widget.hits
    widget.query.value = text
    assert told in widget.status.value
    assert "<b>" not in widget.status.value
    assert widget.hits == hits


def test_words_with_a_sign_join_an_image_that_was_clicked(widget, index):
    clicked = widget.hits[0].image_id
    widget.cards[0].pick.click()
    widget.query.value = "- boat"
    vector = index.feature(clicked) - index.encode("boat")
    found = [hit.image_id for hit in index.search(vector, 4) if hit.image_id != clicked]
    assert [hit.image_id for hit in widget.hits] == found[:3]


def test_words_join_an_own_image(widget, index):
    image = Image.fromarray(index.images[2].transpose(1, 2, 0))
    widget.take_image("<b>.png", image)
    assert widget.hits == index.search(image, 4)[:3]
    assert "&lt;b&gt;" in widget.status.value
    widget.query.value = "boat"
    assert widget.hits[0].image_id in [hit.image_id for hit in index.search("boat", 8)]
    assert "“boat” + <img" in widget.status.value
    widget.back.click()
    widget.back.click()
    assert widget.query.value == "a red dog"


def test_an_own_file_that_is_no_image_loses_nothing(widget):
    hits = widget.hits
    widget.options.own.receive("a.jpg", b"no image")
    assert "cannot be searched by" in widget.status.value
    assert widget.hits == hits


# ---- models, temperature and templates -------------------------------------------------------


@pytest.fixture(scope="module")
def other(index):
    """An index of the same images in another order by another model."""
    torch.manual_seed(1)
    model = create_model(dataclasses.replace(RECIPES["quick"], vocab_size=200, embed_dim=8))
    dataset = CaptionDataset(
        "toy", "test", index.images[::-1].copy(), index.captions[::-1], index.image_ids[::-1]
    )
    return ImageIndex.build(model, index.tokenizer, dataset)


def test_a_switch_searches_with_another_model(index, other):
    widget = RetrievalWidget(index, "a red dog", k=3, others={"untrained": other})
    assert widget.which in widget.children
    widget.which.value = "untrained"
    assert widget.hits == other.search("a red dog", 3)
    pictures = {
        hit.image_id: widget.gallery.pictures.get(hit.image_id).value for hit in widget.hits
    }
    for image_id, tag in pictures.items():
        assert tag == RetrievalWidget(index, "x").gallery.format_picture(image_id)
    widget.cards[0].pick.click()
    assert widget.hits == other.search(other.feature(widget.asked.parts[0].image_id), 4)[1:]
    widget.which.value = "this model"
    assert widget.hits[0].score == pytest.approx(
        float(
            index.feature(widget.hits[0].image_id) @ index.feature(widget.asked.parts[0].image_id)
        )
    )


def test_an_index_of_other_images_is_refused(index, other):
    fewer = ImageIndex(
        other.model, other.tokenizer, other.image_features[:7], image_ids=other.image_ids[:7]
    )
    with pytest.raises(ValueError, match="'untrained' holds other images"):
        RetrievalWidget(index, others={"untrained": fewer})


def test_the_bars_can_show_the_softmax(widget, index):
    scale = index.model.logit_scale.exp().item()
    assert widget.options.temperature.value == pytest.approx(1 / scale, rel=0.05)
    widget.options.bars.value = "softmax"
    for temperature in (1.0, 0.01):
        widget.options.temperature.value = temperature
        scores = torch.tensor([hit.score for hit in widget.hits])
        shares = (scores / temperature).softmax(dim=0)
        for share, text in zip(shares.tolist(), read_cards(widget), strict=True):
            assert f"<b>{100 * share:.0f} %</b>" in text
    widget.options.bars.value = "cosine"
    assert f"<b>{widget.hits[0].score:.2f}</b>" in read_cards(widget)[0]


def test_a_template_is_put_around_each_text(widget, index):
    widget.options.template.value = "a {} on the grass"
    assert widget.hits == index.search("a a red dog on the grass", 3)
    widget.query.value = "dog - boat"
    vector = index.encode("a dog on the grass") - index.encode("a boat on the grass")
    assert [hit.image_id for hit in widget.hits] == [h.image_id for h in index.search(vector, 3)]


def test_a_template_without_a_place_for_the_text_is_told(widget, index):
    widget.options.template.value = "{0} <b>"
    assert widget.hits == index.search("a red dog", 3)
    assert "The template is not used, because it has no {}." in widget.status.value
    for template in ("", "  ", "a {}"):
        widget.options.template.value = template
        assert "not used" not in widget.status.value


# ---- nothing matches, more images, history ---------------------------------------------------


def test_nothing_here_matches_is_said_first(widget, index, monkeypatch):
    monkeypatch.setattr(index, "has_match", lambda query: query == "a red dog")
    widget.query.value = "a <b>boat</b>"
    assert widget.status.value.startswith("<b>Nothing here matches “a &lt;b&gt;")
    assert "clipnb-unsure" in widget.gallery._dom_classes
    assert len(widget.hits) == 3, "the nearest are shown all the same"
    widget.query.value = "a red dog"
    assert "Nothing here" not in widget.status.value
    assert "clipnb-unsure" not in widget.gallery._dom_classes


def test_more_images_come_a_page_at_a_time(widget):
    assert [len(widget.hits), widget.more.layout.display] == [3, None]
    cards = list(widget.cards)
    widget.more.click()
    assert len(widget.hits) == len(read_cards(widget)) == 6
    assert widget.cards[:3] == cards
    widget.more.click()
    assert [len(widget.hits), widget.more.layout.display] == [8, "none"]
    widget.query.value = "boat"
    assert len(widget.hits) == 3, "a new query starts with the first page"


def test_the_history_lists_searches_and_goes_to_them(widget, index):
    widget.search("blue boat")
    widget.cards[0].pick.click()
    named = [label for label, _ in widget.options.history.options]
    assert named[2:] == ["blue boat", "a red dog"]
    assert named[1].startswith("[")
    widget.options.history.value = 0
    assert widget.hits == index.search("a red dog", 3)
    assert widget.options.history.value == -1
    widget.forward.click()
    assert widget.query.value == "blue boat"


def list_names(widget):
    """Return the names in the history, after its title."""
    return [label for label, _ in widget.options.history.options[1:]]


def test_the_history_forgets_what_lay_ahead(widget):
    widget.search("blue boat")
    widget.back.click()
    widget.search("green tree")
    assert list_names(widget) == ["green tree", "a red dog"]


def test_the_history_names_a_text_as_it_was_typed_to_the_end(widget):
    for text in ("d", "do", "dog"):
        widget.query.value = text
    assert list_names(widget)[0] == "dog"


def test_a_full_history_goes_on(widget, monkeypatch):
    monkeypatch.setattr(history, "MOST_KEPT", 3)
    for name in NAMES[:5]:
        widget.search(name)
    assert list_names(widget) == NAMES[4:1:-1]
    widget.options.history.value = 0
    assert widget.query.value == NAMES[2]
    assert widget.options.history.value == -1


def test_a_text_that_was_looked_at_stays_in_the_history(widget, monkeypatch):
    monkeypatch.setattr(history, "SETTLED", -1)
    widget.query.value = "boat"
    widget.query.value = "tree"
    assert [str(asked) for asked in widget.past.entries] == ["a red dog", "boat", "tree"]


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
