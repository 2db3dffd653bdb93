"""What frozen encoders make of a dataset: computed once, and kept for all epochs."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from clipnb.augment import augment
from clipnb.datasets import CaptionDataset
from clipnb.features import apply_in_batches
from clipnb.metrics import retrieval_metrics
from clipnb.model import CLIP
from clipnb.objective import project_images, project_texts
from clipnb.recipes import Recipe
from clipnb.runtime import progress

CHUNK = 1000  # inputs between two steps of the progress bar


@dataclass
class EncodedDataset(CaptionDataset):
    """A dataset with the outputs of frozen encoders.

    images: the outputs of the image encoder, float32 (N, width), or the images if it learns. texts:
    the outputs of the text encoder, float32 (N, K, width), or the tokens, int64 (N, K, T), if it
    learns.
    """

    texts: Tensor | None = None

    def __post_init__(self) -> None:
        """Check nothing: the dataset was checked before its images were encoded."""


def encode_frozen(
    model: CLIP, dataset: CaptionDataset, tokens: Tensor, recipe: Recipe
) -> EncodedDataset:
    """Encode what the frozen encoders of a recipe take, once.

    tokens: int64 (N, K, T), of the dataset's captions. Captions are encoded anew in each epoch all
    the same if the recipe changes them at random, or needs their words.
    """
    images, texts = dataset.images, tokens
    if "image" in recipe.frozen_towers:

        def encode_images(batch: Tensor) -> Tensor:
            return model.image_encoder(augment(batch, recipe))  # scaled: nothing is random

        images = encode_all(model, encode_images, images, "encoding images").numpy()
    if "text" in recipe.frozen_towers and not (recipe.token_dropout or recipe.word_loss):
        outputs = encode_all(model, model.text_encoder, tokens.flatten(0, 1), "encoding captions")
        texts = outputs.view(*tokens.shape[:2], -1)
    own = {field.name: getattr(dataset, field.name) for field in fields(CaptionDataset)}
    return EncodedDataset(**own | {"images": images, "texts": texts})


def encode_all(
    model: CLIP,
    encode: Callable[[Tensor], Tensor],
    inputs: Tensor | np.ndarray,
    description: str,
) -> Tensor:
    """Apply a function of a model to inputs (N, ...) under a progress bar. Returns (N, ...)."""
    outputs = []
    with progress(total=len(inputs), desc=description, unit="row") as bar:
        for start in range(0, len(inputs), CHUNK):
            chunk = inputs[start : start + CHUNK]
            outputs.append(apply_in_batches(model, encode, chunk))
            bar.update(len(chunk))
    return torch.cat(outputs)


def evaluate_encoded(model: CLIP, dataset: EncodedDataset) -> dict[str, float]:
    """Return the `retrieval_metrics` of a model on a dataset with outputs of its encoders."""
    texts = dataset.texts  # (N, K, width or T)

    def encode_images(batch: Tensor) -> Tensor:
        return project_images(model, batch)

    def encode_texts(batch: Tensor) -> Tensor:
        return project_texts(model, batch)

    image_features = apply_in_batches(model, encode_images, dataset.images)  # (N, D)
    text_features = apply_in_batches(model, encode_texts, texts.flatten(0, 1), 1000)  # (N*K, D)
    return retrieval_metrics(image_features, text_features.view(*texts.shape[:2], -1))
