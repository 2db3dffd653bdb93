"""The drawn world: small captioned scenes, and the whole dataset of them as a folder of images.

What is in a scene is in world.py, what people say about it in annotators.py, and its image in
drawing.py. Everything comes from one seed. Captions and labels are the same on every platform,
pixels with the same version of Pillow.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from clipnb.runtime import end_with_parent, progress, replace_when_done
from clipnb.scenes.annotators import captions
from clipnb.scenes.drawing import STYLES, render
from clipnb.scenes.placement import layout
from clipnb.scenes.world import (
    COLOURS,
    FLIERS,
    HELD_OUT,
    HOMES,
    KINDS,
    PLACES,
    RELATIONS,
    SIZES,
    Scene,
    Thing,
    dataset_scene,
    labels,
    sample_scene,
)

# fmt: off
__all__ = [
    "COLOURS", "COUNTS", "FLIERS", "HELD_OUT", "HOMES", "KINDS", "PLACES", "RELATIONS", "SIZES",
    "STYLES", "VERSION", "Scene", "Thing", "captions", "dataset_scene", "labels", "layout",
    "render", "sample_scene", "write_scenes",
]
# fmt: on

VERSION = 4  # raise it when images or captions change, because the cache is named after it
COUNTS = {"train": 6000, "dev": 1000, "test": 1000, "compositions": 1000}
IMAGES_PER_JOB = 50


class Job(NamedTuple):
    """Some scenes of a split for a worker process to draw."""

    folder: Path
    split: str
    numbers: Sequence[int]
    seed: int
    size: int


class SavedScene(NamedTuple):
    """What the lists of the dataset say about a scene that is drawn."""

    file_name: str
    captions: list[str]
    labels: dict


def write_scenes(
    folder: str | Path,
    counts: dict[str, int] | None = None,
    seed: int = 0,
    size: int = 128,
    workers: int | None = None,
) -> None:
    """Draw the dataset into `folder`: Images/, captions.txt, splits/ and labels.json.

    data/README.md describes this layout. The folder appears when all of it is there, so an
    interrupted call leaves nothing behind. Raises FileExistsError for a folder with anything in it,
    ValueError for a split whose name is no word, and for a number of images or pixels below 1.

    counts: images per split, by default `COUNTS`. size: pixels a side. workers: the number of
    processes, by default two on a machine with two cores or more.
    """
    counts = COUNTS if counts is None else counts
    for split, n in counts.items():
        if not re.fullmatch(r"\w+", split):
            raise ValueError(f"{split!r} cannot name a split; take letters, digits and _ alone.")
        if n < 1 or size < 1:
            raise ValueError(
                f"{n} images of {size} pixels cannot be drawn for {split!r}; ask for one image of "
                "one pixel at least."
            )
    workers = workers or min(2, os.cpu_count() or 1)
    with replace_when_done(folder) as temporary:
        images = temporary / "Images"
        images.mkdir(parents=True)
        jobs = []
        for split, n in counts.items():
            for start in range(0, n, IMAGES_PER_JOB):
                numbers = range(start, min(start + IMAGES_PER_JOB, n))
                jobs.append(Job(images, split, numbers, seed, size))
        saved = []
        with (
            progress(total=sum(counts.values()), desc="drawing the scenes", unit="image") as bar,
            closing(_run_jobs(jobs, workers)) as parts,
        ):
            for part in parts:
                saved += part
                bar.update(len(part))
        _write_lists(temporary, saved, counts)


def _run_jobs(jobs: list[Job], workers: int) -> Iterator[list[SavedScene]]:
    """Yield the result of each job, in order.

    The jobs run in `workers` processes, or in this process where that is not possible.
    """
    n_done = 0
    pool = _open_pool(workers) if workers > 1 else None
    if pool is not None:
        try:
            for part in pool.map(_draw_scenes, jobs):
                n_done += 1
                yield part
        except BrokenProcessPool:
            pass  # on macOS or Windows, in a script without `if __name__ == "__main__":`
        finally:  # after Ctrl-C too: no worker may still write while the folder is removed
            pool.shutdown(wait=True, cancel_futures=True)
    for job in jobs[n_done:]:
        yield _draw_scenes(job)


def _open_pool(workers: int) -> ProcessPoolExecutor | None:
    """Start worker processes; return None on a system without processes or semaphores."""
    try:
        return ProcessPoolExecutor(workers, initializer=end_with_parent)
    except (ImportError, NotImplementedError, OSError):
        return None


def _draw_scenes(job: Job) -> list[SavedScene]:
    """Draw the scenes of a job as JPEG files."""
    saved = []
    for i in job.numbers:
        scene = dataset_scene(job.split, i, job.seed)
        name = f"{job.split}_{i:05d}.jpg"
        render(scene, job.size).save(job.folder / name, quality=92, subsampling=0)
        saved.append(SavedScene(name, captions(scene), labels(scene)))
    return saved


def _write_lists(folder: Path, saved: list[SavedScene], counts: dict[str, int]) -> None:
    """Write captions.txt, labels.json and the lists of the splits."""
    rows = ["image,caption"]
    for scene in saved:
        rows += [f"{scene.file_name},{caption}" for caption in scene.captions]
    truth = {scene.file_name: scene.labels for scene in saved}
    files = {
        "captions.txt": "\n".join(rows) + "\n",
        "labels.json": json.dumps(truth, indent=0),
    }
    for split in counts:
        names = [scene.file_name for scene in saved if scene.file_name.startswith(f"{split}_")]
        files[f"splits/{split}.txt"] = "".join(f"{name}\n" for name in names)
    (folder / "splits").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
