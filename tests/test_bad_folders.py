"""Bad dataset folders: each is refused in one line, or costs one picture."""

import math

import numpy as np
import pytest
from bad_parts import LONG_NUMBER, check_message, make_folder

from clipnb import (
    load_dataset,
)
from clipnb.scenes import write_scenes


@pytest.mark.parametrize("size", [0, -1, "16", 16.0, None, math.nan, True, [8]])
def test_a_size_of_images_is_a_whole_number(size):
    with pytest.raises(ValueError) as error:
        load_dataset("own", "dev", size)
    check_message(error, "image_size", repr(size), "whole number of pixels")


ROWS = "".join(f"{i}.png,picture number {i}\n" for i in range(6))
FILES = {  # {case: (files that are written, words of the message)}
    "no caption file": ({}, ["no captions in"]),
    "an empty caption file": ({"captions.txt": ""}, ["captions.txt", "holds no caption"]),
    "a header alone": ({"captions.txt": "image,caption\n"}, ["captions.txt", "holds no caption"]),
    "no header": ({"captions.txt": "hello\nworld\n"}, ["captions.txt:1", "image,caption"]),
    "another header": ({"captions.txt": "a,b\n0.png,x\n"}, ["captions.txt:1", "image,caption"]),
    "a cell too many": (
        {"captions.csv": f"caption,image\na dog,0.png,x\n{ROWS}"},
        ["captions.csv:2", "expected"],
    ),
    "a line without a caption": (
        {"captions.txt": f"image,caption\n{ROWS}7.png\n"},
        ["captions.txt:8", "expected"],
    ),
    "Latin-1": ({"captions.txt": b"image,caption\n0.png,caf\xe9\n"}, ["captions.txt:2", "UTF-8"]),
    **{
        f"{encoding} without a mark": (
            {"captions.txt": f"image,caption\n{ROWS}".encode(encoding)},
            ["captions.txt:1", "UTF-16 or UTF-32 without a byte-order mark", "save the file as"],
        )
        for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
    },
    "UTF-32, cut": (
        {"captions.txt": f"image,caption\n{ROWS}".encode("utf-32")[:-2]},
        ["captions.txt:", "UTF-8"],
    ),
    "zeros": ({"captions.txt": bytes(100)}, ["captions.txt:1"]),
    "a zero in a caption": (
        {"captions.txt": f"image,caption\n{ROWS}6.png,a\0dog\n"},
        ["captions.txt:8", "0x00"],
    ),
    "a split list in UTF-16 without a mark": (
        {
            "captions.txt": f"image,caption\n{ROWS}",
            "splits/train.txt": "0.png\n".encode("utf-16-le"),
        },
        ["train.txt:1", "UTF-16"],
    ),
    "JSON lines, 5,000 digits": (
        {"captions.jsonl": f'{{"image": "0.png", "caption": {LONG_NUMBER}}}\n'},
        ["captions.jsonl:1", "an integer of 5,000 digits"],
    ),
    "labels with 5,000 digits": (
        {"captions.txt": f"image,caption\n{ROWS}", "labels.json": f'{{"0.png": {LONG_NUMBER}}}'},
        ["labels.json", "an integer of 5,000 digits"],
    ),
    "a picture as captions": ({"captions.txt": b"\x89PNG\r\n\x1a\n\0\xff"}, ["captions.txt:1"]),
    "no word in any caption": (
        {"captions.txt": "image,caption\n" + "".join(f"{i}.png,123 !\n" for i in range(6))},
        ["captions.txt", "a caption needs a word"],
    ),
    "articles alone": (
        {"captions.txt": "image,caption\n" + "".join(f"{i}.png,a\n" for i in range(6))},
        ["captions.txt", "a caption needs a word"],
    ),
    "names of other pictures": (
        {"captions.txt": "image,caption\n" + "".join(f"x{i}.png,a dog\n" for i in range(6))},
        ["captions.txt", "6 names", "'x0.png'"],
    ),
    "JSON lines, broken": ({"captions.jsonl": "{\n"}, ["captions.jsonl:1", "JSON"]),
    "JSON lines, a list": ({"captions.jsonl": "[1]\n"}, ["captions.jsonl:1", "file_name"]),
    "JSON lines, a number": ({"captions.jsonl": "1\n"}, ["captions.jsonl:1"]),
    "JSON lines, other keys": ({"captions.jsonl": '{"a": 1}\n'}, ["captions.jsonl:1"]),
    "JSON lines, captions in objects": (
        {"captions.jsonl": '{"image": "0.png", "captions": [{"caption": "a dog"}]}\n'},
        ["captions.jsonl:1", "expected a caption", "{'caption': 'a dog'}"],
    ),
    "a cell that is a printed list": (
        {"captions.csv": """image,captions\n0.png,"['a dog', 'a cat']"\n"""},
        ["captions.csv:2", "list", "a line or a column of its own"],
    ),
    "token file, no number": (
        {"Flickr8k.token.txt": "0.png a dog\n"},
        ["Flickr8k.token.txt:1", "name.jpg#0"],
    ),
    "labels that are no JSON": (
        {"captions.txt": f"image,caption\n{ROWS}", "labels.json": "{"},
        ["labels.json", "JSON"],
    ),
    "a label that is a number": (
        {"captions.txt": f"image,caption\n{ROWS}", "labels.json": '{"0.png": 3}'},
        ["labels.json", "object", "got a int"],
    ),
    "labels in a list": (
        {"captions.txt": f"image,caption\n{ROWS}", "labels.json": "[]"},
        ["labels.json", "object"],
    ),
    "one image in two splits": (
        {
            "captions.txt": f"image,caption\n{ROWS}",
            "splits/train.txt": "0.png\n1.png\n",
            "splits/test.txt": "1.png\n",
        },
        ["test.txt", "'1.png'"],
    ),
    "a split of other pictures": (
        {"captions.txt": f"image,caption\n{ROWS}", "splits/train.txt": "x.png\ny.png\n"},
        ["train.txt", "'x.png'"],
    ),
    "a split list in Latin-1": (
        {"captions.txt": f"image,caption\n{ROWS}", "splits/train.txt": b"\xe9\n"},
        ["train.txt:1", "UTF-8"],
    ),
    "an empty split list": (
        {"captions.txt": f"image,caption\n{ROWS}", "splits/train.txt": ""},
        ["train.txt", "lists no image"],
    ),
}


def test_a_size_of_images_may_be_a_number_of_numpy(tmp_path, own_cache):
    make_folder(tmp_path, {"captions.txt": f"image,caption\n{ROWS}"})
    for _ in range(2):  # decoded, and from the cache
        assert load_dataset("own", "train", np.int64(8), root=tmp_path).images.shape[2:] == (8, 8)


@pytest.mark.parametrize("split", [["train"], None, {}, "Train"])
def test_a_split_is_one_of_those_that_are_there(split, tmp_path, own_cache):
    make_folder(tmp_path, {"captions.txt": f"image,caption\n{ROWS}"})
    with pytest.raises(ValueError) as error:
        load_dataset("own", split, 8, root=tmp_path)
    check_message(error, f"own has no split {split!r}; it has train, dev, test")


@pytest.mark.parametrize("case", FILES)
def test_a_dataset_folder_says_which_file_is_wrong(case, tmp_path, own_cache):
    files, parts = FILES[case]
    make_folder(tmp_path, files)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        load_dataset("own", "train", 8, root=tmp_path)
    message = str(error.value).splitlines()[0]
    for part in parts:
        assert part in message, message
    assert "set_int_max_str_digits" not in message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_captions_in_an_encoding_with_a_mark_are_read(encoding, tmp_path, own_cache):
    content = f"image,caption\n{ROWS}".replace("picture", "caf\u00e9 \u72d7").encode(encoding)
    swapped = {"utf-16": "utf-16-be", "utf-32": "utf-32-be"}
    contents = [content]
    if encoding in swapped:  # the other order of bytes
        text = f"\ufeff{content.decode(encoding)}"
        contents.append(text.encode(swapped[encoding]))
    for i, each in enumerate(contents):
        (tmp_path / str(i)).mkdir()
        make_folder(tmp_path / str(i), {"captions.txt": each})
        captions = load_dataset("own", "train", 8, root=tmp_path / str(i)).captions
        assert captions[0][0].startswith("caf\u00e9 \u72d7 number")


PICTURES = {
    "empty.png": b"",
    "text.jpg": b"no picture",
    "cut.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "zeros.jpg": bytes(1000),
    "html.jpg": b"<!DOCTYPE html><html></html>",
    "zip.png": b"PK\x03\x04" + bytes(100),
    "script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "pickle.png": b"\x80\x04cos\nsystem\n.",
    "huge.ppm": b"P6 100000 100000 255\n" + bytes(100),
    "one_pixel.pgm": b"P5 1 1 255\n\0",
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_that_cannot_be_read_costs_one_picture(name, tmp_path, own_cache):
    folder = make_folder(tmp_path, {"captions.txt": f"image,caption\n{ROWS}{name},a dog\n"})
    (folder / name).write_bytes(PICTURES[name])
    (folder / "splits").mkdir()
    (folder / "splits" / "train.txt").write_text(
        "".join(f"{i}.png\n" for i in range(6)) + f"{name}\n"
    )
    with pytest.warns(UserWarning, match=f"1 unreadable image file .*{name}"):
        dataset = load_dataset("own", "train", 8, root=tmp_path)
    assert len(dataset) == 6
    assert dataset.skipped == [name]


def test_a_folder_with_pictures_is_not_drawn_over(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"the only copy")
    with pytest.raises(FileExistsError) as error:
        write_scenes(tmp_path, {"train": 2}, workers=1)
    check_message(error, tmp_path.name, "nothing of it was touched")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
