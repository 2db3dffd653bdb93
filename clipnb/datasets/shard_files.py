"""Shards on disk: tar files of image-text pairs, for more data than memory, and their index.

The layout is that of the library webdataset. A sample of a tar file is a block of up to 16 pairs:
`NAME.npy` is uint8 (n, 3, S, S), and `NAME.json` holds n image ids and n lists of captions. Images
are stored decoded, at the size at which a recipe takes them, because decoding JPEGs anew in each
epoch takes longer than training a small model. They are stored in blocks, because Python needs
about 0.15 ms to read a sample out of a tar file: for a single pair that would be a sixth of the
time in which the recipe `quick` trains it on two cores, for a block it is one per cent.

`shards.json` is the index: of what dataset the shards are, and the name, the number of pairs, the
bytes and the SHA-256 of each one. It is written last, so a folder with an index is whole.
"""

import hashlib
import io
import json
import random
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clipnb.disk import (
    clear_leftovers,
    list_entries,
    parse_json,
    read_json,
    replace_when_done,
    write_file,
)
from clipnb.places import check_path, display_value, options_given
from clipnb.run_lock import lock_path
from clipnb.runtime import progress

if TYPE_CHECKING:
    from clipnb.datasets import CaptionDataset

INDEX = "shards.json"
UNFINISHED = "unfinished.json"  # the shards that are written so far
FORMAT = "clipnb shards, version 1"
BLOCK = 16  # pairs in a sample of a tar file
PAIRS_PER_SHARD = 1024  # 13 MB at 64 px
# What an index says, and of each shard. Texts and lists may be empty, numbers are above 0.
INDEX_TYPES = {
    "format": str, "dataset": str, "split": str, "image_size": int, "crop": bool, "pairs": int,
    "pairs_per_shard": int, "content": str, "shards": list,
}  # fmt: skip
SHARD_TYPES = {"name": str, "pairs": int, "bytes": int, "sha256": str}
INSTALL = "shards need the library webdataset: pip install 'clipnb[shards]'"


# ---- the index -------------------------------------------------------------------------------


def find_index(folder: str | Path, name: str = INDEX) -> dict | None:
    """Read the index of a folder of shards; return None if the folder has none.

    name: `UNFINISHED` for the index of those that are written so far. Raises ValueError if it is
    damaged, or if another version of clipnb wrote it.
    """
    path = Path(folder) / name
    if not path.is_file():
        return None
    advice = f"delete {folder}, then {advise_to_write(folder)}"
    try:
        index = read_json(path)
    except ValueError:
        index = None
    found = index.get("format") if isinstance(index, dict) else None
    if isinstance(found, str) and found != FORMAT:
        raise ValueError(f"{path} is of another version of clipnb; {advice}.")
    if not is_index(index, is_whole=name == INDEX):
        raise ValueError(f"{path} is damaged; {advice}.")
    return index


def is_index(index: object, is_whole: bool) -> bool:
    """Tell whether something is an index as `write_shards` writes it.

    is_whole: the shards hold all pairs together; otherwise some may not be written yet.
    """
    if not has_types(index, INDEX_TYPES):
        return False
    shards = index["shards"]
    if not all(has_types(each, SHARD_TYPES) and is_file_name(each["name"]) for each in shards):
        return False
    n_pairs = sum(each["pairs"] for each in shards)
    n_names = len({each["name"] for each in shards})
    fits = n_pairs == index["pairs"] if is_whole else n_pairs <= index["pairs"]
    return fits and n_names == len(shards)


def has_types(found: object, types: dict[str, type]) -> bool:
    """Tell whether something is a dictionary with values of these types, its numbers above 0."""
    if not isinstance(found, dict):
        return False
    values = [(found.get(key), kind) for key, kind in types.items()]
    return all(type(value) is kind and (kind is not int or value > 0) for value, kind in values)


def is_file_name(name: str) -> bool:
    """Tell whether a name leads to a file of the folder itself, and to nothing outside of it."""
    return name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)


def holds_shards(folder: str | Path) -> bool:
    """Tell whether a folder holds shards, all of them or those that are written so far."""
    return any((check_path(folder) / name).is_file() for name in (INDEX, UNFINISHED))


def read_index(folder: str | Path) -> dict:
    """Read the index of a folder of shards.

    Raises FileNotFoundError if there is none, or if a shard is missing.
    """
    index = find_index(check_path(folder))
    if index is None:
        begun = (Path(folder) / UNFINISHED).exists()
        problem = "its shards are not all written yet" if begun else "it holds no shards"
        raise FileNotFoundError(f"{folder}: {problem}; {advise_to_write(folder)}.")
    names = [each["name"] for each in index["shards"]]
    missing = [name for name in names if not (Path(folder) / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: {len(missing)} of {len(names)} shards are missing, the first is "
            f"{missing[0]}; put them back, or {advise_to_write(folder, index)}."
        )
    return index


def advise_to_write(folder: str | Path, index: dict | None = None) -> str:
    """Return the command that writes what is not whole in a folder, as the end of a message."""
    dataset = "DATASET" if index is None else index["dataset"]
    return f"run `{format_command(dataset, folder, index or {})}`"


def format_command(dataset: str, folder: str | Path, settings: dict) -> str:
    """Format the command that writes shards with the settings of an index."""
    words = ["clipnb", "shards", dataset, str(folder)]
    if "image_size" in settings:
        words += ["--image-size", str(settings["image_size"])]
    if settings.get("pairs_per_shard", PAIRS_PER_SHARD) != PAIRS_PER_SHARD:
        words += ["--pairs", str(settings["pairs_per_shard"])]
    words += ["--crop"] if settings.get("crop") else []
    words += [word for option in options_given.items() for word in option]
    return shlex.join(words)


def compute_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- writing ---------------------------------------------------------------------------------


def write_shards(
    dataset: "CaptionDataset",
    folder: str | Path,
    crop: bool = False,
    pairs_per_shard: int = PAIRS_PER_SHARD,
) -> dict:
    """Write the pairs of a dataset as shards of nearly equal size. Returns their index.

    The pairs are written in a random order, always the same one. So a dataset that is sorted is
    mixed, although reading mixes only pairs that lie near each other. All captions of an image stay
    together. Each shard is written whole or not at all, and a call that was interrupted goes on
    after the last whole shard. A finished folder is left as it is.

    crop: as the dataset was loaded (see `load_dataset`); the index says it. Raises ValueError if
    the folder holds other shards or other files, if a shard should hold less than one pair, or if
    the dataset has none.
    """
    if not isinstance(pairs_per_shard, int) or pairs_per_shard < 1:
        raise ValueError(
            f"a shard cannot hold {display_value(pairs_per_shard)} pairs; give it a whole number, "
            "at least one."
        )
    folder = check_path(folder)
    N = len(dataset)
    if N == 0:
        raise ValueError(f"{dataset.name} {dataset.split} holds no image to write as shards.")
    plan = {
        "format": FORMAT,
        "dataset": dataset.name,
        "split": dataset.split,
        "image_size": dataset.images.shape[-1],
        "crop": bool(crop),
        "pairs": N,
        "pairs_per_shard": pairs_per_shard,
        "content": digest_content(dataset),
        "pixels": digest_pixels(dataset),
    }
    if find_index(folder) and find_finished(folder, plan) is None:
        return find_index(folder)
    with lock_path(folder, f"writing the shards in {folder}"):
        return write_missing_shards(dataset, folder, plan)


def write_missing_shards(dataset: "CaptionDataset", folder: Path, plan: dict) -> dict:
    """Write the shards that are not whole, and the index. Returns it. See `write_shards`."""
    done = find_finished(folder, plan)
    if done is None:  # another process has just written them
        return find_index(folder)
    N = plan["pairs"]
    write_file(folder / UNFINISHED, json.dumps(plan | {"shards": done}))  # whose shards these are
    (folder / INDEX).unlink(missing_ok=True)  # until all of its shards are whole again
    order = list(range(N))
    random.Random(f"shards {N}").shuffle(order)
    n_shards = -(-N // plan["pairs_per_shard"])  # rounded up
    ends = [N * i // n_shards for i in range(n_shards + 1)]
    for i in progress(range(len(done), n_shards), desc="writing shards"):
        path = folder / f"shard-{i:06d}.tar"
        rows = order[ends[i] : ends[i + 1]]
        with replace_when_done(path) as temporary:
            write_shard(dataset, rows, temporary, first_block=ends[i])
        digest = compute_digest(path)
        size = path.stat().st_size
        done.append({"name": path.name, "pairs": len(rows), "bytes": size, "sha256": digest})
        write_file(folder / UNFINISHED, json.dumps(plan | {"shards": done}))
    index = plan | {"shards": done}
    write_file(folder / INDEX, json.dumps(index, indent=1))
    (folder / UNFINISHED).unlink(missing_ok=True)
    return index


def digest_content(dataset: "CaptionDataset") -> str:
    """Return a digest of the names and captions of a dataset."""
    content = json.dumps([dataset.image_ids, dataset.captions])
    return hashlib.sha256(content.encode()).hexdigest()


def digest_pixels(dataset: "CaptionDataset") -> str:
    """Return a digest of the images of a dataset."""
    digest = hashlib.sha256()
    for start in range(0, len(dataset), PAIRS_PER_SHARD):
        digest.update(np.ascontiguousarray(dataset.images[start : start + PAIRS_PER_SHARD]))
    return digest.hexdigest()


def find_finished(folder: Path, plan: dict) -> list[dict] | None:
    """Find the whole shards that an interrupted call has left in a folder, in their order.

    Returns None if all of them are written. Raises ValueError if the folder is in other use.
    """
    clear_leftovers(folder)
    index = find_index(folder)
    state = index or find_index(folder, UNFINISHED)
    if state is None:
        if folder.is_file():
            raise NotADirectoryError(f"{folder} is a file; name a folder for the shards.")
        if folder.exists() and list_entries(folder):
            raise ValueError(f"{folder} holds other files; choose an empty folder for the shards.")
        return []
    # The indexes of earlier versions say nothing of the pixels.
    if any(plan.get(key) != value for key, value in state.items() if key != "shards"):
        raise ValueError(
            f"{folder} holds shards of {state['dataset']} at {state['image_size']} px, made "
            "otherwise than now asked for, or before its images or captions changed; choose "
            "another folder, or delete this one."
        )
    whole = []
    for each in state["shards"]:
        path = folder / each["name"]
        if not path.exists() or compute_digest(path) != each["sha256"]:
            break
        whole.append(each)
    if index is not None and len(whole) == len(index["shards"]):
        return None
    return whole


def write_shard(dataset: "CaptionDataset", rows: list[int], path: Path, first_block: int) -> None:
    """Write the pairs in some rows of a dataset as a tar file.

    first_block: where the numbers of the blocks begin. They are different in all shards.
    """
    try:
        from webdataset import TarWriter
    except ModuleNotFoundError:
        raise ModuleNotFoundError(INSTALL, name="webdataset") from None
    # mtime: the same pairs give the same bytes. The writer is closed before its file, also after an
    # error: else Python closes it later, and prints the traceback of a write to a closed file.
    with open(path, "wb") as file, TarWriter(file, encoder=False, mtime=0) as writer:
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            array = io.BytesIO()
            np.save(array, np.ascontiguousarray(dataset.images[block]))  # (n, 3, S, S)
            about = {
                "image_ids": [dataset.image_ids[row] for row in block],
                "captions": [dataset.captions[row] for row in block],
            }
            writer.write(
                {
                    "__key__": format_block(first_block + start),
                    "npy": array.getvalue(),
                    # Names that are no Unicode hold halves of characters.
                    "json": json.dumps(about, ensure_ascii=False).encode(errors="surrogatepass"),
                }
            )


# ---- reading ---------------------------------------------------------------------------------


def read_blocks(path: Path, with_images: bool = True) -> Iterator[tuple[np.ndarray | None, dict]]:
    """Read the blocks of a shard: images uint8 (n, 3, S, S), and what `write_shard` said of them.

    `block` is the name of a block in the file. A shard that was cut short, or whose tar headers are
    damaged, ends after its last whole block. with_images=False: None stands for the images.
    """
    try:
        from webdataset.tariterators import group_by_keys, tar_file_expander
    except ModuleNotFoundError:
        raise ModuleNotFoundError(INSTALL, name="webdataset") from None
    with open(path, "rb") as file:
        sources = [{"url": path.name, "stream": file}]
        files = tar_file_expander(
            sources,
            handler=lambda error: isinstance(error, (OSError, tarfile.TarError)),
            select_files=None if with_images else lambda name: name.endswith(".json"),
        )
        for sample in group_by_keys(files):
            if "json" not in sample or (with_images and "npy" not in sample):
                continue  # the file ends between the two
            images = np.load(io.BytesIO(sample["npy"])) if with_images else None
            yield images, parse_json(sample["json"]) | {"block": sample["__key__"]}


def count_pairs(path: Path, first_block: int) -> int | None:
    """Count the pairs of a shard that can be read.

    first_block: the number at which its blocks begin (see `write_shard`). Returns None if they
    begin at another one: it is another shard.
    """
    blocks = [(about["block"], len(images)) for images, about in read_blocks(path)]
    if blocks and blocks[0][0] != format_block(first_block):
        return None
    return sum(n for _, n in blocks)


def format_block(number: int) -> str:
    """Format the number of a block as its name in a tar file."""
    return f"{number:09d}"
