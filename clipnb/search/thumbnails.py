"""Thumbnails: images so small that a page of them loads at once."""

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

LONGER_SIDE = 160  # pixels
MOST_BYTES = 5000
QUALITIES = (85, 70, 50, 30)


def encode_thumbnail(
    image: "Image.Image", side: int = LONGER_SIDE, qualities: tuple[int, ...] = QUALITIES
) -> bytes:
    """Encode an image as WebP of at most `MOST_BYTES`.

    The longer side is at most `side` pixels, and the aspect ratio is kept. An image with much
    detail gets the next of the qualities, and after the last one fewer pixels, until it fits.
    """
    image = image.copy()
    while True:
        image.thumbnail((side, side))
        for quality in qualities:
            data = encode_webp(image, quality)
            if len(data) <= MOST_BYTES:
                return data
        side = side * 3 // 4


def encode_webp(image: "Image.Image", quality: int = 90) -> bytes:
    """Encode an image as WebP."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()


def encode_array_thumbnail(image: np.ndarray) -> bytes:
    """Encode an image uint8 (3, H, W) as a thumbnail (see `encode_thumbnail`)."""
    from PIL import Image

    return encode_thumbnail(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))))
