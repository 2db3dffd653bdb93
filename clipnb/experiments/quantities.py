"""Quantities that several experiments report: functions from outcomes to one number."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clipnb.experiments.experiment import Quantity
from clipnb.experiments.nouns import mean_average_precision


def accuracy(condition: str) -> Quantity:
    """Make the quantity "percent right under a condition"."""

    def quantity(outcomes: dict[str, Any]) -> float:
        return 100 * np.mean(outcomes[condition])

    return quantity


def difference(condition: str, other: str) -> Quantity:
    """Make the quantity "percentage points by which a condition is above another"."""

    def quantity(outcomes: dict[str, Any]) -> float:
        return 100 * (np.mean(outcomes[condition]) - np.mean(outcomes[other]))

    return quantity


def precision(condition: str) -> Quantity:
    """Make the quantity "mean average precision of a condition's scores", in percent.

    The scores are `outcomes["_<condition>"]` and the truth is `outcomes["_truth"]`, bool (N, C).
    Scores (N, C) are those of one classifier. Scores (N, P, C) are those of P templates, and the
    quantity is the mean over the templates.
    """

    def quantity(outcomes: dict[str, Any]) -> float:
        scores, truth = outcomes[f"_{condition}"], outcomes["_truth"]
        if scores.ndim == 2:
            return mean_average_precision(scores, truth)
        by_template = [mean_average_precision(scores[:, p], truth) for p in range(scores.shape[1])]
        return np.mean(by_template)

    return quantity


def surplus(quantity: Quantity, other: Quantity) -> Quantity:
    """Make the quantity "amount by which one quantity is above another"."""

    def amount(outcomes: dict[str, Any]) -> float:
        return quantity(outcomes) - other(outcomes)

    return amount


def average(quantities: Sequence[Quantity]) -> Quantity:
    """Make the quantity "mean of several quantities"."""

    def mean(outcomes: dict[str, Any]) -> float:
        return np.mean([quantity(outcomes) for quantity in quantities])

    return mean
