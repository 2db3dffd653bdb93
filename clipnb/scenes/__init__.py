"""A small captioned world: what is in a scene, its labels, and the whole dataset as a folder of images.

Drawing is in drawing.py, what people say about a scene in annotators.py. Everything comes from one seed: captions and labels are
the same everywhere, pixels for one version of Pillow.
"""

import json
import os
import random
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from clipnb.runtime import progress, replace_when_done
from clipnb.scenes.annotators import captions, maybe, pick
from clipnb.scenes.drawing import STYLES, layout, render  # noqa: F401  (one place to import from)

VERSION = 4  # raise it when images or captions change: the cache is named after it

PLACES = ("beach", "meadow", "snow", "street", "night", "sea", "desert", "forest")
KINDS = (
    "dog",
    "cat",
    "bird",
    "fish",
    "car",
    "boat",
    "house",
    "tree",
    "ball",
    "kite",
    "flower",
    "plane",
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "black", "white")
SIZES = ("small", "big")
RELATIONS = ("left of", "right of", "above", "below")
COUNTS = {"train": 6000, "dev": 1000, "test": 1000, "compositions": 1000}

# Where a kind is at home: it is met there three times as often as elsewhere, but it may turn up anywhere, as in a picture book.
HOMES = {
    "dog": ("beach", "meadow", "street"),
    "cat": ("meadow", "street", "night"),
    "bird": ("sea", "meadow", "forest"),
    "fish": ("sea",),
    "car": ("street", "desert"),
    "boat": ("sea", "beach"),
    "house": ("snow", "night", "street"),
    "tree": ("snow", "desert", "night"),
    "ball": ("beach", "meadow", "street"),
    "kite": ("beach", "desert"),
    "flower": ("meadow", "forest"),
    "plane": ("night", "desert", "sea"),
}

# (kind, colour) pairs kept out of train, dev and test, for the `compositions` split: two of each colour, one or two of each kind.
HELD_OUT = frozenset(
    {
        ("dog", "red"),
        ("dog", "blue"),
        ("cat", "orange"),
        ("cat", "purple"),
        ("bird", "yellow"),
        ("bird", "black"),
        ("fish", "green"),
        ("fish", "white"),
        ("car", "blue"),
        ("boat", "purple"),
        ("house", "yellow"),
        ("tree", "orange"),
        ("ball", "black"),
        ("kite", "green"),
        ("flower", "white"),
        ("plane", "red"),
    }
)


@dataclass(frozen=True)
class Thing:
    """One to three equal objects of a scene."""

    kind: str
    colour: str
    size: str  # "small" or "big"
    count: int


@dataclass(frozen=True)
class Scene:
    """What is in an image. With two things, things[0] is `relation` things[1]; the seed settles all that has no name."""

    place: str
    things: tuple
    relation: str | None
    seed: int


def sample_scene(rng, compositions=False):
    """A random Scene. rng: a random.Random. compositions: use only the held-out (kind, colour) pairs; otherwise never use them."""
    n = 2 if maybe(rng, 0.6) else 1
    things = []
    while len(things) < n:
        kind = pick(rng, KINDS)
        colours = [c for c in COLOURS if ((kind, c) in HELD_OUT) == compositions]
        if all(kind != t.kind for t in things):
            things.append(
                Thing(kind, pick(rng, colours), pick(rng, SIZES), 1 + int(rng.random() * 3))
            )
    at_home = [
        place
        for place in PLACES
        for _ in range(1 + 2 * any(place in HOMES[t.kind] for t in things))
    ]
    return Scene(
        pick(rng, at_home),
        tuple(things),
        pick(rng, RELATIONS) if n == 2 else None,
        int(rng.random() * 2**32),
    )


def labels(scene):
    """The truth about a scene as plain data: {"place", "objects": [{"kind", "colour", "size", "count"}], "relation": str or None}.

    "relation" says how objects[0] lies to objects[1]: "left of", "right of", "above" or "below".
    """
    return {
        "place": scene.place,
        "objects": [asdict(thing) for thing in scene.things],
        "relation": scene.relation,
    }


def dataset_scene(split, i, seed=0):
    """Scene `i` of a split of the dataset with this seed; each is sampled on its own, so any can be made without the others."""
    return sample_scene(random.Random(f"{seed}-{split}-{i}"), compositions=split == "compositions")


def _draw_some(folder, split, numbers, seed, size):
    """Draw these scenes of a split as JPEGs; return [(file name, captions, labels)]. At module level, so that worker processes find it."""
    drawn = []
    for i in numbers:
        scene, name = dataset_scene(split, i, seed), f"{split}_{i:05d}.jpg"
        render(scene, size).save(Path(folder) / name, quality=92, subsampling=0)
        drawn.append((name, captions(scene), labels(scene)))
    return drawn


def _draw_all(jobs, workers):
    """Yield `_draw_some(*job)` for each job, in order, drawn in `workers` processes, or in this one where that is not possible."""
    done = 0
    if workers > 1:
        try:
            pool = ProcessPoolExecutor(workers)
        except (
            ImportError,
            NotImplementedError,
            OSError,
        ):  # a system without processes or semaphores
            pool = None
        try:
            for part in pool.map(_draw_some, *zip(*jobs)) if pool else ():
                done += 1
                yield part
        except (
            BrokenProcessPool
        ):  # macOS or Windows, in a script without `if __name__ == "__main__":`
            pass
        finally:  # after Ctrl-C too: no worker may still be writing while the folder is removed
            if pool:
                pool.shutdown(wait=True, cancel_futures=True)
    for job in jobs[done:]:
        yield _draw_some(*job)


def write_scenes(folder, counts=None, seed=0, size=128, workers=None):
    """Draw the dataset into `folder`: Images/, captions.txt, splits/, labels.json (data/README.md describes the layout).

    counts: images per split, default COUNTS. size: pixels a side. workers: processes, default 2 where there are two cores.
    The folder appears when all of it is there; an interrupted call leaves nothing behind.
    """
    counts, workers = COUNTS if counts is None else counts, workers or min(2, os.cpu_count() or 1)
    with replace_when_done(folder) as temporary:
        images = Path(temporary) / "Images"
        images.mkdir(parents=True)
        jobs = [
            (images, split, range(start, min(start + 50, n)), seed, size)
            for split, n in counts.items()
            for start in range(0, n, 50)
        ]
        drawn = []
        with (
            progress(total=sum(counts.values()), desc="drawing the scenes", unit="image") as bar,
            closing(_draw_all(jobs, workers)) as parts,
        ):
            for part in parts:
                drawn += part
                bar.update(len(part))
        _write_lists(Path(temporary), drawn, counts)


def _write_lists(folder, drawn, counts):
    """captions.txt, labels.json and the split lists, from [(file name, captions, labels)]."""
    lines = ["image,caption"] + [f"{name},{caption}" for name, told, _ in drawn for caption in told]
    files = {
        "captions.txt": "\n".join(lines) + "\n",
        "labels.json": json.dumps({name: truth for name, _, truth in drawn}, indent=0),
    }
    for split in counts:
        files[f"splits/{split}.txt"] = "".join(
            f"{name}\n" for name, _, _ in drawn if name.startswith(split + "_")
        )
    (folder / "splits").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
