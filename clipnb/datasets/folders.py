"""Read a folder of photos and captions: Flickr8k as its authors published it, as Kaggle serves it, or a folder of your own."""

import csv
import hashlib
import json
import os
import random
import re
from dataclasses import dataclass
from pathlib import Path

CAPTIONS_PER_IMAGE = 5
IMAGE_FOLDERS = [
    "Flicker8k_Dataset",
    "Images",
    "images",
]  # "Flicker" is how the official archive spells it
CAPTION_FILES = ["Flickr8k_text/Flickr8k.token.txt", "Flickr8k.token.txt", "captions.txt"]
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


@dataclass(frozen=True)
class DatasetFolder:
    """What a dataset folder holds, before any image is decoded. Every dict is sorted by image name and has the same keys."""

    image_paths: dict[str, Path]  # image name -> file
    captions: dict[str, list[str]]  # image name -> K captions, the same K for every image
    splits: dict[
        str, list[str]
    ]  # "train", "dev", "test", ... -> image names, in the order of the list
    labels: (
        dict[str, dict] | None
    )  # image name -> what labels.json says of it ({} if nothing); None without the file
    split_source: str  # "splits/ folder", "official lists" or "seeded split by image, 80/10/10"
    dropped: dict[str, list[str]]  # why -> image names: "no image", "no caption", "junk caption"


def read_dataset_folder(folder, seed=0):
    """Read the names, captions, splits and labels of a dataset folder; decodes no image and writes nothing.

    Layouts: official (`Flicker8k_Dataset/`, `Flickr8k_text/Flickr8k.token.txt`, `Flickr_8k.*Images.txt`), Kaggle (`Images/`,
    `captions.txt`), plain (Kaggle's, with `splits/<split>.txt` and `labels.json` if you like). Names with a caption but no
    image are dropped, and images without a caption, and junk captions (`is_junk`). Every image then gets the same number
    of captions K, the largest number any image has but at most 5: one with fewer repeats its own, in turn.
    Without split lists the images are shuffled with `seed` and cut 80/10/10: by image, so that no image is in two splits.
    Raises FileNotFoundError when there is no dataset, ValueError naming file and line when it cannot be understood.
    """
    folder = Path(folder)
    images, caption_file = find_images(folder), find_caption_file(folder)
    dropped = {"no image": [], "no caption": [], "junk caption": []}
    captions = {}
    for name, caption in read_captions(caption_file):
        if name not in images:
            dropped["no image"].append(name)
        elif is_junk(caption):
            dropped["junk caption"].append(name)
        else:
            captions.setdefault(name, []).append(caption)
    dropped["no image"] = list(dict.fromkeys(dropped["no image"]))
    dropped["no caption"] = sorted(set(images) - set(captions))
    refuse_many_unknown(
        dropped["no image"], len(captions), f"{caption_file} has captions for", "image files here"
    )
    if not captions:
        raise ValueError(f"{caption_file} holds no caption for any image in {folder}")

    captions = dict(sorted(captions.items()))
    K = min(CAPTIONS_PER_IMAGE, max(map(len, captions.values())))
    captions = {name: [own[i % len(own)] for i in range(K)] for name, own in captions.items()}
    splits, split_source = read_splits(folder, captions, seed)
    return DatasetFolder(
        {name: images[name] for name in captions},
        captions,
        splits,
        read_labels(folder, captions),
        split_source,
        dropped,
    )


def find_images(folder):
    """Dict image name -> Path of the images in a dataset folder; FileNotFoundError says where they were looked for."""
    for place in (Path(folder) / name for name in IMAGE_FOLDERS):
        if place.is_dir():
            names = [
                name
                for name in sorted(os.listdir(place))
                if Path(name).suffix.lower() in IMAGE_SUFFIXES
            ]
            images = {name: place / name for name in names}
            if images:
                return images
    raise not_found(folder, "no images", [f"{name}/" for name in IMAGE_FOLDERS])


def find_caption_file(folder):
    """Path of the caption file in a dataset folder; FileNotFoundError says where it was looked for."""
    for path in (Path(folder) / name for name in CAPTION_FILES):
        if path.is_file():
            return path
    raise not_found(folder, "no caption file", CAPTION_FILES)


def not_found(folder, what, names):
    """The error for a missing dataset: what is missing, where it was looked for, what to do."""
    folder = Path(folder)
    if folder.is_dir():
        what += f" in {folder}: looked for {', '.join(names)}"
    else:
        what = f"there is no folder {folder}"
    return FileNotFoundError(
        f"dataset {folder.name!r} not found: {what}.\n"
        "Flickr8k is downloaded by: python -m clipnb download flickr8k\n"
        f"If {folder.name!r} lies elsewhere, name the folder that contains it with --data-dir or the variable CLIPNB_DATA "
        f"(here: {folder.parent}). data/README.md shows the layout of a folder of your own."
    )


def read_captions(path):
    """List of (image name, caption) in the file's order, stray spaces removed; ValueError "file:line: ..." for a malformed line.

    `*.token.txt` has lines `name.jpg#0<tab>caption`; `captions.txt` has the header `image,caption` and lines `name.jpg,caption`,
    where the caption may hold commas, or be quoted as in CSV.
    """
    official = path.name.endswith(".token.txt")
    expected = "`name.jpg#0<tab>caption`" if official else "`name.jpg,caption`"
    pairs = []
    for number, line in enumerate(read_lines(path), 1):
        if not line:
            continue
        if official:
            match = re.fullmatch(r"(.+)#\d+\s*\t(.*)", line)
            name, caption = match.groups() if match else ("", "")
        else:
            name, comma, caption = line.partition(",")
            if (
                '"' in line
            ):  # Kaggle quotes captions that hold a comma, and doubles the quotes in them
                name, *rest = next(csv.reader([line]))
                caption = ",".join(rest)
            if number == 1 and not Path(name).suffix:  # the header
                if [name.strip().lower(), caption.strip().lower()] != ["image", "caption"]:
                    raise ValueError(
                        f"{path}:1: expected the header `image,caption`, got {line[:80]!r}"
                    )
                continue
            name = name if comma else ""
        if not name.strip():
            raise ValueError(f"{path}:{number}: expected {expected}, got {line[:80]!r}")
        pairs.append((name.strip(), " ".join(caption.split())))
    return pairs


def read_lines(path):
    """The lines of a UTF-8 text file without surrounding spaces; ValueError "file:line: ..." when it is not UTF-8."""
    try:
        text = path.read_text(
            encoding="utf-8-sig"
        )  # -sig: a byte-order mark, as Windows editors write it, is no letter
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}:{number}: expected UTF-8 text, got the byte 0x{error.object[error.start]:02x}: "
            "save the file as UTF-8"
        ) from error
    return [line.strip() for line in text.split("\n")]


def is_junk(caption):
    """Whether a caption says nothing: no letter at all, a lone article, or "broken image" (Flickr8k has "A", "a", "broken image")."""
    words = re.findall(r"[^\W\d_]+", caption.lower())  # runs of letters, of any script
    return " ".join(words) in {"", "a", "an", "the", "broken image"}


def read_splits(folder, captions, seed=0):
    """Splits of the names in `captions`: (dict split -> list of names, where it comes from).

    Looked for: `splits/*.txt`, then the official lists in the folder, its `Flickr8k_text/`, or beside the folder; else seeded.
    """
    files, source = (
        {path.stem: path for path in sorted((folder / "splits").glob("*.txt"))},
        "splits/ folder",
    )
    if not files:
        source = "official lists"
        for place in (
            folder,
            folder / "Flickr8k_text",
            folder.parent,
            folder.parent / "Flickr8k_text",
        ):
            found = {
                split: place / f"Flickr_8k.{split}Images.txt" for split in ("train", "dev", "test")
            }
            # Lists that lie beside the folder may belong to another dataset: then they name none of our images.
            if all(path.is_file() for path in found.values()) and (
                place.is_relative_to(folder)
                or not captions.keys().isdisjoint(read_lines(found["train"]))
            ):
                files = found
                break
    if not files:
        return seeded_splits(captions, seed), "seeded split by image, 80/10/10"

    splits = {}
    for split, path in files.items():
        names = [name for name in dict.fromkeys(read_lines(path)) if name]
        splits[split] = [name for name in names if name in captions]
        unknown = [name for name in names if name not in captions]
        refuse_many_unknown(
            unknown, len(splits[split]), f"{path} lists", "both an image file and a caption here"
        )
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        both = sorted(set(splits.get(one, [])) & set(splits.get(other, [])))
        if both:
            raise ValueError(
                f"{files[other]}: {len(both)} of its names, {both[0]!r} for one, are in the {one} list too; "
                "an image may be in one split only, or the evaluation sees what was trained on"
            )
    return splits, source


def seeded_splits(names, seed=0):
    """Train, dev and test, 80/10/10 of the image names, shuffled with `seed`: the same on every machine."""
    names = sorted(names)
    random.Random(seed).shuffle(names)
    n = max(1, round(len(names) / 10)) if len(names) >= 3 else 0
    return {"train": names[2 * n :], "dev": names[:n], "test": names[n : 2 * n]}


def refuse_many_unknown(unknown, known, before, after):
    """ValueError naming a few when more than 5 % of the names (and more than one) are unknown: then the files do not fit together."""
    if len(unknown) > max(1, 0.05 * (len(unknown) + known)):
        raise ValueError(
            f"{before} {len(unknown)} names (of {len(unknown) + known}) that do not have {after}, such as "
            f"{', '.join(map(repr, unknown[:3]))}. Are the images complete, and do the files belong together?"
        )


def read_labels(folder, names):
    """`labels.json` as a dict image name -> dict ({} for an image it leaves out), or None without the file."""
    path = folder / "labels.json"
    if not path.is_file():
        return None
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(labels, dict):
        raise ValueError(
            f"{path}: expected an object {{image name: {{...}}}}, got a {type(labels).__name__}"
        )
    return {name: labels.get(name, {}) for name in names}


def duplicate_images(folder):
    """Groups (lists of image names) of images whose files are byte for byte the same; captions differ all the same."""
    groups = {}
    for name, path in find_images(folder).items():
        groups.setdefault(hashlib.sha256(path.read_bytes()).digest(), []).append(name)
    return [names for names in groups.values() if len(names) > 1]
