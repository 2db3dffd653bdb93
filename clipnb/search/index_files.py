"""The file in which `ImageIndex.save` keeps an index: features, images and captions as .npz."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from clipnb.disk import parse_json, refuse_odd_file, replace_when_done
from clipnb.places import check_path, display_path

PARTS = ("weights_digest", "image_features", "text_features", "images", "image_ids", "captions")
# As JSON: in an array of texts the longest one decides the size of each.
TEXTS = ("image_ids", "captions")


def write_index_file(path: str | Path, parts: dict[str, Any]) -> None:
    """Write the parts of an index as one file. It replaces what is there."""
    packed = {name: np.frombuffer(json.dumps(parts[name]).encode(), np.uint8) for name in TEXTS}
    with replace_when_done(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **(parts | packed))


def read_index_file(path: str | Path) -> dict[str, Any]:
    """Read the parts of a saved index. Raises FileNotFoundError, or ValueError if it is damaged."""
    if not check_path(path).is_file():
        raise FileNotFoundError(
            f"no index at {display_path(path)}; make one with "
            "ImageIndex.build(model, tokenizer, dataset).save(path)."
        )
    try:
        with np.load(path) as data:  # without pickles, which could run any code
            parts = {name: data[name] for name in PARTS}
        for name in TEXTS:
            values = parts[name]
            is_json = values.dtype == np.uint8  # earlier versions wrote arrays of texts
            parts[name] = parse_json(values.tobytes()) if is_json else values.tolist()
        lengths = {len(parts[name]) for name in PARTS[1:]}
        if len(lengths) != 1 or parts["text_features"].ndim != 3 or parts["images"].ndim != 4:
            raise ValueError("its parts do not fit together")
        return parts
    except Exception as error:  # readers of damaged files raise nearly anything
        raise ValueError(
            f"{display_path(path)} is damaged, or is no index of clipnb's. Nothing was loaded; "
            "make it anew with ImageIndex.build(model, tokenizer, dataset).save(path)."
        ) from error


def refuse_foreign_file(path: str | Path) -> None:
    """Raise FileExistsError if something else than a saved index stands at a path."""
    path = check_path(path)
    if path.is_dir():
        example = display_path(path / "index.npz")
        raise FileExistsError(f"{display_path(path)} is a folder; name a file, such as {example}.")
    refuse_odd_file(path)
    if not path.exists():
        return
    with open(path, "rb") as file:
        start = file.read(100)  # of an index, even if it is cut off or of an earlier version
    names = (b"weights_digest.npy", b"image_features.npy")
    if not any(name in start for name in names):
        raise FileExistsError(
            f"{display_path(path)} is there already and is no index of clipnb's; choose another "
            "name, or delete it first."
        )
