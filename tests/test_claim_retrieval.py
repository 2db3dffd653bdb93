"""Retrieval: hits against guessing, the published figure beside them, the prefix by hand."""

import json

import numpy as np
import pytest
import torch

from clipnb.claims.words import retrieval
from clipnb.datasets import CaptionDataset
from clipnb.runtime import ROOT


def test_a_guess_is_one_time_chance():
    N = 1000
    image_to_text = np.zeros(N)
    image_to_text[:10] = 1  # 1 %
    outcomes = {"image to text R@10": image_to_text, "text to image R@10": np.full(N, 0.01)}
    assert retrieval.times_chance(outcomes) == pytest.approx(1, abs=0.01)


def test_hits_count_an_images_captions_alike(monkeypatch):
    ranks = (torch.tensor([1, 7]), torch.tensor([1, 3, 11, 20]))  # two images, two captions each
    monkeypatch.setattr(retrieval, "encode_dataset", lambda *_: ())
    monkeypatch.setattr(retrieval, "retrieval_ranks", lambda *_: ranks)
    run = type("Run", (), {"model": None, "tokenizer": None})
    images = np.zeros((2, 3, 8, 8), np.uint8)
    dataset = CaptionDataset("toy", "test", images, [["a", "b"]] * 2, ["x", "y"])
    hits = retrieval.find_hits(run, dataset)
    assert hits["image to text R@5"].tolist() == [1, 0]
    assert hits["image to text R@10"].tolist() == [1, 1]
    assert hits["text to image R@1"].tolist() == [0.5, 0]
    assert hits["text to image R@5"].tolist() == [1, 0]
    prefixed = retrieval.add_prefix(dataset)
    assert prefixed.captions[0] == ["a photo of a", "a photo of b"]


def test_the_published_figure_is_that_of_the_file():
    systems = json.loads((ROOT / "results" / "published.json").read_text())["systems"]
    (devise,) = [each for each in systems if each["name"].startswith("DeViSE")]
    both = [devise["image_to_text"][2], devise["text_to_image"][2]]
    assert np.mean(both) == pytest.approx(retrieval.DEVISE)


def test_odds_of_one_half_and_three_quarters_differ_by_three():
    outcomes = {}
    for direction in retrieval.DIRECTIONS:
        for k in (1, 5, 10):
            outcomes[f"plain, {direction} R@{k}"] = np.array([1, 1, 0, 0])
            outcomes[f"prefixed, {direction} R@{k}"] = np.array([1, 1, 1, 0])
    assert retrieval.odds_ratio(outcomes) == pytest.approx(3)
    assert retrieval.prefix_gain(1).compute(outcomes) == pytest.approx(25)
