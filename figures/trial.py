"""The second way: the paper's claims on trial, with a pictogram for each of its six notebooks.

A pictogram fills 116 x 72 units from (x, y).
"""

import numpy as np
from examples import HOUSE, KITE, RED_BOAT, WHITE_BOATS, make_scene
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from roadmap import Station, Way
from shapes import (
    GREY,
    draw_box,
    draw_image,
    draw_matrix,
    draw_minus,
    draw_tick,
    draw_words,
    write_text,
)

from clipnb.plots import BLACK, BLUE, ORANGE, RED
from clipnb.scenes import render

PAIRS = [KITE, WHITE_BOATS, make_scene("forest", "flower", "yellow", 3, seed=3), HOUSE]


def draw_zero_shot(ax: Axes, x: float, y: float) -> None:
    """Draw an image and three class names with a bar each, the right one the longest."""
    draw_image(ax, render(RED_BOAT, 120), x, y + 8, 54)
    for i, (name, share) in enumerate({"car": 10, "boat": 50, "dog": 6}.items()):
        top = y + 24 * i
        write_text(ax, x + 62, top + 8, name, 10, ha="left")
        right = name == "boat"
        bar = Rectangle(
            (x + 62, top + 15),
            share,
            5,
            facecolor=ORANGE if right else GREY,
            alpha=1 if right else 0.45,
        )
        ax.add_patch(bar)


def draw_objectives(ax: Axes, x: float, y: float) -> None:
    """Draw the two objectives: a caption whose next word is asked for, and a matrix."""
    draw_words(ax, x, y + 2, ["black", "cat", "?"], width=44, height=20, gap=3, size=10)
    write_text(ax, x + 56, y + 36, "or", 10, GREY)
    draw_matrix(ax, x + 68, y + 12, 12, PAIRS)


def draw_few_shot(ax: Axes, x: float, y: float) -> None:
    """Draw the points of two classes, with a line between them."""
    classes = [
        (BLUE, "o", [(14, 20), (31, 13), (24, 36), (42, 27), (11, 48), (48, 9)]),
        (ORANGE, "s", [(68, 58), (84, 42), (96, 60), (77, 69), (104, 36), (62, 44)]),
    ]
    for colour, marker, points in classes:
        xs, ys = np.array(points).T
        ax.plot(x + xs, y + ys, marker, color=colour, markersize=6, markeredgecolor="white")
    ax.plot([x + 30, x + 84], [y + 70, y + 4], color=BLACK, linewidth=1.6, linestyle=(0, (4, 2)))


def draw_robustness(ax: Axes, x: float, y: float) -> None:
    """Draw one scene in four styles."""
    for i, style in enumerate(["painted", "sketch", "negative", "noisy"]):
        row, column = divmod(i, 2)
        draw_image(ax, render(KITE, 80, style), x + 22 + 37 * column, y + 37 * row, 35)


def draw_scaling(ax: Axes, x: float, y: float) -> None:
    """Draw errors that fall along a straight line."""
    ax.plot([x + 6, x + 6, x + 112], [y + 2, y + 68, y + 68], color=GREY, linewidth=1.4)
    across = np.linspace(18, 104, 7)
    noise = np.random.default_rng(1).normal(0, 3, 7)
    line = y + 4 + 0.52 * across
    ax.plot(x + across, line, color=BLACK, linewidth=1.4)
    ax.plot(x + across, line + noise, "o", color=BLUE, markersize=6, markeredgecolor="white")


def draw_verdict_list(ax: Axes, x: float, y: float) -> None:
    """Draw a list of three claims with their verdicts."""
    for i, (width, colour) in enumerate([(58, None), (46, ORANGE), (62, RED)]):  # None: replicated
        middle = y + 12 + 24 * i
        draw_box(ax, x + 4, middle - 10, 108, 20, "white", GREY, corner=5, line=1)
        words = Rectangle((x + 34, middle - 3), width, 6, facecolor=GREY, alpha=0.4)
        ax.add_patch(words)
        if colour is None:
            draw_tick(ax, x + 18, middle, 7)
        else:
            draw_minus(ax, x + 18, middle, colour)


TRIAL = Way(
    "The paper on trial: its claims, tested",
    [
        Station(6, "Zero-shot", draw_zero_shot),
        Station(7, "Objectives", draw_objectives),
        Station(8, "Few-shot", draw_few_shot),
        Station(9, "Robustness", draw_robustness),
        Station(10, "Scaling", draw_scaling),
        Station(14, "Verdicts", draw_verdict_list),
    ],
)
