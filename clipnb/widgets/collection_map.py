"""A map of a collection: images that are alike lie near each other. A click searches by one."""

import contextlib
import html
import importlib.util
import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets
import torch
from PIL import Image, ImageOps
from torch import Tensor

from clipnb.features import encode_texts
from clipnb.places import display_value
from clipnb.retrieval import ImageIndex
from clipnb.search.thumbnails import encode_webp
from clipnb.search.words import find_words
from clipnb.widgets.accessible import LIVE, OWN_KEYS, make_helper
from clipnb.widgets.cards import name_image
from clipnb.widgets.checks import check_index, has_images
from clipnb.widgets.closing import WholeWidget
from clipnb.widgets.images import format_webp
from clipnb.widgets.style import MAP_STYLE

COLUMNS, ROWS = 22, 12  # cells of the map at most
CELL = 56  # pixels a side of a thumbnail
N_CLUSTERS = 12
STEPS = 20  # of k-means
N_CANDIDATES = 300  # words that may become labels: the most frequent ones
SHORTEST = 3  # letters of such a word
MOST_COMMON = 0.3  # share of the captions above which a word says nothing
# fmt: off
NO_LABELS = {
    "and", "are", "for", "from", "has", "her", "his", "into", "its", "near", "off", "one", "other",
    "out", "over", "some", "that", "the", "their", "them", "there", "they", "this", "two", "three",
    "while", "who", "with",
}
# fmt: on
MISSING = "The map needs anywidget: <code>pip install anywidget</code>, then start the kernel anew."


@dataclass
class Layout:
    """Where images stand on a grid. cells: the row of the index in each cell that has an image."""

    columns: int
    rows: int
    cells: dict[tuple[int, int], int]  # (column, row) -> row of the index


class CollectionMap(WholeWidget):
    """A map of an `ImageIndex`: thumbnails of some hundred images, and labels in words.

    on_pick: called with the id of an image that is clicked. Without it the map shows the images
    nearest to it. method: "pca", or "umap" where umap-learn is installed, which is slower. Raises
    TypeError and ValueError, in a sentence, for an index without images.
    """

    def __init__(
        self,
        index: ImageIndex,
        on_pick: Callable[[str], None] | None = None,
        method: str = "pca",
    ):
        super().__init__()
        check_index(index)
        if not has_images(index):
            raise ValueError(
                "the index holds neither images nor paths, so there is no map to draw; build it "
                "with ImageIndex.build."
            )
        if not (on_pick is None or callable(on_pick)):
            raise TypeError(f"on_pick is a function of an image id, not {display_value(on_pick)}.")
        self.index = index
        self.on_pick = on_pick or self._show_nearest
        self.found = ipywidgets.HTML()
        self.found.add_class(LIVE)
        self.add_class(OWN_KEYS)
        self.add_class("clipnb-map-box")
        points = project(index.image_features, method)  # (N, 2)
        self.layout_of_images = arrange(points)
        self.labels = label_clusters(index, points, self.layout_of_images)
        if importlib.util.find_spec("anywidget"):
            area = make_area(draw_sheet(index, self.layout_of_images), self.describe())
            area.on_msg(self._take_message)
        else:
            area = ipywidgets.HTML(MISSING)
        self.children = [make_helper(MAP_STYLE), area, self.found]

    def __repr__(self) -> str:
        return f"CollectionMap({len(self.index)} images)"

    def describe(self) -> dict[str, Any]:
        """Return what the browser needs to know of the map."""
        layout = self.layout_of_images
        cells = [
            {"column": column, "row": row, "name": name_image(self.index, self.index.image_ids[i])}
            for (column, row), i in layout.cells.items()
        ]
        return {
            "columns": layout.columns,
            "rows": layout.rows,
            "cells": cells,
            "labels": self.labels,
        }

    def _take_message(self, widget: ipywidgets.Widget, content: dict, buffers: list) -> None:
        row, column = divmod(int(content["picked"]), self.layout_of_images.columns)
        self.pick(column, row)

    def pick(self, column: int, row: int) -> None:
        """Search by the image in a cell. Raises ValueError for a cell without an image."""
        layout = self.layout_of_images
        if (column, row) not in layout.cells:
            raise ValueError(
                f"there is no image in column {column}, row {row}; the map has {layout.columns} "
                f"columns and {layout.rows} rows, from 0, and some cells are empty."
            )
        self.on_pick(self.index.image_ids[layout.cells[column, row]])

    def _show_nearest(self, image_id: str) -> None:
        """Show the images nearest to one below the map."""
        hits = self.index.search(self.index.feature(image_id), 9)
        figures = []
        for hit in hits:
            name = name_image(self.index, hit.image_id)
            with contextlib.suppress(OSError):  # of a file that is gone
                figures.append(format_webp(self.index.thumbnail(hit.image_id), name, 96))
        name = html.escape(name_image(self.index, image_id))
        self.found.value = f"<p>Nearest to “{name}”:</p>{''.join(figures)}"


def make_area(sheet: bytes, description: dict) -> ipywidgets.DOMWidget:
    """Make the widget that draws the map in the browser."""
    import anywidget
    import traitlets

    class MapArea(anywidget.AnyWidget):
        _esm = Path(__file__).with_name("collection_map.js")
        sheet = traitlets.Bytes().tag(sync=True)
        map = traitlets.Dict().tag(sync=True)

    return MapArea(sheet=sheet, map=description)


# ---- where images stand ----------------------------------------------------------------------


def project(features: Tensor, method: str = "pca") -> Tensor:
    """Project features (N, D) onto the plane, so that near ones stay near. Returns (N, 2).

    Raises ValueError for an unknown method, ImportError where UMAP is not installed.
    """
    if method not in ("pca", "umap"):
        raise ValueError(f"method is 'pca' or 'umap', not {method!r}.")
    if method == "umap":
        if not importlib.util.find_spec("umap"):
            raise ImportError("UMAP needs umap-learn: pip install umap-learn. Or use method='pca'.")
        import umap

        reducer = umap.UMAP(metric="cosine", random_state=0)
        return torch.from_numpy(reducer.fit_transform(features.numpy()))
    centred = features - features.mean(dim=0)
    _, axes = torch.linalg.eigh(centred.T @ centred)  # (D, D), the largest eigenvalue last
    return centred @ axes[:, -2:].flip(1)


def arrange(points: Tensor) -> Layout:
    """Place points (N, 2) on a grid, one a cell. Where several fall into a cell, one is shown.

    The ranks of the coordinates count, so that the whole grid is used.
    """
    n = len(points)
    scale = min(1.0, (n / (COLUMNS * ROWS)) ** 0.5)
    columns = max(1, round(COLUMNS * scale))
    rows = max(1, round(ROWS * scale))
    ranks = points.argsort(dim=0).argsort(dim=0) / n  # (N, 2) in [0, 1)
    placed = ranks * torch.tensor([columns, rows])
    off_centre = (placed - placed.floor() - 0.5).norm(dim=1)  # (N,) from the middle of the cell
    cells: dict[tuple[int, int], int] = {}
    for i in off_centre.argsort().tolist():
        column, row = placed[i].long().tolist()
        cells.setdefault((column, row), i)
    return Layout(columns, rows, dict(sorted(cells.items(), key=lambda item: item[0][::-1])))


def draw_sheet(index: ImageIndex, layout: Layout) -> bytes:
    """Draw the thumbnails of all cells into one image, as WebP.

    A cell whose file is gone is taken out of the layout.
    """
    sheet = Image.new("RGB", (layout.columns * CELL, layout.rows * CELL), "white")
    for (column, row), i in list(layout.cells.items()):
        try:
            data = index.thumbnail(index.image_ids[i])
        except OSError:
            del layout.cells[column, row]
            continue
        thumbnail = ImageOps.fit(Image.open(io.BytesIO(data)).convert("RGB"), (CELL, CELL))
        sheet.paste(thumbnail, (column * CELL, row * CELL))
    return encode_webp(sheet, 75)


# ---- labels ----------------------------------------------------------------------------------


def find_clusters(features: Tensor, k: int) -> Tensor:
    """Divide features (N, D) into k clusters by k-means on the sphere. Returns (N,) numbers.

    It starts with features far from each other, so it is the same each time.
    """
    centres = [features[0]]
    nearest = features @ features[0]
    for _ in range(k - 1):
        far = nearest.argmin()
        centres.append(features[far])
        nearest = torch.maximum(nearest, features @ features[far])
    centre = torch.stack(centres)  # (k, D)
    for _ in range(STEPS):
        cluster = (features @ centre.T).argmax(dim=1)  # (N,)
        total = torch.zeros_like(centre).index_add_(0, cluster, features)
        moved = torch.nn.functional.normalize(total, dim=1)
        empty = (total == 0).all(dim=1, keepdim=True)
        centre = torch.where(empty, centre, moved)
    return (features @ centre.T).argmax(dim=1)


def label_clusters(index: ImageIndex, points: Tensor, layout: Layout) -> list[dict]:
    """Return labels with their places: the two words nearest to each cluster.

    A word counts for a cluster by how much nearer it lies to it than to the others.
    """
    words = list_candidates(index)
    k = min(N_CLUSTERS, len(index) // 10)
    if not words or k < 2:
        return []
    features = index.image_features
    cluster = find_clusters(features, k)
    means = torch.stack([features[cluster == c].mean(dim=0) for c in cluster.unique()])
    word_features = encode_texts(index.model, index.tokenizer(words))  # (W, D)
    nearness = means @ word_features.T  # (k, W)
    contrast = nearness - nearness.mean(dim=0)
    ranks = points.argsort(dim=0).argsort(dim=0) / len(points)
    places = ranks * torch.tensor([layout.columns, layout.rows])
    labels = []
    for c, own in zip(cluster.unique(), contrast, strict=True):
        best = [words[i] for i in own.argsort(descending=True)[:10].tolist()]
        others = [word for word in best if word[:4] != best[0][:4]]  # "grass" says "grassy" too
        x, y = places[cluster == c].median(dim=0).values.tolist()
        labels.append({"text": ", ".join([best[0], *others[:1]]), "x": x, "y": y})
    return spread(labels, layout)


def list_candidates(index: ImageIndex) -> list[str]:
    """List the frequent words of the captions, those of the bank where the images have none."""
    captions = [text for own in index.captions or [] for text in own]
    if not captions and index.bank is not None:
        captions = list(index.bank.captions)
    counts = Counter(word for text in captions for word in find_words(text))
    most = MOST_COMMON * len(captions)
    words = [
        word
        for word, count in counts.most_common()
        if len(word) >= SHORTEST and count <= most and word not in NO_LABELS
    ]
    return words[:N_CANDIDATES]


def spread(labels: list[dict], layout: Layout) -> list[dict]:
    """Move labels up or down until none covers another, and keep them on the map."""
    placed: list[dict] = []
    for label in sorted(labels, key=lambda label: label["y"]):
        x = min(max(label["x"], 1.5), layout.columns - 1.5)
        y = min(max(label["y"], 0.5), layout.rows - 0.5)
        while any(abs(other["x"] - x) < 5 and abs(other["y"] - y) < 0.9 for other in placed):
            y += 0.3
        if y < layout.rows:
            placed.append({**label, "x": x, "y": y})
    return placed
