"""A published model in the widgets: search, prompts, the game, the map and the sentence lens."""

import numpy as np
import pytest
import torch

from clipnb import CaptionDataset, ImageIndex, PhotoFolder, PromptLab, RetrievalWidget
from clipnb.search.explain import leave_one_out
from clipnb.widgets.collection_map import CollectionMap
from clipnb.widgets.game import MatchingGame
from clipnb.widgets.sentence import SentenceLens


@pytest.fixture
def index(pretrained, wide_photos):
    return ImageIndex.build(pretrained.model, pretrained.tokenizer, PhotoFolder(wide_photos))


def make_dataset(n=30):
    """Images with one caption each, of three kinds that the model cannot tell apart."""
    images = np.random.default_rng(0).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    captions = [[f"a {['red dog', 'blue cat', 'green boat'][i % 3]} number {i}"] for i in range(n)]
    return CaptionDataset("toy", "test", images, captions, [f"{i}.png" for i in range(n)])


@pytest.fixture
def captioned(pretrained):
    return ImageIndex.build(pretrained.model, pretrained.tokenizer, make_dataset())


def test_the_search_widget(index, wide_photos):
    widget = RetrievalWidget(index)
    widget.query.value = "a red dog"
    assert len(widget.hits) == 6
    assert "Nothing here matches" not in widget.status.value
    assert "This model does not know" not in widget.status.value
    expected = 1 / index.model.logit_scale.exp().item()
    assert widget.options.temperature.value == pytest.approx(expected, rel=0.05)
    widget.options.bars.value = "softmax"
    assert sum(widget._share_out()) == pytest.approx(1)
    widget.open_details(0)
    assert "loses without each word" in widget.details.text.value
    widget.details.region.value = True
    assert "Orange parts raise" in widget.details.figure.value
    widget.options.template.value = "a photo of a {}"
    assert len(widget.hits) == 6
    widget.options.map_it.value = True
    assert widget.options.map_place.children


def test_an_own_image_goes_through_the_models_preprocessing(index, wide_photos):
    widget = RetrievalWidget(index)
    widget.options.own.receive("4.jpg", (wide_photos / "4.jpg").read_bytes())
    assert widget.hits[0].image_id == "4.jpg"
    assert widget.hits[0].score == pytest.approx(1, abs=2e-3), "cropped as the index was"


def test_a_word_in_pieces_is_not_called_unknown(index):
    widget = RetrievalWidget(index)
    widget.query.value = "a quaggaraptor and a yelow dog "
    told = widget.status.value
    assert "spells the word “quaggaraptor” in pieces; the model may know it." in told
    assert "“yelow” in pieces; the model may know it; did you mean “yellow”?" in told
    assert "does not know" not in told and "means little" not in told


def test_the_prompt_laboratory(pretrained):
    images = make_dataset().images
    truth = ["dog", "cat", "boat"] * 10
    lab = PromptLab(pretrained.model, pretrained.tokenizer, images, truth, ["dog", "cat", "boat"])
    assert 0 <= lab.accuracy <= 100
    lab.templates.value = "a photo of a {}"
    assert lab.accuracy is not None
    lab.classes.value = "quaggaraptor, cat, boat"
    assert "CLIP&#x27;s vocabulary spells “quaggaraptor” in pieces" in lab.status.value
    assert "means nothing" not in lab.status.value


def test_the_game_and_the_map(captioned):
    game = MatchingGame(captioned)
    for choice in game.choices:
        choice.value = "A"
    game.compare.click()
    assert "the model" in game.status.value
    collection = CollectionMap(captioned)
    assert collection.describe()["cells"]
    collection.pick(*next(iter(collection.layout_of_images.cells)))
    assert "Nearest to" in collection.found.value


def test_the_sentence_lens(pretrained):
    dataset = make_dataset()
    captions = [own[0] for own in dataset.captions]
    model = pretrained.model
    lens = SentenceLens(model, pretrained.tokenizer, dataset.images, captions, "a red dog")
    assert lens.tokens == ["[SOS]", "a", "red", "dog", "[EOS]"]
    assert "[EOS] stays, because the text is read there" in lens.results.value
    assert lens.weights[-1] == 0 and lens.weights[:-1].abs().min() > 0
    assert lens.attention.triu(diagonal=1).abs().max() == 0, "no token sees those after it"
    torch.testing.assert_close(lens.attention.sum(dim=1), torch.ones(5))
    lens.sentence.value = "a red dog " * 20
    assert len(lens.tokens) == 20 and lens.tokens[-1] == "[EOS]"


def test_a_token_left_out_is_left_out_before_the_end(pretrained):
    model, tokenizer = pretrained.model, pretrained.tokenizer
    feature = torch.nn.functional.normalize(torch.randn(24), dim=0)
    tokens = tokenizer(["a red dog"])
    whole, without = (
        model.encode_text(tokenizer([text]), normalize=True)[0] @ feature
        for text in ("a red dog", "a dog")
    )
    with torch.no_grad():
        losses = leave_one_out(model, tokens, feature)
    assert losses[2].item() == pytest.approx((whole - without).item(), abs=1e-5)
