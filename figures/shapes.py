"""What the figures are put together from.

Coordinates are those of a `card`: y downwards, 100 units an inch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from numpy.typing import ArrayLike

from clipnb.plots import BLACK, GREEN, ORANGE
from clipnb.scenes import Scene, captions

GREY = "#6B7280"
PALE = "#D5DAE1"
PAPER = "#FDF1DA"  # behind words


def make_card(width: float, height: float, dpi: int = 160) -> Axes:
    """Make a white card with round corners, for light and dark pages alike. Returns its axes.

    `save_figure` writes it with dpi / 100 times as many pixels as it has units.
    """
    figure = Figure(figsize=(width / 100, height / 100), dpi=dpi, facecolor="none")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    ax.axis("off")
    draw_box(ax, 1, 1, width - 2, height - 2, "white", PALE, corner=14)
    return ax


def save_figure(ax: Axes, path: Path) -> None:
    """Write the figure of `ax` as PNG. Outside of a card it is transparent, else it is white.

    No version is written into it, so that the bytes change only when the image does.
    """
    ax.figure.savefig(path, metadata={"Software": None})


# ---- simple shapes ---------------------------------------------------------------------------


def draw_box(
    ax: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    colour: str,
    edge: str = "none",
    corner: float = 4,
    line: float = 1.2,
) -> None:
    """Draw a rectangle with round corners."""
    box = FancyBboxPatch(
        (x, y),
        width,
        height,
        f"round,pad=0,rounding_size={corner}",
        facecolor=colour,
        edgecolor=edge,
        linewidth=line,
    )
    ax.add_patch(box)


def write_text(
    ax: Axes,
    x: float,
    y: float,
    words: Any,
    size: float = 10,
    colour: str = BLACK,
    ha: str = "center",
    va: str = "center_baseline",
    **options: Any,
) -> None:
    """Write words, with their middle at (x, y) unless told otherwise."""
    ax.text(x, y, words, fontsize=size, color=colour, ha=ha, va=va, **options)


def draw_image(
    ax: Axes,
    image: ArrayLike,
    x: float,
    y: float,
    side: float,
    edge: str = "white",
    line: float = 0.0,
) -> None:
    """Draw an image with its upper left corner at (x, y).

    image: a PIL image, uint8 (S, S, 3), or a feature map (S, S).
    """
    extent = (x, x + side, y + side, y)
    ax.imshow(np.asarray(image), extent=extent, cmap="Blues", aspect="auto", zorder=2)
    frame = Rectangle(
        (x, y), side, side, facecolor="none", edgecolor=edge, linewidth=line, zorder=2
    )
    ax.add_patch(frame)


def draw_arrow(
    ax: Axes, *points: tuple[float, float], colour: str = GREY, layer: float = 1
) -> None:
    """Draw a line through points (x, y), with a head at its end. layer: higher is in front."""
    xs, ys = zip(*points, strict=True)
    ax.plot(xs, ys, color=colour, linewidth=1.5, solid_capstyle="butt", zorder=layer)
    head = FancyArrowPatch(
        points[-2],
        points[-1],
        arrowstyle="-|>",
        mutation_scale=11,
        color=colour,
        linewidth=1.5,
        shrinkA=0,
        shrinkB=0,
        zorder=layer,
    )
    ax.add_patch(head)


def draw_axes_lines(ax: Axes, x: float, y: float, width: float) -> None:
    """Draw the two axes of a small plot that is 116 units high."""
    xs = [x + 14, x + 14, x + 14 + width]
    ax.plot(xs, [y + 4, y + 120, y + 120], color=GREY, linewidth=1.5)


def draw_numbers(
    ax: Axes,
    x: float,
    y: float,
    values: ArrayLike,
    cell: tuple[float, float],
    colours: Sequence[Sequence[str]] | str = "white",
    digits: int | None = None,
    size: float = 11,
    bold_row: int | None = None,
) -> None:
    """Draw a table of numbers (rows, columns) with its upper left corner at (x, y).

    cell: its width and height. colours: of the cells, one each or one for all. digits: behind the
    point, by default as many as a number needs. bold_row: the row to stress; the others are grey.
    """
    width, height = cell
    for (i, j), value in np.ndenumerate(np.asarray(values)):
        colour = colours if isinstance(colours, str) else colours[i][j]
        left, top = x + width * j, y + height * i
        square = Rectangle((left, top), width, height, facecolor=colour, edgecolor=PALE, zorder=2)
        ax.add_patch(square)
        stressed = bold_row is None or i == bold_row
        write_text(
            ax,
            left + width / 2,
            top + height / 2,
            format_number(value, digits),
            size,
            choose_ink(colour) if stressed else GREY,
            va="center_baseline",
            fontweight="bold" if i == bold_row else "normal",
            zorder=3,
        )


def format_number(value: float, digits: int | None = None) -> str:
    """Format a number with a true minus sign, by default with as few digits as it needs."""
    text = f"{value:g}" if digits is None else f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def choose_ink(background: str) -> str:
    """Return white for a dark background and black for a bright one."""
    return "white" if np.dot(to_rgb(background), [0.3, 0.6, 0.1]) < 0.5 else BLACK


def mix_with_white(colour: str, share: float) -> str:
    """Return a colour of which `share` is `colour` and the rest is white."""
    return to_hex(share * np.array(to_rgb(colour)) + (1 - share) * np.ones(3))


def draw_outline(
    ax: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    colour: str,
    line: float = 2.5,
    style: str = "-",
) -> None:
    """Draw a rectangle that is not filled."""
    outline = Rectangle(
        (x, y),
        width,
        height,
        facecolor="none",
        edgecolor=colour,
        linewidth=line,
        linestyle=style,
        zorder=4,
    )
    ax.add_patch(outline)


def draw_block(
    ax: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    name: str,
    colour: str,
    size: float = 11,
) -> None:
    """Draw a layer of a network as a box with its middle at (x, y) and its name in it."""
    fill = mix_with_white(colour, 0.16)
    draw_box(ax, x - width / 2, y - height / 2, width, height, fill, colour, corner=7, line=1.5)
    write_text(ax, x, y, name, size, va="center", linespacing=1.25, zorder=3)


def draw_plus(ax: Axes, x: float, y: float, radius: float = 14) -> None:
    """Draw a plus in a circle: the place where a shortcut is added."""
    circle = Circle((x, y), radius, facecolor="white", edgecolor=BLACK, linewidth=1.6, zorder=4)
    ax.add_patch(circle)
    arm = 0.5 * radius
    ax.plot([x - arm, x + arm], [y, y], color=BLACK, linewidth=1.8, zorder=5)
    ax.plot([x, x], [y - arm, y + arm], color=BLACK, linewidth=1.8, zorder=5)


def write_title(ax: Axes, title: str, below: str) -> None:
    """Write a figure's title in its upper left corner, and a line below it."""
    write_text(ax, 30, 38, title, 16, ha="left", fontweight="bold")
    write_text(ax, 30, 66, below, 11, GREY, ha="left")


# ---- symbols ---------------------------------------------------------------------------------


def draw_tick(ax: Axes, x: float, y: float, radius: float) -> None:
    """Draw a white check mark on a green disc."""
    disc = Circle((x, y), radius, facecolor=GREEN, edgecolor="white", linewidth=1.2, zorder=4)
    ax.add_patch(disc)
    ax.plot(
        [x - 0.45 * radius, x - 0.1 * radius, x + 0.5 * radius],
        [y, y + 0.38 * radius, y - 0.38 * radius],
        color="white",
        zorder=5,
        linewidth=0.17 * radius,
        solid_capstyle="round",
        solid_joinstyle="round",
    )


def draw_minus(ax: Axes, x: float, y: float, colour: str) -> None:
    """Draw a white minus on a coloured disc."""
    ax.add_patch(Circle((x, y), 8, facecolor=colour, edgecolor="white", zorder=4))
    ax.plot([x - 4, x + 4], [y, y], color="white", linewidth=1.6, zorder=5)


def draw_words(
    ax: Axes,
    x: float,
    y: float,
    words: Sequence[str],
    width: float,
    height: float,
    gap: float,
    size: float,
) -> None:
    """Draw words on strips of paper, one below the other, the first one at (x, y).

    A "?" has no paper behind it. size: of the type.
    """
    for i, word in enumerate(words):
        top = y + (height + gap) * i
        colour = "white" if word == "?" else PAPER
        draw_box(ax, x, top, width, height, colour, ORANGE, corner=3, line=0.8)
        write_text(ax, x + width / 2, top + height // 2, word, size)


def draw_feature(
    ax: Axes, x: float, y: float, cell: float, colour: str, seed: int, n: int = 8
) -> None:
    """Draw a feature as a column of n cells of random strengths, with its middle at height y."""
    strengths = np.random.default_rng(seed).uniform(0.15, 1, n)
    for i, strength in enumerate(strengths):
        square = Rectangle(
            (x, y + (i - n / 2) * cell),
            1.3 * cell,
            cell,
            facecolor=colour,
            alpha=strength,
            edgecolor="white",
            linewidth=0.8,
        )
        ax.add_patch(square)


def draw_matrix(ax: Axes, x: float, y: float, cell: float, scenes: Sequence[Scene]) -> None:
    """Draw the similarities of N images (rows) and their captions (columns).

    A cell is the brighter, the more of a caption's words people use for that image.
    """
    side = len(scenes) * cell
    ax.imshow(
        compare_words(scenes),
        extent=(x, x + side, y + side, y),
        cmap="viridis",
        vmin=-0.15,
        aspect="auto",
        zorder=2,
    )
    for offset in np.arange(0, side + 1, cell):
        line = {"color": "white", "linewidth": 1, "zorder": 3}
        ax.plot([x, x + side], [y + offset, y + offset], **line)
        ax.plot([x + offset, x + offset], [y, y + side], **line)


def compare_words(scenes: Sequence[Scene]) -> np.ndarray:
    """Return for N scenes which share of a caption's words the captions of an image hold (N, N)."""
    words = [[split_words(caption) for caption in captions(scene)] for scene in scenes]
    first_captions = [own[0] for own in words]
    vocabularies = [set().union(*own) for own in words]
    return np.array(
        [
            [len(vocabulary & caption) / len(caption) for caption in first_captions]
            for vocabulary in vocabularies
        ]
    )


def split_words(caption: str) -> set[str]:
    """Return the words of a caption that say what is in the image."""
    return set(caption.lower().strip(" .").split()) - {"a", "in", "the"}


def draw_search_box(
    ax: Axes, x: float, y: float, width: float, height: float, query: str, size: float
) -> None:
    """Draw a rounded field with a magnifying glass and the words of a query."""
    middle = y + height / 2
    corner = height / 2 if height < 40 else 16
    draw_box(ax, x, y, width, height, "white", GREY, corner, line=1.4)
    lens = Circle((x + 18, middle - 2), 6, facecolor="none", edgecolor=GREY, linewidth=1.6)
    ax.add_patch(lens)
    ax.plot(
        [x + 22.5, x + 28],
        [middle + 2.5, middle + 8],
        color=GREY,
        linewidth=2,
        solid_capstyle="round",
    )
    write_text(ax, x + 38, middle, query, size, ha="left", va="center", linespacing=1.35)
