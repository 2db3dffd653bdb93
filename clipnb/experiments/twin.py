"""Supervised baselines: CLIP's image encoder, trained on labels instead of captions."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.datasets import CaptionDataset
from clipnb.encoders import normalize_images
from clipnb.experiments.fitting import load_or_fit
from clipnb.experiments.nouns import NOUN_CLASSES, noun_truth
from clipnb.features import apply_in_batches
from clipnb.model import create_image_encoder
from clipnb.recipes import Recipe
from clipnb.runtime import seed_everything
from clipnb.scenes import COLOURS, KINDS, PLACES, SIZES

LABEL_CLASSES = {"kind": KINDS, "colour": COLOURS, "place": PLACES}
# All that the captions tell about a thing or its place. A label for the relation of two things is
# missing, because it would need an order of them.
TOLD_CLASSES = LABEL_CLASSES | {"size": SIZES, "count": (1, 2, 3)}


# ---- scenes: one right class for each attribute ----------------------------------------------


class SupervisedBaseline(nn.Module):
    """CLIP's image encoder with linear heads on attributes, and no text encoder.

    attributes: what it is taught, {attribute: classes}; by default kinds, colours and places.
    """

    def __init__(self, recipe: Recipe, attributes: dict[str, Sequence] = LABEL_CLASSES):
        super().__init__()
        self.image_encoder = create_image_encoder(recipe)
        width = self.image_encoder.width
        self.heads = nn.ModuleDict(
            {name: nn.Linear(width, len(classes)) for name, classes in attributes.items()}
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits (B, C) of each attribute, such as (B, 12) of kinds."""
        features = self.image_encoder(images)  # (B, width)
        return {name: head(features) for name, head in self.heads.items()}


def label_targets(
    dataset: CaptionDataset, attributes: dict[str, Sequence] = LABEL_CLASSES
) -> dict[str, Tensor]:
    """Return what the baseline is taught: a distribution float32 (N, C) for each attribute.

    It is even over the kinds (or colours, sizes, counts) of an image's things.
    """
    targets = {name: torch.zeros(len(dataset), len(own)) for name, own in attributes.items()}
    for row, truth in enumerate(dataset.labels):
        for name, classes in attributes.items():
            owners = [truth] if name in truth else truth["objects"]
            for owner in owners:
                targets[name][row, classes.index(owner[name])] = 1
    return {name: target / target.sum(dim=1, keepdim=True) for name, target in targets.items()}


def fit_supervised_baseline(
    recipe: Recipe,
    seed: int,
    train_set: CaptionDataset,
    attributes: dict[str, Sequence] = LABEL_CLASSES,
) -> SupervisedBaseline:
    """Train (or load) the supervised baseline of a recipe's image encoder.

    It sees the same images as often as CLIP does. The recipe's name must tell the training set, and
    the attributes if they are others, and end in `_supervised`.
    """
    targets = label_targets(train_set, attributes)
    seed_everything(seed)

    def loss(model: SupervisedBaseline, images: Tensor, rows: Tensor) -> Tensor:
        losses = []
        for name, logits in model(images).items():
            losses.append(F.cross_entropy(logits, targets[name][rows].to(logits.device)))
        return sum(losses)

    model = SupervisedBaseline(recipe, attributes)
    return load_or_fit(model, loss, train_set, recipe, seed)


def predict_supervised(
    model: SupervisedBaseline, images: Tensor | np.ndarray, attribute: str
) -> Tensor:
    """Return the baseline's logits (N, C) of an attribute for images uint8 (N, 3, S, S)."""

    def predict(batch: Tensor) -> Tensor:
        return model(normalize_images(batch))[attribute]

    return apply_in_batches(model, predict, images)


# ---- photos: any number of nouns for each image ----------------------------------------------


class MultiLabelBaseline(nn.Module):
    """CLIP's image encoder with a yes-or-no output for each of `n_labels` labels.

    They are the 25 nouns of NOUN_CLASSES if nothing else is said.
    """

    def __init__(self, recipe: Recipe, n_labels: int = len(NOUN_CLASSES)):
        super().__init__()
        self.image_encoder = create_image_encoder(recipe)
        self.head = nn.Linear(self.image_encoder.width, n_labels)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, L) for images float32 (B, 3, S, S)."""
        return self.head(self.image_encoder(images))


def fit_multi_label_baseline(
    recipe: Recipe, seed: int, train_set: CaptionDataset
) -> MultiLabelBaseline:
    """Train (or load) the multi-label baseline of a recipe's image encoder.

    It is taught which nouns the captions of each training image hold (`noun_truth`). The recipe's
    name must tell the training set and end in `_supervised`.
    """
    return fit_labels(recipe, seed, train_set, noun_truth(train_set))


def fit_labels(
    recipe: Recipe,
    seed: int,
    train_set: CaptionDataset,
    truth: np.ndarray,
    average: bool = False,
) -> MultiLabelBaseline:
    """Train (or load) a baseline that is taught the labels `truth`, bool (N, L).

    The recipe's name must tell the training set and the labels. average: see `load_or_fit`.
    """
    targets = torch.from_numpy(truth).float()  # (N, L)
    seed_everything(seed)

    def loss(model: MultiLabelBaseline, images: Tensor, rows: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(images), targets[rows].to(images.device))

    model = MultiLabelBaseline(recipe, truth.shape[1])
    return load_or_fit(model, loss, train_set, recipe, seed, average)


def predict_nouns(model: MultiLabelBaseline, images: Tensor | np.ndarray) -> Tensor:
    """Return the baseline's logits (N, 25) of the nouns for images uint8 (N, 3, S, S)."""

    def predict(batch: Tensor) -> Tensor:
        return model(normalize_images(batch))

    return apply_in_batches(model, predict, images)
