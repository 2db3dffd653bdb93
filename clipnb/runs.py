"""Runs on disk: a recipe and a seed become a folder of weights, recipe, history and metrics, each file written whole or not at all."""

import csv
import dataclasses
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch

from clipnb.model import CLIP, create_model
from clipnb.recipes import Recipe
from clipnb.runtime import cache_dir, get_device, replace_when_done, shown
from clipnb.tokenizer import Tokenizer, clip_tokenizer, load_tokenizer


@dataclass
class Run:
    """A trained model and all that belongs to it. history: a dict per epoch. metrics: dev recalls, epoch and seconds of the weights kept."""

    model: CLIP
    tokenizer: Tokenizer
    recipe: Recipe
    seed: int
    folder: Path
    history: list = field(default_factory=list)
    metrics: dict = field(default_factory=dict)

    def __repr__(self):
        return f"Run({self.recipe.dataset}, {self.recipe.name}, seed {self.seed}, {len(self.history)} epochs)"


def run_folder(recipe, seed=0):
    """Where a run lies: the name says dataset, recipe and seed, and changes when any field of the recipe does, or the scenes."""
    from clipnb.scenes import VERSION

    dataset = f"scenes-v{VERSION}" if recipe.dataset == "scenes" else recipe.dataset
    return cache_dir() / "runs" / f"{dataset}-{recipe.name}-{seed}-{recipe.digest()}"


def is_finished(folder):
    """Whether a folder holds a whole run; its metrics are written last."""
    return (Path(folder) / "metrics.json").exists()


def write(path, content):
    """Write text or bytes, whole or not at all."""
    with replace_when_done(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())


def save_start(run):
    """Write what is known before the first step: the recipe, and the tokenizer if it is the run's own."""
    write(run.folder / "recipe.json", json.dumps({"seed": run.seed, "recipe": dataclasses.asdict(run.recipe)}, indent=1))
    if run.recipe.tokenizer != "clip":
        write(run.folder / "tokenizer.json", run.tokenizer.bpe.to_str())


def save_weights(run):
    """Write the model's weights, the ones `load_run` reads."""
    write(run.folder / "model.safetensors", safetensors.torch.save({k: v.contiguous() for k, v in run.model.state_dict().items()}))


def save_epoch(run, model, optimizer):
    """Write history and the state from which `train(resume=True)` goes on; `model` takes the steps, `run.model` may be its average."""
    table = io.StringIO()
    rows = csv.DictWriter(table, fieldnames=list(run.history[0]))
    rows.writeheader()
    rows.writerows(run.history)
    write(run.folder / "history.csv", table.getvalue())
    with replace_when_done(run.folder / "state.pt") as temporary:
        torch.save({"model": model.state_dict(), "average": run.model.state_dict(), "optimizer": optimizer.state_dict(),
                    "history": run.history, "metrics": run.metrics}, temporary)


def load_state(run, model, optimizer):
    """Bring model, its average, optimiser, history and metrics to where the last whole epoch left them."""
    state = torch.load(run.folder / "state.pt", map_location=get_device(), weights_only=True)
    model.load_state_dict(state["model"])
    run.model.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    run.history, run.metrics = state["history"], state["metrics"]


def stored_tokenizer(folder, recipe):
    """The tokenizer of the run in a folder: CLIP's, or the one it was trained with."""
    return clip_tokenizer(recipe.context_length) if recipe.tokenizer == "clip" else load_tokenizer(folder / "tokenizer.json", recipe.context_length)


def read_recipe(folder):
    """The recipe and the seed of the run in a folder. Raises FileNotFoundError if there is none, ValueError if it has other fields."""
    path = Path(folder) / "recipe.json"
    if not path.exists():
        raise FileNotFoundError(f"no run in {shown(folder)}: it has no recipe.json. Train one with `python -m clipnb train`, or `clipnb.load_or_train(recipe)`.")
    stored = json.loads(path.read_text(encoding="utf-8"))
    try:
        return Recipe(**stored["recipe"]), stored["seed"]
    except TypeError as error:
        raise ValueError(f"{shown(path)} was written by another version of clipnb ({error}). Nothing was loaded; delete the folder and train again.") from error


def check_same_run(folder, recipe, seed):
    """Raise ValueError, naming both, if a folder holds a run of another recipe or seed."""
    if not (Path(folder) / "recipe.json").exists():
        return
    found, found_seed = read_recipe(folder)
    if (found, found_seed) != (recipe, seed):
        mine, theirs = dataclasses.asdict(recipe) | {"seed": seed}, dataclasses.asdict(found) | {"seed": found_seed}
        differ = ", ".join(f"{key}: {theirs[key]!r} there, {mine[key]!r} asked for" for key in mine if mine[key] != theirs[key])
        raise ValueError(f"{shown(folder)} holds the recipe {found.name!r}, not {recipe.name!r} as asked for ({differ}). "
                         "Nothing was loaded; choose another folder, or delete that one.")


def load_run(folder, recipe=None, seed=0):
    """A finished run from its folder, its model in evaluation mode on the fastest device.

    Raises FileNotFoundError if there is none or it is unfinished; ValueError if a recipe is given and the folder holds another, or if
    another version of clipnb wrote it.
    """
    folder = Path(folder)
    found, found_seed = read_recipe(folder)
    if recipe:
        check_same_run(folder, recipe, seed)
    if not is_finished(folder):
        raise FileNotFoundError(f"the run in {shown(folder)} is unfinished. Go on with it: `python -m clipnb train --dataset {found.dataset} "
                                f"--recipe {found.name} --seed {found_seed} --resume`.")
    tokenizer, model = stored_tokenizer(folder, found), create_model(found)
    try:
        model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        raise ValueError(f"the weights in {shown(folder)} do not fit the encoders of this version of clipnb. Nothing was loaded; "
                         "delete the folder and train again.") from error
    with open(folder / "history.csv", newline="") as file:
        history = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    metrics = json.loads((folder / "metrics.json").read_text())
    return Run(model.to(get_device()).eval(), tokenizer, found, found_seed, folder, history, metrics)
