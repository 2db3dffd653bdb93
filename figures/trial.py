"""The six pictograms of the second half of the way, where the paper's claims are on trial; each fills 160 x 128 pixels from (x, y)."""

import numpy as np
from matplotlib.patches import Circle, Rectangle
from shapes import GREY, box, draw_image, matrix, text, tick

from clipnb.plots import BLACK, BLUE, ORANGE, RED
from clipnb.scenes import Scene, Thing, render

BOATS = Scene("sea", (Thing("boat", "red", "big", 1),), None, 5)
CAT = Scene("snow", (Thing("cat", "black", "big", 1),), None, 3)
PAIRS = [
    Scene(place, (Thing(*thing),), None, 3)
    for place, thing in (
        ("beach", ("kite", "red", "big", 1)),
        ("sea", ("boat", "white", "big", 3)),
        ("forest", ("flower", "yellow", "big", 3)),
        ("night", ("house", "red", "big", 1)),
    )
]


def draw_zero_shot(ax, x, y):
    draw_image(ax, render(BOATS, 120), x, y + 30, 68)
    for i, (word, share) in enumerate(
        (("a car", 12), ("a boat", 62), ("a dog", 8), ("a tree", 16))
    ):
        text(ax, x + 96, y + 29 + 24 * i, word, 8)
        ax.add_patch(
            Rectangle(
                (x + 96 - 22, y + 36 + 24 * i),
                share + 6,
                5,
                facecolor=ORANGE if share > 50 else GREY,
                alpha=1 if share > 50 else 0.45,
            )
        )


def draw_objectives(ax, x, y):
    draw_image(ax, render(CAT, 100), x, y + 12, 52)
    for i, word in enumerate(("black", "cat", "in the", "?")):
        box(ax, x, y + 72 + 14 * i, 52, 12, "#FDF1DA" if word != "?" else "white", ORANGE, 3, 0.8)
        text(ax, x + 26, y + 78 + 14 * i, word, 7)
    text(ax, x + 70, y + 64, "or", 10, GREY)
    matrix(ax, x + 88, y + 30, 18, PAIRS)


def draw_few_shot(ax, x, y):
    for colour, marker, points in (
        (BLUE, "o", [(20, 34), (44, 22), (34, 58), (58, 44), (16, 76), (66, 20)]),
        (ORANGE, "s", [(96, 92), (118, 68), (134, 96), (108, 112), (142, 60), (90, 72)]),
    ):
        ax.plot(
            *np.array(points).T + [[x], [y]],
            marker,
            color=colour,
            markersize=6,
            markeredgecolor="white",
        )
    ax.plot([x + 44, x + 116], [y + 118, y + 12], color=BLACK, linewidth=1.8, linestyle=(0, (4, 2)))


def draw_robustness(ax, x, y):
    for i, style in enumerate(("painted", "sketch", "negative", "noisy")):
        draw_image(
            ax, render(PAIRS[0], 100, style), x + 18 + 64 * (i % 2), y + 2 + 64 * (i // 2), 60
        )


def draw_scaling(ax, x, y):
    ax.plot([x + 14, x + 14, x + 156], [y + 4, y + 120, y + 120], color=GREY, linewidth=1.5)
    across = np.linspace(28, 146, 7)
    ax.plot(x + across, y + 16 + 0.72 * across - 14, color=BLACK, linewidth=1.4)
    ax.plot(
        x + across,
        y + 2 + 0.72 * across + np.random.default_rng(1).normal(0, 5, 7),
        "o",
        color=BLUE,
        markersize=6,
        markeredgecolor="white",
    )
    text(ax, x + 86, y + 10, "error ~ C⁻ᵇ", 9, GREY)


def draw_verdicts(ax, x, y):
    for i, width in enumerate((84, 66, 92, 72)):
        row = y + 16 + 32 * i
        box(ax, x + 8, row - 12, 144, 25, "white", GREY, 5, 1)
        ax.add_patch(Rectangle((x + 44, row - 3), width, 6, facecolor=GREY, alpha=0.4))
        if i in (0, 2):
            tick(ax, x + 26, row, 8)
        else:
            ax.add_patch(
                Circle(
                    (x + 26, row),
                    8,
                    facecolor=ORANGE if i == 1 else RED,
                    edgecolor="white",
                    zorder=4,
                )
            )
            ax.plot([x + 22, x + 30], [row, row], color="white", linewidth=1.6, zorder=5)


TRIAL = [
    (6, "Zero-shot", "a classifier of words", draw_zero_shot),
    (7, "Objectives", "contrast or predict?", draw_objectives),
    (8, "Few-shot", "worth how many labels?", draw_few_shot),
    (9, "Robustness", "images of another kind", draw_robustness),
    (10, "Scaling", "more of everything", draw_scaling),
    (14, "Verdicts", "the replication report", draw_verdicts),
]
