"""How scale is drawn: laws, batches, temperatures, the clamp, locked towers, the full budget.

Every figure is drawn from a record. Small dots are single seeds, and lines join their means.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clipnb.claims.forest import GREY, plot_pairs
from clipnb.claims.scale.batches import name_condition
from clipnb.claims.scale.clamp import HIGH_START, HOT, LIMIT, USUAL
from clipnb.claims.scale.frontier import HELD_OUT, extend_line
from clipnb.claims.scale.locked import LOCKED, SCRATCH, UNLOCKED
from clipnb.claims.scale.temperature import BAD_START
from clipnb.markdown import markdown_table
from clipnb.plots import BLACK, BLUE, GREEN, ORANGE, PURPLE, RED, SKY
from clipnb.recipes import BASELINE, BASELINE_FULL, BASELINE_FULL_IMAGES, BASELINE_ROWS
from clipnb.records import load_records, read_json
from clipnb.runtime import display_path, results_dir

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


# ---- laws ------------------------------------------------------------------------------------


class Grid(NamedTuple):
    """The runs of a grid by what they cost. All arrays are (R,), and the cost rises."""

    width: np.ndarray
    size: np.ndarray  # training images
    compute: np.ndarray  # multiply-adds
    error: np.ndarray  # percent, the mean over the seeds


def read_grid(record: dict) -> Grid:
    """Read the runs of a record of `scaling`, the cheapest first."""
    compute = record["numbers"]["compute"][0]
    names = sorted(compute, key=compute.get)
    sides = np.array([[int(side) for side in name.split(" x ")] for name in names])  # (R, 2)
    errors = [100 - record["conditions"][name]["mean"] for name in names]
    return Grid(*sides.T, np.array([compute[name] for name in names]), np.array(errors))


def find_best_runs(errors: np.ndarray) -> np.ndarray:
    """Tell which runs have a lower error than all cheaper ones, bool (R,), the cheapest first."""
    lowest_before = np.minimum.accumulate(np.append(np.inf, errors))[:-1]
    return errors < lowest_before


def plot_runs(record: dict, ax: "Axes") -> None:
    """Plot error against compute, a colour for each width, with one line through all runs.

    A ring marks a run that no cheaper one beats.
    """
    grid = read_grid(record)
    for width, colour in zip(np.unique(grid.width), SHADES, strict=False):
        own = grid.width == width
        label = f"width {width}"
        ax.plot(grid.compute[own], grid.error[own], "o-", color=colour, linewidth=1.2, label=label)
    best = find_best_runs(grid.error)
    style = {"markersize": 12, "markerfacecolor": "none", "color": BLACK, "linestyle": "none"}
    ax.plot(grid.compute[best], grid.error[best], "o", label="no cheaper run is better", **style)
    ends = np.log(grid.compute[[0, -1]])
    x, y = np.log(grid.compute), np.log(grid.error)
    fitted = [extend_line(x, y, end) for end in ends]
    heights = np.exp([height for height, _, _ in fitted])
    label = f"one line for all runs: R² {fitted[0][2]:.2f}"
    ax.plot(np.exp(ends), heights, "--", color=GREY, label=label)
    _finish_law(ax, f"All runs: {describe_seeds(record)}")


class Lines(NamedTuple):
    """What the cheap runs of a frontier foretell. All errors are in percent."""

    compute: np.ndarray  # (F,) of the runs that are fitted
    error: np.ndarray  # (F,)
    held_out_compute: float
    held_out_error: float
    power_law: float  # foretold
    straight_line: float  # foretold; it may be below zero
    exponent: float
    r_squared: float


def fit_lines(record: dict) -> Lines:
    """Fit a power law and a straight line to the cheap part of the frontier.

    It takes the mean over seeds and over all test images. The effects of the record let one half
    of the images choose the runs and read their error on the other half, seed by seed.
    """
    grid = read_grid(record)
    n_cheap = int(np.searchsorted(grid.compute, grid.compute[-1] / HELD_OUT, side="right"))
    fitted = np.flatnonzero(find_best_runs(grid.error)[:n_cheap])
    last = n_cheap + int(np.argmin(grid.error[n_cheap:]))
    x, at = np.log(grid.compute[fitted]), np.log(grid.compute[last])
    log_error, slope, r_squared = extend_line(x, np.log(grid.error[fitted]), at)
    straight, _, _ = extend_line(x, grid.error[fitted], at)
    return Lines(
        grid.compute[fitted],
        grid.error[fitted],
        float(grid.compute[last]),
        float(grid.error[last]),
        float(np.exp(log_error)),
        straight,
        -slope,
        r_squared,
    )


def plot_forecast(record: dict, ax: "Axes") -> None:
    """Plot the fitted runs, what the lines through them foretell, and the run that they missed."""
    grid, lines = read_grid(record), fit_lines(record)
    ax.plot(grid.compute, grid.error, "o", color=GREY, alpha=0.35, markersize=5, label="other runs")
    ax.plot(lines.compute, lines.error, "o", color=BLUE, label="fitted: the cheap frontier")
    x = np.log(lines.compute)
    to = np.linspace(x[0], np.log(lines.held_out_compute))
    law = [np.exp(extend_line(x, np.log(lines.error), at)[0]) for at in to]
    straight = np.array([extend_line(x, lines.error, at)[0] for at in to])
    ax.plot(np.exp(to), law, color=BLUE, label="power law")
    above = straight > 1  # logarithmic axes have no zero
    ax.plot(np.exp(to[above]), straight[above], "--", color=ORANGE, label="straight line")
    last = [lines.error[-1]] * 2
    ends = [lines.compute[-1], lines.held_out_compute]
    ax.plot(ends, last, ":", color=BLACK, linewidth=1.5, label="“nothing changes”")
    star = {"color": RED, "markersize": 15, "linestyle": "none", "zorder": 5}
    where = lines.held_out_compute, lines.held_out_error
    ax.plot(*where, marker="*", label="held out: measured", **star)
    ax.set_ylim(bottom=0.6 * min(lines.held_out_error, lines.power_law))
    _finish_law(ax, f"A forecast: {describe_seeds(record)}")
    ax.legend(fontsize=9, loc="lower left")


def _finish_law(ax: "Axes", title: str) -> None:
    """Make both axes logarithmic and label them."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:.0f}")
    ax.yaxis.set_minor_formatter("{x:.0f}")
    ax.tick_params(axis="y", which="minor", labelsize=9)
    ax.set(title=title, xlabel="multiply-adds of training, forward (log)")
    ax.set_ylabel("error (percent, log)")
    ax.legend(fontsize=9)


def describe_forecast(record: dict) -> str:
    """Say what was foretold about the held-out run and what was measured, a line each."""
    lines = fit_lines(record)
    rows = [
        ("measured", lines.held_out_error),
        ("power law", lines.power_law),
        ("straight line", max(lines.straight_line, 0)),
        ("nothing changes", lines.error[-1]),
    ]
    head = f"{record['dataset']}: exponent {lines.exponent:.2f}, R² {lines.r_squared:.2f}"
    return "\n".join([head, *(f"  {name:16}{error:5.1f} % error" for name, error in rows)])


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


# ---- the baseline at its original's budget ---------------------------------------------------

FOUND = "text_to_image_R@10"  # the share of captions that find their image among the first ten
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
    """Render how often captions find their image as a Markdown table, a row for each way.

    The last column tells when the epoch that is best on dev comes, in percent of the training.
    """
    header = ["", "seeds", "found, best epoch", "found, last epoch", "best epoch comes after"]
    rows = []
    for name, label in FEWER.items():
        runs = load_runs(name)
        if runs:
            found = mean_of([run["metrics"]["test"][FOUND] for run in runs])
            rows.append([label, str(len(runs)), f"{found:.1f} %", "–", "–"])
    for way, runs in read_ways(record).items():
        best, last = (mean_of(read_metric(runs, when, FOUND)) for when in MOMENTS)
        shares = [find_best_share(run["history"]) for run in runs]
        when = f"{min(shares):.0f} to {max(shares):.0f} % of the training"
        rows.append([WAYS[way][0], str(len(runs)), f"{best:.1f} %", f"{last:.1f} %", when])
    return markdown_table(header, rows)


def find_best_share(history: Sequence[dict]) -> float:
    """Return after which part of a training dev recall is highest, in percent."""
    recalls = [row["dev_mean_recall"] for row in history]
    return 100 * (1 + int(np.argmax(recalls))) / len(recalls)


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of values as a float."""
    return float(np.mean(values))
