"""What a file of weights does not hold itself: its activation, its heads, how its images are made.

open_clip's table says it for a tag, and a JSON file beside the weights for a folder.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipnb.disk import parse_json
from clipnb.preprocess import Preprocess
from clipnb.runtime import display_path
from clipnb.towers.published import Architecture


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


# ---- reading JSON files ----------------------------------------------------------------------


def read_dict(path: Path) -> dict:
    """Read a JSON file that holds a dictionary. Raises ValueError if it does not."""
    try:
        stored = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{display_path(path)} is no JSON file ({error}).") from error
    if not isinstance(stored, dict):
        raise ValueError(f"{display_path(path)} holds no dictionary.")
    return stored


def get_part(stored: Mapping[str, Any], name: str, default: dict | None = None) -> dict:
    """Get a dictionary within a dictionary. `default` stands for one that is left out.

    Raises ValueError, a clause that says what there is, for anything else.
    """
    part = stored.get(name, default)
    if not isinstance(part, dict):
        raise ValueError(f"its {name} is {part!r}, not a dictionary")
    return part


def get_triple(stored: Mapping[str, Any], name: str) -> tuple[float, float, float] | None:
    """Get one number for each channel from a dictionary, or None if it has none.

    Raises ValueError, a clause that says what there is, for anything else.
    """
    values = stored.get(name)
    if values is None:
        return None
    is_row = isinstance(values, list | tuple) and len(values) == 3
    if not is_row or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"its {name} is {values!r}, not three numbers")
    return tuple(float(value) for value in values)
