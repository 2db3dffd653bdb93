"""Animations: frames that are drawn like a figure, written as one GIF that loops."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

WIDTH, DPI = 900, 100  # of a frame: one pixel for each unit of its card
PAUSE = 3000  # milliseconds for which the last frame stays


def render_frame(ax: Axes) -> Image.Image:
    """Render the figure of `ax` on white."""
    ax.figure.set_facecolor("white")
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def save_animation(frames: Sequence[Axes], milliseconds: int, path: Path) -> None:
    """Write frames as a GIF that loops. The last one stays longer.

    All frames share one palette, so that nothing flickers and only what moves is stored.
    """
    images = [render_frame(ax) for ax in frames]
    palette = make_palette([images[0], images[len(images) // 2], images[-1]])
    indexed = [use_palette(image, palette) for image in images]
    durations = [milliseconds] * (len(indexed) - 1) + [PAUSE]
    indexed[0].save(
        path, save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=False
    )


def make_palette(images: Sequence[Image.Image]) -> np.ndarray:
    """Choose 255 colours (255, 3) that suit all the images; the first one is white."""
    width, height = images[0].size
    montage = Image.new("RGB", (width, height * len(images)))
    for i, image in enumerate(images):
        montage.paste(image, (0, i * height))
    chosen = montage.quantize(254, method=Image.Quantize.MEDIANCUT, kmeans=1).getpalette()
    return np.array([255, 255, 255, *chosen]).reshape(-1, 3)


def use_palette(image: Image.Image, palette: np.ndarray) -> Image.Image:
    """Give each pixel of an image the nearest colour of a palette (n, 3)."""
    pixels = np.asarray(image).astype(np.int32)  # (height, width, 3)
    codes = (pixels[..., 0] << 16) + (pixels[..., 1] << 8) + pixels[..., 2]
    colours, places = np.unique(codes, return_inverse=True)
    colours = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)  # (n, 3)
    distances = ((colours[:, None] - palette) ** 2).sum(axis=2)  # (n, colours of the palette)
    nearest = distances.argmin(axis=1).astype(np.uint8)
    indexed = Image.fromarray(nearest[places].reshape(codes.shape), "P")
    indexed.putpalette(palette.flatten().tolist())
    return indexed
