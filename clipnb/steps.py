"""One step of training: the learning rate, the gradient, the weights and their average."""

import contextlib
import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from clipnb.distributed import average_gradients, average_losses
from clipnb.model import CLIP
from clipnb.objective import compute_loss
from clipnb.recipes import Recipe


def learning_rate_at(step: int, steps: int, recipe: Recipe) -> float:
    """Return the learning rate of a step (0 to steps - 1).

    It warms up linearly, then falls to zero along half a cosine (paper §2.5).
    """
    warmup = max(1, round(recipe.warmup * steps))
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    return recipe.learning_rate * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every parameter group, times the group's own `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("lr_scale", 1)


def update_weights(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip_norm: float
) -> None:
    """Take one step down the gradient of a loss; longer gradients are cut to `clip_norm`.

    Under torchrun it is the mean gradient of all processes.
    """
    optimizer.zero_grad()
    loss.backward()
    average_gradients(model)
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()


def train_step(
    model: CLIP, optimizer: torch.optim.Optimizer, images: Tensor, tokens: Tensor, recipe: Recipe
) -> Tensor:
    """Take one step on images (B, 3, S, S) and tokens (C, B, T). Returns the loss, a scalar.

    Under torchrun they are this process's share of a batch, and the loss is that of the batch.
    """
    # LoRA adds its changes to the weights once, or for each chunk that is encoded again.
    once = contextlib.nullcontext() if recipe.cache_gradients else parametrize.cached()
    with once:
        loss = compute_loss(model, images, tokens, recipe)
    update_weights(model, optimizer, loss, recipe.clip_norm)
    model.clamp_logit_scale()
    return average_losses(loss.detach())


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the weights of `average`, and its batch statistics, a little towards those of `model`.

    Such a running average has less noise and retrieves better (Polyak). decay: the share that
    `average` keeps of itself. The share is smaller in the first steps, whose weights are not worth
    keeping.
    """
    decay = min(decay, (1 + step) / (10 + step))
    pairs = zip(average.state_dict().values(), model.state_dict().values(), strict=True)
    for mine, theirs in pairs:
        if mine.is_floating_point():
            mine.lerp_(theirs, 1 - decay)
        else:
            mine.copy_(theirs)  # batch norm counts its batches
