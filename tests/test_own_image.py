"""The reader's own image as a query, without a browser: what is taken, and what is refused."""

import io
import zlib
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from clipnb.widgets.own_image import (
    LONGER_SIDE,
    MOST_BYTES,
    MOST_KEPT,
    SHORTER_SIDE,
    OwnImage,
    read_own_image,
)

RED = (200, 30, 30)


def save(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.fixture
def box():
    """An OwnImage that notes what it takes and refuses."""
    taken, refused = [], []
    box = OwnImage(lambda name, image: taken.append((name, image)), refused.append)
    box.taken, box.refused = taken, refused
    return box


# ---- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mode, format",
    [("RGB", "PNG"), ("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "WEBP"), ("P", "GIF")],
)
def test_every_kind_of_image_becomes_rgb(mode, format):
    data = save(Image.new("RGB", (60, 40), RED).convert(mode), format)
    image = read_own_image("a", data)
    assert (image.mode, image.size) == ("RGB", (60, 40))
    assert np.abs(np.asarray(image).mean(axis=(0, 1)) - RED).max() < 12


def test_a_photo_is_turned_upright_and_made_smaller():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    data = save(Image.new("RGB", (2000, 1000), RED), "JPEG", exif=exif)
    assert read_own_image("a.jpg", data).size == (LONGER_SIDE // 2, LONGER_SIDE)


@pytest.mark.parametrize(
    "size, expected",
    [
        ((6000, 1000), (6 * SHORTER_SIDE, SHORTER_SIDE)),
        ((500, 4000), (SHORTER_SIDE, 8 * SHORTER_SIDE)),
        ((3000, 200), (3000, 200)),  # nothing is enlarged
        ((2, 30_000), (1, MOST_KEPT)),  # and nothing is kept without bound
    ],
)
def test_a_long_image_keeps_the_pixels_that_a_model_crops(size, expected):
    assert read_own_image("a.png", save(Image.new("RGB", size, RED))).size == expected


def make_bomb():
    """A small file that claims to hold 30,000 x 30,000 pixels."""
    data = bytearray(save(Image.new("L", (1, 1))))
    data[16:24] = (30_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"<b>no image</b>", save(Image.new("RGB", (90, 90), RED), "JPEG")[:200], make_bomb()],
    ids=["empty", "text", "truncated", "bomb"],
)
def test_what_is_no_image_is_refused_in_one_sentence(data):
    with pytest.raises(ValueError, match="^“a.jpg” cannot be searched by: [^\n]+\\.$"):
        read_own_image("a.jpg", data)


@pytest.mark.parametrize("data", [None, bytes(MOST_BYTES + 1)], ids=["not sent", "sent"])
def test_a_file_that_is_too_large_is_refused(data):
    with pytest.raises(ValueError, match="^“a.jpg” is larger than 20 MB.$"):
        read_own_image("a.jpg", data)


# ---- what the browser sends ------------------------------------------------------------------


def test_an_upload_is_taken_and_the_button_is_ready_for_the_next(box):
    data = save(Image.new("RGB", (60, 40), RED))
    file = {"name": "my dog.png", "type": "image/png", "size": len(data), "content": data}
    for _ in range(2):
        box.upload.value = (file | {"last_modified": datetime.now(UTC)},)
        assert box.upload.value == ()
    assert [name for name, _ in box.taken] == ["my dog.png", "my dog.png"]


def test_a_dropped_image_is_taken(box):
    pytest.importorskip("anywidget")
    data = save(Image.new("RGB", (60, 40), RED))
    area = box.children[1]
    area._handle_custom_msg({"name": "a.png", "size": len(data)}, [memoryview(data)])
    assert box.taken[0][1].size == (60, 40)
    area._handle_custom_msg({"name": "a.png", "size": 10**9}, [])
    assert "larger than 20 MB" in box.refused[0]


def test_names_are_no_html(box):
    box.receive("<script>.jpg", b"nothing")
    assert "&lt;script&gt;" in box.refused[0]
    assert "<script>" not in box.refused[0]


def test_without_anywidget_there_is_the_upload_alone(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert len(OwnImage(print, print).children) == 1
