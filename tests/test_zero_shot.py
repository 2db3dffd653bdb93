"""A classifier made of words: against loops, against open_clip; nouns in photos."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from clipnb import build_zero_shot_classifier, create_model, train_tokenizer, zero_shot_scores
from clipnb.datasets import CaptionDataset
from clipnb.experiments.nouns import mean_average_precision, noun_truth
from clipnb.features import encode_images
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
        (["dog", ""], ["{}"], "class name 2 of 2 is empty"),
        (["\n", "dog"], ["{}"], "class name 1 of 2"),
    ],
)
def test_what_makes_no_classifier_is_refused(model, tokenizer, names, templates, words):
    with pytest.raises(ValueError, match=words):
        build_zero_shot_classifier(model, tokenizer, names, templates)


def test_a_bare_string_is_not_a_list_of_classes(model, tokenizer):
    with pytest.raises(TypeError, match="list of strings .* not 'dog'"):
        build_zero_shot_classifier(model, tokenizer, "dog")
    with pytest.raises(TypeError, match="list of strings .* not 'a photo of a {}'"):
        build_zero_shot_classifier(model, tokenizer, ["dog"], "a photo of a {}")


@pytest.mark.parametrize("name", [None, 3, 0.5, True, b"dog", ["dog"]])
def test_class_names_and_templates_are_strings(model, tokenizer, name):
    with pytest.raises(TypeError, match=r"a class name is a string, not .* \(.*\)"):
        build_zero_shot_classifier(model, tokenizer, ["cat", name])
    with pytest.raises(TypeError, match=r"a template is a string, not .* \(.*\)"):
        build_zero_shot_classifier(model, tokenizer, ["cat"], ["a {}", name])
    with pytest.raises(TypeError, match="a class name is a string"):
        zero_shot_scores(model, tokenizer, torch.zeros(1, 16), [name])


@pytest.mark.parametrize("names", [None, 3, True])
def test_class_names_are_a_list(model, tokenizer, names):
    with pytest.raises(TypeError, match="a list of strings is wanted"):
        build_zero_shot_classifier(model, tokenizer, names)


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
