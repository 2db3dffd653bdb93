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
    model = create_model(recipe).eval()
    tokenizer = train_tokenizer(captions, 300)
    classes = ["dog", "cat", "boat"]
    return PromptLab(model, tokenizer, images, 2 * classes, classes)


def test_it_starts_with_an_answer(lab):
    assert "named rightly" in lab.status.value
    assert "of 6 images" in lab.status.value
    assert lab.scores.value.count("%") >= 3
    assert 0 <= lab.accuracy <= 100


def test_its_repr_is_short(lab):
    assert repr(lab) == "PromptLab(6 images)"


def test_fewer_classes_are_asked_about_fewer_images(lab):
    lab.classes.value = "dog, cat"
    assert "of 4 images" in lab.status.value
    assert "guessing: 50 %" in lab.status.value


def test_classes_that_no_image_shows_have_no_accuracy(lab):
    lab.classes.value = "grass"
    assert lab.accuracy is None
    assert "None of the images" in lab.status.value


def test_it_warns_of_a_class_that_the_vocabulary_does_not_know(lab):
    lab.classes.value = "dog, zebra"
    assert "zebra" in lab.status.value
    assert "means nothing" in lab.status.value


@pytest.mark.parametrize("box, bad", [("templates", "a photo"), ("classes", " , ")])
def test_a_bad_prompt_leaves_the_last_good_scores(lab, box, bad):
    before = lab.scores.value
    text_box = getattr(lab, box)
    good = text_box.value
    text_box.value = bad
    assert "last good prompt" in lab.status.value
    assert lab.scores.value == before
    text_box.value = good
    assert "last good" not in lab.status.value
    assert lab.scores.value == before


def test_another_image_has_other_scores(lab):
    before = lab.scores.value
    lab.image.value = 3
    assert lab.scores.value != before


def test_class_names_cannot_inject_html(lab):
    lab.classes.value = "<b>dog</b>"
    assert "<b>dog" not in lab.scores.value
