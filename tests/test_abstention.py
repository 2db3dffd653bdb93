"""The record of abstention: its questions are true, and its numbers are those of the bank."""

import dataclasses

import numpy as np
import pytest
import torch

from clipnb import RECIPES, CaptionDataset, create_model, train_tokenizer
from clipnb.experiments.abstention import (
    area_under_curve,
    compare_collections,
    make_statistics,
    measure_abstention,
    trace_curve,
)
from clipnb.experiments.questions import ask_about_photos, ask_about_scenes
from clipnb.features import encode_images
from clipnb.search.bank import fit_bank


@pytest.fixture
def bank(small):
    captions = [caption for own in small("train").captions for caption in own]
    torch.manual_seed(0)
    model = create_model(dataclasses.replace(RECIPES["quick"], image_encoder="tiny_cnn")).eval()
    return fit_bank(model, train_tokenizer(captions, 300), small("train"), small("dev"))


def test_the_area_counts_pairs():
    right, wrong = torch.tensor([3.0, 1, 2]), torch.tensor([0.0, 2, 2, 5])
    pairs = [(a > b) + 0.5 * (a == b) for a in right for b in wrong]
    assert area_under_curve(right, wrong) == pytest.approx(np.mean([float(p) for p in pairs]))


def test_the_curve_tells_what_each_threshold_finds():
    right, wrong = torch.arange(1.0, 5), torch.tensor([0.0, 0, 3, 9])
    assert trace_curve(right, wrong, n_points=2) == [[75.0, 50.0], [100.0, 50.0]]


def test_questions_about_scenes_are_true(small):
    dataset = small("train")
    questions = ask_about_scenes(dataset)
    assert {question.kind for question in questions} == {"subject", "attribute", "place", "caption"}
    for question in questions:
        assert question.right.any()
        assert not (question.right & question.absent).any()
    red = next(question for question in questions if question.kind == "attribute")
    _, colour, kind = red.text.split()
    for i, label in enumerate(dataset.labels):
        pairs = [(each["colour"], each["kind"]) for each in label["objects"]]
        assert red.right[i] == ((colour, kind) in pairs)
        assert red.absent[i] == (kind not in [each[1] for each in pairs])


def test_questions_about_photos_leave_out_other_words_for_the_subject(small):
    captions = [["A black dog runs"], ["two dogs, black"], ["a puppy"]] + [["a cat"]] * 60
    images = np.zeros((63, 3, 8, 8), np.uint8)
    names = [str(i) for i in range(63)]
    dataset = CaptionDataset("photos", "train", images, captions, names)
    questions = {question.text: question for question in ask_about_photos(dataset)}
    dog = questions["a dog"]
    assert dog.right.nonzero().flatten().tolist() == [0, 1]
    assert (~dog.absent).nonzero().flatten().tolist() == [0, 1, 2]
    assert "a black dog" not in questions  # one image only: the words must stand side by side


def test_the_last_statistic_is_the_score_of_the_bank(bank, small):
    dataset = small("train")
    questions = ask_about_scenes(dataset)[:20]
    features = encode_images(bank.model, dataset.images)
    statistic = make_statistics(bank, features, questions)["each word against the bank"]
    for j, question in enumerate(questions):
        score = bank.score(features[question.absent], question.text)
        rows = question.absent.nonzero().flatten()
        assert statistic.value(j, rows) == pytest.approx(score, abs=1e-4)
    numbers = compare_collections(statistic, questions, None)
    first = next(question for question in questions if question.kind == "subject")
    assert numbers["subject"][0][0] == pytest.approx(bank.score(features, first.text), abs=1e-4)


def test_everything_is_measured(bank, small):
    numbers = measure_abstention(bank, small("train"), small("train"), ask_about_scenes)
    assert list(numbers) == ["questions", "statistics", "images", "bank"]
    best = numbers["statistics"]["each word against the bank"]["all images"]["subject"]
    assert 0 <= best["auroc"] <= 1
    assert best["curve"][-1][0] == 100
    assert set(numbers["bank"]["refused over new splits"]) == {"short", "long"}
