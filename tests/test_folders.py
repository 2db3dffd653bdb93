"""Reading dataset folders: the three layouts, what the real files contain, and what a reader can get wrong."""

import json
import random

import pytest
from PIL import Image

from clipnb.datasets.folders import duplicate_images, is_junk, read_dataset_folder
from clipnb.runtime import data_dir

NAMES = [f"{1000 + i}_ab.jpg" for i in range(20)]


def draw(folder, names=NAMES):
    """One small image a name, each of another colour."""
    folder.mkdir(parents=True)
    for i, name in enumerate(names):
        Image.new("RGB", (8, 6), (i * 12, 100, 200)).save(folder / name)


def official(folder, lines=None, lists=True):
    """A folder in the official layout: 20 images, 5 captions each, 14 + 3 + 2 in the lists and one image in no list."""
    draw(folder / "Flicker8k_Dataset")
    text = folder / "Flickr8k_text"
    text.mkdir()
    lines = lines or [
        f"{name}#{k}\tDog {name[:4]} runs for the {k}th time ." for name in NAMES for k in range(5)
    ]
    (text / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    for split, names in (("train", NAMES[:14]), ("dev", NAMES[14:17]), ("test", NAMES[17:19])):
        if lists:
            (text / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")
    return folder


def kaggle(folder, lines=None):
    """A folder in Kaggle's layout: the same images, no split lists."""
    draw(folder / "Images")
    lines = lines or [
        f"{name},Dog {name[:4]} runs for the {k}th time ." for name in NAMES for k in range(5)
    ]
    (folder / "captions.txt").write_text(
        "\n".join(["image,caption", *lines]) + "\n", encoding="utf-8"
    )
    return folder


def test_official_layout(tmp_path):
    data = read_dataset_folder(official(tmp_path / "flickr8k"))
    assert list(data.image_paths) == list(data.captions) == NAMES
    assert all(path.is_file() for path in data.image_paths.values())
    assert data.captions["1003_ab.jpg"][4] == "Dog 1003 runs for the 4th time ."
    assert data.splits == {"train": NAMES[:14], "dev": NAMES[14:17], "test": NAMES[17:19]}
    assert data.split_source == "official lists" and data.labels is None


def test_kaggle_layout_reads_the_same(tmp_path):
    one, other = (
        read_dataset_folder(official(tmp_path / "a")),
        read_dataset_folder(kaggle(tmp_path / "b")),
    )
    assert one.captions == other.captions
    assert other.split_source == "seeded split by image, 80/10/10"


def test_kaggle_quoting(tmp_path):
    lines = [
        f'{NAMES[0]},"A dog , a cat , and a bird ."',
        f"{NAMES[0]},A dog , a cat , and a bird .",
        f'{NAMES[0]},"A sign says ""Stop"" , twice ."',
        f'{NAMES[0]},A sign says "Stop" again .',
        f"{NAMES[0]},  A  dog\twaits . ",
    ]
    captions = read_dataset_folder(kaggle(tmp_path / "k", lines)).captions
    assert captions == {
        NAMES[0]: [
            "A dog , a cat , and a bird .",
            "A dog , a cat , and a bird .",
            'A sign says "Stop" , twice .',
            'A sign says "Stop" again .',
            "A dog waits .",
        ]
    }


def test_captions_from_windows(tmp_path):
    folder = kaggle(tmp_path / "k")
    text = (folder / "captions.txt").read_text()
    (folder / "captions.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert (
        read_dataset_folder(folder).captions
        == read_dataset_folder(official(tmp_path / "o")).captions
    )


@pytest.mark.parametrize("place", [".", "Flickr8k_text", "..", "../Flickr8k_text"])
def test_kaggle_folder_uses_official_lists_that_lie_near(tmp_path, place):
    folder = kaggle(tmp_path / "data" / "flickr8k")
    (folder / place).mkdir(exist_ok=True)
    for split, names in (("train", NAMES[5:]), ("dev", NAMES[:2]), ("test", NAMES[2:5])):
        (folder / place / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names))
    data = read_dataset_folder(folder)
    assert data.split_source == "official lists" and data.splits["dev"] == NAMES[:2]


def test_lists_of_another_dataset_beside_the_folder_are_left_alone(tmp_path):
    folder = kaggle(tmp_path / "holiday")
    for split in ("train", "dev", "test"):
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text(f"somebody_elses_{split}.jpg\n")
    assert read_dataset_folder(folder).split_source.startswith("seeded")


def test_seeded_split_is_by_image_complete_and_repeatable(tmp_path):
    folder = kaggle(tmp_path / "k")
    splits = read_dataset_folder(folder).splits
    assert {split: len(names) for split, names in splits.items()} == {
        "train": 16,
        "dev": 2,
        "test": 2,
    }
    assert sorted(sum(splits.values(), [])) == NAMES
    assert (
        splits == read_dataset_folder(folder).splits != read_dataset_folder(folder, seed=1).splits
    )
    lines = (folder / "captions.txt").read_text().splitlines()
    random.Random(0).shuffle(rows := lines[1:])
    (folder / "captions.txt").write_text("\n".join(lines[:1] + rows))
    assert read_dataset_folder(folder).splits == splits  # the order of the rows does not matter


def test_plain_layout_with_splits_and_labels(tmp_path):
    folder = kaggle(tmp_path / "holiday")
    (folder / "splits").mkdir()
    for split, names in (
        ("train", NAMES[:10]),
        ("dev", NAMES[10:12]),
        ("test", NAMES[12:14]),
        ("compositions", NAMES[14:]),
    ):
        (folder / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n")
    (folder / "labels.json").write_text(json.dumps({name: {"count": 1} for name in NAMES[1:]}))
    data = read_dataset_folder(folder)
    assert data.split_source == "splits/ folder" and data.splits["compositions"] == NAMES[14:]
    assert (
        data.labels[NAMES[0]] == {}
        and data.labels[NAMES[1]] == {"count": 1}
        and list(data.labels) == NAMES
    )


def test_a_image_in_two_splits_is_refused(tmp_path):
    folder = official(tmp_path / "f")
    path = folder / "Flickr8k_text" / "Flickr_8k.testImages.txt"
    path.write_text(path.read_text() + NAMES[0] + "\n")
    with pytest.raises(ValueError, match=f"testImages.txt: 1 of its names, '{NAMES[0]}' .* train"):
        read_dataset_folder(folder)


def test_caption_without_image_and_image_without_caption_are_dropped(tmp_path):
    lines = [f"{name}#{k}\tA dog ." for name in NAMES[1:] for k in range(5)]
    lines += [f"2258277193_586949ec62.jpg.1#{k}\tA boy ." for k in range(5)]
    data = read_dataset_folder(official(tmp_path / "f", lines))
    assert list(data.captions) == NAMES[1:]
    assert data.splits["train"] == NAMES[1:14]  # one unknown name in a list is dropped silently
    assert data.dropped == {
        "no image": ["2258277193_586949ec62.jpg.1"],
        "no caption": [NAMES[0]],
        "junk caption": [],
    }


def test_stray_spaces_and_blank_lines(tmp_path):
    lines = [f"{name}#{k} \t A dog  runs . " for name in NAMES for k in range(5)] + ["", "  "]
    folder = official(tmp_path / "f", lines)
    path = folder / "Flickr8k_text" / "Flickr_8k.devImages.txt"
    path.write_text(" " + path.read_text().replace("\n", " \r\n") + "\n\n")
    data = read_dataset_folder(folder)
    assert data.captions[NAMES[0]] == ["A dog runs ."] * 5
    assert data.splits["dev"] == NAMES[14:17]


@pytest.mark.parametrize(
    "caption, junk",
    [
        ("", True),
        (" . ", True),
        ("123 !", True),
        ("A", True),
        ("a .", True),
        ("broken image", True),
        ("Two dogs .", False),
        ("Ein Hund", False),
        ("狗", False),
        ("dog", False),
    ],
)
def test_junk(caption, junk):
    assert is_junk(caption) is junk


def test_every_image_gets_the_same_number_of_captions(tmp_path):
    lines = [
        f"{NAMES[0]},one",
        f"{NAMES[0]},two",
        f"{NAMES[0]},a",
        *(f"{NAMES[1]},caption {w}" for w in "p q r s t u v".split()),
        f"{NAMES[2]},alone",
        f"{NAMES[3]},.",
        f"{NAMES[3]}, ",
    ]
    data = read_dataset_folder(kaggle(tmp_path / "k", lines))
    assert data.captions[NAMES[0]] == [
        "one",
        "two",
        "one",
        "two",
        "one",
    ]  # repeats its own, in turn
    assert data.captions[NAMES[1]] == [f"caption {w}" for w in "pqrst"]  # at most five
    assert data.captions[NAMES[2]] == ["alone"] * 5
    assert NAMES[3] not in data.captions  # nothing but junk
    assert data.dropped["junk caption"] == [NAMES[0], NAMES[3], NAMES[3]]


def test_fewer_than_five_captions_everywhere(tmp_path):
    data = read_dataset_folder(
        kaggle(tmp_path / "k", [f"{NAMES[0]},one", f"{NAMES[0]},two", f"{NAMES[1]},only"])
    )
    assert data.captions == {NAMES[0]: ["one", "two"], NAMES[1]: ["only", "only"]}


@pytest.mark.parametrize("missing", ["everything", "images", "captions"])
def test_missing_dataset_says_what_where_and_how(tmp_path, missing):
    folder = tmp_path / "flickr8k"
    if missing == "captions":
        draw(folder / "Images")
    elif missing == "images":
        (folder / "Images").mkdir(parents=True)
    with pytest.raises(FileNotFoundError) as caught:
        read_dataset_folder(folder)
    said = str(caught.value)
    what = {
        "everything": "there is no folder",
        "images": "no images",
        "captions": "no caption file",
    }[missing]
    for part in (
        what,
        str(folder),
        "python -m clipnb download flickr8k",
        "--data-dir",
        "CLIPNB_DATA",
    ):
        assert part in said


def test_malformed_official_line(tmp_path):
    lines = [f"{name}#0\tA dog ." for name in NAMES]
    lines[16] = f"{NAMES[16]} A dog without a tab ."
    with pytest.raises(
        ValueError,
        match=r"Flickr8k.token.txt:17: expected `name.jpg#0<tab>caption`, got '1016_ab.jpg A dog",
    ):
        read_dataset_folder(official(tmp_path / "f", lines))


@pytest.mark.parametrize("line", ["1016_ab.jpg", ", a caption of nothing", '"1016_ab.jpg'])
def test_malformed_kaggle_line(tmp_path, line):
    lines = [f"{name},A dog ." for name in NAMES]
    lines[15] = line
    with pytest.raises(ValueError, match=r"captions.txt:17: expected `name.jpg,caption`, got "):
        read_dataset_folder(kaggle(tmp_path / "k", lines))


def test_other_header_and_other_encoding(tmp_path):
    folder = kaggle(tmp_path / "k")
    (folder / "captions.txt").write_text("image;text\n1000_ab.jpg;A dog\n")
    with pytest.raises(
        ValueError, match=r"captions.txt:1: expected the header `image,caption`, got 'image;text'"
    ):
        read_dataset_folder(folder)
    (folder / "captions.txt").write_bytes("image,caption\n1000_ab.jpg,A café\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"captions.txt:2: expected UTF-8 text, got the byte 0xe9"):
        read_dataset_folder(folder)


def test_lists_and_captions_of_another_dataset_are_refused(tmp_path):
    folder = official(tmp_path / "f")
    (folder / "Flickr8k_text" / "Flickr_8k.trainImages.txt").write_text(
        "\n".join(NAMES[:10] + ["x.jpg", "y.jpg"])
    )
    with pytest.raises(
        ValueError, match=r"trainImages.txt lists 2 names \(of 12\) .*'x.jpg', 'y.jpg'"
    ):
        read_dataset_folder(folder)
    with pytest.raises(
        ValueError, match="token.txt has captions for 2 names .* Are the images complete"
    ):
        read_dataset_folder(
            official(tmp_path / "g", [f"{name}#0\tA dog ." for name in [*NAMES, "x.jpg", "y.jpg"]])
        )


def test_bad_labels(tmp_path):
    folder = kaggle(tmp_path / "k")
    for text, said in (("{", "not valid JSON"), ("[]", "expected an object")):
        (folder / "labels.json").write_text(text)
        with pytest.raises(ValueError, match=f"labels.json.*{said}"):
            read_dataset_folder(folder)


def test_reading_writes_nothing(tmp_path):
    folder = official(tmp_path / "f", lists=False)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    read_dataset_folder(folder)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_duplicate_images(tmp_path):
    folder = kaggle(tmp_path / "k")
    assert duplicate_images(folder) == []
    (folder / "Images" / "copy.jpg").write_bytes((folder / "Images" / NAMES[3]).read_bytes())
    assert duplicate_images(folder) == [[NAMES[3], "copy.jpg"]]


@pytest.fixture(scope="module")
def real():
    try:
        return read_dataset_folder(data_dir() / "flickr8k")
    except FileNotFoundError:
        pytest.skip(
            "no Flickr8k here: python -m clipnb download flickr8k, or set CLIPNB_DATA to the folder that contains flickr8k/"
        )


def test_real_counts(real):
    assert len(real.image_paths) == 8091
    if real.split_source == "official lists":
        assert {split: len(names) for split, names in real.splits.items()} == {
            "train": 6000,
            "dev": 1000,
            "test": 1000,
        }
        assert len(set(real.captions) - set(sum(real.splits.values(), []))) == 91


def test_real_splits_share_no_image(real):
    names = sum(real.splits.values(), [])
    assert len(names) == len(set(names))


def test_real_captions(real):
    assert "2258277193_586949ec62.jpg.1" not in real.captions
    assert {len(captions) for captions in real.captions.values()} == {5}
    assert not any(is_junk(caption) for captions in real.captions.values() for caption in captions)
    assert sorted(real.dropped["junk caption"]) == [
        "2428275562_4bde2bc5ea.jpg",
        "2755314937_1e974bf2b5.jpg",
        "3640443200_b8066f37f6.jpg",
    ]
