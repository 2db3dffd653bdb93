"""A classifier made of words: sentences by number, scores by class, and effects by hand."""

import numpy as np
import pytest
import torch

from clipnb.claims.words import zero_shot
from clipnb.experiments import asking
from clipnb.scenes import KINDS


class Words:
    """A tokenizer and a text encoder in one: a word's feature is its own axis."""

    AXES = ("dog", "dogs", "cat")

    def __call__(self, texts):
        return torch.tensor([[self.AXES.index(text)] for text in texts])


class WordRun:
    """A run whose texts are single words."""

    tokenizer = Words()
    model = None


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(asking, "encode_texts", lambda model, tokens: torch.eye(3)[tokens[:, 0]])
    return WordRun()


def test_the_features_of_a_classs_sentences_are_averaged(run):
    features = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])
    cosines = asking.score_sentences(run, features, [["dog", "dogs"], ["cat"]])
    assert cosines == pytest.approx(np.array([[np.sqrt(0.5), 0], [0, 1]]))


def test_kinds_are_asked_for_by_number():
    sentences = asking.ask_kinds(["dog", "fish"])
    assert sentences["singular"] == [["a dog"], ["a fish"]]
    assert sentences["plural"] == [["dogs"], ["fish"]]
    assert sentences["both"] == [["a dog", "dogs"], ["a fish", "fish"]]


def test_a_noun_without_a_known_plural_stays_in_the_singular():
    known = {"men", "dogs"}
    sentences = asking.ask_nouns(["man", "dog", "grass"], known.__contains__)
    assert sentences["plural"] == [["men"], ["dogs"], ["grass"]]
    assert sentences["both"][2] == ["grass", "grass"]


def test_the_mean_over_classes_of_one_answer_to_all_is_chance():
    labels = np.array([0, 0, 0, 0, 1, 2])
    by_class = asking.score_by_class(labels == 0, labels, 3)
    assert by_class.tolist() == [100, 0, 0]
    assert by_class.mean() == pytest.approx(100 / 3)


def test_kinds_above_chance_are_the_mean_of_seen_and_unseen_pairs():
    labels = np.repeat(np.arange(len(KINDS)), 2)
    outcomes = {
        "kind seen, both": np.ones(24, bool),
        "kind unseen, both": np.arange(24) % 2 == 0,  # one of two images of each kind
        "_kind seen": labels,
        "_kind unseen": labels,
    }
    assert zero_shot.kinds_above_chance(outcomes) == pytest.approx(np.full(12, 75 - 100 / 12))


def test_nouns_are_measured_against_their_prevalence():
    truth = np.array([[True, True], [False, True], [False, False], [False, False]])
    scores = np.array([[4.0, 1], [3, 2], [2, 3], [1, 4]])  # the second noun is found last
    outcomes = {"_both": scores, "_singular": scores[::-1], "_truth": truth}
    last = 100 * (1 / 3 + 2 / 4) / 2
    assert zero_shot.nouns_above_prevalence(outcomes) == pytest.approx([75, last - 50])
    assert zero_shot.singular_cost(outcomes) == pytest.approx([75, last - 100])
