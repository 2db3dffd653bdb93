"""What the figures are put together from. Coordinates are those of a `card`: y downwards, 100 units an inch."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

from clipnb.plots import BLACK, GREEN
from clipnb.scenes import captions

GREY, PALE = "#6B7280", "#D5DAE1"


def card(width, height, dpi=160):
    """A white card with round corners, for light and dark pages alike; returns its axes. `save` writes it with dpi / 100 times the pixels."""
    ax = Figure(figsize=(width / 100, height / 100), dpi=dpi, facecolor="none").add_axes(
        (0, 0, 1, 1)
    )
    ax.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    ax.axis("off")
    box(ax, 1, 1, width - 2, height - 2, "white", PALE, 14)
    return ax


def save(ax, path):
    """Write the figure of `ax` as PNG; without a version in it the bytes change only when the image does."""
    ax.figure.savefig(path, transparent=True, metadata={"Software": None})


def box(ax, x, y, width, height, colour, edge="none", corner=4, line=1.2):
    """A rectangle with round corners."""
    ax.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            f"round,pad=0,rounding_size={corner}",
            facecolor=colour,
            edgecolor=edge,
            linewidth=line,
        )
    )


def text(ax, x, y, words, size=10, colour=BLACK, ha="center", **options):
    """Words, in the middle of (x, y) unless told otherwise."""
    ax.text(
        x,
        y,
        words,
        fontsize=size,
        color=colour,
        ha=ha,
        va=options.pop("va", "center_baseline"),
        **options,
    )


def draw_image(ax, image, x, y, side, edge="white", line=0.0):
    """An image, PIL, uint8 (S, S, 3), or a map (S, S), with its upper left corner at (x, y)."""
    ax.imshow(
        np.asarray(image), extent=(x, x + side, y + side, y), cmap="Blues", aspect="auto", zorder=2
    )
    ax.add_patch(
        Rectangle((x, y), side, side, facecolor="none", edgecolor=edge, linewidth=line, zorder=2)
    )


def arrow(ax, *points, colour=GREY):
    """A line through points (x, y) with a head at its end."""
    ax.plot(*zip(*points), color=colour, linewidth=1.5, solid_capstyle="butt", zorder=1)
    ax.add_patch(
        FancyArrowPatch(
            points[-2],
            points[-1],
            arrowstyle="-|>",
            mutation_scale=11,
            color=colour,
            linewidth=1.5,
            shrinkA=0,
            shrinkB=0,
        )
    )


def tick(ax, x, y, radius):
    """A white check mark on a green disc."""
    ax.add_patch(
        Circle((x, y), radius, facecolor=GREEN, edgecolor="white", linewidth=1.2, zorder=4)
    )
    ax.plot(
        [x - 0.45 * radius, x - 0.1 * radius, x + 0.5 * radius],
        [y, y + 0.38 * radius, y - 0.38 * radius],
        color="white",
        zorder=5,
        linewidth=0.17 * radius,
        solid_capstyle="round",
        solid_joinstyle="round",
    )


def vector(ax, x, y, cell, colour, seed, n=8):
    """A feature as a column of n cells of different strength, middle at y."""
    for i, strength in enumerate(np.random.default_rng(seed).uniform(0.15, 1, n)):
        ax.add_patch(
            Rectangle(
                (x, y + (i - n / 2) * cell),
                1.3 * cell,
                cell,
                facecolor=colour,
                alpha=strength,
                edgecolor="white",
                linewidth=0.8,
            )
        )


def matrix(ax, x, y, cell, scenes):
    """N images (rows) against N captions (columns), brighter the more of a caption's words people use for that image."""
    words = [
        [
            set(caption.lower().strip(" .").split()) - {"a", "in", "the"}
            for caption in captions(scene)
        ]
        for scene in scenes
    ]
    values = np.array(
        [
            [len(set().union(*image) & caption[0]) / len(caption[0]) for caption in words]
            for image in words
        ]
    )
    side = len(scenes) * cell
    ax.imshow(
        values,
        extent=(x, x + side, y + side, y),
        cmap="viridis",
        vmin=-0.15,
        aspect="auto",
        zorder=2,
    )
    for line in np.arange(0, side + 1, cell):
        ax.plot(
            [x, x + side],
            [y + line] * 2,
            [x + line] * 2,
            [y, y + side],
            color="white",
            linewidth=1,
            zorder=3,
        )


def search_box(ax, x, y, width, height, query, size):
    """A rounded field with a magnifying glass and the words of a query."""
    box(ax, x, y, width, height, "white", GREY, height / 2 if height < 40 else 16, 1.4)
    ax.add_patch(
        Circle((x + 18, y + height / 2 - 2), 6, facecolor="none", edgecolor=GREY, linewidth=1.6)
    )
    ax.plot(
        [x + 22.5, x + 28],
        [y + height / 2 + 2.5, y + height / 2 + 8],
        color=GREY,
        linewidth=2,
        solid_capstyle="round",
    )
    text(ax, x + 38, y + height / 2, query, size, ha="left", va="center", linespacing=1.35)
