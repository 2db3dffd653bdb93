"""How the claims on trial are drawn: a forest plot of all effects, and paired arms as dumbbells."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims import CLAIMS, load_claims
from clipnb.claims.pooling import PooledClaim, pool_claims, scale_effect
from clipnb.claims.showing import Groups, format_verdict, format_verdict_so_far
from clipnb.claims.verdicts import (
    DIRECTION,
    INCONCLUSIVE,
    NO_EFFECT_FOUND,
    NOT_REACHED,
    OPPOSITE,
    SUPPORTED,
    UNFINISHED,
    measure_from_none,
    measure_margin,
)
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#8A8F98"
COLOURS = {
    SUPPORTED: GREEN,
    DIRECTION: BLUE,
    NO_EFFECT_FOUND: "#A87400",
    INCONCLUSIVE: "#7A5195",
    NOT_REACHED: GREY,
    OPPOSITE: RED,
    UNFINISHED: GREY,
}
TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)
BORDER = 30  # margins; what lies beyond gets an arrow
ROW = 0.25  # inches
NO_BREAK = "\N{NO-BREAK SPACE}"


def plot_forest(groups: Groups | None = None) -> "Figure":
    """Plot the effect of every experiment with its 95 % interval, grouped by claim.

    An effect is told in margins: 0 is none, 1 the smallest that counts, and the grey band holds
    what is too small to count. A claim with several experiments has a diamond for all of them
    together. A bar across the row is the paper's own effect. Returns the figure.

    groups: {claim: records}, by default all that are on record. Claims without one are left out.
    """
    import matplotlib.pyplot as plt

    groups = load_claims() if groups is None else groups
    groups = {claim: records for claim, records in groups.items() if records}
    pooled = pool_claims(groups)
    rows = [(claim, record) for claim, own in groups.items() for record in (None, *own)]
    titles = [_title_row(claim, record) for claim, record in rows]
    heights = np.array([1 + 0.6 * title.count("\n") for title in titles])  # of one line or two
    centres = heights.cumsum() - heights / 2
    height = 1.75 + ROW * heights.sum()
    fig, ax = plt.subplots(figsize=(11, height), layout="none")
    ax.axvspan(-1, 1, color=GREY, alpha=0.14, linewidth=0)
    ax.axvline(0, color=BLACK, linewidth=1)
    for (claim, record), title, row, tall in zip(rows, titles, centres, heights, strict=True):
        if record is None:
            _draw_claim(ax, row, title, pooled[claim], groups[claim])
            ax.axhline(row - tall / 2, color=GREY, linewidth=0.4, xmin=-1.0, clip_on=False)
        else:
            _draw_record(ax, row, title, record)
    ax.set_xscale("asinh", linear_width=1)
    ax.set(xlim=(-BORDER, BORDER), ylim=(heights.sum() + 0.2, -0.4))
    ax.set_xticks(TICKS, [f"{tick:g}".replace("-", "−") for tick in TICKS], fontsize=9)
    ax.set_xticks([], minor=True)
    ax.tick_params(axis="x", labeltop=True)  # the lower end is some screens away
    ax.set_yticks([])
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("effect in margins: 0 is none, 1 the smallest that counts", fontsize=10)
    ax.set_title("The paper on trial: every effect with its 95 % interval", loc="left", x=-0.97)
    _add_legend(ax)
    # The rows' titles stand to the left of the axes, the verdicts to the right.
    fig.subplots_adjust(left=0.4, right=0.8, top=1 - 0.7 / height, bottom=1.0 / height)
    return fig


def _title_row(claim: str, record: dict | None) -> str:
    """Return the title of a claim's row, or of the row of one of its experiments."""
    if record is None:
        return wrap_title(claim, CLAIMS[claim][0], 58)
    indents = {"initial_indent": " " * 4, "subsequent_indent": " " * 8}
    dataset = record["dataset"].replace(" ", NO_BREAK)
    return textwrap.fill(f"{record['title']}{NO_BREAK}·{NO_BREAK}{dataset}", 68, **indents)


def _draw_claim(
    ax: "Axes", row: float, title: str, claim: PooledClaim, records: Sequence[dict]
) -> None:
    """Draw the row of a claim: its title, its pooled effect as a diamond, and its verdict."""
    colour = COLOURS[claim.verdict]
    _write_left(ax, row, title, fontweight="bold")
    verdict = format_verdict_so_far(claim.verdict, records)
    _write_right(ax, row, verdict, colour, fontweight="bold")
    if len(records) < 2 or claim.interval is None or not np.isfinite(claim.mean):
        return
    low, high = np.clip(claim.interval, -BORDER, BORDER)
    mean = float(np.clip(claim.mean, -BORDER, BORDER))
    ax.fill([low, mean, high, mean], [row, row - 0.3, row, row + 0.3], color=colour, zorder=3)


def _draw_record(ax: "Axes", row: float, title: str, record: dict) -> None:
    """Draw the row of an experiment: its title, its effect and interval, and its verdict."""
    verdict = record["verdict"]
    colour = COLOURS[verdict]
    is_grey = verdict in (NOT_REACHED, UNFINISHED)
    _write_left(ax, row, title, color=GREY if is_grey else BLACK)
    _write_right(ax, row, format_verdict(verdict), colour)
    if "mean" not in record:  # not run yet
        return
    mean, low, high = scale_effect(record)
    left, right = np.clip([low, high], -BORDER, BORDER)
    ax.plot([left, right], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
    for bound, marker in ((low, "<"), (high, ">")):
        if abs(bound) > BORDER:
            place = np.clip(bound, -BORDER * 0.97, BORDER * 0.97)
            ax.plot(place, row, marker=marker, color=colour, markersize=5, clip_on=False)
    if abs(mean) <= BORDER:
        fill = "white" if record["kind"] == "equivalence" else colour
        ax.plot(mean, row, "o", color=colour, markerfacecolor=fill, markersize=5.5, zorder=4)
    if record["paper_effect"] is not None:
        paper = scale_paper_effect(record)
        if abs(paper) <= BORDER:
            ax.plot([paper, paper], [row - 0.34, row + 0.34], color=BLACK, linewidth=1.8, zorder=5)


def scale_paper_effect(record: dict) -> float:
    """Return the paper's own effect in margins of a record."""
    value, scale = record["paper_effect"], record["scale"]
    effect, _ = measure_from_none([value, value], scale)
    return effect / measure_margin(record["margin"], scale)


def wrap_title(claim: str, title: str, width: int = 44) -> str:
    """Return a claim's name and title, in lines of about `width` characters."""
    return textwrap.fill(f"{claim}  {title}", width)


def _write_left(ax: "Axes", row: float, text: str, **how: object) -> None:
    style = {"fontsize": 8.5, "color": BLACK} | how
    transform = ax.get_yaxis_transform()
    ax.text(-0.97, row, text, transform=transform, va="center", ha="left", **style)


def _write_right(ax: "Axes", row: float, text: str, colour: str, **how: object) -> None:
    transform = ax.get_yaxis_transform()
    ax.text(1.02, row, text, transform=transform, va="center", color=colour, fontsize=8.5, **how)


def _add_legend(ax: "Axes") -> None:
    """Explain the signs below the plot."""
    ax.plot([], [], "o-", color=BLACK, markersize=5.5, linewidth=1.6, label="an experiment")
    ax.plot([], [], "o-", color=BLACK, markerfacecolor="white", label="claims that there is none")
    ax.plot([], [], "D", color=BLACK, markersize=6, label="the claim's experiments together")
    ax.plot(
        [], [], "|", color=BLACK, markersize=10, markeredgewidth=1.8, label="the paper's effect"
    )
    handles, labels = ax.get_legend_handles_labels()
    ax.figure.legend(handles, labels, loc="lower center", ncols=4, fontsize=9, frameon=False)


def plot_pairs(
    pairs: Sequence[tuple[str, str, str]],
    record: dict,
    names: tuple[str, str],
    title: str = "",
    xlabel: str = "percent",
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot pairs of conditions as dumbbells, a row each, so that the difference is what one sees.

    pairs: a label and two keys of record["conditions"] for each row. names: what the first and the
    second of a pair are. Returns the axes.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(7.5, 1.4 + 0.42 * len(pairs)))
    for row, (_, *keys) in enumerate(pairs):
        first, second = (record["conditions"][key]["mean"] for key in keys)
        ax.plot([first, second], [row, row], color=GREY, linewidth=2.5, zorder=1)
        for value, colour, name in zip((first, second), (ORANGE, BLUE), names, strict=True):
            label = name if row == 0 else None
            ax.plot(value, row, "o", color=colour, markersize=8, label=label)
        difference = f"{second - first:+.1f}".replace("-", "−")
        ax.annotate(
            difference,
            (max(first, second), row),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    ax.set_yticks(range(len(pairs)), [label for label, *_ in pairs])
    ax.set(title=title, xlabel=xlabel, ylim=(len(pairs) - 0.5, -0.5))
    ax.margins(x=0.12)
    ax.legend(fontsize=9, frameon=True, loc="best")
    return ax
