"""Runs on disk: what a folder holds of a run, written and read."""

import copy
import csv
import dataclasses
import io
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from clipnb import run_data
from clipnb.datasets import CaptionDataset, dataset_folder, find_shards, load_dataset
from clipnb.datasets.folders import read_dataset_folder
from clipnb.datasets.shard_files import read_index
from clipnb.datasets.shards import ShardFolder
from clipnb.disk import (
    checksum_file,
    errors_of_the_system,
    parse_json,
    replace_when_done,
    write_file,
)
from clipnb.distributed import find_launch
from clipnb.features import encode_dataset
from clipnb.metrics import bootstrap_intervals, chance, retrieval_ranks
from clipnb.model import CLIP, create_model
from clipnb.places import check_path
from clipnb.preprocess import find_preprocess
from clipnb.recipes import KNOWN_DATASETS, Recipe
from clipnb.run_checks import (
    check_best_epoch,
    check_checksums,
    check_history,
    check_metrics,
    check_zip,
)
from clipnb.run_commands import advise_training, format_command
from clipnb.run_folders import (
    NEXT,
    check_same_run,
    install_next,
    is_finished,
    name_damage,
    read_recipe,
    read_start,
)
from clipnb.runtime import display_path, get_device
from clipnb.selection import holds_run
from clipnb.tokenizer import Tokenizer, clip_tokenizer, load_tokenizer
from clipnb.tuning import merge_lora

# With 100 images one image more or less moves a recall by a point, and its standard error is up to
# five points. Epochs differ by less than that, so with fewer images on dev the best epoch is the
# luckiest one, which is often an early one of a bad model.
FEW_DEV_IMAGES = 100
TRIES = 20  # to read a run whose files another process is replacing
PAUSE = 0.05  # seconds between two tries
ANEW_ADVICE = "Train the run again, without resume (--resume)."


@dataclass
class Run:
    """A trained model and all that belongs to it.

    history: one dict per epoch. metrics: the recalls on dev of the weights that were kept, and
    their epoch; the images seen and the seconds of training of all epochs; and the `CHECKSUMS` of
    the other files, by which a reader of the run notices that one of them is damaged or of another
    run. With few images on dev also their number `n_dev`, the 95 % intervals `dev_intervals`, and a
    `warning` in words. If encoders were frozen or changed by LoRA, `learned_parameters` says how
    many numbers learned.
    init: the run or the published model whose weights this one started from (see `describe_init`),
    or None.
    """

    model: CLIP
    tokenizer: Tokenizer
    recipe: Recipe
    seed: int
    folder: Path
    history: list[dict] = field(default_factory=list)
    metrics: dict = field(default_factory=dict)
    init: dict | None = None

    def __repr__(self) -> str:
        recipe = self.recipe
        epochs = len(self.history)
        start = f", from {self.init['run']}" if self.init else ""
        return f"Run({recipe.dataset}, {recipe.name}, seed {self.seed}, {epochs} epochs{start})"


def describe_few_images(run: Run, dev_set: CaptionDataset) -> dict:
    """Describe how uncertain the result of a run on a small dev set is.

    Returns `n_dev`, the 95 % intervals of all metrics as `dev_intervals`, and a `warning` in words.
    """
    features = encode_dataset(run.model, run.tokenizer, dev_set)
    intervals = bootstrap_intervals(*retrieval_ranks(*features))
    low, high = intervals["mean_recall"]
    n = len(dev_set)
    guess = chance(n, len(dev_set.captions[0]))["mean_recall"]
    warning = (
        f"{dev_set.name} has only {n} dev images: too few to choose the best epoch by, so the last "
        f"weights are kept. Their mean recall on dev is {run.metrics['dev']['mean_recall']:.1f}, "
        f"with a 95 % interval from {low:.1f} to {high:.1f}; guessing among {n} images gives "
        f"{guess:.1f}."
    )
    return {"n_dev": n, "dev_intervals": intervals, "warning": warning}


def load_run_dataset(run: Run, split: str, root: str | Path | None = None) -> CaptionDataset:
    """Load a split of the dataset of a run, its images made square as its model takes them.

    Warns if the run was trained on other data than lies there now.
    """
    preprocess = find_preprocess(run.model)
    dataset = load_dataset(run.recipe.dataset, split, preprocess.size, root, preprocess.crop)
    if warning := run_data.find_differences(run.folder, dataset):
        warnings.warn(f"{run}: {warning}", stacklevel=2)
    return dataset


def warn_of_other_data(
    run: Run,
    root: str | Path | None = None,
    train_set: CaptionDataset | ShardFolder | None = None,
) -> None:
    """Warn if a run has seen other training images or captions than those of now.

    They are those of `train_set`, or else of the reader's own folder, of which no image is decoded.
    A folder that is not here is no reason to warn: the run can be used.
    """
    noted = run_data.read_data(run.folder).get("train")
    if not noted:
        return
    try:
        differences = _compare_data(noted, run, root, train_set)
    except (OSError, ValueError, KeyError):
        return
    if differences:
        command = format_command(run.folder, run.recipe, run.seed, root=root)
        advice = f"`{command}`" if train_set is None else "train again under another name"
        warnings.warn(
            f"{run} was trained on other data: {differences}. To train on that of now: {advice}.",
            stacklevel=3,
        )


def _compare_data(
    noted: dict,
    run: Run,
    root: str | Path | None,
    train_set: CaptionDataset | ShardFolder | None,
) -> str:
    """Say how the training data of now differ from what a run has noted; "" if they do not."""
    name = run.recipe.dataset
    if train_set is not None:
        return run_data.compare_split(noted, train_set, "train")
    if name in KNOWN_DATASETS or run_data.read_data(run.folder)["dataset"] != name:
        return ""
    if shards := find_shards(name, root):
        return run_data.compare_content(noted, "train", read_index(shards)["content"])
    return run_data.compare_folder(noted, read_dataset_folder(dataset_folder(name, root)), "train")


# ---- writing ---------------------------------------------------------------------------------


def save_start(run: Run) -> None:
    """Write what is known before the first step: the recipe, and the run's own tokenizer.

    Under torchrun also its launch, so that a restart knows what it has begun itself.
    """
    start = {"seed": run.seed, "recipe": dataclasses.asdict(run.recipe)}
    if run.init:
        start["init"] = run.init
    if launch := find_launch():
        start["launch"] = launch
    write_file(run.folder / "recipe.json", json.dumps(start, indent=1))
    if run.recipe.tokenizer != "clip":
        write_file(run.folder / "tokenizer.json", run.tokenizer.bpe.to_str())


def is_of_this_launch(folder: Path) -> bool:
    """Tell whether this launch of torchrun has begun the run in a folder, or its successor."""
    work = folder / NEXT if holds_run(folder / NEXT) else folder
    return holds_run(work) and read_start(work).get("launch") == find_launch()


def pack_weights(model: nn.Module) -> bytes:
    """Return the weights of a model as the bytes of a safetensors file."""
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return safetensors.torch.save(weights)


def save_weights(run: Run) -> None:
    """Write the weights that `load_run` reads, with the low-rank changes of LoRA put in.

    The metrics note their checksum, so that nothing else is taken for them when the run is ended.
    """
    model = merge_lora(copy.deepcopy(run.model)) if run.recipe.lora_rank else run.model
    path = run.folder / "model.safetensors"
    write_file(path, pack_weights(model))
    run.metrics["weights_checksum"] = checksum_file(path)


def save_epoch(run: Run, model: CLIP, optimizer: torch.optim.Optimizer) -> None:
    """Write the history, and the state from which `train(resume=True)` goes on.

    model: the one that takes the steps; `run.model` may be its running average.
    """
    save_history(run)
    save_state(run, model, optimizer)


def save_history(run: Run) -> None:
    """Write the history of a run as a table, one epoch a row."""
    table = io.StringIO()
    rows = csv.DictWriter(table, fieldnames=list(run.history[0]))
    rows.writeheader()
    rows.writerows(run.history)
    write_file(run.folder / "history.csv", table.getvalue())


def save_state(
    run: Run, model: CLIP, optimizer: torch.optim.Optimizer, partial: dict | None = None
) -> None:
    """Write the state from which `train(resume=True)` goes on.

    partial: what else is needed to go on in the middle of an epoch; None after a whole one.
    """
    tokenizer = run.folder / "tokenizer.json"  # CLIP's own is in no folder of a run
    state = {
        "model": read_learned_state(model),
        "average": read_learned_state(run.model),
        "optimizer": optimizer.state_dict(),
        "history": run.history,
        "metrics": run.metrics,
        "partial": partial,
        "tokenizer_checksum": checksum_file(tokenizer) if tokenizer.exists() else None,
    }
    # Into an open file: if the disk is full, that says so, and torch alone would not.
    with replace_when_done(run.folder / "state.pt") as temporary, open(temporary, "wb") as file:
        torch.save(state, file)


def read_learned_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of a model without its frozen parameters: they stay as they were loaded."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


# ---- reading ---------------------------------------------------------------------------------


def load_state(run: Run, model: CLIP, optimizer: torch.optim.Optimizer) -> dict | None:
    """Restore model, average, optimizer, history and metrics as `save_state` has written them.

    Frozen parameters are not in the file. They are in the model already, as `init` gave them.
    Returns what `save_state` was given as `partial`. Raises ValueError if the file is damaged.
    """
    advice = f"Its epochs are lost. {ANEW_ADVICE}"
    with name_damage(run.folder / "state.pt", advice):
        check_zip(run.folder / "state.pt")
        state = torch.load(run.folder / "state.pt", map_location=get_device(), weights_only=True)
        check_history(state["history"])
        if state["history"]:  # before the first epoch ends there are no metrics
            check_metrics(state["metrics"])
        model.load_state_dict(model.state_dict() | state["model"])
        run.model.load_state_dict(run.model.state_dict() | state["average"])
        optimizer.load_state_dict(state["optimizer"])
        run.history = state["history"]
        run.metrics = state["metrics"]
    check_checksums(run.folder, {"tokenizer_checksum": state.get("tokenizer_checksum")}, advice)
    return state.get("partial")


def load_run_tokenizer(folder: Path, recipe: Recipe) -> Tokenizer:
    """Load the tokenizer of the run in a folder: CLIP's, or the one it was trained with."""
    if recipe.tokenizer == "clip":
        return clip_tokenizer(recipe.context_length)
    path = folder / "tokenizer.json"
    with name_damage(path, "Nothing was loaded; train the run again, without resuming it."):
        return load_tokenizer(path, recipe.context_length)


def read_metrics(folder: Path, advice: Callable[[], str]) -> dict:
    """Read the metrics of a finished run. Raises ValueError if they are damaged."""
    with name_damage(folder / "metrics.json", advice):
        metrics = parse_json((folder / "metrics.json").read_text(encoding="utf-8"))
        check_metrics(metrics)
    return metrics


def read_history(folder: Path, recipe: Recipe, advice: Callable[[], str]) -> list[dict]:
    """Read the history of a finished run. Raises ValueError if it is damaged, or lacks an epoch."""
    with (
        name_damage(folder / "history.csv", advice),
        open(folder / "history.csv", newline="", encoding="utf-8") as file,
    ):
        rows = list(csv.DictReader(file))
        history = [{key: float(value) for key, value in row.items()} for row in rows]
        if len(history) != recipe.epochs:
            raise ValueError(f"it holds {len(history)} epochs of {recipe.epochs}")
        check_history(history)
    return history


def read_weights(folder: Path, metrics: dict, advice: Callable[[], str]) -> dict[str, Tensor]:
    """Read the weights of a finished run.

    Raises ValueError, naming the file, if the weights are damaged, or if they, the tokenizer, the
    recipe or the history are not those that the metrics were measured with.
    """
    with name_damage(folder / "model.safetensors", advice), errors_of_the_system():
        weights = safetensors.torch.load_file(folder / "model.safetensors")
        if bad := [name for name, each in weights.items() if not each.isfinite().all()]:
            raise ValueError(f"{bad[0]} holds NaN or infinity")
    check_checksums(folder, metrics, advice)
    return weights


def load_run(
    folder: str | Path,
    recipe: Recipe | None = None,
    seed: int = 0,
    init: str | Path | None = None,
) -> Run:
    """Load a finished run, its model in evaluation mode on the fastest device.

    Raises FileNotFoundError if there is none or it is unfinished. Raises ValueError if a recipe is
    given and the folder holds another, another seed or another start (`init`), or if another
    version of clipnb wrote it.
    """
    folder = check_path(folder)
    for _ in range(TRIES - 1):
        install_next(folder)
        metrics = read_bytes(folder / "metrics.json")
        try:
            return read_run(folder, recipe, seed, init)
        except (ValueError, FileNotFoundError):
            # Another process may have put the run's successor into its place meanwhile.
            is_moving = (folder / NEXT / "metrics.json").exists()
            if not is_moving and read_bytes(folder / "metrics.json") == metrics:
                raise
        time.sleep(PAUSE)
    return read_run(folder, recipe, seed, init)


def read_bytes(path: Path) -> bytes | None:
    """Return the bytes of a file, or None if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def read_run(folder: Path, recipe: Recipe | None, seed: int, init: str | Path | None) -> Run:
    """Read a finished run as its files are at this moment. See `load_run`."""
    found, found_seed = read_recipe(folder)
    if recipe:
        check_same_run(folder, recipe, seed, init)
    start = read_start(folder).get("init")
    if not is_finished(folder):
        command = format_command(folder, found, found_seed, resume=True)
        raise FileNotFoundError(
            f"the run in {display_path(folder)} is unfinished. Go on with it: `{command}`."
        )
    advise = partial(advise_training, folder, found, found_seed)
    metrics = read_metrics(folder, advise)
    weights = read_weights(folder, metrics, advise)
    tokenizer = load_run_tokenizer(folder, found)
    model = create_model(found)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {display_path(folder)} do not fit the encoders of this version of "
            "clipnb. Nothing was loaded; delete the folder and train again."
        ) from error
    model = model.to(get_device()).eval()
    history = read_history(folder, found, advise)
    with name_damage(folder / "metrics.json", advise):
        check_best_epoch(metrics, history)
    return Run(model, tokenizer, found, found_seed, folder, history, metrics, start)
