"""What the paper says of the labels that words are worth (C4, C5), for scenes and for photos."""

from collections.abc import Callable

from clipnb.claims.experiment import Effect, Gate

PAPER_SHOTS = 4.0  # examples a class, on average over datasets
PAPER_MEDIAN = 5.4  # over datasets
PAPER_MEAN = 20.8
HANDFUL = 4.0  # so many times more or less than the paper's median is a handful still

EQUALS_FOUR = {
    "quote": (
        "While it is intuitive to expect zero-shot to underperform one-shot, we instead find that "
        "zero-shot CLIP matches the performance of 4-shot logistic regression on the same feature "
        "space."
    ),
    "source": "§3.1.5 and Fig 6, page 9",
    "margin": 2.0,
    "margin_reason": (
        "No effect is one example a class, which the paper calls the intuitive expectation. The "
        "margin is half of the paper's effect on a log scale, halfway from one example to four."
    ),
    "paper_effect": PAPER_SHOTS,
    "opposite": (
        "Probes with less than one example a class would be as good as words: the interval of the "
        "crossing lies below one example."
    ),
}
A_HANDFUL = {
    "quote": (
        "Half of the datasets require less than 5 examples per class with a median of 5.4. "
        "However, the mean estimated data efficiency is 20.8 examples per class."
    ),
    "source": "§3.1.5 and Fig 7, page 10",
    "kind": "equivalence",
    "margin": HANDFUL,
    "margin_reason": (
        "The paper's own two averages, 5.4 and 20.8, differ by a factor of 4. A median within that "
        "factor of 5.4, from 1.35 to 21.6, is more than one example and at most about the paper's "
        "mean. Medians had been seen in pilots with other seeds: 28.7 and 17.3 on scenes, 7.8 with "
        "models of 1,000 scenes, 28.0 and 41.9 on photos. The trial stays with the models of all "
        "6,000 scenes or photos, which favour the claim less."
    ),
    "paper_effect": 1.0,
    "opposite": (
        "The interval of the median lies above 21.6 examples, or below 1.35: words are worth many "
        "labels to most classes, or hardly one."
    ),
}
WRONG_WORDS_GATE = Gate(
    effect="median, words of another class",
    below=1 / HANDFUL,
    why="the test could not tell words that are worth nothing",
)


def median_of(compute: Callable, unit: str) -> Effect:
    """Make an effect that is the median over classes of a number of examples, or of a ratio."""
    return Effect(compute=compute, unit=unit, scale="log", over="median")


def share_of(compute: Callable) -> Effect:
    """Make an effect that is a share of the classes."""
    return Effect(compute=compute, unit="share", over="count")


def limit_worth(worth: float, last: float) -> float:
    """Return a number of examples that is finite: at most twice the last one that was tried."""
    return min(worth, 2.0 * last)


def tell_bound(bound: float | None, unit: float = 1.0) -> str:
    """Write a bound of an interval in examples; None is one beyond all that was tried."""
    return "beyond what was tried" if bound is None else f"{unit * bound:.1f}"


def tell_crossing(effects: dict[str, dict]) -> str:
    """Say with how many examples a class probes reach words, with the interval."""
    on_trial = next(iter(effects.values()))
    low, high = map(tell_bound, on_trial["interval"])
    return (
        f"A probe on CLIP's own features is as good as words with {on_trial['mean']:.1f} examples "
        f"a class ({low} to {high}); the paper says 4."
    )


def tell_median(effects: dict[str, dict]) -> str:
    """Say how many examples words are worth to the median class, with the interval."""
    on_trial = next(iter(effects.values()))
    bounds = [on_trial["mean"], *on_trial["interval"]]
    median, low, high = (tell_bound(bound, PAPER_MEDIAN) for bound in bounds)
    return (
        f"To the median class, words are worth as much as {median} examples ({low} to {high}); the "
        f"paper's median is {PAPER_MEDIAN}."
    )
