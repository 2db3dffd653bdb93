"""The retrieval widget without a browser: clicks on images, and images added and subtracted."""

import pytest
from PIL import Image
from widget_parts import NAMES, read_cards

from clipnb import ImageIndex, RetrievalWidget

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


def test_a_click_on_a_card_that_was_hidden_does_nothing(widget):
    widget.query.value = ""
    assert widget.hits == []
    for name in ("pick", "add", "subtract", "open"):
        widget.act(name, 2)
    assert widget.hits == []
