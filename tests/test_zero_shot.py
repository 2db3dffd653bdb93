"""A classifier out of words: against loops by hand and against open_clip; prompts, nouns in photos, what a bag of words cannot tell."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score

from clipnb import build_zero_shot_classifier, create_model, train_tokenizer, zero_shot_scores
from clipnb.datasets import CaptionDataset
from clipnb.experiments import limits, zero_shot
from clipnb.experiments.nouns import mean_average_precision, noun_truth
from clipnb.features import encode_images
from clipnb.scenes import Scene, Thing
from clipnb.zero_shot import find_unknown_words

NAMES, TEMPLATES = ["dog", "cat", "boat"], ["a {}", "a photo of a {}", "{}"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(
        ["a photo of a red dog", "a blue cat", "a green boat at sea", "two black dogs and a cat"],
        300,
    )


@pytest.fixture
def model(recipe):
    torch.manual_seed(0)
    return create_model(recipe).eval()


def test_equals_loops_by_hand(model, tokenizer):
    columns = []
    for name in NAMES:
        with torch.no_grad():
            features = [
                model.encode_text(tokenizer([template.format(name)]))[0] for template in TEMPLATES
            ]
        mean = sum(feature / feature.norm() for feature in features) / len(features)
        columns.append(mean / mean.norm())
    torch.testing.assert_close(
        build_zero_shot_classifier(model, tokenizer, NAMES, TEMPLATES), torch.stack(columns, dim=1)
    )


def test_equals_open_clip(model, tokenizer):
    from open_clip import build_zero_shot_classifier as theirs

    expected = theirs(
        model,
        tokenizer,
        NAMES,
        [lambda name, t=template: t.format(name) for template in TEMPLATES],
        num_classes_per_batch=None,
    )
    torch.testing.assert_close(
        build_zero_shot_classifier(model, tokenizer, NAMES, TEMPLATES),
        expected.detach(),
        atol=1e-5,
        rtol=1e-5,
    )


def test_scores_are_cosines_of_images_or_features(model, tokenizer):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    scores = zero_shot_scores(model, tokenizer, images, NAMES)
    torch.testing.assert_close(
        scores,
        zero_shot_scores(model, tokenizer, encode_images(model, images, batch_size=2), NAMES),
    )
    assert scores.shape == (5, 3) and scores.abs().max() <= 1 + 1e-6
    assert encode_images(model, images, projected=False).shape == (5, model.image_encoder.width)


def test_a_model_in_training_stays_in_training(model, tokenizer):
    model.train()
    build_zero_shot_classifier(model, tokenizer, NAMES)
    assert model.training


def test_an_unknown_word_is_named(model, tokenizer):
    assert (
        find_unknown_words(tokenizer, "Red zebra") == ["zebra"]
        and find_unknown_words(tokenizer, "dog") == []
    )
    with pytest.warns(UserWarning, match="class 'red zebra'.*'zebra'.*means nothing"):
        build_zero_shot_classifier(model, tokenizer, ["dog", "red zebra"])


@pytest.mark.parametrize(
    "names, templates, words",
    [
        ([], ["{}"], "at least one"),
        (["dog"], [], "at least one"),
        (["dog"], ["a photo"], "'a photo' has no {}"),
    ],
)
def test_what_makes_no_classifier_is_refused(model, tokenizer, names, templates, words):
    with pytest.raises(ValueError, match=words):
        build_zero_shot_classifier(model, tokenizer, names, templates)


# ---- nouns in photos ---------------------------------------------------------------------------------------------------


def test_average_precision_is_scikit_learns():
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(300, 4)), rng.random((300, 4)) < 0.2
    truth[:, 3] = False  # a class without a positive is left out
    expected = np.mean([average_precision_score(truth[:, c], scores[:, c]) for c in range(3)])
    assert mean_average_precision(scores, truth) == pytest.approx(100 * expected)


def test_a_noun_counts_when_two_captions_hold_it():
    captions = [
        ["A dog runs .", "two Dogs", "x", "x", "x"],
        ["a dog", "doggedly", "hotdog", "x", "x"],
        ["men", "a man", "children", "a child plays", "x"],
    ]
    dataset = CaptionDataset(
        "d", "test", np.zeros((3, 3, 4, 4), np.uint8), captions, ["0", "1", "2"]
    )
    assert noun_truth(dataset, ("dog", "man", "child")).tolist() == [
        [True, False, False],
        [False, False, False],
        [False, True, True],
    ]


# ---- quantities and judges ---------------------------------------------------------------------------------------------


def outcome(share, n=100):
    return np.arange(n) < round(share * n)


def found(**means):
    return {
        name.replace("_", " "): {"mean": mean, "interval": [mean - 1, mean + 1]}
        for name, mean in means.items()
    }


def test_quantities_on_outcomes_made_by_hand():
    o = {
        "clip kind seen": outcome(0.6),
        "clip kind unseen": outcome(0.5),
        "supervised kind seen": outcome(0.8),
        "supervised kind unseen": outcome(0.2),
    }
    assert zero_shot.SEEN["zero-shot, kinds"](o) == pytest.approx(60)
    assert zero_shot.SEEN["what unseen pairs cost the twin more"](o) == pytest.approx(50)


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
    names = [
        "ensemble minus bare name",
        "“a photo of a” minus bare name",
        "ensemble minus one template",
    ]
    given = {
        name: {"mean": mean, "interval": [mean - 1, mean + 1]}
        for name, mean in zip(names, (ensemble, photo, 1))
    }
    assert zero_shot.judge_prompts(given)[0] == verdict


def test_ties_are_worth_their_share():
    scores = torch.tensor([[0.5, 0.5], [0.6, 0.5], [0.4, 0.5], [0.3, 0.3 + 1e-6]])
    assert limits.first_wins(scores).tolist() == [0.5, 1.0, 0.0, 0.5]


def test_sentences_about_a_scene():
    import random

    scene = Scene(
        "sea", (Thing("boat", "red", "big", 1), Thing("bird", "white", "small", 2)), "left of", 3
    )
    told = limits.questions(scene, random.Random(0))
    assert told["binding"] == ["a red boat and two white birds", "a white boat and two red birds"]
    assert told["relation"] == [
        "a red boat to the left of two white birds",
        "two white birds to the left of a red boat",
    ]
    assert told["which thing"][0] == told["binding"][0] and "birds" not in told["which thing"][1]
    assert limits.phrase(scene.things[1], number=3) == "three white birds"


def test_a_bag_of_words_cannot_bind(recipe, tokenizer):
    import dataclasses

    torch.manual_seed(0)
    bag = create_model(dataclasses.replace(recipe, text_encoder="bag_of_words")).eval()
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    pairs = [["a red dog and a blue cat", "a blue dog and a red cat"]] * 4
    assert limits.first_wins(limits.choose(bag, tokenizer, images, pairs)).tolist() == [0.5] * 4


def test_labels_are_drawn_where_they_can_be_read():
    import random

    from PIL import Image

    blank = Image.new("RGB", (128, 128), (150, 150, 150))
    labelled = np.asarray(limits.write(blank.copy(), "flower", random.Random(0)))
    changed = (labelled != 150).any(axis=2)
    assert 1000 < changed.sum() < 5000 and (labelled.max() > 240) and (labelled.min() < 40)
