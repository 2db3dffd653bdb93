"""Images as HTML, for the widgets."""

import base64
import functools
import html
import io

import numpy as np
from PIL import Image

SHOWN_SIZE = 138  # pixels a side at which images are shown


def format_image(image: np.ndarray, text: str = "", size: int = SHOWN_SIZE) -> str:
    """Return an <img> tag that holds an image uint8 (3, S, S).

    text: stands for the image where it cannot be seen; none for an image that a caption stands
    beside. size: pixels a side at which it is shown.
    """
    pixels = np.ascontiguousarray(image).tobytes()
    encoded = _encode_webp(pixels, image.shape[1:])
    return (
        f'<img src="data:image/webp;base64,{encoded}" alt="{html.escape(text)}" '
        f'width="{size}" height="{size}">'
    )


@functools.lru_cache(maxsize=256)  # the same images come back with every letter typed
def _encode_webp(pixels: bytes, size: tuple[int, int]) -> str:
    """Encode the bytes of an image (3, *size) as WebP in base64.

    A small image keeps its size, since the browser enlarges it as well as we could. A drawing of
    64 px then takes 1.5 KB. As an enlarged PNG it takes 19 KB.
    """
    array = np.frombuffer(pixels, np.uint8).reshape(3, *size).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(array))
    image.thumbnail((2 * SHOWN_SIZE, 2 * SHOWN_SIZE))  # enough for a screen with small pixels
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90, method=2)
    return base64.b64encode(buffer.getvalue()).decode()
