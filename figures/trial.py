"""The second way: the paper's claims on trial, with a pictogram for each of its six notebooks.

A pictogram fills 160 x 128 units from (x, y).
"""

import numpy as np
from examples import CAT, HOUSE, KITE, RED_BOAT, WHITE_BOATS, make_scene
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle
from roadmap import Station, Way
from shapes import (
    GREY,
    draw_axes_lines,
    draw_box,
    draw_image,
    draw_matrix,
    draw_tick,
    draw_words,
    write_text,
)

from clipnb.plots import BLACK, BLUE, ORANGE, RED
from clipnb.scenes import render

PAIRS = [KITE, WHITE_BOATS, make_scene("forest", "flower", "yellow", 3, seed=3), HOUSE]


def draw_zero_shot(ax: Axes, x: float, y: float) -> None:
    """Draw an image and four class names with a bar each, the right one the longest."""
    draw_image(ax, render(RED_BOAT, 120), x, y + 30, 68)
    shares = {"a car": 12, "a boat": 62, "a dog": 8, "a tree": 16}
    for i, (name, share) in enumerate(shares.items()):
        top = y + 29 + 24 * i
        write_text(ax, x + 96, top, name, 8)
        right = name == "a boat"
        bar = Rectangle(
            (x + 74, top + 7),
            share + 6,
            5,
            facecolor=ORANGE if right else GREY,
            alpha=1 if right else 0.45,
        )
        ax.add_patch(bar)


def draw_objectives(ax: Axes, x: float, y: float) -> None:
    """Draw the two objectives: a caption whose next word is asked for, and a matrix."""
    draw_image(ax, render(CAT, 100), x, y + 12, 52)
    draw_words(ax, x, y + 72, ["black", "cat", "in the", "?"], width=52, height=12, gap=2, size=7)
    write_text(ax, x + 70, y + 64, "or", 10, GREY)
    draw_matrix(ax, x + 88, y + 30, 18, PAIRS)


def draw_few_shot(ax: Axes, x: float, y: float) -> None:
    """Draw the points of two classes, with a line between them."""
    classes = [
        (BLUE, "o", [(20, 34), (44, 22), (34, 58), (58, 44), (16, 76), (66, 20)]),
        (ORANGE, "s", [(96, 92), (118, 68), (134, 96), (108, 112), (142, 60), (90, 72)]),
    ]
    for colour, marker, points in classes:
        xs, ys = np.array(points).T
        ax.plot(x + xs, y + ys, marker, color=colour, markersize=6, markeredgecolor="white")
    ax.plot([x + 44, x + 116], [y + 118, y + 12], color=BLACK, linewidth=1.8, linestyle=(0, (4, 2)))


def draw_robustness(ax: Axes, x: float, y: float) -> None:
    """Draw one scene in four styles."""
    for i, style in enumerate(["painted", "sketch", "negative", "noisy"]):
        row, column = divmod(i, 2)
        draw_image(ax, render(KITE, 100, style), x + 18 + 64 * column, y + 2 + 64 * row, 60)


def draw_scaling(ax: Axes, x: float, y: float) -> None:
    """Draw errors that fall along a straight line."""
    draw_axes_lines(ax, x, y, width=142)
    across = np.linspace(28, 146, 7)
    noise = np.random.default_rng(1).normal(0, 5, 7)
    line = y + 2 + 0.72 * across
    ax.plot(x + across, line, color=BLACK, linewidth=1.4)
    ax.plot(x + across, line + noise, "o", color=BLUE, markersize=6, markeredgecolor="white")
    write_text(ax, x + 86, y + 10, "error ~ C⁻ᵇ", 9, GREY)


def draw_verdict_list(ax: Axes, x: float, y: float) -> None:
    """Draw a list of four claims with their verdicts."""
    rows = [(84, None), (66, ORANGE), (92, None), (72, RED)]  # None: replicated
    for i, (width, colour) in enumerate(rows):
        middle = y + 16 + 32 * i
        draw_box(ax, x + 8, middle - 12, 144, 25, "white", GREY, corner=5, line=1)
        words = Rectangle((x + 44, middle - 3), width, 6, facecolor=GREY, alpha=0.4)
        ax.add_patch(words)
        if colour is None:
            draw_tick(ax, x + 26, middle, 8)
        else:
            draw_minus(ax, x + 26, middle, colour)


def draw_minus(ax: Axes, x: float, y: float, colour: str) -> None:
    """Draw a white minus on a coloured disc."""
    ax.add_patch(Circle((x, y), 8, facecolor=colour, edgecolor="white", zorder=4))
    ax.plot([x - 4, x + 4], [y, y], color="white", linewidth=1.6, zorder=5)


TRIAL = Way(
    [
        Station(6, "Zero-shot", "a classifier of words", draw_zero_shot),
        Station(7, "Objectives", "contrast or predict?", draw_objectives),
        Station(8, "Few-shot", "worth how many labels?", draw_few_shot),
        Station(9, "Robustness", "images of another kind", draw_robustness),
        Station(10, "Scaling", "more of everything", draw_scaling),
        Station(14, "Verdicts", "the replication report", draw_verdict_list),
    ],
    pictogram_width=160,
)
