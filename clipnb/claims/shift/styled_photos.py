"""Photos in other styles, and models that find nouns in them, with words or with labels.

They are what the experiments on robustness with photos share. Words: CLIP, trained on captions.
Labels: the same image encoder, taught which of 25 nouns the captions hold.
"""

import dataclasses
import random

import numpy as np
import torch
import torch.nn.functional as F

from clipnb.claims.drawn import TRIED_RATES, TUNING_SEED
from clipnb.claims.shift.styled import Words, name_styles
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.asking import ask_nouns, knows_word, score_sentences
from clipnb.experiments.nouns import NOUN_CLASSES, average_precisions, noun_truth
from clipnb.experiments.small_clip import load_or_fit_clip
from clipnb.experiments.twin import fit_multi_label_baseline, predict_nouns
from clipnb.features import encode_images
from clipnb.recipes import QUICK, Recipe
from clipnb.training import make_tokenizer

PHOTO_RECIPE = dataclasses.replace(QUICK, dataset="flickr8k", image_width=96, flip=True)
# The styles of the varied training set, and those that are in no training set.
TRAINING_STYLES = ("photo", "grey", "edges", "inverted")
SHIFTED_STYLES = TRAINING_STYLES[1:]
NEW_STYLES = ("blurred", "posterised")

# The best on dev, with seed 100: results/tuning/robustness_flickr8k.json.
BEST_RATES = {
    "words, one style": 3e-3,
    "words, many styles": 3e-3,
    "labels, one style": 3e-3,
    "labels, many styles": 1e-2,
}
TUNING_IMAGES, TUNING_EPOCHS = 1000, 8


# ---- photos in other styles ------------------------------------------------------------------


def restyle(images: np.ndarray, style: str) -> np.ndarray:
    """Return photos in a style. images: uint8 (N, 3, S, S); so is the result.

    Raises ValueError for a style that is not known.
    """
    pixels = torch.from_numpy(np.array(images)).float()
    grey = pixels.mean(dim=1, keepdim=True).expand_as(pixels)
    if style == "photo":
        changed = pixels
    elif style == "grey":
        changed = grey
    elif style == "edges":  # dark lines on white, where the brightness changes
        across = F.pad(grey.diff(dim=3).abs(), (0, 1, 0, 0))
        down = F.pad(grey.diff(dim=2).abs(), (0, 0, 0, 1))
        changed = 255 - 3 * (across + down)
    elif style == "inverted":
        changed = 255 - pixels
    elif style == "blurred":
        changed = F.avg_pool2d(pixels, 7, stride=1, padding=3, count_include_pad=False)
    elif style == "posterised":  # three levels of each colour
        changed = (pixels / 127.5).round() * 127.5
    else:
        known = ", ".join((*TRAINING_STYLES, *NEW_STYLES))
        raise ValueError(f"no style {style!r}; there are {known}.")
    return changed.clamp(0, 255).round().byte().numpy()


def load_styled_photos(n_images: int, many: bool) -> CaptionDataset:
    """Load the first training photos, as they are or each in a random one of four styles."""
    train_set = load_dataset("flickr8k", "train", PHOTO_RECIPE.stored_size)
    train_set = train_set.subset(range(min(n_images, len(train_set))))
    if not many:
        return train_set
    rng = random.Random("styles of photos")
    styles = np.array([rng.choice(TRAINING_STYLES) for _ in range(len(train_set))])
    images = np.array(train_set.images)
    for style in TRAINING_STYLES:
        images[styles == style] = restyle(images[styles == style], style)
    return dataclasses.replace(train_set, images=images)


# ---- training and testing --------------------------------------------------------------------


def make_photo_recipe(
    target: str, many: bool, n_images: int, epochs: int, rate: float | None = None
) -> Recipe:
    """Make the recipe of a model. rate: the learning rate, by default the best one on dev."""
    rate = rate or BEST_RATES[name_styles(target, many)]
    name = f"photo_styles_{'many' if many else 'one'}_{n_images}"
    name += "_supervised" if target == "labels" else ""
    return dataclasses.replace(PHOTO_RECIPE, name=name, epochs=epochs, learning_rate=rate)


def score_photos(
    target: str,
    many: bool,
    seed: int,
    n_images: int,
    epochs: int,
    test_sets: dict[str, np.ndarray],
    rate: float | None = None,
) -> dict[str, np.ndarray]:
    """Train (or load) a model and score the 25 nouns for test photos in every style.

    target: "words" or "labels". test_sets: {style: images}. Returns {style: float (N, 25)}.
    """
    recipe = make_photo_recipe(target, many, n_images, epochs, rate)
    train_set = load_styled_photos(n_images, many)
    if target == "labels":
        model = fit_multi_label_baseline(recipe, seed, train_set)
        return {style: predict_nouns(model, own).numpy() for style, own in test_sets.items()}
    tokenizer = make_tokenizer(recipe, train_set.captions)
    words = Words(load_or_fit_clip(recipe, seed, train_set, tokenizer), tokenizer)
    sentences = ask_nouns(NOUN_CLASSES, knows_word(words))["both"]
    return {
        style: score_sentences(words, encode_images(words.model, own), sentences)
        for style, own in test_sets.items()
    }


def tune_photos() -> dict[str, dict[str, float]]:
    """Return {model: {learning rate: mean average precision on dev}}, for fewer photos.

    A model is judged in the styles that it is trained on.
    """
    dev_set = load_dataset("flickr8k", "dev", PHOTO_RECIPE.image_size)
    truth = noun_truth(dev_set)
    scores = {name: {} for name in BEST_RATES}
    for name in BEST_RATES:
        target = name.split(",")[0]
        many = name == name_styles(target, True)
        styles = TRAINING_STYLES if many else ("photo",)
        dev_sets = {style: restyle(dev_set.images, style) for style in styles}
        for rate in TRIED_RATES:
            settings = (TUNING_SEED, TUNING_IMAGES, TUNING_EPOCHS)
            own = score_photos(target, many, *settings, dev_sets, rate)
            by_style = [np.nanmean(average_precisions(each, truth)) for each in own.values()]
            scores[name][f"{rate:g}"] = round(float(np.mean(by_style)), 2)
    return scores
