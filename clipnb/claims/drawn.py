"""Scenes drawn anew for each seed, and the models that are trained on them.

A seed that only draws weights and batches shows too little of what chance does: with other
training scenes the same recipe is up to seven points better or worse. So a seed of an experiment
draws its training scenes too. The test images stay the same.
"""

import dataclasses
from collections.abc import Sequence

from clipnb.datasets import CaptionDataset
from clipnb.experiments.exams import render_dataset, sample_scenes
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.recipes import QUICK
from clipnb.runs import Run

N_TRAINING = 6000  # as many as the dataset `scenes` has
TUNING_SEED = 100  # of no record: rates are chosen with it
# What every condition with AdamW is tried with, so that none has more learning rates than another.
TRIED_RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
DRAWN = dataclasses.replace(QUICK, name="quick_drawn")


def draw_training_set(
    seed: int,
    n_images: int = N_TRAINING,
    image_size: int = DRAWN.stored_size,
    styles: Sequence[str] = ("painted",),
) -> CaptionDataset:
    """Draw the training scenes of a seed. None of them is in the dataset or in a test."""
    some_scenes = sample_scenes(n_images, f"training-{seed}")
    return render_dataset(some_scenes, image_size, styles)


def load_drawn_clip(seed: int) -> Run:
    """Train the recipe `quick` on the training scenes of a seed, or load it if that was done."""
    return load_or_train_timed(DRAWN, seed, train_set=draw_training_set(seed))
