"""Experiment of notebook 10: does the error fall as a power of compute (paper Fig 9)?"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from clipnb import scenes
from clipnb.experiments.exams import render_dataset, sample_scenes
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities
from clipnb.experiments.small_clip import (
    NAMING_TASKS,
    SMALL_RECIPE,
    average_tasks,
    count_multiply_adds,
    load_or_fit_clip,
    score_naming,
)
from clipnb.training import make_tokenizer

LOWEST_ERROR = 1e-3  # a perfect condition counts as this error, so that it has a logarithm


def measure_scaling(
    seed: int, widths: Sequence[int], sizes: Sequence[int], epochs: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure how well words name images, by the image tower's width and the training set's size.

    A condition is named "width x size". Its outcome is the share of the three tasks that are right.
    """
    largest_set = render_dataset(sample_scenes(max(sizes), "scaling"), SMALL_RECIPE.stored_size)
    # All runs share one vocabulary, so that only images and pairs grow. It does not depend on the
    # sizes either, because runs are kept by width and size.
    scenes_for_words = sample_scenes(16000, "scaling")
    tokenizer = make_tokenizer(SMALL_RECIPE, [scenes.captions(scene) for scene in scenes_for_words])
    outcomes, compute = {}, {}
    for size in sizes:
        train_set = largest_set.subset(range(size))
        for width in widths:
            condition = f"{width} x {size}"
            recipe = dataclasses.replace(
                SMALL_RECIPE, name=f"grid_{width}_{size}", image_width=width, epochs=epochs
            )
            model = load_or_fit_clip(recipe, seed, train_set, tokenizer)
            right = score_naming(model, tokenizer, n_images)
            outcomes[condition] = average_tasks(right)
            for task in NAMING_TASKS:
                outcomes[f"{condition}, {task}"] = right[task]
            compute[condition] = sum(count_multiply_adds(model, recipe.image_size)) * epochs * size
    return outcomes, {"compute": compute}


def list_errors(outcomes: dict[str, Any]) -> np.ndarray:
    """Return the error of each run as a share, float (runs,), in the order of `compute`."""
    errors = [1 - np.mean(outcomes[condition]) for condition in outcomes["compute"]]
    return np.maximum(errors, LOWEST_ERROR)


def fit_power_law(outcomes: dict[str, Any]) -> Any:
    """Fit a line to log10 of error over log10 of compute.

    Returns SciPy's fit, with `slope`, `intercept` and `rvalue`.
    """
    from scipy import stats

    compute = np.array(list(outcomes["compute"].values()))
    return stats.linregress(np.log10(compute), np.log10(list_errors(outcomes)))


class JointLaw(NamedTuple):
    """A power law in width and number of training images together."""

    r_squared: float
    width_exponent: float
    images_exponent: float


def fit_joint_law(outcomes: dict[str, Any]) -> JointLaw:
    """Fit log10 of error by log10 of width and log10 of the number of training images."""
    from sklearn.linear_model import LinearRegression

    width_and_size = []
    for condition in outcomes["compute"]:
        width, size = condition.split(" x ")
        width_and_size.append([float(width), float(size)])
    inputs = np.log10(width_and_size)  # (runs, 2)
    log_errors = np.log10(list_errors(outcomes))  # (runs,)
    fit = LinearRegression().fit(inputs, log_errors)
    return JointLaw(fit.score(inputs, log_errors), *(-fit.coef_))


def compute_prediction_error(outcomes: dict[str, Any]) -> float:
    """Return by how many points a line fitted without the most expensive run misses its error.

    The miss is negative if the line promises less error than there is.
    """
    from scipy import stats

    compute = np.array(list(outcomes["compute"].values()))
    errors = list_errors(outcomes)
    dearest = int(np.argmax(compute))
    others = np.arange(len(compute)) != dearest
    fit = stats.linregress(np.log10(compute[others]), np.log10(errors[others]))
    predicted = 10 ** (fit.intercept + fit.slope * np.log10(compute[dearest]))
    return 100 * (predicted - errors[dearest])


def judge_scaling(quantities: Quantities) -> tuple[str, str]:
    """Judge by the exponent's interval and by the variance that one line explains.

    "contradicted" unless the interval lies above 0, so that error falls with compute. Then
    "replicated" if the line explains more than 80 % of the variance, else "partly".
    """
    exponent = quantities["exponent b"]
    explained = quantities["R² of the line"]["mean"]
    if exponent["interval"][0] <= 0:
        return "contradicted", "error does not fall with compute."
    if explained <= 0.8:
        return (
            "partly",
            f"error falls with compute, but a straight line explains only {100 * explained:.0f} % "
            "of the variance of its logarithm.",
        )
    return (
        "replicated",
        f"error falls as the power {-exponent['mean']:.2f} of compute, and a straight line "
        f"explains {100 * explained:.0f} % of the variance of its logarithm.",
    )


EXPERIMENTS = [
    Experiment(
        name="scaling",
        claim="C8",
        title="Error falls as a power of compute",
        where="Fig 9",
        paper={"compute range": "44x", "fit": "log-log linear"},
        dataset="scenes",
        measure=measure_scaling,
        quantities={
            "R² of the line": lambda outcomes: fit_power_law(outcomes).rvalue ** 2,
            "exponent b": lambda outcomes: -fit_power_law(outcomes).slope,
            "miss of the dearest run, points": compute_prediction_error,
            "R² with width and images apart": lambda outcomes: fit_joint_law(outcomes).r_squared,
            "exponent of width": lambda outcomes: fit_joint_law(outcomes).width_exponent,
            "exponent of training images": lambda outcomes: fit_joint_law(outcomes).images_exponent,
        },
        unit="share of variance",
        rule=(
            "replicated: b above 0 by its interval, and a straight line on log axes explains more "
            "than 80 % of the variance; partly: b above 0 alone"
        ),
        judge=judge_scaling,
        notebook="10_scaling",
        small={"widths": [48, 96], "sizes": [1000, 2000, 4000], "epochs": 3, "n_images": 500},
        full={
            "widths": [48, 96, 192],
            "sizes": [2000, 4000, 8000, 16000],
            "epochs": 3,
            "n_images": 2000,
        },
    ),
]
