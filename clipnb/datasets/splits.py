"""Which images are for training, which for choosing (dev) and which for the final test."""

import hashlib
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

from clipnb.datasets.caption_files import read_lines
from clipnb.datasets.image_files import ImageNames, is_hidden

OFFICIAL_SPLITS = ("train", "dev", "test")
SPLIT_FOLDERS = {  # the folders of Hugging Face's imagefolder, and what we call the split
    "train": "train",
    "validation": "dev",
    "valid": "dev",
    "val": "dev",
    "dev": "dev",
    "test": "test",
}


def read_splits(
    folder: Path, names: Collection[str], seed: int = 0
) -> tuple[dict[str, list[str]], str]:
    """Read the splits of these image names. Returns the names of each split, and their source.

    The source is `splits/*.txt`, or else the official lists, or else the folders train, validation
    and test, or else a seeded split. Raises ValueError if an image is in two of train, dev and
    test, or if many listed names are unknown.
    """
    lists = sorted((folder / "splits").glob("*.txt"))
    files = {path.stem: path for path in lists if not is_hidden(path.name)}
    source = "splits/ folder"
    if not files:
        files = find_official_lists(folder, names)
        source = "official lists"
    if not files and (splits := find_split_folders(names)):
        return splits, "folders train, validation and test"
    if not files:
        return make_seeded_splits(names, seed), "seeded split by image, 80/10/10"

    image_names = ImageNames(names)
    splits = {split: read_split_list(path, image_names) for split, path in files.items()}
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        both = sorted(set(splits.get(one, [])) & set(splits.get(other, [])))
        if both:
            raise ValueError(
                f"{files[other]}: {len(both)} of its names, {both[0]!r} for one, are in the {one} "
                "list too; an image may be in one split only, or the evaluation sees what was "
                "trained on"
            )
    return splits, source


def read_split_list(path: Path, image_names: ImageNames) -> list[str]:
    """Read a list of image names, one a line, and leave out a few that are unknown."""
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
    return list(known)


def find_official_lists(folder: Path, names: Collection[str]) -> dict[str, Path]:
    """Find the official split lists of Flickr8k, in the folder or beside it; {} if there are none.

    Lists beside the folder may belong to another dataset. They count only if they name an image of
    this one.
    """
    places = [folder, folder / "Flickr8k_text", folder.parent, folder.parent / "Flickr8k_text"]
    for place in places:
        files = {split: place / f"Flickr_8k.{split}Images.txt" for split in OFFICIAL_SPLITS}
        if not all(path.is_file() for path in files.values()):
            continue
        if place.is_relative_to(folder) or not set(names).isdisjoint(read_lines(files["train"])):
            return files
    return {}


def find_split_folders(names: Collection[str]) -> dict[str, list[str]]:
    """Split image names by their first folder, if those are train, validation and test.

    Returns {} if an image lies elsewhere, or if one of the three splits would be empty.
    """
    splits: dict[str, list[str]] = {split: [] for split in OFFICIAL_SPLITS}
    for name in sorted(names):
        split = SPLIT_FOLDERS.get(name.split("/")[0].lower()) if "/" in name else None
        if split is None:
            return {}
        splits[split].append(name)
    return splits if all(splits.values()) else {}


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
