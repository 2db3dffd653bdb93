"""Supervised baselines: CLIP's image encoder, trained on labels instead of captions."""

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
from clipnb.scenes import COLOURS, KINDS, PLACES

LABEL_CLASSES = {"kind": KINDS, "colour": COLOURS, "place": PLACES}


# ---- scenes: one right class for each attribute ----------------------------------------------


class SupervisedBaseline(nn.Module):
    """CLIP's image encoder with linear heads on kinds, colours and places, and no text encoder."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.image_encoder = create_image_encoder(recipe)
        width = self.image_encoder.width
        self.heads = nn.ModuleDict(
            {name: nn.Linear(width, len(classes)) for name, classes in LABEL_CLASSES.items()}
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return logits (B, 12) of kinds, (B, 8) of colours and (B, 8) of places."""
        features = self.image_encoder(images)  # (B, width)
        return {name: head(features) for name, head in self.heads.items()}


def label_targets(dataset: CaptionDataset) -> dict[str, Tensor]:
    """Return what the baseline is taught: a distribution float32 (N, C) for each attribute.

    It is even over the kinds (and the colours) of an image's things.
    """
    targets = {name: torch.zeros(len(dataset), len(own)) for name, own in LABEL_CLASSES.items()}
    for row, truth in enumerate(dataset.labels):
        targets["place"][row, PLACES.index(truth["place"])] = 1
        for thing in truth["objects"]:
            targets["kind"][row, KINDS.index(thing["kind"])] = 1
            targets["colour"][row, COLOURS.index(thing["colour"])] = 1
    return {name: target / target.sum(dim=1, keepdim=True) for name, target in targets.items()}


def fit_supervised_baseline(
    recipe: Recipe, seed: int, train_set: CaptionDataset
) -> SupervisedBaseline:
    """Train (or load) the supervised baseline of a recipe's image encoder.

    It sees the same images as often as CLIP does. The recipe's name must tell the training set and
    end in `_supervised`.
    """
    targets = label_targets(train_set)
    seed_everything(seed)

    def loss(model: SupervisedBaseline, images: Tensor, rows: Tensor) -> Tensor:
        losses = []
        for name, logits in model(images).items():
            losses.append(F.cross_entropy(logits, targets[name][rows].to(logits.device)))
        return sum(losses)

    return load_or_fit(SupervisedBaseline(recipe), loss, train_set, recipe, seed)


def predict_supervised(
    model: SupervisedBaseline, images: Tensor | np.ndarray, attribute: str
) -> Tensor:
    """Return the baseline's logits (N, C) of an attribute for images uint8 (N, 3, S, S)."""

    def predict(batch: Tensor) -> Tensor:
        return model(normalize_images(batch))[attribute]

    return apply_in_batches(model, predict, images)


# ---- photos: any number of nouns for each image ----------------------------------------------


class MultiLabelBaseline(nn.Module):
    """CLIP's image encoder with a yes-or-no output for each of the 25 nouns of NOUN_CLASSES."""

    def __init__(self, recipe: Recipe):
        super().__init__()
        self.image_encoder = create_image_encoder(recipe)
        self.head = nn.Linear(self.image_encoder.width, len(NOUN_CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, 25) for images float32 (B, 3, S, S)."""
        return self.head(self.image_encoder(images))


def fit_multi_label_baseline(
    recipe: Recipe, seed: int, train_set: CaptionDataset
) -> MultiLabelBaseline:
    """Train (or load) the multi-label baseline of a recipe's image encoder.

    It is taught which nouns the captions of each training image hold (`noun_truth`). The recipe's
    name must tell the training set and end in `_supervised`.
    """
    targets = torch.from_numpy(noun_truth(train_set)).float()  # (N, 25)
    seed_everything(seed)

    def loss(model: MultiLabelBaseline, images: Tensor, rows: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(model(images), targets[rows].to(images.device))

    return load_or_fit(MultiLabelBaseline(recipe), loss, train_set, recipe, seed)


def predict_nouns(model: MultiLabelBaseline, images: Tensor | np.ndarray) -> Tensor:
    """Return the baseline's logits (N, 25) of the nouns for images uint8 (N, 3, S, S)."""

    def predict(batch: Tensor) -> Tensor:
        return model(normalize_images(batch))

    return apply_in_batches(model, predict, images)
