import os
import sys
import time
import types

import numpy as np
import pytest
from messy_folder import claim_size, draw_scene, encode, write_messy_folder
from own_folder import draw
from PIL import Image

from clipnb.datasets import convert_to_rgb, read_image
from clipnb.datasets import photos as module
from clipnb.datasets.image_files import enable_heic
from clipnb.datasets.photos import PhotoFolder, UnreadableImageError, open_file, read_photo


def read(path, least_side=32):
    with open_file(path) as file:
        return read_photo(file, least_side)


def read_pixels(path, least_side=256):
    return np.asarray(read(path, least_side).image).astype(int)


# ---- which images a folder holds -------------------------------------------------------------


def test_a_folder_of_any_layout(tmp_path):
    draw(tmp_path, "b.jpg", "2019/a.PNG", "2019/summer/c.webp")
    (tmp_path / "notes.txt").write_text("no image")
    photos = PhotoFolder(tmp_path)
    assert list(photos.paths) == ["2019/a.PNG", "2019/summer/c.webp", "b.jpg"]
    assert photos.paths["2019/a.PNG"] == tmp_path / "2019/a.PNG"
    assert (len(photos), photos.n_other_files) == (3, 1)
    assert repr(photos).endswith(": 3 images)")


def test_images_stay_in_the_name_of_their_folder(tmp_path):
    draw(tmp_path, "Images/a.jpg")
    assert list(PhotoFolder(tmp_path).paths) == ["Images/a.jpg"]


def test_the_home_folder_can_be_a_tilde(tmp_path, monkeypatch):
    draw(tmp_path, "Pictures/a.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert PhotoFolder("~/Pictures").path == tmp_path / "Pictures"


@pytest.mark.parametrize("path", ["nowhere", "nowhere/~", "~nobody/a"])
def test_a_folder_that_is_not_there(tmp_path, path):
    with pytest.raises(FileNotFoundError, match="^there is no folder") as error:
        PhotoFolder(path)
    assert "\n" not in str(error.value)


def test_a_file_is_no_folder(tmp_path):
    draw(tmp_path, "a.jpg")
    with pytest.raises(NotADirectoryError, match="is a file; give the folder that holds it"):
        PhotoFolder(tmp_path / "a.jpg")


def test_a_folder_is_looked_into_again_when_told_so(tmp_path):
    draw(tmp_path, "a.jpg")
    photos = PhotoFolder(tmp_path)
    assert len(photos) == 1
    draw(tmp_path, "b.jpg")
    assert len(photos) == 1
    photos.refresh()
    assert len(photos) == 2


def test_heic_without_its_library_is_said(tmp_path, no_heic):
    (tmp_path / "a.heic").write_bytes(b"x")
    photos = PhotoFolder(tmp_path)
    assert not photos.paths
    assert "pip install pillow-heif" in photos.unsupported["a.heic"]


def test_a_messy_folder_is_sorted_out(tmp_path):
    readable, bad = write_messy_folder(tmp_path / "photos", n=20)
    photos = PhotoFolder(tmp_path / "photos")
    found = set()
    for image_id, path in photos.paths.items():
        try:
            assert read(path).image.mode == "RGB"
            found.add(image_id)
        except UnreadableImageError as error:
            assert len(str(error)) < 150 and "\n" not in str(error)
    assert found == set(readable)
    assert set(photos.paths) | set(photos.unsupported) == set(readable) | set(bad)
    assert photos.n_other_files == 4


@pytest.mark.parametrize("names", [["a", "z"], ["z", "a"]])
def test_two_links_to_one_folder_are_entered_once(tmp_path, names):
    draw(tmp_path / "outside", "1.jpg")
    draw(tmp_path / "photos", "own/2.jpg")
    for name in names:
        (tmp_path / "photos" / name).symlink_to(tmp_path / "outside")
    (tmp_path / "photos/b").symlink_to(tmp_path / "photos/own")  # the folder itself comes first
    assert list(PhotoFolder(tmp_path / "photos").paths) == ["a/1.jpg", "own/2.jpg"]


def test_the_photos_of_a_library_are_found_and_its_previews_are_not(tmp_path):
    draw(tmp_path, "My.photoslibrary/originals/1/a.jpg", "My.photoslibrary/resources/a.jpg")
    assert list(PhotoFolder(tmp_path).paths) == ["My.photoslibrary/originals/1/a.jpg"]


# ---- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright(tmp_path, suffix, orientation):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = [250, 0, 0]  # red at the upper left
    upright = Image.fromarray(pixels)
    stored = {  # how a camera that is held like this stores it
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = upright if stored is None else upright.transpose(stored)
    exif = Image.Exif()
    exif[0x112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    photo = read(tmp_path / f"a.{suffix}", 64)
    assert (photo.width, photo.height) == photo.image.size == (64, 48)
    assert np.abs(np.asarray(photo.image).astype(int) - pixels)[4:20, 4:28].max() < 40


def test_a_jpeg_is_shrunk_while_it_is_decoded(tmp_path):
    draw(tmp_path, "a.jpg", size=(1600, 800))
    photo = read(tmp_path / "a.jpg", least_side=100)
    assert photo.image.size == (200, 100)
    assert (photo.width, photo.height) == (1600, 800)


def test_the_date_of_the_camera(tmp_path):
    write_messy_folder(tmp_path / "photos", n=1)
    folder = tmp_path / "photos/unusual"
    assert str(read(folder / "of 2019.jpg").taken) == "2019-05-03 10:20:30"
    assert read(folder / "without a date.jpg").taken is None
    assert read(folder / "grey.jpg").taken is None
    assert read(folder / "broken exif.jpg").taken is None


def test_a_moving_image_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    for suffix in ("gif", "webp", "png"):
        path = tmp_path / f"a.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
        assert np.abs(read_pixels(path)[10, 10] - [255, 0, 0]).max() < 5


def test_grey_of_more_than_8_bits_keeps_its_tones(tmp_path):
    ramp = np.tile(np.arange(256), (4, 1))
    arrays = {
        "16.png": (ramp * 257).astype(np.uint16),
        "16.tif": (ramp * 257).astype(np.uint16),
        "32.tif": (ramp * 257).astype(np.int32),
        "8 in 32.tif": ramp.astype(np.int32),
        "fractions.tif": (ramp / 255).astype(np.float32),
        "255.tif": ramp.astype(np.float32),
        "any.tif": ((ramp - 100) * 1e7).astype(np.float32),
    }
    for name, array in arrays.items():
        Image.fromarray(array).save(tmp_path / name)
        difference = read_pixels(tmp_path / name) - ramp[:, :, None]
        assert np.abs(difference).max() <= 1, name


def test_odd_numbers_of_an_image_do_no_harm():
    for values in ([np.nan, np.inf, 0, 1], [3, 3, 3, 3], [-1e30, 1e30, 0, 0], [0, 0, 0, 0]):
        image = Image.fromarray(np.array([values], np.float32))
        with np.errstate(all="raise"):
            assert convert_to_rgb(image).mode == "RGB"


def test_what_is_transparent_becomes_white(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.save(tmp_path / "palette.png", transparency=1)
    Image.new("RGBA", (8, 8), (200, 0, 0, 0)).save(tmp_path / "rgba.png")
    Image.new("LA", (8, 8), (0, 0)).save(tmp_path / "la.png")
    for path in tmp_path.iterdir():
        assert (read_pixels(path) == 255).all(), path


def test_cmyk_keeps_its_colours(tmp_path):
    image = draw_scene(0)
    image.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_pixels(tmp_path / "a.jpg") - np.asarray(image)).mean() < 12


def test_heic(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2019:05:03 10:20:30"}
    draw_scene(1).save(tmp_path / "a.HEIC", exif=exif, quality=95)
    assert list(PhotoFolder(tmp_path).paths) == ["a.HEIC"]
    assert str(read(tmp_path / "a.HEIC").taken) == "2019-05-03 10:20:30"
    assert np.abs(read_pixels(tmp_path / "a.HEIC") - np.asarray(draw_scene(1))).mean() < 5


@pytest.mark.parametrize("read", [read, lambda path: read_image(path, 8)])
def test_heic_is_read_although_no_folder_was_listed(tmp_path, no_heic, monkeypatch, read):
    """An image by which to search is the first thing that is read."""
    calls = []
    fake = types.SimpleNamespace(register_heif_opener=lambda: calls.append(1))
    monkeypatch.setitem(sys.modules, "pillow_heif", fake)
    enable_heic.cache_clear()
    draw(tmp_path, "a.jpg")
    for _ in range(2):
        read(tmp_path / "a.jpg")
    assert calls == [1]


def test_heic_under_another_name_says_what_to_install(tmp_path, no_heic):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(UnreadableImageError, match="^HEIC needs pillow-heif: pip install pillow"):
        read(tmp_path / "a.jpg")


# ---- what cannot be read ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("text.jpg", b"no image", "holds no image"),
        ("empty.jpg", b"", "empty"),
        ("one.png", encode(Image.new("RGB", (1, 1)), "PNG"), "only 1 x 1 pixels"),
        ("bomb.png", claim_size(30_000, 30_000), "too many to decode"),
        ("cut.jpg", encode(draw_scene(0))[:1500], "damaged or incomplete"),
        ("cut.png", encode(draw_scene(0), "PNG")[:-300], "damaged or incomplete"),
        ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    ],
)
def test_the_reason_is_short(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableImageError, match=reason) as error:
        read(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    """Also by a limit of our own, since a reader may have turned Pillow's off."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "bomb.png").write_bytes(claim_size(30_000, 30_000))
    start = time.perf_counter()
    with pytest.raises(UnreadableImageError, match="30,000 x 30,000 pixels are too many"):
        read(tmp_path / "bomb.png")
    assert time.perf_counter() - start < 1


def test_too_little_memory_is_no_fault_of_the_file(tmp_path, monkeypatch):
    def fail(image, *_):
        raise MemoryError

    monkeypatch.setattr(module, "_decode", fail)
    draw(tmp_path, "a.jpg")
    with pytest.raises(OSError, match="^it needs more memory than there is$"):
        read(tmp_path / "a.jpg")


def test_large_images_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    held = []

    def note(image, *_):
        held.append(module._one_large_image.locked())

    monkeypatch.setattr(module, "_decode", note)
    for size in (module.LARGE // 100, module.LARGE // 100 + 1):
        (tmp_path / "a.png").write_bytes(claim_size(size, 100))
        read(tmp_path / "a.png")
    assert held == [False, True]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(UnreadableImageError, match="no ordinary file"):
        open_file(tmp_path / "a.jpg")
