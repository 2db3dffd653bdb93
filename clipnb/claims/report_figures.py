"""The figures of the replication report, beside the forest plot and the budgets.

Each function takes what `report_numbers` or the records give, and draws one idea.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims import CLAIMS
from clipnb.claims.effects import NO_EFFECT
from clipnb.claims.forest import BORDER, COLOURS, GREY, TICKS, shorten
from clipnb.claims.pooling import PooledClaim, pool_claims, scale_effect
from clipnb.claims.report_numbers import (
    Cost,
    Groups,
    SameSeeds,
    grow_interval,
    rescale_margins,
    summarize_full_budget,
)
from clipnb.claims.showing import format_verdict
from clipnb.claims.verdicts import MARKS, NOT_REACHED, UNFINISHED, VERDICTS, judge_interval
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIRST_VERDICTS = ("replicated", "partly", "not at this scale", "contradicted")
CLIPPED = BORDER * 0.97  # where an arrow stands for what lies beyond the border

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
    ax = ax or _make_axes(9, 4.2)
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
    ax = ax or _make_axes(11, 1.3 + 0.31 * len(pooled))
    ax.axvspan(-1, 1, color=GREY, alpha=0.16, linewidth=0)
    ax.axvline(0, color=BLACK, linewidth=1)
    for row, claim in enumerate(pooled):
        _draw_pooled(ax, row, claim)
        verdict = format_verdict(claim.verdict)
        where = ax.get_yaxis_transform()
        ax.text(1.02, row, verdict, transform=where, color=COLOURS[claim.verdict], va="center")
    names = [f"{claim.claim}  {shorten(CLAIMS[claim.claim][0], 56)}" for claim in pooled]
    ax.set_yticks(range(len(pooled)), names)
    ax.tick_params(axis="y", length=0)
    _scale_in_margins(ax)
    ax.set_ylim(len(pooled) - 0.4, -0.6)
    ax.set_title("What each claim's experiments say together", loc="left", x=-1.15)
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
            names.append(f"{claim}  {shorten(CLAIMS[claim][0], 50)}")
            rows.append([np.mean([scale_effect(r) for r in part], axis=0) for part in own])
    ax = ax or _make_axes(10, 1.6 + 0.5 * max(len(rows), 1))
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
    ax = _make_axes(10, 1.5 + 0.26 * len(claims))
    for column, factor in enumerate(factors):
        for row, claim in enumerate(claims):
            verdict = rescale_margins(groups, factor)[claim].verdict
            _draw_tile(ax, column, row, MARKS[verdict], COLOURS[verdict])
    names = [f"{claim}  {shorten(CLAIMS[claim][0], 56)}" for claim in claims]
    ax.set_yticks(range(len(claims)), names)
    labels = [f"{factor:g}" if factor != 1 else "as in the\nprotocols" for factor in factors]
    ax.set_xticks(range(len(factors)), labels)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.set(xlim=(-0.5, len(factors) - 0.5), ylim=(len(claims) - 0.5, -0.5))
    ax.set_xlabel("times the margin")
    ax.set_title("The verdicts with smaller and with larger margins", loc="left", x=-0.97)
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
    ax = _make_axes(11, 3.9)
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


# ---- machines, tuning, costs -----------------------------------------------------------------


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


def plot_costs(costs: dict[str, Cost], n: int = 20, ax: "Axes | None" = None) -> "Axes":
    """Plot the minutes of the n dearest experiments, and of all others together.

    Returns the axes.
    """
    names = sorted(costs, key=lambda name: -sum(costs[name]))
    bars = [costs[name] for name in names[:n]]
    if len(names) > n:
        others = np.array([costs[name] for name in names[n:]]).sum(axis=0)
        bars, names = [*bars, others], [*names[:n], f"the other {len(names) - n} together"]
    training, rest = np.array(bars).T
    ax = ax or _make_axes(9, 1.2 + 0.24 * len(names))
    ax.barh(names, training, color=BLUE, label="training, where a run is used first")
    ax.barh(names, rest, left=training, color=ORANGE, label="the rest: unkept training, exams")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", labelsize=10)
    ax.set(title="What the experiments have cost", xlabel="minutes")
    ax.figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return ax


def plot_noise(shares: dict[str, float], ax: "Axes | None" = None) -> "Axes":
    """Plot which share of each effect's variance comes from the seeds, sorted. Returns the axes.

    shares: {experiment: percent}. The rest comes from test images or classes.
    """
    names = sorted(shares, key=shares.get)
    of_seeds = np.array([shares[name] for name in names])
    ax = ax or _make_axes(9, 1.2 + 0.19 * len(names))
    ax.barh(names, of_seeds, color=BLUE, label="seeds")
    ax.barh(names, 100 - of_seeds, left=of_seeds, color=ORANGE, label="test images or classes")
    ax.tick_params(axis="y", labelsize=9)
    ax.set(xlabel="share of the variance (percent)", xlim=(0, 100), ylim=(-0.6, len(names) - 0.4))
    ax.set_title("Where the uncertainty of each effect comes from")
    ax.figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return ax


# ---- coverage, the baseline at its original's budget -----------------------------------------


def plot_coverage(record: dict, ax: "Axes | None" = None) -> "Axes":
    """Plot how often simulated intervals hold the truth, a dot for each case. Returns the axes.

    record: as `report_numbers.load_coverage` returns it.
    """
    ax = ax or _make_axes(9, 4)
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


def plot_full_budget(record: dict) -> "list[Axes]":
    """Plot the baseline at its original's budget: mean recall and loss, a row for each way.

    record: as `report_numbers.load_full_budget` returns it. Returns the two axes.
    """
    import matplotlib.pyplot as plt

    ways = summarize_full_budget(record)
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 2.9), sharey=True)
    for row, values in enumerate(ways.values()):
        for key, shift, colour in (("best epoch", -0.12, BLUE), ("last epoch", 0.12, ORANGE)):
            label = key if row == 0 else None
            place = np.full(len(values[key]), row + shift)
            left.plot(values[key], place, "o", color=colour, markersize=8, label=label)
        losses = values["loss, last epoch"]
        right.plot(losses, np.full(len(losses), row), "o", color=ORANGE, markersize=8)
    leaky = record["leaky"][0]["last epoch"]
    right.axvline(leaky["chance_loss"], color=BLACK, linewidth=1, linestyle="--")
    left.set_yticks(range(len(ways)), list(ways))
    left.set_ylim(len(ways) - 0.5, -0.5)
    left.set(title="Mean recall", xlabel=f"percent, among {leaky['n_pairs']:,} pairs")
    left.set_xlim(left=0)
    left.legend(fontsize=9)
    right.set(title="Loss of the last epoch", xlabel="nats; dashed: a model that knows nothing")
    right.set_xlim(left=0)
    return [left, right]


def _make_axes(width: float, height: float) -> "Axes":
    """Return the axes of a new figure. width, height: in inches."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax
