"""Where the images of a reader's own folder may lie, and in which formats."""

import os

import numpy as np
import pytest
from own_folder import draw, read, write
from PIL import Image

from clipnb import load_dataset
from clipnb.datasets import convert_to_rgb
from clipnb.datasets.folders import describe_left_out, read_dataset_folder
from clipnb.datasets.image_files import ImageNames, find_images

# ---- where images lie ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place, name",
    [
        ("", "a.jpg"),
        ("Images/", "a.jpg"),
        ("images/", "a.jpg"),
        ("IMAGES/", "a.jpg"),
        ("Photos/", "Photos/a.jpg"),
        ("Images/2019/", "2019/a.jpg"),
        ("2019/summer/", "2019/summer/a.jpg"),
    ],
)
def test_images_lie_anywhere_and_captions_name_the_file_alone(tmp_path, place, name):
    draw(tmp_path, f"{place}a.jpg", f"{place}b.jpg")
    write(tmp_path, "captions.txt", "image,caption\na.jpg,a dog\nb.jpg,a cat\n")
    data = read_dataset_folder(tmp_path)
    assert data.captions[name] == ["a dog"]
    assert data.image_paths[name] == tmp_path / f"{place}a.jpg"
    assert describe_left_out(data.dropped) == []


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg",
        "A.JPG",
        "./a.jpg",
        "2019/a.jpg",
        r"2019\a.jpg",
        "/home/me/2019/a.jpg",
        "a",
        "a.jpg#0",
    ],
)
def test_a_caption_file_names_an_image_in_many_ways(text):
    names, _ = ImageNames(["2019/a.jpg", "2019/b.jpg"]).find(text)
    assert names == ["2019/a.jpg"]


@pytest.mark.parametrize("text", ["2020/a.jpg", "c.jpg", "a.png", "a.jpg.1", "9/a.jpg", ""])
def test_another_name_means_no_image(text):
    assert ImageNames(["2019/a.jpg", "2019/b.jpg"]).find(text)[0] == []


def test_an_accent_may_be_written_in_two_ways():
    names, _ = ImageNames(["cafe\u0301.jpg"]).find("caf\u00e9.jpg")
    assert names == ["cafe\u0301.jpg"]


def test_names_that_differ_by_folder_or_case_are_not_confused(tmp_path):
    draw(tmp_path, "2019/a.jpg", "2020/a.jpg", "b.jpg", "B.JPG", "c.jpg", "Images/c.jpg")
    rows = {
        "2019/a.jpg": "a dog",
        "2020/a.jpg": "a cat",
        "a.jpg": "which of the two?",
        "b.jpg": "a small bird",
        "B.JPG": "a large bird",
        "c.jpg": "which of the two?",
        "Images/c.jpg": "a tree",
    }
    table = "".join(f"{name},{caption}\n" for name, caption in rows.items())
    write(tmp_path, "captions.csv", f"image,caption\n{table}")
    captions, left_out = read(tmp_path)
    assert captions == {
        "2019/a.jpg": ["a dog"],
        "2020/a.jpg": ["a cat"],
        "B.JPG": ["a large bird"],
        "Images/c.jpg": ["a tree"],
        "b.jpg": ["a small bird"],
    }
    assert left_out == [
        "1 image without a caption (c.jpg)",
        "2 captioned names that fit several images (a.jpg, c.jpg: give the folder and the "
        "suffix too, as in 2019/beach.jpg)",
    ]


def test_an_image_that_is_missing_does_not_lend_its_caption_to_another_one(tmp_path):
    """2019/a.jpg and A.jpg are gone; a.jpg alone is there."""
    draw(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    write(
        tmp_path,
        "captions.csv",
        "image,caption\na.jpg,a dog\nA.jpg,a cat\n2019/a.jpg,a tree\nb.jpg,a bird\nc.jpg,a hat\n",
    )
    captions, left_out = read(tmp_path)
    assert captions["a.jpg"] == ["a dog"]
    assert left_out == ["2 captioned names without an image file (A.jpg, 2019/a.jpg)"]


def test_hidden_files_are_no_images(tmp_path):
    draw(tmp_path, "a.jpg", "._a.jpg", "__MACOSX/a.jpg", ".trash/b.jpg", "@eaDir/a.jpg")
    assert list(find_images(tmp_path).paths) == ["a.jpg"]


def test_a_link_to_a_folder_of_images_is_followed_once(tmp_path):
    draw(tmp_path, "elsewhere/a.jpg")
    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "photos").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(folder)
    assert list(find_images(folder).paths) == ["photos/a.jpg"]


def test_of_several_links_to_one_image_elsewhere_the_first_one_stays(tmp_path):
    (tmp_path / "elsewhere.jpg").write_bytes(b"")
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("c.jpg", "b.jpg", "d.jpg"):
        (folder / name).symlink_to(tmp_path / "elsewhere.jpg")
    assert list(find_images(folder).paths) == ["b.jpg"]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, monkeypatch):
    draw(tmp_path, "a.jpg", "locked/b.jpg")
    write(tmp_path, "a.txt", "a dog")
    real = os.scandir

    def scan(place):
        if str(place) == str(tmp_path / "locked"):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", scan)
    captions, left_out = read(tmp_path)
    assert captions == {"a.jpg": ["a dog"]}
    assert left_out == [f"1 folder that cannot be listed ({tmp_path / 'locked'})"]


def test_a_link_that_leads_nowhere_is_no_image(tmp_path):
    draw(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "c.jpg").symlink_to("c.jpg")
    write(tmp_path, "captions.csv", "image,caption\na.jpg,a dog\nb.jpg,a cat\n")
    captions, left_out = read(tmp_path)
    assert captions == {"a.jpg": ["a dog"]}
    assert left_out == ["1 captioned name without an image file (b.jpg)"]


def test_a_name_that_ends_like_the_number_of_a_caption(tmp_path):
    draw(tmp_path, "a.jpg", "a#2.jpg")
    write(tmp_path, "a.txt", "a dog")
    write(tmp_path, "a#2.txt", "a cat")
    assert read(tmp_path)[0] == {"a#2.jpg": ["a cat"], "a.jpg": ["a dog"]}


# ---- formats ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["gif", "tif", "TIFF", "webp", "bmp", "PNG", "jfif", "avif"])
def test_formats_that_pillow_reads(tmp_path, monkeypatch, suffix):
    if f".{suffix.lower()}" not in Image.registered_extensions():
        pytest.skip("this version of Pillow does not know the format")
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    draw(tmp_path / "mine", *[f"{i}.{suffix}" for i in range(3)], size=(64, 64))
    write(tmp_path / "mine", "captions.csv", "".join(f"{i},number {i} of three\n" for i in "012"))
    with pytest.raises(ValueError, match="expected the header"):
        read(tmp_path / "mine")  # without a header and without a suffix nothing tells the columns
    rows = "".join(f"{i},number {i} of three\n" for i in "012")
    write(tmp_path / "mine", "captions.csv", f"image,caption\n{rows}")
    for split in ("train", "dev", "test"):
        dataset = load_dataset("mine", split, 16, root=tmp_path)
        assert abs(dataset.images[0, 1].astype(int) - 100).max() < 12, "green is 100 in all of them"
        assert dataset.paths == [tmp_path / "mine" / dataset.image_ids[0]]


def load_one(tmp_path, monkeypatch, image, **options):
    """Save an image three times as a dataset of PNG or GIF files. Return the first as (3, 8, 8)."""
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    suffix = "gif" if "append_images" in options else "png"
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in "abc":
        image.save(folder / f"{name}.{suffix}", **options)
        write(folder, f"{name}.txt", "an image")
    return load_dataset("mine", "train", 8, root=tmp_path).images[0].astype(int)


def test_what_is_transparent_becomes_white(tmp_path, monkeypatch):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 4, 8))
    pixels = load_one(tmp_path, monkeypatch, image)
    assert pixels[:, 0, 0].tolist() == [255, 0, 0]
    assert pixels[:, 0, 7].tolist() == [255, 255, 255]


def test_sixteen_bits_of_grey_keep_their_brightness(tmp_path, monkeypatch):
    grey = np.full((8, 8), 128 * 256, np.uint16)
    pixels = load_one(tmp_path, monkeypatch, Image.fromarray(grey))
    assert (pixels == 128).all()


def test_the_first_image_of_an_animation_is_taken(tmp_path, monkeypatch):
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    pixels = load_one(tmp_path, monkeypatch, red, save_all=True, append_images=[blue])
    assert pixels[:, 4, 4].tolist() == [255, 0, 0]


def test_heic_without_its_reader_says_what_to_install(tmp_path, no_heic):
    draw(tmp_path, "a.jpg")
    for name in ("IMG_1.HEIC", "IMG_2.heic"):
        (tmp_path / name).write_bytes(b"")
    write(tmp_path, "captions.csv", "image,caption\na.jpg,a dog\nIMG_1.HEIC,a cat\n")
    captions, left_out = read(tmp_path)
    assert list(captions) == ["a.jpg"]
    assert left_out == [
        "2 images in an unreadable format (IMG_1.HEIC, IMG_2.heic: for HEIC run "
        "`pip install pillow-heif`)"
    ]


def test_a_folder_of_heic_alone_says_what_to_install(tmp_path, no_heic):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"")
    with pytest.raises(
        FileNotFoundError, match=r"no images in .*1 image .*pip install pillow-heif"
    ):
        read(tmp_path)


def test_heic_is_read_where_its_reader_is_installed(tmp_path, monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    for name in "abc":
        folder = tmp_path / "mine"
        folder.mkdir(exist_ok=True)
        image = Image.new("RGB", (64, 64), (200, 100, 50))
        pillow_heif.from_pillow(image).save(folder / f"{name}.HEIC")
        write(folder, f"{name}.txt", "an image")
    pixels = load_dataset("mine", "train", 8, root=tmp_path).images[0].astype(int)
    assert abs(pixels[:, 4, 4] - [200, 100, 50]).max() < 12


def test_raw_files_are_named_with_what_to_do(tmp_path):
    draw(tmp_path, "a.jpg")
    (tmp_path / "b.CR2").write_bytes(b"")
    write(tmp_path, "a.txt", "a dog")
    assert read(tmp_path)[1] == [
        "1 image in an unreadable format (b.CR2: save them as JPEG or PNG)"
    ]


def test_16_bits_of_either_order_of_bytes_are_scaled(tmp_path):
    """A TIFF may hold the larger byte first, as those of many scanners do."""
    ramp = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    for mode, kind in (("I;16", "<u2"), ("I;16B", ">u2")):
        Image.frombytes(mode, (16, 16), ramp.astype(kind).tobytes()).save(tmp_path / "ramp.tif")
        with Image.open(tmp_path / "ramp.tif") as image:
            assert image.mode == mode
            found = np.asarray(convert_to_rgb(image))
        assert (found == (ramp >> 8)[..., None]).all()
