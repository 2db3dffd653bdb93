"""clipnb: CLIP (Radford et al. 2021) from an empty file, in small modules for the notebooks.

Every public name can be imported from here, as in `from clipnb import CLIP`. Its module is
imported when the name is first used, so `import clipnb` itself costs next to nothing.
"""

import importlib
from typing import Any

__version__ = "0.6.0"

PUBLIC_NAMES = {
    "claims": ["load_claim", "load_claims", "run_claim"],
    "datasets": ["CaptionDataset", "load_dataset"],
    "datasets.photos": ["PhotoFolder"],
    "encoders": [
        "BagOfWords",
        "MultiHeadAttention",
        "QuickGELU",
        "ResidualCNN",
        "TextTransformer",
        "TinyCNN",
        "TransformerBlock",
        "ViT",
        "masked_mean",
        "normalize_images",
    ],
    "features": ["encode_dataset", "encode_images"],
    "loop": ["evaluate"],
    "losses": ["clip_loss", "siglip_loss"],
    "metrics": ["bootstrap_intervals", "chance", "retrieval_metrics", "retrieval_ranks"],
    "model": ["CLIP", "IMAGE_ENCODERS", "TEXT_ENCODERS", "create_model"],
    "preprocess": ["Preprocess"],
    "pretrained": ["load_pretrained"],
    "recipes": ["RECIPES", "Recipe", "fit_to_dataset"],
    "retrieval": ["Hit", "ImageIndex"],
    "run_folders": ["run_folder"],
    "runs": ["Run", "load_run"],
    "runtime": ["get_device", "progress", "seed_everything"],
    "search.bank": ["CaptionBank", "load_bank"],
    "search.query": ["Query", "parse_query"],
    "tokenizer": ["Tokenizer", "clip_tokenizer", "padding_mask", "train_tokenizer"],
    "training": ["load_or_train", "train"],
    "tuning": ["add_lora", "interpolate_weights", "merge_lora"],
    "widgets.prompt_lab": ["PromptLab"],
    "widgets.retrieval": ["RetrievalWidget"],
    "zero_shot": ["build_zero_shot_classifier", "zero_shot_scores"],
}
MODULE_OF = {name: module for module, names in PUBLIC_NAMES.items() for name in names}
__all__ = sorted(MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in MODULE_OF:
        raise AttributeError(f"clipnb has no {name!r}")
    return getattr(importlib.import_module(f"clipnb.{MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
