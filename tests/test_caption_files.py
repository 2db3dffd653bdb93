"""What the captions of a reader's own folder may look like."""

import json

import pytest
from own_folder import draw, read, write

from clipnb.datasets.caption_files import read_captions
from clipnb.datasets.folders import read_dataset_folder
from clipnb.datasets.splits import find_split_folders

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


@pytest.mark.parametrize("names", [["train/a.jpg", "b.jpg"], ["test/b.jpg", "test/c.jpg"], ["a"]])
def test_folders_that_are_no_splits(names):
    assert find_split_folders(names) == {}


@pytest.mark.parametrize("top", ["", "data/"])
def test_test_stays_test_where_a_folder_has_no_validation(top):
    names = [f"{top}train/{i}.jpg" for i in range(50)] + [f"{top}Test/{i}.jpg" for i in range(9)]
    splits = find_split_folders(names)
    assert splits["test"] == sorted(names[50:])
    assert sorted(splits["train"] + splits["dev"]) == sorted(names[:50])
    assert 1 <= len(splits["dev"]) < 15


def test_an_image_beside_the_folders_of_the_splits_is_refused():
    with pytest.raises(ValueError, match=r"1 elsewhere, 'd.jpg' for one, .* splits/train.txt"):
        find_split_folders(["train/a.jpg", "val/b.jpg", "test/c.jpg", "d.jpg"])


def test_split_lists_may_be_written_in_capitals_and_val_is_dev(tmp_path):
    draw(tmp_path, *[f"{i}.jpg" for i in range(6)])
    write(tmp_path, "captions.csv", "".join(f"{i}.jpg,number {i} of six\n" for i in range(6)))
    write(tmp_path, "Splits/TRAIN.TXT", "0.jpg\n1.jpg\n")
    write(tmp_path, "Splits/val.txt", "2.jpg\n")
    write(tmp_path, "Splits/test.txt", "3.jpg\n")
    data = read_dataset_folder(tmp_path)
    assert data.splits == {
        "train": ["0.jpg", "1.jpg"],
        "dev": ["2.jpg"],
        "test": ["3.jpg"],
    }
    write(tmp_path, "Splits/val.txt", "2.jpg\n1.jpg\n")
    with pytest.raises(ValueError, match="val.txt: 1 of its names, '1.jpg' .* train"):
        read_dataset_folder(tmp_path)
    write(tmp_path, "Splits/dev.txt", "2.jpg\n")
    with pytest.raises(ValueError, match="val.txt: .*dev.txt lists the split 'dev' too"):
        read_dataset_folder(tmp_path)


def test_a_name_in_a_split_list_without_an_image_is_told(tmp_path):
    draw(tmp_path, *[f"{i}.jpg" for i in range(6)])
    write(tmp_path, "captions.csv", "".join(f"{i}.jpg,number {i} of six\n" for i in range(6)))
    write(tmp_path, "splits/train.txt", "0.jpg\ngone.jpg\n")
    _, left_out = read(tmp_path)
    assert left_out == ["1 name in a split list without such an image (gone.jpg)"]


def test_both_ways_to_write_an_accent_in_one_table(tmp_path):
    draw(tmp_path, "caf\u00e9.jpg")
    write(tmp_path, "captions.csv", "caf\u00e9.jpg,a cup\ncafe\u0301.jpg,a table\n")
    captions, left_out = read(tmp_path)
    assert captions == {"caf\u00e9.jpg": ["a cup", "a table"]}
    assert left_out == []


def test_labels_as_an_editor_of_windows_saves_them(tmp_path):
    draw(tmp_path, "a.jpg")
    write(tmp_path, "captions.csv", "a.jpg,a cup\n")
    write(tmp_path, "labels.json", '\ufeff{"a.jpg": {"count": 1}}')
    assert read_dataset_folder(tmp_path).labels == {"a.jpg": {"count": 1}}


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
