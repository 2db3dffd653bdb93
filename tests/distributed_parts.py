"""What two processes do in the tests of clipnb/distributed.py: each case of a step, in float64.

It is a module of its own, because a process that is started anew has to import it.
"""

import copy
import dataclasses
import os

import numpy as np
import torch
import torch.distributed as dist

from clipnb import RECIPES, create_model, seed_everything
from clipnb.batches import iterate_batches
from clipnb.datasets import CaptionDataset
from clipnb.distributed import (
    average_gradients,
    average_losses,
    keep_draws_alike,
    take_share,
    world_size,
)
from clipnb.frozen import encode_frozen
from clipnb.objective import compute_loss
from clipnb.optimizers import make_optimizer
from clipnb.shared_norm import share_batch_norms
from clipnb.steps import train_step, update_average
from clipnb.tokenizer import trim_padding
from clipnb.tuning import add_lora, freeze_towers, hold_still

N, K, T = 24, 3, 9  # images, captions of each, tokens of a caption
TINY = dataclasses.replace(
    RECIPES["quick"],
    name="tiny",
    image_encoder="tiny_cnn",
    image_size=32,
    stored_size=32,
    image_width=16,
    embed_dim=8,
    vocab_size=60,
    batch_size=8,
    captions_per_image=2,
)
ALL_DRAWS = {
    "stored_size": 40,
    "min_crop_area": 0.5,
    "flip": True,
    "colour": 0.3,
    "token_dropout": 0.2,
}
CASES = {
    "plain": {},
    "batch norm": {"image_encoder": "residual_cnn"},
    "transformer": {"text_encoder": "transformer", "dropout": 0.0},
    "text loss and smoothing": {"text_loss": 0.5, "label_smoothing": 0.1},
    "word loss": {"word_loss": 1.0},
    "siglip": {"loss": "siglip"},
    "siglip in cached chunks": {"loss": "siglip", "chunk_size": 3, "cache_gradients": True},
    "siglip and the other losses": {"loss": "siglip", "text_loss": 0.5, "word_loss": 1.0},
    "chunks": {"chunk_size": 3},
    "cached chunks": {"chunk_size": 3, "cache_gradients": True, "text_loss": 0.5},
    "rows": {"sampling": "rows", "captions_per_image": 1},
    "all that is drawn": ALL_DRAWS,
    "frozen image encoder": {"freeze": "image", "image_encoder": "residual_cnn"},
    "frozen encoders": {"freeze": "both"},
    "frozen text encoder and words": {"freeze": "text", "word_loss": 1.0},
    "low rank": {"lora_rank": 2, "image_encoder": "residual_cnn"},
    "low rank in cached chunks": {"lora_rank": 2, "chunk_size": 3, "cache_gradients": True},
    "muon and an average": {"optimizer": "muon", "ema": 0.9, "image_encoder": "residual_cnn"},
}

# With two processes the next one in a ring is also the one before, so the ring needs three.
IN_RING = {
    name: CASES[name] | {"batch_size": 12} for name in CASES if CASES[name].get("loss") == "siglip"
}


def make_dataset(size):
    """A dataset of noise, and tokens (N, K, T): a start, words of 10 to 59, an end, padding."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (N, 3, size, size), dtype=np.uint8)
    captions = [[f"{i} {k}" for k in range(K)] for i in range(N)]
    tokens = torch.from_numpy(rng.integers(10, 60, (N, K, T)))
    lengths = torch.from_numpy(rng.integers(3, T + 1, (N, K, 1)))
    position = torch.arange(T)
    tokens[:, :, 0] = 1
    tokens[position == lengths - 1] = 2
    tokens[position >= lengths] = 0
    ids = [str(i) for i in range(N)]
    return CaptionDataset("noise", "train", images, captions, ids), tokens


def take_steps(changes):
    """Take the steps of one epoch. Returns the first loss and gradients, and what came of it."""
    recipe = dataclasses.replace(TINY, **changes)
    dataset, tokens = make_dataset(recipe.stored_size)
    seed_everything(0)
    model = create_model(recipe)
    freeze_towers(model, recipe, set(model.state_dict()))
    model = model.double()
    if recipe.lora_rank:
        add_lora(model, recipe.lora_rank, recipe.lora_towers)
    share_batch_norms(model)
    if recipe.freeze != "none":
        # In float32, which encoders of images take, and exact enough because it is done once.
        dataset = encode_frozen(model.float(), dataset, tokens, recipe)
        model, tokens = model.double(), dataset.texts
    average = copy.deepcopy(model)
    optimizer = make_optimizer(model, recipe)
    for group in optimizer.param_groups:
        group["lr"] *= group.get("lr_scale", 1)
    seed_everything(0, 0)
    results = {"losses": []}
    batches = iterate_batches(dataset, tokens, recipe, torch.device("cpu"))
    for step, (images, texts) in enumerate(keep_draws_alike(batches)):
        images, texts = (x.double() if x.is_floating_point() else x for x in (images, texts))
        hold_still(model, recipe)
        if step == 0:
            first = copy.deepcopy(model)
            loss = compute_loss(first, images, texts, recipe)
            loss.backward()
            average_gradients(first)
            results["loss"] = average_losses(loss.detach())
            results["gradients"] = flatten(p.grad for p in first.parameters() if p.grad is not None)
            results["statistics"] = flatten(first.buffers())
        results["losses"].append(train_step(model, optimizer, images, texts, recipe))
        update_average(average, model, 0.9, step)
    n_rows = N * K if recipe.sampling == "rows" else N
    assert len(results["losses"]) == n_rows // recipe.batch_size
    results["losses"] = torch.stack(results["losses"])
    results["weights"] = flatten(model.state_dict().values())
    results["average"] = flatten(average.state_dict().values())
    return results


def compute_word_losses():
    """The losses of the words of batches whose shares are as long as their own captions.

    Shards are read so. First the one half of a batch has the longer captions, then the other.
    """
    seed_everything(0)
    recipe = dataclasses.replace(TINY, word_loss=1.0)
    model = create_model(recipe).double().eval()
    dataset, tokens = make_dataset(32)
    images = torch.from_numpy(dataset.images[:8]).double() / 127.5 - 1
    losses = []
    for long in (slice(0, 4), slice(4, 8)):
        texts = tokens[:8].transpose(0, 1).clone()  # (K, B, T)
        texts[:, :, 3:] = 0
        texts[:, long, 3:] = 7
        own = trim_padding(take_share(texts, dim=1))
        loss = compute_loss(model, take_share(images), own, recipe)
        losses.append(average_losses(loss.detach()))
    return {"losses": torch.stack(losses)}


def flatten(tensors):
    """All numbers of some tensors as one vector."""
    return torch.cat(
        [tensor.detach().double().flatten() for tensor in tensors] or [torch.zeros(0).double()]
    )


def draw_dropout():
    """The rows of each batch of an epoch, and what the steps draw between them."""
    recipe = dataclasses.replace(TINY, sampling="rows", captions_per_image=1)
    dataset, tokens = make_dataset(32)
    seed_everything(1, 0)
    seen, drawn = [], []
    for images, _ in keep_draws_alike(
        iterate_batches(dataset, tokens, recipe, torch.device("cpu"))
    ):
        seen.append(images.sum(dim=(1, 2, 3)))
        drawn.append(torch.rand(len(seen)))  # as many numbers as no other step draws
    return {"seen": torch.stack(seen), "drawn": torch.cat(drawn)}


def run_cases(rank, size, folder):
    """Join the other processes, run every case, and write what came of them."""
    os.environ["CLIPNB_PRECISION"] = "float32"
    os.environ["CLIPNB_DEVICE"] = "cpu"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=size)
    assert world_size() == size
    cases = CASES if size == 2 else IN_RING
    results = {name: take_steps(changes) for name, changes in cases.items()}
    if size == 2:
        results["dropout"] = draw_dropout()
        results["lengths"] = compute_word_losses()
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()
