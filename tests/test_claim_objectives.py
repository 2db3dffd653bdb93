"""Learning curves of the three arms: their scores against loops, crossings worked out by hand."""

import json

import numpy as np
import pytest
import torch

from clipnb import train_tokenizer
from clipnb.claims.drawn import TRIED_RATES
from clipnb.claims.learning import objectives
from clipnb.claims.learning.learning_curves import (
    ARMS,
    BAG_PREDICTION,
    CONTRAST,
    LANGUAGE_MODEL,
    RECIPE,
    Exam,
    Question,
    choose_moments,
    compare_images,
    compare_seconds,
    grade_ranks,
    images_to_reach,
    make_arm,
    measure_above_chance,
    score_classes,
    take_exam,
)
from clipnb.claims.learning.objectives import EXPERIMENTS, PHOTOS_RATES, SCENES_RATES
from clipnb.claims.words.naming_exams import (
    UNCOUNTED,
    make_scenes_exam,
    name_colour,
    name_kind,
    name_noun,
)
from clipnb.datasets import CaptionDataset
from clipnb.encoders import normalize_images
from clipnb.experiments.nouns import NOUN_CLASSES, noun_forms
from clipnb.runtime import ROOT

CAPTIONS = [
    ["a red dog on the grass", "two red dogs", "a dog", "the dog .", "grass"],
    ["a blue cat at sea", "cat", "a cat", "the sea", "two blue cats"],
] * 4
CLASSES = [["a red dog", "a dog", "two dogs"], ["a blue cat", "a cat", "two cats"]]


@pytest.fixture(scope="module")
def dataset():
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    return CaptionDataset("d", "train", images, CAPTIONS, [str(i) for i in range(8)])


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([caption for own in CAPTIONS for caption in own], 300)


def make(arm, tokenizer, dataset):
    torch.manual_seed(0)
    return make_arm(arm, RECIPE, tokenizer, dataset)[0].eval()


# ---- scores ----------------------------------------------------------------------------------


def test_a_captioner_adds_the_likelihoods_of_a_classes_sentences(tokenizer, dataset):
    model = make(LANGUAGE_MODEL, tokenizer, dataset)
    with torch.no_grad():
        features = model.image_encoder(normalize_images(torch.from_numpy(dataset.images)))
        by_class = [model.log_likelihood(features, tokenizer(own)) for own in CLASSES]
    expected = torch.stack([logs.logsumexp(dim=1) for logs in by_class], dim=1)
    scores = score_classes(model, tokenizer, dataset.images, CLASSES)
    torch.testing.assert_close(scores, expected - expected.mean(dim=0), atol=1e-4, rtol=1e-4)


def test_a_word_predictor_adds_the_probabilities_of_a_classes_words(tokenizer, dataset):
    model = make(BAG_PREDICTION, tokenizer, dataset)
    with torch.no_grad():
        logits = model(normalize_images(torch.from_numpy(dataset.images)))
    shares = logits.softmax(dim=1)
    words = [("dog", "dogs"), ("cat", "cats")]
    ids = [[tokenizer.encode(word)[-1] for word in own] for own in words]
    expected = torch.stack([shares[:, own].sum(dim=1).log() for own in ids], dim=1)
    scores = score_classes(model, tokenizer, dataset.images, CLASSES)
    torch.testing.assert_close(scores, expected - expected.mean(dim=0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("arm", ARMS)
def test_no_class_scores_higher_on_average(arm, tokenizer, dataset):
    scores = score_classes(make(arm, tokenizer, dataset), tokenizer, dataset.images, CLASSES)
    assert scores.shape == (8, 2)
    torch.testing.assert_close(scores.mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)


def test_an_unknown_arm_is_refused(tokenizer, dataset):
    with pytest.raises(ValueError, match="no arm 'captions'; choose one of 'caption language"):
        make_arm("captions", RECIPE, tokenizer, dataset)


def test_an_exam_counts_right_answers_over_its_questions(tokenizer, dataset, monkeypatch):
    answers = iter([[0, 1, 1], [2, 0, 1]])

    def score(model, tokenizer, images, sentences):
        return torch.eye(len(sentences))[next(answers)]

    monkeypatch.setattr("clipnb.claims.learning.learning_curves.score_classes", score)
    first = Question([["a dog"], ["a cat"]], np.array([[1, 0], [1, 0], [1, 1]], bool))
    second = Question([["red"], ["blue"], ["green"]], np.eye(3, dtype=bool))
    exam = Exam(np.zeros((3, 3, 8, 8), np.uint8), [first, second])
    assert take_exam(None, tokenizer, exam).tolist() == [0.5, 0.0, 0.5]
    assert exam.chance == pytest.approx((4 / 6 + 1 / 3) / 2)


def test_ranks_give_the_mean_area_under_the_curve():
    # Class 0: images 0 and 1 show it; 3 of the 4 pairs are in order. Class 1: image 2; 3 of 3.
    scores = np.array([[4.0, 0.0], [2.0, 1.0], [3.0, 5.0], [1.0, 2.0]])
    truth = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], bool)
    grades = grade_ranks(scores, truth)
    np.testing.assert_allclose(grades, [1.0 * 4 / 4, 0.5 * 4 / 4, 1.0 * 4 / 2, 0.0])
    assert grades.mean() == pytest.approx((3 / 4 + 1) / 2)
    assert Exam(np.zeros(4), [Question([["a"], ["b"]], truth, single=False)]).chance == 0.5


# ---- what is asked ---------------------------------------------------------------------------


def test_kinds_colours_and_nouns_are_asked_for_in_both_numbers():
    sentences = name_kind("dog")
    assert (len(sentences), len(set(sentences))) == (27, 27)
    assert {"a dog", "a red dog", "two dogs", "three white dogs"} <= set(sentences)
    assert name_colour("red") == ["a red", "two red", "three red"]
    assert "two men" in name_noun("man")
    assert not any("two" in text for text in name_noun("grass"))
    for noun in NOUN_CLASSES:
        assert all(text.split()[-1] in noun_forms(noun) for text in name_noun(noun))
    assert set(NOUN_CLASSES) > UNCOUNTED


def test_the_exam_on_scenes_asks_for_kind_and_colour():
    exam = make_scenes_exam(6, "a_test")
    assert exam.images.shape == (6, 3, 48, 48)
    assert [question.truth.shape for question in exam.questions] == [(6, 12), (6, 8)]
    assert all((question.truth.sum(axis=1) == 1).all() for question in exam.questions)
    assert exam.chance == pytest.approx((1 / 12 + 1 / 8) / 2)


# ---- curves and effects ----------------------------------------------------------------------


def test_moments_are_dense_and_early():
    moments = choose_moments(230)
    assert (moments[0], moments[-1], len(moments)) == (4, 230, 13)
    ratios = np.array(moments[1:]) / moments[:-1]
    assert ratios.max() < 1.6
    assert choose_moments(4) == [4]
    assert choose_moments(3) == [3]


def test_a_crossing_is_interpolated_on_a_log_axis():
    images = [100, 400, 1600]
    assert images_to_reach([0.1, 0.3, 0.5], images, 0.2) == pytest.approx(200)
    assert images_to_reach([0.1, 0.3, 0.5], images, 0.5) == pytest.approx(1600)
    assert images_to_reach([0.1, 0.3, 0.5], images, 0.05) == 100
    assert images_to_reach([0.1, 0.3, 0.5], images, 0.6) == 1600


def make_outcomes():
    """Make two arms of which the slow one needs four times as many images at every level."""
    rising = np.array([0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    late = np.array([0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.4])
    images = [100 * 2**i for i in range(7)]
    outcomes = {"chance": 0.1, "images": images}
    for arm, curve, seconds in ((CONTRAST, rising, 1.0), (BAG_PREDICTION, late, 0.5)):
        outcomes[f"_curve, {arm}"] = np.stack([curve - 0.05, curve + 0.05])  # two images
        outcomes[arm] = outcomes[f"_curve, {arm}"][:, -1]
        outcomes[f"seconds per image, {arm}"] = seconds
    return outcomes


@pytest.mark.parametrize("share", [1.0, 0.75, 0.5])
def test_four_times_as_many_images_are_found_at_every_level(share):
    outcomes = make_outcomes()
    effect = compare_images(CONTRAST, BAG_PREDICTION, share)
    assert effect.compute(outcomes) == pytest.approx(4)
    # The rule does not look at which arm is the weaker one.
    opposite = compare_images(BAG_PREDICTION, CONTRAST, share)
    assert opposite.compute(outcomes) == pytest.approx(1 / 4)


def test_arms_that_learn_nothing_give_a_finite_ratio():
    outcomes = make_outcomes()
    for arm in (CONTRAST, BAG_PREDICTION):
        outcomes[f"_curve, {arm}"] = np.full((2, 7), 0.1)
    assert compare_images(CONTRAST, BAG_PREDICTION).compute(outcomes) == 1


def test_levels_above_chance_and_seconds():
    outcomes = make_outcomes()
    assert measure_above_chance(CONTRAST).compute(outcomes) == pytest.approx(50)
    assert compare_seconds(CONTRAST, BAG_PREDICTION).compute(outcomes) == pytest.approx(0.5)


# ---- the experiments -------------------------------------------------------------------------


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_an_explanation_tells_the_ratios_and_survives_missing_bounds(experiment):
    names = list(experiment.effects)
    effects = {name: {"mean": 2.0, "interval": [1.5, None]} for name in names}
    told = experiment.explain(effects)
    assert "2.00 (1.50 to no number) times as many" in told
    assert "half way" in told
    gates = {gate.effect for gate in experiment.protocol.gates}
    assert gates <= set(names)


TUNED = [
    (f"objectives{part}{photos}", dataset, rates)
    for part in ("", "_bag")
    for photos, dataset, rates in (
        ("", "scenes", SCENES_RATES),
        ("_flickr8k", "flickr8k", PHOTOS_RATES),
    )
]


@pytest.mark.parametrize(("name", "dataset", "rates"), TUNED)
def test_the_rates_are_the_best_ones_on_record(name, dataset, rates):
    path = ROOT / "results" / "tuning" / f"{name}.json"
    assert path.exists(), f"tune first: python -m clipnb experiment {name} --tune"
    for arm, scores in json.loads(path.read_text(encoding="utf-8"))["scores"].items():
        assert [float(rate) for rate in scores] == list(TRIED_RATES)
        assert float(max(scores, key=scores.get)) == rates[arm]


def test_a_tiny_run_has_the_promised_format(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    many = dataset.subset([i % 8 for i in range(128)])  # one batch
    exam = Exam(dataset.images, [Question(CLASSES, np.eye(2, dtype=bool)[[0, 1] * 4])])
    outcomes, numbers = objectives.measure_arms(300, many, 2, exam, SCENES_RATES)
    assert numbers["images"] == [256]
    for arm in ARMS:
        assert outcomes[arm].shape == (8,)
        assert outcomes[f"_curve, {arm}"].shape == (8, 1)
        assert numbers[f"seconds per image, {arm}"] > 0
        assert len(numbers[f"curve, {arm}"]) == 1
    assert numbers["chance"] == 0.5
    again, _ = objectives.measure_arms(300, many, 2, exam, SCENES_RATES)  # from the cache
    np.testing.assert_array_equal(again[CONTRAST], outcomes[CONTRAST])
    for effect in objectives.CONTRAST_EFFECTS.values():
        assert np.isfinite(effect.compute(outcomes | numbers))
