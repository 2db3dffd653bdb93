"""The prompt laboratory, driven by its traits as a browser would drive it."""

import numpy as np
import pytest
import torch

from clipnb import create_model, train_tokenizer
from clipnb.widgets.exam import join, read_exam
from clipnb.widgets.prompt_lab import PromptLab

CLASSES = ["dog", "cat", "boat"]


@pytest.fixture
def lab(recipe):
    torch.manual_seed(0)
    captions = [
        "a red dog on the grass",
        "a blue cat on the grass",
        "a green boat at sea",
        "two black dogs",
    ]
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 32, 32), dtype=np.uint8)
    model = create_model(recipe).eval()
    tokenizer = train_tokenizer(captions, 300)
    return PromptLab(model, tokenizer, images, ["house", *CLASSES, *CLASSES], CLASSES)


# ---- what stands for what --------------------------------------------------------------------

TRUTH = ["dog", "dog", "cat", "bird", "house"]
START = ["dog", "cat", "bird"]


@pytest.mark.parametrize(
    "text, names, classes",
    [
        ("dog, cat, bird", ["dog", "cat", "bird"], ["dog", "cat", "bird"]),
        ("puppy, cat, bird", ["puppy", "cat", "bird"], ["dog", "cat", "bird"]),
        ("red, blue, green", ["red", "blue", "green"], ["dog", "cat", "bird"]),
        ("dog = puppy, cat, bird", ["puppy", "cat", "bird"], ["dog", "cat", "bird"]),
        ("bird=robin,cat", ["robin", "cat"], ["bird", "cat"]),
        ("bird, dog", ["bird", "dog"], ["bird", "dog"]),
        ("hound, dog", ["hound", "dog"], [None, "dog"]),
        ("dog, cat, bird, zebra", ["dog", "cat", "bird", "zebra"], ["dog", "cat", "bird", None]),
        ("house, cat", ["house", "cat"], ["house", "cat"]),
        (", kitten", ["kitten"], ["cat"]),
        ("DOG, Cat", ["dog", "cat"], ["dog", "cat"]),
        ("Dog = Puppy", ["Puppy"], ["dog"]),
        ("dog = cat, cat = dog", ["cat", "dog"], ["dog", "cat"]),
    ],
)
def test_names_stand_for_classes(text, names, classes):
    exam = read_exam(text, TRUTH, START)
    assert exam.names == names
    assert exam.classes == classes
    assert exam.n_images == sum(truth in classes for truth in TRUTH)
    assert exam.n_images + exam.n_others == len(TRUTH)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "Type class names"),
        (" , ,", "Type class names"),
        ("dog, dog", "The name “dog” stands there twice"),
        ("dog, cat, Dog", "“dog” stands there twice"),
        ("dog = x, cat = x, bird = x", "“x” stands there 3 times"),
        ("dog = puppy, dog", "The class “dog” has 2 names"),
        ("wolf = puppy", "No image shows “wolf”. The images show bird, cat, dog and house"),
        ("dog =", "Write a name after “dog =”"),
        ("= puppy", "No image shows “”"),
    ],
)
def test_what_makes_no_exam_is_told_in_words(text, words):
    with pytest.raises(ValueError, match=words):
        read_exam(text, TRUTH, START)


def test_words_are_joined_as_in_a_sentence():
    assert [join(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert join(list("abcdef"), most=2) == "a, b and 4 more"


# ---- the widget ------------------------------------------------------------------------------


def test_it_starts_with_an_answer_about_an_image_of_a_class(lab):
    assert "of the 6 images of dog, cat and boat are named rightly" in lab.status.value
    assert "guessing: 33 %" in lab.status.value
    assert "One more image is left out" in lab.status.value
    assert lab.image.value == 1
    assert "truth: <b>dog</b>" in lab.scores.value
    assert lab.scores.value.count(" %") == 3
    assert lab.scores.value.count("✓") == 1
    assert 0 <= lab.accuracy <= 100


def test_its_repr_is_short(lab):
    assert repr(lab) == "PromptLab(7 images)"


def test_an_image_of_no_class_says_so(lab):
    lab.image.value = 0
    assert "truth: <b>house</b>, which is none of the classes" in lab.scores.value
    assert "✓" not in lab.scores.value


def test_another_word_for_a_class_is_asked_about_the_same_images(lab):
    lab.classes.value = "puppy, cat, boat"
    assert "of the 6 images of dog, cat and boat" in lab.status.value
    assert "Standing in: “puppy” for dog." in lab.status.value
    assert "Another exam" not in lab.status.value
    by_place = lab.accuracy
    lab.classes.value = "cat, boat, dog = puppy"
    assert lab.accuracy == by_place


def test_case_does_not_matter(lab):
    before, accuracy = lab.scores.value, lab.accuracy
    lab.classes.value = "DOG, Cat, bOaT"
    assert lab.accuracy == accuracy
    assert lab.scores.value == before


def test_fewer_classes_make_another_exam_which_is_said(lab):
    lab.classes.value = "dog, cat"
    assert "of the 4 images of dog and cat" in lab.status.value
    assert "guessing: 50 %" in lab.status.value
    assert "Another exam than at the start: without boat." in lab.status.value


def test_other_classes_of_the_images_make_another_exam_which_is_said(lab):
    lab.classes.value = "dog, house"
    assert "Another exam than at the start: without cat and boat, with house." in lab.status.value


def test_a_name_too_many_is_a_wrong_answer_for_every_image(lab):
    before = lab.accuracy
    lab.classes.value = "dog, cat, boat, red"
    assert "A wrong answer for every image: red." in lab.status.value
    assert "of the 6 images" in lab.status.value
    assert lab.accuracy <= before


def test_it_warns_of_a_class_that_the_vocabulary_does_not_know(lab):
    lab.classes.value = "dog, zebra"
    assert "never read by the model: “zebra”" in lab.status.value
    assert "means nothing" in lab.status.value


def test_eighty_unknown_classes_are_told_in_a_few_lines(lab):
    lab.classes.value = ", ".join(f"dinosaur{chr(97 + i % 26)}{i // 26 * 'x'}" for i in range(80))
    assert lab.status.value.count("<br>") <= 3
    assert "and 75 more" in lab.status.value
    assert lab.scores.value.count("<u ") == 12
    assert "The 68 others have less" in lab.scores.value


@pytest.mark.parametrize(
    "box, bad, words",
    [
        ("templates", "a photo", "no {}"),
        ("templates", "a {} and a {}", "2 places {}"),
        ("templates", "a {} {c}", "a brace"),
        ("templates", "a {} and }", "a brace"),
        ("templates", "{{}}", "a brace"),
        ("templates", "a {0}", "no {}"),
        ("templates", " ; ", "Type a template"),
        ("classes", " , ", "Type class names"),
        ("classes", "dog, dog", "twice"),
        ("classes", "wolf = puppy", "No image shows"),
    ],
)
def test_a_bad_prompt_is_told_and_nothing_stale_stays(lab, box, bad, words):
    before = (lab.scores.value, lab.status.value, lab.accuracy)
    text_box = getattr(lab, box)
    good = text_box.value
    text_box.value = bad
    assert words in lab.status.value
    assert lab.accuracy is None
    assert "%" not in lab.status.value
    assert "%" not in lab.scores.value
    text_box.value = good
    assert (lab.scores.value, lab.status.value, lab.accuracy) == before


def test_another_image_has_other_scores(lab):
    before = lab.scores.value
    lab.image.value = 3
    assert lab.scores.value != before


@pytest.mark.parametrize(
    "attack", ["<em>dog</em>", "dog = <em>x", "wolf<em> = x", "dog, cat, a, <em>x"]
)
def test_class_names_cannot_inject_html(lab, attack):
    lab.classes.value = attack
    for text in (lab.status.value, lab.scores.value):
        assert "<em>" not in text


def test_no_part_is_wider_than_a_narrow_pane(lab):
    for child in lab.children:
        assert "px" not in (child.layout.width or "")
