"""Runs on disk: a recipe and a seed become a folder of weights, recipe, history and metrics."""

import copy
import csv
import dataclasses
import hashlib
import io
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from clipnb.datasets import CaptionDataset, load_dataset, versioned_name
from clipnb.features import encode_dataset
from clipnb.metrics import bootstrap_intervals, chance, retrieval_ranks
from clipnb.model import CLIP, create_model
from clipnb.preprocess import find_preprocess
from clipnb.recipes import RECIPES, Recipe
from clipnb.runtime import cache_dir, display_path, get_device, replace_when_done, write_file
from clipnb.selection import (
    check_unknown_name,
    format_options,
    is_file,
    split_published_name,
)
from clipnb.tokenizer import Tokenizer, clip_tokenizer, load_tokenizer
from clipnb.towers.libraries import LIBRARIES
from clipnb.tuning import merge_lora

# With 100 images one image more or less moves a recall by a point, and its standard error is up to
# five points. Epochs differ by less than that, so with fewer images on dev the best epoch is the
# luckiest one, which is often an early one of a bad model.
FEW_DEV_IMAGES = 100
LARGE_FILE = 10_000_000  # bytes; such a file takes a while to read


@dataclass
class Run:
    """A trained model and all that belongs to it.

    history: one dict per epoch. metrics: the recalls on dev of the weights that were kept, and
    their epoch; the images seen and the seconds of training of all epochs. With few images on dev
    also their number `n_dev`, the 95 % intervals `dev_intervals`, and a `warning` in words. If
    encoders were frozen or changed by LoRA, `learned_parameters` says how many numbers learned.
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


def run_folder(recipe: Recipe, seed: int = 0, init: str | Path | None = None) -> Path:
    """Return the folder of a run.

    Its name says dataset, recipe and seed. It changes when any field of the recipe changes, or the
    version of the drawn scenes. init: the run or published model whose weights this one starts
    from (see `describe_init`). Then the name ends with a digest of these weights.
    """
    return _name_folder(recipe, seed, None if init is None else describe_init(init))


def _name_folder(recipe: Recipe, seed: int, start: dict | None) -> Path:
    """Return the folder of a run. start: what `describe_init` returned, or None."""
    name = f"{versioned_name(recipe.dataset)}-{recipe.name}-{seed}-{recipe.digest()}"
    if start is not None:
        name += f"-from-{start['weights']}"
    return cache_dir() / "runs" / name


def is_finished(folder: str | Path) -> bool:
    """Tell whether a folder holds a finished run. Its metrics are written last."""
    return all((Path(folder) / name).exists() for name in ("metrics.json", "model.safetensors"))


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
    """Load a split of the dataset of a run, its images made square as its model takes them."""
    preprocess = find_preprocess(run.model)
    return load_dataset(run.recipe.dataset, split, preprocess.size, root, preprocess.crop)


# ---- finding ---------------------------------------------------------------------------------


def list_runs() -> list[Path]:
    """Return the folders of all finished runs in the cache, sorted by name."""
    folders = sorted((cache_dir() / "runs").glob("*/recipe.json"))
    return [path.parent for path in folders if is_finished(path.parent)]


def find_run(run: str | Path) -> Path:
    """Find the folder of a finished run.

    run: a folder; or the name of a recipe, which means its run with seed 0 on its own dataset if
    there is one; or the name, or the beginning of the name, of a folder in the cache, such as
    "flickr8k-two_minutes-0" or "flickr8k". Raises FileNotFoundError if there is no such run,
    ValueError if there are several; both name those that there are. An architecture without weights
    and a misspelled one are told as such.
    """
    if (Path(run) / "recipe.json").exists():
        if not is_finished(run):
            raise FileNotFoundError(f"the run in {display_path(run)} is unfinished.")
        return Path(run)
    name = str(run)
    if name in RECIPES and is_finished(run_folder(RECIPES[name])):
        return run_folder(RECIPES[name])
    runs = list_runs()
    found = [folder for folder in runs if folder.name == name]
    found = found or [folder for folder in runs if folder.name.startswith(f"{name}-")]
    if not found:
        found = [
            folder for folder in runs if read_start(folder).get("recipe", {}).get("name") == name
        ]
    if not found:
        check_unknown_name(name)
        raise FileNotFoundError(f"there is no finished run {name!r}. {describe_runs(runs)}")
    if len(found) > 1:
        raise ValueError(f"{name!r} may mean several runs; name one: {list_names(found)}.")
    return found[0]


def describe_runs(folders: list[Path]) -> str:
    """Say in a sentence which runs there are."""
    if not folders:
        return "No run is finished yet."
    return f"The finished runs are {list_names(folders)}."


def list_names(folders: list[Path], most: int = 8) -> str:
    """List the names of folders, the first ones if there are many."""
    names = ", ".join(folder.name for folder in folders[:most])
    return f"{names} and {len(folders) - most} more" if len(folders) > most else names


def describe_init(init: str | Path) -> dict[str, str]:
    """Describe what a run starts from: its name, and a digest of its weights.

    init: another run (see `find_run`), or the name of published weights. Weights that a library
    finds by their name are described by it, a file by its content. If the name alone does not find
    the weights again, as with a file, `path` is what does. Raises FileNotFoundError and ValueError
    for a file or a folder without weights.
    """
    name = split_published_name(init)
    if name is None:
        folder = find_run(init)
        start = {"run": folder.name, "weights": digest_file(folder / "model.safetensors")}
        if folder.resolve() != (cache_dir() / "runs" / folder.name).resolve():
            start["path"] = str(folder.resolve())
        return start
    family, rest = name
    if family in LIBRARIES or not is_file(family, rest):
        return {"run": f"{family}/{rest}", "weights": _digest(f"{family}/{rest}".encode())}
    path = Path(rest).expanduser().resolve()
    return {
        "run": f"{family}/{path.name}",
        "weights": digest_weight_files(path),
        "path": f"{family}/{path}",
    }


def find_init(folder: str | Path) -> str | None:
    """Return what `init` has to be for the run in a folder, or None if it began anew."""
    start = read_start(folder).get("init")
    return start.get("path", start["run"]) if start else None


def digest_weight_files(path: Path) -> str:
    """Return eight hexadecimal digits of a file, or of the files of weights in a folder."""
    from clipnb.pretrained.files import find_weight_files

    files = find_weight_files(path)
    if not path.is_dir():
        return digest_file(path)
    return _digest("".join(digest_file(file) for file in files).encode())


def digest_file(path: Path) -> str:
    """Return eight hexadecimal digits of the content of a file. A large one is read only once."""
    found = path.stat()
    if found.st_size < LARGE_FILE:
        return _digest(path.read_bytes())
    return _digest_large_file(path.resolve(), found.st_size, found.st_mtime_ns)


@cache
def _digest_large_file(path: Path, size: int, changed: int) -> str:
    """Digest a file. size, changed: another size or time of the last change asks for another."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8]


# ---- writing ---------------------------------------------------------------------------------


def save_start(run: Run) -> None:
    """Write what is known before the first step: the recipe, and the run's own tokenizer."""
    start = {"seed": run.seed, "recipe": dataclasses.asdict(run.recipe)}
    if run.init:
        start["init"] = run.init
    write_file(run.folder / "recipe.json", json.dumps(start, indent=1))
    if run.recipe.tokenizer != "clip":
        write_file(run.folder / "tokenizer.json", run.tokenizer.bpe.to_str())


def pack_weights(model: nn.Module) -> bytes:
    """Return the weights of a model as the bytes of a safetensors file."""
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return safetensors.torch.save(weights)


def save_weights(run: Run) -> None:
    """Write the weights that `load_run` reads, with the low-rank changes of LoRA put in."""
    model = merge_lora(copy.deepcopy(run.model)) if run.recipe.lora_rank else run.model
    write_file(run.folder / "model.safetensors", pack_weights(model))


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
        "model": read_learned_state(model),
        "average": read_learned_state(run.model),
        "optimizer": optimizer.state_dict(),
        "history": run.history,
        "metrics": run.metrics,
    }
    with replace_when_done(run.folder / "state.pt") as temporary:
        torch.save(state, temporary)


def read_learned_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state of a model without its frozen parameters: they stay as they were loaded."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


# ---- reading ---------------------------------------------------------------------------------


def load_state(run: Run, model: CLIP, optimizer: torch.optim.Optimizer) -> None:
    """Restore model, average, optimizer, history and metrics as the last whole epoch left them.

    Frozen parameters are not in the file. They are in the model already, as `init` gave them.
    """
    state = torch.load(run.folder / "state.pt", map_location=get_device(), weights_only=True)
    model.load_state_dict(model.state_dict() | state["model"])
    run.model.load_state_dict(run.model.state_dict() | state["average"])
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
            "`python -m clipnb train`, or `clipnb.load_or_train(recipe)`. "
            f"{describe_runs(list_runs())}"
        )
    stored = read_start(folder)
    try:
        return Recipe(**stored["recipe"]), stored["seed"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{display_path(path)} was written by another version of clipnb ({error}). Nothing "
            "was loaded; delete the folder and train again."
        ) from error


def read_start(folder: str | Path) -> dict:
    """Read `recipe.json` as it stands: the seed, the fields of the recipe, perhaps `init`."""
    return json.loads((Path(folder) / "recipe.json").read_text(encoding="utf-8"))


def check_same_run(
    folder: str | Path, recipe: Recipe, seed: int, init: str | Path | None = None
) -> None:
    """Raise ValueError, naming both, if a folder holds a run of another recipe, seed or start."""
    if not (Path(folder) / "recipe.json").exists():
        return
    found, found_seed = read_recipe(folder)
    asked_for = dataclasses.asdict(recipe) | {"seed": seed, "init": None}
    there = dataclasses.asdict(found) | {"seed": found_seed, "init": None}
    for fields, start in (
        (asked_for, None if init is None else describe_init(init)),
        (there, read_start(folder).get("init")),
    ):
        if start:  # the same weights may lie elsewhere
            fields["init"] = {"run": start["run"], "weights": start["weights"]}
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
    folder = Path(folder)
    found, found_seed = read_recipe(folder)
    if recipe:
        check_same_run(folder, recipe, seed, init)
    start = read_start(folder).get("init")
    if not is_finished(folder):
        init = find_init(folder)
        command = f"python -m clipnb train {format_options(found, found_seed, init)} --resume"
        if folder.resolve() != _name_folder(found, found_seed, start).resolve():
            place = f"folder={str(folder.resolve())!r}"
            command = f"clipnb.train(recipe, {found_seed}, {place}, resume=True, init={init!r})"
        raise FileNotFoundError(
            f"the run in {display_path(folder)} is unfinished. Go on with it: `{command}`."
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
    return Run(model, tokenizer, found, found_seed, folder, history, metrics, start)
