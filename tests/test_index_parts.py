"""An index whose parts do not belong together is refused in words."""

from pathlib import Path

import numpy as np
import pytest
import torch
from bad_parts import check_message

from clipnb import ImageIndex
from clipnb.search.lance import export_lancedb

N, K, D = 4, 2, 6
FEATURES = torch.eye(D)[:N]
TEXTS = FEATURES[:, None].repeat(1, K, 1)
IDS = [f"{i}.png" for i in range(N)]
CAPTIONS = [[f"{k} of {i}" for k in range(K)] for i in range(N)]
IMAGES = np.zeros((N, 3, 8, 8), np.uint8)
WHOLE = {
    "image_features": FEATURES,
    "text_features": TEXTS,
    "images": IMAGES,
    "image_ids": IDS,
    "captions": CAPTIONS,
}
BAD = {
    "too few ids": ({"image_ids": IDS[:2]}, ValueError, "2 image_ids"),
    "a string as ids": ({"image_ids": "abcd"}, TypeError, "'abcd'"),
    "numbers as ids": ({"image_ids": [0, 1, 2, 3]}, TypeError, "image_ids"),
    "no ids": ({"image_ids": None}, TypeError, "image_ids"),
    "an id twice": ({"image_ids": ["a", "b", "c", "a"]}, ValueError, "'a' more than once"),
    "captions alone": ({"text_features": None}, ValueError, "without text_features"),
    "captions of another length": ({"captions": CAPTIONS[:3]}, ValueError, "3 captions"),
    "captions as strings": ({"captions": IDS}, ValueError, "'0.png'"),
    "fewer captions of one": ({"captions": [["a"], *CAPTIONS[1:]]}, ValueError, "['a']"),
    "another width": ({"text_features": TEXTS[..., :3]}, ValueError, "image_features 6"),
    "features as a list": ({"image_features": FEATURES.tolist()}, TypeError, "list"),
    "features as integers": ({"image_features": FEATURES.int()}, TypeError, "torch.int32"),
    "features of one axis": ({"image_features": FEATURES[0]}, ValueError, "(6,)"),
    "images of floats": ({"images": IMAGES.astype(float)}, ValueError, "float64"),
    "paths of another length": ({"paths": [Path("a")]}, ValueError, "1 paths"),
}


def make_index(**changes):
    return ImageIndex(None, None, **(WHOLE | changes))


@pytest.mark.parametrize("case", BAD)
def test_parts_that_do_not_belong_together_are_refused(case):
    changes, kind, words = BAD[case]
    with pytest.raises(kind) as error:
        make_index(**changes)
    check_message(error, words)


def test_features_of_another_width_than_the_model_s_are_refused():
    model = torch.nn.Module()
    model.text_projection = torch.nn.Linear(3, 5)
    with pytest.raises(ValueError, match="the features of the model 5"):
        ImageIndex(model, None, FEATURES, image_ids=IDS)


@pytest.mark.parametrize("convert", [torch.Tensor.double, torch.Tensor.half, torch.Tensor.numpy])
def test_other_precisions_and_arrays_are_converted(convert):
    index = make_index(image_features=convert(FEATURES), text_features=convert(TEXTS))
    assert index.image_features.dtype == index.text_features.dtype == torch.float32
    assert torch.equal(index.image_features, FEATURES)
    hit = index.search(FEATURES[2], 1)[0]
    assert (hit.image_id, hit.caption) == ("2.png", "0 of 2")


def test_an_index_without_images_or_without_entries_is_told_in_words():
    bare = ImageIndex(None, None, FEATURES, image_ids=IDS)
    with pytest.raises(ValueError) as error:
        bare.find_near_duplicates()
    check_message(error, "no images and no paths")
    empty = ImageIndex(None, None, torch.zeros(0, D), image_ids=[])
    assert empty.find_near_duplicates() == [] and empty.search(FEATURES[0]) == []


@pytest.mark.parametrize("part", ["image_features", "text_features"])
def test_features_that_are_not_finite_are_neither_saved_nor_compared(part, tmp_path):
    features = WHOLE[part].clone()
    features[1] = torch.nan
    index = make_index(**{part: features})
    calls = [lambda: index.save(tmp_path / "a.npz"), lambda: index.search(FEATURES[1], N)]
    calls += [index.find_near_duplicates] if part == "image_features" else []
    for call in calls:
        with pytest.raises(ValueError, match="NaN or infinity"):
            call()
    assert not list(tmp_path.iterdir())


def test_paths_that_cannot_be_are_told_in_words(tmp_path):
    index = make_index()
    for path in (tmp_path / "none.png", Path("a\0b.png"), Path("\ud83d.png")):
        with pytest.raises((OSError, ValueError)) as error:
            index.search(path)
        check_message(error, "cannot be")
        assert "Errno" not in str(error.value)
    with pytest.raises(TypeError, match="a path is a string or a Path, not None"):
        index.save_html(None)
    pytest.importorskip("lancedb")
    with pytest.raises(TypeError, match="a path is a string or a Path, not None"):
        export_lancedb(index, None)
