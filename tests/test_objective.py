"""The loss of a recipe: what it adds to the loss between images and captions."""

import dataclasses

import pytest
import torch

from clipnb.model import create_model
from clipnb.objective import (
    check_chunks,
    compute_loss,
    compute_word_loss,
    encode_in_chunks,
    find_words,
)
from clipnb.recipes import RECIPES

SOS, EOS = 1, 2
# Two captions of each of four images. Word 7 is in all of them, 8 in two images, 9 and 5 in one.
TOKENS = torch.tensor(
    [
        [[SOS, 7, 8, EOS], [SOS, 7, 9, EOS], [SOS, 7, EOS, 0], [SOS, 7, EOS, 0]],
        [[SOS, 7, 8, EOS], [SOS, 8, EOS, 0], [SOS, 7, EOS, 0], [SOS, 7, 5, EOS]],
    ]
)  # (C, B, T)


def make_model(**changes):
    recipe = dataclasses.replace(
        RECIPES["quick"], vocab_size=20, embed_dim=8, image_width=16, batch_size=4, **changes
    )
    torch.manual_seed(0)
    return create_model(recipe), recipe


def test_words_of_a_batch(monkeypatch):
    monkeypatch.setattr("clipnb.objective.MOST_IMAGES", 0.5)
    words, is_right = find_words(TOKENS)
    assert words.tolist() == [5, 8, 9]
    assert is_right.T.tolist() == [
        [False, False, False, True],
        [True, True, False, False],
        [False, True, False, False],
    ]


def test_a_word_in_too_many_images_says_little():
    words, _ = find_words(TOKENS)
    assert words.tolist() == [5, 9], "8 is in half of the images"


def test_the_text_of_a_word_is_the_word_between_start_and_end(monkeypatch):
    model, _ = make_model()
    seen = []
    encode = model.encode_text
    monkeypatch.setattr(
        model,
        "encode_text",
        lambda tokens, **options: seen.append(tokens) or encode(tokens, **options),
    )
    loss = compute_word_loss(model, torch.randn(4, 8), TOKENS, torch.tensor(5.0))
    assert seen[0].tolist() == [[SOS, 5, EOS], [SOS, 9, EOS]]
    assert loss.isfinite()


@pytest.mark.parametrize("tower", ["bag_of_words", "transformer"])
def test_a_recipe_adds_its_word_loss(tower):
    model, recipe = make_model(text_encoder=tower, dropout=0.0)
    model.eval()
    images = torch.rand(4, 3, 32, 32)
    plain = compute_loss(model, images, TOKENS, recipe)
    word_loss = compute_word_loss(
        model, model.encode_image(images, normalize=True), TOKENS, model.logit_scale.exp()
    )
    weighted = dataclasses.replace(recipe, word_loss=0.5)
    both = compute_loss(model, images, TOKENS, weighted)
    assert both.item() == pytest.approx((plain + 0.5 * word_loss).item(), abs=1e-5)


def test_a_batch_without_a_telling_word_trains_all_the_same():
    model, recipe = make_model(word_loss=1.0)
    tokens = torch.tensor([[[SOS, 7, EOS]] * 4])  # (1, 4, 3)
    loss = compute_loss(model, torch.rand(4, 3, 32, 32), tokens, recipe)
    loss.backward()
    assert loss.isfinite()


def test_one_caption_alone_is_not_compared_with_itself():
    model, recipe = make_model(text_loss=1.0, captions_per_image=2)
    plain = dataclasses.replace(recipe, text_loss=0.0)
    images = torch.rand(4, 3, 32, 32)
    model.eval()
    assert compute_loss(model, images, TOKENS[:1], recipe) == compute_loss(
        model, images, TOKENS[:1], plain
    )
    assert compute_loss(model, images, TOKENS, recipe) > compute_loss(model, images, TOKENS, plain)


@pytest.mark.parametrize("optional", [{}, {"text_loss": 0.5, "captions_per_image": 2}])
def test_outputs_of_frozen_encoders_give_the_same_loss_and_gradients(optional):
    model, recipe = make_model(label_smoothing=0.1, **optional)
    model.eval()
    model.image_encoder.requires_grad_(False)
    model.text_encoder.requires_grad_(False)
    images = torch.rand(4, 3, 32, 32)
    outputs = model.image_encoder(images)  # (B, width)
    text_outputs = torch.stack([model.text_encoder(texts) for texts in TOKENS])  # (C, B, width)
    results = []
    for inputs in ((images, TOKENS), (outputs, TOKENS), (outputs, text_outputs)):
        model.zero_grad()
        loss = compute_loss(model, *inputs, recipe)
        loss.backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.requires_grad]
        results.append(torch.cat([loss.detach()[None], *gradients]))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    assert results[0].count_nonzero() > 100


def make_batch_for_chunks():
    """A baseline in float64, seven images, and captions of seven lengths."""
    recipe = dataclasses.replace(RECIPES["baseline"], image_size=32, embed_dim=8)
    torch.manual_seed(0)
    model = create_model(recipe).double().eval()  # without dropout, which draws at random
    images = torch.rand(7, 3, 32, 32, dtype=torch.float64)
    tokens = torch.randint(1, 49407, (2, 7, 9))  # (C, B, T)
    lengths = torch.tensor([[9, 3, 5, 2, 8, 4, 6], [2, 9, 9, 7, 3, 5, 4]])
    tokens[torch.arange(9) >= lengths[..., None]] = 0
    return model, recipe, images, tokens


@pytest.mark.parametrize("chunk_size", [1, 3, 7, 100])
def test_chunks_change_neither_loss_nor_gradients(chunk_size, monkeypatch):
    monkeypatch.setenv("CLIPNB_PRECISION", "float32")
    model, recipe, images, tokens = make_batch_for_chunks()
    gradients = []
    for size in (0, chunk_size):
        model.zero_grad()
        loss = compute_loss(model, images, tokens, dataclasses.replace(recipe, chunk_size=size))
        loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for whole, in_chunks in zip(*gradients, strict=True):
        assert torch.allclose(whole, in_chunks, rtol=0, atol=1e-6)
    scale = max(whole.abs().max() for whole in gradients[0])
    assert scale > 1e-3, "gradients of zero would agree as well"


def test_texts_of_like_length_share_a_chunk():
    _, _, _, tokens = make_batch_for_chunks()
    seen = []

    def encode(texts):
        seen.append(tuple(texts.shape))
        return texts.sum(dim=1, keepdim=True)

    sums = encode_in_chunks(encode, tokens[0], chunk_size=3)
    assert seen == [(3, 4), (3, 8), (1, 9)], "lengths 2 3 4, then 5 6 8, then 9"
    assert (sums == tokens[0].sum(dim=1, keepdim=True)).all(), "in the order of the batch"


def test_chunks_are_refused_where_batch_norm_looks_at_the_whole_batch():
    model, recipe = make_model()
    check_chunks(model, recipe)
    with pytest.raises(ValueError, match="batch norm in residual_cnn"):
        check_chunks(model, dataclasses.replace(recipe, chunk_size=2))
