"""How sure an outcome is: intervals that hold the noise of the seeds and of the test images."""

from typing import Any

import numpy as np

from clipnb.experiments.experiment import Outcomes, Quantity


def summarize_seeds(values: Any, image_variance: Any) -> dict:
    """Summarize values by seed as their `mean`, `std` and 95 % `interval`.

    values: (n, ...), one row for each of n seeds. image_variance: (...), the variance of their mean
    that comes from the choice of test images. The interval holds both sources of noise. It uses
    Student's t with the degrees of freedom of Welch and Satterthwaite, because three seeds
    estimate their own noise poorly. With one seed it holds the images' noise alone, and `std` is
    None.
    """
    from scipy import stats

    values = np.asarray(values, dtype=float)
    n = len(values)
    mean = values.mean(axis=0)
    std = values.std(axis=0, ddof=1) if n > 1 else np.zeros_like(values[0])
    seed_variance = std**2 / n  # of the mean
    total = seed_variance + image_variance
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.where(std > 0, total**2 * (n - 1) / seed_variance**2, np.inf)
    half = stats.t.ppf(0.975, degrees) * np.sqrt(total)
    return {
        "values": values.tolist(),
        "mean": mean.tolist(),
        "std": std.tolist() if n > 1 else None,
        "interval": np.stack([mean - half, mean + half], axis=-1).tolist(),
    }


def estimate_quantity(
    quantity: Quantity, runs: list[tuple[Outcomes, dict]], n_resamples: int = 1000
) -> dict:
    """Compute a quantity for every seed, and how sure it is.

    runs: (outcomes, numbers) of each seed. Returns what `summarize_seeds` does and an
    `images_interval`: a 95 % percentile bootstrap over test images alone, with the same draw of
    images for all conditions and seeds. Its standard error is the images' share of `interval`.
    """
    from scipy import stats

    def compute_mean(rows: np.ndarray) -> float:
        values = []
        for outcomes, numbers in runs:
            resampled = {condition: array[rows] for condition, array in outcomes.items()}
            values.append(quantity(resampled | numbers))
        return np.mean(values)

    values = [float(quantity(outcomes | numbers)) for outcomes, numbers in runs]
    first_outcomes, _ = runs[0]
    images = np.arange(len(next(iter(first_outcomes.values()))))
    bootstrap = stats.bootstrap(
        (images,),
        compute_mean,
        n_resamples=n_resamples,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = bootstrap.confidence_interval
    summary = summarize_seeds(values, np.square(bootstrap.standard_error))
    return summary | {"images_interval": [float(low), float(high)]}


def summarize_condition(outcomes: list[np.ndarray]) -> dict:
    """Summarize a condition's outcomes by seed, each (N, ...), in percent (`summarize_seeds`)."""
    percent = 100 * np.stack(outcomes).astype(float)  # (n, N, ...)
    by_image = percent.mean(axis=0)  # (N, ...)
    image_variance = by_image.var(axis=0, ddof=1) / len(by_image)
    return summarize_seeds(percent.mean(axis=1), image_variance)


def minimum_detectable_difference(
    n_images: int,
    seeds: int = 1,
    accuracy: float = 0.7,
    seed_std: float = 0.01,
    power: float = 0.8,
) -> float:
    """Return the smallest difference of two accuracies that a test would find, in points.

    The test is at the 5 % level and finds it with probability `power`. n_images: the test images
    of each condition. seed_std: how much a condition's accuracy is expected to move between seeds.
    The conditions are taken as independent. On the same images they rarely are, and a paired
    difference is found sooner, so this is the cautious side.
    """
    from scipy import stats

    variance = 2 * (accuracy * (1 - accuracy) / n_images + seed_std**2 / seeds)
    return 100 * (stats.norm.ppf(0.975) + stats.norm.ppf(power)) * variance**0.5
