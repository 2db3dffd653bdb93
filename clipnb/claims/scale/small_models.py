"""Small CLIPs for grids of many runs, and how well they name or find what images show."""

import dataclasses
from collections.abc import Callable
from math import comb

import numpy as np
import torch
from torch import Tensor

from clipnb.claims.drawn import TRIED_RATES, TUNING_SEED
from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.fitting import Loss, load_or_fit
from clipnb.features import encode_dataset, encode_images, sample_captions, tokenize
from clipnb.metrics import retrieval_ranks
from clipnb.model import CLIP, create_model
from clipnb.objective import compute_loss
from clipnb.recipes import QUICK, RESIDUAL_BAG, Recipe
from clipnb.runtime import seed_everything
from clipnb.scenes.words import NOUN_FORMS
from clipnb.tokenizer import Tokenizer, trim_padding
from clipnb.zero_shot import zero_shot_scores

# Trained on 2,048 scenes it takes about half a second an epoch.
SMALL = dataclasses.replace(
    QUICK,
    name="small",
    image_size=32,
    stored_size=32,
    image_width=64,
    captions_per_image=1,
    batch_size=64,
)
# The same on photos. They are cropped and mirrored, because each is seen several times.
SMALL_PHOTOS = dataclasses.replace(
    RESIDUAL_BAG,
    name="small_photos",
    image_size=48,
    crop_size=48,
    stored_size=64,
    image_width=64,
    captions_per_image=1,
    batch_size=64,
    label_smoothing=0.0,
    colour=0.0,
    token_dropout=0.0,
)
CHANCE = 100 * np.mean([1 / 12, 1 / 8, 1 / 8])  # percent: 12 kinds, 8 colours, 8 places
N_DEV = 1000  # images by which a learning rate is chosen
GALLERY = 10  # images among which a caption has to find its own


def fit_clip(
    recipe: Recipe,
    seed: int,
    train_set: CaptionDataset,
    tokenizer: Tokenizer,
    prepare: Callable[[CLIP], None] | None = None,
    clamp: bool = True,
) -> CLIP:
    """Train the CLIP of a recipe, or load its weights if that has been done before.

    A fit is found by its recipe and seed, so the recipe's name must tell the training set, and
    what `prepare` changes in the fresh model. clamp: keep the scale between 1 and 100.
    """
    seed_everything(seed)
    model = create_model(recipe)
    if prepare is not None:
        prepare(model)
    objective = make_objective(tokenizer, train_set, recipe, clamp)
    return load_or_fit(model, objective, train_set, recipe, seed)


def make_objective(
    tokenizer: Tokenizer, dataset: CaptionDataset, recipe: Recipe, clamp: bool = True
) -> Loss:
    """Make the loss of a recipe, softmax or sigmoid, for `load_or_fit`.

    A model with a buffer `highest_scale` keeps in it the highest scale that it has had.
    """
    tokens = tokenize(tokenizer, dataset.captions)  # (N, K, T)

    def loss(model: CLIP, images: Tensor, rows: Tensor) -> Tensor:
        texts = sample_captions(tokens, rows, recipe.captions_per_image)  # (B, C, T)
        texts = trim_padding(texts).transpose(0, 1).to(images.device)  # (C, B, t)
        if clamp:
            model.clamp_logit_scale()  # before each step, since a loss cannot act after it
        if hasattr(model, "highest_scale"):
            scale = model.logit_scale.detach().exp()
            model.highest_scale.copy_(torch.maximum(model.highest_scale, scale))
        with torch.autocast(images.device.type, enabled=False):  # similarities need float32
            return compute_loss(model, images, texts, recipe)

    return loss


# ---- scores ----------------------------------------------------------------------------------


def draw_exam(n_images: int, image_size: int, is_dev: bool = False) -> CaptionDataset:
    """Draw test images that show one kind of thing each, the same every time, or dev images."""
    name = "one_thing_dev" if is_dev else "one_thing_seen"
    return render_dataset(sample_scenes(n_images, name, keep=has_one_thing), image_size)


def name_things(model: CLIP, tokenizer: Tokenizer, exam: CaptionDataset) -> np.ndarray:
    """Return the share of three tasks that words get right for each image, float (N,).

    The tasks are to name the kind, the colour and the place. Kinds are asked for in the singular
    and in the plural, because most images show two or three things.
    """
    features = encode_images(model, exam.images)  # (N, D)
    right = []
    for task in ("kind", "colour", "place"):
        names, truth = read_classes(exam, task)
        scores = zero_shot_scores(model, tokenizer, features, names)  # (N, C)
        if task == "kind":
            plurals = [NOUN_FORMS[name].plain[0][1] for name in names]
            scores = scores + zero_shot_scores(model, tokenizer, features, plurals, ["{}"])
        right.append(scores.argmax(dim=1).numpy() == truth)
    return np.mean(right, axis=0)


def find_photos(model: CLIP, tokenizer: Tokenizer, photos: CaptionDataset) -> np.ndarray:
    """Return how often a photo's captions find it among GALLERY photos, float (N,).

    It is the exact mean over all galleries that hold the photo and nine others of the N.
    """
    images, texts = encode_dataset(model, tokenizer, photos)  # (N, D), (N, K, D)
    _, ranks = retrieval_ranks(images, texts)  # (N*K,)
    return share_of_galleries(ranks.numpy(), len(photos)).reshape(len(photos), -1).mean(axis=1)


def share_of_galleries(ranks: np.ndarray, n_images: int) -> np.ndarray:
    """Return in which share of the galleries of GALLERY images an image of some rank is first.

    ranks: int (Q,), 1 for the best of all `n_images`.
    """
    others = GALLERY - 1
    first = [comb(n_images - rank, others) for rank in range(1, n_images + 1)]
    return np.array([count / comb(n_images - 1, others) for count in first])[ranks - 1]


# ---- learning rates --------------------------------------------------------------------------


def try_rates(
    recipe: Recipe,
    train_set: CaptionDataset,
    tokenizer: Tokenizer,
    score: Callable[[CLIP], np.ndarray],
    **options,
) -> dict[str, float]:
    """Train a recipe with each of TRIED_RATES. Returns {rate: percent right on dev}.

    The seed is one that no record uses. options: those of `fit_clip`.
    """
    scores = {}
    for rate in TRIED_RATES:
        own = dataclasses.replace(recipe, learning_rate=rate)
        model = fit_clip(own, TUNING_SEED, train_set, tokenizer, **options)
        scores[f"{rate:g}"] = float(100 * score(model).mean())
    return scores
