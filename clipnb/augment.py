"""Random changes to a training batch, a different one for every picture and caption, computed for the whole batch at once."""

import math

import torch
import torch.nn.functional as F

from clipnb.datasets import normalize_images


def augment(images, recipe):
    """uint8 pictures (B, 3, S, S) -> float32 (B, 3, s, s) in about [-1, 1], as the recipe asks; s is its crop_size, or image_size.

    Every picture gets its own crop, flip, brightness and contrast; torchvision's batch transforms would draw one for the whole batch.
    """
    size = recipe.crop_size or recipe.image_size
    if recipe.min_crop < 1 or recipe.flip or images.shape[-1] != size:
        images = random_crop(images.float(), size, recipe.min_crop, recipe.flip)
    if not recipe.colour:
        return normalize_images(images)
    # (pixel - mean) * contrast + mean * brightness, brought to [-1, 1]: one factor and one summand a picture, so two passes over it
    images = images.float()
    contrast, brightness = 1 + recipe.colour * (2 * torch.rand(2, len(images), 1, 1, 1, device=images.device) - 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    return (images * (contrast / 127.5)).add_(mean * (brightness - contrast) / 127.5 - 1)


def random_crop(images, size, min_area, flip):
    """Crops of a share of the area in [min_area, 1], sides in ratio 3:4 to 4:3, scaled to `size`. (B, 3, S, S) -> (B, 3, size, size)."""
    B, device = len(images), images.device
    area = torch.empty(B, device=device).uniform_(min_area, 1)
    spread = math.log(4 / 3) if min_area < 1 else 0.0
    ratio = torch.empty(B, device=device).uniform_(-spread, spread).exp()
    half = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1)  # (B, 2) half sides, 1 is the whole picture
    centre = (1 - half) * (2 * torch.rand(B, 2, device=device) - 1)  # (B, 2) so that no crop leaves the picture
    if flip:
        half[:, 0] *= torch.randint(0, 2, (B,), device=device) * 2 - 1
    theta = torch.cat([torch.diag_embed(half), centre[:, :, None]], dim=2)  # (B, 2, 3) output coordinates -> picture coordinates
    grid = F.affine_grid(theta, (B, 3, size, size), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def drop_words(tokens, share):
    """Leave out every token with probability `share`, but not the first and the last. (B, T) -> (B, T), still 0-padded at the end."""
    if not share:
        return tokens
    lengths = (tokens.flip(-1).cumsum(-1) > 0).sum(-1, keepdim=True)  # (B, 1)
    position = torch.arange(tokens.shape[1], device=tokens.device)
    keep = (torch.rand(tokens.shape, device=tokens.device) >= share) | (position == 0) | (position == lengths - 1)
    keep &= position < lengths
    order = (~keep).long().argsort(dim=1, stable=True)  # kept tokens first, in their order
    return (tokens * keep).gather(1, order)
