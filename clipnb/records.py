"""The files in results/: one small JSON per reported run, the only source of a reported number."""

import dataclasses
import datetime
import json
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipnb.disk import explain_write_errors, parse_json, read_json
from clipnb.features import encode_dataset
from clipnb.metrics import bootstrap_intervals, retrieval_ranks, summarize_ranks
from clipnb.places import check_path, short_name
from clipnb.recipes import Recipe
from clipnb.runs import Run, load_run_dataset
from clipnb.runtime import (
    cpu_name,
    describe_machine,
    display_path,
    list_versions,
    results_dir,
    write_file,
)

# Nouns that are frequent in Flickr8k's captions. `record_errors` judges a run by each of them.
# fmt: off
FREQUENT_NOUNS = [
    "air", "baby", "ball", "basketball", "beach", "bicycle", "bike", "boy", "boys", "building",
    "camera", "car", "child", "children", "crowd", "dirt", "dog", "dogs", "dress", "face",
    "field", "football", "frisbee", "girl", "girls", "grass", "group", "hair", "hat", "head",
    "hill", "jacket", "lake", "man", "men", "mountain", "mouth", "ocean", "park", "people",
    "person", "player", "pool", "river", "road", "rock", "sand", "shirt", "shorts", "snow",
    "soccer", "street", "sunglasses", "swing", "table", "toy", "tree", "wall", "water", "wave",
    "woman", "women",
]
# fmt: on
# The fields of a run's record that every reader needs.
RUN_FIELDS = {"dataset": str, "recipe": dict, "seed": int, "metrics": dict}


# ---- writing ---------------------------------------------------------------------------------


def record_run(run: Run) -> str:
    """Evaluate a run on dev and test, once, and write its record. Return the path as text.

    The record is `results/runs/<dataset>-<recipe>-<seed>.json`. What is known of its training is
    None for a published model.
    """
    recipe, metrics, intervals = run.recipe, {}, {}
    for split in ("dev", "test"):  # `n_images` is that of test
        dataset = load_run_dataset(run, split)
        ranks = retrieval_ranks(*encode_dataset(run.model, run.tokenizer, dataset))
        metrics[split] = summarize_ranks(*ranks)
        intervals[split] = bootstrap_intervals(*ranks)
    record = {
        "dataset": recipe.dataset,
        "recipe": dataclasses.asdict(recipe),
        "seed": run.seed,
        "parameters": count_parameters(run.model),
        "metrics": metrics,
        "intervals": intervals,
        "n_images": len(dataset),
        "best_epoch": run.metrics.get("best_epoch"),
        "train_seconds": run.metrics.get("train_seconds"),
        "images_seen": run.metrics.get("images_seen"),
        "history": run.history,
        "machine": describe_machine(),
        "versions": list_versions(),
        "date": datetime.date.today().isoformat(),
    }
    path = results_dir() / "runs" / f"{name_record(recipe)}-{run.seed}.json"
    return write_record(path, record, indent=1)


def record_errors(run: Run) -> str:
    """Write where a run errs on dev. Return the path as text.

    The record is `results/errors/<dataset>-<recipe>.json`. For each of `FREQUENT_NOUNS` it tells
    how many captions hold the noun, how many of these find their image among the first ten, and
    their median rank. For every image it tells the median rank that its own captions give it,
    without its name.
    """
    dataset = load_run_dataset(run, "dev")
    _, ranks = retrieval_ranks(*encode_dataset(run.model, run.tokenizer, dataset))
    by_image = ranks.view(len(dataset), -1).double()  # (N, K)
    record = {
        "recipe": run.recipe.name,
        "seed": run.seed,
        "split": "dev",
        "nouns": summarize_nouns(ranks, dataset.captions),
        "median_ranks_by_image": sorted(by_image.quantile(0.5, dim=1).tolist()),
    }
    path = results_dir() / "errors" / f"{name_record(run.recipe)}.json"
    return write_record(path, record)


def summarize_nouns(ranks: Tensor, captions: Sequence[Sequence[str]]) -> dict[str, dict]:
    """Summarize the ranks (N*K,) of the captions (N lists of K) that hold each frequent noun."""
    words = [set(re.findall("[a-z]+", text.lower())) for own in captions for text in own]
    nouns = {}
    for noun in FREQUENT_NOUNS:
        own = ranks[[noun in said for said in words]].double()
        if len(own):
            nouns[noun] = {
                "captions": len(own),
                "R@10": 100 * (own <= 10).double().mean().item(),
                "median_rank": own.quantile(0.5).item(),
            }
    return nouns


def record_trial(run: Run) -> str:
    """Append a run's recipe and its result on dev, never on test. Return the path as text.

    The file is `results/trials/<dataset>.jsonl`. A search keeps a line of every trial, the losers
    too: the best of many trials alone would look better than it is. A line is added in one write,
    so two processes may add theirs at once.
    """
    trial = {
        "recipe": dataclasses.asdict(run.recipe),
        "seed": run.seed,
        **run.metrics,
        "history": run.history,
        "parameters": count_parameters(run.model),
        "machine": describe_machine(),
        "date": datetime.date.today().isoformat(),
    }
    path = trials_path(run.recipe.dataset)
    line = json.dumps(round_floats(trial)).encode() + b"\n"
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with explain_write_errors(path), open(path, "ab", buffering=0) as file:
        line = line if ends_a_line(path) else b"\n" + line
        while line:  # a disk that is nearly full takes a part, and tells so at the next write
            line = line[file.write(line) :]
    return display_path(path)


def ends_a_line(path: Path) -> bool:
    """Tell whether a file is empty or ends with a whole line: a kill leaves a part of one."""
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
        return file.read(1) in (b"", b"\n")


def name_record(recipe: Recipe) -> str:
    """Return the names of a recipe's dataset and of the recipe as a part of a file's name.

    ViT-B-32/openai has a slash. Of a dataset that is named by its path it is the last part.
    """
    return f"{short_name(recipe.dataset)}-{recipe.name.replace('/', '-')}"


def trials_path(dataset: str) -> Path:
    """Return the file with the trials of a search on a dataset. Raises ValueError for its name."""
    return check_path(results_dir() / "trials" / f"{short_name(dataset)}.jsonl")


def write_record(path: Path, record: dict, indent: int | None = None) -> str:
    """Write a record as JSON, its floats rounded. Return its path as text."""
    write_file(path, json.dumps(round_floats(record), indent=indent) + "\n")
    return display_path(path)


def round_floats(value: Any) -> Any:
    """Round all floats inside dicts and lists to six significant digits."""
    if isinstance(value, dict):
        return {key: round_floats(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [round_floats(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def count_parameters(model: nn.Module) -> int:
    """Count the parameters of a model."""
    return sum(p.numel() for p in model.parameters())


# ---- reading ---------------------------------------------------------------------------------


def read_record(path: Path, fields: dict[str, type], command: str) -> dict:
    """Read a record. Raises ValueError, naming the file, if a field is missing or of another kind.

    command: what makes the record anew.
    """
    record = read_json(path)
    for name, kind in fields.items():
        if not isinstance(record, dict) or not isinstance(record.get(name), kind):
            raise ValueError(
                f"{display_path(path)} is no record as clipnb writes it: it has no field {name!r} "
                f"that is a {kind.__name__}. Move it elsewhere, and make it anew: {command}"
            )
    return record


def load_records(dataset: str | None = None) -> list[dict]:
    """Load the records of runs, of one dataset or of all, in the order of their file names."""
    paths = sorted((results_dir() / "runs").glob("*.json"))
    records = [
        read_record(path, RUN_FIELDS, "python -m clipnb evaluate --record") for path in paths
    ]
    return [record for record in records if dataset in (None, record["dataset"])]


def load_trials(dataset: str) -> list[dict]:
    """Load the trials of a search on a dataset, oldest first. There may be none.

    A line that is not whole, because its writer was killed, is left out with a warning.
    """
    path = trials_path(dataset)
    if not path.exists():
        return []
    trials = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            trials.append(parse_trial(line))
        except ValueError:
            warnings.warn(
                f"{display_path(path)}:{number} is not a whole trial and is left out; delete the "
                "line.",
                stacklevel=2,
            )
    return trials


def parse_trial(line: bytes) -> dict:
    """Parse a line of the trials. Raises ValueError for anything but an object."""
    trial = parse_json(line)
    if not isinstance(trial, dict):
        raise ValueError("it is no object")
    return trial


# ---- benchmarks ------------------------------------------------------------------------------


def record_benchmark(
    results: dict, prefix: str = "", processor: str | None = None
) -> tuple[str, dict]:
    """Write what a benchmark measured into `results/bench/<prefix><processor>.json`.

    processor: the name of the one that computed, by default the CPU's. The record tells also the
    machine, its threads and the versions. Returns the path as text, and the record.
    """
    record = {
        "machine": describe_machine(),
        "threads": torch.get_num_threads(),
        "versions": list_versions(),
        "date": datetime.date.today().isoformat(),
        **results,
    }
    name = re.sub("[^a-z0-9]+", "-", (processor or cpu_name()).lower()).strip("-")
    path = results_dir() / "bench" / f"{prefix}{name}.json"
    return write_record(path, record, indent=1), record
