"""Random changes to a training batch, different for every image, computed for the whole batch."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from clipnb.distributed import take_share, world_size
from clipnb.preprocess import HALF, choose_preprocess
from clipnb.recipes import Recipe
from clipnb.tokenizer import padding_mask


def augment(images: Tensor, recipe: Recipe) -> Tensor:
    """Crop, mirror and recolour images at random, as the recipe asks.

    images: uint8 (B, 3, S, S). Returns float32 (B, 3, s, s), normalised as the recipe's image
    encoder wants them, which is in about [-1, 1] for those of this course; s is the recipe's
    crop_size, or its image_size. Every image gets its own crop, flip, brightness and contrast.
    torchvision's batch transforms would draw one for the whole batch. Under torchrun `images` are
    this process's share of a batch, and what is drawn is the same as in one process.
    """
    size = recipe.crop_size or recipe.image_size
    if recipe.min_crop_area < 1 or recipe.flip or images.shape[-1] != size:
        images = random_crop(images.float(), size, recipe.min_crop_area, recipe.flip)
    preprocess = choose_preprocess(recipe)
    if not recipe.colour:
        return preprocess.normalize(images)
    images = change_light(images.float(), recipe.colour)  # in about [-1, 1]
    return images if preprocess.mean == HALF else preprocess.normalize((images + 1) * 127.5)


def change_light(images: Tensor, strength: float) -> Tensor:
    """Change brightness and contrast at random, and map to about [-1, 1].

    images: float (B, 3, S, S) in [0, 255]. Both factors lie in [1 - strength, 1 + strength].
    """
    whole = len(images) * world_size()
    random = 2 * torch.rand(2, whole, 1, 1, 1, device=images.device) - 1  # in [-1, 1]
    random = take_share(random, dim=1)
    contrast, brightness = 1 + strength * random  # each (B, 1, 1, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    # The result is (pixel - mean) * contrast + mean * brightness, then / 127.5 - 1. It is written
    # as one factor and one summand per image, so that the pixels are changed in two passes.
    factor = contrast / 127.5
    summand = mean * (brightness - contrast) / 127.5 - 1
    return (images * factor).add_(summand)


def random_crop(images: Tensor, size: int, min_area: float, flip: bool) -> Tensor:
    """Crop images at random and scale the crops to `size`.

    images: float (B, 3, S, S). A crop keeps a share of the area in [min_area, 1], its sides in a
    ratio between 3:4 and 4:3. A side that would be longer than the image's is cut to it, so with
    min_area above 3/4 some crops are smaller than that. flip: mirror an image with probability
    1/2. Returns (B, 3, size, size).
    """
    B, device = len(images), images.device
    whole = B * world_size()
    area = take_share(torch.empty(whole, device=device).uniform_(min_area, 1))
    log_ratio = math.log(4 / 3) if min_area < 1 else 0.0
    ratio = take_share(torch.empty(whole, device=device).uniform_(-log_ratio, log_ratio).exp())
    # Half the width and height of each crop; 1 is half of the whole image.
    half = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1)  # (B, 2)
    # The centre stays so far inside that no crop leaves the image.
    centre = (1 - half) * (2 * take_share(torch.rand(whole, 2, device=device)) - 1)  # (B, 2)
    if flip:
        half[:, 0] *= take_share(torch.randint(0, 2, (whole,), device=device)) * 2 - 1
    # Each row maps coordinates of the crop to coordinates of the image.
    theta = torch.cat([torch.diag_embed(half), centre[:, :, None]], dim=2)  # (B, 2, 3)
    grid = F.affine_grid(theta, (B, 3, size, size), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def drop_tokens(tokens: Tensor, share: float) -> Tensor:
    """Leave out every token with probability `share`, except the first and the last one.

    tokens: int64 (B, T), padded with 0 at the end; so is the result, of the same shape.
    """
    if not share:
        return tokens
    lengths = padding_mask(tokens).sum(-1, keepdim=True)  # (B, 1)
    position = torch.arange(tokens.shape[1], device=tokens.device)  # (T,)
    is_first_or_last = (position == 0) | (position == lengths - 1)  # (B, T)
    keep = (torch.rand(tokens.shape, device=tokens.device) >= share) | is_first_or_last
    keep &= position < lengths
    order = (~keep).long().argsort(dim=1, stable=True)  # kept tokens first, in their order
    return (tokens * keep).gather(1, order)
