"""The best run at each cost, and what lines through the cheap ones foretell of an expensive one.

A power law is a straight line on logarithmic axes. Its opponent is a straight line of the error
itself over the logarithm of compute: as many parameters, and the same runs to fit.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

HELD_OUT = 8  # runs that cost more than the largest divided by this are foretold, not fitted
LOWEST_ERROR = 1e-3  # a perfect run counts as this error, so that it has a logarithm


class Frontier(NamedTuple):
    """The best runs, by what they cost."""

    compute: np.ndarray  # (F,) of the runs to fit, rising
    error: np.ndarray  # (F,) as shares
    held_out_compute: float
    held_out_error: float


def find_frontier(outcomes: dict[str, Any], half: int) -> Frontier:
    """Find the runs that no cheaper run beats, and the best of the held-out expensive ones.

    They are chosen by the test images of one half, and their error is read on those of the other,
    because the lowest of many errors is too low where it was chosen.
    """
    runs = sorted(outcomes["compute"], key=outcomes["compute"].get)
    compute = np.array([outcomes["compute"][run] for run in runs], float)  # (R,), rising
    scores = np.stack([outcomes[run] for run in runs])  # (R, N)
    choosing = outcomes["_half"] == half  # (N,)
    chosen_by = 1 - scores[:, choosing].mean(axis=1)  # (R,)
    read = np.maximum(1 - scores[:, ~choosing].mean(axis=1), LOWEST_ERROR)
    n_fitted = int(np.searchsorted(compute, compute[-1] / HELD_OUT, side="right"))
    lowest_before = np.minimum.accumulate(np.append(np.inf, chosen_by))[:n_fitted]
    best = np.flatnonzero(chosen_by[:n_fitted] < lowest_before)  # (F,)
    last = n_fitted + int(np.argmin(chosen_by[n_fitted:]))
    return Frontier(compute[best], read[best], float(compute[last]), float(read[last]))


class Forecast(NamedTuple):
    """What is foretold about the held-out run, and what was measured. All errors are shares."""

    power_law: float
    straight_line: float
    last_value: float
    measured: float
    exponent: float  # b of error = a * compute**-b
    r_squared: float  # of the line on logarithmic axes, over the fitted runs


def forecast(outcomes: dict[str, Any], half: int) -> Forecast:
    """Fit both lines to the cheaper part of a frontier and foretell the held-out run.

    A frontier of one run foretells that nothing changes.
    """
    compute, error, last_compute, measured = find_frontier(outcomes, half)
    x, last_x = np.log(compute), np.log(last_compute)
    straight, _, _ = extend_line(x, error, last_x)
    log_error, slope, r_squared = extend_line(x, np.log(error), last_x)
    power_law, straight_line = float(np.exp(log_error)), max(straight, 0.0)  # never negative
    return Forecast(power_law, straight_line, float(error[-1]), measured, -slope, r_squared)


def extend_line(x: np.ndarray, y: np.ndarray, at: float) -> tuple[float, float, float]:
    """Fit a line to points. Returns its value `at` another point, its slope and its R².

    One point alone has a line without a slope. R² is 0 where nothing varies.
    """
    dx, dy = x - x.mean(), y - y.mean()
    products, squares = dx @ dy, dx @ dx
    slope = float(products / squares) if squares else 0.0
    explained = slope * products  # the sum of squares that the line explains
    r_squared = float(explained / (dy @ dy)) if dy.any() else 0.0
    return float(y.mean() + slope * (at - x.mean())), slope, r_squared


def average_halves(compute: Callable[[Forecast], float]) -> Callable[[dict[str, Any]], float]:
    """Make an effect from a function of a forecast: its mean over which half chooses the runs."""

    def average(outcomes: dict[str, Any]) -> float:
        return float(np.mean([compute(forecast(outcomes, half)) for half in (0, 1)]))

    return average


def compare_with_line(seen: Forecast) -> float:
    """Return by how many points the power law comes nearer to the error than a straight line."""
    return 100 * (abs(seen.straight_line - seen.measured) - abs(seen.power_law - seen.measured))


def compare_with_last(seen: Forecast) -> float:
    """Return by how many points the power law comes nearer than the last fitted error."""
    return 100 * (abs(seen.last_value - seen.measured) - abs(seen.power_law - seen.measured))


def divide_forecast(outcomes: dict[str, Any]) -> float:
    """Return the foretold error divided by the measured one; the geometric mean over the halves."""
    ratios = [np.log(each.power_law / each.measured) for each in forecast_twice(outcomes)]
    return float(np.exp(np.mean(ratios)))


def divide_last(outcomes: dict[str, Any]) -> float:
    """Return the last fitted error divided by the held-out one, in the same way."""
    ratios = [np.log(each.last_value / each.measured) for each in forecast_twice(outcomes)]
    return float(np.exp(np.mean(ratios)))


def forecast_twice(outcomes: dict[str, Any]) -> list[Forecast]:
    """Return the forecasts with each of the two halves as the one that chooses."""
    return [forecast(outcomes, half) for half in (0, 1)]


def find_best_accuracy(outcomes: dict[str, Any]) -> float:
    """Return the percent right of the held-out run."""
    return 100 * (1 - np.mean([each.measured for each in forecast_twice(outcomes)]))
