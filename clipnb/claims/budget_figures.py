"""How scale as evidence is shown: a panel and a row for each experiment at three budgets."""

from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims.budgets import (
    NO_CHANGE,
    SHARES,
    TOO_SMALL,
    describe_change,
    load_budgets,
    scale_budgets,
)
from clipnb.claims.forest import BORDER, GREY, TICKS, scale_paper_effect
from clipnb.claims.showing import format_effect
from clipnb.markdown import format_number, markdown_table
from clipnb.plots import BLACK, BLUE, GREEN, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5


def plot_budgets(records: dict[str, dict] | None = None) -> "Figure":
    """Plot the effect of each experiment at three budgets, in margins, a panel each.

    The grey band holds what is too small to count, a dashed line is the paper's own effect, and a
    hollow point is one whose gate is closed. Green moves towards the paper's figure, red away from
    it, blue moves where the paper has no figure. Returns the figure.

    records: by default all of `load_budgets`.
    """
    import matplotlib.pyplot as plt

    records = load_budgets() if records is None else records
    n_rows = -(-len(records) // COLUMNS)
    fig, axes = plt.subplots(
        n_rows,
        COLUMNS,
        figsize=(12, 2 * n_rows + 0.9),
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat[len(records) :]:
        ax.axis("off")
    for ax, record in zip(axes.flat, records.values(), strict=False):
        _draw_budgets(ax, record)
    for ax in axes[:, 0]:
        ax.set_ylabel("margins")
    for ax in axes.flat[max(len(records) - COLUMNS, 0) : len(records)]:
        ax.tick_params(labelbottom=True)  # the last row need not be full
    style = {"fontsize": 13, "fontweight": "bold"}  # as the titles of the other figures
    fig.suptitle("Does the effect move with the budget?", x=0.01, ha="left", **style)
    _explain_colours(fig)
    return fig


def _explain_colours(fig: "Figure") -> None:
    """Say below the panels what the axis, the colours and a hollow point mean."""
    from matplotlib.lines import Line2D

    meanings = {
        "towards the paper's figure": GREEN,
        "away from it": RED,
        "moves; the paper has no figure": BLUE,
        "no change shown": GREY,
    }
    handles = [Line2D([], [], color=colour, label=text) for text, colour in meanings.items()]
    hollow = {"marker": "o", "linestyle": "", "markerfacecolor": "white"}
    handles.append(Line2D([], [], color=BLACK, label="its gate is closed", **hollow))
    title = "share of the budget; dashed: the paper's figure, where it has one"
    style = {"title": title, "title_fontsize": 11, "fontsize": 10, "frameon": False}
    fig.legend(handles=handles, loc="outside lower center", ncols=5, **style)


def _draw_budgets(ax: "Axes", record: dict) -> None:
    """Draw one panel: three points with their intervals."""
    words = describe_change(record)
    moves = {NO_CHANGE: GREY, TOO_SMALL: GREY, "grows": BLUE, "falls": BLUE}
    colour = moves.get(words, GREEN if "towards" in words else RED)
    ax.axhspan(-1, 1, color=GREY, alpha=0.14, linewidth=0)
    ax.axhline(0, color=BLACK, linewidth=0.8)
    if record["paper_effect"] is not None:
        ax.axhline(scale_paper_effect(record), color=BLACK, linestyle="--", linewidth=1.2)
    scaled = np.clip(scale_budgets(record), -BORDER, BORDER)  # (3, 3)
    ax.plot(range(3), scaled[:, 0], color=colour, linewidth=1.6)
    for place, ((mean, low, high), budget) in enumerate(
        zip(scaled, record["budgets"], strict=True)
    ):
        fill = colour if budget["reached"] else "white"
        ax.plot([place, place], [low, high], color=colour, linewidth=1.6)
        ax.plot(place, mean, "o", color=colour, markerfacecolor=fill, markersize=6)
    ax.set_yscale("asinh", linear_width=1)
    low, high = min(scaled.min(), -1.5), max(scaled.max(), 1.5)
    if record["paper_effect"] is not None:
        low, high = min(low, scale_paper_effect(record)), max(high, scale_paper_effect(record))
    ax.set_ylim(low - 0.2 * abs(low), high + 0.2 * abs(high))
    bottom, top = ax.get_ylim()
    ticks = [tick for tick in TICKS if bottom <= tick <= top]
    ax.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks], fontsize=8)
    ax.set_yticks([], minor=True)
    ax.set(xlim=(-0.4, 2.4))
    ax.set_xticks(range(3), ("¼", "½", "1"))
    ax.set_title(f"{record['claim']} · {record['experiment']}", fontsize=9)


def budgets_table(records: dict[str, dict] | None = None) -> str:
    """Render the effect of each experiment at three budgets as a Markdown table, a row each.

    records: by default all of `load_budgets`.
    """
    records = load_budgets() if records is None else records
    header = ["", "effect on trial", "the paper", *SHARES, "with the budget it"]
    rows = []
    for record in records.values():
        paper = record["paper_effect"]
        effects = [
            format_effect(budget | {"unit": ""}).strip() + ("" if budget["reached"] else " ○")
            for budget in record["budgets"]
        ]
        what = f"{record['effect']}, {record['unit']} (`{record['experiment']}`)"
        told = "" if paper is None else format_number(float(paper))
        rows.append([record["claim"], what, told, *effects, describe_change(record)])
    return markdown_table(header, rows)
