"""A small CLIP, what it computes, and how well words name what it sees."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.fitting import load_or_fit, make_clip_objective
from clipnb.features import encode_images
from clipnb.model import CLIP, create_model
from clipnb.recipes import RECIPES, Recipe
from clipnb.runtime import seed_everything
from clipnb.tokenizer import Tokenizer
from clipnb.zero_shot import zero_shot_scores

SMALL_RECIPE = dataclasses.replace(RECIPES["quick"], image_size=48, stored_size=48, image_width=96)
NAMING_TASKS = ("kind", "colour", "place")  # attributes of a drawn image that words must name
CAPTION_TOKENS = 12  # the length of a typical caption, at which the text tower's work is counted


def load_or_fit_clip(
    recipe: Recipe, seed: int, train_set: CaptionDataset, tokenizer: Tokenizer
) -> CLIP:
    """Train the CLIP of a recipe, or load its weights if that has been done before.

    A fit is found by its recipe and seed, so the recipe's name must tell the training set.
    """
    seed_everything(seed)
    model = create_model(recipe)
    objective = make_clip_objective(tokenizer, train_set, recipe)
    return load_or_fit(model, objective, train_set, recipe, seed)


def score_naming(
    model: CLIP, tokenizer: Tokenizer, n_images: int, image_size: int = SMALL_RECIPE.image_size
) -> dict[str, np.ndarray]:
    """Tell for each test image whether words name it rightly, as {task: bool (N,)}.

    The test images are drawn for this, the same every time; each shows one kind of thing.
    """
    some_scenes = sample_scenes(n_images, "one_thing_seen", keep=has_one_thing)
    test_set = render_dataset(some_scenes, image_size)
    features = encode_images(model, test_set.images)  # (N, D)
    right = {}
    for task in NAMING_TASKS:
        names, truth = read_classes(test_set, task)
        scores = zero_shot_scores(model, tokenizer, features, names)  # (N, C)
        right[task] = scores.argmax(dim=1).numpy() == truth
    return right


def average_tasks(right: dict[str, np.ndarray]) -> np.ndarray:
    """Return the share of the tasks that are right for each image, float (N,)."""
    return np.mean(list(right.values()), axis=0)


def count_multiply_adds(
    model: CLIP, image_size: int, n_tokens: int = CAPTION_TOKENS
) -> tuple[float, float]:
    """Count the multiply-adds of the image tower for one image, and of the text tower for one text.

    PyTorch counts them in a forward pass. The text has `n_tokens` tokens.
    """
    device = model.logit_scale.device
    image = torch.zeros(1, 3, image_size, image_size, device=device)
    tokens = torch.ones(1, n_tokens, dtype=torch.int64, device=device)
    model.eval()
    return _count(model.encode_image, image), _count(model.encode_text, tokens)


def _count(encode: Callable[[Tensor], Tensor], inputs: Tensor) -> float:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        encode(inputs)
    return counter.get_total_flops() / 2
