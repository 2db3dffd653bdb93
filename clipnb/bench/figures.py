"""Figures of what grows: ways to search among many vectors, and plans of large training runs."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clipnb.plan import PAPER, Assumptions, Cost, Plan, time_step
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from clipnb.records import read_json
from clipnb.runtime import results_dir

WAY_COLOURS = {"exact": BLUE, "signs": ORANGE, "FAISS": GREEN}
MARKERS = ("o", "s", "D", "^")  # one for each number of vectors
PART_COLOURS = {"compute": BLUE, "gather": ORANGE, "gradients": GREEN}


# ---- search ----------------------------------------------------------------------------------


def load_ways() -> list[dict]:
    """Load what the newest record of the search bench says of each way to search.

    Raises FileNotFoundError if there is no record.
    """
    paths = sorted((results_dir() / "bench").glob("search-*.json"))
    records = [read_json(path) for path in paths]
    if not records:
        raise FileNotFoundError("there is no record; `clipnb bench search` writes one.")
    return max(records, key=lambda record: record["date"])["indexes"]


def plot_ways(rows: Sequence[dict], kind: str = "texts") -> Figure:
    """Draw recall against latency and bytes a vector, for each way to search and number of vectors.

    rows: as `compare_indexes` returns them. There is a panel for each gallery. Right is slow, up is
    better, and the area of a marker grows with the bytes that a way keeps of a vector. kind: what
    is searched with, "texts" or "images". Returns the figure.
    """
    galleries = list(dict.fromkeys(row["gallery"] for row in rows))
    counts = sorted({row["features"] for row in rows})
    fig, all_axes = plt.subplots(
        1, len(galleries), figsize=(5.5 * len(galleries), 4), sharey=True, squeeze=False
    )
    for ax, gallery in zip(all_axes[0], galleries, strict=True):
        own = [row for row in rows if row["gallery"] == gallery]
        for way in dict.fromkeys(row["way"] for row in own):
            path = sorted((row for row in own if row["way"] == way), key=lambda r: r["features"])
            draw_way(ax, path, counts, kind)
        ax.set(xscale="log", xlabel="milliseconds for a query", title=gallery)
    all_axes[0, 0].set_ylabel(f"share of the exact top 10 found (queries: {kind})")
    all_axes[0, 0].legend(title="bytes a vector", fontsize=9, loc="lower left", markerscale=0.5)
    add_counts(all_axes[0, -1], counts)
    return fig


def draw_way(ax: Axes, path: Sequence[dict], counts: Sequence[int], kind: str) -> None:
    """Draw one way to search, from few vectors to many."""
    x = [row["milliseconds"] for row in path]
    y = [row[f"recall, {kind}"] for row in path]
    way, n_bytes = path[0]["way"], path[0]["bytes each"]
    colour = WAY_COLOURS.get(way, PURPLE)
    ax.plot(x, y, color=colour, lw=1.2, zorder=1)
    for i, row in enumerate(path):
        ax.scatter(
            x[i],
            y[i],
            s=measure_area(n_bytes),
            color=colour,
            marker=MARKERS[counts.index(row["features"]) % len(MARKERS)],
            edgecolor="white",
            label=f"{way}: {n_bytes:,}" if i == 0 else None,
            zorder=2,
        )


def measure_area(n_bytes: float) -> float:
    """Return the area of a marker, in square points, for a number of bytes a vector."""
    return 6 * n_bytes**0.5


def add_counts(ax: Axes, counts: Sequence[int]) -> None:
    """Say in a legend which marker stands for how many vectors."""
    handles = [
        ax.scatter([], [], marker=MARKERS[i % len(MARKERS)], color=BLACK, label=f"{n:,}")
        for i, n in enumerate(counts)
    ]
    ax.legend(handles=handles, title="vectors", fontsize=9, loc="lower left")


# ---- plans -----------------------------------------------------------------------------------


def plot_plans(plans: Sequence[Plan]) -> Figure:
    """Draw the card-days of some plans, middle and range, beside those of the paper's runs.

    The paper's were V100 cards, which compute an eighth of what an H100 does. Returns the figure.
    """
    fig, ax = plt.subplots(figsize=(8, 1.2 + 0.45 * (len(plans) + len(PAPER))))
    names = []
    for y, plan in enumerate(plans):
        low, middle, high = plan.card_days
        ax.plot([low, high], [y, y], color=SKY, lw=8, solid_capstyle="round", zorder=1)
        ax.scatter(middle, y, color=BLUE, zorder=2)
        names.append(f"{plan.cost.name}, {plan.pairs / 1e6:,.0f} million pairs")
    for y, (name, (cards, days)) in enumerate(PAPER.items(), len(plans)):
        ax.scatter(cards * days, y, color=RED, marker="D")
        names.append(f"paper: {name}, 400 million (V100)")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xscale="log", xlabel="card-days (bar: 90 % of the draws)", title="What a run would take")
    return fig


def plot_step(
    cost: Cost,
    batch_size: int = 32_768,
    ranks: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
    assumptions: Assumptions | None = None,
) -> Figure:
    """Draw what a step consists of as ranks are added: the middle of the draws.

    The parts of the step are stacked; the line is the input, which runs beside them. Returns the
    figure.
    """
    drawn = (assumptions or Assumptions()).draw()
    times = [time_step(cost, batch_size, count, drawn) for count in ranks]
    seconds = np.array([[np.median(each[part]) for each in times] for part in PART_COLOURS])
    # Shares of each step's sum: seconds would show nothing of the steps of many ranks.
    shares = 100 * seconds / seconds.sum(axis=0)  # (parts, ranks)
    fig, ax = plt.subplots(figsize=(8, 4))
    places, bottom = np.arange(len(ranks)), np.zeros(len(ranks))
    for (part, colour), share in zip(PART_COLOURS.items(), shares, strict=True):
        ax.bar(places, share, bottom=bottom, color=colour, label=part)
        bottom += share
    waiting = [np.mean(each["input"] >= each["step"]) for each in times]
    ax.plot(places, 100 * np.array(waiting), color=BLACK, marker="o", label="waits for its input")
    ax.set_xticks(places, [f"{count:,}" for count in ranks])
    ax.set(
        xlabel=f"ranks that share a batch of {batch_size:,}",
        ylabel="percent (bars: of a step; line: of the draws)",
        title=f"{cost.name}: what a step consists of",
    )
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig
