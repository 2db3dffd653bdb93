"""Gradient caching: chunks are encoded twice, and the gradient is that of the whole batch."""

import dataclasses

import pytest
import torch
from distributed_parts import TINY, make_dataset

from clipnb import add_lora, clip_loss, create_model, siglip_loss
from clipnb.bench import memory
from clipnb.local_losses import local_clip_loss, local_siglip_loss
from clipnb.objective import check_chunks, compute_loss
from clipnb.steps import train_step

C, B = 2, 20  # captions of each image; the chunks of 6 leave a last one of 2
LOSSES = {
    "clip": {"label_smoothing": 0.1},
    "siglip": {"loss": "siglip"},
    "text loss": {"text_loss": 0.5},
    "word loss": {"word_loss": 0.5},
    "all of them": {"loss": "siglip", "text_loss": 0.5, "word_loss": 0.5},
}


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setenv("CLIPNB_PRECISION", "float32")


def make_step(dropout=0.0, **changes):
    """A transformer and a small CNN in float64, a batch of images and captions, the recipe."""
    recipe = dataclasses.replace(
        TINY, text_encoder="transformer", dropout=dropout, batch_size=B, **changes
    )
    torch.manual_seed(0)
    model = create_model(recipe).double()
    dataset, tokens = make_dataset(32)
    images = torch.from_numpy(dataset.images[:B]).double() / 127.5 - 1
    return model, images, tokens[:B, :C].transpose(0, 1), recipe


def compute_gradients(model, images, tokens, recipe):
    """The loss and all gradients as one vector, with dropout from a fixed seed."""
    torch.manual_seed(1)
    model.zero_grad()
    loss = compute_loss(model, images, tokens, recipe)
    loss.backward()
    gradients = [p.grad.flatten() for p in model.parameters()]
    return torch.cat([loss.detach()[None], *gradients])


@pytest.mark.parametrize("changes", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("chunk_size", [1, 6, 100])
def test_the_gradient_is_that_of_the_whole_batch(changes, chunk_size):
    model, images, tokens, recipe = make_step(**changes)
    whole = compute_gradients(model, images, tokens, recipe)
    cached = dataclasses.replace(recipe, chunk_size=chunk_size, cache_gradients=True)
    assert whole.dtype == torch.float64
    assert (whole - compute_gradients(model, images, tokens, cached)).abs().max() < 1e-12
    assert whole[1:].abs().max() > 1e-2, "gradients of zero would agree as well"


def test_plain_accumulation_is_not_the_same():
    """The mean of the chunks' own losses compares an image with fewer captions."""
    model, images, tokens, recipe = make_step()
    whole = compute_gradients(model, images, tokens, recipe)
    chunks = [
        compute_gradients(model, images[i : i + 5], tokens[:, i : i + 5], recipe)
        for i in range(0, B, 5)
    ]
    assert (whole - sum(chunks) / 4).abs().max() > 1e-2


@pytest.mark.parametrize("changes", LOSSES.values(), ids=LOSSES)
def test_both_passes_draw_the_same_dropout(changes):
    """With dropout, keeping the activations of all chunks is the reference."""
    model, images, tokens, recipe = make_step(dropout=0.5, chunk_size=6, **changes)
    kept = compute_gradients(model, images, tokens, recipe)
    cached = dataclasses.replace(recipe, cache_gradients=True)
    assert (kept - compute_gradients(model, images, tokens, cached)).abs().max() < 1e-12
    without = compute_gradients(model.eval(), images, tokens, recipe)
    assert (kept - without).abs().max() > 1e-2, "dropout is at work"


def test_the_features_alone_are_kept_until_the_gradients_come():
    model, images, tokens, recipe = make_step(chunk_size=6)

    def count_saved(recipe):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, id):
            compute_loss(model, images, tokens, recipe)
        return sum(sizes)

    cached = dataclasses.replace(recipe, cache_gradients=True)
    assert count_saved(cached) < count_saved(recipe) / 20


def test_a_step_with_low_rank_changes_is_the_same():
    weights = []
    for cached in (False, True):
        model, images, tokens, recipe = make_step(chunk_size=6, cache_gradients=cached)
        add_lora(model, rank=2)
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
        for _ in range(2):  # B is 0 before the first step, and gives A no gradient
            train_step(model, optimizer, images, tokens, recipe)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert (weights[0] - weights[1]).abs().max() < 1e-12


def test_batch_norm_is_refused_so_nothing_is_counted_twice():
    recipe = dataclasses.replace(
        TINY, image_encoder="residual_cnn", chunk_size=4, cache_gradients=True
    )
    with pytest.raises(ValueError, match="batch norm in residual_cnn"):
        check_chunks(create_model(recipe), recipe)


def test_caching_without_chunks_is_refused():
    with pytest.raises(ValueError, match="set chunk_size"):
        dataclasses.replace(TINY, cache_gradients=True)


def test_older_runs_keep_their_names():
    fields = dataclasses.asdict(TINY)
    assert fields["cache_gradients"] is False
    assert dataclasses.replace(TINY, chunk_size=8).digest() != TINY.digest()
    cached = dataclasses.replace(TINY, chunk_size=8, cache_gradients=True)
    assert cached.digest() != dataclasses.replace(TINY, chunk_size=8).digest()


# ---- the losses of some rows -----------------------------------------------------------------


def make_features(n=6):
    torch.manual_seed(0)
    features = torch.randn(2, n, 4, dtype=torch.float64)
    return torch.nn.functional.normalize(features, dim=-1)


def test_the_mean_of_the_shares_is_the_loss_of_the_batch():
    images, texts = make_features()
    clip = [
        local_clip_loss(images[i : i + 2], texts[i : i + 2], images, texts, i, 5.0, 0.2)
        for i in (0, 2, 4)
    ]
    siglip = [local_siglip_loss(images[i : i + 3], texts, i, 5.0, -1.0) for i in (0, 3)]
    torch.testing.assert_close(sum(clip) / 3, clip_loss(images, texts, 5.0, 0.2))
    torch.testing.assert_close(sum(siglip) / 2, siglip_loss(images, texts, 5.0, -1.0))


# ---- memory ----------------------------------------------------------------------------------


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows keeps no such count")
def test_cached_chunks_take_less_memory_than_a_whole_batch(monkeypatch):
    monkeypatch.delitem(memory.WAYS, "in chunks")  # nothing here is compared with it
    measured = memory.measure_step_memory(batch_sizes=[2048])
    assert set(measured) == {"at once", "cached"}
    assert 0 < measured["cached"][2048] < measured["at once"][2048] / 2
