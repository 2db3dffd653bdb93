"""The sentence under the lens, driven by its traits as a browser would drive it."""

import dataclasses

import numpy as np
import pytest
import torch

from clipnb import TextTransformer, create_model, train_tokenizer
from clipnb.features import encode_images, encode_texts
from clipnb.widgets.sentence import MOST_TOKENS, SentenceLens
from clipnb.widgets.token_weights import measure_attention

CAPTIONS = ["a red dog on the grass", "a blue cat on the grass", "two green boats at sea"]


def make_lens(recipe, text_encoder):
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    model = create_model(dataclasses.replace(recipe, text_encoder=text_encoder)).eval()
    return SentenceLens(model, train_tokenizer(CAPTIONS, 300), images, CAPTIONS, "a red dog")


@pytest.fixture
def bag(recipe):
    return make_lens(recipe, "bag_of_words")


@pytest.fixture
def transformer(recipe):
    return make_lens(recipe, "transformer")


@pytest.fixture(params=["bag_of_words", "transformer"])
def lens(request, recipe):
    return make_lens(recipe, request.param)


# ---- the numbers -----------------------------------------------------------------------------


def test_attention_is_what_the_module_uses():
    torch.manual_seed(0)
    attention = TextTransformer(50).blocks[0].attention
    x = torch.randn(2, 5, 128)
    values = attention.in_proj(x).chunk(3, dim=-1)[2]  # (2, 5, 128)
    values = values.view(2, 5, 8, 16).transpose(1, 2)  # (2, heads, 5, 16)
    mixed = (measure_attention(attention, x) @ values).transpose(1, 2).reshape(2, 5, 128)
    torch.testing.assert_close(attention.out_proj(mixed), attention(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sentence", ["a red dog", "sea", "a zebra!", ""])
def test_the_cosine_is_that_of_sentence_and_image(lens, sentence):
    lens.sentence.value = sentence
    text = encode_texts(lens.model, lens.tokenizer([sentence]))[0]  # (D,)
    image = encode_images(lens.model, lens.images)[0]  # (D,)
    assert lens.cosine == pytest.approx((text @ image).item(), abs=1e-5)
    assert f"is {lens.cosine:.2f}" in lens.status.value


@pytest.mark.parametrize("sentence", ["a red dog", "sea", "a zebra!", ""])
def test_the_shares_of_a_bag_add_up_to_the_cosine(bag, sentence):
    bag.sentence.value = sentence
    assert bag.weights.sum().item() == pytest.approx(bag.cosine, abs=1e-5)


def test_a_weight_in_a_transformer_is_what_the_cosine_loses(transformer):
    ids = transformer.tokenizer(["a red dog"])  # (1, 5)
    without_red = torch.cat([ids[:, :2], ids[:, 3:]], dim=1)  # (1, 4)
    text = encode_texts(transformer.model, without_red)[0]
    image = encode_images(transformer.model, transformer.images)[0]
    lost = transformer.cosine - (text @ image).item()
    assert transformer.weights[2].item() == pytest.approx(lost, abs=1e-5)


def test_each_row_of_attention_adds_up_to_one(transformer):
    n_tokens = len(transformer.tokens)
    for head in (0, 1, 8):
        transformer.head.value = head
        assert transformer.attention.shape == (n_tokens, n_tokens)
        torch.testing.assert_close(transformer.attention.sum(dim=1), torch.ones(n_tokens))


# ---- the controls ----------------------------------------------------------------------------


def test_it_starts_with_its_sentence(lens):
    assert lens.tokens == ["[SOS]", "a", "red", "dog", "[EOS]"]
    for token in lens.tokens:
        assert f">{token}</th>" in lens.results.value


def test_a_bag_of_words_shows_no_attention(bag):
    assert bag.attention is None
    assert "attention" not in bag.results.value
    assert bag.layer not in bag.children


@pytest.mark.parametrize("control, value", [("layer", 2), ("head", 3), ("image", 2)])
def test_every_slider_changes_the_tables(transformer, control, value):
    before = transformer.results.value
    getattr(transformer, control).value = value
    assert transformer.results.value != before


def test_another_image_has_another_cosine(lens):
    before = lens.cosine
    lens.image.value = 1
    assert lens.cosine != before
    assert CAPTIONS[1] in lens.results.value


@pytest.mark.parametrize("sentence", ["", "   ", "собака", "🐕"])
def test_a_sentence_without_tokens_is_told(lens, sentence):
    lens.sentence.value = sentence
    assert lens.tokens == ["[SOS]", "[EOS]"]
    assert "no word or letter" in lens.status.value


def test_a_very_long_sentence_is_cut(lens):
    lens.sentence.value = "a red dog " * 500
    assert len(lens.tokens) == MOST_TOKENS
    assert lens.tokens[-1] == "[EOS]"


def test_a_cut_sentence_is_said(lens):
    lens.sentence.value = "dog " * 18
    assert "long" not in lens.status.value
    lens.sentence.value = "dog " * 19
    assert "only its first 18 tokens count" in lens.status.value


@pytest.mark.parametrize("attack", ["<b>dog</b>", "{}", "a {0} dog", "&amp;"])
def test_a_sentence_cannot_inject_html(lens, attack):
    lens.sentence.value = attack
    assert "<b>" not in lens.results.value


def test_its_repr_is_short(lens):
    assert repr(lens) == "SentenceLens(3 images)"
