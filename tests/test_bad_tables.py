"""Caption files that look like tables, and JSON, that hold something else in some places."""

import json

import pytest
from bad_parts import make_folder

from clipnb import load_dataset
from clipnb.datasets.caption_files import read_captions
from clipnb.datasets.folders import read_dataset_folder

NAMES = [f"{i}.png" for i in range(6)]


def read_captioned(tmp_path, files):
    return read_dataset_folder(make_folder(tmp_path, files)).captions


def test_an_index_column_of_pandas_names_no_image(tmp_path):
    """Row 0 is about 5.png. A stripped tab would give its caption to 0.png."""
    rows = "".join(f"{row}\t{name}\tpicture {name}\n" for row, name in enumerate(NAMES[::-1]))
    captions = read_captioned(tmp_path, {"captions.tsv": f"\timage\tcaption\n{rows}"})
    assert captions == {name: [f"picture {name}"] for name in NAMES}


@pytest.mark.parametrize("separator", ["\t", " , ", ";"])
def test_spaces_and_tabs_around_cells_do_not_count(tmp_path, separator):
    rows = "".join(f"  {name}{separator}a dog {name} \t\n" for name in NAMES)
    captions = read_captioned(tmp_path, {"captions.csv": rows})
    assert captions == {name: [f"a dog {name}"] for name in NAMES}


@pytest.mark.parametrize("caption", [float("nan"), float("inf"), True, False, None, 3, [True]])
def test_what_is_no_text_in_json_is_an_empty_caption(tmp_path, caption):
    path = tmp_path / "captions.jsonl"
    path.write_text(json.dumps({"image": "a.png", "caption": caption}))
    assert list(read_captions(path)) == [("a.png", "")]


@pytest.mark.parametrize(
    "image, name", [(None, ""), (True, ""), (float("nan"), ""), (12, "12"), ("None", "None")]
)
def test_what_is_no_name_in_json_names_no_image(tmp_path, image, name):
    path = tmp_path / "captions.jsonl"
    path.write_text(json.dumps({"image": image, "caption": "a dog"}))
    assert list(read_captions(path)) == [(name, "a dog")]


def test_a_line_without_a_name_is_told(tmp_path, own_cache):
    rows = [{"image": name, "caption": "a dog"} for name in [*NAMES, None]]
    make_folder(tmp_path, {"captions.jsonl": "\n".join(map(json.dumps, rows))})
    with pytest.warns(UserWarning, match='leaves out 1 captioned name .*file \\(""\\)'):
        load_dataset("own", "train", 8, root=tmp_path)


def test_a_caption_longer_than_a_cell_of_csv_is_read(tmp_path):
    caption = "dog " * 40_000  # 160,000 letters; Python's csv reads 131,072
    rows = "".join(f"{name},a cat\n" for name in NAMES[1:])
    captions = read_captioned(tmp_path, {"captions.csv": f"0.png,{caption}\n{rows}"})
    assert captions["0.png"] == [caption.strip()]
    assert captions["1.png"] == ["a cat"]


@pytest.mark.parametrize("n", [3, 5_000])
def test_json_instead_of_a_table_is_told(tmp_path, n):
    content = json.dumps({"annotations": [{"image_id": i, "text": "a dog"} for i in range(n)]})
    with pytest.raises(ValueError, match=r"captions.txt:1: this is JSON.* as captions.jsonl, with"):
        read_captioned(tmp_path, {"captions.txt": content})


@pytest.mark.parametrize("name", ["captions.json", "dataset.json", "notes/captions_train2017.json"])
def test_json_that_is_not_read_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"{name} is not read, .* captions.jsonl"):
        read_captioned(tmp_path, {name: "{}", "labels.json": "{}"})


def test_labels_alone_are_not_taken_for_captions(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        read_captioned(tmp_path, {"labels.json": "{}"})
    assert "JSON" not in str(error.value)


def test_a_split_list_that_is_a_folder_is_refused(tmp_path):
    folder = make_folder(tmp_path, {"captions.csv": "".join(f"{name},a dog\n" for name in NAMES)})
    (folder / "splits" / "train.txt").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"train.txt is no file; a split list is a text file"):
        read_dataset_folder(folder)
