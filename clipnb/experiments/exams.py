"""Test images drawn for the experiments, of scenes that no split of the dataset holds."""

import dataclasses
import hashlib
import json
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image

from clipnb import scenes
from clipnb.datasets import CaptionDataset
from clipnb.runtime import cache_dir, progress, replace_when_done
from clipnb.scenes import Scene

DRAWN_SIZE = 128  # pixels a side at which scenes are drawn, as the dataset's are
Edit = Callable[[Image.Image, Scene], Image.Image]  # changes a drawn image of DRAWN_SIZE


def accept_all(scene: Scene) -> bool:
    """Accept every scene."""
    return True


def has_one_thing(scene: Scene) -> bool:
    """Tell whether a scene shows one kind of thing, so that its kind and colour are unique."""
    return len(scene.things) == 1


def sample_scenes(
    n: int,
    name: str = "exam",
    compositions: bool = False,
    keep: Callable[[Scene], bool] = accept_all,
) -> list[Scene]:
    """Sample the first n random scenes that `keep` accepts, the same every time.

    None of them is in train, dev or test, whatever the `name`. compositions: only the held-out
    (kind, colour) pairs, or none of them.
    """
    found, i = [], 0
    while len(found) < n:
        rng = random.Random(f"experiment-{name}-{i}")
        scene = scenes.sample_scene(rng, compositions)
        if keep(scene):
            found.append(scene)
        i += 1
    return found


def render_dataset(
    some_scenes: Sequence[Scene],
    image_size: int = 64,
    styles: Sequence[str] = ("painted",),
    edit: Edit | None = None,
) -> CaptionDataset:
    """Draw scenes as a dataset with captions and labels; the images are cached.

    The images are uint8 (N, 3, S, S); scene i is drawn in style i modulo their number. edit: a
    module-level function that changes each image before it is scaled down.
    """
    styles = [styles[i % len(styles)] for i in range(len(some_scenes))]
    path = _find_drawing(some_scenes, image_size, styles, edit)
    if not path.exists():
        images = _render_images(some_scenes, image_size, styles, edit)
        with replace_when_done(path) as temporary, open(temporary, "wb") as file:
            np.save(file, images)
    return CaptionDataset(
        "scenes",
        "drawn",
        np.load(path, mmap_mode="r"),
        captions=[scenes.captions(scene) for scene in some_scenes],
        image_ids=[f"drawn_{i:05d}" for i in range(len(some_scenes))],
        labels=[scenes.labels(scene) for scene in some_scenes],
    )


def _find_drawing(
    some_scenes: Sequence[Scene], image_size: int, styles: list[str], edit: Edit | None
) -> Path:
    """Return the file of these images in the cache; its name is a digest of what they show."""
    edit_name = edit and f"{edit.__module__}.{edit.__qualname__}"
    shown = [dataclasses.asdict(scene) for scene in some_scenes]
    content = json.dumps([scenes.VERSION, image_size, styles, edit_name, shown])
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return cache_dir() / "decoded" / f"drawn-{digest}.npy"


def _render_images(
    some_scenes: Sequence[Scene], image_size: int, styles: list[str], edit: Edit | None
) -> np.ndarray:
    """Draw scenes in parallel as uint8 (N, 3, S, S)."""
    workers = min(2, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers) as pool:
        drawn = pool.map(
            _render_one, some_scenes, repeat(image_size), styles, repeat(edit), chunksize=50
        )
        return np.stack(list(progress(drawn, total=len(styles), desc="drawing")))


def _render_one(scene: Scene, image_size: int, style: str, edit: Edit | None) -> np.ndarray:
    image = scenes.render(scene, DRAWN_SIZE, style)
    if edit:
        image = edit(image, scene)
    small = image.resize((image_size, image_size), Image.Resampling.BICUBIC)
    return np.asarray(small).transpose(2, 0, 1)


ATTRIBUTES = {
    "kind": scenes.KINDS,
    "colour": scenes.COLOURS,
    "size": scenes.SIZES,
    "count": (1, 2, 3),
    "place": scenes.PLACES,
}


def read_classes(dataset: CaptionDataset, attribute: str) -> tuple[tuple, np.ndarray]:
    """Return the names of an attribute's classes, and each image's class, int (N,).

    attribute: "kind", "colour", "size" or "count" of an image's first thing, or its "place".
    """
    names = ATTRIBUTES[attribute]
    values = [
        truth["place"] if attribute == "place" else truth["objects"][0][attribute]
        for truth in dataset.labels
    ]
    return names, np.array([names.index(value) for value in values])
