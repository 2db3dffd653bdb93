"""Thumbnails: images so small that a page of them loads at once."""

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

LONGER_SIDE = 160  # pixels
MOST_BYTES = 5000


def encode_thumbnail(image: "Image.Image") -> bytes:
    """Encode an RGB image as WebP of at most `MOST_BYTES`.

    The longer side is at most `LONGER_SIDE` pixels, and the aspect ratio is kept. An image with
    much detail gets a lower quality, and then fewer pixels, until it fits.
    """
    image = image.copy()
    side = LONGER_SIDE
    while True:
        image.thumbnail((side, side))
        for quality in (85, 70, 50, 30):
            buffer = io.BytesIO()
            image.save(buffer, "WEBP", quality=quality, method=2)
            if buffer.tell() <= MOST_BYTES:
                return buffer.getvalue()
        side = side * 3 // 4


def encode_array_thumbnail(image: np.ndarray) -> bytes:
    """Encode an image uint8 (3, H, W) as a thumbnail (see `encode_thumbnail`)."""
    from PIL import Image

    return encode_thumbnail(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))))
