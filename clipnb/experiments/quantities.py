"""Quantities that several experiments report: functions from outcomes to one number."""

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
    """Make the quantity "mean average precision of a condition's scores".

    The scores are (N, C), or (N, P, C) for P templates, whose mean it is then.
    """

    def quantity(outcomes: dict[str, Any]) -> float:
        scores, truth = outcomes[f"_{condition}"], outcomes["_truth"]
        if scores.ndim == 2:
            return mean_average_precision(scores, truth)
        by_template = [mean_average_precision(scores[:, p], truth) for p in range(scores.shape[1])]
        return np.mean(by_template)

    return quantity
