"""How the records of notebook 06 are drawn: naming, prompts, limits, word order, reading, transfer.

Every function draws one idea from a record, or from some records, into axes, and returns the axes.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims.forest import GREY
from clipnb.claims.words.limits import LABELLED, PLAIN, TAUGHT, TOLD
from clipnb.claims.words.point_names import label_points
from clipnb.claims.words.reading import CHANCE, DOSES, SUPERVISED
from clipnb.claims.words.retrieval import DIRECTIONS
from clipnb.claims.words.sentence_exams import CHANGES
from clipnb.claims.words.transfer import TASKS
from clipnb.metrics import RECALL_AT
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (BLUE, ORANGE, GREEN)
MARKERS = ("o", "s", "D")
PERCENT = (0, 100)
SKILLS = {
    "kind": "which kind",
    "colour": "which colour",
    "counting": "two or three",
    "binding": "whose colour",
    "relations": "left or right,\nabove or below",
}
ARMS = {  # {model: (label, colour, marker)}
    PLAIN: ("plain", BLUE, "o"),
    TAUGHT: ("with hard negatives", ORANGE, "s"),
    TOLD: ("labels as told", GREEN, "D"),
    LABELLED: ("labels: all", RED, "^"),
}
SCORES = {"choice": 50, "text": 25, "image": 25, "group": 100 / 6}  # {score: chance in percent}
ASKED = {  # {condition of the experiment `asking_in_number`: how a row of a figure tells it}
    "singular": "“a dog”",
    "plural": "“dogs”",
    "both": "both together",
    "folded": "“a dog”, no plural\nin the captions",
    "moved": "“a dog”, balls\nmoved elsewhere",
}


# ---- parts -----------------------------------------------------------------------------------


def read_bounds(summary: dict, limits: tuple[float, float] = (-np.inf, np.inf)) -> list[float]:
    """Return mean and interval of an effect or a condition, the interval cut at limits.

    None stands for a bound, or a mean, that lies beyond all that was tried.
    """
    ends = (np.inf, -np.inf, np.inf)
    values = (summary["mean"], *summary["interval"])
    numbers = [end if value is None else value for value, end in zip(values, ends, strict=True)]
    return [float(np.clip(number, *limits)) for number in numbers]


def make_axes(ax: "Axes | None", n_rows: int, width: float = 8.0) -> "Axes":
    """Return the given axes, or new ones that are high enough for some rows."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, 1.5 + 0.45 * n_rows))[1] if ax is None else ax


def name_rows(ax: "Axes", labels: Sequence[str]) -> None:
    """Write a label for each row, the first one on top."""
    ax.set_yticks(range(len(labels)), list(labels))
    ax.set_ylim(len(labels) - 0.4, -0.6)


def draw_interval(ax: "Axes", summary: dict, row: float, style: dict, limits: tuple) -> None:
    """Draw the mean of an effect or a condition as a dot, and its interval as a line."""
    mean, low, high = read_bounds(summary, limits)
    ax.hlines(row, low, high, color=style["color"], linewidth=2)
    ax.plot(mean, row, linestyle="none", markersize=7, **style)


# ---- percentages and effects -----------------------------------------------------------------


def plot_levels(
    rows: Mapping[str, str],
    records: Mapping[str, dict | None],
    title: str,
    chance: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot conditions in percent with their intervals, a row each.

    rows: {label: condition}. records: {name: record}, such as a small run and the full one; None
    for one that is not there. chance: a line in percent.
    """
    ax = make_axes(ax, len(rows))
    kept = {name: record for name, record in records.items() if record}
    offsets = np.linspace(-0.14, 0.14, len(kept)) if len(kept) > 1 else [0]
    for i, ((name, record), offset) in enumerate(zip(kept.items(), offsets, strict=True)):
        for row, condition in enumerate(rows.values()):
            style = {"color": COLOURS[i], "marker": MARKERS[i]} | ({} if row else {"label": name})
            draw_interval(ax, record["conditions"][condition], row + offset, style, PERCENT)
    if chance is not None:
        ax.axvline(chance, color=BLACK, linestyle="--", linewidth=1.5, label="chance")
    name_rows(ax, list(rows))
    ax.set(title=title, xlabel="percent", xlim=(0, 102))
    ax.legend(fontsize=9)
    return ax


def plot_effects(
    rows: Mapping[str, str],
    record: dict,
    title: str,
    margin: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot effects of a record with their intervals around 0, a row each.

    rows: {label: effect}. A grey band holds what is too small to count; its half width is the
    margin, by default that of the protocol, and 0 draws no band. The effect on trial is blue.
    """
    ax = make_axes(ax, len(rows))
    margin = record["margin"] if margin is None else margin
    if margin:
        band = f"too small to count: {margin:g}"
        ax.axvspan(-margin, margin, color=GREY, alpha=0.2, linewidth=0, label=band)
    ax.axvline(0, color=BLACK, linewidth=1)
    on_trial = next(iter(record["effects"]))
    for row, name in enumerate(rows.values()):
        effect = record["effects"][name]
        style = {"color": BLUE if name == on_trial else ORANGE, "marker": "o"}
        if name == on_trial:
            style |= {"label": "on trial"}
        draw_interval(ax, effect, row, style, (-100, 100))
    name_rows(ax, list(rows))
    ax.set(title=title, xlabel=record["effects"][next(iter(rows.values()))]["unit"])
    if ax.get_legend_handles_labels()[0]:  # below the axes, where it hides no interval
        below = (0, -0.6 / (0.3 + 0.4 * len(rows)))
        ax.legend(fontsize=9, ncols=2, loc="upper left", bbox_to_anchor=below, frameon=False)
    return ax


def plot_classes(
    names: Sequence[str],
    record: dict,
    effect: str,
    title: str,
    what: str,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot an effect over classes: a bar for each class, the mean of the seeds, the largest first.

    A dot on a bar is one seed. what: the quantity that the axis tells, without its unit.
    """
    ax = make_axes(ax, 6, width=10)
    values = np.array(record["effects"][effect]["values"])  # (n, U)
    means = values.mean(axis=0)
    order = np.argsort(-means, kind="stable")
    ax.bar(range(len(order)), means[order], color=BLUE, alpha=0.75)
    for seed, own in enumerate(values):
        label = None if seed else "a dot for each seed"
        ax.plot(range(len(order)), own[order], ".", color=BLACK, markersize=5, label=label)
    ax.axhline(0, color=BLACK, linewidth=1)
    ax.set_xticks(range(len(order)), [names[i] for i in order], rotation=60, ha="right")
    ax.set(title=title, ylabel=f"{what}\n({record['effects'][effect]['unit']})")
    ax.grid(axis="x", visible=False)
    ax.legend(fontsize=9, loc="upper right")
    return ax


# ---- dogs ------------------------------------------------------------------------------------


def plot_dogs(record: dict, ax: "Axes | None" = None) -> "Axes":
    """Plot what the images of dogs are called, by how they are asked for, as stacked bars."""
    ax = make_axes(ax, len(ASKED))
    effects = record["effects"]
    for row, condition in enumerate(ASKED):
        dog, ball = (
            effects[f"dogs called {name}s, {condition}"]["mean"] for name in ("dog", "ball")
        )
        left = 0.0
        parts = (("dog", dog, GREEN), ("ball", ball, ORANGE), ("else", 100 - dog - ball, GREY))
        for name, share, colour in parts:
            label = None if row else {"else": "something else"}.get(name, name)
            ax.barh(row, share, left=left, color=colour, label=label, height=0.7)
            ax.text(left + share / 2, row, f"{share:.0f}", ha="center", va="center", fontsize=10)
            left += share
    name_rows(ax, list(ASKED.values()))
    ax.set(title="What the images of dogs are called", xlabel="percent of them", xlim=PERCENT)
    ax.grid(axis="y", visible=False)
    ax.legend(fontsize=9, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
    return ax


# ---- retrieval -------------------------------------------------------------------------------


def plot_recalls(records: Mapping[str, dict], ax: "Axes | None" = None) -> "Axes":
    """Plot R@1, R@5 and R@10 of some records, both ways, beside those of a guess.

    records: {name: record}, of the experiments `retrieval` and `retrieval_scenes`.
    """
    ax = make_axes(ax, 6)
    x = np.arange(len(RECALL_AT))
    for colour, (name, record) in zip(COLOURS, records.items(), strict=False):
        for line, direction in zip(("-", "--"), DIRECTIONS, strict=True):
            conditions = [record["conditions"][f"{direction} R@{k}"] for k in RECALL_AT]
            means = [condition["mean"] for condition in conditions]
            ax.plot(x, means, line, marker="o", color=colour, label=f"{name}, {direction}")
    n_images = next(iter(records.values()))["n_images"]
    guesses = [100 * k / n_images for k in RECALL_AT]
    ax.plot(x, guesses, ":", marker="x", color=BLACK, label=f"a guess among {n_images:,}")
    ax.set_xticks(x, [f"R@{k}" for k in RECALL_AT])
    ax.set_yscale("log")
    ax.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ax.set(title="The right one is among the first K", ylabel="percent (log scale)")
    ax.legend(fontsize=9, loc="lower right")
    return ax


# ---- limits ----------------------------------------------------------------------------------


def plot_skills(record: dict, ax: "Axes | None" = None) -> "Axes":
    """Plot how often four models choose the right one of two sentences, by what differs."""
    ax = make_axes(ax, len(SKILLS) + 1)
    ax.axvline(50, color=BLACK, linestyle="--", linewidth=1.5, label="chance")
    offsets = (-0.27, -0.09, 0.09, 0.27)
    for (arm, (label, colour, marker)), offset in zip(ARMS.items(), offsets, strict=True):
        for row, skill in enumerate(SKILLS):
            condition = record["conditions"][f"{arm}, {skill}: choice"]
            style = {"color": colour, "marker": marker} | ({} if row else {"label": label})
            draw_interval(ax, condition, row + offset, style, PERCENT)
    name_rows(ax, list(SKILLS.values()))
    ax.set(title="Two sentences that differ in one fact", xlabel="right (percent)", xlim=(35, 102))
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def plot_scores(record: dict, skill: str, ax: "Axes | None" = None) -> "Axes":
    """Plot the scores of ARO ("choice") and of Winoground on one exam, for four models.

    Raises ValueError if there is no exam in that skill.
    """
    if skill not in CHANGES:
        raise ValueError(f"no exam in {skill!r}; there are {', '.join(CHANGES)}.")
    ax = make_axes(ax, 6)
    width = 0.2
    for i, (arm, (label, colour, _)) in enumerate(ARMS.items()):
        means = [record["conditions"][f"{arm}, {skill}: {score}"]["mean"] for score in SCORES]
        places = np.arange(len(SCORES)) + (i - 1.5) * width
        ax.bar(places, means, width, color=colour, label=label)
    for place, guess in enumerate(SCORES.values()):
        label = None if place else "chance"
        ax.hlines(guess, place - 0.42, place + 0.42, BLACK, "--", linewidth=2, label=label)
    ax.set_xticks(range(len(SCORES)), list(SCORES))
    ax.set(title=f"Four scores of one exam: {skill}", ylabel="percent", ylim=PERCENT)
    ax.grid(axis="x", visible=False)
    ax.legend(fontsize=9)
    return ax


# ---- word order ------------------------------------------------------------------------------


def plot_lost(records: Mapping[str, dict], ax: "Axes | None" = None) -> "Axes":
    """Plot the share of the recall above chance that changed captions cost, by record.

    records: {name: record}, of the experiments `word_order` and `word_order_flickr8k`.
    """
    rows = {
        "words shuffled": "recall lost by shuffling",
        "words shuffled,\nhard negatives": "recall lost by shuffling, hard negatives",
        "every third word wrong": "recall lost by wrong words",
    }
    ax = make_axes(ax, len(rows) + 1)
    margin = next(iter(records.values()))["margin"]
    ax.axvspan(-margin, margin, color=GREY, alpha=0.2, linewidth=0, label="about as good")
    ax.axvline(0, color=BLACK, linewidth=1)
    offsets = np.linspace(-0.14, 0.14, len(records)) if len(records) > 1 else [0]
    for i, ((name, record), offset) in enumerate(zip(records.items(), offsets, strict=True)):
        for row, effect in enumerate(rows.values()):
            style = {"color": COLOURS[i], "marker": MARKERS[i]} | ({} if row else {"label": name})
            draw_interval(ax, record["effects"][effect], row + offset, style, (-100, 100))
    name_rows(ax, list(rows))
    ax.set(title="What changed captions cost", xlabel="percent of the recall above chance, lost")
    ax.legend(fontsize=9, loc="best")
    return ax


# ---- reading ---------------------------------------------------------------------------------


def plot_doses(record: dict, ax: "Axes | None" = None) -> "Axes":
    """Plot how many cards are read, and how many things named, by what captions tell of cards."""
    ax = make_axes(ax, 6)
    conditions = record["conditions"]
    for what, label, colour, marker in (
        ("reads", "reads the card", BLUE, "o"),
        ("names", "names the thing beside it", ORANGE, "s"),
    ):
        told = [i for i, dose in enumerate(DOSES) if f"{dose}: {what}" in conditions]
        doses = list(DOSES)
        own = [read_bounds(conditions[f"{doses[i]}: {what}"], PERCENT) for i in told]
        means, lows, highs = np.transpose(own)
        ax.vlines(told, lows, highs, color=colour, linewidth=2)
        ax.plot(told, means, marker=marker, color=colour, label=label)
    supervised = conditions[f"{SUPERVISED}: reads"]["mean"]
    ax.axhline(supervised, color=GREEN, linestyle=":", label="reads the card, taught by labels")
    ax.axhline(CHANCE, color=BLACK, linestyle="--", linewidth=1.5, label="chance")
    ax.set_xticks(range(len(DOSES)), [dose.replace(" ", "\n", 1) for dose in DOSES])
    ax.set(title="Which captions tell the card?", ylabel="right (percent)", ylim=(0, 104))
    ax.legend(fontsize=9, loc="center left")
    return ax


# ---- transfer --------------------------------------------------------------------------------


def plot_exposure(record: dict, ax: "Axes | None" = None) -> "Axes":
    """Plot how well each class of drawn scenes is named by a model of photos alone.

    To the right stand the classes that many captions of the photos name.
    """
    ax = make_axes(ax, 8, width=9)
    captions = np.array(record["numbers"]["captions"][0])  # the same for all seeds
    means = np.mean(record["effects"]["classes above chance"]["values"], axis=0)
    start = 0
    for (task, names), colour, marker in zip(TASKS.items(), COLOURS, MARKERS, strict=True):
        own = slice(start, start + len(names))
        ax.plot(captions[own], means[own], marker, color=colour, label=f"{task}s", markersize=8)
        start += len(names)
    ax.axhline(0, color=BLACK, linestyle="--", linewidth=1.5, label="chance")
    ax.set_xscale("log")
    ax.set_xticks([10, 100, 1000, 10_000], ["10", "100", "1,000", "10,000"])
    ax.set(
        title="Trained on photos, asked about drawings",
        xlabel="captions of photos that name the class (log scale)",
        ylabel="points above chance",
    )
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    label_points(ax, captions, means, [name for names in TASKS.values() for name in names], [0])
    return ax
