"""CLIP's image encoder, taught by labels who has which colour, how many there are and who is where.

It is the positive control of the exams in counting, binding and relations: what it can tell is to
be seen in the images, and the image encoder is able to learn it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from clipnb.claims.drawn import draw_training_set
from clipnb.claims.words.sentence_exams import PairExam
from clipnb.encoders import normalize_images
from clipnb.experiments.small_clip import SMALL_RECIPE
from clipnb.experiments.twin import MultiLabelBaseline, fit_labels
from clipnb.features import apply_in_batches
from clipnb.scenes import COLOURS, KINDS, Scene, labels
from clipnb.scenes.words import OPPOSITE

COUNTS = (1, 2, 3)
# What a sentence may tell of a thing: its colour, how many it is, how it lies to the other thing.
FACTS = tuple((kind, told) for kind in KINDS for told in (*COLOURS, *COUNTS, *OPPOSITE))


def fact_truth(truths: Sequence[dict]) -> np.ndarray:
    """Tell which of FACTS hold in each scene, bool (N, F). truths: as `CaptionDataset.labels`."""
    columns = {fact: column for column, fact in enumerate(FACTS)}
    held = np.zeros((len(truths), len(FACTS)), dtype=bool)
    for row, truth in enumerate(truths):
        relation = truth["relation"]
        lies = (relation, OPPOSITE.get(relation))  # the first thing to the second, and back
        for thing, place in zip(truth["objects"], lies, strict=False):
            for told in (thing["colour"], thing["count"], place):
                if told is not None:
                    held[row, columns[thing["kind"], told]] = True
    return held


def fit_facts(seed: int, n_scenes: int, epochs: int, rate: float) -> MultiLabelBaseline:
    """Train (or load) the image encoder on the facts of the scenes of a seed."""
    name = f"facts_{n_scenes}_supervised"
    recipe = dataclasses.replace(SMALL_RECIPE, name=name, epochs=epochs, learning_rate=rate)
    train_set = draw_training_set(seed, n_scenes, recipe.stored_size)
    return fit_labels(recipe, seed, train_set, fact_truth(train_set.labels))


def compare_facts(model: MultiLabelBaseline, exam: PairExam) -> Tensor:
    """Score each image of a pair with both sentences, float (N, 2, 2), image by sentence.

    The score is the sum of the logits of the facts that a sentence tells. The difference of two
    such sums is that of the sentences' log-likelihoods.
    """

    def predict(batch: Tensor) -> Tensor:
        return model(normalize_images(batch))

    logits = [apply_in_batches(model, predict, own).double() for own in exam.images]
    told = [torch.from_numpy(find_facts(own)).double() for own in exam.scenes]  # each (N, F)
    rows = [[(image * text).sum(dim=1) for text in told] for image in logits]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def find_facts(some_scenes: Sequence[Scene]) -> np.ndarray:
    """Tell which of FACTS hold in each scene, bool (N, F)."""
    return fact_truth([labels(scene) for scene in some_scenes])
