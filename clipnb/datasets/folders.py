"""Read a dataset folder: Flickr8k as its authors or Kaggle publish it, or a folder of your own."""

import csv
import hashlib
import json
import os
import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

CAPTIONS_PER_IMAGE = 5
IMAGE_FOLDERS = ["Flicker8k_Dataset", "Images", "images"]  # the official archive says "Flicker"
CAPTION_FILES = ["Flickr8k_text/Flickr8k.token.txt", "Flickr8k.token.txt", "captions.txt"]
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
OFFICIAL_SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class DatasetFolder:
    """What a dataset folder holds, before any image is decoded.

    The keys of `image_paths`, `captions` and `labels` are the same image names, sorted.

    image_paths: the file of each image.
    captions: the K captions of each image, with the same K for all.
    splits: the image names of each split, such as "train", in the order of its list.
    labels: what labels.json says of each image, {} if nothing; None without that file.
    split_source: "splits/ folder", "official lists" or "seeded split by image, 80/10/10".
    dropped: image names by the reason why they are left out: "no image", "no caption" or
        "junk caption".
    """

    image_paths: dict[str, Path]
    captions: dict[str, list[str]]
    splits: dict[str, list[str]]
    labels: dict[str, dict] | None
    split_source: str
    dropped: dict[str, list[str]]


def read_dataset_folder(folder: str | Path, seed: int = 0) -> DatasetFolder:
    """Read the names, captions, splits and labels of a dataset folder.

    No image is decoded and nothing is written. data/README.md shows the layouts that are read.

    A name with a caption but without an image is dropped. So are images without a caption, and
    captions that say nothing (`is_junk`). Then every image gets the same number of captions K,
    which is the largest number that any image has, but at most 5. An image with fewer repeats its
    own in turn. Without split lists the images are shuffled with `seed` and cut 80/10/10. The cut
    is by image, so that no image is in two splits.

    Raises FileNotFoundError if there is no dataset, and ValueError with file and line if a file
    cannot be understood.
    """
    folder = Path(folder)
    images = find_images(folder)
    caption_file = find_caption_file(folder)
    captions: dict[str, list[str]] = {}
    without_image: dict[str, None] = {}  # a dict, because it keeps the order of the file
    with_junk = []
    for name, caption in read_captions(caption_file):
        if name not in images:
            without_image[name] = None
        elif is_junk(caption):
            with_junk.append(name)
        else:
            captions.setdefault(name, []).append(caption)
    dropped = {
        "no image": list(without_image),
        "no caption": sorted(set(images) - set(captions)),
        "junk caption": with_junk,
    }
    refuse_many_unknown(
        dropped["no image"], len(captions), f"{caption_file} has captions for", "image files here"
    )
    if not captions:
        raise ValueError(f"{caption_file} holds no caption for any image in {folder}")

    captions = _even_out(dict(sorted(captions.items())))
    splits, split_source = read_splits(folder, captions, seed)
    return DatasetFolder(
        image_paths={name: images[name] for name in captions},
        captions=captions,
        splits=splits,
        labels=read_labels(folder, captions),
        split_source=split_source,
        dropped=dropped,
    )


def _even_out(captions: dict[str, list[str]]) -> dict[str, list[str]]:
    """Give every image the same number of captions: cut long lists, repeat short ones."""
    K = min(CAPTIONS_PER_IMAGE, max(len(own) for own in captions.values()))
    return {name: [own[i % len(own)] for i in range(K)] for name, own in captions.items()}


# ---- images and captions ---------------------------------------------------------------------


def find_images(folder: str | Path) -> dict[str, Path]:
    """Find the images of a dataset folder. Returns the file of each image name.

    Raises FileNotFoundError if there is none; its message says where they were looked for.
    """
    for place in (Path(folder) / name for name in IMAGE_FOLDERS):
        if not place.is_dir():
            continue
        names = sorted(os.listdir(place))
        images = {
            name: place / name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES
        }
        if images:
            return images
    raise make_not_found_error(folder, "no images", [f"{name}/" for name in IMAGE_FOLDERS])


def find_caption_file(folder: str | Path) -> Path:
    """Find the caption file of a dataset folder.

    Raises FileNotFoundError if there is none; its message says where it was looked for.
    """
    for path in (Path(folder) / name for name in CAPTION_FILES):
        if path.is_file():
            return path
    raise make_not_found_error(folder, "no caption file", CAPTION_FILES)


def make_not_found_error(
    folder: str | Path, missing: str, names: Sequence[str]
) -> FileNotFoundError:
    """Make the error for a missing dataset: what is missing, where it was sought, what to do."""
    folder = Path(folder)
    if folder.is_dir():
        problem = f"{missing} in {folder}: looked for {', '.join(names)}"
    else:
        problem = f"there is no folder {folder}"
    return FileNotFoundError(
        f"dataset {folder.name!r} not found: {problem}.\n"
        "To download Flickr8k: python -m clipnb download flickr8k\n"
        f"If {folder.name!r} lies elsewhere, name the folder that contains it with --data-dir or "
        f"the variable CLIPNB_DATA (here: {folder.parent}). data/README.md shows the layout of a "
        "folder of your own."
    )


def read_captions(path: Path) -> list[tuple[str, str]]:
    """Read a caption file as (image name, caption), in its order, without stray spaces.

    `*.token.txt` has lines `name.jpg#0<tab>caption`. `captions.txt` has the header `image,caption`
    and lines `name.jpg,caption`; the caption may hold commas, or be quoted as in CSV.

    Raises ValueError with file and line for a malformed line.
    """
    lines = [(number, line) for number, line in enumerate(read_lines(path), 1) if line]
    if path.name.endswith(".token.txt"):
        parse, expected = _parse_token_line, "`name.jpg#0<tab>caption`"
    else:
        parse, expected = _parse_csv_line, "`name.jpg,caption`"
        if lines and lines[0][0] == 1 and _is_header(path, lines[0][1]):
            lines = lines[1:]
    pairs = []
    for number, line in lines:
        name, caption = parse(line)
        if not name:
            raise ValueError(f"{path}:{number}: expected {expected}, got {line[:80]!r}")
        pairs.append((name, " ".join(caption.split())))
    return pairs


def _parse_token_line(line: str) -> tuple[str, str]:
    """Return image name and caption of an official line; both are "" if it is malformed."""
    match = re.fullmatch(r"(.+)#\d+\s*\t(.*)", line)
    if match is None:
        return "", ""
    name, caption = match.groups()
    return name.strip(), caption


def _parse_csv_line(line: str) -> tuple[str, str]:
    """Return image name and caption of a line of captions.txt; both are "" if it is malformed."""
    if "," not in line:
        return "", ""
    name, *rest = _split_csv(line)
    return name.strip(), ",".join(rest)


def _split_csv(line: str) -> list[str]:
    """Split a line at its commas: at the first one only, unless there are quotes.

    Kaggle quotes captions that hold a comma, and doubles the quotes in them.
    """
    return next(csv.reader([line])) if '"' in line else line.split(",", maxsplit=1)


def _is_header(path: Path, line: str) -> bool:
    """Tell whether the first line names no image. Raises ValueError if it is another header."""
    cells = _split_csv(line)
    if Path(cells[0]).suffix:
        return False
    if [cell.strip().lower() for cell in cells] != ["image", "caption"]:
        raise ValueError(f"{path}:1: expected the header `image,caption`, got {line[:80]!r}")
    return True


def read_lines(path: Path) -> list[str]:
    """Read the lines of a UTF-8 text file, without surrounding spaces.

    Raises ValueError with file and line if the file is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # drops the byte-order mark of Windows editors
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise ValueError(
            f"{path}:{number}: expected UTF-8 text, got the byte 0x{byte:02x}: "
            "save the file as UTF-8"
        ) from error
    return [line.strip() for line in text.split("\n")]


def is_junk(caption: str) -> bool:
    """Tell whether a caption says nothing.

    It does if it has no letter, or is a lone article or "broken image". Flickr8k has "A", "a" and
    "broken image".
    """
    words = re.findall(r"[^\W\d_]+", caption.lower())  # runs of letters, in any script
    return " ".join(words) in {"", "a", "an", "the", "broken image"}


# ---- splits and labels -----------------------------------------------------------------------


def read_splits(
    folder: Path, names: Collection[str], seed: int = 0
) -> tuple[dict[str, list[str]], str]:
    """Read the splits of these image names. Returns the names of each split, and their source.

    The source is `splits/*.txt`, or else the official lists, or else a seeded split. Raises
    ValueError if an image is in two of train, dev and test, or if many listed names are unknown.
    """
    files = {path.stem: path for path in sorted((folder / "splits").glob("*.txt"))}
    source = "splits/ folder"
    if not files:
        files = find_official_lists(folder, names)
        source = "official lists"
    if not files:
        return make_seeded_splits(names, seed), "seeded split by image, 80/10/10"

    splits = {}
    for split, path in files.items():
        listed = [name for name in dict.fromkeys(read_lines(path)) if name]
        splits[split] = [name for name in listed if name in names]
        unknown = [name for name in listed if name not in names]
        refuse_many_unknown(
            unknown, len(splits[split]), f"{path} lists", "both an image file and a caption here"
        )
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        both = sorted(set(splits.get(one, [])) & set(splits.get(other, [])))
        if both:
            raise ValueError(
                f"{files[other]}: {len(both)} of its names, {both[0]!r} for one, are in the {one} "
                "list too; an image may be in one split only, or the evaluation sees what was "
                "trained on"
            )
    return splits, source


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


def make_seeded_splits(names: Collection[str], seed: int = 0) -> dict[str, list[str]]:
    """Split image names into train, dev and test, 80/10/10, the same on every machine."""
    names = sorted(names)
    random.Random(seed).shuffle(names)
    n = max(1, round(len(names) / 10)) if len(names) >= 3 else 0
    return {"train": names[2 * n :], "dev": names[:n], "test": names[n : 2 * n]}


def refuse_many_unknown(unknown: Sequence[str], n_known: int, before: str, after: str) -> None:
    """Raise ValueError if more than one name, and more than 5 % of all, are unknown.

    The files do not belong together then. before, after: the words of the message around the
    number of unknown names.
    """
    total = len(unknown) + n_known
    if len(unknown) <= max(1, 0.05 * total):
        return
    examples = ", ".join(repr(name) for name in unknown[:3])
    raise ValueError(
        f"{before} {len(unknown)} names (of {total}) that do not have {after}, such as {examples}. "
        "Are the images complete, and do the files belong together?"
    )


def read_labels(folder: Path, names: Collection[str]) -> dict[str, dict] | None:
    """Read labels.json: a dict for each image name, {} if the file leaves it out.

    Returns None without the file. Raises ValueError if it is not a JSON object.
    """
    path = folder / "labels.json"
    if not path.is_file():
        return None
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(labels, dict):
        kind = type(labels).__name__
        raise ValueError(f"{path}: expected an object {{image name: {{...}}}}, got a {kind}")
    return {name: labels.get(name, {}) for name in names}


def find_duplicate_images(folder: str | Path) -> list[list[str]]:
    """Find images whose files are the same byte for byte. Returns groups of image names.

    The captions of such images may differ.
    """
    groups: dict[bytes, list[str]] = {}
    for name, path in find_images(folder).items():
        digest = hashlib.sha256(path.read_bytes()).digest()
        groups.setdefault(digest, []).append(name)
    return [names for names in groups.values() if len(names) > 1]
