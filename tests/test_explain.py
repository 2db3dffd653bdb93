"""Why an image was found: the shares of the words, and the region."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from page_index import add_bank, make_index
from torch import nn

from clipnb.encoders import BagOfWords, ResidualCNN, TextTransformer, TinyCNN, ViT
from clipnb.features import encode_images, encode_texts
from clipnb.model import CLIP
from clipnb.search.explain import (
    LOWERS,
    RAISES,
    REST,
    check_image,
    divide_cosine,
    draw_overlay,
    hide_square,
    leave_one_out,
    occlusion_map,
    shares_add_up,
    short_query_shares,
    word_shares,
)
from clipnb.tokenizer import clip_tokenizer, train_tokenizer

CAPTIONS = ["a red dog and a yellow cat, in the snow", "two dogs beside a puppy’s ball", "a café"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CAPTIONS, vocab_size=140, context_length=20)


def make_model(tokenizer, text_encoder=BagOfWords):
    """Make a small model with random weights, in training mode."""
    torch.manual_seed(0)
    return CLIP(TinyCNN(), text_encoder(tokenizer.vocab_size), embed_dim=32)


def make_transformer(vocab_size):
    return TextTransformer(vocab_size, context_length=20, width=32, layers=2, heads=4)


@pytest.fixture
def feature():
    return F.normalize(torch.randn(32, generator=torch.Generator().manual_seed(1)), dim=0)


# ---- the shares of words ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, words",
    [
        ("A red dog", ["a", "red", "dog"]),
        ("a zebra and a dog", ["a", "zebra", "and", "a", "dog"]),  # zebra is several pieces
        ("dog, cat!", ["dog", "cat"]),
        ("a puppy’s café", ["a", "puppy", "s", "café"]),
        ("dog 🐕 собака cat", ["dog", "cat"]),  # without a token
        ("dog", ["dog"]),
        ("naïve dog", ["naïve", "dog"]),  # without the ï
    ],
)
def test_shares_of_a_bag_of_words_add_up_to_the_cosine(tokenizer, feature, text, words):
    model = make_model(tokenizer)
    shares = word_shares(model, tokenizer, text, feature)
    cosine = encode_texts(model, tokenizer([text]))[0] @ feature
    assert [word for word, _ in shares] == [*words, REST]
    assert sum(share for _, share in shares) == pytest.approx(cosine.item(), abs=1e-6)
    assert all(isinstance(share, float) for _, share in shares)
    assert model.training  # as it was


def test_the_pieces_of_a_word_are_added_up(tokenizer, feature):
    model = make_model(tokenizer)
    tokens = tokenizer(["zebra dog"])
    by_token = divide_cosine(model, tokens, feature)
    n_pieces = len(tokenizer.encode("zebra"))
    assert n_pieces > 1
    shares = dict(word_shares(model, tokenizer, "zebra dog", feature))
    assert shares["zebra"] == pytest.approx(by_token[1 : 1 + n_pieces].sum().item(), abs=1e-6)
    assert shares["dog"] == pytest.approx(by_token[-2].item(), abs=1e-6)
    assert shares[REST] == pytest.approx((by_token[0] + by_token[-1]).item(), abs=1e-6)


def test_punctuation_belongs_to_the_rest(tokenizer, feature):
    model = make_model(tokenizer)
    by_token = divide_cosine(model, tokenizer(["dog, cat"]), feature)
    shares = dict(word_shares(model, tokenizer, "dog, cat", feature))
    assert shares[REST] == pytest.approx(by_token[[0, 2, 4]].sum().item(), abs=1e-6)


def test_shares_of_a_transformer_are_what_the_cosine_loses(tokenizer, feature):
    model = make_model(tokenizer, make_transformer)
    shares = word_shares(model, tokenizer, "a zebra, a dog", feature)
    assert [word for word, _ in shares] == ["a", "zebra", "a", "dog"]
    whole = encode_texts(model, tokenizer(["a zebra, a dog"]))[0] @ feature
    for i, text in enumerate(["zebra, a dog", "a, a dog", "a zebra, dog", "a zebra, a"]):
        without = encode_texts(model, tokenizer([text]))[0] @ feature
        assert shares[i][1] == pytest.approx((whole - without).item(), abs=1e-6)


def test_only_a_bag_of_words_has_shares_that_add_up(tokenizer):
    assert shares_add_up(make_model(tokenizer))
    assert not shares_add_up(make_model(tokenizer, make_transformer))


def test_leave_one_out_agrees_with_leaving_out_by_hand(tokenizer, feature):
    model = make_model(tokenizer, make_transformer).eval()
    tokens = tokenizer(["a red dog"])
    losses = leave_one_out(model, tokens, feature)
    assert losses.shape == tokens.shape[1:]
    without = encode_texts(model, tokens[:, [0, 1, 3, 4]])[0] @ feature
    whole = encode_texts(model, tokens)[0] @ feature
    assert losses[2].item() == pytest.approx((whole - without).item(), abs=1e-6)


@pytest.mark.parametrize("encoder", [BagOfWords, make_transformer])
@pytest.mark.parametrize("text", ["", "  ", "собака", "🐕"])
def test_a_text_without_tokens_has_no_shares(tokenizer, feature, encoder, text):
    assert word_shares(make_model(tokenizer, encoder), tokenizer, text, feature) == []


@pytest.mark.parametrize("encoder", [BagOfWords, make_transformer])
def test_a_text_that_is_cut_has_shares_for_what_is_left(tokenizer, feature, encoder):
    model = make_model(tokenizer, encoder)
    shares = word_shares(model, tokenizer, "dog " * 2500, feature)
    assert [word for word, _ in shares if word != REST] == ["dog"] * 18
    if shares_add_up(model):
        cosine = encode_texts(model, tokenizer(["dog " * 2500]))[0] @ feature
        assert sum(share for _, share in shares) == pytest.approx(cosine.item(), abs=1e-6)


@pytest.mark.parametrize("text", ["a <start_of_text> dog", "dog<end_of_text>", "<pad> dog"])
def test_a_text_with_special_tokens_in_it_still_adds_up(tokenizer, feature, text):
    model = make_model(tokenizer)
    shares = word_shares(model, tokenizer, text, feature)
    cosine = encode_texts(model, tokenizer([text]))[0] @ feature
    assert sum(share for _, share in shares) == pytest.approx(cosine.item(), abs=1e-6)


def test_surrogates_and_markup_are_words_like_others(feature):
    tokenizer = clip_tokenizer()
    model = make_model(tokenizer)
    shares = word_shares(model, tokenizer, "<script>\ud83d dog's", feature)
    assert [word for word, _ in shares] == ["script", "dog", "'s", REST]


# ---- short queries ---------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["bag", "transformer"])
def test_the_shares_of_a_short_query_are_what_its_direction_loses(encoder):
    index = add_bank(make_index(encoder), 0)
    feature = index.image_features[0]
    text = "A red dog, dog"
    shares = short_query_shares(index.bank, text, feature)
    assert [word for word, _ in shares] == ["a", "red", "dog"]
    whole = index.encode(text) @ feature
    for (_, share), rest in zip(shares, ["red dog", "a dog", "a red"], strict=True):
        assert share == pytest.approx((whole - index.encode(rest) @ feature).item(), abs=1e-6)


def test_a_single_word_has_the_whole_cosine():
    index = add_bank(make_index(), 0)
    [(word, share)] = short_query_shares(index.bank, "dog!", index.image_features[1])
    cosine = index.encode("dog!") @ index.image_features[1]
    assert (word, share) == ("dog", pytest.approx(cosine.item(), abs=1e-6))
    assert short_query_shares(index.bank, "собака", index.image_features[1]) == []


# ---- regions ---------------------------------------------------------------------------------


class BrightSpots(nn.Module):
    """An image encoder whose output is the brightness of the left and of the right half."""

    width = 2

    def forward(self, images):
        halves = images.mean(dim=(1, 2)).view(len(images), 2, -1).mean(dim=2)  # (B, 2)
        return halves + 1


def test_the_map_is_high_where_the_object_is():
    model = CLIP(BrightSpots(), BagOfWords(10, 4), embed_dim=2)
    model.image_projection.weight.data = torch.eye(2)
    image = np.zeros((3, 64, 64), np.uint8)
    image[:, 8:16, 40:48] = 255  # a white spot: row 1, column 5
    left, right = torch.eye(2)
    region = occlusion_map(model, image, right)
    assert region.shape == (8, 8) and region.dtype == torch.float32
    image[:, 40:48, 8:16] = 255  # another one on the left, so that both count
    region = occlusion_map(model, image, right)
    assert divmod(region.argmax().item(), 8) == (1, 5)
    assert divmod(region.argmin().item(), 8) == (5, 1)
    assert divmod(occlusion_map(model, image, left).argmax().item(), 8) == (5, 1)


def test_the_map_equals_encoding_one_hidden_image_after_the_other():
    torch.manual_seed(0)
    model = CLIP(ResidualCNN((8, 8, 8, 8)), BagOfWords(10, 4), embed_dim=16).eval()
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    query = F.normalize(torch.randn(16), dim=0)
    region = occlusion_map(model, image, query, n=4)
    whole = encode_images(model, image[None])[0] @ query
    hidden = encode_images(model, hide_square(image, 1, 3, 4)[None])[0] @ query
    assert region.shape == (4, 4)
    assert region[1, 3].item() == pytest.approx((whole - hidden).item(), abs=1e-5)


def test_a_square_has_the_mean_colour_and_is_cut_off_at_the_border():
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    image[0], image[1, :32] = 200, 100
    hidden = hide_square(image, 2, 0, 8)
    assert (hidden[:, 14:26, 0:10] == torch.tensor([200, 50, 0])[:, None, None]).all()
    hidden[:, 14:26, 0:10] = image[:, 14:26, 0:10]
    assert (hidden == image).all()  # the rest is as it was, and so is the image itself
    assert image[1, :32].unique().tolist() == [100]


@pytest.mark.parametrize("size", [1, 2, 5, 33])
def test_every_size_of_image_has_a_map(size):
    model = CLIP(TinyCNN(), BagOfWords(10, 4), embed_dim=16)
    image = np.random.default_rng(0).integers(0, 256, (3, size, size), np.uint8)
    image.flags.writeable = False  # as a memory-mapped one is
    region = occlusion_map(model, image, F.normalize(torch.ones(16), dim=0))
    assert region.shape == (8, 8) and region.isfinite().all()


def test_other_image_encoders_have_a_map():
    model = CLIP(ViT(32, 8, 16, 1, 2), BagOfWords(10, 4), embed_dim=16)
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    assert occlusion_map(model, image, F.normalize(torch.ones(16), dim=0)).abs().max() > 0


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8, 3), np.uint8), np.zeros((1, 3, 8, 8), np.uint8), np.zeros((3, 8, 8))],
)
def test_what_is_no_image_is_told(image):
    with pytest.raises(ValueError, match=r"an image is an array uint8 \(3, S, S\); this one is"):
        check_image(torch.as_tensor(image))
    model = CLIP(TinyCNN(), BagOfWords(10, 4), embed_dim=16)
    with pytest.raises(ValueError, match="an image is an array"):
        occlusion_map(model, image, torch.ones(16))


def test_the_overlay_has_two_colours_and_shows_the_strongest_place_best():
    region = torch.zeros(8, 8)
    region[1, 5], region[6, 2] = 0.2, -0.1
    overlay = draw_overlay(region, 64)
    assert overlay.shape == (64, 64, 4) and overlay.dtype == np.uint8
    row, column = divmod(int(overlay[..., 3].argmax()), 64)
    assert (row // 8, column // 8) == (1, 5)
    assert overlay[row, column, :3] == pytest.approx(np.array(RAISES), abs=3)
    weak = overlay[6 * 8 + 4, 2 * 8 + 4]
    assert weak[:3] == pytest.approx(np.array(LOWERS) / 2, abs=3)  # half as strong
    veil = overlay[32, 60]
    assert veil[:3].tolist() == [0, 0, 0]
    assert pytest.approx(overlay[row, column, 3], abs=1) == 0.7 * 255
    assert overlay[row, column, 3] > weak[3] > veil[3] == round(0.45 * 255)


def test_the_overlay_of_nothing_is_transparent():
    assert draw_overlay(np.zeros((8, 8)), 16)[..., 3].max() == 0
    assert draw_overlay(np.ones((1, 1)), 4)[0, 0].tolist() == [*RAISES, 178]
