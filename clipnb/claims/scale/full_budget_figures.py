"""How the baseline at its original's budget is drawn and put into tables.

Notebook 14 shows one figure of it, and notebook 10 all others.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clipnb.claims.effects import find_quantile, mean_interval
from clipnb.claims.forest import GREY
from clipnb.markdown import markdown_table
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, RED
from clipnb.recipes import BASELINE, BASELINE_FULL, BASELINE_FULL_IMAGES, BASELINE_ROWS
from clipnb.records import load_records, read_json
from clipnb.runtime import display_path, results_dir

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOUND = "text_to_image_R@10"  # the share of captions that find their image among the first ten
DIRECTIONS = {FOUND: "captions find their image", "image_to_text_R@10": "images find a caption"}
LEAKY = "leaky rows"
MOMENTS = ("best epoch", "last epoch")  # of a run, judged on pairs that were held out
WAYS = {  # of the record: how a way is called and drawn
    BASELINE_FULL.name: ("official split, batches of rows", BLUE),
    BASELINE_FULL_IMAGES.name: ("official split, batches of images", GREEN),
    LEAKY: ("the original's split, by rows", RED),
}
FEWER = {  # the same model with a sixteenth of the budget
    BASELINE_ROWS.name: "small budget, batches of rows",
    BASELINE.name: "small budget, batches of images",
}


def load_full_budget() -> dict | None:
    """Load the record of the full budget. If there is none, say how to make it and return None."""
    path = results_dir() / "full_budget" / "flickr8k.json"
    if path.exists():
        return read_json(path)
    print(
        f"The runs at the full budget are not on record ({display_path(path)}). With Flickr8k and "
        "about nine hours of two cores this makes them: `clipnb experiment full_budget`."
    )
    return None


def read_ways(record: dict) -> dict[str, list[dict]]:
    """Return the runs of each of `WAYS`, one for each seed."""
    return {**record["official"], LEAKY: record["leaky"]}


def read_metric(runs: Sequence[dict], when: str, metric: str) -> list[float]:
    """Return a metric of each run at its "best epoch" or its "last epoch"."""
    return [run[when]["metrics"][metric] for run in runs]


def plot_loss_curves(record: dict, ax: "Axes") -> None:
    """Plot the training loss of each run, between ln N and its floor.

    Marks to the right are the loss on pairs that were held out: a ring for the weights that were
    best on dev, a dot for those of the last epoch.
    """
    for place, (way, runs) in enumerate(read_ways(record).items()):
        label, colour = WAYS[way]
        for seed, run in enumerate(runs):
            losses = [row["loss"] for row in run["history"]]
            share = 100 * np.arange(1, len(losses) + 1) / len(losses)
            style = {"color": colour, "linewidth": 1.3, "alpha": 0.8}
            ax.plot(share, losses, label=None if seed else label, **style)
            where = 106 + 5 * place
            best, last = run["best epoch"]["loss"], run["last epoch"]["loss"]
            ax.plot([where, where], [best, last], color=colour, linewidth=0.8)
            ax.plot(where, best, "o", color=colour, markerfacecolor="white")
            ax.plot(where, last, "o", color=colour)
    style = {"color": BLACK, "markerfacecolor": "white"}
    ax.plot([], [], "o", label="held out, best epoch on dev", **style)
    ax.plot([], [], "o", color=BLACK, label="held out, last epoch")
    chance, floor = record["chance_loss"], record["floor"]
    ax.axhline(chance, color=BLACK, linestyle="--", linewidth=1.2, label=f"ln N: {chance:.2f}")
    label = f"floor of batches of rows: {floor:.2f}"
    ax.axhline(floor, color=BLACK, linestyle=":", linewidth=1.5, label=label)
    ax.set_xticks([0, 25, 50, 75, 100, 111], ["0", "25", "50", "75", "100", "held\nout"])
    ax.set(title="Loss: training, then held out", xlabel="share of training (percent)")
    ax.set_ylabel("loss (nats)")
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=9, loc="upper left", ncols=2)


def plot_found_images(record: dict, ax: "Axes") -> None:
    """Plot how often a caption finds its image, for the small and for the full budget."""
    rows = []  # label, colour, values of the best epoch, of the last one
    for name, label in FEWER.items():
        values = [run["metrics"]["test"][FOUND] for run in load_runs(name)]
        if values:
            rows.append((label, GREY, values, None))
    for way, runs in read_ways(record).items():
        best, last = (read_metric(runs, when, FOUND) for when in MOMENTS)
        rows.append((*WAYS[way], best, last))
    for row, (_, colour, best, last) in enumerate(rows):
        ax.plot(best, [row] * len(best), ".", color=colour, markersize=5)
        style = {"color": colour, "markersize": 9}
        ax.plot(np.mean(best), row, "o", markerfacecolor="white", **style)
        if last is not None:
            ax.plot([np.mean(best), np.mean(last)], [row, row], color=colour, linewidth=1.5)
            ax.plot(last, [row] * len(last), ".", color=colour, markersize=5)
            ax.plot(np.mean(last), row, "o", **style)
    ax.plot([], [], "o", color=BLACK, markerfacecolor="white", label="best epoch on dev")
    ax.plot([], [], "o", color=BLACK, label="last epoch")
    ax.plot([], [], ".", color=BLACK, markersize=5, label="a seed")
    ax.axvline(1, color=BLACK, linestyle="--", linewidth=1.2, label="chance: 1 %")
    ax.set_yticks(range(len(rows)), [label for label, *_ in rows])
    ax.set(title="Captions that find their image", xlabel="among the first ten (percent)")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.legend(fontsize=9)


def load_runs(recipe: str) -> list[dict]:
    """Load the records of the runs of a recipe on Flickr8k."""
    return [own for own in load_records("flickr8k") if own["recipe"]["name"] == recipe]


def loss_table(record: dict) -> str:
    """Render the losses at the full budget as a Markdown table, a row for each way."""
    header = ["", "seeds", "loss in training, last epoch", "loss held out, best / last epoch"]
    rows = []
    for way, runs in read_ways(record).items():
        best, last = (mean_of([run[when]["loss"] for run in runs]) for when in MOMENTS)
        training = mean_of([run["history"][-1]["loss"] for run in runs])
        rows.append([WAYS[way][0], str(len(runs)), f"{training:.2f}", f"{best:.2f} / {last:.2f}"])
    return markdown_table(header, rows)


def found_table(record: dict) -> str:
    """Render recall@10 both ways as a Markdown table: a row for each way and moment of training.

    An interval of 95 % holds the noise of the seeds and of the test images. The last column tells
    when the epoch that is best on dev comes.
    """
    rows = []
    for name, label in FEWER.items():
        runs = [
            {key: run[key]["test"] for key in ("metrics", "intervals")} for run in load_runs(name)
        ]
        if runs:
            rows.append([f"{label}, {MOMENTS[0]}", str(len(runs)), *format_recalls(runs), ""])
    for way, runs in read_ways(record).items():
        shares = [find_best_share(run["history"]) for run in runs]
        comes = f"after {min(shares):.0f} to {max(shares):.0f} % of the training"
        for when in MOMENTS:
            judged = [run[when] for run in runs]
            last = comes if when == MOMENTS[0] else ""
            rows.append([f"{WAYS[way][0]}, {when}", str(len(runs)), *format_recalls(judged), last])
    return markdown_table(["R@10", "seeds", *DIRECTIONS.values(), "the best epoch comes"], rows)


def format_recalls(runs: Sequence[dict]) -> list[str]:
    """Format the recall@10 of some runs in each of `DIRECTIONS`, with its 95 % interval.

    runs: the `metrics` of each seed and their `intervals` over the test images.
    """
    formatted = []
    for metric in DIRECTIONS:
        bounds = np.array([run["intervals"][metric] for run in runs])  # (n, 2)
        image_spread = float(np.diff(bounds).mean()) / 2 / find_quantile(np.inf)
        values = np.array([run["metrics"][metric] for run in runs])
        mean, low, high, _ = mean_interval(values, image_spread)
        formatted.append(f"{mean:.1f} % ({max(low, 0):.1f} to {high:.1f})")
    return formatted


def find_best_share(history: Sequence[dict]) -> float:
    """Return after which part of a training dev recall is highest, in percent."""
    recalls = [row["dev_mean_recall"] for row in history]
    return 100 * (1 + int(np.argmax(recalls))) / len(recalls)


def summarize_full_budget(record: dict) -> dict[str, dict[str, list[float]]]:
    """Return {label of a way: {what: values by seed}}.

    What: the mean recall of the best and of the last epoch in percent, among as many pairs, and the
    loss of the last epoch in one batch of all of them. record: as `load_full_budget` returns it.
    """
    runs = read_ways(record)
    return {
        label: {
            "best epoch": read_metric(runs[way], "best epoch", "mean_recall"),
            "last epoch": read_metric(runs[way], "last epoch", "mean_recall"),
            "loss, last epoch": [run["last epoch"]["loss"] for run in runs[way]],
        }
        for way, (label, _) in WAYS.items()
    }


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of values as a float."""
    return float(np.mean(values))


def plot_full_budget(record: dict) -> "list[Axes]":
    """Plot the baseline at its original's budget: mean recall and loss, a row for each way.

    record: as `load_full_budget` returns it. Returns the two axes.
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
