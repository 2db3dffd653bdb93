"""The first way: from data to retrieval, with a pictogram for each of its five notebooks.

A pictogram fills 200 x 128 units from (x, y).
"""

import textwrap

import numpy as np
from examples import CAT, GREEN_BOATS, KITE, RED_BOAT, SIX_SCENES, WHITE_BOATS
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Polygon
from roadmap import Station, Way
from shapes import (
    PAPER,
    draw_arrow,
    draw_axes_lines,
    draw_box,
    draw_feature,
    draw_image,
    draw_matrix,
    draw_search_box,
    draw_words,
    write_text,
)

from clipnb.plots import BLACK, BLUE, ORANGE
from clipnb.scenes import captions, render


def draw_data(ax: Axes, x: float, y: float) -> None:
    """Draw two images, each with a caption."""
    for i, scene in enumerate([KITE, WHITE_BOATS]):
        left = x + 104 * i
        draw_image(ax, render(scene, 160), left, y, 96)
        caption = captions(scene)[0].strip(" .")
        write_text(ax, left + 48, y + 114, textwrap.fill(caption, 16), 8, linespacing=1.15)


def draw_encoders(ax: Axes, x: float, y: float) -> None:
    """Draw an image and words, an encoder for each, and their two features."""
    draw_image(ax, render(CAT, 120), x, y + 2, 56)
    draw_words(ax, x, y + 70, ["black", "cat", "snow"], width=56, height=17, gap=3, size=8)
    draw_encoder(ax, x, y + 30, BLUE, seed=1)
    draw_encoder(ax, x, y + 98, ORANGE, seed=2)


def draw_encoder(ax: Axes, x: float, middle: float, colour: str, seed: int) -> None:
    """Draw an encoder as a funnel between two arrows, and the feature that comes out of it."""
    draw_arrow(ax, (x + 60, middle), (x + 80, middle))
    corners = [
        (x + 84, middle - 28),
        (x + 144, middle - 14),
        (x + 144, middle + 14),
        (x + 84, middle + 28),
    ]
    ax.add_patch(Polygon(corners, facecolor=colour))
    draw_arrow(ax, (x + 148, middle), (x + 170, middle))
    draw_feature(ax, x + 176, middle, 7, colour, seed)


def draw_loss(ax: Axes, x: float, y: float) -> None:
    """Draw a matrix with images on its left and captions above it."""
    for i, scene in enumerate(SIX_SCENES):
        draw_image(ax, render(scene, 40), x + 32, y + 21 + 18 * i, 16)
        draw_caption(ax, x + 53 + 18 * i, y + 3)
    draw_matrix(ax, x + 51, y + 20, 18, SIX_SCENES)


def draw_caption(ax: Axes, x: float, y: float) -> None:
    """Draw a small sheet with three lines of writing, the last one short."""
    draw_box(ax, x, y, 14, 13, PAPER, ORANGE, corner=2, line=0.8)
    for offset, length in ((3.5, 8), (6.5, 8), (9.5, 5)):
        xs = [x + 3, x + 3 + length]
        ax.plot(xs, [y + offset, y + offset], color=ORANGE, linewidth=0.8)


def draw_training(ax: Axes, x: float, y: float) -> None:
    """Draw a loss that falls from ln N."""
    steps = np.linspace(0, 1, 60)
    noise = np.random.default_rng(3).normal(0, 2.2, 60) * (1 - 0.7 * steps)
    depths = 22 + 82 * (1 - np.exp(-4 * steps)) + noise
    draw_axes_lines(ax, x, y, width=176)
    ax.plot([x + 16, x + 186], [y + 20, y + 20], color=BLACK, linewidth=1.2, linestyle=(0, (4, 3)))
    write_text(ax, x + 186, y + 9, "ln N", 9, ha="right")
    ax.plot(x + 20 + 160 * steps, y + depths, color=BLUE, linewidth=2.4, solid_joinstyle="round")
    ax.add_patch(Circle((x + 180, y + depths[-1]), 4.5, facecolor=BLUE))


def draw_retrieval(ax: Axes, x: float, y: float) -> None:
    """Draw a search box and three hits."""
    draw_search_box(ax, x + 2, y + 6, 196, 34, "boats on the sea", 10)
    for i, scene in enumerate([WHITE_BOATS, GREEN_BOATS, RED_BOAT]):
        draw_image(ax, render(scene, 120), x + 2 + 68 * i, y + 56, 60)


COURSE = Way(
    [
        Station(1, "Data", "images and captions", draw_data),
        Station(2, "Encoders", "two towers, one space", draw_encoders),
        Station(3, "Loss", "which belong together?", draw_loss),
        Station(4, "Training", "down from ln N", draw_training),
        Station(5, "Retrieval", "type, and find", draw_retrieval),
    ],
    pictogram_width=200,
)
