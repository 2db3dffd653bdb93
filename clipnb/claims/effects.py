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

    Returns what `summarize` does. Raises ValueError if a seed's value cannot be used.
    """
    values = [np.asarray(effect.compute(outcomes | numbers), float) for outcomes, numbers in runs]
    check_values(np.stack(values), effect)
    spread = 0.0
    if effect.over == "images":
        spread = resample_images(effect, runs, n_resamples)
    return summarize(np.stack(values).tolist(), spread, effect)


def check_values(values: np.ndarray, effect: Effect) -> None:
    """Raise ValueError if the values of an effect by seed cannot be summarized.

    values: (n,), or (n, U) for all that is not over the images. A mean needs finite values on the
    effect's scale. A median allows infinite ones, but none below all that was tried.
    """
    n_axes = 1 if effect.over == "images" else 2
    if values.ndim != n_axes:
        raise ValueError(
            f"an effect over {effect.over} has values of the shape {values.shape}; there must be "
            f"{n_axes} axes."
        )
    if n_axes == 2 and values.shape[1] < 2:
        raise ValueError(f"an effect over {effect.over} needs 2 classes, tasks or words or more.")
    with np.errstate(invalid="ignore"):  # the logarithm of a negative number is not a number
        scaled = to_scale(values, effect.scale)
    allowed = np.isfinite(scaled)
    if effect.over == "median":
        allowed = ~np.isnan(scaled) & (values > -np.inf)
    if not allowed.all():
        raise ValueError(
            f"an effect has the values {values.tolist()}; each must be a number, and finite on "
            f"its scale ({effect.scale})."
        )


def resample_images(effect: Effect, runs: Runs, n_resamples: int) -> float:
    """Return the standard error that comes from the choice of test images, on the effect's scale.

    It is a bootstrap with the same draw of images for all conditions and seeds. Raises ValueError
    if more than 2 % of the draws give no finite number: such an effect has no standard error.
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
    finite = np.array(means)[np.isfinite(means)]
    if len(finite) < 0.98 * n_resamples:
        raise ValueError(
            f"an effect is infinite or no number in {n_resamples - len(finite)} of {n_resamples} "
            "draws of the test images. Measure it over classes, with a median."
        )
    return float(finite.std(ddof=1))


def summarize(values: list, image_spread: float, effect: Effect) -> dict:
    """Summarize an effect by its `mean` and 95 % `interval`, as a reader sees them.

    values: for each seed a number, or U numbers, one for each class, task or word. image_spread:
    the standard error from the choice of test images, on the effect's scale. Both are kept in the
    summary, so that more seeds can be added later. An infinite bound is None. `freedom` is the
    number of degrees of freedom of the interval, None for a known noise.
    """
    array = np.asarray(values, float)
    if effect.over == "count":
        mean, low, high = share_interval(array)
        freedom = array.shape[1] - 1
    elif effect.over == "median":
        mean, low, high = median_interval(array, effect.scale)
        freedom = array.shape[1] - 1
    else:
        mean, low, high, freedom = mean_interval(to_scale(array, effect.scale), image_spread)
    if effect.over in ("images", "units"):
        mean, low, high = (float(from_scale(bound, effect.scale)) for bound in (mean, low, high))
    by_seed = summarize_seeds(array, effect)
    std = float(by_seed.std(ddof=1)) if len(array) > 1 and np.isfinite(by_seed).all() else None
    return {
        "values": finite_or_none(array.tolist()),
        "mean": finite_or_none(mean),
        "std": std,
        "interval": [finite_or_none(low), finite_or_none(high)],
        "freedom": finite_or_none(freedom),
        "image_spread": image_spread,
        "unit": effect.unit,
        "scale": effect.scale,
        "over": effect.over,
    }


def summarize_seeds(values: np.ndarray, effect: Effect) -> np.ndarray:
    """Return an effect by seed, (n,), as a reader sees it. values: (n,) or (n, U)."""
    if values.ndim == 1:
        return values
    if effect.over == "median":
        return np.median(values, axis=1)
    scaled = to_scale(values, effect.scale).mean(axis=1)
    return from_scale(scaled, effect.scale)


def mean_interval(
    values: np.ndarray, image_spread: float = 0.0
) -> tuple[float, float, float, float]:
    """Return the mean of values by seed, (n,) or (n, U), its 95 % interval and their freedom.

    With a second axis the U classes or tasks are a sample too, and their spread replaces that of
    the images, which it holds. The interval uses Student's t with the degrees of freedom of Welch
    and Satterthwaite, because a few seeds or classes estimate their own noise poorly. One seed
    shows no noise of the seeds.
    """
    variances, degrees = [image_spread**2], [np.inf]
    by_seed = values
    if values.ndim == 2:
        by_seed, by_unit = values.mean(axis=1), values.mean(axis=0)
        variances, degrees = [by_unit.var(ddof=1) / len(by_unit)], [len(by_unit) - 1]
    if len(values) > 1:
        variances.append(by_seed.var(ddof=1) / len(values))
        degrees.append(len(values) - 1)
    mean, freedom = float(by_seed.mean()), find_freedom(variances, degrees)
    half = find_quantile(freedom) * float(np.sqrt(sum(variances)))
    return mean, mean - half, mean + half, freedom


def find_freedom(variances: Sequence[float], degrees: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of variances, after Welch and Satterthwaite."""
    total = sum(variances)
    weights = sum(v**2 / d for v, d in zip(variances, degrees, strict=True))
    return float(total**2 / weights) if weights else np.inf


def find_quantile(freedom: float) -> float:
    """Return the half width of a 95 % interval in standard errors, by Student's t."""
    from scipy import stats

    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def median_interval(values: np.ndarray, scale: Scale) -> tuple[float, float, float]:
    """Return the median of U classes and its 95 % interval.

    values: (n, U). A class's value is its median over the seeds. An infinite value is one that is
    only known to lie beyond the last number of examples tried; it has a rank all the same. The
    interval is the exact one of order statistics, widened by what a seed does to all classes alike.
    A lower bound beyond what was tried is replaced by the largest value that was found.
    """
    from scipy import stats

    scaled = to_scale(values, scale)
    by_unit = np.sort(np.median(scaled, axis=0))  # (U,)
    n = len(by_unit)
    # The largest rank k such that fewer than k of n fair coins show heads at most 2.5 % of the
    # time: then the k-th smallest and the k-th largest value hold the median between them.
    rank = int(stats.binom.ppf((1 - LEVEL) / 2, n, 0.5))
    low = by_unit[rank - 1] if rank > 0 else -np.inf
    high = by_unit[n - rank] if rank > 0 else np.inf
    if low == np.inf:
        low = by_unit[np.isfinite(by_unit)].max(initial=-np.inf)
    with np.errstate(invalid="ignore"):  # the mean of two infinite values is infinite
        median = np.median(by_unit)
    if len(values) > 1:
        by_seeds = find_quantile(len(values) - 1) * measure_shift(scaled)
        if np.isfinite(median):
            low = median - np.hypot(median - low, by_seeds)
            high = median + np.hypot(high - median, by_seeds)
        else:
            low = low - by_seeds
    return tuple(float(from_scale(bound, scale)) for bound in (median, low, high))


def measure_shift(values: np.ndarray) -> float:
    """Return the standard error, over the seeds, of what a seed does to all classes alike.

    values: (n, U), some of them infinite. A seed's shift is the median of its differences from the
    classes' own medians.
    """
    by_unit = np.median(values, axis=0)
    known = np.isfinite(values).all(axis=0)  # (U,)
    if not known.any():
        return 0.0
    return median_error(np.median(values[:, known] - by_unit[known], axis=1))


def share_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the share of U classes or tasks that are true, and its 95 % interval.

    values: bool (n, U). A task counts as true if it is for most of the seeds. The interval is the
    exact one of Clopper and Pearson, widened by what a seed does to all tasks alike.
    """
    from scipy import stats

    won = values.mean(axis=0) > 0.5
    interval = stats.binomtest(int(won.sum()), len(won)).proportion_ci(LEVEL)
    share, low, high = float(won.mean()), float(interval.low), float(interval.high)
    if len(values) > 1:
        error = median_error(values.mean(axis=1))
        by_seeds = find_quantile(len(values) - 1) * error
        low = share - float(np.hypot(share - low, by_seeds))
        high = share + float(np.hypot(high - share, by_seeds))
    return share, max(low, 0.0), min(high, 1.0)


def median_error(by_seed: np.ndarray) -> float:
    """Return the standard error of the median of values by seed, (n,).

    The variance of a median of normal values is pi / 2 times that of their mean.
    """
    return float(by_seed.std(ddof=1) * np.sqrt(np.pi / 2 / len(by_seed)))


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
