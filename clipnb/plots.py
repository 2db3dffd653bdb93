"""The course's look, and the figures that more than one notebook draws."""

import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np

# Okabe and Ito's colours can be told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#222222",
)


def use_style():
    """Readable type, few lines, colours that survive colour blindness. Call once at the top of a notebook."""
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


def to_hwc(image):
    """An image (3, S, S), uint8 or float in [-1, 1], array or tensor -> uint8 (S, S, 3) for imshow."""
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = ((image + 1) * 127.5).clip(0, 255).astype(np.uint8)
    return image.transpose(1, 2, 0)


def wrap(text, width):
    """Break a text into lines of at most `width` characters."""
    return "\n".join(textwrap.wrap(text, width))


def show_images(images, titles=None, columns=6, size=1.9, title=None, width=24):
    """A grid of images (N, 3, S, S) with a wrapped title each. Returns the figure."""
    rows = math.ceil(len(images) / columns)
    columns = min(columns, len(images))
    fig, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * size, rows * (size + (0.55 if titles is not None else 0.1))),
        squeeze=False,
    )
    for ax in axes.flat:
        ax.axis("off")
    for i, (ax, image) in enumerate(zip(axes.flat, images)):
        ax.imshow(
            to_hwc(image), interpolation="nearest"
        )  # the pixels the model sees; smoothing also doubles the notebook's size
        if titles is not None:
            ax.set_title(wrap(titles[i], width), fontsize=9, fontweight="normal")
    if title:
        fig.suptitle(title, fontweight="bold", fontsize=13)
    return fig


def plot_similarities(similarities, images, captions, title="", ax=None, numbers=True):
    """Similarities (N, M) of N images (thumbnails down the side) and M captions (along the top) as a heat map. Returns the axes.

    openai/CLIP's notebook draws the same matrix; a trained model has a bright diagonal.
    """
    N, M = similarities.shape
    if ax is None:
        _, ax = plt.subplots(figsize=(1.8 + 0.75 * M, 2.2 + 0.62 * N))
    values = np.asarray(similarities)
    low, high = min(0, values.min()), max(0.5, values.max())
    ax.imshow(values, cmap="viridis", aspect="auto", vmin=low, vmax=high)
    for i, j in np.ndindex(N, M) if numbers else ():
        dark = values[i, j] < (low + high) / 2
        ax.text(
            j,
            i,
            f"{values[i, j]:.2f}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if dark else "black",
        )
    for i, image in enumerate(images):  # thumbnails left of the rows, in axes of their own
        inset = ax.inset_axes([-0.11, 1 - (i + 0.95) / N, 0.1, 0.9 / N])
        inset.imshow(to_hwc(image))
        inset.axis("off")
    ax.set_xticks(range(M), [wrap(c, 30) for c in captions], rotation=35, ha="left", fontsize=8)
    ax.xaxis.tick_top()
    ax.set_yticks([])
    ax.grid(False)
    ax.set_xlabel(title, fontweight="bold", fontsize=13)
    return ax


def plot_history(history, batch_size, chance=None, floor=None):
    """A run's history (list of dicts, see `Run`) as three panels: loss, logit_scale, dev mean recall. Returns the figure.

    Lines for comparison: ln N for guessing, `floor` for a loss that false negatives hardly let it pass, `chance` for the recall.
    """
    epochs = [row["epoch"] for row in history]
    fig, axes = plt.subplots(1, 3, figsize=(12, 3.4))
    axes[0].plot(epochs, [row["loss"] for row in history], marker="o", label="training loss")
    axes[0].axhline(
        math.log(batch_size), color=BLACK, linestyle="--", label=f"ln {batch_size}: guessing"
    )
    if floor is not None:
        axes[0].axhline(floor, color=RED, linestyle=":", label="floor: false negatives")
    axes[0].set(title="Loss", xlabel="epoch", ylabel="nats", ylim=(0, None))
    axes[0].legend()
    axes[1].plot(epochs, [row["logit_scale"] for row in history], marker="o", color=GREEN)
    axes[1].axhline(1 / 0.07, color=BLACK, linestyle="--", label="start: 1 / 0.07")
    axes[1].set(title="logit_scale, exp'ed", xlabel="epoch", ylabel="factor on the cosines")
    axes[1].legend()
    axes[2].plot(
        epochs,
        [row["dev_mean_recall"] for row in history],
        marker="o",
        color=ORANGE,
        label="this run",
    )
    if chance is not None:
        axes[2].axhline(chance, color=BLACK, linestyle="--", label="chance")
    axes[2].set(title="Mean recall on dev", xlabel="epoch", ylabel="percent", ylim=(0, None))
    axes[2].legend()
    return fig


def plot_hits(query, index, hits, title=None, columns=6):
    """What a search found, best first: each image with its score and caption; a query image (3, S, S) stands in front. Returns the figure."""
    images = [index.image(hit.image_id) for hit in hits]
    titles = [
        textwrap.shorten(f"{hit.score:.2f}  {hit.caption.strip(' .')}", 60, placeholder=" …")
        for hit in hits
    ]  # three lines at most
    if not isinstance(query, str):
        images, titles = [query, *images], ["the query", *titles]
    return show_images(
        images,
        titles,
        columns=columns,
        title=title or (f"“{query}”" if isinstance(query, str) else None),
    )


def plot_ladder(rungs, ax=None):
    """A waterfall of recorded rungs (see `ladder.heights`): what each gained (green) or lost with its 95 % margin, its seeds as dots, their spread, seconds. Returns the axes."""
    if ax is None:
        _, ax = plt.subplots(figsize=(10, 1.5 + 0.44 * len(rungs)))
    right = ax.get_yaxis_transform()  # x as a share of the width, y in rungs
    for y, rung in enumerate(rungs):
        gain, std = rung.get("gain", rung["mean"]), rung["std"] or 0.0
        below = rung["mean"] - gain
        ax.barh(
            y,
            gain,
            left=below,
            height=0.64,
            color=BLUE if y == 0 else GREEN if gain >= 0 else RED,
            alpha=0.8,
        )
        if y:
            ax.plot(
                [below, below], [y - 0.68, y + 0.32], color=BLACK, linewidth=1
            )  # from the end of the bar above
            ax.text(
                max(below, *rung["values"], rung["mean"] + std) + 0.25,
                y,
                f"{gain:+.1f} ± {rung['margin']:.1f}",
                va="center",
                fontsize=10,
            )
        ax.errorbar(rung["mean"], y, xerr=std, color=BLACK, linewidth=1.2, capsize=4)
        ax.plot(
            rung["values"],
            [y] * len(rung["values"]),
            "o",
            color=BLACK,
            markersize=4,
            markerfacecolor="white",
        )
        spread = f" ± {rung['std']:.1f}" if rung["std"] is not None else ""
        ax.text(
            1.02,
            y,
            f"{rung['mean']:.1f}{spread}",
            transform=right,
            va="center",
            fontsize=10,
            fontweight="bold",
        )
        ax.text(1.17, y, f"{rung['seconds']:.0f} s", transform=right, va="center", fontsize=10)
    ax.text(1.02, -0.75, "recall", transform=right, fontsize=10)
    ax.text(1.17, -0.75, "training", transform=right, fontsize=10)
    ax.set_yticks(range(len(rungs)), [rung["what"] for rung in rungs])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(
        title="The ladder: mean recall on dev",
        xlabel="mean recall (percent)",
        xlim=(0, 1.18 * max(max(rung["values"]) for rung in rungs)),
    )
    return ax
