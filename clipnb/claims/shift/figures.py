"""How the records of notebook 09 are drawn: lines, strips, gains, leaks and tasks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims.forest import COLOURS, GREY, scale_paper_effect
from clipnb.claims.pooling import scale_effect
from clipnb.claims.shift.overlap import LARGE_OVERLAP, MEDIAN_OVERLAP
from clipnb.claims.shift.robustness import LABELS_MANY, WORDS_MANY, WORDS_ONE
from clipnb.claims.shift.sources import SOURCES, TASKS
from clipnb.claims.shift.sources_photos import TASK_WORDS
from clipnb.claims.shift.styled import SHIFTED_STYLES, fit_line, logit
from clipnb.claims.so_far import judge_record
from clipnb.claims.told import tell_verdict
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL_COLOURS = {WORDS_MANY: BLUE, WORDS_ONE: ORANGE, LABELS_MANY: GREEN}
STYLE_COLOURS = {
    "painted": BLACK,
    "blurred": BLUE,
    "noisy": GREEN,
    "sketch": ORANGE,
    "negative": RED,
}
WAYS = {  # of adapting: {name of its conditions: (label, colour)}
    "": ("probe, painted images", ORANGE),  # the one with the most shots
    "many styles": ("probe, four styles: the control", BLUE),
    "fine-tuned": ("fine-tuned, painted images", BLACK),
}
UNIT_LABELS = {  # what a unit of a record means on an axis
    "percent of the precision above chance": (
        "difference in what is kept, in percent of the precision above chance on plain photos"
    ),
}
PERCENT_TICKS = np.array([10, 20, 40, 60, 80, 90])


# ---- effects with their dots -----------------------------------------------------------------


def plot_strip(record: dict, rows: dict[str, str], ax: "Axes", title: str = "") -> None:
    """Plot effects as rows: their mean, their 95 % interval, and a dot for each seed or unit.

    The grey band holds what is too small to count. An effect over nouns, words or tasks has a dot
    for each of them, averaged over the seeds. rows: {label: name of an effect}.
    """
    margin = record["margin"]
    ax.axvspan(-margin, margin, color=GREY, alpha=0.14, linewidth=0)
    ax.axvline(0, color=BLACK, linewidth=1)
    for row, name in enumerate(rows.values()):
        effect = record["effects"][name]
        dots = average_seeds(effect["values"])
        ax.plot(dots, np.full(len(dots), row + 0.22), "o", color=GREY, markersize=4, alpha=0.6)
        ax.plot(effect["interval"], [row, row], color=BLUE, linewidth=2.5)
        ax.plot(effect["mean"], row, "D", color=BLUE, markersize=8)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(ylim=(len(rows) - 0.4, -0.6), title=title)
    ax.set_xlabel(UNIT_LABELS.get(record["unit"], record["unit"]))
    ax.grid(axis="y", visible=False)


def average_seeds(values: list) -> np.ndarray:
    """Return what a strip shows as dots: values by seed, or by unit as means over the seeds."""
    array = np.asarray(values, float)
    return array if array.ndim == 1 else array.mean(axis=0)


# ---- C10a: the line --------------------------------------------------------------------------


def plot_line(
    record: dict, ax: "Axes", styles: Sequence[str] = SHIFTED_STYLES, title: str = ""
) -> None:
    """Plot accuracy on some styles against that on painted images: the line, and three models.

    Both axes are in log odds. The dotted stem of a model is its effective robustness.
    """
    baselines = [f"line {size}" for size in record["numbers"]["sizes"][0]]
    painted = np.array([read_log_odds(record, name, ["painted"]) for name in baselines])
    others = np.array([read_log_odds(record, name, styles) for name in baselines])
    slope, intercept = fit_line(painted, others)
    ends = logit(np.array([0.07, 0.95]))
    ax.plot(ends, intercept + slope * ends, color=BLACK, linestyle="--", linewidth=1.2)
    ax.plot(painted, others, "s", color=BLACK, label="labels, one style: the line")
    for name, colour in MODEL_COLOURS.items():
        x, y = read_log_odds(record, name, ["painted"]), read_log_odds(record, name, styles)
        ax.plot([x, x], [intercept + slope * x, y], color=colour, linestyle=":")
        ax.plot(x, y, "o", color=colour, markersize=11, label=name)
    ticks = logit(PERCENT_TICKS / 100)
    ax.set_xticks(ticks, PERCENT_TICKS)
    ax.set_yticks(ticks, PERCENT_TICKS)
    ax.set(xlim=ends, ylim=(logit(0.07), logit(0.85)), title=title)
    ax.set_xlabel("painted images right (percent)")
    ax.set_ylabel("other styles right (percent)")


def read_log_odds(record: dict, name: str, styles: Sequence[str]) -> float:
    """Return the log odds of a model's accuracy, averaged over styles."""
    percent = [record["conditions"][f"{name}: {style}"]["mean"] for style in styles]
    return float(logit(np.mean(percent) / 100))


# ---- C10b: adapting --------------------------------------------------------------------------


def plot_shots(record: dict, ax: "Axes", title: str = "") -> None:
    """Plot accuracy by style against the number of painted examples, with zero-shot at the left.

    A line joins the means over the seeds, and a dot is a seed.
    """
    shots = record["numbers"]["shots"][0]
    names = ["zero-shot", *(f"{k} shots" for k in shots)]
    places = np.arange(len(names))
    for number, (style, colour) in enumerate(STYLE_COLOURS.items()):
        conditions = [record["conditions"][f"{name}: {style}"] for name in names]
        ax.plot(places, [each["mean"] for each in conditions], color=colour, label=style)
        beside = places + 0.05 * (number - 2)  # so that the dots of five styles stand apart
        for own in np.transpose([each["values"] for each in conditions]):
            ax.plot(beside, own, "o", color=colour, markersize=5, alpha=0.7)
    ax.set_xticks(places, ["zero-shot", *shots])
    ax.set(title=title, xlabel="painted examples of each kind", ylabel="kinds right (percent)")
    ax.set_ylim(bottom=0)


def plot_gains(record: dict, ax: "Axes", title: str = "") -> None:
    """Plot what three ways of adapting gain over zero-shot, style by style."""
    most = f"{max(record['numbers']['shots'][0])} shots"
    ax.axhline(0, color=BLACK, linewidth=1)
    styles = list(STYLE_COLOURS)
    for (way, (label, colour)), shift in zip(WAYS.items(), (-0.18, 0, 0.18), strict=True):
        gains = [read_gain(record, way or most, style) for style in styles]
        places = np.arange(len(styles)) + shift
        ax.vlines(places, 0, gains, color=colour, linewidth=5)
        ax.plot(places, gains, "o", color=colour, markersize=8, label=label)
    ax.set_xticks(range(len(styles)), styles)
    ax.set(title=title, ylabel="points above zero-shot", xlabel="test images in this style")
    ax.grid(axis="x", visible=False)
    ax.legend(fontsize=9)


def read_gain(record: dict, name: str, style: str) -> float:
    """Return the points by which an adapted model is above the zero-shot one in a style."""
    conditions = record["conditions"]
    return conditions[f"{name}: {style}"]["mean"] - conditions[f"zero-shot: {style}"]["mean"]


# ---- C14: leaks ------------------------------------------------------------------------------

LEAK_POINTS = (  # an effect, the share that leaks, a colour, a label
    ("shift by an overlap of 2.2 %", MEDIAN_OVERLAP, BLUE, "ordinary recipe"),
    ("shift by an overlap of 20 %", LARGE_OVERLAP, BLUE, None),
    ("long-trained: shift by 2.2 %", MEDIAN_OVERLAP, ORANGE, "learned by heart"),
    (
        "long-trained: shift by 2.2 %, same captions",
        MEDIAN_OVERLAP,
        RED,
        "learned by heart, same captions",
    ),
)
GAIN_LINES = (5, 25, 100)  # points that a leaked photo gains; 100 is the most there can be
FIVE_PHOTOS = 0.005  # the share of test photos that show a moment of the training set


def plot_leaks(record: dict, ax: "Axes", title: str = "") -> None:
    """Plot by how many points leaks move the figure, against the share of photos that leak.

    A grey line holds all leaks whose photos gain as much each. The grey band is the margin. Left
    of the vertical line the largest possible shift is within the margin, so nothing is tested.
    """
    margin = record["margin"]
    label = "too small to count"
    ax.axhspan(-margin, margin, color=GREY, alpha=0.14, linewidth=0, label=label)
    shares = np.array([0.003, 0.3])
    for gain in GAIN_LINES:
        ax.plot(100 * shares, gain * shares, color=GREY, linewidth=1)
        style = {"color": BLACK, "fontsize": 10, "va": "center"}
        ax.text(31, gain * 0.3, f"a leaked photo\ngains {gain} points", **style)
    ax.axvline(100 * FIVE_PHOTOS, color=BLACK, linestyle="--", linewidth=1)
    ax.text(100 * FIVE_PHOTOS * 1.05, 2, "five\nphotos", fontsize=10)
    for number, (name, share, colour, label) in enumerate(LEAK_POINTS):
        effect = record["effects"][name]
        place = 100 * share * 1.09 ** (number - 1)  # side by side
        ax.plot([place, place], effect["interval"], color=colour, linewidth=3)
        ax.plot(place, effect["mean"], "o", color=colour, markersize=9, label=label)
    ax.set_xscale("log")
    ax.set_yscale("asinh", linear_width=0.5)
    ax.set_xticks([0.5, 1, 2.2, 5, 20], ["0.5", "1", "2.2", "5", "20"])
    ax.set_xticks([], minor=True)
    ticks = [-1, 0, 1, 3, 10, 30]
    ax.set_yticks(ticks, [f"{tick}".replace("-", "−") for tick in ticks])
    ax.set(xlim=(0.3, 95), ylim=(-1.2, 45), title=title)
    ax.set(xlabel="percent of the test photos that leak", ylabel="points that R@1 moves")
    ax.legend(fontsize=10, loc="upper left")


# ---- C13: two sources ------------------------------------------------------------------------


def plot_tasks(record: dict, ax: "Axes", title: str = "") -> None:
    """Plot by how much the two sources differ in each of the 96 tasks: a kind a row, a place a
    column. The kinds and places of a source stand together.
    """
    kinds, places = ([*SOURCES["nature"][i], *SOURCES["town"][i]] for i in (1, 0))
    table = np.array([[read_task(record, kind, place) for place in places] for kind in kinds])
    largest = np.abs(table).max()
    image = ax.imshow(table, cmap="PuOr", vmin=-largest, vmax=largest, aspect="auto")
    ax.axhline(len(kinds) / 2 - 0.5, color=BLACK, linewidth=1)
    ax.axvline(len(places) / 2 - 0.5, color=BLACK, linewidth=1)
    ax.set_xticks(range(len(places)), places, rotation=45, ha="right")
    ax.set_yticks(range(len(kinds)), kinds)
    ax.grid(visible=False)
    ax.set(title=title, xlabel="nature's places | town's places")
    ax.set_ylabel("town's kinds | nature's kinds")
    bar = ax.figure.colorbar(image, ax=ax)
    bar.set_label("points: nature minus town")


def read_task(record: dict, kind: str, place: str) -> float:
    """Return by how many points the first source is above the second in a task."""
    differences = average_seeds(record["effects"]["nature minus town"]["values"])
    if len(differences) != len(TASKS):
        found = len(differences)
        raise ValueError(f"the record has {found} tasks; a table needs all {len(TASKS)}.")
    return differences[TASKS.index((kind, place))]


def plot_words(record: dict, ax: "Axes", title: str = "") -> None:
    """Plot by how much photos of people differ from photos of dogs, a bar for each word.

    100 percent is the precision above chance that a word has on average over words and sources.
    """
    differences = average_seeds(record["effects"]["people minus dogs"]["values"])
    order = np.argsort(differences)
    colours = [ORANGE if differences[row] < 0 else BLUE for row in order]
    ax.bar(range(len(order)), differences[order], color=colours)
    margin, mean = record["margin"], record["mean"]
    ax.axhspan(-margin, margin, color=GREY, alpha=0.25, linewidth=0, label="too small to count")
    label = f"mean: {abs(mean):.0f} % {'more from people' if mean > 0 else 'more from dogs'}"
    ax.axhline(mean, color=BLACK, linestyle="--", linewidth=1.2, label=label)
    ax.set_xticks(range(len(order)), [TASK_WORDS[row] for row in order], rotation=90, fontsize=9)
    ax.set(title=title, xlabel="the words, sorted")
    ax.set_ylabel("difference, in percent of\nwhat both teach on average")
    ax.set_xlim(-1, len(order))
    ax.grid(axis="x", visible=False)
    ax.legend(fontsize=10, loc="upper left")


def describe_band(record: dict) -> str:
    """Say whether the interval of a claim of equality fits into the band of its margin."""
    low, high = record["interval"]
    margin, unit = record["margin"], record["unit"].split()[0]
    fits = "fits" if -margin < low and high < margin else "does not fit"
    interval = f"The interval from {low:.0f} to {high:.0f} {unit}".replace("-", "−")
    return f"{interval} {fits} into the band of {margin:g} {unit} to either side."


# ---- all claims ------------------------------------------------------------------------------

FOREST_ROWS = {  # {experiment: label}
    "robustness": "C10a · words against labels, scenes",
    "robustness_flickr8k": "C10a · words against labels, photos",
    "diversity": "L6 · styles over words, scenes",
    "diversity_flickr8k": "L6 · styles over words, photos",
    "adaptation": "C10b · adapting to one style, scenes",
    "adaptation_flickr8k": "C10b · adapting to one style, photos",
    "overlap": "C14 · planted leaks, photos",
    "sources": "C13 · nature or town, scenes",
    "sources_flickr8k": "C13 · people or dogs, photos",
}


def plot_claims(records: Sequence[dict], ax: "Axes") -> None:
    """Plot the effect of each record with its interval, in margins, and the verdict so far.

    A hollow dot claims that there is no effect. A bar across the row is the paper's own effect.
    """
    ax.axvspan(-1, 1, color=GREY, alpha=0.14, linewidth=0)
    ax.axvline(0, color=BLACK, linewidth=1)
    for row, record in enumerate(records):
        colour = COLOURS[judge_record(record)["verdict"]]
        mean, low, high = scale_effect(record)
        ax.plot([low, high], [row, row], color=colour, linewidth=2.5, solid_capstyle="butt")
        fill = "white" if record["kind"] == "equivalence" else colour
        ax.plot(mean, row, "o", color=colour, markerfacecolor=fill, markersize=9)
        if record["paper_effect"] is not None:
            paper = scale_paper_effect(record)
            ax.plot([paper, paper], [row - 0.34, row + 0.34], color=BLACK, linewidth=2.5)
        style = {"transform": ax.get_yaxis_transform(), "va": "center", "color": colour}
        ax.text(1.02, row, tell_verdict(record), fontsize=10.5, fontweight="bold", **style)
    ax.plot([], [], "o", color=BLACK, label="an effect")
    ax.plot([], [], "o", color=BLACK, markerfacecolor="white", label="claims that there is none")
    bar = {"color": BLACK, "markersize": 12, "markeredgewidth": 2.5}
    ax.plot([], [], "|", label="the paper's effect", **bar)
    ax.set_yticks(range(len(records)), [FOREST_ROWS[each["experiment"]] for each in records])
    ax.set_ylim(len(records) - 0.5, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("effect in margins: 0 is none, 1 the smallest that counts")
    ax.figure.legend(loc="outside lower center", ncols=3, fontsize=10, frameon=False)
