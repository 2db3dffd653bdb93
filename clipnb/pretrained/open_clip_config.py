"""How open_clip writes down a model's sizes and preprocessing, read and written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from clipnb.preprocess import find_preprocess
from clipnb.pretrained.settings import (
    Settings,
    flatten_names,
    get_part,
    get_triple,
    read_dict,
    refuse_switch,
)
from clipnb.runtime import display_path
from clipnb.towers.published import Architecture
from clipnb.towers.sizes import find_architecture

# The sizes that must be those of the architecture.
SIZES = {
    "vision_cfg": ("image_size", "layers", "width", "patch_size", "head_width"),
    "text_cfg": ("context_length", "vocab_size", "width", "heads", "layers"),
}
# What open_clip has where a file is silent about the heads, which no shape tells.
HEADS = {"vision_cfg.head_width": 64, "text_cfg.heads": 8}
# The fields of the towers that change nothing here: they count in training, or with other fields
# alone, or the shapes of the weights tell them too.
IDLE = {
    "attn_pooler_heads",
    "attn_pooler_queries",
    "eos_id",
    "hf_model_pretrained",
    "hf_pooler_type",
    "hf_proj_type",
    "mlp_ratio",
    "output_tokens",
    "pad_id",
    "patch_dropout",
    "timm_drop",
    "timm_drop_path",
    "timm_model_pretrained",
    "timm_pool",
    "timm_proj",
    "timm_proj_bias",
}
# What our modules do, in the words of other fields. All others must be false, null or empty.
DONE = {
    "vision_cfg.pool_type": "tok",
    "vision_cfg.pos_embed_type": "learnable",
    "text_cfg.pool_type": "argmax",
    "text_cfg.proj_type": "linear",
    "vision_cfg.block_type": "default",
    "text_cfg.block_type": "default",
    "vision_cfg.norm_kwargs": {"eps": 1e-5},
    "text_cfg.norm_kwargs": {"eps": 1e-5},
}

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
        model = get_part(stored, "model_cfg")
        quick_gelu = model.get("quick_gelu", False)
        if not isinstance(quick_gelu, bool):
            raise ValueError(f"its quick_gelu is {quick_gelu!r}, neither true nor false")
        towers = {name: get_part(model, name, default={}) for name in ("vision_cfg", "text_cfg")}
        preprocessing = read_preprocessing(get_part(stored, "preprocess_cfg", default={}))
    except ValueError as error:
        message = f"{display_path(path)} is no configuration of open_clip's: {error}."
        raise ValueError(message) from error
    return Settings(
        source=f"{path.name} says quick_gelu={quick_gelu}",
        quick_gelu=quick_gelu,
        file=display_path(path),
        sizes=list_sizes(model, towers, display_path(path)),
        describe=describe_sizes,
        **preprocessing,
    )


def list_sizes(model: Mapping, towers: dict[str, dict], file: str) -> dict[str, Any]:
    """List what a configuration says of the architecture, as {"vision_cfg.width": 768}.

    Raises ValueError for a field of a tower that asks for something that our modules do not do.
    """
    sizes = {name: value for name, value in model.items() if name == "embed_dim"}
    for name, value in (HEADS | flatten_names(towers)).items():
        tower, _, field = name.partition(".")
        if field in SIZES[tower]:
            sizes[name] = value
        elif field not in IDLE and value and value != DONE.get(name):
            refuse_switch(file, name, value)
    return sizes


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
    preprocess = find_preprocess(model)
    config = describe_sizes(find_architecture(model))
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


def describe_sizes(sizes: Architecture) -> dict:
    """Describe the sizes of a model as the "model_cfg" of open_clip's files does."""
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
    return {
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


def find_ratio(feedforward: int, width: int) -> float:
    """Return the ratio from which open_clip, which rounds down, gets `feedforward` channels."""
    ratio = feedforward / width
    # Half a channel more keeps it from losing one.
    return ratio if int(width * ratio) == feedforward else (feedforward + 0.5) / width
