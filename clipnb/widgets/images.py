"""Images as HTML, for the widgets."""

import base64
import functools
import html

import numpy as np
from PIL import Image

from clipnb.search.thumbnails import encode_thumbnail

SHOWN_SIZE = 138  # pixels a side at which images are shown
QUALITIES = (90, 80, 65, 50)  # higher than of thumbnails: these images are small already


def format_image(image: np.ndarray, text: str = "", size: int = SHOWN_SIZE) -> str:
    """Return an <img> tag that holds an image uint8 (3, S, S).

    text: stands for the image where it cannot be seen; none for an image that a caption stands
    beside. size: pixels a side at which it is shown.
    """
    pixels = np.ascontiguousarray(image).tobytes()
    return format_webp(_encode_small(pixels, image.shape[1:]), text, size)


def format_webp(data: bytes, text: str = "", size: int = SHOWN_SIZE) -> str:
    """Return an <img> tag that holds an image as WebP. text, size: as for `format_image`."""
    encoded = base64.b64encode(data).decode()
    return (
        f'<img src="data:image/webp;base64,{encoded}" alt="{html.escape(text)}" '
        f'width="{size}" height="{size}">'
    )


@functools.lru_cache(maxsize=256)  # the same images come back with every letter typed
def _encode_small(pixels: bytes, size: tuple[int, int]) -> bytes:
    """Encode the bytes of an image (3, *size) as WebP of at most 5 KB.

    A small image keeps its size, since the browser enlarges it as well as we could. A drawing of
    64 px then takes 1.5 KB. As an enlarged PNG it takes 19 KB.
    """
    array = np.frombuffer(pixels, np.uint8).reshape(3, *size).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(array))
    # Twice the size is enough for a screen with small pixels.
    return encode_thumbnail(image, 2 * SHOWN_SIZE, QUALITIES)
