"""Images as HTML, for the widgets."""

import base64
import functools
import html
import io

import numpy as np
from PIL import Image

SHOWN_SIZE = 138  # pixels a side at which images are shown


def format_image(image: np.ndarray, text: str = "") -> str:
    """Return an <img> tag that holds an image uint8 (3, S, S).

    text: stands for the image where it cannot be seen.
    """
    pixels = np.ascontiguousarray(image).tobytes()
    encoded = _encode_png(pixels, image.shape[1:])
    return f'<img src="data:image/png;base64,{encoded}" alt="{html.escape(text)}">'


@functools.lru_cache(maxsize=256)  # the same images come back with every letter typed
def _encode_png(pixels: bytes, size: tuple[int, int]) -> str:
    """Scale the bytes of an image (3, *size) to SHOWN_SIZE, and encode it as PNG in base64."""
    array = np.frombuffer(pixels, np.uint8).reshape(3, *size).transpose(1, 2, 0)
    image = Image.fromarray(np.ascontiguousarray(array))
    buffer = io.BytesIO()
    image.resize((SHOWN_SIZE, SHOWN_SIZE), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
