"""How transformers writes down a CLIP's sizes, preprocessing and vocabulary, read and written."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from clipnb.preprocess import find_preprocess
from clipnb.pretrained.settings import (
    Settings,
    get_part,
    get_triple,
    read_dict,
    refuse_switch,
)
from clipnb.runtime import display_path
from clipnb.tokenizer import EOS, SOS, Tokenizer
from clipnb.towers.published import Architecture

if TYPE_CHECKING:
    from transformers import CLIPProcessor

RESAMPLING = {"0": "nearest", "1": "lanczos", "2": "bilinear", "3": "bicubic"}  # Pillow's numbers
HIDDEN_ACT = {"quick_gelu": True, "gelu": False}
# The sizes that must be those of the architecture, and what `CLIPConfig` has where a file is silent
# about what no shape tells.
SHARED_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
SIZES = {
    "vision_config": (*SHARED_SIZES, "image_size", "patch_size"),
    "text_config": (*SHARED_SIZES, "vocab_size", "max_position_embeddings", "eos_token_id"),
}
HEADS = {"vision_config": 12, "text_config": 8}
EPS = 1e-5  # of all layer norms
OLD_EOS = 2  # in older files; transformers then reads a text at its highest id, as CLIP does


# ---- reading ---------------------------------------------------------------------------------


def read_hugging_face(folder: Path) -> Settings:
    """Read the settings in a Hugging Face folder's `config.json` and `preprocessor_config.json`.

    What these files leave out is as in transformers' `CLIPConfig`. Raises ValueError for a model
    that is no CLIP, and for a malformed file.
    """
    stored = read_dict(folder / "config.json")
    # A tower that is null is one that is left out.
    stored = {name: value for name, value in stored.items() if value is not None}
    if stored.get("model_type", "clip") != "clip":
        raise ValueError(
            f"{display_path(folder)} holds a model of type {stored['model_type']!r}, not a CLIP."
        )
    try:
        image = get_part(stored, "vision_config", default={})
        text = get_part(stored, "text_config", default={})
        making = read_image_processor(folder)
        mean, std = get_triple(making, "image_mean"), get_triple(making, "image_std")
    except ValueError as error:
        message = f"{display_path(folder)} holds no configuration of Hugging Face's: {error}."
        raise ValueError(message) from error
    if others := list_other_steps(making, image.get("image_size")):
        raise ValueError(
            f"{display_path(folder)} says {', '.join(others)}: these weights need images that are "
            "made in another way than clipnb can. Nothing was loaded."
        )
    names = [tower.get("hidden_act", "quick_gelu") for tower in (image, text)]
    if names[0] != names[1] or names[0] not in list(HIDDEN_ACT):
        known = " or ".join(HIDDEN_ACT)
        raise ValueError(
            f"{display_path(folder / 'config.json')} names the activations {names}; these modules "
            f"have {known}, the same one in both towers."
        )
    towers = {"vision_config": image, "text_config": text}
    file = display_path(folder / "config.json")
    for name, tower in towers.items():
        if (eps := tower.get("layer_norm_eps", EPS)) != EPS:
            refuse_switch(file, f"{name}.layer_norm_eps", eps)
    return Settings(
        source=f"config.json says hidden_act={names[0]!r}",
        quick_gelu=HIDDEN_ACT[names[0]],
        file=file,
        sizes=list_sizes(stored, towers),
        describe=describe_for_hugging_face,
        mean=mean,
        std=std,
        interpolation=RESAMPLING.get(str(making.get("resample", 3)), "another"),
        resize_mode="shortest" if making.get("do_center_crop", True) else "squash",
    )


def read_image_processor(folder: Path) -> dict:
    """Read how a Hugging Face folder makes images: newer ones keep it within another file."""
    if (folder / "preprocessor_config.json").exists():
        return read_dict(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").exists():
        stored = read_dict(folder / "processor_config.json")
        return get_part(stored, "image_processor", default={})
    return {}


def list_sizes(stored: dict, towers: dict[str, dict]) -> dict[str, Any]:
    """List what a configuration says of the architecture, as {"vision_config.hidden_size": 768}."""
    sizes = {name: value for name, value in stored.items() if name == "projection_dim"}
    for part, tower in towers.items():
        said = {"num_attention_heads": HEADS[part]} | tower
        if said.get("eos_token_id") == OLD_EOS:
            del said["eos_token_id"]
        sizes |= {f"{part}.{name}": said[name] for name in SIZES[part] if name in said}
    return sizes


def list_other_steps(making: dict, image_size: int | None) -> list[str]:
    """List what an image processor does otherwise than `Preprocess`, as in "do_normalize=False".

    That one always scales the shorter side to the size that it then crops to. image_size: pixels a
    side that the model takes, or None where its file does not say it.
    """
    usual = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
    others = [name for name, value in usual.items() if making.get(name, value) != value]
    steps = ("size", "crop_size") if making.get("do_center_crop", True) else ("size",)
    said = {name: list_sides(making[name]) for name in steps if making.get(name) is not None}
    sides = {image_size} if image_size else set()
    if len(sides.union(*said.values())) > 1:
        others += said
    return [f"{name}={making[name]!r}" for name in others]


def list_sides(size: Any) -> list:
    """List the pixels in 224, in {"shortest_edge": 224} or in {"height": 224, "width": 224}."""
    return list(size.values()) if isinstance(size, dict) else [size]


# ---- writing ---------------------------------------------------------------------------------


def describe_for_hugging_face(sizes: Architecture) -> dict:
    """Describe the sizes of a model as transformers' `CLIPConfig` takes them."""
    shared = {
        "hidden_act": "quick_gelu" if sizes.quick_gelu else "gelu",
        "projection_dim": sizes.embed_dim,
    }
    eos = min(sizes.vocab_size, 49408) - 1  # CLIP's vocabulary ends with [SOS] and [EOS]
    image = {
        "image_size": sizes.image_size,
        "patch_size": sizes.patch_size,
        "hidden_size": sizes.image_width,
        "num_hidden_layers": sizes.image_layers,
        "num_attention_heads": sizes.image_heads,
        "intermediate_size": sizes.image_feedforward,
    }
    text = {
        "vocab_size": sizes.vocab_size,
        "max_position_embeddings": sizes.context_length,
        "hidden_size": sizes.text_width,
        "num_hidden_layers": sizes.text_layers,
        "num_attention_heads": sizes.text_heads,
        "intermediate_size": 4 * sizes.text_width,
        "bos_token_id": eos - 1,
        "eos_token_id": eos,
        "pad_token_id": eos,
    }
    return {
        "projection_dim": sizes.embed_dim,
        "vision_config": image | shared,
        "text_config": text | shared,
    }


def create_processor(model: nn.Module, tokenizer: Tokenizer) -> "CLIPProcessor":
    """Create the `CLIPProcessor` of a model: its preprocessing and CLIP's tokenizer.

    The tokenizer gives our ids, but pads with [EOS] instead of 0, as all of Hugging Face's do. The
    features are the same, because a text is read at its first [EOS].
    """
    from transformers import CLIPImageProcessor, CLIPProcessor, CLIPTokenizer

    preprocess = find_preprocess(model)
    square = {"height": preprocess.size, "width": preprocess.size}
    images = CLIPImageProcessor(
        size={"shortest_edge": preprocess.size} if preprocess.crop else square,
        crop_size=square,
        do_center_crop=preprocess.crop,
        image_mean=list(preprocess.mean),
        image_std=list(preprocess.std),
    )
    bpe = json.loads(tokenizer.bpe.to_str())["model"]
    specials = {SOS: "<|startoftext|>", EOS: "<|endoftext|>"}
    vocabulary = {specials.get(entry, entry): i for entry, i in bpe["vocab"].items()}
    merges = [tuple(merge) for merge in bpe["merges"]]
    most = len(model.text_encoder.positional_embedding)  # tokens
    texts = CLIPTokenizer(vocabulary, merges, model_max_length=most)
    return CLIPProcessor(images, texts)
