"""Quantities on outcomes with known answers."""

import numpy as np
import pytest

from clipnb.experiments.nouns import mean_average_precision
from clipnb.experiments.quantities import accuracy, average, difference, precision, surplus

OUTCOMES = {"a": np.arange(10) < 7, "b": np.arange(10) < 4}


def test_shares_are_told_in_percent_and_their_differences_in_points():
    assert accuracy("a")(OUTCOMES) == pytest.approx(70)
    assert difference("a", "b")(OUTCOMES) == pytest.approx(30)
    assert difference("b", "a")(OUTCOMES) == pytest.approx(-30)


def test_quantities_are_subtracted_and_averaged():
    assert surplus(accuracy("b"), accuracy("a"))(OUTCOMES) == pytest.approx(-30)
    assert average([accuracy("a"), accuracy("b")])(OUTCOMES) == pytest.approx(55)


def test_the_precision_of_templates_is_their_mean():
    rng = np.random.default_rng(0)
    truth, scores = rng.random((40, 3)) < 0.3, rng.normal(size=(40, 2, 3))  # (N, P, C)
    by_template = [mean_average_precision(scores[:, p], truth) for p in range(2)]
    outcomes = {"_many": scores, "_one": scores[:, 0], "_truth": truth}
    assert precision("one")(outcomes) == pytest.approx(by_template[0])
    assert precision("many")(outcomes) == pytest.approx(np.mean(by_template))
