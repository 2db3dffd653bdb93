"""Figures of notebook 07: learning rates, learning curves, and how many images an arm needs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims.forest import GREY
from clipnb.claims.learning.learning_curves import (
    BAG_PREDICTION,
    CONTRAST,
    LANGUAGE_MODEL,
    images_to_reach,
)
from clipnb.claims.showing import format_verdict
from clipnb.claims.so_far import judge_record
from clipnb.claims.verdicts import read_interval
from clipnb.plots import BLACK, BLUE, ORANGE, RED
from clipnb.records import read_json
from clipnb.runtime import results_dir

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {LANGUAGE_MODEL: RED, BAG_PREDICTION: ORANGE, CONTRAST: BLUE}
SHORT = {
    LANGUAGE_MODEL: "language model",
    BAG_PREDICTION: "word prediction",
    CONTRAST: "contrast",
}
LEVELS = ("where the weaker arm ends", "three quarters of the way", "half way")
RATIO_TICKS = {0.25: "¼", 0.5: "½", 1: "1", 2: "2", 4: "4", 8: "8", 16: "16"}
RATIO_BORDERS = (0.2, 24)  # what lies beyond gets an arrow
N_LEVELS = 60  # at which a ratio is read, from a third of the way up

# ---- learning rates --------------------------------------------------------------------------


def load_tuning(*names: str) -> dict[str, dict[float, float]]:
    """Load what experiments tried on dev: {arm: {learning rate: percent}}."""
    found: dict[str, dict[float, float]] = {}
    for name in names:
        scores = read_json(results_dir() / "tuning" / f"{name}.json")["scores"]
        for arm, by_rate in scores.items():
            found[arm] = {float(rate): percent for rate, percent in by_rate.items()}
    return found


def plot_rates(scores: dict[str, dict[float, float]], ax: "Axes", shared: float) -> None:
    """Plot the grade of each arm over its learning rate, with a star at the best one.

    scores: {arm: {learning rate: percent}}. shared: a rate to mark.
    """
    for arm, by_rate in scores.items():
        rates, percents = list(by_rate), list(by_rate.values())
        ax.plot(rates, percents, "o-", color=COLOURS[arm], label=arm, markersize=4)
        best = max(by_rate, key=by_rate.get)
        ax.plot(best, by_rate[best], "*", color=COLOURS[arm], markersize=17)
    ax.plot([], [], "*", color=GREY, markersize=14, label="the best rate of an arm")
    ax.axvline(shared, color=BLACK, linestyle="--", label=f"{shared:g} for all")
    ax.set_xscale("log")
    ticks = sorted({rate for by_rate in scores.values() for rate in by_rate})
    _set_ticks(ax.xaxis, ticks, [f"{tick:g}" for tick in ticks])
    ax.set(xlabel="learning rate (log scale)", ylabel="grade at the end (percent)")


# ---- learning curves -------------------------------------------------------------------------


def list_curves(record: dict, arm: str) -> np.ndarray:
    """Return the curves of an arm in percent, (seeds, T)."""
    return np.array(record["numbers"][f"curve, {arm}"])


def plot_curves(record: dict, ax: "Axes") -> None:
    """Plot the grade of each arm over the images that it has seen: seeds thin, their mean thick."""
    images = record["numbers"]["images"][0]
    for arm, colour in COLOURS.items():
        _plot_seeds(ax, images, list_curves(record, arm), colour, arm)
    chance = 100 * record["numbers"]["chance"][0]
    ax.axhline(chance, color=BLACK, linestyle="--", linewidth=1.2, label="chance")
    ax.set_xscale("log")
    _set_image_ticks(ax, images)
    ax.set(xlabel="images seen (log scale)", ylabel="grade in the exam (percent)")


def plot_clock(record: dict, ax: "Axes") -> None:
    """Plot the grade of each arm over its time, counted in images of the cheapest arm."""
    images = np.array(record["numbers"]["images"][0])
    costs = compare_costs(record)
    for arm, colour in COLOURS.items():
        _plot_seeds(ax, images * costs[arm], list_curves(record, arm), colour, arm)
    ax.set_xscale("log")
    _set_image_ticks(ax, [*images, *(images * max(costs.values()))])
    ax.set(xlabel="time, in images of the cheapest arm (log scale)")
    ax.set(ylabel="grade in the exam (percent)")


def compare_costs(record: dict) -> dict[str, float]:
    """Return what an image costs each arm, the cheapest being 1: the geometric mean over seeds.

    The arms of a seed are compared with each other, so that it does not matter how busy the
    machine was while this seed ran.
    """
    seconds = np.log([record["numbers"][f"seconds per image, {arm}"] for arm in COLOURS])
    means = np.exp((seconds - seconds.mean(axis=0)).mean(axis=1))  # (arms,)
    return dict(zip(COLOURS, (means / means.min()).tolist(), strict=True))


def _plot_seeds(
    ax: "Axes", x: Sequence[float], curves: np.ndarray, colour: str, label: str
) -> None:
    for curve in curves:
        ax.plot(x, curve, color=colour, linewidth=0.8, alpha=0.5)
    ax.plot(x, curves.mean(axis=0), "o-", color=colour, label=label, markersize=4)


# ---- how many images -------------------------------------------------------------------------


def read_arms(record: dict) -> tuple[str, str]:
    """Read from the name of a record's effect which arm should be slow, and which one fast."""
    slow, fast = record["effect"].removeprefix("images for ").split(", over ")
    return slow, fast


def name_step(slow: str, fast: str) -> str:
    """Name what is divided in a ratio of two arms, such as "Word prediction ÷ contrast"."""
    return f"{SHORT[slow].capitalize()} ÷ {SHORT[fast]}"


def tell_verdict(record: dict) -> str:
    """Tell the verdict of a record by the seeds that it has, such as "✔ supported (3 seeds)"."""
    n_seeds = len(record["seeds"])
    seeds = "seed" if n_seeds == 1 else "seeds"
    return f"{format_verdict(judge_record(record)['verdict'])} ({n_seeds} {seeds})"


def find_level(record: dict, fast: str, slow: str, seed: int = 0, share: float = 1.0) -> float:
    """Return the level that two arms are compared at, in percent.

    It lies between chance and the end of the weaker arm; share says how far. seed: which one of
    the record, counted from 0.
    """
    chance = 100 * record["numbers"]["chance"][seed]
    weaker = min(list_curves(record, arm)[seed, -1] for arm in (fast, slow))
    return float(chance + share * (weaker - chance))


def count_images(record: dict, arm: str, level: float, seed: int = 0) -> float:
    """Return how many images an arm needs to reach a level, which is in percent."""
    return images_to_reach(list_curves(record, arm)[seed], record["numbers"]["images"][seed], level)


def plot_need(record: dict, fast: str, slow: str, ax: "Axes", seed: int = 0) -> None:
    """Plot two curves of one seed, the level to reach, and the way from one crossing to the other.

    The text at the level tells how many times as many images `slow` needs.
    """
    images = record["numbers"]["images"][seed]
    level = find_level(record, fast, slow, seed)
    needs = {arm: count_images(record, arm, level, seed) for arm in (slow, fast)}
    ax.axhline(level, color=GREY, linestyle=":", linewidth=1.5)
    for arm, need in needs.items():
        ax.plot(images, list_curves(record, arm)[seed], "o-", color=COLOURS[arm], markersize=4)
        ax.plot([need, need], [0, level], color=COLOURS[arm], linestyle=":", linewidth=1.5)
        ax.plot(need, level, "o", color=COLOURS[arm], markersize=9, label=f"{arm}: {need:,.0f}")
    ax.set_xscale("log")
    _set_image_ticks(ax, images)
    ratio = needs[slow] / needs[fast]
    ax.set(xlabel="images seen (log scale)", ylabel="grade in the exam (percent)")
    ax.set(ylim=(0, 1.45 * list_curves(record, fast)[seed].max()))
    ax.set_title(f"{ratio:.2f} times as many images for {slow}", fontsize=11)
    ax.legend(fontsize=9, loc="upper left", title="images to the dotted level", title_fontsize=9)


def plot_ratios(record: dict, ax: "Axes") -> None:
    """Plot a record's ratio at its three levels with their intervals, on a log axis.

    The grey band holds ratios that are too small to count, the diamond is the paper's own one.
    """
    margin = record["margin"]
    band = "too small to count"
    ax.axvspan(1 / margin, margin, color=GREY, alpha=0.18, linewidth=0, label=band)
    ax.axvline(1, color=BLACK, linewidth=1)
    effects = list(record["effects"].values())[: len(LEVELS)]
    for row, effect in enumerate(effects):
        low, high = read_interval(effect["interval"])
        shown = np.clip([low, high], *RATIO_BORDERS)
        ax.plot(shown, [row, row], color=BLUE, linewidth=2 if row else 4)
        if high > RATIO_BORDERS[1]:
            ax.plot(RATIO_BORDERS[1], row, ">", color=BLUE, markersize=8, clip_on=False)
        if low < RATIO_BORDERS[0]:
            ax.plot(RATIO_BORDERS[0], row, "<", color=BLUE, markersize=8, clip_on=False)
        ax.plot(effect["mean"], row, "o", color=BLUE, markersize=6 if row else 9)
    ax.plot(record["paper_effect"], 0, "D", color=BLACK, markersize=8, label="the paper")
    ax.set_xscale("log")
    _set_ticks(ax.xaxis, list(RATIO_TICKS), list(RATIO_TICKS.values()))
    ax.set(xlim=RATIO_BORDERS, ylim=(len(LEVELS) - 0.5, -0.6))
    ax.set_yticks(range(len(LEVELS)), LEVELS)


def list_ratios(
    fast: Sequence[float], slow: Sequence[float], images: Sequence[int], chance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return levels that two curves reach, and how many times as many images `slow` needs there.

    The levels begin at a third of the way from chance to the end of the weaker curve. Below it the
    noise of the exam decides which curve is the first to reach a level.
    """
    top = min(fast[-1], slow[-1])
    levels = np.linspace(chance + (top - chance) / 3, top, N_LEVELS)
    slow_needs = [images_to_reach(slow, images, level) for level in levels]
    fast_needs = [images_to_reach(fast, images, level) for level in levels]
    return levels, np.divide(slow_needs, fast_needs)


def plot_levels(record: dict, fast: str, slow: str, ax: "Axes", colour: str) -> None:
    """Plot the ratio of two arms at every level: each seed thin, the mean curves thick."""
    images, chance = record["numbers"]["images"][0], 100 * record["numbers"]["chance"][0]
    fast_curves, slow_curves = list_curves(record, fast), list_curves(record, slow)
    for pair in zip(fast_curves, slow_curves, strict=True):
        ax.plot(*list_ratios(*pair, images, chance), color=colour, linewidth=0.8, alpha=0.6)
    levels, ratios = list_ratios(fast_curves.mean(axis=0), slow_curves.mean(axis=0), images, chance)
    ax.plot(levels, ratios, color=colour, linewidth=2.5, label=name_step(slow, fast))
    ax.axhline(1, color=BLACK, linestyle="--", linewidth=1.2)
    ax.set_yscale("log")
    _set_ticks(ax.yaxis, list(RATIO_TICKS), list(RATIO_TICKS.values()))
    ax.set(xlabel="level: grade in the exam (percent)", ylabel="times as many images (log scale)")


# ---- axes ------------------------------------------------------------------------------------


def _set_image_ticks(ax: "Axes", images: Sequence[float]) -> None:
    """Write numbers of images at 500, 1,000, 2,000, 5,000 and so on, where there are any."""
    ticks = [digit * 10**power for power in range(2, 7) for digit in (1, 2, 5)]
    shown = [tick for tick in ticks if min(images) * 0.9 <= tick <= max(images) * 1.1]
    _set_ticks(ax.xaxis, shown, [f"{tick:,}" for tick in shown])


def _set_ticks(axis: object, places: Sequence[float], labels: Sequence[str]) -> None:
    axis.set_ticks(places, labels)
    axis.set_ticks([], minor=True)
