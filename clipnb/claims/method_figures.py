"""How the trial itself is drawn: do intervals keep their promise, what moves a number, the costs.

Each function takes what `report_numbers` gives, and draws one idea.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims.forest import GREY
from clipnb.claims.pooling import scale_effect
from clipnb.claims.report_numbers import SameSeeds
from clipnb.claims.verdict_figures import make_axes
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_coverage(record: dict, ax: "Axes | None" = None) -> "Axes":
    """Plot how often simulated intervals hold the truth, a dot for each case. Returns the axes.

    record: as `report_numbers.load_coverage` returns it.
    """
    ax = ax or make_axes(9, 4)
    kinds = list(dict.fromkeys(_name_kind(case) for case in record["coverage"]))
    for row, kind in enumerate(kinds):
        own = [value for case, value in record["coverage"].items() if _name_kind(case) == kind]
        ax.plot(100 * np.array(own), np.full(len(own), row), "o", color=BLUE, alpha=0.6)
    first = [value for name, value in record.items() if name.startswith("first sitting")]
    ax.plot(100 * np.array(first), np.full(len(first), len(kinds)), "X", color=RED, markersize=9)
    ax.axvline(100 * record["nominal"], color=BLACK, linewidth=1)
    ax.axvline(100 * record["required"], color=GREEN, linewidth=1.5, linestyle="--")
    ax.set_yticks(range(len(kinds) + 1), [*kinds, "first sitting, a crossing that is cut off"])
    ax.set_ylim(len(kinds) + 0.5, -0.5)
    ax.set_xlabel("intervals that hold the truth (percent); dashed: the least that we accept")
    ax.set_title("How often does an interval keep its promise?", loc="left")
    return ax


def _name_kind(case: str) -> str:
    """Return the kind of a simulated case: its first words, without numbers."""
    if case.startswith("claim"):
        return "several experiments on a claim"
    words = [word for word in case.split(",")[0].split() if not word.isdigit()]
    return " ".join(words)


def plot_noise(shares: dict[str, float], ax: "Axes | None" = None) -> "Axes":
    """Plot which share of each effect's variance comes from the seeds, sorted. Returns the axes.

    shares: {experiment: percent}. The rest comes from test images or classes.
    """
    names = sorted(shares, key=shares.get)
    of_seeds = np.array([shares[name] for name in names])
    ax = ax or make_axes(9, 1.2 + 0.19 * len(names))
    ax.barh(names, of_seeds, color=BLUE, label="seeds")
    ax.barh(names, 100 - of_seeds, left=of_seeds, color=ORANGE, label="test images or classes")
    ax.tick_params(axis="y", labelsize=9)
    ax.set(xlabel="share of the variance (percent)", xlim=(0, 100), ylim=(-0.6, len(names) - 0.4))
    ax.set_title("Where the uncertainty of each effect comes from")
    ax.figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return ax


def plot_same_seeds(found: Sequence[SameSeeds]) -> "list[Axes]":
    """Plot the recalls of the same seeds on several machines, a panel for each recall.

    found: as `report_numbers.list_same_seeds` returns it. Returns the axes.
    """
    import matplotlib.pyplot as plt

    recalls = list(found[0].recalls)
    fig, axes = plt.subplots(1, len(recalls), figsize=(11, 3.4))
    for ax, recall in zip(axes, recalls, strict=True):
        for each, colour, marker in zip(found, (BLACK, ORANGE, BLUE), "^so", strict=False):
            values = each.recalls[recall]
            label = f"{each.source} ({each.machine})" if ax is axes[0] else None
            places = np.arange(len(values)) + {"^": -0.18, "s": 0, "o": 0.18}[marker]
            ax.plot(places, values, marker, color=colour, markersize=8, label=label)
        ax.set_xticks(range(3))
        ax.set(title=recall, xlabel="seed", xlim=(-0.5, 2.5))
        ax.title.set_fontsize(11)
    axes[0].set_ylabel("percent")
    fig.legend(loc="outside lower center", ncols=1, frameon=False)
    return list(axes)


def plot_repeated(repeated: dict[str, tuple[dict, dict]], ax: "Axes | None" = None) -> "Axes":
    """Plot the effects of experiments that were run twice with the same seeds, a row for each.

    repeated: as `report_numbers.load_repeated` returns it. Both effects are in margins, with their
    95 % intervals. Returns the axes.
    """
    ax = ax or make_axes(9, 0.4 * len(repeated) + 1)
    for row, records in enumerate(repeated.values()):
        for record, colour, label, shift in zip(
            records, (ORANGE, BLUE), ("first run", "again"), (0.14, -0.14), strict=True
        ):
            mean, low, high = scale_effect(record)
            height = len(repeated) - 1 - row + shift
            ax.plot([low, high], [height, height], color=colour, linewidth=2)
            ax.plot(mean, height, "o", color=colour, label=None if row else label)
    ax.axvspan(-1, 1, color=GREY, alpha=0.16, linewidth=0)
    ax.set_yticks(range(len(repeated) - 1, -1, -1), list(repeated))
    ax.set_xlabel("effect in margins: 0 is none, 1 the smallest that counts")
    ax.legend(loc="best", fontsize=9)
    return ax


def plot_tuning(
    tunings: dict[str, dict[str, dict[float, float]]], ylabel: str = "score on dev"
) -> "list[Axes]":
    """Plot what each learning rate scored on dev, a panel for each title. Returns the axes.

    tunings: {title: what `report_numbers.load_tuning` returns}. The best rate of each condition
    has a ring.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(tunings), figsize=(5.5 * len(tunings), 4), squeeze=False)
    for ax, (title, scores) in zip(axes.flat, tunings.items(), strict=True):
        for (condition, own), marker in zip(scores.items(), "osD^vP", strict=False):
            (line,) = ax.plot(own.keys(), own.values(), marker=marker, label=condition)
            best = max(own, key=own.get)
            style = {"markersize": 13, "markerfacecolor": "none", "color": line.get_color()}
            ax.plot(best, own[best], "o", markeredgewidth=1.5, **style)
        ax.set_xscale("log")
        rates = sorted({rate for own in scores.values() for rate in own})
        ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
        ax.set_xticks([], minor=True)
        ax.set(title=title, xlabel="learning rate", ylabel=ylabel)
        ax.legend(fontsize=9, loc="best")
    return list(axes.flat)


def plot_times(seconds: dict[str, float], n: int = 20, ax: "Axes | None" = None) -> "Axes":
    """Plot the minutes of the n slowest experiments, and of all others together.

    seconds: by experiment. Returns the axes.
    """
    names = sorted(seconds, key=lambda name: -seconds[name])
    bars = {name: seconds[name] for name in names[:n]}
    if others := [seconds[name] for name in names[n:]]:
        bars[f"the other {len(others)} together"] = sum(others)
    ax = ax or make_axes(9, 1.2 + 0.24 * len(bars))
    ax.barh(list(bars), np.array(list(bars.values())) / 60, color=BLUE)
    ax.set_ylim(len(bars) - 0.4, -0.6)
    ax.tick_params(axis="y", labelsize=10)
    ax.set(title="How long a seed of each experiment takes", xlabel="minutes")
    return ax
