"""Notebook 10: what the answers to its exercises must fulfil."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from clipnb.exercises import Properties, is_close
from clipnb.losses import clip_loss
from clipnb.model import create_model
from clipnb.recipes import QUICK
from clipnb.runtime import seed_everything


def times_for_half(answer: float) -> Properties:
    """Yield the property of the compute that halves an error with the exponent 0.5."""
    yield "That much more compute leaves half of the error.", is_close(answer**-0.5, 0.5)


def steps_per_epoch(answer: Sequence[int]) -> Properties:
    """Yield the properties of the steps in an epoch, of the paper and of ours."""
    paper, ours = answer
    yield "The paper's batches hold all of its pairs but the last few.", 12_206 <= paper <= 12_208
    yield "Ours hold all of the images but the last few.", 46 <= ours <= 47


def fit_with_floor(answer: Callable) -> Properties:
    """Yield the properties of a fit of a power law above a floor."""
    compute = np.logspace(0, 3, 40)
    for a, b, floor in ((60.0, 0.5, 5.0), (40.0, 0.4, 2.0)):
        found = answer(compute, floor + a * compute**-b)
        yield "It returns three numbers.", len(found) == 3
        yield f"It finds a floor of {floor:g}.", is_close(found[2], floor, 1e-2)
        yield f"It finds an exponent of {b:g}.", is_close(found[1], b, 1e-2)


def backward_in_parts(answer: Callable) -> Properties:
    """Yield the properties of gradients that are computed in parts and equal the whole batch's."""
    seed_everything(0)
    model = create_model(dataclasses.replace(QUICK, image_width=16, vocab_size=50)).eval()
    images = torch.rand(12, 3, 32, 32)
    tokens = torch.randint(1, 50, (12, 6))
    clip_loss(*model(images, tokens)).backward()
    whole = _read_gradients(model)
    model.zero_grad()
    answer(model, images, tokens, 1)
    yield "One part is the whole batch.", is_close(_read_gradients(model), whole, 1e-4)
    model.zero_grad()
    answer(model, images, tokens, 4)
    parts = _read_gradients(model)
    cosine = F.cosine_similarity(parts, whole, dim=0)
    yield "The gradient of four parts has the direction of the whole one.", cosine > 0.9999
    yield "It has its length, too.", is_close(parts.norm(), whole.norm(), 1e-3)


def _read_gradients(model: torch.nn.Module) -> torch.Tensor:
    """Return the gradients of both projections as one vector."""
    projections = (model.image_projection, model.text_projection)
    return torch.cat([projection.weight.grad.flatten().clone() for projection in projections])
