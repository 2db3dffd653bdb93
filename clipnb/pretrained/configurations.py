"""A model's sizes, preprocessing and vocabulary, as open_clip and transformers write them down."""

import json
from typing import TYPE_CHECKING

from torch import nn

from clipnb.preprocess import find_preprocess
from clipnb.tokenizer import EOS, SOS, Tokenizer
from clipnb.towers.published import Architecture
from clipnb.towers.sizes import find_architecture

if TYPE_CHECKING:
    from transformers import CLIPProcessor


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
        # open_clip rounds width * mlp_ratio down; half a channel keeps it from losing one.
        image["mlp_ratio"] = (sizes.image_feedforward + 0.5) / sizes.image_width
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
