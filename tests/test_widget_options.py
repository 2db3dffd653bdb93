"""The retrieval widget without a browser: models, bars, templates, more images, the history."""

import dataclasses

import pytest
import torch
from widget_parts import NAMES, read_cards

from clipnb import RECIPES, CaptionDataset, ImageIndex, RetrievalWidget, create_model
from clipnb.widgets import history

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
