"""The figure at the top of the README: three queries, and what a model finds for them."""

import textwrap
from itertools import product
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from shapes import GREY, PALE, draw_image, draw_search_box, draw_tick, make_card, write_text

from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.plots import BLACK, GREEN
from clipnb.retrieval import Hit, ImageIndex
from clipnb.runs import Run
from clipnb.scenes import COLOURS, FLIERS, KINDS, PLACES, dataset_scene, render
from clipnb.scenes.words import NOUN_FORMS, PLACE_PHRASES
from clipnb.training import load_or_train

K = 5  # hits for a query


class Query(NamedTuple):
    """A query for things of a kind and a colour at a place."""

    kind: str
    colour: str
    place: str

    def format_text(self) -> str:
        """Return the text of the query, such as "white boats in the sea"."""
        _, plural = NOUN_FORMS[self.kind].plain[0]
        phrases = PLACE_PHRASES[self.place]
        where = phrases.air if self.kind in FLIERS else phrases.ground
        return f"{self.colour} {plural} {where[0]}"

    def find_right_images(self, dataset: CaptionDataset) -> set[str]:
        """Return the ids of the images that show such things at such a place."""
        wanted = {"kind": self.kind, "colour": self.colour}.items()
        return {
            image_id
            for image_id, truth in zip(dataset.image_ids, dataset.labels, strict=True)
            if truth["place"] == self.place
            and any(wanted <= thing.items() for thing in truth["objects"])
        }


HERO_QUERIES = [  # chosen by hand, and the figure says so
    Query("kite", "black", "beach"),
    Query("boat", "white", "sea"),
    Query("flower", "yellow", "forest"),
]


def draw_hero(run: Run | None = None) -> Axes:
    """Draw three queries and what a run finds among the test images of the scenes.

    run: by default the quick recipe's, which is trained now if it is not there. Returns the axes.
    """
    run = run or load_or_train("quick")
    dataset = load_dataset("scenes", "test")
    index = ImageIndex.build(run.model, run.tokenizer, dataset)
    ax = make_card(1200, 694, dpi=125)
    for row, query in enumerate(HERO_QUERIES):
        draw_search(ax, 28 + 204 * row, query, index, dataset)
    write_notes(ax, 644, index, dataset)
    return ax


def draw_search(
    ax: Axes, y: float, query: Query, index: ImageIndex, dataset: CaptionDataset
) -> None:
    """Draw a query and its hits in a row that starts at height y."""
    text = query.format_text()
    hits = index.search(text, K)
    right_images = query.find_right_images(dataset)
    n_right = count_right(hits, right_images)
    draw_search_box(ax, 28, y + 38, 228, 66, textwrap.fill(text, 17), 12.5)
    write_text(ax, 141, y + 126, f"{n_right} of {K} right", 11, fontweight="bold")
    in_all = f"right images: {len(right_images)} of {len(dataset):,}"
    write_text(ax, 141, y + 148, in_all, 10, GREY)
    for i, hit in enumerate(hits):
        scene_number = dataset.image_ids.index(hit.image_id)
        draw_hit(ax, 280 + 184 * i, y, hit, scene_number, hit.image_id in right_images)


def draw_hit(ax: Axes, x: float, y: float, hit: Hit, scene_number: int, right: bool) -> None:
    """Draw the image of a hit, with its cosine below it, and a tick if it is right."""
    image = render(dataset_scene("test", scene_number), 200)
    edge = GREEN if right else PALE
    draw_image(ax, image, x, y, 160, edge, line=3.5 if right else 1.5)
    write_text(ax, x + 80, y + 176, f"{hit.score:.2f}", 10.5, BLACK if right else GREY)
    if right:
        draw_tick(ax, x + 155, y + 5, 13)


def count_right(hits: list[Hit], right_images: set[str]) -> int:
    """Count the hits that are right."""
    return sum(hit.image_id in right_images for hit in hits)


def write_notes(ax: Axes, y: float, index: ImageIndex, dataset: CaptionDataset) -> None:
    """Write what counts as right, and how the model does over all queries of this form."""
    counts, chances = [], []
    for query in map(Query._make, product(KINDS, COLOURS, PLACES)):
        right_images = query.find_right_images(dataset)
        if len(right_images) >= K:
            hits = index.search(query.format_text(), K)
            counts.append(count_right(hits, right_images))
            chances.append(K * len(right_images) / len(dataset))
    key = (
        "right: thing, colour and place as asked, in any number · under each image: the cosine · "
        "queries chosen by hand"
    )
    average = (
        f"Over all {len(counts)} queries of this form with at least five right images: "
        f"{np.mean(counts):.1f} of {K} right. By chance: {np.mean(chances):.2f}."
    )
    draw_tick(ax, 289, y, 8)
    write_text(ax, 304, y, key, 10.5, GREY, ha="left")
    write_text(ax, 280, y + 24, average, 10.5, GREY, ha="left")
