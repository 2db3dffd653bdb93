"""An animation: six images and their captions on a circle follow the gradient of the loss."""

import math

import torch
from animation import DPI, WIDTH
from examples import SIX_SCENES
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from shapes import (
    GREY,
    PALE,
    PAPER,
    draw_box,
    draw_image,
    make_card,
    write_text,
    write_title,
)
from torch import Tensor

from clipnb.losses import clip_loss
from clipnb.plots import BLACK, BLUE, ORANGE
from clipnb.scenes import captions, render

HEIGHT = 560
SEED, SCALE, LEARNING_RATE, STEPS = 0, 5.0, 3.0, 100  # the learning rate is in degrees
SHOWN = [*range(0, 20), *range(20, 40, 2), *range(40, STEPS + 1, 5)]  # steps
LETTERS = "ABCDEF"
CENTRE, RADIUS, OUTSIDE = (272, 310), 142, 196  # of the circle; of the captions around it
IMAGE_SIDE, LETTER_SIDE = 44, 28
PLOT = (546, 118, 316, 140)  # of the loss: left, top, width, height


def let_go() -> tuple[Tensor, list[float]]:
    """Move six pairs along the circle from random places.

    Returns the angles in degrees (steps, 2, 6), images first, and the loss before each step.
    """
    generator = torch.Generator().manual_seed(SEED)
    angles = (360 * torch.rand(2, len(SIX_SCENES), generator=generator)).requires_grad_()
    optimizer = torch.optim.Adam([angles], lr=LEARNING_RATE)
    path, losses = [], []
    for _ in range(STEPS + 1):
        images, texts = place_on_circle(angles)
        loss = clip_loss(images, texts, SCALE)
        path.append(angles.detach().clone())
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.stack(path), losses


def place_on_circle(degrees: Tensor) -> Tensor:
    """Return the points (..., 2) of a circle at angles (...) in degrees."""
    radians = torch.deg2rad(degrees)
    return torch.stack([radians.cos(), radians.sin()], dim=-1)


def draw_pairs_let_go() -> list[Axes]:
    """Draw the frames of the animation. Returns the axes of each."""
    path, losses = let_go()
    thumbnails = [render(scene, 88) for scene in SIX_SCENES]
    return [draw_frame(step, path[step], losses, thumbnails) for step in SHOWN]


def draw_frame(step: int, angles: Tensor, losses: list[float], thumbnails: list) -> Axes:
    """Draw the pairs at a step, the loss until then, and who belongs to whom."""
    ax = make_card(WIDTH, HEIGHT, dpi=DPI)
    title = "Six pairs let go: every point follows the gradient"
    below = "Its own caption pulls an image, the others push it. Random start, scale 5."
    write_title(ax, title, below)
    note = "The captions lie on the circle too. They are drawn outside it."
    write_text(ax, 30, HEIGHT - 22, note, 10.5, GREY, ha="left")
    draw_circle(ax, angles, thumbnails)
    draw_loss(ax, step, losses)
    draw_legend(ax, 546, 336, thumbnails)
    return ax


def draw_circle(ax: Axes, angles: Tensor, thumbnails: list) -> None:
    """Draw the images on the circle, and the letters of the captions around it."""
    ax.add_patch(Circle(CENTRE, RADIUS, facecolor="none", edgecolor=GREY, linewidth=1.2))
    images, texts = place_on_circle(angles).tolist()
    for image, text in zip(images, texts, strict=True):
        xs, ys = zip(locate(image, RADIUS), locate(text, OUTSIDE), strict=True)
        ax.plot(xs, ys, color=BLACK, linewidth=1.2, linestyle=(0, (3, 2)), zorder=1.5)
    for i, (image, text) in enumerate(zip(images, texts, strict=True)):
        x, y = locate(image, RADIUS)
        left, top = x - IMAGE_SIDE / 2, y - IMAGE_SIDE / 2
        draw_image(ax, thumbnails[i], left, top, IMAGE_SIDE, BLUE, 2)
        draw_letter(ax, left + IMAGE_SIDE - 7, top + IMAGE_SIDE - 7, LETTERS[i], "image")
        draw_letter(ax, *locate(text, OUTSIDE), LETTERS[i], "caption")


def locate(point: list[float], radius: float) -> tuple[float, float]:
    """Return the place in the card of a point of the unit circle, drawn with this radius."""
    return CENTRE[0] + radius * point[0], CENTRE[1] - radius * point[1]


def draw_letter(ax: Axes, x: float, y: float, letter: str, kind: str) -> None:
    """Draw the letter of a caption on paper, or the smaller one of an image on a disc."""
    layer = 3 + 0.1 * LETTERS.index(letter)  # one above the other where they meet
    if kind == "caption":
        side = LETTER_SIDE
        draw_box(ax, x - side / 2, y - side / 2, side, side, PAPER, ORANGE, corner=5, line=1.8)
        ax.patches[-1].set_zorder(layer)
        write_text(ax, x, y, letter, 13, fontweight="bold", zorder=layer + 0.05)
    else:
        ax.add_patch(Circle((x, y), 9, facecolor=BLUE, edgecolor="white", zorder=layer))
        write_text(ax, x, y, letter, 9.5, "white", fontweight="bold", zorder=layer + 0.05)


def draw_loss(ax: Axes, step: int, losses: list[float]) -> None:
    """Draw the loss of all steps in grey, and what has happened so far in blue."""
    left, top, width, height = PLOT
    highest = 1.15 * max(losses)
    xs = [left + width * i / STEPS for i in range(STEPS + 1)]
    ys = [top + height * (1 - loss / highest) for loss in losses]
    ax.plot(
        [left, left, left + width], [top, top + height, top + height], color=GREY, linewidth=1.4
    )
    guess = top + height * (1 - math.log(6) / highest)
    ax.plot([left, left + width], [guess, guess], color=BLACK, linewidth=1.2, linestyle=(0, (4, 3)))
    write_text(ax, left + width, guess - 12, "guessing: ln 6 = 1.79", 10.5, ha="right")
    ax.plot(xs, ys, color=PALE, linewidth=2)
    ax.plot(xs[: step + 1], ys[: step + 1], color=BLUE, linewidth=2.6)
    ax.add_patch(Circle((xs[step], ys[step]), 5, facecolor=BLUE, zorder=4))
    write_text(ax, left + 6, top + height + 20, f"step {step}", 13, ha="left", fontweight="bold")
    words = f"loss {losses[step]:.2f}"
    write_text(ax, left + width, top + height + 20, words, 13, BLUE, ha="right", fontweight="bold")


def draw_legend(ax: Axes, x: float, y: float, thumbnails: list) -> None:
    """Draw the six pairs: image, letter, caption."""
    for i, scene in enumerate(SIX_SCENES):
        top = y + 34 * i
        draw_image(ax, thumbnails[i], x, top - 14, 28)
        draw_letter(ax, x + 50, top, LETTERS[i], "caption")
        caption = captions(scene)[0].strip(" .").capitalize()
        write_text(ax, x + 74, top, caption, 11, ha="left")
