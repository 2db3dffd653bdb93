"""How the records of probes are drawn: what words are worth, who wins which task, whose features.

The figures read effects and conditions of records alone. The outcomes of a small run, which a
record does not hold, are read by `load_small_outcomes`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims import find_experiment
from clipnb.claims.code import digest_code
from clipnb.claims.experiment import Outcomes
from clipnb.claims.forest import GREY
from clipnb.claims.probes.representations import TOLD_TASKS, UNTOLD_TASKS
from clipnb.claims.probes.rivals import TRIED
from clipnb.experiments.exams import ATTRIBUTES
from clipnb.experiments.nouns import NOUN_CLASSES
from clipnb.experiments.outcomes import run_seed
from clipnb.experiments.probes import TAUGHT_TASKS
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, RED
from clipnb.runs import Run
from clipnb.widgets.quiz_answers import Tally, answer_by_clip, make_quiz

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The classes of the experiments on labels, in the order of their effects: {group: names}.
SCENE_GROUPS = {f"{task}s": list(ATTRIBUTES[task]) for task in TAUGHT_TASKS}
PHOTO_GROUPS = {"nouns": list(NOUN_CLASSES)}
GROUP_COLOURS = (BLUE, GREEN, ORANGE)

Row = tuple[str, dict]  # a label and an effect of a record
COUNTING_PAIRS = [  # for `clipnb.claims.forest.plot_pairs`: words and a probe on the same features
    ("how many “dogs”", "words", "probe"),
    ("how many, any kind", "words, any kind", "probe"),
    ("“a”, “two”, “three” alone", "words, number alone", "probe"),
    ("kinds", "words, kind", "probe, kind"),
    ("colours", "words, colour", "probe, colour"),
    ("places", "words, place", "probe, place"),
]
TOWER_STYLES = {  # {tower of the experiment `representations`: (label, colour, marker)}
    "untrained": ("untrained", GREY, "x"),
    "three heads": ("twin told kind, colour, place", ORANGE, "^"),
    "told everything": ("twin told everything", GREEN, "s"),
    "CLIP": ("CLIP", BLUE, "o"),
}


# ---- records ---------------------------------------------------------------------------------


def load_small_outcomes(name: str, seed: int = 0) -> Outcomes:
    """Return what happened to every test image in the small run of an experiment.

    After `run_claim(name)` they come from the cache.
    """
    experiment = find_experiment(name)
    code = digest_code(experiment, library=True)
    outcomes, _ = run_seed(experiment, seed, experiment.small, code)
    return outcomes


def count_seeds(record: dict) -> str:
    """Say how many seeds a record has: "1 seed", "5 seeds"."""
    n = len(record["seeds"])
    return "1 seed" if n == 1 else f"{n} seeds"


def read_values(effect: dict) -> np.ndarray:
    """Return the values of an effect by seed, (n,) or (n, U). None stands for infinity."""
    array = np.array(effect["values"], dtype=object)
    return np.where(array == None, np.inf, array).astype(float)  # noqa: E711 - elementwise


def read_bounds(effect: dict) -> tuple[float, float, float]:
    """Return the mean and the interval of an effect. None stands for a bound beyond all others."""
    low, high = effect["interval"]
    mean = np.inf if effect["mean"] is None else effect["mean"]
    return mean, -np.inf if low is None else low, np.inf if high is None else high


# ---- effects in rows -------------------------------------------------------------------------


def plot_effects(
    rows: Sequence[Row],
    ax: "Axes",
    margin: tuple[float, float] | None = None,
    paper: float | None = None,
    transform: Callable = np.asarray,
) -> None:
    """Plot effects with their 95 % intervals, a row each.

    margin: the band of what is too small to count. paper: the paper's own effect, a dashed line.
    transform: from the numbers of the record to those on the axis.
    """
    if margin is not None:
        label = "too small to count"
        ax.axvspan(*margin, color=GREY, alpha=0.18, linewidth=0, label=label)
    if paper is not None:
        ax.axvline(paper, color=BLACK, linestyle="--", linewidth=1.3, label="the paper")
    for row, (_, effect) in enumerate(rows):
        mean, low, high = transform(np.array(read_bounds(effect)))
        ax.plot([low, high], [row, row], color=BLUE, linewidth=2.5, solid_capstyle="butt")
        ax.plot(mean, row, "o", color=BLUE, markersize=8)
    ax.set_yticks(range(len(rows)), [label for label, _ in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    if margin is not None or paper is not None:
        ax.figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)


def plot_crossings(rows: Sequence[Row], ax: "Axes", margin: float, paper: float) -> None:
    """Plot how many examples words are worth, on a log axis, a row for each effect.

    margin: this ratio is the smallest that counts; 1 example is no effect.
    """
    ax.set_xscale("log", base=2)
    plot_effects(rows, ax, (1 / margin, margin), paper)
    ticks = 2 ** np.arange(0, 8)
    ax.set_xticks(ticks, ticks)
    ax.set_xlim(0.7, 150)
    ax.set_xlabel("examples a class (log scale)")


# ---- what words are worth, class by class ----------------------------------------------------


def plot_worth(
    record: dict, effect: str, groups: dict[str, list[str]], ax: "Axes", few: str | None = None
) -> None:
    """Plot how many examples words are worth to each class, the least first.

    A large dot is the median over the seeds, a small one a seed. A triangle at the top stands for a
    class whose words no number of examples reached. groups: the names of the classes, in the order
    of the effect's values. few: an effect of models that saw few scenes, drawn as hollow dots.
    """
    values = read_values(record["effects"][effect])  # (seeds, U)
    medians = np.median(values, axis=0)
    order = np.argsort(medians, kind="stable")
    names = [name for own in groups.values() for name in own]
    top = 1.5 * find_top(values)
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))
    start = 0
    for (group, own), colour in zip(groups.items(), GROUP_COLOURS, strict=False):
        columns = np.arange(start, start + len(own))
        start += len(own)
        _draw_worth(ax, place[columns], values[:, columns], top, colour, group)
    ax.plot([], [], "^", color=GREY, markersize=9, label="never reached")
    if few is not None:
        fewer = np.median(read_values(record["effects"][few]), axis=0)
        label = "models of 1,000 scenes"
        style = {"color": GREY, "markerfacecolor": "white", "zorder": 1}
        ax.plot(place, np.minimum(fewer, top), "o", markersize=6, label=label, **style)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xticks(range(len(names)), [names[i] for i in order], rotation=60, ha="right")
    ax.set(ylabel="examples (log scale)", xlim=(-0.7, len(names) - 0.3), ylim=(0.4, 1.5 * top))


def find_top(values: np.ndarray) -> float:
    """Return the largest finite value."""
    return float(values[np.isfinite(values)].max())


def _draw_worth(
    ax: "Axes", places: np.ndarray, values: np.ndarray, top: float, colour: str, label: str
) -> None:
    """Draw a group of classes. values: (seeds, U), infinite where nothing was reached."""
    medians = np.median(values, axis=0)
    reached = np.isfinite(medians)
    ax.plot(places[reached], medians[reached], "o", color=colour, markersize=9, label=label)
    beyond = np.full((~reached).sum(), top)
    ax.plot(places[~reached], beyond, "^", color=colour, markersize=9)
    for own in values:
        ax.plot(places, np.minimum(own, top), ".", color=BLACK, markersize=4, zorder=3)


# ---- words beside a probe with all labels -----------------------------------------------------


def plot_tracking(words: np.ndarray, probe: np.ndarray, ax: "Axes") -> None:
    """Plot the scores of words over those of a probe, a dot for each class of three tasks.

    words, probe: percent, (28,), kinds, colours and places one after the other. On the dashed line
    labels add nothing.
    """
    ax.plot([0, 100], [0, 100], color=BLACK, linestyle="--", linewidth=1)
    start = 0
    for (group, own), colour in zip(SCENE_GROUPS.items(), GROUP_COLOURS, strict=True):
        rows = slice(start, start + len(own))
        start += len(own)
        ax.plot(probe[rows], words[rows], "o", color=colour, alpha=0.85, label=group)
    ax.set(xlim=(0, 103), ylim=(0, 103), xlabel="probe with all labels (F1 score, percent)")


# ---- who wins which task ---------------------------------------------------------------------


def name_tasks(record: dict) -> list[str]:
    """Return the names of the tasks on trial, without their attributes: "dog" for "kind dog".

    A number or a size says what it is. Tasks of photos have one word.
    """
    names = []
    for task in record["numbers"]["tasks"][0]:
        attribute, _, value = task.partition(" ")
        if not value:
            names.append(task)
        elif attribute in TRIED:
            named = attribute in ("count", "size")
            names.append(f"{value} ({attribute})" if named else value)
    return names


def plot_rivals(record: dict, ax: "Axes", effect: str = "words minus the probe") -> None:
    """Plot how far words are from the probe in each task, the best first.

    A bar is the mean over seeds, a dot a seed. Blue bars are tasks that words win.
    """
    values = read_values(record["effects"][effect])  # (seeds, U)
    means = values.mean(axis=0)
    order = np.argsort(-means)
    names = name_tasks(record)
    colours = np.where(means > 0, BLUE, RED)
    rows = range(len(order))
    ax.barh(rows, means[order], color=colours[order], alpha=0.8)
    for own in values:
        ax.plot(own[order], rows, ".", color=BLACK, markersize=4)
    ax.axvline(0, color=BLACK, linewidth=1)
    ax.set_yticks(rows, [names[i] for i in order], fontsize=9)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("words minus probe (points of precision)")


# ---- whose features --------------------------------------------------------------------------


def plot_towers(record: dict, ax: "Axes") -> None:
    """Plot how often probes on four towers are right, a row for each task.

    Tasks that the captions tell stand above the line, those that nothing tells below it.
    """
    tasks = [*TOLD_TASKS, *UNTOLD_TASKS]
    for shift, (tower, (label, colour, marker)) in enumerate(TOWER_STYLES.items()):
        means = [record["conditions"][f"{tower}, {task}"]["mean"] for task in tasks]
        rows = np.arange(len(tasks)) + 0.17 * (shift - 1.5)
        ax.plot(means, rows, marker, color=colour, markersize=7, label=label)
    border = len(TOLD_TASKS) - 0.5
    ax.axhline(border, color=BLACK, linewidth=1)
    style = {"transform": ax.get_yaxis_transform(), "fontsize": 9, "style": "italic"}
    ax.text(0.01, border - 0.1, "captions tell this", va="bottom", **style)
    ax.text(0.01, border + 0.1, "nothing tells this", va="top", **style)
    ax.set_yticks(range(len(tasks)), tasks)
    ax.set_ylim(len(tasks) - 0.5, -0.5)
    ax.set_xlabel("probes right (percent)")


def list_leads(record: dict, names: dict[str, str]) -> list[Row]:
    """Return rows for `plot_effects`: {label: name of an effect} of a record."""
    return [(label, record["effects"][name]) for label, name in names.items()]


# ---- the quiz --------------------------------------------------------------------------------


def tally_clip(run: Run, seeds: Iterable[int]) -> Tally:
    """Count a run's right answers in several quizzes, as `merge_answers` counts those of readers.

    seeds: of the quizzes, which decide the species.
    """
    counted: dict[str, dict[int, list[bool]]] = {}
    for seed in seeds:
        quiz = make_quiz(seed)
        for question, choices in zip(quiz.questions, answer_by_clip(run, quiz), strict=True):
            for way, name in choices.items():
                by_shots = counted.setdefault(way, {})
                by_shots.setdefault(question.shots, []).append(name == question.truth)
    return {
        way: {shots: (sum(right), len(right)) for shots, right in by_shots.items()}
        for way, by_shots in counted.items()
    }
