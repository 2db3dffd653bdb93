"""Reading dataset folders: three layouts, what real files hold, what a reader can get wrong."""

import json
import random

import pytest
from PIL import Image

from clipnb.datasets.folders import find_duplicate_images, is_junk, read_dataset_folder
from clipnb.runtime import data_dir

NAMES = [f"{1000 + i}_ab.jpg" for i in range(20)]
SOME_CAPTIONS = [
    (name, k, f"Dog {name[:4]} runs for the {k}th time .") for name in NAMES for k in range(5)
]


def draw_images(folder):
    """Draw one small image for each name, each of another colour."""
    folder.mkdir(parents=True)
    for i, name in enumerate(NAMES):
        Image.new("RGB", (8, 6), (i * 12, 100, 200)).save(folder / name)


def write_lists(folder, **names_of):
    """Write official split lists. names_of: the image names of each split."""
    folder.mkdir(exist_ok=True)
    for split, names in names_of.items():
        (folder / f"Flickr_8k.{split}Images.txt").write_text("\n".join(names) + "\n")


def make_official(folder, lines=None, lists=True):
    """Make a folder in the official layout: 20 images with 5 captions each.

    The lists name 14 + 3 + 2 of them; one image is in no list.
    """
    draw_images(folder / "Flicker8k_Dataset")
    text = folder / "Flickr8k_text"
    text.mkdir()
    if lines is None:
        lines = [f"{name}#{k}\t{caption}" for name, k, caption in SOME_CAPTIONS]
    (text / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    if lists:
        write_lists(text, train=NAMES[:14], dev=NAMES[14:17], test=NAMES[17:19])
    return folder


def make_kaggle(folder, lines=None):
    """Make a folder in Kaggle's layout: the same images, no split lists."""
    draw_images(folder / "Images")
    if lines is None:
        lines = [f"{name},{caption}" for name, _, caption in SOME_CAPTIONS]
    text = "\n".join(["image,caption", *lines]) + "\n"
    (folder / "captions.txt").write_text(text, encoding="utf-8")
    return folder


# ---- layouts ---------------------------------------------------------------------------------


def test_official_layout(tmp_path):
    data = read_dataset_folder(make_official(tmp_path / "flickr8k"))
    assert list(data.image_paths) == list(data.captions) == NAMES
    assert all(path.is_file() for path in data.image_paths.values())
    assert data.captions["1003_ab.jpg"][4] == "Dog 1003 runs for the 4th time ."
    assert data.splits == {"train": NAMES[:14], "dev": NAMES[14:17], "test": NAMES[17:19]}
    assert data.split_source == "official lists"
    assert data.labels is None


def test_kaggle_layout_reads_the_same(tmp_path):
    official = read_dataset_folder(make_official(tmp_path / "a"))
    kaggle = read_dataset_folder(make_kaggle(tmp_path / "b"))
    assert official.captions == kaggle.captions
    assert kaggle.split_source == "seeded split by image, 80/10/10"


def test_kaggle_quoting(tmp_path):
    lines = [
        f'{NAMES[0]},"A dog , a cat , and a bird ."',
        f"{NAMES[0]},A dog , a cat , and a bird .",
        f'{NAMES[0]},"A sign says ""Stop"" , twice ."',
        f'{NAMES[0]},A sign says "Stop" again .',
        f"{NAMES[0]},  A  dog\twaits . ",
    ]
    captions = read_dataset_folder(make_kaggle(tmp_path / "k", lines)).captions
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
    folder = make_kaggle(tmp_path / "k")
    before = read_dataset_folder(folder).captions
    text = (folder / "captions.txt").read_text()
    (folder / "captions.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_dataset_folder(folder).captions == before


@pytest.mark.parametrize("place", [".", "Flickr8k_text", "..", "../Flickr8k_text"])
def test_kaggle_folder_uses_official_lists_that_lie_near(tmp_path, place):
    folder = make_kaggle(tmp_path / "data" / "flickr8k")
    write_lists(folder / place, train=NAMES[5:], dev=NAMES[:2], test=NAMES[2:5])
    data = read_dataset_folder(folder)
    assert data.split_source == "official lists"
    assert data.splits == {"train": NAMES[5:], "dev": NAMES[:2], "test": NAMES[2:5]}


def test_lists_of_another_dataset_beside_the_folder_are_left_alone(tmp_path):
    folder = make_kaggle(tmp_path / "holiday")
    write_lists(tmp_path, train=["other_1.jpg"], dev=["other_2.jpg"], test=["other_3.jpg"])
    assert read_dataset_folder(folder).split_source.startswith("seeded")


def test_seeded_split_is_by_image_complete_and_repeatable(tmp_path):
    folder = make_kaggle(tmp_path / "k")
    splits = read_dataset_folder(folder).splits
    assert all(splits.values())
    assert sorted(splits["train"] + splits["dev"] + splits["test"]) == NAMES
    assert read_dataset_folder(folder).splits == splits
    assert read_dataset_folder(folder, seed=1).splits != splits


def test_seeded_split_does_not_depend_on_the_order_of_the_captions(tmp_path):
    folder = make_kaggle(tmp_path / "k")
    splits = read_dataset_folder(folder).splits
    header, *rows = (folder / "captions.txt").read_text().splitlines()
    random.Random(0).shuffle(rows)
    (folder / "captions.txt").write_text("\n".join([header, *rows]))
    assert read_dataset_folder(folder).splits == splits


def test_plain_layout_with_splits_and_labels(tmp_path):
    folder = make_kaggle(tmp_path / "holiday")
    (folder / "splits").mkdir()
    splits = {
        "train": NAMES[:10],
        "dev": NAMES[10:12],
        "test": NAMES[12:14],
        "compositions": NAMES[14:],
    }
    for split, names in splits.items():
        (folder / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n")
    (folder / "labels.json").write_text(json.dumps({name: {"count": 1} for name in NAMES[1:]}))
    data = read_dataset_folder(folder)
    assert data.split_source == "splits/ folder"
    assert data.splits == splits
    assert list(data.labels) == NAMES
    assert data.labels[NAMES[0]] == {}
    assert data.labels[NAMES[1]] == {"count": 1}


# ---- what the files hold ---------------------------------------------------------------------


def test_an_image_in_two_splits_is_refused(tmp_path):
    folder = make_official(tmp_path / "f")
    path = folder / "Flickr8k_text" / "Flickr_8k.testImages.txt"
    path.write_text(path.read_text() + NAMES[0] + "\n")
    with pytest.raises(ValueError, match=f"testImages.txt: 1 of its names, '{NAMES[0]}' .* train"):
        read_dataset_folder(folder)


def test_caption_without_image_and_image_without_caption_are_dropped(tmp_path):
    lines = [f"{name}#{k}\tA dog ." for name in NAMES[1:] for k in range(5)]
    lines += [f"2258277193_586949ec62.jpg.1#{k}\tA boy ." for k in range(5)]
    data = read_dataset_folder(make_official(tmp_path / "f", lines))
    assert list(data.captions) == NAMES[1:]
    assert data.splits["train"] == NAMES[1:14]  # one unknown name in a list is dropped
    assert data.dropped == {
        "no image": ["2258277193_586949ec62.jpg.1"],
        "several images": [],
        "no caption": [NAMES[0]],
        "junk caption": [],
        "unsupported format": [],
        "in a split list": [NAMES[0]],
        "unlisted": [],
    }


def test_stray_spaces_and_blank_lines(tmp_path):
    lines = [f"{name}#{k} \t A dog  runs . " for name in NAMES for k in range(5)] + ["", "  "]
    folder = make_official(tmp_path / "f", lines)
    path = folder / "Flickr8k_text" / "Flickr_8k.devImages.txt"
    path.write_text(" " + path.read_text().replace("\n", " \r\n") + "\n\n")
    data = read_dataset_folder(folder)
    assert data.captions[NAMES[0]] == ["A dog runs ."] * 5
    assert data.splits["dev"] == NAMES[14:17]


@pytest.mark.parametrize("caption", ["", " . ", "123 !", "A", "a .", "broken image"])
def test_captions_that_say_nothing_are_junk(caption):
    assert is_junk(caption) is True


@pytest.mark.parametrize("caption", ["Two dogs .", "Ein Hund", "狗", "dog"])
def test_captions_that_say_something_are_no_junk(caption):
    assert is_junk(caption) is False


def test_every_image_gets_the_same_number_of_captions(tmp_path):
    lines = [
        f"{NAMES[0]},one",
        f"{NAMES[0]},two",
        f"{NAMES[0]},a",
        *(f"{NAMES[1]},caption {letter}" for letter in "pqrstuv"),
        f"{NAMES[2]},alone",
        f"{NAMES[3]},.",
        f"{NAMES[3]}, ",
    ]
    data = read_dataset_folder(make_kaggle(tmp_path / "k", lines))
    repeated = ["one", "two", "one", "two", "one"]  # in turn
    assert data.captions[NAMES[0]] == repeated
    assert data.captions[NAMES[1]] == [f"caption {letter}" for letter in "pqrst"]  # at most five
    assert data.captions[NAMES[2]] == ["alone"] * 5
    assert NAMES[3] not in data.captions  # nothing but junk
    assert data.dropped["junk caption"] == [NAMES[0], NAMES[3], NAMES[3]]


def test_fewer_than_five_captions_everywhere(tmp_path):
    lines = [f"{NAMES[0]},one", f"{NAMES[0]},two", f"{NAMES[1]},only"]
    data = read_dataset_folder(make_kaggle(tmp_path / "k", lines))
    assert data.captions == {NAMES[0]: ["one", "two"], NAMES[1]: ["only", "only"]}


# ---- messages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing, problem",
    [
        ("everything", "there is no folder"),
        ("images", "no images"),
        ("captions", "no captions"),
    ],
)
def test_missing_dataset_says_what_where_and_how(tmp_path, missing, problem):
    folder = tmp_path / "flickr8k"
    if missing == "captions":
        draw_images(folder / "Images")
    elif missing == "images":
        (folder / "Images").mkdir(parents=True)
    with pytest.raises(FileNotFoundError) as caught:
        read_dataset_folder(folder)
    message = str(caught.value)
    assert problem in message
    assert str(folder) in message
    for remedy in ("python -m clipnb download flickr8k", "--data-dir", "CLIPNB_DATA"):
        assert remedy in message


def test_malformed_official_line(tmp_path):
    lines = [f"{name}#0\tA dog ." for name in NAMES]
    lines[16] = f"{NAMES[16]} A dog without a tab ."
    folder = make_official(tmp_path / "f", lines)
    message = r"Flickr8k.token.txt:17: expected `name.jpg#0<tab>caption`, got '1016_ab.jpg A dog"
    with pytest.raises(ValueError, match=message):
        read_dataset_folder(folder)


@pytest.mark.parametrize("line", ["1016_ab.jpg", ", a caption of nothing", '"1016_ab.jpg'])
def test_malformed_kaggle_line(tmp_path, line):
    lines = [f"{name},A dog ." for name in NAMES]
    lines[15] = line
    folder = make_kaggle(tmp_path / "k", lines)
    with pytest.raises(ValueError, match=r"captions.txt:17: expected `name.jpg,caption`, got "):
        read_dataset_folder(folder)


def test_captions_without_a_header_are_read(tmp_path):
    folder = make_kaggle(tmp_path / "k")
    before = read_dataset_folder(folder).captions
    text = (folder / "captions.txt").read_text()
    (folder / "captions.txt").write_text(text.removeprefix("image,caption\n"))
    assert read_dataset_folder(folder).captions == before


def test_another_header_is_refused(tmp_path):
    folder = make_kaggle(tmp_path / "k")
    (folder / "captions.txt").write_text("who;what\n1000_ab.jpg;A dog\n")
    message = r"captions.txt:1: expected the header `image,caption`, got 'who;what'"
    with pytest.raises(ValueError, match=message):
        read_dataset_folder(folder)


def test_another_encoding_is_refused(tmp_path):
    folder = make_kaggle(tmp_path / "k")
    (folder / "captions.txt").write_bytes("image,caption\n1000_ab.jpg,A café\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"captions.txt:2: expected UTF-8 text, got the byte 0xe9"):
        read_dataset_folder(folder)


def test_lists_of_another_dataset_are_refused(tmp_path):
    folder = make_official(tmp_path / "f")
    write_lists(folder / "Flickr8k_text", train=[*NAMES[:10], "x.jpg", "y.jpg"])
    message = r"trainImages.txt lists 2 names \(of 12\) .*'x.jpg', 'y.jpg'"
    with pytest.raises(ValueError, match=message):
        read_dataset_folder(folder)


def test_captions_of_another_dataset_are_refused(tmp_path):
    lines = [f"{name}#0\tA dog ." for name in [*NAMES, "x.jpg", "y.jpg"]]
    folder = make_official(tmp_path / "f", lines)
    message = "token.txt: there are captions for 2 names .* Are the images complete"
    with pytest.raises(ValueError, match=message):
        read_dataset_folder(folder)


@pytest.mark.parametrize("text, problem", [("{", "not valid JSON"), ("[]", "expected an object")])
def test_bad_labels(tmp_path, text, problem):
    folder = make_kaggle(tmp_path / "k")
    (folder / "labels.json").write_text(text)
    with pytest.raises(ValueError, match=f"labels.json.*{problem}"):
        read_dataset_folder(folder)


def list_files(folder):
    return sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))


def test_reading_writes_nothing(tmp_path):
    folder = make_official(tmp_path / "f", lists=False)
    before = list_files(tmp_path)
    read_dataset_folder(folder)
    assert list_files(tmp_path) == before


def test_duplicate_images(tmp_path):
    folder = make_kaggle(tmp_path / "k")
    assert find_duplicate_images(folder) == []
    (folder / "Images" / "copy.jpg").write_bytes((folder / "Images" / NAMES[3]).read_bytes())
    assert find_duplicate_images(folder) == [[NAMES[3], "copy.jpg"]]


# ---- the real dataset, where it is there -----------------------------------------------------


@pytest.fixture(scope="module")
def real():
    try:
        return read_dataset_folder(data_dir() / "flickr8k")
    except FileNotFoundError as error:
        pytest.skip(f"no Flickr8k here: {error}")


def test_real_counts(real):
    assert len(real.image_paths) == 8091
    if real.split_source == "official lists":
        sizes = {split: len(names) for split, names in real.splits.items()}
        assert sizes == {"train": 6000, "dev": 1000, "test": 1000}
        listed = {name for names in real.splits.values() for name in names}
        assert len(set(real.captions) - listed) == 91


def test_real_splits_share_no_image(real):
    listed = [name for names in real.splits.values() for name in names]
    assert len(listed) == len(set(listed))


def test_real_captions(real):
    assert "2258277193_586949ec62.jpg.1" not in real.captions
    assert {len(captions) for captions in real.captions.values()} == {5}
    assert not any(is_junk(caption) for captions in real.captions.values() for caption in captions)
    assert sorted(real.dropped["junk caption"]) == [
        "2428275562_4bde2bc5ea.jpg",
        "2755314937_1e974bf2b5.jpg",
        "3640443200_b8066f37f6.jpg",
    ]
