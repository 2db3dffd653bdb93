"""Read a dataset folder: Flickr8k as its authors or Kaggle publish it, or a folder of your own."""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from clipnb.datasets.caption_files import (
    CAPTION_FILES,
    HOW_TO_CONVERT,
    TABLE_SUFFIXES,
    Line,
    read_caption_lines,
)
from clipnb.datasets.image_files import (
    HEIC_SUFFIXES,
    INSTALL_HEIC,
    ImageFiles,
    ImageNames,
    find_images,
    get_suffix,
    is_hidden,
    list_files,
)
from clipnb.datasets.splits import read_splits, refuse_many_unknown
from clipnb.disk import parse_json
from clipnb.places import check_path

CAPTIONS_PER_IMAGE = 5
# Flickr8k's authors left this name in the caption file. It is no reason for a warning.
KNOWN_WITHOUT_IMAGE = {"2258277193_586949ec62.jpg.1"}
# Its three captions that say nothing: "A", "a" and "broken image".
KNOWN_WITH_JUNK = {
    "2428275562_4bde2bc5ea.jpg",
    "2755314937_1e974bf2b5.jpg",
    "3640443200_b8066f37f6.jpg",
}
EXAMPLES = 3  # so many names stand in a message


@dataclass(frozen=True)
class DatasetFolder:
    """What a dataset folder holds, before any image is decoded.

    The keys of `image_paths`, `captions` and `labels` are the same image names, sorted. A name is
    the path from the folder, without `Images/` in front.

    image_paths: the file of each image.
    captions: the K captions of each image, with the same K for all.
    splits: the image names of each split, such as "train", in the order of its list.
    labels: what labels.json says of each image, {} if nothing; None without that file.
    split_source: "splits/ folder", "official lists", "folders train, validation and test" or
        "seeded split by image, 80/10/10".
    dropped: names by the reason why they are left out: "no image", "several images" (names in the
        caption file), "no caption", "junk caption", "unsupported format" (image names), "in a
        split list" (names there that no image with a caption has), "unlisted" (sub-folders).
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
    own in turn. Without split lists a hash of `seed` and an image's name says which split the image
    belongs to, about 80/10/10 (see `make_seeded_splits`).

    Raises FileNotFoundError if there is no dataset, and ValueError with file and line if a file
    cannot be understood.
    """
    folder = check_path(folder)
    images = find_images(folder)
    if not images.paths:
        read = "JPEG (.jpg), PNG, WebP, GIF, TIFF, BMP and AVIF are read"
        problem = f"no images in {folder} ({read}){_name_formats(images)}"
        raise make_not_found_error(folder, problem)
    lines, source = read_caption_lines(folder)
    if not lines:
        raise make_not_found_error(folder, _explain_missing_captions(folder))
    captions, dropped = match_captions(lines, images)
    official = source.lower().endswith(".token.txt")  # complete but for one name
    refuse_many_unknown(
        dropped["no image"] + dropped["several images"],
        len(captions),
        f"{source}: there are captions for",
        "image files here",
        limit=0.05 if official else 0.5,
        advice=_name_formats(images),
    )
    if not captions:
        raise ValueError(
            f"{source}: there is no caption for any image in {folder}"
            f"{_name_junk(dropped['junk caption'])}{_name_formats(images)}"
        )
    captions = _even_out(dict(sorted(captions.items())))
    splits, split_source, dropped["in a split list"] = read_splits(folder, captions, seed)
    return DatasetFolder(
        image_paths={name: images.paths[name] for name in captions},
        captions=captions,
        splits=splits,
        labels=read_labels(folder, captions),
        split_source=split_source,
        dropped=dropped,
    )


def match_captions(
    lines: Sequence[Line], images: ImageFiles
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Match captions with images by name.

    Returns the captions of each image, and what is left out, by reason (see `DatasetFolder`).
    """
    means = find_meanings(lines, ImageNames(images))
    unsupported = ImageNames(images.unsupported)
    captions: dict[str, list[str]] = {}
    without_image: dict[str, None] = {}  # dicts, because they keep the order of the file
    ambiguous: dict[str, None] = {}
    with_junk = []
    for line in lines:
        names = means[line.image, line.place]
        if len(names) > 1:
            ambiguous[line.image] = None
        elif not names:
            if not unsupported.find(line.image, line.place)[0]:
                without_image[line.image] = None
        elif is_junk(line.caption):
            with_junk += names
        else:
            captions.setdefault(names[0], []).append(line.caption)
    dropped = {
        "no image": list(without_image),
        "several images": list(ambiguous),
        "no caption": sorted(set(images.paths) - set(captions)),
        "junk caption": with_junk,
        "unsupported format": images.unsupported,
        "unlisted": images.unlisted,
    }
    return captions, dropped


def find_meanings(lines: Sequence[Line], images: ImageNames) -> dict[tuple[str, str], list[str]]:
    """Find the images that each (image, place) of some captions may mean.

    Two different texts may fit one image when case or folders do not count, because the image of
    one of them is missing. Then the text that is exactly the image's name means it, and the other
    one means nothing.
    """
    meanings: dict[tuple[str, str], list[str]] = {}
    exact: set[str] = set()  # the images that are named exactly
    claims: dict[str, list[tuple[str, str]]] = {}  # the texts that fit an image loosely
    for text, place in dict.fromkeys((line.image, line.place) for line in lines):
        names, is_exact = images.find(text, place)
        meanings[text, place] = names
        if is_exact:
            exact.update(names)
        elif len(names) == 1:
            claims.setdefault(names[0], []).append((text, place))
    for name, texts in claims.items():
        if name in exact or len(texts) > 1:
            meanings |= dict.fromkeys(texts, [])
    return meanings


def describe_left_out(dropped: dict[str, list[str]]) -> list[str]:
    """Describe what a dataset leaves out, a phrase for each reason: how many, and the first names.

    Of captions that say nothing (`is_junk`) the images are named.
    """
    junk = [name for name in dict.fromkeys(dropped["junk caption"]) if name not in KNOWN_WITH_JUNK]
    no_image = [name for name in dropped["no image"] if name not in KNOWN_WITHOUT_IMAGE]
    several, formats = dropped["several images"], dropped["unsupported format"]
    whole_name = "give the folder and the suffix too, as in 2019/beach.jpg"
    phrases = [
        describe_names(dropped["no caption"], "image without a caption"),
        describe_names(junk, "image with a caption that says nothing"),
        describe_names(no_image, "captioned name without an image file"),
        describe_names(dropped["unlisted"], "folder that cannot be listed"),
        describe_names(dropped["in a split list"], "name in a split list without such an image"),
        describe_names(several, "captioned name that fits several images", whole_name),
        describe_names(formats, "image in an unreadable format", _advise_on_formats(formats)),
    ]
    return [phrase for phrase in phrases if phrase]


def describe_names(names: Sequence[str], what: str, advice: str = "") -> str:
    """Say how many names of a kind there are, and the first ones, as in "2 images (a, b)".

    what: the kind, its first noun in the singular. Returns "" if there are none.
    """
    if not names:
        return ""
    if len(names) > 1:
        what = re.sub(r"\b(image file|image|captioned name|name|folder)\b", r"\1s", what, count=1)
        what = what.replace("that fits", "that fit")
    return f"{len(names)} {what} ({list_examples(names)}{f': {advice}' if advice else ''})"


def list_examples(names: Sequence[str]) -> str:
    """List the first names, and dots if there are more."""
    return ", ".join(name or '""' for name in names[:EXAMPLES]) + (
        ", …" if len(names) > EXAMPLES else ""
    )


def _advise_on_formats(names: Sequence[str]) -> str:
    """Say what to do about images whose format cannot be read; "" if there are none."""
    advice = []
    if any(get_suffix(name) in HEIC_SUFFIXES for name in names):
        advice.append(f"for HEIC run `{INSTALL_HEIC}`")
    if any(get_suffix(name) not in HEIC_SUFFIXES for name in names):
        advice.append("save them as JPEG or PNG")
    return " and ".join(advice)


def _name_formats(images: ImageFiles) -> str:
    """Say which images cannot be read and what to do, as the end of a message."""
    formats = images.unsupported
    described = describe_names(
        formats, "image in an unreadable format", _advise_on_formats(formats)
    )
    return f"; there are also {described}" if described else ""


def _name_junk(names: Sequence[str]) -> str:
    """Say which captions do not count, as the end of a message; "" if there are none."""
    described = describe_names(list(dict.fromkeys(names)), "image with a caption that says nothing")
    return f"; there are {described}: a caption needs a word of letters" if described else ""


def _explain_missing_captions(folder: Path) -> str:
    """Say where captions were looked for, and which file may be meant to hold them."""
    looked_for = [name for name in CAPTION_FILES if name.startswith(("captions.", "metadata."))]
    problem = (
        f"no captions in {folder}: looked for {', '.join(looked_for)}, and for a .txt file beside "
        "each image, with the same name"
    )
    tables = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in TABLE_SUFFIXES
        and not is_hidden(path.name)
        and not path.name.lower().startswith("readme")
    )
    if tables:
        new_name = f"captions{Path(tables[0]).suffix.lower()}"
        problem += f". If {tables[0]} holds the captions, rename it to {new_name}"
    in_json = [file for file in list_files(folder) if get_suffix(file) == ".json"]
    in_json = sorted(file for file in in_json if file != "labels.json")
    if in_json:  # as COCO and Karpathy's splits have them
        likely = next((file for file in in_json if "caption" in file.lower()), in_json[0])
        problem += f". {likely} is not read, because it is JSON. {HOW_TO_CONVERT}"
    return problem


def _even_out(captions: dict[str, list[str]]) -> dict[str, list[str]]:
    """Give every image the same number of captions: cut long lists, repeat short ones."""
    K = min(CAPTIONS_PER_IMAGE, max(len(own) for own in captions.values()))
    return {name: [own[i % len(own)] for i in range(K)] for name, own in captions.items()}


def make_not_found_error(folder: Path, problem: str) -> FileNotFoundError:
    """Make the error for a missing dataset: what is missing, and what to do."""
    if not folder.is_dir():
        problem = f"there is no folder {folder}"
    return FileNotFoundError(
        f"dataset {folder.name!r} not found: {problem}.\n"
        "To download Flickr8k: python -m clipnb download flickr8k\n"
        f"If {folder.name!r} lies elsewhere, name the folder that contains it with --data-dir or "
        f"the variable CLIPNB_DATA (here: {folder.parent}). data/README.md shows the layout of a "
        "folder of your own."
    )


def is_junk(caption: str) -> bool:
    """Tell whether a caption says nothing.

    It does if it has no letter, or is a lone article or "broken image". Flickr8k has "A", "a" and
    "broken image".
    """
    words = re.findall(r"[^\W\d_]+", caption.lower())  # runs of letters, in any script
    return " ".join(words) in {"", "a", "an", "the", "broken image"}


def read_labels(folder: Path, names: Collection[str]) -> dict[str, dict] | None:
    """Read labels.json: a dict for each image name, {} if the file leaves it out.

    Returns None without the file. Raises ValueError if it is not a JSON object.
    """
    path = folder / "labels.json"
    if not path.is_file():
        return None
    try:
        labels = parse_json(path.read_text(encoding="utf-8-sig"))  # as Windows editors write it
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    values = labels.values() if isinstance(labels, dict) else [labels]
    if odd := [value for value in values if not isinstance(value, dict)]:
        kind = type(odd[0]).__name__
        raise ValueError(f"{path}: expected an object {{image name: {{...}}}}, got a {kind}")
    by_name = {}
    image_names = ImageNames(names)
    for text, truth in labels.items():
        found, _ = image_names.find(text)
        if len(found) == 1:
            by_name[found[0]] = truth
    return {name: by_name.get(name, {}) for name in names}


def find_duplicate_images(folder: str | Path) -> list[list[str]]:
    """Find images whose files are the same byte for byte. Returns groups of image names.

    The captions of such images may differ.
    """
    groups: dict[bytes, list[str]] = {}
    for name, path in find_images(folder).paths.items():
        digest = hashlib.sha256(path.read_bytes()).digest()
        groups.setdefault(digest, []).append(name)
    return [names for names in groups.values() if len(names) > 1]
