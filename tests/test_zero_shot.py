"""A classifier made of words: against loops, against open_clip, and the experiments with it."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

from clipnb import build_zero_shot_classifier, create_model, train_tokenizer, zero_shot_scores
from clipnb.datasets import CaptionDataset
from clipnb.experiments import limits, prompts, reading, zero_shot
from clipnb.experiments.nouns import mean_average_precision, noun_truth
from clipnb.features import encode_images
from clipnb.scenes import Scene, Thing
from clipnb.zero_shot import find_unknown_words

NAMES = ["dog", "cat", "boat"]
TEMPLATES = ["a {}", "a photo of a {}", "{}"]


@pytest.fixture(scope="module")
def tokenizer():
    captions = [
        "a photo of a red dog",
        "a blue cat",
        "a green boat at sea",
        "two black dogs and a cat",
    ]
    return train_tokenizer(captions, 300)


@pytest.fixture
def model(recipe):
    torch.manual_seed(0)
    return create_model(recipe).eval()


def make_images(n):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)


# ---- the classifier --------------------------------------------------------------------------


def test_the_classifier_equals_loops(model, tokenizer):
    columns = []
    for name in NAMES:
        features = []
        for template in TEMPLATES:
            with torch.no_grad():
                feature = model.encode_text(tokenizer([template.format(name)]))[0]
            features.append(feature / feature.norm())
        mean = sum(features) / len(features)
        columns.append(mean / mean.norm())
    ours = build_zero_shot_classifier(model, tokenizer, NAMES, TEMPLATES)
    torch.testing.assert_close(ours, torch.stack(columns, dim=1))


class OpenClipAdapter:
    """Our model as open_clip's builder expects one.

    open_clip 3 calls `model.encode_text(tokens, normalize=True)`. Its development version calls
    `model(text=tokens)` and reads "text_features" from the dict that it gets.
    """

    def __init__(self, model):
        self.model = model

    def encode_text(self, text, normalize=False):
        return self.model.encode_text(text, normalize=normalize)

    def __call__(self, image=None, text=None):
        return {"text_features": self.encode_text(text, normalize=True)}


def test_the_classifier_equals_open_clips(model, tokenizer):
    import open_clip

    expected = open_clip.build_zero_shot_classifier(
        OpenClipAdapter(model), tokenizer, NAMES, TEMPLATES
    )
    ours = build_zero_shot_classifier(model, tokenizer, NAMES, TEMPLATES)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_the_adapter_answers_both_versions_of_open_clip_alike(model, tokenizer):
    adapter = OpenClipAdapter(model)
    tokens = tokenizer(["a dog", "a photo of a cat"])
    with torch.no_grad():
        expected = model.encode_text(tokens, normalize=True)
        torch.testing.assert_close(adapter.encode_text(tokens, normalize=True), expected)
        torch.testing.assert_close(adapter(text=tokens)["text_features"], expected)
    torch.testing.assert_close(expected.norm(dim=1), torch.ones(2))


def test_scores_are_cosines_of_images_or_features(model, tokenizer):
    images = make_images(5)
    scores = zero_shot_scores(model, tokenizer, images, NAMES)
    features = encode_images(model, images, batch_size=2)
    torch.testing.assert_close(scores, zero_shot_scores(model, tokenizer, features, NAMES))
    assert scores.shape == (5, 3)
    assert scores.abs().max() <= 1 + 1e-6


def test_features_before_the_projection_have_the_encoders_width(model):
    features = encode_images(model, make_images(5), projected=False)
    assert features.shape == (5, model.image_encoder.width)


def test_a_model_in_training_stays_in_training(model, tokenizer):
    model.train()
    build_zero_shot_classifier(model, tokenizer, NAMES)
    assert model.training


def test_an_unknown_word_is_named(model, tokenizer):
    assert find_unknown_words(tokenizer, "Red zebra") == ["zebra"]
    assert find_unknown_words(tokenizer, "dog") == []
    assert find_unknown_words(tokenizer, "Zebra, zebra! A dog's quagga. 7 cats") == [
        "zebra",
        "quagga",
        "cats",
    ]
    with pytest.warns(UserWarning, match="class 'red zebra'.*'zebra'.*means nothing"):
        build_zero_shot_classifier(model, tokenizer, ["dog", "red zebra"])


@pytest.mark.parametrize(
    "names, templates, words",
    [
        ([], ["{}"], "at least one"),
        (["dog"], [], "at least one"),
        (["dog"], ["a photo"], "'a photo' has no {}"),
        (["dog"], ["{}", "a photo"], "'a photo' has no {}"),
        (["dog"], ["a {} and a {}"], "'a {} and a {}' has 2 places {}"),
        (["dog"], ["a {} {c}"], "has a brace that belongs to no {}"),
        (["dog"], ["a {c}"], "has no {}"),
        (["dog"], ["a {0}"], "has no {}"),
        (["dog"], ["a {} {"], "has a brace"),
        (["dog"], ["{{}}"], "has a brace"),
        (["dog"], [lambda name: f"a {name}"], "a template is a string"),
    ],
)
def test_what_makes_no_classifier_is_refused(model, tokenizer, names, templates, words):
    with pytest.raises(ValueError, match=words):
        build_zero_shot_classifier(model, tokenizer, names, templates)


def test_a_bare_string_is_not_a_list_of_classes(model, tokenizer):
    with pytest.raises(TypeError, match="lists of strings"):
        build_zero_shot_classifier(model, tokenizer, "dog")
    with pytest.raises(TypeError, match="lists of strings"):
        build_zero_shot_classifier(model, tokenizer, ["dog"], "a photo of a {}")


# ---- nouns in photos -------------------------------------------------------------------------


def test_average_precision_equals_scikit_learns():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(300, 4))
    truth = rng.random((300, 4)) < 0.2
    truth[:, 3] = False  # a class without a positive is left out
    expected = np.mean([average_precision_score(truth[:, c], scores[:, c]) for c in range(3)])
    assert mean_average_precision(scores, truth) == pytest.approx(100 * expected)


def test_a_noun_counts_when_two_captions_hold_it():
    captions = [
        ["A dog runs .", "two Dogs", "x", "x", "x"],
        ["a dog", "doggedly", "hotdog", "x", "x"],
        ["men", "a man", "children", "a child plays", "x"],
    ]
    images = np.zeros((3, 3, 4, 4), np.uint8)
    dataset = CaptionDataset("d", "test", images, captions, ["0", "1", "2"])
    assert noun_truth(dataset, ("dog", "man", "child")).tolist() == [
        [True, False, False],
        [False, False, False],
        [False, True, True],
    ]


# ---- quantities and judges -------------------------------------------------------------------


def make_outcome(share, n=100):
    """Return n outcomes, of which this share is right."""
    return np.arange(n) < round(share * n)


def make_estimate(mean):
    """Return a quantity as a judge sees it, with an interval of one point on each side."""
    return {"mean": mean, "interval": [mean - 1, mean + 1]}


def test_quantities_on_outcomes_made_by_hand():
    outcomes = {
        "clip kind seen": make_outcome(0.6),
        "clip kind unseen": make_outcome(0.5),
        "supervised kind seen": make_outcome(0.8),
        "supervised kind unseen": make_outcome(0.2),
    }
    quantities = zero_shot.KIND_QUANTITIES
    assert quantities["zero-shot, kinds"](outcomes) == pytest.approx(60)
    assert quantities["what unseen pairs cost the twin more"](outcomes) == pytest.approx(50)


@pytest.mark.parametrize(
    "ensemble, photo, verdict",
    [
        (3, 2, "replicated"),
        (3, -2, "partly"),
        (0.5, -2, "not at this scale"),
        (-3, 2, "contradicted"),
    ],
)
def test_prompts_are_judged_by_their_intervals(ensemble, photo, verdict):
    quantities = {
        "ensemble minus bare name": make_estimate(ensemble),
        "“a photo of a” minus bare name": make_estimate(photo),
        "ensemble minus one template": make_estimate(1),
    }
    assert prompts.judge_prompts(quantities)[0] == verdict


# ---- choices between sentences ---------------------------------------------------------------


@pytest.fixture
def scene():
    boat = Thing("boat", "red", "big", 1)
    birds = Thing("bird", "white", "small", 2)
    return Scene("sea", (boat, birds), "left of", 3)


def test_ties_are_worth_their_share():
    scores = torch.tensor([[0.5, 0.5], [0.6, 0.5], [0.4, 0.5], [0.3, 0.3 + 1e-6]])
    assert limits.score_first(scores).tolist() == [0.5, 1.0, 0.0, 0.5]


def test_choices_about_a_scene(scene):
    choices = limits.make_choices(scene, random.Random(0))
    assert choices["binding"] == [
        "a red boat and two white birds",
        "a white boat and two red birds",
    ]
    assert choices["relation"] == [
        "a red boat to the left of two white birds",
        "two white birds to the left of a red boat",
    ]
    right, wrong = choices["which thing"]
    assert right == choices["binding"][0]
    assert "birds" not in wrong


def test_counting_choices_begin_with_the_right_number(scene):
    assert limits.describe_thing(scene.things[1], count=3) == "three white birds"
    birds_alone = dataclasses.replace(scene, things=scene.things[1:], relation=None)
    assert limits.make_counting_choices(birds_alone) == [
        "two white birds",
        "a white bird",
        "three white birds",
    ]


def test_a_bag_of_words_cannot_bind(recipe, tokenizer):
    torch.manual_seed(0)
    bag = create_model(dataclasses.replace(recipe, text_encoder="bag_of_words")).eval()
    pairs = [["a red dog and a blue cat", "a blue dog and a red cat"]] * 4
    scores = limits.score_choices(bag, tokenizer, make_images(4), pairs)
    assert limits.score_first(scores).tolist() == [0.5] * 4


# ---- words in images -------------------------------------------------------------------------


def test_a_label_is_printed_dark_on_light():
    grey = Image.new("RGB", (128, 128), (150, 150, 150))
    labelled = np.asarray(reading.print_label(grey, "flower", random.Random(0)))
    changed = (labelled != 150).any(axis=2)
    assert 1000 < changed.sum() < 5000
    assert labelled.max() > 240
    assert labelled.min() < 40


def test_three_images_in_ten_get_a_right_label(scene):
    n_labelled = 0
    for seed in range(300):
        image = Image.new("RGB", (128, 128), (150, 150, 150))
        labelled = reading.label_some(image, dataclasses.replace(scene, seed=seed))
        n_labelled += np.asarray(labelled).max() > 150
    assert 60 < n_labelled < 120


def test_a_wrong_word_names_another_kind(scene):
    words = {reading.choose_wrong_word(dataclasses.replace(scene, seed=i)) for i in range(100)}
    assert "boat" not in words
    assert len(words) > 5
