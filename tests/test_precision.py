"""Precision of short queries: right images among the first ten, and which images are right."""

import dataclasses

import pytest
import torch

from clipnb.search.precision import (
    find_frequent_words,
    find_truth,
    list_forms,
    measure_word_precision,
)


def test_precision_and_chance_worked_by_hand():
    image_features = torch.tensor([[0.9], [0.8], [0.7], [0.6], [0.5]])
    right = torch.tensor([True, False, True, False, True])
    truth = {"kinds": {"dog": right, "cat": ~right, "fish": torch.tensor([1, 0, 0, 0, 0]) > 0}}
    directions = {"dog": torch.tensor([1.0]), "cat": torch.tensor([-1.0])}
    summary = measure_word_precision(image_features, truth, directions.__getitem__, k=2)
    assert summary == {
        "kinds": {
            "precision": pytest.approx(50.0),  # dog: images 0 and 1; cat: images 4 and 3
            "chance": pytest.approx(50.0),  # (60 + 40) / 2
            "texts": {"dog": 50.0, "cat": 50.0},
        }
    }


def test_a_perfect_encoder_reaches_100_and_a_blind_one_chance():
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(400, generator=generator) < 0.3
    truth = {"words": {"dog": right}}
    features = torch.stack([right.float(), torch.rand(400, generator=generator)], dim=1)
    perfect = measure_word_precision(features, truth, lambda text: torch.tensor([1.0, 0]))
    assert perfect["words"]["precision"] == 100
    blind = [
        measure_word_precision(
            features[torch.randperm(400, generator=generator)],
            truth,
            lambda text: torch.tensor([0, 1.0]),
        )["words"]["precision"]
        for _ in range(60)
    ]
    assert sum(blind) / 60 == pytest.approx(perfect["words"]["chance"], abs=6)


def test_features_that_are_not_finite_are_no_right_answers():
    features = torch.tensor([[float("nan")], [1.0], [0.5]])
    truth = {"words": {"dog": torch.tensor([True, False, False])}}
    with pytest.raises(ValueError, match="feature 0 holds NaN"):
        measure_word_precision(features, truth, lambda text: torch.tensor([1.0]), k=1)


def test_labels_tell_what_is_right(small):
    dataset = small("train")
    truth = find_truth(dataset)
    assert list(truth) == ["kinds", "colours", "places", "colour and kind", "kind and place"]
    for i, label in enumerate(dataset.labels):
        shown = {each["kind"] for each in label["objects"]}
        assert {kind for kind, right in truth["kinds"].items() if right[i]} == shown
        assert [place for place, right in truth["places"].items() if right[i]] == [label["place"]]
        pairs = {f"{each['colour']} {each['kind']}" for each in label["objects"]}
        assert {pair for pair, right in truth["colour and kind"].items() if right[i]} == pairs


def test_captions_tell_what_is_right_without_labels(small):
    dataset = dataclasses.replace(
        small("dev").subset(range(3)),
        labels=None,
        captions=[["Two Dogs run."], ["a man's hot-dog"], ["men and a doggy"]],
    )
    truth = find_truth(dataset, ["dog", "man"])["words"]
    assert truth["dog"].tolist() == [True, True, False]
    assert truth["man"].tolist() == [False, True, True]
    assert list_forms("bus") == {"bus", "buss", "buses"}


def test_the_end_of_a_genitive_is_no_word(small):
    captions = [["the man's dog"]] + [["a boat"]] * 4
    dataset = dataclasses.replace(small("dev").subset(range(5)), labels=None, captions=captions)
    assert list(find_truth(dataset)["words"]) == ["dog", "man"]


def test_frequent_words_are_neither_rare_nor_everywhere():
    said = [{"the", "dog", "image"}] * 3 + [{"image", "cat"}] * 2 + [{"image"}] * 5
    assert find_frequent_words(said) == ["dog", "cat"]
