"""An animation: the similarity matrix of eight pairs while a model trains.

The numbers come from one run of the `quick` recipe with seed 0. They are kept in
matrix_training.json. Without that file the run is made again, which takes a few minutes.
"""

import json
import math
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from animation import DPI, WIDTH
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from shapes import (
    GREY,
    PALE,
    draw_image,
    draw_minus,
    draw_outline,
    draw_tick,
    format_number,
    make_card,
    write_text,
    write_title,
)
from torch import Tensor

from clipnb.batches import iterate_batches, steps_per_epoch
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.features import encode_dataset, encode_images, encode_texts, tokenize
from clipnb.loop import iterate_training, make_tokenizer
from clipnb.metrics import retrieval_metrics
from clipnb.model import CLIP, create_model
from clipnb.optimizers import make_optimizer
from clipnb.plots import BLACK, BLUE, RED
from clipnb.recipes import RECIPES
from clipnb.runtime import get_device, memory_format, seed_everything, write_file
from clipnb.scenes import dataset_scene, render
from clipnb.steps import train_step
from clipnb.tokenizer import Tokenizer

RECORD = Path(__file__).resolve().with_suffix(".json")
RECIPE = RECIPES["quick"]
STEPS_SHOWN = [*range(0, 50, 5), *range(50, 100, 10), 100, 120, 160, 200, 240, 276]
# Dev images of eight kinds of things at eight places. The model never trains on them.
IMAGES = [3, 4, 11, 15, 18, 21, 42, 196]


def load_record() -> dict[str, Any]:
    """Load the numbers of the run, or train now and keep them.

    Returns captions (8 strings), losses (one for each step), and frames: for each step that is
    shown the step, the cosines (8 x 8) and the mean recall on dev.
    """
    if not RECORD.exists():
        write_file(RECORD, format_record(record_run()))
    return json.loads(RECORD.read_text())


def record_run() -> dict[str, Any]:
    """Train the recipe with seed 0, as `clipnb.train` does, and keep what the figure shows."""
    train_set = load_dataset(RECIPE.dataset, "train", RECIPE.stored_size)
    dev_set = load_dataset(RECIPE.dataset, "dev", RECIPE.image_size)
    images = dev_set.images[IMAGES]  # (8, 3, S, S)
    captions = [dev_set.captions[image][0] for image in IMAGES]

    seed_everything(0)
    tokenizer = make_tokenizer(RECIPE, train_set.captions)
    tokens = tokenize(tokenizer, train_set.captions)  # (N, K, T)
    model = create_model(RECIPE).to(get_device(), memory_format=memory_format(get_device()))
    losses, frames = [], []
    for step, loss in enumerate(train(model, train_set, tokens)):
        if loss is not None:
            losses.append(round(loss.item(), 3))
        if step in STEPS_SHOWN:
            recall = retrieval_metrics(*encode_dataset(model, tokenizer, dev_set))["mean_recall"]
            cosines = compare(model, tokenizer, images, captions)
            frames.append({"step": step, "recall": round(recall, 1), "cosines": cosines})
    return {"captions": captions, "losses": losses, "frames": frames}


def train(model: CLIP, train_set: CaptionDataset, tokens: Tensor) -> Iterator[Tensor | None]:
    """Train a model. Yields None before the first step, then the loss after each step."""
    optimizer = make_optimizer(model, RECIPE)
    steps = steps_per_epoch(train_set, RECIPE)

    def open_epoch() -> Iterator[tuple[Tensor, Tensor]]:
        return iterate_batches(train_set, tokens, RECIPE, model.logit_scale.device)

    def take_step(images: Tensor, texts: Tensor) -> Tensor:
        return train_step(model, optimizer, images, texts, RECIPE)

    yield None
    yield from iterate_training(model, optimizer, RECIPE, 0, steps, open_epoch, take_step)


def compare(
    model: CLIP, tokenizer: Tokenizer, images: np.ndarray, captions: list[str]
) -> list[list[float]]:
    """Return the cosines of images (rows) and captions (columns), rounded."""
    image_features = encode_images(model, images)  # (8, D)
    text_features = encode_texts(model, tokenizer(captions))  # (8, D)
    return [[round(x, 3) for x in row] for row in (image_features @ text_features.T).tolist()]


def format_record(record: dict[str, Any]) -> str:
    """Format the record as JSON with a frame in each line."""
    frames = ",\n  ".join(json.dumps(frame) for frame in record["frames"])
    head = f'"captions": {json.dumps(record["captions"])},\n "losses": {record["losses"]}'
    return f'{{{head},\n "frames": [\n  {frames}\n ]}}\n'


# ---- the drawing -----------------------------------------------------------------------------

HEIGHT = 632
CELL, LEFT, TOP = 48, 88, 206  # of the matrix
PLOT = (600, 206, 262, 150)  # of the loss: left, top, width, height
LOWEST, HIGHEST = -0.45, 0.9  # cosines of the darkest and the brightest colour


def draw_matrix_training() -> list[Axes]:
    """Draw the frames of the animation. Returns the axes of each."""
    record = load_record()
    thumbnails = [render(dataset_scene("dev", image), 84) for image in IMAGES]
    return [draw_frame(frame, record, thumbnails) for frame in record["frames"]]


def draw_frame(frame: dict[str, Any], record: dict[str, Any], thumbnails: list) -> Axes:
    """Draw the matrix at a step, and the loss until then."""
    cosines = np.array(frame["cosines"])  # (8, 8)
    ax = make_card(WIDTH, HEIGHT, dpi=DPI)
    title = "The matrix of cosines while the model learns"
    below = "Eight pairs that it never trains on. A frame marks the caption that an image chooses."
    write_title(ax, title, below)
    draw_cosines(ax, cosines, thumbnails)
    write_captions(ax, record["captions"])
    draw_scale(ax, PLOT[0], 552)
    draw_loss(ax, frame["step"], record["losses"])
    write_state(ax, frame, n_right=sum(cosines.argmax(axis=1) == np.arange(len(cosines))))
    return ax


def draw_cosines(ax: Axes, cosines: np.ndarray, thumbnails: list) -> None:
    """Draw the cosines with the images on their left, and a tick for each right choice."""
    side = len(cosines) * CELL
    extent = (LEFT, LEFT + side, TOP + side, TOP)
    limits = {"vmin": LOWEST, "vmax": HIGHEST}
    ax.imshow(cosines, extent=extent, cmap="viridis", aspect="auto", zorder=2, **limits)
    for row, (values, thumbnail) in enumerate(zip(cosines, thumbnails, strict=True)):
        top = TOP + row * CELL
        draw_image(ax, thumbnail, LEFT - CELL - 2, top + 3, CELL - 6)
        chosen = values.argmax()
        draw_outline(ax, LEFT + chosen * CELL + 3, top + 3, CELL - 6, CELL - 6, "white", 4)
        draw_outline(ax, LEFT + chosen * CELL + 3, top + 3, CELL - 6, CELL - 6, BLACK, 1.6)
        if chosen == row:
            draw_tick(ax, LEFT + side + 20, top + CELL / 2, 11)
        else:
            draw_minus(ax, LEFT + side + 20, top + CELL / 2, RED)


def write_captions(ax: Axes, captions: list[str]) -> None:
    """Write the captions above the columns."""
    for column, caption in enumerate(captions):
        ax.text(
            LEFT + (column + 0.45) * CELL,
            TOP - 6,
            textwrap.fill(caption.strip(" .").capitalize(), 16),
            fontsize=10,
            rotation=50,
            rotation_mode="anchor",
            ha="left",
            va="bottom",
            linespacing=1.1,
        )


def draw_scale(ax: Axes, x: float, y: float) -> None:
    """Draw what cosine a colour means."""
    width = PLOT[2]
    extent = (x, x + width, y + 14, y)
    ax.imshow(np.linspace(0, 1, 64)[None], extent=extent, cmap="viridis", aspect="auto", zorder=2)
    for cosine in (-0.4, 0, 0.4, 0.8):
        place = x + width * (cosine - LOWEST) / (HIGHEST - LOWEST)
        write_text(ax, place, y + 28, format_number(cosine), 10)
    write_text(ax, x, y - 14, "cosine", 10.5, ha="left")


def draw_loss(ax: Axes, step: int, losses: list[float]) -> None:
    """Draw the loss of all steps in grey, and what has happened so far in blue."""
    left, top, width, height = PLOT
    highest = 1.1 * max(losses)
    xs = [left + width * i / len(losses) for i in range(1, len(losses) + 1)]
    ys = [top + height * (1 - loss / highest) for loss in losses]
    bottom = top + height
    ax.plot([left, left, left + width], [top, bottom, bottom], color=GREY, linewidth=1.4)
    guess = top + height * (1 - math.log(RECIPE.batch_size) / highest)
    dashes = {"color": BLACK, "linewidth": 1.2, "linestyle": (0, (4, 3))}
    ax.plot([left, left + width], [guess, guess], **dashes)
    words = f"guessing: ln {RECIPE.batch_size} = {math.log(RECIPE.batch_size):.2f}"
    write_text(ax, left + width, guess + 15, words, 10.5, ha="right")
    ax.plot(xs, ys, color=PALE, linewidth=1.5)
    if step:
        ax.plot(xs[:step], ys[:step], color=BLUE, linewidth=2)
    now = max(0, step - 1)
    ax.add_patch(Circle((xs[now], ys[now]), 5, facecolor=BLUE, zorder=4))
    write_text(ax, left, top - 16, "training loss", 11, ha="left", fontweight="bold")
    write_text(ax, left + width, bottom + 18, f"{len(losses)} steps", 10.5, GREY, ha="right")


def write_state(ax: Axes, frame: dict[str, Any], n_right: int) -> None:
    """Write the step, how many images choose rightly, and the recall on all of dev."""
    x, y = PLOT[0], PLOT[1] + PLOT[3]
    write_text(ax, x, y + 52, f"step {frame['step']}", 16, ha="left", fontweight="bold")
    right = f"{n_right} of {len(IMAGES)} images choose rightly"
    write_text(ax, x, y + 88, right, 11.5, ha="left")
    recall = f"mean recall on dev: {frame['recall']:.1f} %"
    write_text(ax, x, y + 116, recall, 11.5, ha="left")
    write_text(ax, x, y + 140, "(1,000 images, 5,000 captions)", 10.5, GREY, ha="left")
