"""How large an effect is and how sure: intervals that hold the noise of seeds, images and classes.

An interval is computed where the noise is about symmetric (the effect's scale) and then brought
back. `tests/test_coverage.py` simulates how often each kind of interval holds the truth.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clipnb.claims.experiment import Effect, Outcomes, Scale

LEVEL = 0.95
TRANSFORMS: dict[Scale, tuple[Callable, Callable]] = {  # to the scale, and back
    "linear": (np.asarray, np.asarray),
    "log": (np.log, np.exp),
    "fisher z": (np.arctanh, np.tanh),
}
NO_EFFECT: dict[Scale, float] = {"linear": 0.0, "log": 1.0, "fisher z": 0.0}

Runs = Sequence[tuple[Outcomes, dict]]  # (outcomes, numbers) of each seed


def to_scale(value: Any, scale: Scale) -> Any:
    """Bring a value to the scale on which its noise is about symmetric."""
    with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity
        return TRANSFORMS[scale][0](value)


def from_scale(value: Any, scale: Scale) -> Any:
    """Bring a value back from its scale to what a reader sees."""
    return TRANSFORMS[scale][1](value)


def estimate_effect(effect: Effect, runs: Runs, n_resamples: int = 1000) -> dict:
    """Compute an effect for every seed, and how sure it is.

    Returns what `summarize` does. Raises ValueError if a seed's value is not a number, or infinite
    where the effect does not allow it.
    """
    values = [np.asarray(effect.compute(outcomes | numbers), float) for outcomes, numbers in runs]
    if np.isnan(np.stack(values)).any() or (effect.over == "images" and np.isinf(values).any()):
        raise ValueError(f"an effect has the values {values}; each must be a finite number.")
    spread = 0.0
    if effect.over == "images":
        spread = resample_images(effect, runs, n_resamples)
    return summarize(np.stack(values).tolist(), spread, effect)


def resample_images(effect: Effect, runs: Runs, n_resamples: int) -> float:
    """Return the standard error that comes from the choice of test images, on the effect's scale.

    It is a bootstrap with the same draw of images for all conditions and seeds.
    """
    rng = np.random.default_rng(0)
    n_images = len(next(iter(runs[0][0].values())))
    means = []
    for _ in range(n_resamples):
        rows = rng.integers(n_images, size=n_images)
        values = []
        for outcomes, numbers in runs:
            resampled = {condition: array[rows] for condition, array in outcomes.items()}
            values.append(to_scale(effect.compute(resampled | numbers), effect.scale))
        means.append(np.mean(values))
    means = np.array(means)
    return float(means[np.isfinite(means)].std(ddof=1))


def summarize(values: list, image_spread: float, effect: Effect) -> dict:
    """Summarize an effect by its `mean` and 95 % `interval`, as a reader sees them.

    values: for each seed a number, or U numbers, one for each class, task or word. image_spread:
    the standard error from the choice of test images, on the effect's scale. Both are kept in the
    summary, so that more seeds can be added later. An infinite bound is None.
    """
    array = np.asarray(values, float)
    if effect.over == "count":
        mean, low, high = share_interval(array)
    elif effect.over == "median":
        mean, low, high = median_interval(array, effect.scale)
    else:
        mean, low, high = mean_interval(to_scale(array, effect.scale), image_spread)
        mean, low, high = (float(from_scale(bound, effect.scale)) for bound in (mean, low, high))
    by_seed = np.median(array, axis=1) if effect.over == "median" else array
    by_seed = by_seed if by_seed.ndim == 1 else by_seed.mean(axis=1)
    std = float(by_seed.std(ddof=1)) if len(array) > 1 and np.isfinite(by_seed).all() else None
    return {
        "values": finite_or_none(array.tolist()),
        "mean": finite_or_none(mean),
        "std": std,
        "interval": [finite_or_none(low), finite_or_none(high)],
        "image_spread": image_spread,
        "unit": effect.unit,
        "scale": effect.scale,
        "over": effect.over,
    }


def mean_interval(values: np.ndarray, image_spread: float = 0.0) -> tuple[float, float, float]:
    """Return the mean of values by seed, (n,) or (n, U), and its 95 % interval.

    With a second axis the U classes or tasks are a sample too, and their spread replaces that of
    the images, which it holds. The interval uses Student's t with the degrees of freedom of Welch
    and Satterthwaite, because a few seeds or classes estimate their own noise poorly. One seed
    shows no noise of the seeds.
    """
    from scipy import stats

    variances, degrees = [image_spread**2], [np.inf]
    by_seed = values
    if values.ndim == 2:
        by_seed, by_unit = values.mean(axis=1), values.mean(axis=0)
        variances, degrees = [by_unit.var(ddof=1) / len(by_unit)], [len(by_unit) - 1]
    if len(values) > 1:
        variances.append(by_seed.var(ddof=1) / len(values))
        degrees.append(len(values) - 1)
    total = sum(variances)
    mean = float(by_seed.mean())
    if total == 0:
        return mean, mean, mean
    weights = sum(v**2 / d for v, d in zip(variances, degrees, strict=True))
    freedom = total**2 / weights if weights else np.inf
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(total)
    return mean, mean - half, mean + half


def median_interval(values: np.ndarray, scale: Scale) -> tuple[float, float, float]:
    """Return the median of U classes and its exact 95 % interval, by order statistics.

    values: (n, U). A class's value is its median over the seeds. An infinite value is one that is
    only known to lie beyond the last number of examples tried; it has a rank all the same.
    """
    from scipy import stats

    by_unit = np.sort(np.median(to_scale(values, scale), axis=0))  # (U,)
    n = len(by_unit)
    # The largest rank k such that fewer than k of n fair coins show heads at most 2.5 % of the
    # time: then the k-th smallest and the k-th largest value hold the median between them.
    rank = int(stats.binom.ppf((1 - LEVEL) / 2, n, 0.5))
    low = by_unit[rank - 1] if rank > 0 else -np.inf
    high = by_unit[n - rank] if rank > 0 else np.inf
    with np.errstate(invalid="ignore"):  # the mean of two infinite values is infinite
        median = np.median(by_unit)
    return tuple(float(from_scale(bound, scale)) for bound in (median, low, high))


def share_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the share of U classes or tasks that are true, and its exact (Clopper-Pearson) one.

    values: bool (n, U). A task counts as true if it is for most of the seeds.
    """
    from scipy import stats

    won = values.mean(axis=0) > 0.5
    interval = stats.binomtest(int(won.sum()), len(won)).proportion_ci(LEVEL)
    return float(won.mean()), float(interval.low), float(interval.high)


def summarize_condition(outcomes: Sequence[np.ndarray]) -> dict:
    """Summarize a condition's scores by seed, each (N,), in percent."""
    percent = 100 * np.stack(outcomes).astype(float)  # (n, N)
    by_image = percent.mean(axis=0)
    spread = float(np.sqrt(by_image.var(ddof=1) / len(by_image)))
    effect = Effect(compute=np.mean, unit="percent")
    return summarize(percent.mean(axis=1).tolist(), spread, effect)


def merge_summaries(first: dict, second: dict) -> dict:
    """Merge the summaries of one effect, measured with different seeds.

    The test images are the same, so their share of the noise does not shrink with more seeds. It is
    the root mean square of both.
    """
    values = none_to_infinite(first["values"]) + none_to_infinite(second["values"])
    weights = [len(first["values"]), len(second["values"])]
    squares = [first["image_spread"] ** 2, second["image_spread"] ** 2]
    spread = float(np.sqrt(np.average(squares, weights=weights)))
    how = {key: first[key] for key in ("unit", "scale", "over")}
    return summarize(values, spread, Effect(compute=np.mean, **how))


def finite_or_none(value: Any) -> Any:
    """Return a number, or nested lists of them, with None for what is infinite: JSON has none."""
    if isinstance(value, list):
        return [finite_or_none(each) for each in value]
    return value if np.isfinite(value) else None


def none_to_infinite(value: Any) -> Any:
    """Return nested lists of numbers with infinity for None: beyond all that was tried."""
    if isinstance(value, list):
        return [none_to_infinite(each) for each in value]
    return np.inf if value is None else value
