"""How the laws of scale are drawn: the runs of a grid, the lines through them, and a forecast."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from clipnb.claims.forest import GREY
from clipnb.claims.scale.figures import SHADES, describe_seeds
from clipnb.claims.scale.frontier import HELD_OUT, extend_line
from clipnb.plots import BLACK, BLUE, ORANGE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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


def _finish_law(ax: "Axes", title: str) -> None:
    """Make both axes logarithmic and label them."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:.0f}")
    ax.yaxis.set_minor_formatter("{x:.0f}")
    ax.tick_params(axis="y", which="minor", labelsize=9)
    ax.set(title=title, xlabel="multiply-adds of training, forward (log)")
    ax.set_ylabel("error (percent, log)")
    ax.legend(fontsize=9, loc="lower left")


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
