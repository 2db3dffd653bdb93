"""Two figures about convolutions: how a window slides, and the residual block of ResidualCNN."""

import numpy as np
import torch
import torch.nn.functional as F
from examples import KITE
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from model import DARK_ORANGE, choose_feature_maps
from PIL import Image
from shapes import (
    GREY,
    PALE,
    draw_arrow,
    draw_block,
    draw_feature,
    draw_image,
    draw_numbers,
    draw_outline,
    draw_plus,
    format_number,
    make_card,
    mix_with_white,
    write_text,
    write_title,
)
from torch import Tensor

from clipnb.encoders import ResidualCNN, normalize_images
from clipnb.plots import BLACK, BLUE, ORANGE
from clipnb.scenes import render

STRIDE, PADDING = 2, 1
SHADES = 9  # brightnesses of a pixel go from 0 to 9
PIXELS = np.array(
    [
        [1, 1, 6, 7, 7],
        [1, 2, 6, 7, 8],
        [1, 1, 2, 7, 8],
        [0, 1, 1, 6, 7],
        [0, 0, 1, 5, 7],
    ]
)
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])  # dark on the left, bright on the right
SHOWN = (1, 1)  # the output number that is worked out


# ---- the sliding window ----------------------------------------------------------------------


def convolve() -> np.ndarray:
    """Return the output of the convolution that the figure shows, (3, 3)."""
    image, weight = torch.tensor(PIXELS)[None, None], torch.tensor(SOBEL)[None, None]
    return F.conv2d(image, weight, stride=STRIDE, padding=PADDING)[0, 0].numpy()


def draw_sliding_window() -> Axes:
    """Draw one stop of the window worked out, and all nine stops below. Returns the axes."""
    padded = np.pad(PIXELS, PADDING)  # (7, 7)
    output = convolve()  # (3, 3)
    ax = make_card(1000, 592)
    title = "A 3 × 3 filter slides over an image with stride 2"
    below = "Each stop multiplies nine pixels by nine weights, adds, and gives one number."
    write_title(ax, title, below)
    draw_padded_image(ax, 34, 104, padded)
    draw_sum(ax, padded, output)
    draw_stops(ax, 34, 466, padded, output)
    return ax


def window_at(padded: np.ndarray, row: int, column: int) -> np.ndarray:
    """Return the window (3, 3) of an output number."""
    k = len(SOBEL)
    top, left = STRIDE * row, STRIDE * column
    return padded[top : top + k, left : left + k]


def shade(values: np.ndarray) -> list[list[str]]:
    """Return a grey for each brightness: 0 is dark."""
    return [[mix_with_white("#30363F", 1 - v / SHADES) for v in row] for row in values]


def shade_image(padded: np.ndarray) -> list[list[str]]:
    """Return a grey for each pixel of a padded image; the frame of zeros is white."""
    colours = shade(padded)
    n = len(padded)
    for i in range(n):
        for j in range(n):
            if i in (0, n - 1) or j in (0, n - 1):
                colours[i][j] = "white"
    return colours


def draw_padded_image(ax: Axes, x: float, y: float, padded: np.ndarray) -> None:
    """Draw the image with its frame of zeros, the window that is shown, and the next one."""
    cell = 38
    n, k = len(padded), len(SOBEL)
    draw_numbers(ax, x, y, padded, (cell, cell), shade_image(padded), size=12)
    row, column = SHOWN
    top, left = y + STRIDE * row * cell, x + STRIDE * column * cell
    step = STRIDE * cell
    draw_outline(ax, left + step, top, k * cell, k * cell, ORANGE, 2.5, (0, (3, 2)))
    draw_outline(ax, left, top, k * cell, k * cell, BLUE, 4)
    words = "5 × 5 pixels, padding 1\n(dashed: the next stop)"
    write_text(ax, x + n * cell / 2, y + n * cell + 10, words, 11, GREY, va="top", linespacing=1.4)


def draw_sum(ax: Axes, padded: np.ndarray, output: np.ndarray) -> None:
    """Draw how the window and the filter give one number of the output."""
    cell, top, middle = 40, 173, 233
    window = window_at(padded, *SHOWN)
    products = window * SOBEL
    write_table(ax, 346, top, "the window", window, shade(window), cell)
    draw_outline(ax, 346, top, 3 * cell, 3 * cell, BLUE, 4)
    write_text(ax, 486, middle, "×", 20)
    write_table(ax, 506, top, "the filter", SOBEL, tint(SOBEL, 2), cell)
    write_text(ax, 646, middle, "=", 20)
    write_table(ax, 666, top, "the products", products, tint(products, 9), cell)
    draw_arrow(ax, (794, middle), (836, middle))
    write_text(ax, 814, middle - 16, "add", 11)

    side = 44
    marked = [["white"] * 3 for _ in range(3)]
    marked[SHOWN[0]][SHOWN[1]] = mix_with_white(BLUE, 0.3)
    write_table(ax, 846, middle - 1.5 * side, "the output", output, marked, side)
    left, upper = 846 + SHOWN[1] * side, middle + (SHOWN[0] - 1.5) * side
    draw_outline(ax, left, upper, side, side, BLUE, 4)

    terms = " + ".join(map(format_term, products.flat))
    write_text(ax, 662, 338, f"{terms} = {format_number(output[SHOWN])}", 12)
    size = "side of the output: (5 + 2·1 − 3) / 2 + 1 = 3"
    write_text(ax, 662, 368, size, 11, GREY)


def write_table(
    ax: Axes, x: float, y: float, name: str, values: np.ndarray, colours: list, cell: float
) -> None:
    """Draw a 3 × 3 table with its name above it."""
    draw_numbers(ax, x, y, values, (cell, cell), colours, size=13)
    write_text(ax, x + 1.5 * cell, y - 18, name, 11, fontweight="bold")


def tint(values: np.ndarray, largest: float) -> list[list[str]]:
    """Return an orange for each positive number and a blue for each negative one."""
    return [
        [mix_with_white(ORANGE if v > 0 else BLUE, 0.5 * min(1, abs(v) / largest)) for v in row]
        for row in values
    ]


def format_term(value: float) -> str:
    """Format a number of a sum, a negative one in brackets."""
    return f"({format_number(value)})" if value < 0 else format_number(value)


def draw_stops(ax: Axes, x: float, y: float, padded: np.ndarray, output: np.ndarray) -> None:
    """Draw the window at each of its stops, with the number that the stop gives below it."""
    heading = "The nine stops, two pixels apart, and the number that each one gives:"
    write_text(ax, x, y - 20, heading, 11, ha="left", fontweight="bold")
    cell, step = 10, 107.5
    n, k = len(padded), len(SOBEL)
    side = n * cell
    pixels = [[to_rgb(colour) for colour in colours] for colours in shade_image(padded)]
    for number, ((row, column), value) in enumerate(np.ndenumerate(output)):
        left = x + step * number
        extent = (left, left + side, y + side, y)
        ax.imshow(pixels, extent=extent, aspect="auto", zorder=2)
        frame = Rectangle((left, y), side, side, facecolor="none", edgecolor=GREY, zorder=3)
        ax.add_patch(frame)
        window = (left + STRIDE * column * cell, y + STRIDE * row * cell, k * cell, k * cell)
        shown = (row, column) == SHOWN
        draw_outline(ax, *window, BLUE, 3.5 if shown else 2)
        weight = "bold" if shown else "normal"
        write_text(ax, left + side / 2, y + side + 18, format_number(value), 13, fontweight=weight)


# ---- the residual block ----------------------------------------------------------------------

IN_WIDTH, OUT_WIDTH, SIZE = 48, 96, 16  # of the first block of the recipe quick, at 64 pixels
MAIN_Y, SHORTCUT_Y = 262, 150


def draw_residual_block() -> Axes:
    """Draw the first residual block of ResidualCNN, and the whole network. Returns the axes."""
    ax = make_card(1000, 640)
    title = "A residual block: two convolutions beside a shortcut"
    below = (
        "The first block of ResidualCNN at 64 pixels. It halves the side and doubles the channels."
    )
    write_title(ax, title, below)
    draw_main_path(ax)
    draw_shortcut(ax)
    draw_network(ax)
    return ax


def format_shape(channels: int, side: int) -> str:
    """Format the shape of a batch of maps."""
    return f"(B, {channels}, {side}, {side})"


def draw_main_path(ax: Axes) -> None:
    """Draw the two convolutions with batch norm, and the addition."""
    half = SIZE // 2
    write_text(ax, 88, MAIN_Y - 56, "input", 11.5, fontweight="bold")
    write_text(ax, 88, MAIN_Y - 34, format_shape(IN_WIDTH, SIZE), 11)
    layers = [
        (212, 112, f"conv 3 × 3\n{IN_WIDTH} → {OUT_WIDTH}\nstride 2", BLUE),
        (340, 92, "batch norm", GREY),
        (440, 62, "ReLU", GREY),
        (546, 102, f"conv 3 × 3\n{OUT_WIDTH} → {OUT_WIDTH}", BLUE),
        (668, 92, "batch norm", GREY),
    ]
    end = draw_chain(ax, 44, MAIN_Y, 66, layers)
    draw_arrow(ax, (end, MAIN_Y), (752, MAIN_Y))
    draw_plus(ax, 768, MAIN_Y)
    draw_arrow(ax, (783, MAIN_Y), (810, MAIN_Y))
    draw_block(ax, 840, MAIN_Y, 56, 66, "ReLU", GREY, 10.5)
    draw_arrow(ax, (870, MAIN_Y), (966, MAIN_Y))
    write_text(ax, 922, MAIN_Y - 56, "output", 11.5, fontweight="bold")
    write_text(ax, 918, MAIN_Y - 34, format_shape(OUT_WIDTH, half), 11)
    for x in (340, 607):
        write_text(ax, x, MAIN_Y + 52, format_shape(OUT_WIDTH, half), 11, GREY)
    words = "the correction that the block learns"
    write_text(ax, 156, MAIN_Y + 88, words, 11, BLUE, ha="left", fontweight="bold")
    note = "If size and channels stay the same, the shortcut has no layers."
    write_text(ax, 970, MAIN_Y + 88, note, 10.5, GREY, ha="right")


def draw_chain(ax: Axes, start: float, y: float, height: float, layers: list[tuple]) -> float:
    """Draw layers (x, width, name, colour) from left to right, an arrow before each.

    Returns where the last one ends.
    """
    for x, width, name, colour in layers:
        draw_arrow(ax, (start, y), (x - width / 2 - 2, y))
        draw_block(ax, x, y, width, height, name, colour, 10.5)
        start = x + width / 2
    return start


def draw_shortcut(ax: Axes) -> None:
    """Draw the shortcut, which must shrink its input here."""
    half = SIZE // 2
    draw_arrow(ax, (146, MAIN_Y), (146, SHORTCUT_Y), (238, SHORTCUT_Y))
    layers = [
        (300, 120, "average\n2 × 2 pixels", GREY),
        (470, 112, f"conv 1 × 1\n{IN_WIDTH} → {OUT_WIDTH}", ORANGE),
        (616, 92, "batch norm", GREY),
    ]
    end = draw_chain(ax, 238, SHORTCUT_Y, 50, layers)
    draw_arrow(ax, (end, SHORTCUT_Y), (768, SHORTCUT_Y), (768, MAIN_Y - 15))
    write_text(ax, 387, SHORTCUT_Y + 44, format_shape(IN_WIDTH, half), 11, GREY)
    write_text(ax, 616, SHORTCUT_Y + 44, format_shape(OUT_WIDTH, half), 11, GREY)
    words = "the shortcut:\nwhat is there already"
    write_text(
        ax, 784, SHORTCUT_Y, words, 11, DARK_ORANGE, ha="left", fontweight="bold", linespacing=1.35
    )


def draw_network(ax: Axes) -> None:
    """Draw ResidualCNN from the image to its output, with maps of a network of random weights."""
    ax.plot([30, 970], [384, 384], color=PALE, linewidth=1.2)
    title = "All of ResidualCNN: what each stage gives"
    write_text(ax, 30, 414, title, 13, ha="left", fontweight="bold")
    note = "three maps of each stage, random weights"
    write_text(ax, 970, 414, note, 10.5, GREY, ha="right")
    image = render(KITE, 64)
    middle = 500
    draw_image(ax, image, 44, middle - 54, 108)
    write_text(ax, 98, middle + 72, "images", 11, fontweight="bold")
    write_text(ax, 98, middle + 94, "(B, 3, 64, 64)", 10.5, GREY)
    stages = [
        (280, 92, "conv, norm, ReLU", False),
        (456, 74, "conv, norm, ReLU", False),
        (622, 58, "residual block", True),
        (778, 44, "residual block", True),
    ]
    start = 156
    for (x, side, name, is_block), output in zip(stages, trace_stages(image), strict=True):
        draw_arrow(ax, (start, middle), (x - side / 2 - 12, middle))
        for i, feature_map in enumerate(choose_feature_maps(output)):
            draw_image(
                ax,
                feature_map,
                x - side / 2 + 7 * (i - 1),
                middle - side / 2 + 7 * (i - 1),
                side,
                line=1,
            )
        colour = BLUE if is_block else BLACK
        write_text(ax, x, middle + 72, name, 11, colour, fontweight="bold")
        write_text(ax, x, middle + 94, format_shape(*output.shape[:2]), 10.5, GREY)
        start = x + side / 2 + 12
    draw_arrow(ax, (start, middle), (898, middle))
    draw_feature(ax, 906, middle, 9, BLUE, seed=1)
    write_text(ax, 911, middle + 72, "average", 11, fontweight="bold")
    write_text(ax, 911, middle + 94, f"(B, {output.shape[0]})", 10.5, GREY)


def trace_stages(image: Image.Image) -> list[Tensor]:
    """Return what each stage of a ResidualCNN gives for an image, (C, H, W), without the batch."""
    with torch.random.fork_rng():  # the caller's random numbers stay as they were
        torch.manual_seed(0)
        network = ResidualCNN().eval()
    x = normalize_images(np.array(image).transpose(2, 0, 1)[None])  # (1, 3, 64, 64)
    outputs = []
    with torch.no_grad():
        for stage in (*network.stem, *network.blocks):
            x = stage(x)
            outputs.append(x[0])
    return outputs
