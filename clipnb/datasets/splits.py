"""Which images are for training, which for choosing (dev) and which for the final test."""

import hashlib
import posixpath
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

from clipnb.datasets.caption_files import read_lines
from clipnb.datasets.image_files import ImageNames, is_hidden

OFFICIAL_SPLITS = ("train", "dev", "test")
SPLIT_NAMES = {  # how lists, and the folders of Hugging Face's imagefolder, call a split
    "train": "train",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "dev": "dev",
    "test": "test",
}


def read_splits(
    folder: Path, names: Collection[str], seed: int = 0
) -> tuple[dict[str, list[str]], str, list[str]]:
    """Read the splits of these image names.

    Returns the names of each split, their source, and the names in the lists that no image has.
    The source is `splits/*.txt`, or else the official lists, or else the folders train, validation
    and test, or else a seeded split. Raises ValueError if an image is in two of train, dev and
    test, if many listed names are unknown, or if an image lies beside the folders train and test.
    """
    files = find_split_lists(folder)
    source = "splits/ folder"
    if not files:
        files = find_official_lists(folder, names)
        source = "official lists"
    if not files and (splits := find_split_folders(names, seed)):
        return splits, "folders train, validation and test", []
    if not files:
        return make_seeded_splits(names, seed), "seeded split by image, 80/10/10", []

    image_names = ImageNames(names)
    splits, unknown = {}, []
    for split, path in files.items():
        splits[split], own_unknown = read_split_list(path, image_names)
        unknown += own_unknown
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        both = sorted(set(splits.get(one, [])) & set(splits.get(other, [])))
        if both:
            raise ValueError(
                f"{files[other]}: {len(both)} of its names, {both[0]!r} for one, are in the {one} "
                "list too; an image may be in one split only, or the evaluation sees what was "
                "trained on"
            )
    return splits, source, unknown


def find_split_lists(folder: Path) -> dict[str, Path]:
    """Find the lists `splits/*.txt`, in upper or lower case: {split: file}.

    `val.txt` lists the split "dev" (see `SPLIT_NAMES`). Raises ValueError if two files list one, or
    for what is no file.
    """
    places = [path for path in folder.iterdir() if path.name.lower() == "splits" and path.is_dir()]
    lists = [path for place in places for path in place.iterdir() if path.suffix.lower() == ".txt"]
    files: dict[str, Path] = {}
    for path in sorted(lists):
        if is_hidden(path.name):
            continue
        split = SPLIT_NAMES.get(path.stem.lower(), path.stem)
        if split in files:
            raise ValueError(f"{path}: {files[split]} lists the split {split!r} too; keep one.")
        if not path.is_file():
            raise ValueError(
                f"{path} is no file; a split list is a text file of image names, one a line."
            )
        files[split] = path
    return files


def read_split_list(path: Path, image_names: ImageNames) -> tuple[list[str], list[str]]:
    """Read a list of image names, one a line. Returns those of images, and a few unknown ones."""
    known: dict[str, None] = {}  # a dict, because it keeps the order of the list
    unknown = []
    for text in dict.fromkeys(read_lines(path)):
        if not text:
            continue
        found, _ = image_names.find(text)
        if len(found) == 1:
            known[found[0]] = None
        else:
            unknown.append(text)
    refuse_many_unknown(
        unknown, len(known), f"{path} lists", "both an image file and a caption here"
    )
    return list(known), unknown


def find_official_lists(folder: Path, names: Collection[str]) -> dict[str, Path]:
    """Find the official split lists of Flickr8k, in the folder or beside it; {} if there are none.

    Lists beside the folder may belong to another dataset. They count only if they name an image of
    this one.
    """
    text_folders = ("", "Flickr8k_text", "flickr8k_text")
    for place in [near / name for near in (folder, folder.parent) for name in text_folders]:
        files = {split: place / f"Flickr_8k.{split}Images.txt" for split in OFFICIAL_SPLITS}
        if not all(path.is_file() for path in files.values()):
            continue
        if place.is_relative_to(folder) or not set(names).isdisjoint(read_lines(files["train"])):
            return files
    return {}


def find_split_folders(names: Collection[str], seed: int = 0) -> dict[str, list[str]]:
    """Split image names by their first folder, if those are train, test and perhaps validation.

    All three may lie in one further folder. Without validation, dev is a tenth of train, by the
    hash of the name. Returns {} if train or test would be empty: then they are folders like any
    other. Raises ValueError if an image lies elsewhere, because it may belong to any split.
    """
    top = posixpath.commonpath([posixpath.dirname(name) for name in names])
    splits: dict[str, list[str]] = {split: [] for split in OFFICIAL_SPLITS}
    elsewhere = []
    for name in sorted(names):
        first, _, rest = name.removeprefix(f"{top}/").partition("/")
        split = SPLIT_NAMES.get(first.lower()) if rest else None
        (elsewhere if split is None else splits[split]).append(name)
    if not splits["train"] or not splits["test"]:
        return {}
    if elsewhere:
        raise ValueError(
            f"there are images in the folders train and test, and {len(elsewhere)} elsewhere, "
            f"{elsewhere[0]!r} for one, which may belong to any split; move them into one of these "
            "folders, or list the images of each split in splits/train.txt, splits/dev.txt and "
            "splits/test.txt."
        )
    if not splits["dev"]:
        parts = make_seeded_splits(splits["train"], seed)
        splits |= {"train": parts["train"] + parts["test"], "dev": parts["dev"]}
    return splits


def make_seeded_splits(names: Collection[str], seed: int = 0) -> dict[str, list[str]]:
    """Split image names into train, dev and test, about 80/10/10, the same on every machine.

    A hash of its name alone says where an image belongs. So an image that is added or removed moves
    no other one: what was trained on never gets into test. In a small folder chance may leave a
    split empty. Then, if there are three images, it gets the nearest one of the largest split.
    """
    if len(names) < len(OFFICIAL_SPLITS):
        return {"train": sorted(names), "dev": [], "test": []}
    places = {name: hash_name(name, seed) for name in sorted(names)}
    splits = {
        "train": [name for name in places if places[name] >= 0.2],
        "dev": [name for name in places if places[name] < 0.1],
        "test": [name for name in places if 0.1 <= places[name] < 0.2],
    }
    for empty in [split for split in OFFICIAL_SPLITS if not splits[split]]:
        fullest = max(splits, key=lambda split: len(splits[split]))
        nearest = (max if empty == "train" else min)(splits[fullest], key=places.get)
        splits[fullest].remove(nearest)
        splits[empty].append(nearest)
    return splits


def hash_name(name: str, seed: int) -> float:
    """Return a number in [0, 1) that looks random, and depends on a name and a seed alone."""
    name = unicodedata.normalize("NFC", name)  # systems write accents in two ways
    content = f"{seed}:{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(content).digest()[:6]) / 2**48


def refuse_many_unknown(
    unknown: Sequence[str],
    n_known: int,
    before: str,
    after: str,
    limit: float = 0.05,
    advice: str = "",
) -> None:
    """Raise ValueError if more than one name, and more than the share `limit`, are unknown.

    The files do not belong together then. before, after: the words of the message around the
    number of unknown names. advice: the end of the message.
    """
    total = len(unknown) + n_known
    if len(unknown) <= max(1, limit * total):
        return
    examples = ", ".join(repr(name) for name in unknown[:3])
    raise ValueError(
        f"{before} {len(unknown)} names (of {total}) that do not have {after}, such as {examples}. "
        f"Are the images complete, and do the files belong together?{advice}"
    )
