"""What a file of weights does not hold itself: its activation, its heads, how its images are made.

open_clip's table says it for a tag, and a JSON file beside the weights for a folder.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from clipnb.disk import parse_json
from clipnb.places import display_value
from clipnb.preprocess import Preprocess
from clipnb.runtime import display_path
from clipnb.towers.published import Architecture


@dataclass(frozen=True)
class Settings:
    """What is known of some weights beside the weights. None: nothing is known.

    source: who says so. quick_gelu: the activation that the weights need. file: the configuration,
    and sizes: what it says of the architecture, as {"vision_config.hidden_size": 768}. describe:
    describes an architecture as such a file does. The others say how a photo becomes an image, in
    open_clip's words.
    """

    source: str = ""
    quick_gelu: bool | None = None
    file: str = ""
    sizes: dict[str, Any] = field(default_factory=dict)
    describe: Callable[[Architecture], dict] | None = None
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


def check_sizes(settings: Settings, architecture: Architecture) -> None:
    """Raise ValueError if the configuration is that of another architecture.

    The weights fit this one already. So either file may be wrong, and no shape tells the heads.
    """
    if not settings.sizes:
        return
    expected = flatten_names(
        json.loads(json.dumps(settings.describe(architecture)))
    )  # tuples as lists
    for name, value in settings.sizes.items():
        if value not in (None, expected.get(name)):
            raise ValueError(
                f"{settings.file} says {name}={display_value(value)}, and {architecture.name} has "
                f"{expected.get(name)}. Nothing was loaded; take the file of these weights."
            )


# ---- what a configuration says -----------------------------------------------------------------


def flatten_names(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a dictionary with dictionaries in it: {"a": {"b": 1}} becomes {"a.b": 1}."""
    flat = {}
    for name, value in stored.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": below for inner, below in value.items()}
        else:
            flat[name] = value
    return flat


def refuse_switch(file: str, name: str, value: Any) -> NoReturn:
    """Raise ValueError for a field that asks for something that our modules do not do."""
    raise ValueError(
        f"{file} says {name}={display_value(value)}, which the modules of clipnb do not follow. "
        "Nothing was loaded."
    )


# ---- reading JSON files ----------------------------------------------------------------------


def read_dict(path: Path) -> dict:
    """Read a JSON file that holds a dictionary. Raises ValueError if it does not."""
    if not path.is_file():
        raise ValueError(f"{display_path(path)} is no ordinary file.")
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
        raise ValueError(f"its {name} is {display_value(part)}, not a dictionary")
    return part


def get_triple(stored: Mapping[str, Any], name: str) -> tuple[float, float, float] | None:
    """Get the mean or the deviation of each channel from a dictionary, or None if it has none.

    They belong to pixels in [0, 1]. Raises ValueError, a clause that says what there is, for
    anything else.
    """
    values = stored.get(name)
    if values is None:
        return None
    is_row = isinstance(values, list | tuple) and len(values) == 3
    if not is_row or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"its {name} is {display_value(values)}, not three numbers")
    lowest = "above 0" if name.endswith("std") else "from 0"
    if not all(0 <= value <= 1 for value in values) or (lowest == "above 0" and 0 in values):
        raise ValueError(
            f"its {name} is {display_value(values)}, not three numbers {lowest} to 1, as pixels "
            "between 0 and 1 have"
        )
    return tuple(float(value) for value in values)
