"""A figure of what the class ViT does first: it cuts an image and makes the patches tokens."""

import numpy as np
import torch
from examples import KITE
from matplotlib.axes import Axes
from shapes import (
    GREY,
    PAPER,
    draw_arrow,
    draw_block,
    draw_box,
    draw_image,
    draw_outline,
    make_card,
    write_text,
    write_title,
)

from clipnb.encoders import ViT, normalize_images
from clipnb.plots import BLUE, ORANGE
from clipnb.scenes import render

SIDE, PATCH, WIDTH = 64, 8, 128  # pixels of an image and of a patch, numbers of a token
ROWS = SIDE // PATCH  # of patches
SHOWN = (2, 4)  # the patch that is followed: row and column
NUMBER = SHOWN[0] * ROWS + SHOWN[1] + 1  # its number in reading order
COLOURS = ["red", "green", "blue"]


def draw_patches() -> Axes:
    """Draw how an image becomes 64 tokens. Returns the axes."""
    image = np.asarray(render(KITE, SIDE))  # (64, 64, 3)
    ax = make_card(1000, 742)
    title = f"An image becomes a text of {ROWS**2} tokens"
    below = "A patch of 8 × 8 pixels has 192 numbers. A linear layer turns them into 128."
    write_title(ax, title, below)
    draw_image(ax, image, 34, 126, 250)
    write_text(ax, 159, 108, f"images (B, 3, {SIDE}, {SIDE})", 11, fontweight="bold")
    draw_arrow(ax, (292, 251), (326, 251))
    draw_cut_image(ax, 336, 116, image)
    draw_followed_patch(ax, 660, 126, image)
    draw_code(ax, 30, 424)
    draw_sequence(ax, 34, 664, image)
    return ax


def cut(image: np.ndarray) -> np.ndarray:
    """Cut an image (64, 64, 3) into patches (rows, columns, 8, 8, 3)."""
    return image.reshape(ROWS, PATCH, ROWS, PATCH, 3).swapaxes(1, 2)


def draw_cut_image(ax: Axes, x: float, y: float, image: np.ndarray) -> None:
    """Draw the patches apart from each other, the one that is followed with a frame."""
    side, gap = 29, 5
    patches = cut(image)
    for row in range(ROWS):
        for column in range(ROWS):
            left, top = x + column * (side + gap), y + row * (side + gap)
            draw_image(ax, patches[row, column], left, top, side)
            if (row, column) == SHOWN:
                draw_outline(ax, left - 1.5, top - 1.5, side + 3, side + 3, BLUE, 3.5)
    width = ROWS * (side + gap) - gap
    write_text(ax, x + width / 2, y + width + 20, f"{ROWS} × {ROWS} patches", 11, fontweight="bold")


def draw_followed_patch(ax: Axes, x: float, y: float, image: np.ndarray) -> None:
    """Draw one patch: its three colours, its 192 numbers, and the 128 numbers of its token."""
    patch = cut(image)[SHOWN]  # (8, 8, 3)
    centre = x + 150
    write_text(
        ax, centre, y - 18, f"patch {NUMBER}: (3, {PATCH}, {PATCH})", 11, BLUE, fontweight="bold"
    )
    draw_arrow(ax, (505, 197), (648, 176), colour=BLUE, layer=5)
    for i, name in enumerate(COLOURS):
        plane = np.zeros_like(patch)
        plane[..., i] = patch[..., i]
        left = x + 104 * i
        draw_image(ax, plane, left, y, 92, GREY, 1)
        write_text(ax, left + 46, y + 108, name, 11)

    draw_arrow(ax, (centre, y + 122), (centre, y + 146))
    write_text(ax, centre + 10, y + 134, "flatten", 11, ha="left")
    numbers = patch.transpose(2, 0, 1).reshape(1, -1)  # (1, 192)
    draw_strip(ax, x, y + 152, 300, numbers / 255, "gray")
    write_text(ax, centre, y + 190, f"{numbers.size} numbers", 11, GREY)
    draw_arrow(ax, (centre, y + 202), (centre, y + 222))
    draw_block(ax, centre, y + 242, 170, 36, f"Linear {numbers.size} → {WIDTH}", BLUE)
    draw_arrow(ax, (centre, y + 262), (centre, y + 284))
    draw_strip(ax, x + 50, y + 290, 200, project(image), "viridis")
    write_text(ax, centre, y + 328, f"{WIDTH} numbers", 11, GREY)
    draw_arrow(ax, (centre, y + 340), (centre, y + 362))
    draw_block(ax, centre, y + 382, 230, 36, f"+ position {NUMBER}, LayerNorm", ORANGE)
    draw_arrow(ax, (centre, y + 402), (centre, y + 424))
    write_text(ax, centre, y + 440, f"token {NUMBER}", 12, BLUE, fontweight="bold")


def project(image: np.ndarray) -> np.ndarray:
    """Return what the first layer of a ViT with random weights makes of the patch, (1, 128)."""
    with torch.random.fork_rng(), torch.no_grad():  # the caller's random numbers stay as they were
        torch.manual_seed(0)
        pixels = normalize_images(image.transpose(2, 0, 1)[None])  # (1, 3, 64, 64)
        maps = ViT(SIDE, PATCH, WIDTH).patches(pixels)  # (1, 128, 8, 8)
    return maps[0, :, *SHOWN].numpy()[None]


def draw_strip(
    ax: Axes, x: float, y: float, width: float, numbers: np.ndarray, colours: str
) -> None:
    """Draw numbers (1, n) as a strip of n thin bars."""
    extent = (x, x + width, y + 22, y)
    ax.imshow(numbers, extent=extent, cmap=colours, aspect="auto", zorder=2)
    draw_outline(ax, x, y, width, 22, GREY, 1)


def draw_code(ax: Axes, x: float, y: float) -> None:
    """Write the steps as code, each with the shape that it gives."""
    lines = [
        ("images", f"(B, 3, {SIDE}, {SIDE})"),
        (".unfold(2, 8, 8).unfold(3, 8, 8)", "(B, 3, 8, 8, 8, 8)"),
        (".permute(0, 2, 3, 1, 4, 5)", "(B, 8, 8, 3, 8, 8)"),
        (f".reshape(B, {ROWS**2}, 192)", f"(B, {ROWS**2}, 192)"),
        (f"nn.Linear(192, {WIDTH})", f"(B, {ROWS**2}, {WIDTH})"),
    ]
    draw_box(ax, x, y, 596, 184, PAPER, ORANGE, corner=8, line=1)
    for i, (code, shape) in enumerate(lines):
        middle = y + 22 + 27 * i
        write_text(ax, x + 18, middle, code, 11, ha="left", family="monospace")
        write_text(ax, x + 400, middle, shape, 11, ha="left", family="monospace")
    same = f"The same in one step: nn.Conv2d(3, {WIDTH}, kernel_size=8, stride=8)"
    write_text(ax, x + 18, y + 163, same, 11, ha="left", fontweight="bold")


def draw_sequence(ax: Axes, x: float, y: float, image: np.ndarray) -> None:
    """Draw the patches in a row: the tokens that the transformer blocks see."""
    step, side = 14.6, 13
    words = (
        f"{ROWS**2} tokens (B, {ROWS**2}, {WIDTH}) in reading order enter the transformer blocks:"
    )
    write_text(ax, x, y - 18, words, 11, ha="left", fontweight="bold")
    for i, patch in enumerate(cut(image).reshape(ROWS**2, PATCH, PATCH, 3)):
        left = x + step * i
        draw_image(ax, patch, left, y, side)
        if i + 1 == NUMBER:
            draw_outline(ax, left - 1.5, y - 1.5, side + 3, side + 3, BLUE, 3)
            write_text(ax, left + side / 2, y + 30, NUMBER, 11, BLUE, fontweight="bold")
        elif i + 1 in (1, ROWS**2):
            write_text(ax, left + side / 2, y + 30, i + 1, 11)
