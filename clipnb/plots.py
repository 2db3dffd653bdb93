"""The course's look, and the figures that more than one notebook draws."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from clipnb.retrieval import Hit, ImageIndex

# Okabe and Ito's colours can be told apart with any kind of colour vision.
BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
RED = "#D55E00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
YELLOW = "#F0E442"
BLACK = "#222222"

SIMILARITY_SCALE = (-0.4, 0.9)  # the darkest and the brightest cosine of `plot_similarities`


def use_style() -> None:
    """Set readable type, few lines, and colours that survive colour blindness.

    Call it once at the top of a notebook.
    """
    plt.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "figure.titlesize": "x-large",
            "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK]),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "axes.axisbelow": True,
            "font.size": 11,
            "axes.titlesize": 13,
            "axes.titleweight": "bold",
            "lines.linewidth": 2,
            "image.cmap": "viridis",
        }
    )


# ---- images ----------------------------------------------------------------------------------


def to_hwc(image: ArrayLike) -> np.ndarray:
    """Turn an image (3, S, S), uint8 or float in [-1, 1], into uint8 (S, S, 3) for imshow."""
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = ((image + 1) * 127.5).clip(0, 255).astype(np.uint8)
    return image.transpose(1, 2, 0)


def wrap(text: str, width: int) -> str:
    """Break a text into lines of at most `width` characters."""
    return "\n".join(textwrap.wrap(text, width))


def show_images(
    images: Sequence[ArrayLike],
    titles: Sequence[str] | None = None,
    columns: int = 6,
    size: float = 1.9,
    title: str | None = None,
    width: int = 24,
) -> Figure:
    """Draw a grid of images (N, 3, S, S). Returns the figure.

    titles: one for each image, wrapped after `width` characters. columns: images in a row. size:
    inches a side of an image. title: of the whole figure.
    """
    n_rows = math.ceil(len(images) / columns)
    n_columns = min(columns, len(images))
    title_height = 0.1 if titles is None else 0.55  # inches
    figsize = (n_columns * size, n_rows * (size + title_height))
    fig, axes = plt.subplots(n_rows, n_columns, figsize=figsize, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image in zip(axes.flat, images, strict=False):  # the last row may have free places
        # "nearest" shows the pixels that the model sees. Smoothing would double a notebook's size.
        ax.imshow(to_hwc(image), interpolation="nearest")
    if titles is not None:
        for ax, text in zip(axes.flat, titles, strict=False):
            ax.set_title(wrap(text, width), fontsize=9, fontweight="normal")
    if title:
        fig.suptitle(title, fontweight="bold", fontsize=13)
    return fig


def plot_hits(
    query: str | ArrayLike,
    index: ImageIndex,
    hits: Sequence[Hit],
    title: str | None = None,
    columns: int = 6,
) -> Figure:
    """Draw what a search found, best first: each image with its score and caption.

    A query that is an image (3, S, S) comes first. title: by default a text query. Returns the
    figure.
    """
    images = [index.image(hit.image_id) for hit in hits]
    titles = [_describe_hit(hit) for hit in hits]
    if isinstance(query, str):
        title = title or f"“{query}”"
    else:
        images = [query, *images]
        titles = ["the query", *titles]
    return show_images(images, titles, columns=columns, title=title)


def _describe_hit(hit: Hit) -> str:
    """Return a hit's score and caption, short enough for three lines."""
    caption = hit.caption.strip(" .")
    return textwrap.shorten(f"{hit.score:.2f}  {caption}", 60, placeholder=" …")


def plot_similarities(
    similarities: ArrayLike,
    images: Sequence[ArrayLike],
    captions: Sequence[str],
    title: str = "",
    ax: Axes | None = None,
    numbers: bool = True,
) -> Axes:
    """Draw the similarities (N, M) of N images and M captions as a heat map. Returns the axes.

    The images stand on the left of their rows, the captions above their columns. numbers: write
    each similarity into its cell. All such figures have one scale of colours, so that they can be
    compared. openai/CLIP's notebook draws the same matrix; a trained model has a bright diagonal.
    """
    values = np.asarray(similarities)
    N, M = values.shape
    if ax is None:
        _, ax = plt.subplots(figsize=(1.8 + 0.75 * M, 2.2 + 0.62 * N))
    low, high = SIMILARITY_SCALE
    ax.imshow(values, cmap="viridis", aspect="auto", vmin=low, vmax=high)
    if numbers:
        for (i, j), value in np.ndenumerate(values):
            colour = "white" if value < (low + high) / 2 else "black"  # on dark, on bright
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9, color=colour)
    for i, image in enumerate(images):
        thumbnail = ax.inset_axes([-0.11, 1 - (i + 0.95) / N, 0.1, 0.9 / N])
        thumbnail.imshow(to_hwc(image))
        thumbnail.axis("off")
    labels = [
        wrap(textwrap.shorten(caption.strip(" ."), 70, placeholder=" …"), 26)
        for caption in captions
    ]
    ax.set_xticks(range(M), labels, rotation=90, fontsize=9)
    ax.xaxis.tick_top()
    ax.set_yticks([])
    ax.grid(False)
    ax.set_title(title)
    return ax


# ---- training --------------------------------------------------------------------------------


def plot_history(
    history: Sequence[dict],
    batch_size: int,
    chance: float | None = None,
    floor: float | None = None,
) -> Figure:
    """Draw a run's history (see `Run`): loss, logit_scale and dev mean recall. Returns the figure.

    Lines for comparison are ln N for the loss of guessing, `floor` for a loss that false negatives
    hardly let it pass, and `chance` for the recall.
    """
    fig, (loss_ax, scale_ax, recall_ax) = plt.subplots(1, 3, figsize=(12, 3.4))
    epochs = [row["epoch"] for row in history]

    losses = [row["loss"] for row in history]
    guessing = math.log(batch_size)
    loss_ax.plot(epochs, losses, marker="o", label="training loss")
    loss_ax.axhline(guessing, color=BLACK, linestyle="--", label=f"ln {batch_size}: guessing")
    if floor is not None:
        loss_ax.axhline(floor, color=RED, linestyle=":", label="floor: false negatives")
    loss_ax.set(title="Loss", xlabel="epoch", ylabel="nats", ylim=(0, None))
    loss_ax.legend()

    scales = [row["logit_scale"] for row in history]
    scale_ax.plot(epochs, scales, marker="o", color=GREEN)
    scale_ax.axhline(1 / 0.07, color=BLACK, linestyle="--", label="start: 1 / 0.07")
    scale_ax.set(title="logit_scale, exp'ed", xlabel="epoch", ylabel="factor on the cosines")
    scale_ax.legend()

    recalls = [row["dev_mean_recall"] for row in history]
    recall_ax.plot(epochs, recalls, marker="o", color=ORANGE, label="this run")
    if chance is not None:
        recall_ax.axhline(chance, color=BLACK, linestyle="--", label="chance")
    recall_ax.set(title="Mean recall on dev", xlabel="epoch", ylabel="percent", ylim=(0, None))
    recall_ax.legend()
    return fig


# ---- the ladder ------------------------------------------------------------------------------


def plot_ladder(rungs: Sequence[dict], ax: Axes | None = None) -> Axes:
    """Draw recorded rungs (see `summarize_ladder`) as a waterfall. Returns the axes.

    A bar is what a rung gained (green) or lost (red) over the rung above it in the figure; its 95 %
    margin stands beside it. Dots are seeds, whiskers their standard deviation. On the right stand
    the mean recall and the seconds of training.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=(10, 1.5 + 0.44 * len(rungs)))
    for y, rung in enumerate(rungs):
        _draw_change(ax, y, rung)
        _draw_seeds(ax, y, rung)
    _write_columns(ax, rungs)
    ax.set_yticks(range(len(rungs)), [rung["what"] for rung in rungs])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    best = max(max(rung["values"]) for rung in rungs)
    ax.set(
        title="The ladder: mean recall on dev",
        xlabel="mean recall (percent)",
        xlim=(0, 1.18 * best),
    )
    return ax


def _draw_change(ax: Axes, y: int, rung: dict) -> None:
    """Draw the bar of a rung at height y: its change, or all of the first rung's recall."""
    if "gain" not in rung:
        ax.barh(y, rung["mean"], height=0.64, color=BLUE, alpha=0.8)
        return
    gain = rung["gain"]
    start = rung["mean"] - gain
    colour = GREEN if gain >= 0 else RED
    ax.barh(y, gain, left=start, height=0.64, color=colour, alpha=0.8)
    ax.plot([start, start], [y - 0.68, y + 0.32], color=BLACK, linewidth=1)  # from the bar before
    rightmost = max(start, rung["mean"] + (rung["std"] or 0), *rung["values"])
    change = f"{gain:+.1f} ± {rung['margin']:.1f}"
    ax.text(rightmost + 0.25, y, change, va="center", fontsize=10)


def _draw_seeds(ax: Axes, y: int, rung: dict) -> None:
    """Draw the recalls of a rung's seeds at height y, with whiskers of one standard deviation."""
    std = rung["std"] or 0
    ax.errorbar(rung["mean"], y, xerr=std, color=BLACK, linewidth=1.2, capsize=4)
    hollow = {"markerfacecolor": "white", "color": BLACK, "markersize": 4}
    ax.plot(rung["values"], [y] * len(rung["values"]), "o", **hollow)


def _write_columns(ax: Axes, rungs: Sequence[dict]) -> None:
    """Write the mean recall and the seconds of each rung on the right of the axes."""
    options: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "fontsize": 10}
    recall_x, seconds_x = 1.02, 1.17  # as shares of the width of the axes
    ax.text(recall_x, -0.75, "recall", **options)
    ax.text(seconds_x, -0.75, "training", **options)
    for y, rung in enumerate(rungs):
        recall = f"{rung['mean']:.1f}"
        if rung["std"] is not None:
            recall += f" ± {rung['std']:.1f}"
        ax.text(recall_x, y, recall, va="center", fontweight="bold", **options)
        ax.text(seconds_x, y, f"{rung['seconds']:.0f} s", va="center", **options)
