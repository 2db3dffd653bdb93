"""clipnb: CLIP (Radford et al. 2021) from an empty file, in small modules that the notebooks import.

Every public name below can be had from here, `from clipnb import CLIP`; its module is imported when it is first asked for.
"""

import importlib

__version__ = "0.1.0"

MODULES = {
    "claims": ["detectable", "load_claim", "run_experiment"],
    "datasets": ["CaptionDataset", "load_dataset", "normalize_images"],
    "encoders": ["BagOfWords", "MultiHeadAttention", "ResidualCNN", "TextTransformer", "TinyCNN", "TransformerBlock", "ViT", "masked_mean"],
    "losses": ["clip_loss", "siglip_loss"],
    "metrics": ["bootstrap_intervals", "chance", "retrieval_metrics", "retrieval_ranks"],
    "model": ["CLIP", "create_model"],
    "recipes": ["RECIPES", "Recipe"],
    "retrieval": ["Hit", "ImageIndex"],
    "runs": ["Run", "load_run", "run_folder"],
    "runtime": ["get_device", "progress", "seed_everything"],
    "tokenizer": ["Tokenizer", "clip_tokenizer", "padding_mask", "train_tokenizer"],
    "training": ["encode_dataset", "evaluate", "load_or_train", "train"],
    "widget": ["RetrievalWidget"],
    "zero_shot": ["build_zero_shot_classifier", "zero_shot_scores"],
}
HOME = {name: module for module, names in MODULES.items() for name in names}
__all__ = sorted(HOME)


def __getattr__(name):
    if name not in HOME:
        raise AttributeError(f"clipnb has no {name!r}")
    return getattr(importlib.import_module(f"clipnb.{HOME[name]}"), name)
