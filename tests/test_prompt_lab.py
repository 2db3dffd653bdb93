"""The prompt laboratory, driven by its traits as a browser would drive it."""

import numpy as np
import pytest
import torch

from clipnb import create_model, train_tokenizer
from clipnb.widgets.prompt_lab import PromptLab


@pytest.fixture
def lab(recipe):
    torch.manual_seed(0)
    captions = [
        "a red dog on the grass",
        "a blue cat on the grass",
        "a green boat at sea",
        "two black dogs",
    ]
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    return PromptLab(
        create_model(recipe).eval(),
        train_tokenizer(captions, 300),
        images,
        ["dog", "cat", "boat"] * 2,
        ["dog", "cat", "boat"],
    )


def test_starts_with_an_answer(lab):
    assert (
        "named rightly" in lab.status.value
        and "of 6 images" in lab.status.value
        and lab.scores.value.count("%") >= 3
    )
    assert 0 <= lab.accuracy <= 100 and repr(lab) == "PromptLab(6 images)"


def test_fewer_classes_are_asked_about_fewer_images(lab):
    lab.classes.value = "dog, cat"
    assert "of 4 images" in lab.status.value and "guessing: 50 %" in lab.status.value
    lab.classes.value = "grass"
    assert lab.accuracy is None and "None of the images" in lab.status.value


def test_an_unknown_class_is_named(lab):
    lab.classes.value = "dog, zebra"
    assert "zebra" in lab.status.value and "means nothing" in lab.status.value


def test_a_bad_prompt_loses_nothing(lab):
    before = lab.scores.value
    for box, bad in ((lab.templates, "a photo"), (lab.classes, " , ")):
        good, box.value = box.value, bad
        assert "last good prompt" in lab.status.value and lab.scores.value == before
        box.value = good
    assert lab.scores.value == before and "last good" not in lab.status.value


def test_another_image_and_names_with_markup(lab):
    before = lab.scores.value
    lab.image.value = 3
    assert lab.scores.value != before
    lab.classes.value = "<b>dog</b>"
    assert "<b>dog" not in lab.scores.value
