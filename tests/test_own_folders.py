"""A reader's own folder: where images may lie, what captions look like, what is left out."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from PIL import Image

from clipnb import load_dataset
from clipnb.datasets.caption_files import read_captions
from clipnb.datasets.folders import describe_left_out, read_dataset_folder
from clipnb.datasets.image_files import ImageNames, enable_heic, find_images
from clipnb.datasets.splits import find_split_folders
from clipnb.recipes import RECIPES
from clipnb.runs import run_folder
from clipnb.runtime import cache_dir


def draw(folder, *names, size=(8, 6)):
    """Draw a small image for each name, each of another colour."""
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (i * 12 % 256, 100, 200)).save(path)


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding, newline="\n")


def read(folder):
    """Read a folder. Return {image name: captions}, and the phrases about what is left out."""
    data = read_dataset_folder(folder)
    return data.captions, describe_left_out(data.dropped)


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


# ---- captions --------------------------------------------------------------------------------

TABLES = {
    "captions.txt": "image,caption\na.jpg,a dog\nb.jpg,a cat, asleep\n",
    "Captions.TXT": "a.jpg,a dog\nb.jpg,a cat, asleep\n",
    "captions.csv": 'filename,text\na.jpg,a dog\nb.jpg,"a cat, asleep"\n',
    "caption.csv": "File Name;Description\na.jpg;a dog\nb.jpg;a cat, asleep\n",
    "captions.tsv": "path\ttitle\na.jpg\ta dog\nb.jpg\ta cat, asleep\n",
    "metadata.csv": "id,file_name,caption\n1,a.jpg,a dog\n2,b.jpg,a cat, asleep\n",
    "results.csv": "image_name| comment_number| comment\n"
    "a.jpg| 0| a dog\nb.jpg| 0| a cat, asleep\n",
    "metadata.jsonl": '{"file_name": "a.jpg", "text": "a dog"}\n'
    '{"file_name": "b.jpg", "text": ["a cat, asleep"]}\n',
}


@pytest.mark.parametrize("file", TABLES)
def test_caption_files_of_many_kinds(tmp_path, file):
    draw(tmp_path, "Photos/a.jpg", "Photos/b.jpg")
    write(tmp_path, file, TABLES[file])
    captions, left_out = read(tmp_path)
    assert captions == {"Photos/a.jpg": ["a dog"], "Photos/b.jpg": ["a cat, asleep"]}
    assert left_out == []


def test_cells_in_quotes_may_hold_separators_quotes_and_line_breaks(tmp_path):
    text = (
        'image,caption\na.jpg,"one, ""two""\nand three"\nb.jpg,a 5" screen\nc.jpg,"never closed\n'
    )
    write(tmp_path, "captions.csv", text)
    assert read_captions(tmp_path / "captions.csv") == [
        ("a.jpg", 'one, "two" and three'),
        ("b.jpg", 'a 5" screen'),
        ("c.jpg", "never closed"),
    ]


def test_several_columns_of_captions(tmp_path):
    text = "image,caption_1,caption_2,author\na.jpg,a dog,a brown dog,Ann\nb.jpg,a cat,,Bo\n"
    write(tmp_path, "captions.csv", text)
    assert read_captions(tmp_path / "captions.csv") == [
        ("a.jpg", "a dog"),
        ("a.jpg", "a brown dog"),
        ("b.jpg", "a cat"),
        ("b.jpg", ""),
    ]


@pytest.mark.parametrize("name", ["a.txt", "a.jpg.txt", "A.TXT", "a.caption"])
def test_a_text_file_beside_each_image(tmp_path, name):
    draw(tmp_path, "2019/a.jpg", "2020/a.jpg", "b.jpg")
    write(tmp_path, f"2019/{name}", "a dog\n\na brown dog\n")
    write(tmp_path, "b.txt", "a cat")
    write(tmp_path, "README.txt", "These are my photos.")
    captions, left_out = read(tmp_path)
    assert captions == {"2019/a.jpg": ["a dog", "a brown dog"], "b.jpg": ["a cat", "a cat"]}
    assert left_out == ["1 image without a caption (2020/a.jpg)"]


def test_an_image_folder_of_hugging_face_with_its_splits(tmp_path):
    for split, n in (("train", 4), ("validation", 2), ("test", 2)):
        names = [f"{i}.png" for i in range(n)]
        draw(tmp_path / split, *names)
        rows = [json.dumps({"file_name": name, "text": f"{split} {name}"}) for name in names]
        write(tmp_path, f"{split}/metadata.jsonl", "\n".join(rows))
    data = read_dataset_folder(tmp_path)
    assert data.captions["validation/1.png"] == ["validation 1.png"]
    assert {split: len(names) for split, names in data.splits.items()} == {
        "train": 4,
        "dev": 2,
        "test": 2,
    }
    assert data.split_source == "folders train, validation and test"


@pytest.mark.parametrize(
    "names",
    [["train/a.jpg", "test/b.jpg"], ["train/a.jpg", "val/b.jpg", "test/c.jpg", "d.jpg"], ["a.jpg"]],
)
def test_folders_that_are_no_splits(names):
    assert find_split_folders(names) == {}


def test_lists_and_labels_may_name_the_file_alone(tmp_path):
    draw(tmp_path, *[f"Photos/{i}.jpg" for i in range(6)])
    write(tmp_path, "captions.csv", "".join(f"{i}.jpg,number {i} of six\n" for i in range(6)))
    write(tmp_path, "splits/train.txt", "2.jpg\n0.JPG\n")
    write(tmp_path, "splits/dev.txt", "Photos/1.jpg\n")
    write(tmp_path, "labels.json", '{"3.jpg": {"count": 3}}')
    data = read_dataset_folder(tmp_path)
    assert data.splits == {"dev": ["Photos/1.jpg"], "train": ["Photos/2.jpg", "Photos/0.jpg"]}
    assert data.labels["Photos/3.jpg"] == {"count": 3}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_text_with_a_byte_order_mark(tmp_path, encoding):
    draw(tmp_path, "a.jpg")
    write(tmp_path, "captions.csv", "image;caption\na.jpg;ein grüner Käfer\n", encoding)
    assert read(tmp_path)[0] == {"a.jpg": ["ein grüner Käfer"]}


def test_another_encoding_is_refused_and_the_way_out_is_told(tmp_path):
    draw(tmp_path, "a.jpg")
    write(tmp_path, "captions.csv", "image;caption\na.jpg;ein grüner Käfer\n", "latin-1")
    with pytest.raises(ValueError, match=r"captions.csv:2: expected UTF-8.*0xfc.*CSV UTF-8"):
        read(tmp_path)


@pytest.mark.parametrize(
    "file, text, message",
    [
        ("captions.csv", "who,what\na.jpg,a dog\n", "captions.csv:1: .*Call the column"),
        (
            "captions.csv",
            "caption,image\na dog\n",
            "captions.csv:2: expected cells as in 'caption,",
        ),
        ("captions.csv", "image,caption,who\na.jpg,a cat, asleep,Ann\n", "csv:2: .*in quotes"),
        ("metadata.jsonl", '{"file_name": "a.jpg"}\n', 'metadata.jsonl:1: expected {"file_name"'),
        ("metadata.jsonl", "[1]\n", "metadata.jsonl:1: expected {"),
        ("metadata.jsonl", "a.jpg,a dog\n", "metadata.jsonl:1: expected a JSON object"),
    ],
)
def test_a_file_that_cannot_be_understood(tmp_path, file, text, message):
    draw(tmp_path, "a.jpg")
    write(tmp_path, file, text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


@pytest.mark.parametrize("text", ["", "\n\n", "image,caption\n"])
def test_a_caption_file_without_captions_says_what_to_do(tmp_path, text):
    draw(tmp_path, "a.jpg")
    write(tmp_path, "captions.txt", text)
    with pytest.raises(ValueError, match="captions.txt holds no caption.*delete the file"):
        read(tmp_path)


def test_hidden_files_are_neither_split_lists_nor_captions(tmp_path):
    draw(tmp_path, "a.jpg")
    (tmp_path / "._words.csv").write_bytes(b"\x00\xff")
    with pytest.raises(FileNotFoundError) as caught:
        read(tmp_path)
    assert "words.csv" not in str(caught.value)
    write(tmp_path, "a.txt", "a dog")
    write(tmp_path, "splits/train.txt", "a.jpg")
    (tmp_path / "splits" / "._train.txt").write_bytes(b"\x00\xff")
    assert read_dataset_folder(tmp_path).splits == {"train": ["a.jpg"]}


def test_a_split_list_holds_no_captions(tmp_path):
    draw(tmp_path, "train.jpg", "a.jpg")
    write(tmp_path, "a.txt", "a dog")
    write(tmp_path, "splits/train.txt", "a.jpg")
    captions, left_out = read(tmp_path)
    assert captions == {"a.jpg": ["a dog"]}
    assert left_out == ["1 image without a caption (train.jpg)"]


def test_a_file_of_another_name_may_hold_the_captions(tmp_path):
    draw(tmp_path, "a.jpg")
    write(tmp_path, "words.csv", "image,caption\na.jpg,a dog\n")
    with pytest.raises(FileNotFoundError, match="words.csv holds the captions, rename it to capt"):
        read(tmp_path)


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


@pytest.fixture
def no_heic(monkeypatch):
    """Pretend that pillow-heif is not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    enable_heic.cache_clear()
    yield
    enable_heic.cache_clear()


def test_heic_without_its_reader_says_what_to_install(tmp_path, no_heic):
    draw(tmp_path, "a.jpg")
    for name in ("IMG_1.HEIC", "IMG_2.heic"):
        (tmp_path / name).write_bytes(b"")
    write(tmp_path, "captions.csv", "image,caption\na.jpg,a dog\nIMG_1.HEIC,a cat\n")
    captions, left_out = read(tmp_path)
    assert list(captions) == ["a.jpg"]
    assert left_out == [
        "2 images in an unreadable format (IMG_1.HEIC, IMG_2.heic: for HEIC install pillow-heif, "
        "`pip install 'clipnb[heic]'`)"
    ]


def test_a_folder_of_heic_alone_says_what_to_install(tmp_path, no_heic):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"no images in .*1 image .*clipnb\[heic\]"):
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


# ---- what is left out ------------------------------------------------------------------------


def test_everything_left_out_is_counted_and_named_in_one_warning(tmp_path, monkeypatch, no_heic):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    draw(folder, *[f"{i}.jpg" for i in range(12)], *[f"new_{i}.jpg" for i in range(5)])
    (folder / "0.jpg").write_bytes(b"no image")
    (folder / "c.heic").write_bytes(b"")
    rows = "".join(f"{i}.jpg,number {i} of twelve\n" for i in range(12))
    write(folder, "captions.csv", f"image,caption\n{rows}gone.jpg,a dog\n")
    write(folder, "splits/train.txt", "".join(f"{i}.jpg\n" for i in range(12)))
    with pytest.warns(UserWarning) as caught:
        dataset = load_dataset("mine", "train", 8, root=tmp_path)
    assert len(dataset) == 11
    (message,) = {str(warning.message) for warning in caught}
    assert message.startswith(
        "mine leaves out 5 images without a caption (new_0.jpg, new_1.jpg, new_2.jpg, …); "
        "1 captioned name without an image file (gone.jpg); 1 image in an unreadable format "
        "(c.heic: for HEIC install pillow-heif, `pip install 'clipnb[heic]'`); 1 unreadable image "
        "file (0.jpg: cannot identify image file"
    )
    assert "\n" not in message


def test_captions_of_other_images_are_refused_with_examples(tmp_path):
    draw(tmp_path, "a.jpg")
    write(tmp_path, "captions.csv", "image,caption\na.jpg,a dog\nx.jpg,a cat\ny.jpg,a tree\n")
    with pytest.raises(ValueError, match=r"captions for 2 names \(of 3\).*'x.jpg', 'y.jpg'"):
        read(tmp_path)


def test_a_dataset_that_is_complete_gives_no_warning(small, recwarn):
    small("train")
    assert not recwarn.list


def test_an_image_that_gets_another_name_is_decoded_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    draw(folder, "Images/a.jpg", "Images/b.jpg", "Images/c.jpg")
    for name in "abc":
        write(folder, f"Images/{name}.txt", f"the image {name}")
    write(folder, "splits/train.txt", "Images/a.jpg\nImages/b.jpg\n")
    assert load_dataset("mine", "train", 4, root=tmp_path).image_ids == ["a.jpg", "b.jpg"]
    draw(folder, "a.jpg")  # now "a.jpg" is another image
    with pytest.warns(UserWarning, match=r"leaves out 1 image without a caption \(a.jpg\)"):
        dataset = load_dataset("mine", "train", 4, root=tmp_path)
    assert dataset.image_ids == ["Images/a.jpg", "b.jpg"]
    assert dataset.paths[0] == folder / "Images" / "a.jpg"


def test_a_dataset_may_be_named_by_its_path(tmp_path):
    name = str(tmp_path / "holiday")
    recipe = dataclasses.replace(RECIPES["quick"], dataset=name)
    assert run_folder(recipe).parent == cache_dir() / "runs"
    assert run_folder(recipe).name.startswith("holiday-quick-0-")


def test_images_that_are_all_broken_say_why(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    write(tmp_path, "mine/a.jpg", "no image")
    write(tmp_path, "mine/a.txt", "a dog")
    with pytest.raises(
        ValueError, match="none of the 1 images .*cannot identify image file.*a.jpg"
    ):
        load_dataset("mine", "train", 8, root=tmp_path)
