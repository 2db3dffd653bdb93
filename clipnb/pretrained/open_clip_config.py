"""How open_clip writes down a model's sizes and preprocessing, read and written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from clipnb.preprocess import find_preprocess
from clipnb.pretrained.settings import Settings, get_part, get_triple, read_dict
from clipnb.runtime import display_path
from clipnb.towers.sizes import find_architecture

# ---- reading ---------------------------------------------------------------------------------


def read_tag_settings(tag: str, entry: Mapping[str, Any]) -> Settings:
    """Read the settings of a tag from its entry in open_clip's table."""
    return Settings(
        source=f"the tag {tag}",
        quick_gelu=entry.get("quick_gelu", False),
        **read_preprocessing(entry),
    )


def read_open_clip(path: Path) -> Settings:
    """Read the settings in an `open_clip_config.json`. Raises ValueError if it is malformed."""
    stored = read_dict(path)
    try:
        quick_gelu = get_part(stored, "model_cfg").get("quick_gelu", False)
        if not isinstance(quick_gelu, bool):
            raise ValueError(f"its quick_gelu is {quick_gelu!r}, neither true nor false")
        preprocessing = read_preprocessing(get_part(stored, "preprocess_cfg", default={}))
    except ValueError as error:
        message = f"{display_path(path)} is no configuration of open_clip's: {error}."
        raise ValueError(message) from error
    return Settings(f"{path.name} says quick_gelu={quick_gelu}", quick_gelu, **preprocessing)


def read_preprocessing(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Read how images are made from open_clip's words for it."""
    return {
        "mean": get_triple(stored, "mean"),
        "std": get_triple(stored, "std"),
        "interpolation": stored.get("interpolation", "bicubic"),
        "resize_mode": stored.get("resize_mode", "shortest"),
    }


# ---- writing ---------------------------------------------------------------------------------


def describe_for_open_clip(model: nn.Module) -> dict:
    """Describe the sizes and the preprocessing of a model as open_clip's files do."""
    sizes, preprocess = find_architecture(model), find_preprocess(model)
    image = {
        "image_size": sizes.image_size,
        "layers": sizes.image_layers,
        "width": sizes.image_width,
    }
    if sizes.patch_size:
        image["patch_size"] = sizes.patch_size
        image["head_width"] = sizes.image_width // sizes.image_heads
        image["mlp_ratio"] = find_ratio(sizes.image_feedforward, sizes.image_width)
    else:
        image["head_width"] = 32 * sizes.image_width // sizes.image_heads
    config = {
        "embed_dim": sizes.embed_dim,
        "quick_gelu": sizes.quick_gelu,
        "vision_cfg": image,
        "text_cfg": {
            "context_length": sizes.context_length,
            "vocab_size": sizes.vocab_size,
            "width": sizes.text_width,
            "heads": sizes.text_heads,
            "layers": sizes.text_layers,
        },
    }
    if hasattr(model, "logit_bias"):  # of the sigmoid loss
        config["init_logit_bias"] = model.logit_bias.item()
    return {
        "model_cfg": config,
        "preprocess_cfg": {
            "mean": preprocess.mean,
            "std": preprocess.std,
            "interpolation": "bicubic",
            "resize_mode": "shortest" if preprocess.crop else "squash",
        },
    }


def find_ratio(feedforward: int, width: int) -> float:
    """Return the ratio from which open_clip, which rounds down, gets `feedforward` channels."""
    ratio = feedforward / width
    # Half a channel more keeps it from losing one.
    return ratio if int(width * ratio) == feedforward else (feedforward + 0.5) / width
