"""Runs on disk: a recipe and a seed become a folder of weights, recipe, history and metrics."""

import csv
import dataclasses
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from clipnb.datasets import versioned_name
from clipnb.model import CLIP, create_model
from clipnb.recipes import Recipe
from clipnb.runtime import cache_dir, display_path, get_device, replace_when_done, write_file
from clipnb.tokenizer import Tokenizer, clip_tokenizer, load_tokenizer


@dataclass
class Run:
    """A trained model and all that belongs to it.

    history: one dict per epoch. metrics: the recalls on dev of the weights that were kept, and
    their epoch; the images seen and the seconds of training of all epochs.
    """

    model: CLIP
    tokenizer: Tokenizer
    recipe: Recipe
    seed: int
    folder: Path
    history: list[dict] = field(default_factory=list)
    metrics: dict = field(default_factory=dict)

    def __repr__(self) -> str:
        recipe = self.recipe
        epochs = len(self.history)
        return f"Run({recipe.dataset}, {recipe.name}, seed {self.seed}, {epochs} epochs)"


def run_folder(recipe: Recipe, seed: int = 0) -> Path:
    """Return the folder of a run.

    Its name says dataset, recipe and seed. It changes when any field of the recipe changes, or the
    version of the drawn scenes.
    """
    name = f"{versioned_name(recipe.dataset)}-{recipe.name}-{seed}-{recipe.digest()}"
    return cache_dir() / "runs" / name


def is_finished(folder: str | Path) -> bool:
    """Tell whether a folder holds a finished run. Its metrics are written last."""
    return (Path(folder) / "metrics.json").exists()


# ---- writing ---------------------------------------------------------------------------------


def save_start(run: Run) -> None:
    """Write what is known before the first step: the recipe, and the run's own tokenizer."""
    start = {"seed": run.seed, "recipe": dataclasses.asdict(run.recipe)}
    write_file(run.folder / "recipe.json", json.dumps(start, indent=1))
    if run.recipe.tokenizer != "clip":
        write_file(run.folder / "tokenizer.json", run.tokenizer.bpe.to_str())


def pack_weights(model: nn.Module) -> bytes:
    """Return the weights of a model as the bytes of a safetensors file."""
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return safetensors.torch.save(weights)


def save_weights(run: Run) -> None:
    """Write the weights that `load_run` reads."""
    write_file(run.folder / "model.safetensors", pack_weights(run.model))


def save_epoch(run: Run, model: CLIP, optimizer: torch.optim.Optimizer) -> None:
    """Write the history, and the state from which `train(resume=True)` goes on.

    model: the one that takes the steps; `run.model` may be its running average.
    """
    table = io.StringIO()
    rows = csv.DictWriter(table, fieldnames=list(run.history[0]))
    rows.writeheader()
    rows.writerows(run.history)
    write_file(run.folder / "history.csv", table.getvalue())
    state = {
        "model": model.state_dict(),
        "average": run.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": run.history,
        "metrics": run.metrics,
    }
    with replace_when_done(run.folder / "state.pt") as temporary:
        torch.save(state, temporary)


# ---- reading ---------------------------------------------------------------------------------


def load_state(run: Run, model: CLIP, optimizer: torch.optim.Optimizer) -> None:
    """Restore model, average, optimizer, history and metrics as the last whole epoch left them."""
    state = torch.load(run.folder / "state.pt", map_location=get_device(), weights_only=True)
    model.load_state_dict(state["model"])
    run.model.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    run.history = state["history"]
    run.metrics = state["metrics"]


def load_run_tokenizer(folder: Path, recipe: Recipe) -> Tokenizer:
    """Load the tokenizer of the run in a folder: CLIP's, or the one it was trained with."""
    if recipe.tokenizer == "clip":
        return clip_tokenizer(recipe.context_length)
    return load_tokenizer(folder / "tokenizer.json", recipe.context_length)


def read_recipe(folder: str | Path) -> tuple[Recipe, int]:
    """Read the recipe and the seed of the run in a folder.

    Raises FileNotFoundError if there is no run, ValueError if its recipe has other fields.
    """
    path = Path(folder) / "recipe.json"
    if not path.exists():
        raise FileNotFoundError(
            f"no run in {display_path(folder)}: it has no recipe.json. Train one with "
            "`python -m clipnb train`, or `clipnb.load_or_train(recipe)`."
        )
    stored = json.loads(path.read_text(encoding="utf-8"))
    try:
        return Recipe(**stored["recipe"]), stored["seed"]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{display_path(path)} was written by another version of clipnb ({error}). Nothing "
            "was loaded; delete the folder and train again."
        ) from error


def check_same_run(folder: str | Path, recipe: Recipe, seed: int) -> None:
    """Raise ValueError, naming both, if a folder holds a run of another recipe or seed."""
    if not (Path(folder) / "recipe.json").exists():
        return
    found, found_seed = read_recipe(folder)
    asked_for = dataclasses.asdict(recipe) | {"seed": seed}
    there = dataclasses.asdict(found) | {"seed": found_seed}
    if asked_for == there:
        return
    differences = ", ".join(
        f"{key}: {there[key]!r} there, {asked_for[key]!r} asked for"
        for key in asked_for
        if asked_for[key] != there[key]
    )
    raise ValueError(
        f"{display_path(folder)} holds the recipe {found.name!r}, not {recipe.name!r} as asked "
        f"for ({differences}). Nothing was loaded; choose another folder, or delete that one."
    )


def load_run(folder: str | Path, recipe: Recipe | None = None, seed: int = 0) -> Run:
    """Load a finished run, its model in evaluation mode on the fastest device.

    Raises FileNotFoundError if there is none or it is unfinished. Raises ValueError if a recipe is
    given and the folder holds another, or if another version of clipnb wrote it.
    """
    folder = Path(folder)
    found, found_seed = read_recipe(folder)
    if recipe:
        check_same_run(folder, recipe, seed)
    if not is_finished(folder):
        raise FileNotFoundError(
            f"the run in {display_path(folder)} is unfinished. Go on with it: `python -m clipnb "
            f"train --dataset {found.dataset} --recipe {found.name} --seed {found_seed} --resume`."
        )
    tokenizer = load_run_tokenizer(folder, found)
    model = create_model(found)
    try:
        model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        raise ValueError(
            f"the weights in {display_path(folder)} do not fit the encoders of this version of "
            "clipnb. Nothing was loaded; delete the folder and train again."
        ) from error
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    history = [{key: float(value) for key, value in row.items()} for row in rows]
    metrics = json.loads((folder / "metrics.json").read_text())
    model = model.to(get_device()).eval()
    return Run(model, tokenizer, found, found_seed, folder, history, metrics)
