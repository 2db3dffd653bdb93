"""CLIP and its supervised twins, which share images, image encoder and number of steps.

On scenes a seed draws the training images. On photos the official training split is given.
"""

import dataclasses

import numpy as np
from torch import nn

from clipnb.claims.drawn import DRAWN, N_TRAINING, draw_training_set
from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.nouns import NOUN_CLASSES, noun_truth
from clipnb.experiments.tagging import SCENE_TAGS, tag_truth
from clipnb.experiments.twin import fit_labels
from clipnb.model import create_model
from clipnb.recipes import TWO_MINUTES, Recipe
from clipnb.runs import Run
from clipnb.runtime import get_device, seed_everything

MUON_RATES = (4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2)  # what every arm on photos is tried with
# The best on dev, with seed 100: results/tuning/rivals.json. Twins that keep their last epoch
# had the same best rates (earlier/rivals-1.json).
BEST_RATES = {"words": 3e-3, "near": 3e-3, "far": 1e-3}
# The same for photos: results/tuning/rivals_flickr8k.json.
BEST_MUON_RATES = {"words": 3.2e-2, "probe": 3.2e-2}
# Rates are compared on shorter runs, and with fewer labelled images for the probes.
TUNING = {"epochs": 4, "n_training": 3000}
TUNING_SETS = {"n_images": 250, "pool": 1000}
PHOTO_TUNING = {"epochs": 4}  # half of what a run has

# ---- scenes ----------------------------------------------------------------------------------

# What a twin is taught. Of each pair, one twin is probed on what the other one is taught. No twin
# is taught counts and sizes.
TWINS = {"near": ("even", "odd"), "far": ("kinds", "colours and places")}


def is_taught(twin: str) -> np.ndarray:
    """Tell which of SCENE_TAGS a twin is taught, bool (33,).

    "even" and "odd" are every other kind, colour and place.
    """
    own = {"kinds": ("kind",), "colours and places": ("colour", "place")}
    attributes = own.get(twin, ("kind", "colour", "place"))
    taught = np.array([attribute in attributes for attribute, _ in SCENE_TAGS])
    if twin in ("even", "odd"):
        rank = np.cumsum(taught) - 1
        taught &= rank % 2 == (twin == "odd")
    return taught


def draw_recipe(name: str, rate: float, epochs: int, n_training: int) -> Recipe:
    """Return the recipe `quick_drawn` with another name, learning rate and length."""
    if n_training != N_TRAINING:
        name = f"{name}_{n_training}"
    return dataclasses.replace(DRAWN, name=name, learning_rate=rate, epochs=epochs)


def load_clip(seed: int, rate: float, epochs: int, n_training: int) -> Run:
    """Train CLIP on the training scenes of a seed, or load it."""
    recipe = draw_recipe(DRAWN.name, rate, epochs, n_training)
    return load_or_train_timed(recipe, seed, train_set=draw_training_set(seed, n_training))


def load_twin(twin: str, seed: int, rate: float, epochs: int, n_training: int) -> nn.Module:
    """Train a twin of CLIP's image encoder on what it is taught, or load it."""
    name = f"quick_drawn_{twin.replace(' ', '_')}_supervised"
    recipe = draw_recipe(name, rate, epochs, n_training)
    train_set = draw_training_set(seed, n_training)
    return fit_labels(recipe, seed, train_set, tag_truth(train_set)[:, is_taught(twin)])


def load_untrained(recipe: Recipe, seed: int) -> nn.Module:
    """Return the model of a recipe with the weights that it starts from."""
    seed_everything(seed)
    return create_model(recipe).to(get_device()).eval()


# ---- photos ----------------------------------------------------------------------------------


def load_photos() -> list[CaptionDataset]:
    """Load the official training, dev and test photos."""
    splits = ("train", "dev", "test")
    return [load_dataset("flickr8k", split, TWO_MINUTES.image_size) for split in splits]


def photo_recipe(name: str, rate: float, epochs: int = TWO_MINUTES.epochs) -> Recipe:
    """Return the recipe `two_minutes` with another name, learning rate and length."""
    return dataclasses.replace(TWO_MINUTES, name=name, muon_learning_rate=rate, epochs=epochs)


def load_photo_clip(seed: int, rate: float, epochs: int = TWO_MINUTES.epochs) -> Run:
    """Train CLIP on the training photos, or load it."""
    return load_or_train_timed(photo_recipe(TWO_MINUTES.name, rate, epochs), seed)


def is_taught_noun(half: str) -> np.ndarray:
    """Tell which of the 25 nouns a twin is taught, bool (25,): the 12 odd or the 13 even ones."""
    return np.arange(len(NOUN_CLASSES)) % 2 == (half == "odd")


def load_noun_twin(
    half: str, seed: int, train_set: CaptionDataset, rate: float, epochs: int = TWO_MINUTES.epochs
) -> nn.Module:
    """Train a twin of CLIP's image encoder on half of the nouns of photos, or load it."""
    recipe = photo_recipe(f"two_minutes_{half}_nouns_supervised", rate, epochs)
    truth = noun_truth(train_set)[:, is_taught_noun(half)]
    return fit_labels(recipe, seed, train_set, truth, average=True)
