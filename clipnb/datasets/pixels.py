"""From what a file holds to RGB: scaled grey, transparency on white, smaller JPEGs."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

PHOTOMETRIC = 262  # the tag of a TIFF that says whether 0 is black or white
STRETCHED = {"L;2": 85, "L;4": 17}  # by so much Pillow multiplies grey of 2 and of 4 bits


def shrink_while_decoding(image: "Image.Image", least_side: int, exact: bool = False) -> None:
    """Let the JPEG decoder shrink an opened image by 2, 4 or 8, no side below `least_side`.

    Other decoders cannot. exact: only by a number that divides both sides. The decoder rounds up
    otherwise, which stretches an image by up to 7 pixels of the file.
    """
    width, height = image.size
    size = (least_side, least_side)
    if exact:
        factors = [by for by in (2, 4, 8) if width % by == height % by == 0]
        factors = [by for by in factors if min(width, height) // by >= least_side]
        factor = max(factors, default=1)
        size = (width // factor, height // factor)
    image.draft("RGB", size)


def scale_transparent_colour(image: "Image.Image") -> None:
    """Scale the colour of a PNG that stands for transparency to 8 bits.

    Pillow scales the pixels, but not this colour, which no pixel has then. Only an image that is
    not loaded yet tells the bits of its file.
    """
    colour = image.info.get("transparency")
    tiles = getattr(image, "tile", [])
    if image.format != "PNG" or colour is None or not tiles:
        return
    bits = tiles[0][3]
    if bits in STRETCHED:
        image.info["transparency"] = colour * STRETCHED[bits]
    elif bits == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def convert_to_rgb(image: "Image.Image") -> "Image.Image":
    """Convert an image of any kind to RGB.

    What is transparent becomes white: Pillow alone would show the colours that were hidden. 16 bits
    of grey become 8: Pillow alone would make all but the darkest of them white. So do 32 bits and
    fractions. Of an animation this is the first frame.
    """
    from PIL import Image, ImageOps

    scale_transparent_colour(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        grey = scale_grey(image)
        # In this TIFF 0 is white. Of 8 bits or fewer Pillow itself sees to that.
        if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0:
            grey = ImageOps.invert(grey)
        return grey.convert("RGB")
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        return page.convert("RGB")
    return image.convert("RGB")


def scale_grey(image: "Image.Image") -> "Image.Image":
    """Scale an image of 16-bit or 32-bit integers, or of fractions, to 8 bits of grey.

    White is 65,535 for 16 bits. Otherwise it is the end of the smallest usual range that holds all
    values: 1 for fractions, 255, or 65,535. Where the highest value lies beyond that end, but less
    than twice as high, it is white itself: resizing and sharpening overshoot a little. Other values
    outside of these ranges are stretched from the lowest to the highest.
    """
    from PIL import Image

    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        high_bytes = (values >> 8).astype(np.uint8)  # of either order of bytes
        if "transparency" in image.info:  # the one grey of a PNG that stands for it
            high_bytes[values == image.info["transparency"]] = 255
        return Image.fromarray(high_bytes)
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    ranges = [255, 65535] if image.mode == "I" else [1, 255, 65535]
    white = next((max(end, high) for end in ranges if low >= 0 and high < 2 * end), None)
    if white is None:
        values, white = values - low, high - low or 1
    return Image.fromarray((values * (255 / white)).astype(np.uint8))
