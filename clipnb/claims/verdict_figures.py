"""How verdicts are drawn: the rule, all claims, other margins, more seeds, the first sitting.

Each function takes what `report_numbers` or the records give, and draws one idea.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims import CLAIMS
from clipnb.claims.effects import NO_EFFECT
from clipnb.claims.first_sitting import FIRST_VERDICTS
from clipnb.claims.forest import BORDER, COLOURS, GREY, TICKS, wrap_title
from clipnb.claims.pooling import PooledClaim, describe_verdicts, pool_claims, scale_effect
from clipnb.claims.report_numbers import Groups, grow_interval, rescale_margins
from clipnb.claims.showing import format_verdict, format_verdict_so_far
from clipnb.claims.verdicts import MARKS, NOT_REACHED, UNFINISHED, VERDICTS, judge_interval
from clipnb.plots import BLACK, BLUE, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLIPPED = BORDER * 0.97  # where an arrow stands for what lies beyond the border
ROW = 0.43  # inches; names of two lines must not run into those of the next row


def make_axes(width: float, height: float) -> "Axes":
    """Return the axes of a new figure. width, height: in inches."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


# ---- the rule --------------------------------------------------------------------------------

EXAMPLES = (  # intervals in margins, one for each outcome of the rule
    ("difference", 1.4, 2.6),
    ("difference", 0.4, 2.0),
    ("difference", -0.7, 0.6),
    ("difference", -0.5, 1.9),
    ("difference", -2.4, -0.3),
    ("equivalence", -0.7, 0.6),
    ("equivalence", -0.5, 1.9),
    ("equivalence", 1.4, 2.6),
)


def plot_rule(ax: "Axes | None" = None) -> "Axes":
    """Draw made-up intervals and the verdict that the rule reaches on each. Returns the axes.

    A full point stands for a claim that there is an effect, a hollow one for a claim that there
    is none.
    """
    ax = ax or make_axes(9, 4.2)
    ax.axvspan(-1, 1, color=GREY, alpha=0.16, linewidth=0)
    ax.axvline(0, color=BLACK, linewidth=1)
    for row, (kind, low, high) in enumerate(EXAMPLES):
        verdict = judge_interval(low, high, 1.0, kind)
        colour = COLOURS[verdict]
        fill = "white" if kind == "equivalence" else colour
        ax.plot([low, high], [row, row], color=colour, linewidth=2.5)
        ax.plot((low + high) / 2, row, "o", color=colour, markerfacecolor=fill, markersize=8)
        text = format_verdict(verdict)
        ax.text(3.2, row, text, color=colour, va="center", fontsize=11, fontweight="bold")
    n = sum(kind == "difference" for kind, *_ in EXAMPLES)
    ax.axhline(n - 0.5, color=GREY, linewidth=0.8)
    ax.set_yticks([(n - 1) / 2, (n + len(EXAMPLES) - 1) / 2])
    ax.set_yticklabels(["claims that there\nis an effect", "claims that there\nis none"])
    ax.tick_params(axis="y", length=0)
    ax.set(xlim=(-3, 5.6), ylim=(len(EXAMPLES) - 0.4, -0.6), xticks=range(-3, 4))
    ax.set_xlabel("effect in margins: 0 is none, 1 the smallest that counts")
    ax.set_title("Which interval leads to which verdict?")
    ax.grid(axis="y", visible=False)
    return ax


# ---- the claims ------------------------------------------------------------------------------


def plot_claims(groups: Groups, ax: "Axes | None" = None) -> "Axes":
    """Plot each claim's pooled effect with its 95 % interval, in margins. Returns the axes.

    groups: of all claims, because the correction for many tests depends on their number. A claim
    that has no effect to show, since it is not finished or not reached, has its verdict alone.
    """
    pooled = [claim for claim in pool_claims(groups).values() if groups[claim.claim]]
    ax = ax or make_axes(11, 1.3 + ROW * len(pooled))
    ax.axvspan(-1, 1, color=GREY, alpha=0.16, linewidth=0)
    ax.axvline(0, color=BLACK, linewidth=1)
    for row, claim in enumerate(pooled):
        _draw_pooled(ax, row, claim)
        verdict = format_verdict_so_far(claim.verdict, groups[claim.claim])
        verdict += " *" if describe_verdicts(groups[claim.claim]) else ""
        where = ax.get_yaxis_transform()
        ax.text(1.02, row, verdict, transform=where, color=COLOURS[claim.verdict], va="center")
    names = [wrap_title(claim.claim, CLAIMS[claim.claim][0]) for claim in pooled]
    ax.set_yticks(range(len(pooled)), names)
    ax.tick_params(axis="y", length=0)
    _scale_in_margins(ax)
    note = "intervals of 95 %, before the correction for many claims"
    star = "*: its experiments have different verdicts"
    ax.set_xlabel(f"{ax.get_xlabel()}\n{note}\n{star}")
    ax.set_ylim(len(pooled) - 0.4, -0.6)
    ax.set_title("What each claim's experiments say together", loc="left")
    return ax


def _draw_pooled(ax: "Axes", row: float, claim: PooledClaim) -> None:
    """Draw the interval of a claim in a row."""
    if claim.interval is None:
        return
    fill = "white" if claim.kind == "equivalence" else COLOURS[claim.verdict]
    _draw_interval(ax, row, (claim.mean, *claim.interval), COLOURS[claim.verdict], "D", fill)


def _draw_interval(
    ax: "Axes",
    row: float,
    effect: Sequence[float],
    colour: str,
    marker: str = "o",
    fill: str | None = None,
) -> None:
    """Draw (mean, low, high) in a row; an arrow stands for what lies beyond the border."""
    mean, low, high = effect
    ax.plot(np.clip([low, high], -BORDER, BORDER), [row, row], color=colour, linewidth=2)
    for bound, arrow in ((low, "<"), (high, ">")):
        if abs(bound) > BORDER:
            ax.plot(np.clip(bound, -CLIPPED, CLIPPED), row, arrow, color=colour, markersize=6)
    if abs(mean) <= BORDER:
        face = fill or colour
        ax.plot(mean, row, marker, color=colour, markerfacecolor=face, markersize=7, zorder=4)


def _scale_in_margins(ax: "Axes") -> None:
    """Let the horizontal axis tell margins, from -30 to 30, with more room about 0."""
    ax.set_xscale("asinh", linear_width=1)
    ax.set_xlim(-BORDER, BORDER)
    ax.set_xticks(TICKS, [f"{tick:g}".replace("-", "−") for tick in TICKS])
    ax.set_xticks([], minor=True)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("effect in margins: 0 is none, 1 the smallest that counts")


def plot_worlds(groups: Groups, ax: "Axes | None" = None) -> "Axes":
    """Plot the effects on drawn scenes beside those on photos, in margins. Returns the axes.

    A row each for the claims that have been tested in both worlds, with the mean of the
    experiments of a world. A world whose gates are all closed is left out.
    """
    names, rows = [], []
    for claim, records in groups.items():
        own = [
            [r for r in records if "mean" in r and r["dataset"] == world and not _says_nothing(r)]
            for world in ("scenes", "flickr8k")
        ]
        if all(own):
            names.append(wrap_title(claim, CLAIMS[claim][0]))
            rows.append([np.mean([scale_effect(r) for r in part], axis=0) for part in own])
    ax = ax or make_axes(10, 1.6 + 0.5 * max(len(rows), 1))
    ax.axvspan(-1, 1, color=GREY, alpha=0.16, linewidth=0)
    ax.axvline(0, color=BLACK, linewidth=1)
    for row, (scenes, photos) in enumerate(rows):
        _draw_interval(ax, row - 0.15, scenes, ORANGE)
        _draw_interval(ax, row + 0.15, photos, BLUE, "s")
    ax.set_yticks(range(len(rows)), names)
    ax.tick_params(axis="y", length=0)
    _scale_in_margins(ax)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.plot([], [], "o-", color=ORANGE, label="drawn scenes")
    ax.plot([], [], "s-", color=BLUE, label="photos")
    ax.set_title("Do drawn scenes and photos agree?", loc="left")
    ax.figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return ax


def _says_nothing(record: dict) -> bool:
    return record["verdict"] == NOT_REACHED


# ---- what if? --------------------------------------------------------------------------------

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def plot_margins(groups: Groups, factors: Sequence[float] = FACTORS) -> "Axes":
    """Plot the verdict on each claim if all margins were smaller or larger. Returns the axes.

    groups: of all claims, because of the correction for many tests.
    """
    claims = [claim for claim in groups if groups[claim]]
    ax = make_axes(10, 1.5 + ROW * len(claims))
    for column, factor in enumerate(factors):
        pooled = rescale_margins(groups, factor)
        for row, claim in enumerate(claims):
            verdict = pooled[claim].verdict
            _draw_tile(ax, column, row, MARKS[verdict], COLOURS[verdict])
    names = [wrap_title(claim, CLAIMS[claim][0]) for claim in claims]
    ax.set_yticks(range(len(claims)), names)
    labels = [f"{factor:g}" if factor != 1 else "as in the\nprotocols" for factor in factors]
    ax.set_xticks(range(len(factors)), labels)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.set(xlim=(-0.5, len(factors) - 0.5), ylim=(len(claims) - 0.5, -0.5))
    ax.set_xlabel("times the margin")
    ax.set_title("The verdicts with smaller and with larger margins", loc="left")
    _explain_marks(ax)
    return ax


def _draw_tile(ax: "Axes", column: float, row: float, text: str, colour: str) -> None:
    from matplotlib.patches import Rectangle

    tile = {"facecolor": colour + "30", "edgecolor": "white", "linewidth": 1.5}
    ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **tile))
    style = {"ha": "center", "va": "center", "fontweight": "bold", "fontsize": 12}
    ax.text(column, row, text, color=colour, **style)


def _explain_marks(ax: "Axes") -> None:
    for verdict in VERDICTS:
        ax.plot([], [], "s", color=COLOURS[verdict], markersize=11, label=format_verdict(verdict))
    ax.figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=10)


def plot_more_seeds(records: Sequence[dict]) -> "list[Axes]":
    """Plot how the interval of each record's effect on trial moved with every seed that was added.

    The dashed line is the margin, the solid one no effect. Returns the axes, one for each record.
    """
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(records), figsize=(3.7 * len(records), 3.4), squeeze=False)
    for ax, record in zip(axes.flat, records, strict=True):
        grown = np.array(grow_interval(record["effects"][record["effect"]]))  # (n, 3)
        seeds = np.arange(1, len(grown) + 1)
        mean, low, high = grown.T
        # The interval of the first seed lacks the noise of the seeds, so it is drawn in grey.
        colours = [GREY] + [BLUE] * (len(grown) - 1)
        ax.vlines(seeds, low, high, color=colours, linewidth=3)
        ax.scatter(seeds, mean, color=colours, zorder=3)
        none = NO_EFFECT[record["scale"]]
        ax.axhline(none, color=BLACK, linewidth=1)
        ax.axhline(record["margin"], color=BLACK, linewidth=1, linestyle="--")
        if record["scale"] == "log":
            ax.set_yscale("log")
        ax.set_xticks(seeds)
        ax.set(xlim=(0.5, max(len(grown), 2) + 0.5), xlabel="seeds", ylabel=record["unit"])
        ax.set_title(f"{record['claim']} · {record['experiment']}", fontsize=11)
    return list(axes.flat)


# ---- the first sitting -----------------------------------------------------------------------


def plot_transitions(pairs: dict[str, tuple[str, str]]) -> "Axes":
    """Plot which verdict of the first sitting became which of the second. Returns the axes.

    pairs: as `report_numbers.pair_verdicts` returns them.
    """
    ax = make_axes(11, 3.9)
    columns = [verdict for verdict in VERDICTS if verdict != UNFINISHED]
    if any(second == UNFINISHED for _, second in pairs.values()):
        columns.append(UNFINISHED)
    for row, first in enumerate(FIRST_VERDICTS):
        for column, second in enumerate(columns):
            own = [claim for claim, pair in pairs.items() if pair == (first, second)]
            lines = [" ".join(own[at : at + 4]) for at in range(0, len(own), 4)]
            colour = COLOURS[second] if own else "#FFFFFF"
            _draw_tile(ax, column, row, "", colour)
            style = {"ha": "center", "va": "center", "fontsize": 9.5}
            ax.text(column, row, "\n".join(lines), color=BLACK, **style)
    titles = [format_verdict(verdict).replace(" ", "\n", 1) for verdict in columns]
    ax.set_xticks(range(len(columns)), [_break(title) for title in titles], fontsize=10)
    ax.set_yticks(range(len(FIRST_VERDICTS)), FIRST_VERDICTS)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(FIRST_VERDICTS) - 0.5, -0.5))
    ax.set(xlabel="second sitting", ylabel="first sitting")
    ax.set_title("What became of the first verdicts?", loc="left")
    return ax


def _break(title: str) -> str:
    """Break a verdict such as "supported in direction" into lines."""
    for word in ("in ", "found", "reached"):
        title = title.replace(f" {word}", f"\n{word}")
    return title
