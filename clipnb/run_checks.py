"""What the files of a run must hold: a number for each epoch, and the bytes that were written."""

import math
import os
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from clipnb.disk import checksum_file
from clipnb.metrics import chance
from clipnb.places import display_value
from clipnb.run_folders import DELETE_ADVICE, FILES, name_damage
from clipnb.runtime import display_path

# A number in the metrics of a run, and the file whose checksum it is.
CHECKSUMS = {
    "recipe_checksum": "recipe.json",
    "history_checksum": "history.csv",
    "weights_checksum": "model.safetensors",
    "tokenizer_checksum": "tokenizer.json",
}
COLUMNS = ("epoch", "loss", "logit_scale", "dev_mean_recall", "seconds")  # of a history


def check_places(folder: Path) -> None:
    """Raise FileExistsError, naming it, if a run cannot write one of its files.

    A folder may stand in its place, or a link that leads to no file.
    """
    for path in sorted(folder / name for name in FILES):
        if os.path.lexists(path) and not os.path.isfile(path):
            raise FileExistsError(
                f"{display_path(folder)}: {path.name} is no file, and a run writes one of this "
                "name. Nothing was touched; move it elsewhere, or delete it."
            )


# ---- numbers ---------------------------------------------------------------------------------


def check_history(history: object) -> None:
    """Raise ValueError if a history is no list of rows with a number in each of `COLUMNS`."""
    if not isinstance(history, list):
        raise ValueError("its history is no list")
    for number, row in enumerate(history, 1):
        check_numbers(row, COLUMNS, f"row {number} of its history")


def check_metrics(metrics: object) -> None:
    """Raise ValueError if the metrics of a run lack a number that the end of an epoch writes."""
    check_numbers(metrics, ("best_epoch", "train_seconds", "images_seen"), "it")
    check_numbers(metrics.get("dev"), chance(1), "its dev")


def check_best_epoch(metrics: dict, history: list[dict]) -> None:
    """Raise ValueError if the recall in the metrics is not that of the best epoch's row."""
    recalls = {row["epoch"]: row["dev_mean_recall"] for row in history}
    best, recall = metrics["best_epoch"], metrics["dev"]["mean_recall"]
    if recalls.get(best) != recall:
        raise ValueError(f"its recall of epoch {best} is {recall}, in history.csv another one")


def check_numbers(values: object, names: Iterable[str], what: str) -> None:
    """Raise ValueError, naming the first, if some values lack a finite number under a name."""
    if not isinstance(values, dict):
        raise ValueError(f"{what} is no table of numbers")
    for name in names:
        value = values.get(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise ValueError(f"{what} has {display_value(value)} for {name}")


# ---- bytes -----------------------------------------------------------------------------------


def compute_checksums(folder: Path, advice: str) -> dict[str, int]:
    """Return the checksums of the files of a run, by their keys in `CHECKSUMS`.

    Raises ValueError, naming the file, if one is missing. CLIP's own tokenizer is in no folder.
    """
    checksums = {}
    for key, name in CHECKSUMS.items():
        if name == "tokenizer.json" and not (folder / name).exists():
            continue
        with name_damage(folder / name, advice):
            checksums[key] = checksum_file(folder / name)
    return checksums


def check_checksums(folder: Path, noted: dict, advice: str | Callable[[], str]) -> None:
    """Raise ValueError, naming the file, if a file has another checksum than was noted of it.

    noted: some of `CHECKSUMS`, beside others. What earlier versions did not note is not compared.
    """
    for key, name in CHECKSUMS.items():
        if noted.get(key) is None:
            continue
        # A command that trains the run again would have what the damaged recipe says.
        with name_damage(folder / name, DELETE_ADVICE if name == "recipe.json" else advice):
            if noted[key] != checksum_file(folder / name):
                raise ValueError("its bytes are not those of this run")


def check_zip(path: Path) -> None:
    """Raise an error if a file that torch has saved, a zip, is not as it was written.

    torch itself compares no checksums.
    """
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"the bytes of {damaged} in it have changed")
