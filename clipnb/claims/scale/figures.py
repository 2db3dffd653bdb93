"""How scale is drawn: batches, losses, temperatures, the clamp, locked towers.

Every figure is drawn from a record. Small dots are single seeds, and lines join their means.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims.forest import plot_pairs
from clipnb.claims.scale.batches import name_condition
from clipnb.claims.scale.clamp import HIGH_START, HOT, LIMIT, USUAL
from clipnb.claims.scale.locked import LOCKED, SCRATCH, UNLOCKED
from clipnb.claims.scale.temperature import BAD_START
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLAMP_SETTINGS = (USUAL, HOT, HIGH_START)
SHADES = (ORANGE, GREEN, BLUE, PURPLE, SKY)  # of widths and budgets, from the smallest


def describe_seeds(record: dict) -> str:
    """Say which dataset a record is about and how many seeds it has: "scenes, 5 seeds"."""
    n = len(record["seeds"])
    return f"{record['dataset']}, {n} seed{'s' if n != 1 else ''}"


def plot_seeds(ax: "Axes", x: Sequence[float], values: Sequence[Sequence[float]], **style) -> None:
    """Plot the mean of each place as a line, and each seed as a small dot.

    values: (places, seeds). style: of the line; the dots share its colour.
    """
    (line,) = ax.plot(x, [np.mean(own) for own in values], **{"marker": "o"} | style)
    for place, own in zip(x, values, strict=True):
        ax.plot([place] * len(own), own, ".", color=line.get_color(), markersize=4, alpha=0.7)


# ---- batches and losses ----------------------------------------------------------------------


def read_batches(record: dict) -> tuple[list[int], list[int], np.ndarray]:
    """Return the batch sizes, the budgets and the percent right, (budgets, sizes, seeds)."""
    sizes, budgets = record["numbers"]["batch_sizes"][0], record["numbers"]["budgets"][0]
    names = [[name_condition(N, epochs) for N in sizes] for epochs in budgets]
    values = [[record["conditions"][name]["values"] for name in row] for row in names]
    return sizes, budgets, np.array(values)


def plot_batches(record: dict, ax: "Axes") -> None:
    """Plot accuracy against the size of the batch, a line for each budget.

    The steps that the largest batches take are written beside them, and a ring marks the best size.
    """
    sizes, budgets, values = read_batches(record)
    n_images = record["settings"].get("n_scenes") or record["settings"]["n_photos"]
    for epochs, own, colour in zip(budgets, values, SHADES, strict=False):
        plot_seeds(ax, sizes, own, color=colour, label=f"{epochs} epochs")
        means = own.mean(axis=1)
        best = int(np.argmax(means))
        style = {"markersize": 13, "markerfacecolor": "none", "color": BLACK}
        ax.plot(sizes[best], means[best], "o", **style)
        steps = f"{epochs * (n_images // sizes[-1])} steps"
        where = (sizes[-1], means[-1])
        ax.annotate(steps, where, (9, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [f"{N:,}" for N in sizes])
    ax.set_xlim(sizes[0] / 1.4, sizes[-1] * 2.4)
    ax.set(xlabel="pairs in a batch, N (log)", ylabel="right (percent)")
    ax.set_title(f"Batch and budget: {describe_seeds(record)}")
    ax.legend(fontsize=9)


def plot_gains(records: Sequence[dict], ax: "Axes") -> None:
    """Plot by how many points the larger half of the batch sizes leads, against the budget."""
    for record, colour in zip(records, (BLUE, ORANGE, GREEN), strict=False):
        _, budgets, values = read_batches(record)
        middle = values.shape[1] // 2
        gains = values[:, middle:].mean(axis=1) - values[:, :middle].mean(axis=1)  # by seed
        plot_seeds(ax, budgets, gains, color=colour, label=describe_seeds(record))
    ax.axhline(0, color=BLACK, linewidth=1)
    ax.set_xscale("log", base=2)
    ticks = sorted({epochs for record in records for epochs in read_batches(record)[1]})
    ax.set_xticks(ticks, [str(epochs) for epochs in ticks])
    ax.set(title="What large batches gain", xlabel="epochs (log)")
    ax.set_ylabel("large minus small batches (points)")
    ax.legend(fontsize=9)


def plot_losses(record: dict, ax: "Axes") -> None:
    """Plot what a softmax and a sigmoid reach at each batch size, as pairs."""
    pairs = [
        (f"N = {N:,}", f"softmax, N = {N}", f"sigmoid, N = {N}")
        for N in record["settings"]["batch_sizes"]
    ]
    title = f"Two losses: {describe_seeds(record)}"
    plot_pairs(pairs, record, ("softmax", "sigmoid"), title, "right (percent)", ax)


# ---- the temperature and its clamp -----------------------------------------------------------


def plot_temperatures(record: dict, ax: "Axes") -> None:
    """Plot accuracy against a fixed temperature, and the learned one where it ends."""
    conditions = record["conditions"]
    fixed = record["settings"]["temperatures"]
    values = [conditions[f"fixed at {each:g}"]["values"] for each in fixed]
    plot_seeds(ax, fixed, values, color=BLUE, label="fixed")
    learned = conditions["learned"]["mean"]
    ax.axhline(learned, color=ORANGE, linewidth=1, linestyle=":")
    end = 1 / np.mean(record["numbers"]["scale"])
    star = {"marker": "*", "markersize": 17, "linestyle": "none", "zorder": 5}
    ax.plot(end, learned, color=ORANGE, label="learned from 0.07, where it ends", **star)
    from_bad = conditions[f"learned from {BAD_START:g}"]["mean"]
    label = f"learned from {BAD_START:g}, where it starts"
    ax.plot(BAD_START, from_bad, color=RED, markerfacecolor="white", label=label, **star)
    ax.set_xscale("log")
    ax.set_xticks(fixed, [f"{each:g}" for each in fixed])
    ax.set_xticks([], minor=True)
    ax.set(xlabel="temperature (log)", ylabel="right (percent)")
    ax.set_title(f"Learned and fixed: {describe_seeds(record)}")
    ax.legend(fontsize=9, loc="lower left")


def plot_highest_scales(record: dict, ax: "Axes") -> None:
    """Plot how high the scale rises where nothing clamps it, the mean over the seeds."""
    for row, setting in enumerate(CLAMP_SETTINGS):
        highest = np.mean([own[f"{setting}, clamp off"] for own in record["numbers"]["highest"]])
        ax.barh(row, highest, height=0.5, color=SKY)
        ax.text(highest * 1.08, row, f"{highest:.0f}", va="center")
    ax.axvline(LIMIT, color=RED, linestyle="--", label=f"the clamp: {LIMIT}")
    ax.set_xscale("log")
    ax.set_yticks(range(len(CLAMP_SETTINGS)), CLAMP_SETTINGS)
    ax.set(ylim=(len(CLAMP_SETTINGS) - 0.5, -0.5), xlim=(1, 9000))
    ax.set(title="Highest scale, unclamped", xlabel="scale (log)")
    ax.legend(fontsize=9, loc="upper right")


def plot_clamp(record: dict, ax: "Axes") -> None:
    """Plot what the same runs reach with and without the clamp, as pairs."""
    pairs = [(own, f"{own}, clamp off", f"{own}, clamp on") for own in CLAMP_SETTINGS]
    epochs = record["settings"]["epochs"]
    title = f"{epochs} epochs: {describe_seeds(record)}"
    plot_pairs(pairs, record, ("clamp off", "clamp on"), title, "right (percent)", ax)


# ---- locked towers ---------------------------------------------------------------------------


def plot_locked(record: dict, ax: "Axes") -> None:
    """Plot recall against the number of pairs, a line for each way to start the image tower."""
    sizes = record["settings"]["sizes"]
    ways = {
        LOCKED: ("from labels, locked", BLUE),
        UNLOCKED: ("from labels, learning on", GREEN),
        SCRATCH: ("from random weights", ORANGE),
    }
    for way, (label, colour) in ways.items():
        values = [record["conditions"][f"{way}, {size} pairs"]["values"] for size in sizes]
        plot_seeds(ax, sizes, values, color=colour, label=label)
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.set_xticks([], minor=True)
    ax.set(xlabel="pairs of an image and its captions (log)", ylabel="mean recall (percent)")
    ax.set_title(f"Three starts: {describe_seeds(record)}")
    ax.legend(fontsize=9)
