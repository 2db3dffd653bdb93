"""From a photo to what an image encoder takes: so many pixels, scaled by mean and deviation."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np
import torch
from torch import Tensor, nn

from clipnb.places import display_value

if TYPE_CHECKING:
    from PIL import Image

    from clipnb.recipes import Recipe

HALF = (0.5, 0.5, 0.5)
MOST_RATIO = 256  # of an image's sides; scaled as a whole, a longer one could fill the memory
# The statistics of the pictures that CLIP, and the usual ImageNet backbones, were trained on.
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """How a photo becomes an image that a model takes.

    size: pixels a side. mean, std: of each channel, for pixels in [0, 1]. crop=False: the photo is
    squashed to a square, as this course does. crop=True: its shorter side is scaled to `size`, and
    the square in the middle is kept, as the published CLIP models were trained and judged.

    Two things are done to a photo before that, where this course reads it from a file, for a
    dataset or for a search: it is turned upright as its EXIF data say, and what is transparent
    becomes white (see `clipnb.datasets.convert_to_rgb`). Then it goes through `resize`. Calling the
    object itself does neither. Raises ValueError for a size below 1 pixel, a mean that is not
    finite, or a deviation that is not above 0.
    """

    size: int = 64
    mean: tuple[float, float, float] = HALF
    std: tuple[float, float, float] = HALF
    crop: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.size, SupportsIndex) or self.size < 1:
            raise ValueError(f"size is {display_value(self.size)}; set it to a number of pixels.")
        if not are_finite(self.mean):
            raise ValueError(f"mean is {display_value(self.mean)}; give three finite numbers.")
        if not are_finite(self.std) or min(self.std) <= 0:
            raise ValueError(f"std is {display_value(self.std)}; give three numbers above 0.")

    def __call__(self, image: "Image.Image") -> Tensor:
        """Turn a PIL image into float32 (3, size, size), as `encode_image` takes it.

        It gives exactly what open_clip's `image_transform(size, is_train=False)` gives. With
        `crop=False` the same goes for its `resize_mode="squash"`. So, like that one, it neither
        turns an image as its EXIF data say nor mixes what is transparent with a background.
        """
        pixels = np.asarray(self.resize(image).convert("RGB")).transpose(2, 0, 1)  # (3, S, S)
        return self.normalize(torch.tensor(pixels))

    def resize(self, image: "Image.Image") -> "Image.Image":
        """Scale a PIL image of any mode to a square of `size` pixels a side.

        With `crop=True`, an image that is more than 256 times as long as it is wide is cut to its
        middle first, so that a file of a few bytes cannot fill the memory.
        """
        from PIL import Image

        if not self.crop:
            return image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        image = cut_middle(image, MOST_RATIO * min(image.size))
        width, height = image.size
        shorter = min(width, height)
        width, height = self.size * width // shorter, self.size * height // shorter
        if (width, height) != image.size:
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = round((width - self.size) / 2), round((height - self.size) / 2)
        return image.crop((left, top, left + self.size, top + self.size))

    @property
    def least_side(self) -> int:
        """Pixels that a JPEG decoder must leave of the shorter side, if it shrinks the image.

        Squashed images are decoded as small as possible. For a crop twice the size is left. On
        photos its pixels then differ by 0.3 levels of 255 on average, and by 4 at most, from those
        that open_clip makes of the whole image, and 12 million pixels take 1/6 of the time.
        """
        return 2 * self.size if self.crop else self.size

    def normalize(self, images: Tensor | np.ndarray) -> Tensor:
        """Map images (..., 3, S, S) from [0, 255] to float32 of about mean 0 and deviation 1."""
        from clipnb.encoders import normalize_images  # not needed by a search

        return normalize_images(images, self.mean, self.std)


def check_uint8_images(images: object, name: str = "images") -> None:
    """Raise ValueError, in words, for what are no images uint8 (N, 3, S, S).

    What a reader's own class of images leaves open, its type or its shape, is not checked. name:
    what the message calls the images.
    """
    is_list = isinstance(images, Sequence) or not hasattr(images, "__getitem__")
    is_array = hasattr(images, "shape") or not is_list
    dtype = str(getattr(images, "dtype", "uint8")).removeprefix("torch.")
    shape = tuple(getattr(images, "shape", (0, 3, 1, 1)))
    is_square_rgb = len(shape) == 4 and shape[1] == 3 and 0 not in shape[2:]
    if is_array and dtype == "uint8" and is_square_rgb:
        return
    found = f"{dtype} {shape}" if is_array else display_value(images)
    raise ValueError(
        f"give {name} as an array of uint8 (N, 3, S, S), with pixels from 0 to 255, not {found}."
    )


def are_finite(statistics: Sequence[float]) -> bool:
    """Tell whether these are three numbers, one of each channel, and none is NaN or infinite."""
    values = np.asarray(statistics)
    return values.shape == (3,) and values.dtype.kind in "iuf" and bool(np.isfinite(values).all())


def cut_middle(image: "Image.Image", most: int) -> "Image.Image":
    """Cut the same number of pixels off both ends of an image longer than `most` pixels."""
    left, top = (max(0, (side - most) // 2) for side in image.size)
    if not left and not top:
        return image
    return image.crop((left, top, image.width - left, image.height - top))


DEFAULT = Preprocess()


def find_preprocess(model: nn.Module) -> Preprocess:
    """Return the preprocessing of a model: its own, or the default for a module without one."""
    return getattr(model, "preprocess", DEFAULT)


def choose_preprocess(recipe: "Recipe") -> Preprocess:
    """Return the preprocessing of a recipe's image encoder.

    The published encoders want what they were trained with; those of this course take [-1, 1].
    """
    library, _, name = recipe.image_encoder.partition("/")
    if library == "clip":
        return Preprocess(recipe.image_size, CLIP_MEAN, CLIP_STD, crop=True)
    if library == "torchvision":
        return Preprocess(recipe.image_size, IMAGENET_MEAN, IMAGENET_STD, crop=True)
    if library == "timm":
        return Preprocess(recipe.image_size, *read_timm_statistics(name), crop=True)
    return Preprocess(recipe.image_size)


@functools.cache
def read_timm_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the deviation that the published weights of a timm model expect.

    Not all are ImageNet's: many vision transformers were trained on [-1, 1].
    """
    import timm

    published = timm.get_pretrained_cfg(name)
    if published is None:
        return IMAGENET_MEAN, IMAGENET_STD
    return tuple(published.mean), tuple(published.std)
