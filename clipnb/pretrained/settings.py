"""What a file of weights does not hold itself: its activation, its heads, how its images are made.

open_clip's table says it for a tag, and a JSON file beside the weights for a folder.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from clipnb.preprocess import Preprocess
from clipnb.runtime import display_path
from clipnb.towers.published import Architecture

# OpenAI's own files hold these three beside the weights, and no other program writes them.
OPENAI_SCALARS = {"input_resolution", "context_length", "vocab_size"}
RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
HIDDEN_ACT = {"quick_gelu": True, "gelu": False}


@dataclass(frozen=True)
class Settings:
    """What is known of some weights beside the weights. None: nothing is known.

    source: who says so. quick_gelu: the activation that the weights need. heads: those of the image
    tower and of the text tower. The others say how a photo becomes an image, in open_clip's words.
    """

    source: str = ""
    quick_gelu: bool | None = None
    heads: tuple[int, int] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    interpolation: str = "bicubic"
    resize_mode: str | None = None


def read_tag_settings(tag: str, entry: Mapping[str, Any]) -> Settings:
    """Read the settings of a tag from its entry in open_clip's table."""
    return Settings(
        source=f"the tag {tag}",
        quick_gelu=entry.get("quick_gelu", False),
        **read_preprocessing(entry),
    )


def read_file_settings(path: str | Path, weights: Mapping[str, Tensor], naming: str) -> Settings:
    """Read the settings of a file or a folder, from the JSON files of its folder if it has any.

    naming: as `find_naming` returns it. Raises ValueError for what is no CLIP, or unreadable.
    """
    path = Path(path).expanduser()
    folder = path if path.is_dir() else path.parent
    if weights.keys() >= OPENAI_SCALARS:
        return Settings("OpenAI's own files were trained with QuickGELU", quick_gelu=True)
    if naming == "hugging_face" and (folder / "config.json").exists():
        return read_hugging_face(folder)
    is_theirs = path.is_dir() or path.name.startswith("open_clip")
    if naming == "open_clip" and is_theirs and (folder / "open_clip_config.json").exists():
        return read_open_clip(folder / "open_clip_config.json")
    return Settings()


def read_open_clip(path: Path) -> Settings:
    """Read the settings in an `open_clip_config.json`."""
    stored = read_json(path)
    return Settings(
        source=f"{path.name} says quick_gelu={stored['model_cfg'].get('quick_gelu', False)}",
        quick_gelu=stored["model_cfg"].get("quick_gelu", False),
        **read_preprocessing(stored.get("preprocess_cfg", {})),
    )


def read_preprocessing(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Read how images are made from open_clip's words for it."""
    return {
        "mean": to_triple(stored.get("mean")),
        "std": to_triple(stored.get("std")),
        "interpolation": stored.get("interpolation", "bicubic"),
        "resize_mode": stored.get("resize_mode", "shortest"),
    }


def read_hugging_face(folder: Path) -> Settings:
    """Read the settings in a Hugging Face folder's `config.json` and `preprocessor_config.json`.

    What these files leave out is as in transformers' `CLIPConfig`.
    """
    stored = read_json(folder / "config.json")
    if stored.get("model_type", "clip") != "clip":
        raise ValueError(
            f"{display_path(folder)} holds a model of type {stored['model_type']!r}, not a CLIP."
        )
    image, text = stored.get("vision_config") or {}, stored.get("text_config") or {}
    names = {tower.get("hidden_act", "quick_gelu") for tower in (image, text)}
    name = names.pop()
    if names or name not in HIDDEN_ACT:
        known = " or ".join(HIDDEN_ACT)
        raise ValueError(
            f"{display_path(folder / 'config.json')} names the activations {[name, *names]}; these "
            f"modules have {known}, the same one in both towers."
        )
    making = read_image_processor(folder)
    return Settings(
        source=f"config.json says hidden_act={name!r}",
        quick_gelu=HIDDEN_ACT[name],
        heads=(image.get("num_attention_heads", 12), text.get("num_attention_heads", 8)),
        mean=to_triple(making.get("image_mean")),
        std=to_triple(making.get("image_std")),
        interpolation=RESAMPLING.get(making.get("resample", 3), "another"),
        resize_mode="shortest" if making.get("do_center_crop", True) else "squash",
    )


def read_image_processor(folder: Path) -> dict:
    """Read how a Hugging Face folder makes images: newer ones keep it within another file."""
    if (folder / "preprocessor_config.json").exists():
        return read_json(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").exists():
        return read_json(folder / "processor_config.json").get("image_processor") or {}
    return {}


def read_json(path: Path) -> dict:
    """Read a JSON file that holds a dictionary. Raises ValueError if it does not."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{display_path(path)} is no JSON file ({error}).") from error
    if not isinstance(stored, dict):
        raise ValueError(f"{display_path(path)} holds no dictionary.")
    return stored


def to_triple(values: Any) -> tuple[float, float, float] | None:
    """Turn one number for each channel into a tuple; None stays None."""
    return None if values is None else tuple(float(value) for value in values)


# ---- applying them ---------------------------------------------------------------------------


def make_preprocess(settings: Settings, default: Preprocess) -> Preprocess:
    """Return how images are made for some weights; what is not known stays as in `default`.

    Raises ValueError for what `Preprocess` cannot do.
    """
    modes = None, "shortest", "squash"
    if settings.interpolation != "bicubic" or settings.resize_mode not in modes:
        raise ValueError(
            f"these weights need images resized with interpolation={settings.interpolation!r} and "
            f"resize_mode={settings.resize_mode!r}; clipnb has 'bicubic' with 'shortest' or "
            "'squash' alone. Nothing was loaded."
        )
    changes = {"mean": settings.mean, "std": settings.std}
    changes = {name: value for name, value in changes.items() if value is not None}
    if settings.resize_mode is not None:
        changes["crop"] = settings.resize_mode == "shortest"
    return dataclasses.replace(default, **changes)


def check_heads(settings: Settings, architecture: Architecture) -> None:
    """Raise ValueError if the towers have other numbers of heads, which no shape tells."""
    expected = architecture.image_heads, architecture.text_heads
    if settings.heads not in (None, expected):
        raise ValueError(
            f"config.json says num_attention_heads={settings.heads} for the image tower and the "
            f"text tower; {architecture.name} has {expected}. Nothing was loaded."
        )
