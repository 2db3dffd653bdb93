"""The tensors in files of weights, whatever program wrote them. No code in a file is ever run."""

import os
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from clipnb.disk import list_entries, read_json
from clipnb.places import check_path
from clipnb.pretrained.torchscript import read_torchscript
from clipnb.runtime import display_path

# What a folder of weights is searched for, the best first. Each may lie in parts, with an index.
OPEN_CLIP_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
HUGGING_FACE_NAMES = ("model.safetensors", "pytorch_model.bin")
ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
# Where a checkpoint keeps its weights beside the epoch, the optimizer and so on.
NESTED = ("state_dict", "model", "model_state_dict")
FETCH_AGAIN = "Fetch the file again."
# How other files begin, what they are, and what to do.
FOREIGN = (
    (
        b"version https://git-lfs",
        "is a Git LFS pointer, a few lines that stand for the real file. Fetch the file itself, "
        "with `git lfs pull` or the download button on its page.",
    ),
    (
        b"<",
        "is a web page, such as a login or an error, that was saved under this name. Open its "
        "address in a browser and download the file itself.",
    ),
    (b"{", "is a JSON text, such as a configuration or an error. Fetch the file of the weights."),
    (b"\x89HDF", "is an HDF5 file, as Keras writes it. Fetch PyTorch's weights, or safetensors."),
    (b"\x93NUMPY", "is an array of NumPy. Fetch PyTorch's weights, or safetensors."),
    (b"GGUF", "is a GGUF file. Fetch PyTorch's weights, or safetensors."),
    (b"\x1f\x8b", "is compressed with gzip. Unpack it first."),
)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a file or a folder, under the names that they have there.

    path: safetensors; what `torch.save` wrote, also a checkpoint that keeps its state dict under
    "state_dict" or "model"; a TorchScript archive, such as OpenAI's `ViT-B-32.pt`; or a folder of
    Hugging Face's or open_clip's, also in parts with an index. Where the format allows it the
    tensors are mapped from the file, so that they take memory only when they are used.

    Raises FileNotFoundError, and ValueError for a file that is damaged, something else, or that
    would need to run code, and for two parts that hold the same tensor. The message says in one
    line what it looks like and what to do.
    """
    weights = {}
    for file in find_weight_files(path):
        part = read_file(file)
        if twice := sorted(weights.keys() & part.keys()):
            raise ValueError(
                f"{display_path(file)} and another part both hold {twice[0]}, so one of them is of "
                "another model. Nothing was loaded; fetch all parts again."
            )
        weights |= part
    return weights


# ---- folders ---------------------------------------------------------------------------------


def find_weight_files(path: str | Path) -> list[Path]:
    """Return the files that hold the weights: a file itself, or those of a folder.

    Raises FileNotFoundError if there is none, ValueError if there are several to choose from.
    """
    path = check_path(os.path.expanduser(path))
    if not path.exists():
        raise FileNotFoundError(f"there is no file {display_path(path)}.")
    if not path.is_dir():
        return [path]
    for name in (*OPEN_CLIP_NAMES, *HUGGING_FACE_NAMES):
        if (path / name).exists():
            return [path / name]
        if (path / f"{name}.index.json").exists():
            return list_parts(path / f"{name}.index.json")
    files = sorted(path / name for name in list_entries(path) if Path(name).suffix in ENDINGS)
    if len(files) == 1:
        return files
    if files:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{display_path(path)} holds several files of weights; name one: {names}.")
    raise FileNotFoundError(
        f"{display_path(path)} holds no weights. A folder of Hugging Face's has "
        f"{' or '.join(HUGGING_FACE_NAMES)}, one of open_clip's {' or '.join(OPEN_CLIP_NAMES)}."
    )


def list_parts(index: Path) -> list[Path]:
    """List the files that an index names. Raises FileNotFoundError if one of them is missing."""
    try:
        names = sorted(set(read_json(index)["weight_map"].values()))
        outside = [name for name in names if name in ("", "..") or Path(name).name != name]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{display_path(index)} is no index of parts. {FETCH_AGAIN}") from error
    if not names:
        raise ValueError(f"{display_path(index)} names no parts. {FETCH_AGAIN}")
    if outside:
        raise ValueError(f"{display_path(index)} names {outside[0]!r}, outside of its folder.")
    missing = [name for name in names if not check_path(index.parent, name).exists()]
    if missing:
        raise FileNotFoundError(
            f"{display_path(index.parent)} lacks {len(missing)} of its {len(names)} parts: "
            f"{', '.join(missing[:3])}. Fetch them into the same folder."
        )
    return [index.parent / name for name in names]


# ---- one file --------------------------------------------------------------------------------


def read_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of one file. Raises ValueError as `read_weights`."""
    kind = find_kind(path)
    try:
        if kind == "safetensors":
            return safetensors.torch.load_file(path)
        if kind == "torchscript":
            return read_torchscript(path)
        # The old format of torch.save, which is no zip file, cannot be mapped.
        options = {"map_location": "cpu", "weights_only": True, "mmap": kind == "torch"}
        with warnings.catch_warnings(action="ignore"):  # of pickles that are refused anyway
            checkpoint = torch.load(path, **options)
    except Exception as error:  # a damaged or hostile file can cause any error
        raise ValueError(f"{display_path(path)} {explain(error)}") from error
    weights = find_state_dict(checkpoint)
    if not weights:
        raise ValueError(
            f"{display_path(path)} holds a {type(checkpoint).__name__} without any weights of a "
            f"model{list_keys(checkpoint)}. Save a model's own with "
            "torch.save(model.state_dict(), FILE)."
        )
    return weights


def find_kind(path: str | Path) -> str:
    """Tell a file's kind by its content: "safetensors", "torch", "old_torch" or "torchscript".

    Raises ValueError, in one line, for any other.
    """
    shown = display_path(path)
    if not Path(path).is_file():  # a pipe would wait for ever
        raise ValueError(f"{shown} is no ordinary file, so it holds no weights. Name a file.")
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        raise ValueError(f"{shown} is empty. {FETCH_AGAIN}")
    # Safetensors begin with the length of a JSON text, and that text.
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000:
        return "safetensors"
    if start[:2] == b"PK":
        return find_zip_kind(path)
    if start[:1] == b"\x80":
        return "old_torch"
    for beginning, description in FOREIGN:
        if start.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(beginning):
            raise ValueError(f"{shown} {description}")
    raise ValueError(
        f"{shown} is no file of weights that is known here: neither safetensors nor what PyTorch "
        f"saves. {FETCH_AGAIN}"
    )


def find_zip_kind(path: str | Path) -> str:
    """Tell the kind of a zip file. Raises ValueError if PyTorch did not write it."""
    if not zipfile.is_zipfile(path):  # the table of contents stands at the end
        raise ValueError(f"{display_path(path)} is cut: its end is missing. {FETCH_AGAIN}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:  # a damaged table of contents can cause any error
        raise ValueError(f"{display_path(path)} {explain(error)}") from error
    inner = {name.partition("/")[2] for name in names}
    if "data.pkl" in inner:
        return "torchscript" if "constants.pkl" in inner else "torch"
    examples = ", ".join(names[:3])
    raise ValueError(
        f"{display_path(path)} is a zip file of other things ({examples}). If the weights are in "
        "it, unpack them first."
    )


def find_state_dict(checkpoint: Any) -> dict[str, Tensor]:
    """Find the named tensors in what was loaded, at the top or where training programs put them."""
    if not isinstance(checkpoint, dict):
        return {}
    for key in NESTED:
        if isinstance(checkpoint.get(key), dict):
            return find_state_dict(checkpoint[key])
    return {name: value for name, value in checkpoint.items() if isinstance(value, Tensor)}


def list_keys(checkpoint: Any) -> str:
    """List in brackets what a checkpoint holds, if it has names at all."""
    if not isinstance(checkpoint, dict) or not checkpoint:
        return ""
    return f" ({', '.join(str(key) for key in list(checkpoint)[:5])})"


def explain(error: Exception) -> str:
    """Say what is wrong with a file that could not be read, and what to do."""
    text = str(error)
    if found := re.search(r"(?:GLOBAL |it asks for |Unsupported class )([\w.]+)", text):
        return (
            f"asks for {found[1]}, which weights do not need and which could run code. Nothing was "
            "loaded. Take safetensors of the same weights; or, where you trust the file, have its "
            "own program save the weights alone with torch.save(model.state_dict(), FILE)."
        )
    if isinstance(error, pickle.UnpicklingError) and "Weights only" in text:
        return f"is damaged, or PyTorch did not write it. Nothing was loaded. {FETCH_AGAIN}"
    first_line = text.strip().split("\n")[0].rstrip(".")[:120] or type(error).__name__
    return f"is cut or damaged ({first_line}). {FETCH_AGAIN}"
