"""Training for experiments: any model with any loss, kept on disk and timed."""

import copy
import json
import time
from collections.abc import Callable, Iterator

import safetensors.torch
import torch
from torch import Tensor, nn

from clipnb.augment import augment
from clipnb.datasets import CaptionDataset
from clipnb.features import sample_captions, tokenize
from clipnb.losses import clip_loss
from clipnb.model import CLIP
from clipnb.optimizers import make_optimizer
from clipnb.recipes import Recipe
from clipnb.run_folders import run_folder
from clipnb.runs import Run, pack_weights
from clipnb.runtime import autocast, get_device, memory_format, progress, write_file
from clipnb.tokenizer import Tokenizer, trim_padding
from clipnb.training import (
    iterate_training,
    load_or_train,
    steps_per_epoch,
    update_average,
    update_weights,
)

# A loss of (model, images float32 (B, 3, S, S), rows int64 (B,)); the rows are the images' numbers
# in the dataset. It returns a scalar.
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]

# Seconds of training of every run that the experiment now running has used, by folder name.
TRAINING_SECONDS: dict[str, float] = {}


def load_or_train_timed(recipe: Recipe, seed: int, **options) -> Run:
    """Load or train a run as `load_or_train` does, and note how long its training took.

    The recipe's name must tell everything that its fields do not, such as another training set.
    """
    run = load_or_train(recipe, seed, **options)
    TRAINING_SECONDS[run_folder(recipe, seed).name] = run.metrics["train_seconds"]
    return run


def load_or_fit(
    model: nn.Module,
    loss: Loss,
    dataset: CaptionDataset,
    recipe: Recipe,
    seed: int,
    average: bool = False,
) -> nn.Module:
    """Train a model with `train_with_loss`, or load its weights if that has been done before.

    A fit is found by its recipe (its name included) and seed. Returns the model, in evaluation
    mode. average: keep the running average of the weights (`ema` of the recipe), as `train` does.
    """
    folder = run_folder(recipe, seed)
    weights = folder / "fitted.safetensors"
    if not weights.exists():
        start = time.perf_counter()
        model = train_with_loss(model, loss, dataset, recipe, seed, average)
        write_file(folder / "seconds.json", json.dumps(time.perf_counter() - start))
        write_file(weights, pack_weights(model))
    model.load_state_dict(safetensors.torch.load_file(weights))
    TRAINING_SECONDS[folder.name] = json.loads((folder / "seconds.json").read_text())
    return model.to(get_device()).eval()


def train_with_loss(
    model: nn.Module,
    loss: Loss,
    dataset: CaptionDataset,
    recipe: Recipe,
    seed: int,
    average: bool = False,
) -> nn.Module:
    """Train any model on images, to the end. It is changed, and returned in evaluation mode.

    average: return a model with the running average of the weights instead.
    """
    kept = copy.deepcopy(model).to(get_device()) if average else model
    for step, _ in enumerate(iterate_fitting(model, loss, dataset, recipe, seed)):
        if average:
            update_average(kept, model, recipe.ema, step)
    return kept.eval()


def iterate_fitting(
    model: nn.Module,
    loss: Loss,
    dataset: CaptionDataset,
    recipe: Recipe,
    seed: int,
    decay_rate: bool = True,
) -> Iterator[int]:
    """Train any model step by step, with the optimizer, schedule and augmentation of a recipe.

    Yields the number of images seen after each step, so that a caller can look at the model on
    the way. decay_rate=False: the learning rate stays where the warm-up has brought it, so that a
    point in the middle of a learning curve is not an unfinished cosine.
    """
    device, B = get_device(), recipe.batch_size
    model.to(device, memory_format=memory_format(device))
    optimizer = make_optimizer(model, recipe)
    steps = steps_per_epoch(dataset, recipe)

    def open_epoch() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(dataset))[: steps * B].view(-1, B):
            images = torch.from_numpy(dataset.images[rows.numpy()]).to(device)
            yield augment(images, recipe), rows

    def take_step(images: Tensor, rows: Tensor) -> Tensor:
        with autocast(device):
            value = loss(model, images, rows)
        update_weights(model, optimizer, value, recipe.clip_norm)
        return value.detach()

    losses = iterate_training(
        model, optimizer, recipe, seed, steps, open_epoch, take_step, decay_rate=decay_rate
    )
    with progress(total=recipe.epochs * steps, unit="step", desc=recipe.name) as bar:
        for step, _ in enumerate(losses, start=1):
            bar.update()
            yield step * B


def make_clip_objective(
    tokenizer: Tokenizer, dataset: CaptionDataset, recipe: Recipe, clamp: bool = True
) -> Loss:
    """Make the contrastive loss for `train_with_loss`.

    Images are compared with `captions_per_image` captions of each, drawn anew at every visit.
    clamp: keep the scale between 1 and 100.
    """
    tokens = tokenize(tokenizer, dataset.captions)  # (N, K, T)

    def loss(model: CLIP, images: Tensor, rows: Tensor) -> Tensor:
        texts = sample_captions(tokens, rows, recipe.captions_per_image)  # (B, C, T)
        texts = trim_padding(texts).transpose(0, 1).to(images.device)  # (C, B, t)
        image_features = model.encode_image(images, normalize=True).float()
        if clamp:
            model.clamp_logit_scale()  # before each step, since a loss cannot act after it
        losses = []
        for captions in texts:
            text_features = model.encode_text(captions, normalize=True).float()
            with torch.autocast(images.device.type, enabled=False):  # similarities need float32
                scale = model.logit_scale.exp()  # here, as in the records: it decides the rounding
                losses.append(clip_loss(image_features, text_features, scale))
        return sum(losses) / len(losses)

    return loss


def make_caption_sampler(
    tokenizer: Tokenizer, dataset: CaptionDataset
) -> Callable[[Tensor], Tensor]:
    """Make a function from rows (B,) to the tokens (B, t) of one random caption of each image."""
    tokens = tokenize(tokenizer, dataset.captions)  # (N, K, T)

    def sample(rows: Tensor) -> Tensor:
        return trim_padding(sample_captions(tokens, rows, 1)[:, 0]).to(get_device())

    return sample
