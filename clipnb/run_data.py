"""What a run was trained on: noted in its folder, and compared with what lies there now."""

import hashlib
import json
import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipnb.datasets.shard_files import digest_content
from clipnb.disk import read_json, write_file
from clipnb.places import display_path
from clipnb.recipes import KNOWN_DATASETS

if TYPE_CHECKING:
    from clipnb.datasets import CaptionDataset
    from clipnb.datasets.folders import DatasetFolder
    from clipnb.datasets.shards import ShardFolder

FILE = "data.json"
EXAMPLES = 3  # so many names stand in a message


def describe_data(
    train_set: "CaptionDataset | ShardFolder", dev_set: "CaptionDataset"
) -> dict[str, Any]:
    """Describe the data of a run: its image ids, and a digest of the captions of each split.

    Of shards the first ids are noted (see `ShardFolder.image_ids`). All may be millions.
    """
    return {
        "dataset": dev_set.name if find_content(train_set) else train_set.name,
        "train": describe_split(train_set),
        "dev": describe_split(dev_set),
    }


def describe_split(dataset: "CaptionDataset | ShardFolder") -> dict[str, Any]:
    """Describe a split: a digest of ids and captions in any order, and the ids themselves.

    skipped: the ids of images that could not be read. Of shards: the digest of what they were
    written from, as their index has it.
    """
    if content := find_content(dataset):
        return {"content": content, "image_ids": sorted(dataset.image_ids)}
    return {
        "captions": digest_captions(zip(dataset.image_ids, dataset.captions, strict=True)),
        "image_ids": sorted(dataset.image_ids),
        "skipped": sorted(dataset.skipped),
    }


def digest_captions(pairs: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return eight hexadecimal digits of image ids and their captions, in any order."""
    listed = sorted((image_id, list(own)) for image_id, own in pairs)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:8]


def find_content(dataset: "CaptionDataset | ShardFolder") -> str | None:
    """Return the digest of the pairs that shards were written from, or None if it is no shards."""
    return getattr(dataset, "index", {}).get("content")


def save_data(
    folder: Path, train_set: "CaptionDataset | ShardFolder", dev_set: "CaptionDataset"
) -> None:
    """Note in a run's folder what it is trained on."""
    write_file(folder / FILE, json.dumps(describe_data(train_set, dev_set)))


def read_data(folder: Path) -> dict[str, Any]:
    """Read what a run was trained on, or {} if its folder does not say it in a readable file.

    Runs of earlier versions do not. The note is there to warn, so without it nothing is refused.
    """
    try:
        noted = read_json(Path(folder) / FILE)
        return noted if set(noted["train"]) and set(noted["dev"]) else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def check_same_data(
    folder: Path, train_set: "CaptionDataset | ShardFolder", dev_set: "CaptionDataset"
) -> bool:
    """Raise ValueError, naming what differs, if an unfinished run was begun on other data.

    Returns whether the run says what it was begun on. Warns if the file that says it is damaged.
    """
    noted = read_data(folder)
    if not noted and (Path(folder) / FILE).exists():
        warnings.warn(
            f"{display_path(Path(folder) / FILE)} is damaged, so nobody can tell whether the run "
            "was begun on the data of now. If you are not sure, train it anew, without resume "
            "(--resume).",
            stacklevel=2,
        )
    pairs = {"train": train_set, "dev": dev_set}
    found = [compare_split(noted[split], each, split) for split, each in pairs.items() if noted]
    if differences := "; ".join(filter(None, found)):
        raise ValueError(
            f"this run was begun on other data: {differences}. Bring the data back, or train the "
            "run anew, without resume (--resume)."
        )
    return bool(noted)


def find_differences(folder: Path, dataset: "CaptionDataset") -> str:
    """Say in a sentence how a split differs from what a run was trained on; "" if it does not.

    Images that the run was trained on, and that are in another split now, are counted too.
    """
    noted = read_data(folder)
    if not noted and (Path(folder) / FILE).exists():
        return f"its {FILE} is damaged, so nobody can tell what it was trained on. Train it again."
    if not noted:
        drawn = dataset.split_source.startswith("seeded") and dataset.name not in KNOWN_DATASETS
        if not drawn or not (Path(folder) / "recipe.json").exists():
            return ""
        return (
            "it does not say what it was trained on, because an earlier version trained it. That "
            f"version split such a folder in another way, so images of {dataset.split} may have "
            "been trained on. Train it again."
        )
    if noted.get("dataset") != dataset.name:
        return ""
    phrases = []
    if dataset.split in ("train", "dev"):
        phrases.append(compare_split(noted[dataset.split], dataset, dataset.split))
    if dataset.split != "train":
        seen = sorted(set(noted["train"].get("image_ids", [])) & set(dataset.image_ids))
        if seen:
            phrases.append(
                f"{len(seen)} of the {len(dataset)} images of {dataset.split} were trained on "
                f"({list_some(seen)})"
            )
    differences = "; ".join(filter(None, phrases))
    return f"it was trained on other data: {differences}. Train it again." if differences else ""


def compare_split(
    noted: dict[str, Any], dataset: "CaptionDataset | ShardFolder", split: str
) -> str:
    """Say how a split differs from what was noted of it; "" if it does not."""
    if "content" in noted:
        return compare_content(noted, split, find_content(dataset) or digest_content(dataset))
    if find_content(dataset):
        return f"{split} was a folder of images and is shards now"
    if phrase := compare_ids(noted, split, [*dataset.image_ids, *dataset.skipped]):
        return phrase
    if describe_split(dataset)["captions"] != noted["captions"]:
        return f"the captions of {split} have changed, or another image can be read"
    return ""


def compare_folder(noted: dict[str, Any], folder: "DatasetFolder", split: str) -> str:
    """Say how a split of a folder differs from what was noted of it, without decoding an image."""
    ids = folder.splits[split]
    if phrase := compare_ids(noted, split, ids):
        return phrase
    read = set(ids) - set(noted.get("skipped", []))
    captions = digest_captions((image_id, folder.captions[image_id]) for image_id in read)
    return "" if captions == noted["captions"] else f"the captions of {split} have changed"


def compare_content(noted: dict[str, Any], split: str, content: str) -> str:
    """Say that shards, or what they were written from, have another digest; "" if they do not."""
    return "" if noted["content"] == content else f"the images or captions of {split} have changed"


def compare_ids(noted: dict[str, Any], split: str, ids: Collection[str]) -> str:
    """Say which image ids were added to a split and which are gone; "" if there are none."""
    before, now = {*noted["image_ids"], *noted.get("skipped", [])}, set(ids)
    phrases = []
    for names, verb in ((now - before, "new"), (before - now, "gone")):
        if names:
            phrases.append(f"{len(names)} {verb} ({list_some(sorted(names))})")
    if not phrases:
        return ""
    return f"{split} had {len(before)} images and has {len(now)}: {', '.join(phrases)}"


def list_some(names: list[str]) -> str:
    """List the first names, and dots if there are more."""
    return ", ".join(names[:EXAMPLES]) + (", …" if len(names) > EXAMPLES else "")
