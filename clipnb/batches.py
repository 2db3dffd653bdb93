"""Batches of images and captions: which rows, which captions of them, and where they lie."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from clipnb.augment import augment, drop_tokens
from clipnb.datasets import CaptionDataset
from clipnb.distributed import take_share
from clipnb.features import sample_captions
from clipnb.recipes import Recipe
from clipnb.tokenizer import trim_padding


def steps_per_epoch(dataset: CaptionDataset, recipe: Recipe) -> int:
    """Return the number of whole batches in an epoch.

    Raises ValueError if there is none, or if the dataset has fewer than two images.
    """
    if not isinstance(dataset, CaptionDataset) and hasattr(dataset, "count_steps"):  # shards
        return dataset.count_steps(recipe.batch_size)
    if len(dataset) < 2:
        raise ValueError(
            f"{dataset.name} has {len(dataset)} training images; at least 2 are needed, so that a "
            "caption can be compared with a wrong image."
        )
    n_captions = len(dataset.captions[0]) if recipe.sampling == "rows" else 1
    rows = len(dataset) * n_captions
    if recipe.batch_size > rows:
        smaller = f"batch_size={max(2, rows // 4)}"
        raise ValueError(
            f"batch_size {recipe.batch_size} is larger than the {rows} training {recipe.sampling} "
            f"of {dataset.name}; choose 2 to {rows}: `dataclasses.replace(recipe, {smaller})`, or "
            f"`--set {smaller}` on the command line. `clipnb.fit_to_dataset(recipe, "
            f"{len(dataset)})` chooses batch_size and epochs for so few images."
        )
    return rows // recipe.batch_size


def iterate_batches(
    dataset: CaptionDataset, tokens: Tensor, recipe: Recipe, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over one epoch: every image once, in random order, with C random captions of it.

    No two rows of a batch share an image, because such rows would be false negatives. A last batch
    that is too small is left out. With `sampling="rows"` every caption row comes once instead,
    beside whatever rows chance puts there.

    tokens: int64 (N, K, T). Yields images float32 (B, 3, S, S) and tokens int64 (C, B, t); C is
    the recipe's `captions_per_image` and t the length of the batch's longest caption. Outputs of a
    frozen encoder (see `encode_frozen`) may stand for either, and are yielded as float32 (B, width)
    and (C, B, width).

    Under torchrun every process draws the whole batch and yields its own share of the rows.
    """
    N, K = tokens.shape[:2]
    B, by_row = recipe.batch_size, recipe.sampling == "rows"
    for rows in draw_rows(N, K, recipe):
        if by_row:
            indices = rows // K  # (B,) which images
            texts = tokens[indices, rows % K][:, None]  # (B, 1, T)
        else:
            indices = rows
            texts = sample_captions(tokens, indices, recipe.captions_per_image)  # (B, C, T)
        kept = texts.flatten(0, 1)  # (B*C, T)
        if not kept.is_floating_point():
            kept = trim_padding(drop_tokens(kept, recipe.token_dropout))  # (B*C, t)
        by_caption = kept.view(B, texts.shape[1], -1).transpose(0, 1)  # (C, B, t)
        by_caption = take_share(by_caption, dim=1)
        images = take_images(dataset.images, take_share(indices)).to(device)
        if images.ndim == 4:
            images = augment(images, recipe)
        yield images, by_caption.to(device)


def draw_rows(N: int, K: int, recipe: Recipe) -> Tensor:
    """Draw the rows of an epoch: int64 (steps, B), of N images or, by_row, of N*K captions."""
    B = recipe.batch_size
    order = torch.randperm(N * K if recipe.sampling == "rows" else N)
    return order[: len(order) - len(order) % B].view(-1, B)


def keep_on_card(dataset: CaptionDataset, device: torch.device) -> CaptionDataset:
    """Return a dataset whose images lie on the card, if they fit into half of what is free.

    They stay uint8, so a batch is not copied to the card at every step. Anything else than an array
    in memory, and every dataset on another device, is returned as it is.
    """
    if device.type != "cuda" or not isinstance(dataset.images, np.ndarray):
        return dataset
    free, _ = torch.cuda.mem_get_info(device)
    if 2 * dataset.images.nbytes > free:
        return dataset
    return dataclasses.replace(dataset, images=torch.tensor(dataset.images).to(device))


def take_images(images: np.ndarray | Tensor, rows: Tensor) -> Tensor:
    """Return the images of some rows (B,), on the device where they lie."""
    if isinstance(images, Tensor):
        return images[rows.to(images.device)]
    return torch.from_numpy(images[rows.numpy()])
