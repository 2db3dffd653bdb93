"""The start of the course and its first way, with a pictogram for each notebook.

A pictogram fills 116 x 72 units from (x, y), that of the start 110 x 110.
"""

import numpy as np
from examples import CAT, GREEN_BOATS, KITE, RED_BOAT, SIX_SCENES, WHITE_BOATS
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Polygon, Rectangle
from roadmap import Station, Way
from shapes import (
    GREY,
    PAPER,
    draw_arrow,
    draw_box,
    draw_feature,
    draw_image,
    draw_matrix,
    draw_search_box,
)

from clipnb.plots import BLACK, BLUE, GREEN, ORANGE
from clipnb.scenes import render


def draw_play_button(ax: Axes, x: float, y: float) -> None:
    """Draw an image with a button that starts it."""
    draw_image(ax, render(KITE, 200), x, y, 110)
    centre = (x + 42, y + 72)
    disc = Circle(centre, 24, facecolor="white", edgecolor=BLUE, linewidth=2.5, zorder=3)
    ax.add_patch(disc)
    corners = [(-8, -12), (-8, 12), (13, 0)]
    triangle = [(centre[0] + dx, centre[1] + dy) for dx, dy in corners]
    ax.add_patch(Polygon(triangle, facecolor=BLUE, zorder=4))


def draw_data(ax: Axes, x: float, y: float) -> None:
    """Draw two images, each with a caption."""
    for i, scene in enumerate([KITE, WHITE_BOATS]):
        left = x + 4 + 57 * i
        draw_image(ax, render(scene, 120), left, y, 51)
        draw_caption(ax, left, y + 55, 51, 17)


def draw_caption(ax: Axes, x: float, y: float, width: float, height: float) -> None:
    """Draw a small sheet with lines of writing, the last one short."""
    draw_box(ax, x, y, width, height, PAPER, ORANGE, corner=2, line=0.8)
    n_lines = max(2, round(height / 5))
    for i in range(n_lines):
        share = 0.5 if i == n_lines - 1 else 1
        middle = y + height * (i + 1) / (n_lines + 1)
        xs = [x + 0.2 * height, x + 0.2 * height + share * (width - 0.4 * height)]
        ax.plot(xs, [middle, middle], color=ORANGE, linewidth=0.9)


def draw_encoders(ax: Axes, x: float, y: float) -> None:
    """Draw an image and a caption, an encoder for each, and their two features."""
    draw_image(ax, render(CAT, 80), x, y, 34)
    draw_caption(ax, x, y + 44, 34, 26)
    draw_encoder(ax, x, y + 17, BLUE, seed=1)
    draw_encoder(ax, x, y + 57, ORANGE, seed=2)


def draw_encoder(ax: Axes, x: float, middle: float, colour: str, seed: int) -> None:
    """Draw an encoder as a funnel between two arrows, and the feature that comes out of it."""
    draw_arrow(ax, (x + 36, middle), (x + 49, middle))
    corners = [
        (x + 52, middle - 16),
        (x + 84, middle - 9),
        (x + 84, middle + 9),
        (x + 52, middle + 16),
    ]
    ax.add_patch(Polygon(corners, facecolor=colour))
    draw_arrow(ax, (x + 86, middle), (x + 100, middle))
    draw_feature(ax, x + 105, middle, 5, colour, seed, n=6)


def draw_loss(ax: Axes, x: float, y: float) -> None:
    """Draw a matrix with images on its left and captions above it."""
    for i, scene in enumerate(SIX_SCENES):
        draw_image(ax, render(scene, 30), x + 20, y + 11.5 + 10 * i, 9)
        draw_box(ax, x + 33 + 10 * i, y + 1, 8, 7, PAPER, ORANGE, corner=1.5, line=0.8)
    draw_matrix(ax, x + 32, y + 11, 10, SIX_SCENES)


def draw_training(ax: Axes, x: float, y: float) -> None:
    """Draw a loss that falls from what guessing costs."""
    steps = np.linspace(0, 1, 60)
    noise = np.random.default_rng(3).normal(0, 1.2, 60) * (1 - 0.7 * steps)
    depths = 12 + 46 * (1 - np.exp(-4 * steps)) + noise
    ax.plot([x + 6, x + 6, x + 112], [y + 2, y + 68, y + 68], color=GREY, linewidth=1.4)
    dashes = {"color": BLACK, "linewidth": 1.2, "linestyle": (0, (4, 3))}
    ax.plot([x + 6, x + 110], [y + 11, y + 11], **dashes)
    ax.plot(x + 9 + 96 * steps, y + depths, color=BLUE, linewidth=2.2, solid_joinstyle="round")
    ax.add_patch(Circle((x + 105, y + depths[-1]), 4, facecolor=BLUE))


def draw_retrieval(ax: Axes, x: float, y: float) -> None:
    """Draw a search box and three hits."""
    draw_search_box(ax, x + 1, y + 1, 114, 27, "boats", 10)
    for i, scene in enumerate([WHITE_BOATS, GREEN_BOATS, RED_BOAT]):
        draw_image(ax, render(scene, 80), x + 1 + 39.5 * i, y + 36, 35)


def draw_ladder(ax: Axes, x: float, y: float) -> None:
    """Draw bars that climb: what each change adds."""
    bottom, heights = y + 68, [14, 22, 36, 44, 62]
    before = 0
    for i, height in enumerate(heights):
        left = x + 8 + 20.5 * i
        if before:
            ax.add_patch(Rectangle((left, bottom - before), 16, before, facecolor=BLUE, alpha=0.35))
        colour = GREEN if before else BLUE
        rise = Rectangle((left, bottom - height), 16, height - before, facecolor=colour)
        ax.add_patch(rise)
        before = height
    ax.plot([x + 2, x + 114], [bottom, bottom], color=GREY, linewidth=1.4)


def draw_real_weights(ax: Axes, x: float, y: float) -> None:
    """Draw a file of weights that goes into both towers."""
    draw_box(ax, x + 4, y + 12, 40, 50, PAPER, GREY, corner=4, line=1.4)
    draw_matrix(ax, x + 10, y + 23, 5, SIX_SCENES)
    for middle, colour in ((y + 18, BLUE), (y + 56, ORANGE)):
        draw_arrow(ax, (x + 47, y + 37), (x + 66, middle))
        corners = [(70, -16), (112, -9), (112, 9), (70, 16)]
        tower = Polygon([(x + dx, middle + dy) for dx, dy in corners], facecolor=colour)
        ax.add_patch(tower)


def draw_many(ax: Axes, x: float, y: float) -> None:
    """Draw a matrix whose rows four machines share."""
    for i in range(4):
        colour = (BLUE, ORANGE, GREEN, GREY)[i]
        top = y + 1 + 18 * i
        draw_box(ax, x + 3, top, 34, 14, PAPER, colour, corner=2.5, line=1.4)
        ax.add_patch(Circle((x + 9, top + 7), 2, facecolor=colour))
        for line in (5, 9):
            ax.plot([x + 15, x + 32], [top + line, top + line], color=GREY, linewidth=0.8)
        draw_arrow(ax, (x + 39, top + 7), (x + 49, top + 7))
        band = Rectangle((x + 52, top - 1), 62, 16, facecolor=colour, alpha=0.3)
        ax.add_patch(band)
        own = Rectangle((x + 52 + 15.5 * i, top - 1), 15.5, 16, facecolor=colour)
        ax.add_patch(own)


START = Station(0, "See it work", draw_play_button)

COURSE = Way(
    "Understand it: build CLIP, then a better one",
    [
        Station(1, "Data", draw_data),
        Station(2, "Encoders", draw_encoders),
        Station(3, "Loss", draw_loss),
        Station(4, "Training", draw_training),
        Station(5, "Retrieval", draw_retrieval),
        Station(11, "Better", draw_ladder),
        Station(12, "Real CLIP", draw_real_weights),
        Station(13, "Scale out", draw_many),
    ],
)
