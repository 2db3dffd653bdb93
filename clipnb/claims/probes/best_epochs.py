"""Supervised twins on scenes that keep their best epoch on dev, as CLIP does.

CLIP keeps the epoch with the best mean recall on the 1,000 dev scenes. A twin has no captions to
retrieve. It keeps the epoch with the best mean average precision of the labels that it is taught,
on the same scenes: a number about ranks too. No experiment tests on these scenes.
"""

import copy
import json
import time
from collections.abc import Callable, Sequence

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.claims.drawn import draw_training_set
from clipnb.claims.probes.twins import draw_recipe
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.encoders import normalize_images
from clipnb.experiments.fitting import TRAINING_SECONDS, Loss, iterate_fitting
from clipnb.experiments.nouns import mean_average_precision
from clipnb.experiments.twin import MultiLabelBaseline, SupervisedBaseline, label_targets
from clipnb.features import apply_in_batches
from clipnb.recipes import Recipe
from clipnb.run_folders import run_folder
from clipnb.runs import pack_weights
from clipnb.runtime import get_device, seed_everything, write_file
from clipnb.training import steps_per_epoch

Score = Callable[[nn.Module], float]  # how good a model is on dev; more is better

# ---- any model -------------------------------------------------------------------------------


def fit_best_epoch(
    model: nn.Module,
    loss: Loss,
    score: Score,
    dataset: CaptionDataset,
    recipe: Recipe,
    seed: int,
) -> tuple[nn.Module, list[float]]:
    """Train a model, score it after every epoch, and keep the weights with the best score.

    Of two equal scores the earlier one counts, as with CLIP. Returns the model with these weights,
    in evaluation mode, and the scores of all epochs.
    """
    steps, scores, kept = steps_per_epoch(dataset, recipe), [], {}
    for step, _ in enumerate(iterate_fitting(model, loss, dataset, recipe, seed), start=1):
        if step % steps:
            continue
        scores.append(score(model))
        if scores[-1] > max(scores[:-1], default=-np.inf):
            kept = copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model.eval(), scores


def load_or_fit_best(
    model: nn.Module,
    loss: Loss,
    score: Score,
    dataset: CaptionDataset,
    recipe: Recipe,
    seed: int,
) -> tuple[nn.Module, int]:
    """Train a model with `fit_best_epoch`, or load its weights if that has been done before.

    A fit is found by its recipe (its name included) and seed. Returns the model, in evaluation
    mode, and the number of the epoch that was kept, counted from 1.
    """
    folder = run_folder(recipe, seed)
    weights, noted = folder / "best.safetensors", folder / "best.json"
    if not weights.exists():
        start = time.perf_counter()
        model, scores = fit_best_epoch(model, loss, score, dataset, recipe, seed)
        seconds = time.perf_counter() - start
        write_file(noted, json.dumps({"seconds": seconds, "scores": scores}))
        write_file(weights, pack_weights(model))
    model.load_state_dict(safetensors.torch.load_file(weights))
    found = json.loads(noted.read_text())
    TRAINING_SECONDS[folder.name] = found["seconds"]
    return model.to(get_device()).eval(), int(np.argmax(found["scores"])) + 1


# ---- twins of CLIP's image encoder -----------------------------------------------------------


def load_best_labels(
    name: str,
    find_truth: Callable[[CaptionDataset], np.ndarray],
    seed: int,
    rate: float,
    epochs: int,
    n_training: int,
) -> tuple[MultiLabelBaseline, int]:
    """Train a twin on labels, as `twin.fit_labels` does, and keep its best epoch, or load it.

    name: tells what it is taught. find_truth: returns the labels of a dataset, bool (N, L).
    Returns the twin and the epoch that was kept.
    """
    recipe, train_set, dev_set = prepare_twin(name, seed, rate, epochs, n_training)
    targets = torch.from_numpy(find_truth(train_set)).float()  # (N, L)
    seed_everything(seed)
    model = MultiLabelBaseline(recipe, targets.shape[1])

    def loss(model: MultiLabelBaseline, images: Tensor, rows: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(images), targets[rows].to(images.device))

    score = score_ranks(dev_set, find_truth(dev_set))
    return load_or_fit_best(model, loss, score, train_set, recipe, seed)


def load_best_heads(
    name: str,
    attributes: dict[str, Sequence],
    seed: int,
    rate: float,
    epochs: int,
    n_training: int,
) -> tuple[SupervisedBaseline, int]:
    """Train a twin with heads, as `twin.fit_supervised_baseline` does, and keep its best epoch.

    name: tells what it is taught. Returns the twin, trained or loaded, and the epoch.
    """
    recipe, train_set, dev_set = prepare_twin(name, seed, rate, epochs, n_training)
    targets = label_targets(train_set, attributes)
    seed_everything(seed)
    model = SupervisedBaseline(recipe, attributes)

    def loss(model: SupervisedBaseline, images: Tensor, rows: Tensor) -> Tensor:
        losses = []
        for head, logits in model(images).items():
            losses.append(F.cross_entropy(logits, targets[head][rows].to(logits.device)))
        return sum(losses)

    dev_targets = label_targets(dev_set, attributes)
    truth = torch.cat([dev_targets[head] for head in model.heads], dim=1) > 0  # (N, L)
    score = score_ranks(dev_set, truth.numpy())
    return load_or_fit_best(model, loss, score, train_set, recipe, seed)


def prepare_twin(
    name: str, seed: int, rate: float, epochs: int, n_training: int
) -> tuple[Recipe, CaptionDataset, CaptionDataset]:
    """Return the recipe of a twin, the training scenes of its seed, and the dev scenes."""
    full_name = f"quick_drawn_{name.replace(' ', '_')}_best_supervised"
    recipe = draw_recipe(full_name, rate, epochs, n_training)
    dev_set = load_dataset("scenes", "dev", recipe.stored_size)
    return recipe, draw_training_set(seed, n_training), dev_set


def score_ranks(dataset: CaptionDataset, truth: np.ndarray) -> Score:
    """Make the score "mean average precision of the labels", in percent. truth: bool (N, L)."""

    def score(model: nn.Module) -> float:
        scores = apply_in_batches(model, lambda images: score_labels(model, images), dataset.images)
        return mean_average_precision(scores.numpy(), truth)

    return score


def score_labels(model: MultiLabelBaseline | SupervisedBaseline, images: Tensor) -> Tensor:
    """Return the scores (B, L) of all labels for images uint8 (B, 3, S, S).

    They are logits, or the log-probabilities of each head.
    """
    logits = model(normalize_images(images))
    if isinstance(model, MultiLabelBaseline):
        return logits
    return torch.cat([own.log_softmax(dim=1) for own in logits.values()], dim=1)
