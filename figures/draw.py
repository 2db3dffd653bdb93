"""Draw the figures in this folder: `make figures`, or this script with names.

`python figures/draw.py model roadmap` draws model.png and all roadmaps. Most figures are drawn in
seconds, an animation in a minute. hero.png shows what the `quick` recipe's model finds, which is
trained now if it is not there. ladder.png and verdicts.png show what is on record in results/, and
matrix_training.gif what is on record in matrix_training.json. search.gif and page.png are not drawn
but recorded in a browser: `python figures/search.py`, `python figures/page.py`.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
from animation import save_animation
from attention import draw_attention_flow, draw_transformer_block
from convolution import draw_residual_block, draw_sliding_window
from course import COURSE, START
from hero import draw_hero
from matplotlib.axes import Axes
from matrix_training import draw_matrix_training
from model import draw_model
from pairs_let_go import draw_pairs_let_go
from patches import draw_patches
from roadmap import draw_roadmap
from shapes import save_figure
from trial import TRIAL

from clipnb.claims import load_claims
from clipnb.claims.so_far import judge_so_far
from clipnb.claims.verdict_figures import plot_claims
from clipnb.experiments.ladder import summarize_ladder
from clipnb.plots import plot_ladder, use_style
from clipnb.records import load_trials

FOLDER = Path(__file__).resolve().parent


def draw_ladder() -> Axes:
    """Draw the ladder of notebook 11, as far as it is on record. Returns the axes."""
    with plt.rc_context():
        use_style()
        ax = plot_ladder(summarize_ladder(load_trials("flickr8k")))
    ax.figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)  # inches
    ax.figure.set_figwidth(11.2)
    return ax


def draw_verdicts() -> Axes:
    """Draw each claim's effect and verdict, by the seeds that are on record. Returns the axes."""
    with plt.rc_context():
        use_style()
        ax = plot_claims(judge_so_far(load_claims()))
    ax.set_xlabel(f"{ax.get_xlabel()}\nhollow: the claim says that there is no effect")
    return ax


def list_figures() -> dict[str, Callable[[], Axes]]:
    """Return the functions that draw the figures, by the figures' names."""
    ways = (COURSE, TRIAL)
    numbers = [START.number, *(station.number for way in ways for station in way.stations)]
    roadmaps = {
        f"roadmap_{number:02}": partial(draw_roadmap, START, ways, number)
        for number in sorted(numbers)
    }
    return roadmaps | {
        "sliding_window": draw_sliding_window,
        "residual_block": draw_residual_block,
        "attention_flow": draw_attention_flow,
        "transformer_block": draw_transformer_block,
        "patches": draw_patches,
        "model": draw_model,
        "ladder": draw_ladder,
        "verdicts": draw_verdicts,
        "hero": draw_hero,
    }


FIGURES = list_figures()

# The functions that draw the frames of the animations, and the milliseconds that a frame stays.
ANIMATIONS: dict[str, tuple[Callable[[], list[Axes]], int]] = {
    "pairs_let_go": (draw_pairs_let_go, 120),
    "matrix_training": (draw_matrix_training, 600),
}


def main() -> None:
    """Draw the figures whose names start with a word of the command line, or all of them."""
    words = [name.removesuffix(".png").removesuffix(".gif") for name in sys.argv[1:]]
    prefixes = tuple(words) or ("",)
    names = [name for name in (*FIGURES, *ANIMATIONS) if name.startswith(prefixes)]
    if not names:
        known = ", ".join((*FIGURES, *ANIMATIONS))
        sys.exit(f"No figure {' or '.join(prefixes)}. There are: {known}.")
    for name in names:
        if name in FIGURES:
            save_figure(FIGURES[name](), FOLDER / f"{name}.png")
        else:
            draw_frames, milliseconds = ANIMATIONS[name]
            save_animation(draw_frames(), milliseconds, FOLDER / f"{name}.gif")


if __name__ == "__main__":
    main()
