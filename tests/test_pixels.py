"""Grey of many bits and transparent colours: what an image shows is what is seen of it."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from clipnb.datasets import convert_to_rgb, read_image

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def read_grey(values, tmp_path):
    """Write values as a TIFF, and read it as (8, 8), from 0 to 255."""
    path = tmp_path / "grey.tif"
    Image.fromarray(values).save(path)
    with Image.open(path) as image:
        return np.asarray(convert_to_rgb(image))[..., 0].astype(int)


@pytest.mark.parametrize("highest", [1, 1.002, 1.5, 255, 255.5, 300, 65535, 65540, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_a_ramp_stays_a_ramp_wherever_its_values_end(tmp_path, highest, dtype):
    if dtype == np.int32 and not 255 <= highest < 2**31:
        return
    found = read_grey((RAMP * highest).astype(dtype), tmp_path)
    assert np.abs(found - RAMP * 255).max() <= 2


@pytest.mark.parametrize("hot", [256, 509])
def test_one_pixel_too_bright_does_not_make_the_others_black(tmp_path, hot):
    values = np.full((8, 8), 200, np.int32)
    values[3, 3] = hot
    found = read_grey(values, tmp_path)
    assert found[3, 3] == 255
    assert found[0, 0] == int(200 * 255 / hot)


def test_dark_images_stay_dark(tmp_path):
    assert read_grey(np.full((8, 8), 3, np.float32), tmp_path).max() == 3
    assert read_grey(np.full((8, 8), 0.1, np.float32), tmp_path).max() == 25
    assert read_grey(np.full((8, 8), 2570, np.int32), tmp_path).max() == 10


def png(bits, colour_type, row, transparent):
    """Return a PNG of 8 equal rows, with the colour that stands for transparency."""

    def chunk(name, data):
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, bits, colour_type, 0, 0, 0))
        + chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
        + chunk(b"IDAT", zlib.compress((b"\0" + row) * 8))
        + chunk(b"IEND", b"")
    )


GREY, COLOUR = 0, 2
PNGS = {  # the left half has the transparent colour; {case: (file, what the right half shows)}
    "1 bit": (png(1, GREY, b"\x0f", [0]), (255, 255, 255)),
    "2 bits": (png(2, GREY, b"\x55\xaa", [1]), (170, 170, 170)),
    "4 bits": (png(4, GREY, b"\x77\x77\x22\x22", [7]), (34, 34, 34)),
    "8 bits": (png(8, GREY, b"\x07" * 4 + b"\x22" * 4, [7]), (34, 34, 34)),
    "16 bits": (png(16, GREY, b"\x70\x01" * 4 + b"\x22\x33" * 4, [0x7001]), (34, 34, 34)),
    "8 bits, RGB": (png(8, COLOUR, b"\1\2\3" * 4 + b"\x40\x50\x60" * 4, [1, 2, 3]), (64, 80, 96)),
    "16 bits, RGB": (
        png(16, COLOUR, b"\xea\x60\x75\x30\3\xe8" * 4 + b"\x40\0\x50\0\x60\0" * 4,
            [60000, 30000, 1000]),
        (64, 80, 96),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PNGS)
def test_the_transparent_colour_of_a_png_is_white(tmp_path, case):
    content, right = PNGS[case]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with Image.open(path) as image:
        shown = np.asarray(convert_to_rgb(image))
    for found in (shown, read_image(path, 8)):
        assert (found[:, :4] == 255).all()
        assert (found[:, 4:] == right).all()
