"""The baseline model as a figure: two towers that meet in a matrix.

Every number is read from the model. The area of each orange or blue square is its number of
parameters.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from examples import KITE, SIX_SCENES
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image
from shapes import (
    GREY,
    PAPER,
    draw_arrow,
    draw_box,
    draw_feature,
    draw_image,
    draw_matrix,
    make_card,
    write_text,
)
from torch import Tensor, nn

from clipnb.model import CLIP, create_model
from clipnb.plots import BLUE, ORANGE
from clipnb.recipes import RECIPES
from clipnb.scenes import captions, render
from clipnb.tokenizer import clip_tokenizer

PARAMETERS_PER_UNIT = 80  # of a square's area
TEXT_Y = 252  # the middle of the text tower
IMAGE_Y = 574  # the middle of the image tower
END_X = 870  # where both towers end
DARK_ORANGE = "#8F6200"  # orange type that can be read on white


@dataclass
class TracedModel:
    """A model, and what its modules gave for one image and one caption.

    tokens: (1, T). outputs: by module name, without the batch dimension.
    """

    model: CLIP
    tokens: Tensor
    outputs: dict[str, Tensor]

    def count_parameters(self, prefix: str = "") -> int:
        """Count the parameters whose names start with `prefix`."""
        parameters = self.model.named_parameters()
        return sum(p.numel() for name, p in parameters if name.startswith(prefix))

    def format_shape(self, module: str) -> str:
        """Format the shape of a module's output."""
        return format_sizes(self.outputs[module].shape)


def format_sizes(sizes: tuple[int, ...]) -> str:
    """Format sizes as a product, such as "64 × 112 × 112"."""
    return " × ".join(f"{n:,}" for n in sizes)


def trace_baseline(image: Image.Image, caption: str) -> TracedModel:
    """Run a fresh baseline, always the same one, on an image and a caption."""
    with torch.random.fork_rng():  # the caller's random numbers stay as they were
        torch.manual_seed(0)
        model = create_model(RECIPES["baseline"]).eval()
    tokens = clip_tokenizer()([caption])
    outputs = {}
    for name, module in model.named_modules():
        module.register_forward_hook(partial(keep_output, outputs, name))
    pixels = torch.from_numpy(np.array(image).transpose(2, 0, 1))  # (3, S, S)
    model(pixels[None], tokens)
    return TracedModel(model, tokens, outputs)


def keep_output(
    outputs: dict[str, Tensor], name: str, module: nn.Module, inputs: tuple, output: Any
) -> None:
    """Keep a module's output for the first row of a batch: a forward hook."""
    outputs[name] = output[0].detach()


def draw_model() -> Axes:
    """Draw the baseline. Returns the axes."""
    image = render(KITE, RECIPES["baseline"].image_size)
    caption = captions(KITE)[1].strip(" .")
    traced = trace_baseline(image, caption)
    ax = make_card(1360, 760)
    write_titles(ax, traced)
    draw_tokens(ax, traced)
    draw_embedding(ax, traced)
    draw_layers(ax, traced)
    draw_convolutions(ax, traced, image)
    draw_tower_end(ax, traced, "text", "masked mean", TEXT_Y, ORANGE, seed=2)
    draw_tower_end(ax, traced, "image", "mean", IMAGE_Y, BLUE, seed=1)
    draw_meeting(ax, traced)
    return ax


# ---- the parts -------------------------------------------------------------------------------


def draw_square(ax: Axes, x: float, y: float, n_parameters: int, colour: str) -> None:
    """Draw a square with its middle at (x, y) and an area of its number of parameters."""
    side = (n_parameters / PARAMETERS_PER_UNIT) ** 0.5
    square = Rectangle((x - side / 2, y - side / 2), side, side, facecolor=colour)
    ax.add_patch(square)


def write_label(ax: Axes, x: float, y: float, name: str, *lines: str) -> None:
    """Write a name in bold at the top (x, y), and lines below it."""
    write_text(ax, x, y, name, 11, fontweight="bold", va="top")
    write_text(ax, x, y + 20, "\n".join(lines), 10.5, GREY, va="top", linespacing=1.4)


def format_embedding_share(traced: TracedModel) -> str:
    """Format the share of all parameters that is in the token embedding."""
    share = traced.count_parameters("text_encoder.token_embedding") / traced.count_parameters()
    return f"{100 * share:.0f} %"


def write_titles(ax: Axes, traced: TracedModel) -> None:
    """Write the title, what the squares mean, and the names of the towers."""
    title = (
        f"The baseline: {traced.count_parameters():,} parameters, "
        f"{format_embedding_share(traced)} of them in one table"
    )
    key = (
        "The area of each orange or blue square is its number of parameters, "
        "the last number under it."
    )
    write_text(ax, 34, 42, title, 18, ha="left", fontweight="bold")
    write_text(ax, 34, 74, key, 12, GREY, ha="left")
    image_title = f"image tower: {traced.count_parameters('image_'):,} parameters"
    text_title = f"text tower: {traced.count_parameters('text_'):,} parameters"
    write_text(ax, 34, 494, image_title, 13, BLUE, ha="left", fontweight="bold")
    write_text(ax, 532, 140, text_title, 13, DARK_ORANGE, ha="left", fontweight="bold")


def draw_tokens(ax: Axes, traced: TracedModel) -> None:
    """Draw the tokens of the caption, each with its number, one below the other."""
    n_tokens = traced.tokens.shape[1]
    step = 281 / n_tokens
    for i, number in enumerate(traced.tokens[0].tolist()):
        y = TEXT_Y + (i - (n_tokens - 1) / 2) * step
        piece = clip_tokenizer().bpe.id_to_token(number)
        piece = piece.replace("</w>", "").replace("_of_text", "")
        draw_box(ax, 34, y - 11.5, 132, 23, PAPER, ORANGE, corner=5, line=0.9)
        write_text(ax, 44, y, piece, 10, ha="left")
        write_text(ax, 157, y, number, 10, GREY, ha="right")
    write_label(ax, 100, 404, "caption → BPE", f"{n_tokens} tokens")
    draw_arrow(ax, (171, TEXT_Y), (199, TEXT_Y))


def draw_embedding(ax: Axes, traced: TracedModel) -> None:
    """Draw the token embedding and the positions that are added to it."""
    x = 344
    name = "text_encoder.token_embedding"
    n_parameters = traced.count_parameters(name)
    table = format_sizes(traced.model.text_encoder.token_embedding.weight.shape)
    size = f"{table}\n{n_parameters:,} parameters"
    draw_square(ax, x, TEXT_Y, n_parameters, ORANGE)
    write_text(ax, x, TEXT_Y - 52, format_embedding_share(traced), 42, fontweight="bold")
    write_text(ax, x, TEXT_Y + 30, size, 14, linespacing=1.5)
    write_label(ax, x, 404, "token embedding", traced.format_shape(name))
    draw_arrow(ax, (488, TEXT_Y), (532, TEXT_Y))

    x = 545
    n_parameters = traced.count_parameters("text_encoder.positional_embedding")
    shape = format_sizes(traced.model.text_encoder.positional_embedding.shape)
    draw_square(ax, x, TEXT_Y, n_parameters, ORANGE)
    write_label(ax, x, TEXT_Y + 48, "+ positions", shape, f"{n_parameters:,}")
    draw_arrow(ax, (556, TEXT_Y), (610, TEXT_Y))


def draw_layers(ax: Axes, traced: TracedModel) -> None:
    """Draw the layers of the text transformer."""
    n_layers = len(traced.model.text_encoder.blocks)
    first, step = 640, 56
    n_parameters = traced.count_parameters("text_encoder.blocks.0")
    for i in range(n_layers):
        draw_square(ax, first + step * i, TEXT_Y, n_parameters, ORANGE)
    write_label(
        ax,
        first + step * (n_layers - 1) / 2,
        TEXT_Y + 48,
        f"{n_layers} transformer layers",
        traced.format_shape("text_encoder.blocks.0"),
        f"{n_layers} × {n_parameters:,}",
    )
    last = first + step * (n_layers - 1)
    draw_arrow(ax, (last + 30, TEXT_Y), (END_X, TEXT_Y))


def draw_convolutions(ax: Axes, traced: TracedModel, image: Image.Image) -> None:
    """Draw the image, the three convolutions, and feature maps after each of them."""
    image_side = 118
    draw_image(ax, image, 41, IMAGE_Y - 54, image_side)
    write_label(ax, 100, IMAGE_Y + 72, "image", f"3 × {format_sizes(image.size)}")
    arrow_start = 164
    for name, x in (("conv1", 250), ("conv2", 443), ("conv3", 630)):
        module = f"image_encoder.{name}"
        layer = getattr(traced.model.image_encoder, name)
        maps = choose_feature_maps(traced.outputs[module])
        map_side = image_side * maps.shape[1] / image.width
        arrow_end = x - layer.weight.numel() ** 0.5 / 18 - 6
        draw_arrow(ax, (arrow_start, IMAGE_Y), (arrow_end, IMAGE_Y))
        draw_square(ax, x, IMAGE_Y, traced.count_parameters(module), BLUE)
        write_label(
            ax,
            x + 32,
            IMAGE_Y + 48,
            f"conv {layer.in_channels} → {layer.out_channels}",
            traced.format_shape(module),
            f"{traced.count_parameters(module):,}",
        )
        for i, feature_map in enumerate(maps):
            top = IMAGE_Y - map_side / 2 + 7 * (i - 1)
            draw_image(ax, feature_map, x + 36 + 7 * i, top, map_side, line=1)
        arrow_start = x + 56 + map_side
    draw_arrow(ax, (arrow_start, IMAGE_Y), (END_X, IMAGE_Y))


def choose_feature_maps(output: Tensor, n: int = 3) -> Tensor:
    """Choose from a convolution's output (C, H, W) the n maps that vary most, after ReLU."""
    maps = output.relu()
    order = maps.std((1, 2)).argsort(descending=True)
    return maps[order[:n]]  # (n, H, W)


def draw_tower_end(
    ax: Axes, traced: TracedModel, tower: str, pooling: str, y: float, colour: str, seed: int
) -> None:
    """Draw what both towers end with: a mean, a projection, and a feature of unit length."""
    draw_box(ax, 874, y - 14, 38, 28, "white", GREY, corner=14)
    write_text(ax, 893, y, r"$\bar{x}$", 13, GREY)
    write_label(ax, 893, y + 48, pooling, traced.format_shape(f"{tower}_encoder"))
    draw_arrow(ax, (916, y), (990, y))
    projection = f"{tower}_projection"
    n_parameters = traced.count_parameters(projection)
    draw_square(ax, 1010, y, n_parameters, colour)
    shape = traced.format_shape(projection)
    write_label(ax, 1010, y + 48, "projection", shape, f"{n_parameters:,}")
    draw_arrow(ax, (1029, y), (1068, y))
    draw_feature(ax, 1073, y, 8, colour, seed)
    write_label(ax, 1078, y - 58, "unit length")


def draw_meeting(ax: Axes, traced: TracedModel) -> None:
    """Draw where the towers meet: the matrix of cosines and the loss."""
    N = len(SIX_SCENES)
    cell = 24
    left = 1178
    middle = left + N * cell / 2
    top = IMAGE_Y - N * cell / 2
    start = 1090  # behind the features
    draw_arrow(ax, (start, IMAGE_Y), (left - 5, IMAGE_Y), colour=BLUE)
    draw_arrow(ax, (start, TEXT_Y), (middle, TEXT_Y), (middle, top - 6), colour=ORANGE)
    write_text(ax, middle + 8, top - 20, "captions", 10.5, GREY, ha="left")
    write_text(ax, (start + left) / 2 - 3, IMAGE_Y - 14, "images", 10.5, GREY)
    draw_matrix(ax, left, top, cell, SIX_SCENES)
    write_label(
        ax,
        middle,
        IMAGE_Y + 82,
        "N × N cosines",
        "× exp(logit_scale)",
        f"{traced.model.logit_scale.numel()} parameter",
        "→ symmetric cross-entropy",
    )
