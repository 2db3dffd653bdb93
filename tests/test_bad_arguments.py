"""Arguments of another kind than a function takes: each is told in one line."""

import dataclasses

import numpy as np
import pytest
import torch
from bad_parts import check_message
from widget_parts import build_index

from clipnb import (
    CaptionDataset,
    ImageIndex,
    encode_images,
    load_or_train,
    retrieval_metrics,
    train,
)
from clipnb.preprocess import Preprocess


@pytest.fixture(scope="module")
def index():
    return build_index()


@pytest.mark.parametrize("use", [train, load_or_train])
@pytest.mark.parametrize("recipe", [None, 3, {"name": "quick"}, ["quick"]])
def test_what_is_no_recipe_is_told(use, recipe, own_cache):
    with pytest.raises(TypeError) as error:
        use(recipe)
    check_message(error, "a recipe is one of clipnb.RECIPES, or its name, not", repr(recipe))


@pytest.mark.parametrize("use", [train, load_or_train])
def test_an_unknown_name_lists_those_that_there_are(use, own_cache):
    with pytest.raises(ValueError) as error:
        use("quik")
    check_message(error, "no recipe 'quik'; there are quick,")


@pytest.mark.parametrize("photos", [None, [1, 2], "Pictures", np.zeros((2, 3, 8, 8))])
def test_an_index_is_built_of_a_dataset(photos, index):
    with pytest.raises(TypeError) as error:
        ImageIndex.build(index.model, index.tokenizer, photos)
    check_message(error, "a CaptionDataset or a PhotoFolder, not of", type(photos).__name__)


@pytest.mark.parametrize("images", [None, [1, 2], "photo.jpg"])
def test_images_are_an_array(images, index):
    with pytest.raises(TypeError) as error:
        encode_images(index.model, images)
    check_message(error, "images are an array (N, 3, S, S), not a", type(images).__name__)


@pytest.mark.parametrize("number", [-1, 10**6])
def test_an_id_outside_of_the_vocabulary_is_told(number, index):
    last = index.tokenizer.vocab_size - 1
    assert index.tokenizer.decode([last])
    with pytest.raises(ValueError) as error:
        index.tokenizer.decode([last, number])
    check_message(error, f"{number} is no id of this vocabulary: 0 to {last}")


# ---- datasets and preprocessing ---------------------------------------------------------------

IMAGES = np.zeros((2, 3, 8, 8), np.uint8)
PARTS = {"images": IMAGES, "captions": [["a dog"], ["a cat"]], "image_ids": ["a.png", "b.png"]}


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        (
            "images",
            IMAGES / 255,
            "pixels from 0 to 255, not float64 (2, 3, 8, 8)",
        ),
        ("images", IMAGES[0], "not uint8 (3, 8, 8)"),
        ("images", IMAGES.transpose(0, 2, 3, 1), "not uint8 (2, 8, 8, 3)"),
        ("images", [1, 2], "not [1, 2]"),
        ("images", None, "not None"),
        ("images", IMAGES[:1], "there are 1 images, 2 captions, 2 image_ids"),
        ("captions", [["a dog"]], "there are 2 images, 1 captions, 2 image_ids"),
        ("captions", ["a dog", "a cat"], "the captions of 'a.png' are 'a dog'"),
        ("captions", [["a dog"], []], "the captions of 'b.png' are []"),
        ("captions", [["a dog"], ["a cat", "a pet"]], "the captions of 'b.png' are"),
        ("image_ids", ["a.png"], "there are 2 images, 2 captions, 1 image_ids"),
        ("image_ids", [0, 1], "image_ids hold 0"),
        ("image_ids", np.arange(2), "image_ids hold np.int64(0)"),
        ("labels", [{}], "2 image_ids, 1 labels"),
    ],
)
def test_the_parts_of_a_dataset_fit_together(part, value, told):
    with pytest.raises(ValueError) as error:
        CaptionDataset("toy", "test", **PARTS | {part: value})
    check_message(error, told, "give")


def test_other_images_do_not_keep_the_files_of_those_before():
    dataset = CaptionDataset("toy", "test", **PARTS, paths=["a.png", "b.png"])
    more = {part: np.concatenate([value, value]) for part, value in PARTS.items()}
    more |= {part: more[part].tolist() for part in ("captions", "image_ids")}
    assert dataclasses.replace(dataset, **more).paths == []
    assert dataset.paths == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "indices", [[99], [-3], [True], [True] * 3, ["a.png"], [0.0], "01", 1, None, slice(1), [[0, 1]]]
)
def test_a_subset_is_chosen_by_whole_numbers_or_a_mask(indices):
    dataset = CaptionDataset("toy", "test", **PARTS)
    with pytest.raises(IndexError) as error:
        dataset.subset(indices)
    check_message(error, "a subset of 2 images cannot be", "give a list of whole numbers below 2")


def test_an_empty_subset_shows_itself():
    nothing = CaptionDataset("toy", "test", **PARTS).subset([])
    assert repr(nothing) == "CaptionDataset(toy, test: 0 images of 8 px, 0 captions each)"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("size", value) for value in (0, -1, 2.5, None, "64", (64, 64))],
        *[("mean", value) for value in (None, 0.5, (0.5, 0.5), (0.5, 0.5, float("nan")), "abc")],
        *[("std", value) for value in ((0, 1, 1), (1, 1, -1), (1, 1, float("inf")), (1,), None)],
    ],
)
def test_preprocessing_has_a_size_a_mean_and_a_deviation(field, value):
    with pytest.raises(ValueError) as error:
        Preprocess(**{field: value})
    check_message(error, f"{field} is ", repr(value))


@pytest.mark.parametrize("name", ["train_set", "dev_set"])
@pytest.mark.parametrize("value", [[], [1, 2], "flickr8k", IMAGES])
def test_a_run_is_trained_and_judged_on_datasets(name, value, own_cache):
    with pytest.raises(TypeError) as error:
        train("quick", **{name: value})
    check_message(error, f"{name} is a", type(value).__name__, "load_dataset")


def test_metrics_take_arrays_of_numpy_and_tell_of_other_dimensions():
    rows = np.eye(3, dtype=np.float32)
    expected = retrieval_metrics(torch.eye(3), torch.eye(3)[:, None])
    assert retrieval_metrics(rows, rows[:, None]) == expected
    with pytest.raises(ValueError) as error:
        retrieval_metrics(rows[:, :2], rows[:, None])
    check_message(error, "image features are (3, 2)", "give image features (3, 3)")
