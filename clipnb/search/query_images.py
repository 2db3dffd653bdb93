"""The image of a query: read, turned upright, and made as large as the model's images."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipnb.places import check_path, display_path
from clipnb.preprocess import Preprocess


def read_image_file(path: Path, preprocess: Preprocess) -> np.ndarray:
    """Read an image file as uint8 (3, S, S). Raises OSError, in words, if that fails.

    Raises an error for a path that no file can have, as `check_path` does.
    """
    from clipnb.datasets.photos import UnreadableImageError, open_file, read_photo

    path = check_path(path.expanduser())
    try:
        with open_file(path) as file:
            photo = read_photo(file, preprocess.least_side, exact=preprocess.crop)
            return fit_image(photo.image, preprocess)
    except UnreadableImageError as error:
        raise OSError(f"{display_path(path)} cannot be read: {error}.") from None
    except OSError as error:
        problem = error.strerror or error
        raise type(error)(f"{display_path(path)} cannot be read: {problem}.") from error


def fit_image(image: Any, preprocess: Preprocess) -> np.ndarray:
    """Turn a PIL image into uint8 (3, S, S), as large as the model's images.

    Raises ValueError for an image without pixels.
    """
    from PIL import ImageOps

    from clipnb.datasets import convert_to_rgb

    if 0 in image.size:
        raise ValueError(f"an image of {image.width} x {image.height} pixels shows nothing.")
    with contextlib.suppress(Exception):  # broken EXIF is no reason to refuse the image
        image = ImageOps.exif_transpose(image)
    square = preprocess.resize(convert_to_rgb(image))
    return np.asarray(square).transpose(2, 0, 1)


def fit_array(image: Tensor, preprocess: Preprocess) -> Tensor:
    """Resize an image uint8 (3, H, W) if it is not as large as the model's images.

    Raises ValueError for one of another type, whose range of values is not known.
    """
    from PIL import Image

    if image.dtype != torch.uint8:
        raise ValueError(
            f"an image is an array of uint8, from 0 to 255; this one is {image.dtype} "
            f"{tuple(image.shape)}."
        )
    if 0 in image.shape:
        raise ValueError(f"an image of the shape {tuple(image.shape)} shows nothing.")
    if image.shape[1:] == (preprocess.size, preprocess.size):
        return image
    pixels = image.permute(1, 2, 0).contiguous().cpu().numpy()  # (H, W, 3)
    return torch.tensor(fit_image(Image.fromarray(pixels), preprocess))
