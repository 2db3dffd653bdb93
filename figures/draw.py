"""Draw the figures in this folder: `make figures`, or this script with names.

`python figures/draw.py model roadmap` draws model.png and all roadmaps. All figures but hero.png
are drawn in seconds. hero.png shows what the `quick` recipe's model finds, which is trained now if
it is not there. ladder.png and verdicts.png show what is on record in results/.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from course import COURSE
from hero import draw_hero
from matplotlib.axes import Axes
from model import draw_model
from roadmap import draw_roadmap
from shapes import save_figure
from trial import TRIAL

from clipnb.experiments.ladder import summarize_ladder
from clipnb.experiments.verdicts import plot_verdicts
from clipnb.plots import plot_ladder
from clipnb.records import load_trials

FOLDER = Path(__file__).resolve().parent


def draw_ladder() -> Axes:
    """Draw the ladder of notebook 11, as far as it is on record. Returns the axes."""
    ax = plot_ladder(summarize_ladder(load_trials("flickr8k")))
    ax.figure.set_layout_engine("constrained")
    ax.figure.set_figwidth(11)
    return ax


def draw_verdicts() -> Axes:
    """Draw the verdicts on the paper's claims, as far as they are on record. Returns the axes."""
    figure = plot_verdicts()
    figure.set_layout_engine("constrained")
    return figure.axes[0]


def list_figures() -> dict[str, Callable[[], Axes]]:
    """Return the functions that draw the figures, by the figures' names."""
    figures = {}
    for way in (COURSE, TRIAL):
        for station in way.stations:
            name = f"roadmap_{station.number:02}"
            figures[name] = partial(draw_roadmap, way, station.number)
    return figures | {
        "model": draw_model,
        "ladder": draw_ladder,
        "verdicts": draw_verdicts,
        "hero": draw_hero,
    }


FIGURES = list_figures()


def main() -> None:
    """Draw the figures whose names start with a word of the command line, or all of them."""
    prefixes = tuple(name.removesuffix(".png") for name in sys.argv[1:]) or ("",)
    names = [name for name in FIGURES if name.startswith(prefixes)]
    if not names:
        sys.exit(f"No figure {' or '.join(prefixes)}. There are: {', '.join(FIGURES)}.")
    for name in names:
        save_figure(FIGURES[name](), FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
