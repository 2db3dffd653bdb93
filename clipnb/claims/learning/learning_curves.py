"""Learning curves: one image encoder, three things to learn from captions, one exam on the way.

The three arms are those of the paper's Fig 2. An exam asks all of them the same words.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.claims.experiment import Effect
from clipnb.datasets import CaptionDataset, versioned_name
from clipnb.encoders import BagOfWords, normalize_images
from clipnb.experiments.fitting import (
    TRAINING_SECONDS,
    Loss,
    iterate_fitting,
    make_clip_objective,
)
from clipnb.experiments.outcomes import digest_measure
from clipnb.experiments.predictive import Captioner, WordPredictor, make_predictive_objective
from clipnb.features import apply_in_batches, encode_images, encode_texts
from clipnb.model import CLIP, create_image_encoder
from clipnb.recipes import QUICK, Recipe
from clipnb.runtime import cache_dir, replace_when_done, seed_everything
from clipnb.tokenizer import Tokenizer
from clipnb.training import make_tokenizer, steps_per_epoch

LANGUAGE_MODEL = "caption language model"
BAG_PREDICTION = "bag-of-words prediction"
CONTRAST = "contrast"
ARMS = (LANGUAGE_MODEL, BAG_PREDICTION, CONTRAST)
RECIPE = dataclasses.replace(
    QUICK,
    name="learning_curves",
    image_size=48,
    stored_size=48,
    captions_per_image=1,
    vocab_size=2048,  # the captioner's cost grows with both; few captions have more tokens
    context_length=24,
)
FIRST_STEPS = 4  # the first moment of a curve; by then no arm has learned anything


class Question(NamedTuple):
    """A question with C classes about each of N images.

    sentences: a list for each class; the last word of a sentence names the class. truth: bool
    (N, C), which classes are right answers. single: every image has one right answer.
    """

    sentences: list[list[str]]
    truth: np.ndarray
    single: bool = True


class Exam(NamedTuple):
    """Questions about the same images, uint8 (N, 3, S, S)."""

    images: np.ndarray
    questions: list[Question]

    @property
    def chance(self) -> float:
        """The grade of a model that guesses."""
        return float(np.mean([q.truth.mean() if q.single else 0.5 for q in self.questions]))


# ---- the three arms --------------------------------------------------------------------------


def make_arm(
    arm: str, recipe: Recipe, tokenizer: Tokenizer, dataset: CaptionDataset
) -> tuple[nn.Module, Loss]:
    """Make a fresh model for one of ARMS, and its loss. Raises ValueError for another arm."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}; choose one of {', '.join(map(repr, ARMS))}.")
    image_encoder = create_image_encoder(recipe)
    if arm == CONTRAST:
        model = CLIP(image_encoder, BagOfWords(tokenizer.vocab_size))
        return model, make_clip_objective(tokenizer, dataset, recipe)
    predictor = Captioner if arm == LANGUAGE_MODEL else WordPredictor
    model = predictor(image_encoder, tokenizer.vocab_size)
    return model, make_predictive_objective(tokenizer, dataset)


def score_classes(
    model: nn.Module, tokenizer: Tokenizer, images: np.ndarray, sentences: list[list[str]]
) -> Tensor:
    """Score C classes for images uint8 (N, 3, S, S), as float32 (N, C) on the CPU.

    A CLIP compares an image with the mean feature of a class's sentences. A word predictor adds
    the probabilities of the class's words, and a captioner those of its sentences. Then each class
    is shifted so that its mean over the images is 0. A predictor knows how frequent a word is, and
    without the shift it would answer with frequent words. No label is used for that.
    """
    if isinstance(model, CLIP):
        scores = _compare_features(model, tokenizer, images, sentences)
    elif isinstance(model, WordPredictor):
        scores = _look_up_words(model, tokenizer, images, sentences)
    else:
        scores = _add_likelihoods(model, tokenizer, images, sentences)
    return scores - scores.mean(dim=0)


def _compare_features(
    model: CLIP, tokenizer: Tokenizer, images: np.ndarray, sentences: list[list[str]]
) -> Tensor:
    means = [encode_texts(model, tokenizer(own)).mean(dim=0) for own in sentences]  # C of (D,)
    weights = F.normalize(torch.stack(means), dim=1)  # (C, D)
    return encode_images(model, images) @ weights.T


def _look_up_words(
    model: WordPredictor, tokenizer: Tokenizer, images: np.ndarray, sentences: list[list[str]]
) -> Tensor:
    words = [sorted({tokenizer.encode(text)[-1] for text in own}) for own in sentences]

    def score(batch: Tensor) -> Tensor:
        logs = model(normalize_images(batch)).log_softmax(dim=1)  # (B, V)
        return torch.stack([logs[:, own].logsumexp(dim=1) for own in words], dim=1)  # (B, C)

    return apply_in_batches(model, score, images)


def _add_likelihoods(
    model: Captioner, tokenizer: Tokenizer, images: np.ndarray, sentences: list[list[str]]
) -> Tensor:
    # Sentences with the same beginning share its computation: {beginning: [(class, last word)]}.
    endings: dict[tuple, list[tuple[int, int]]] = {}
    for c, own in enumerate(sentences):
        for text in own:
            *beginning, word = tokenizer.encode(text)
            endings.setdefault(tuple(beginning), []).append((c, word))

    def score(batch: Tensor) -> Tensor:
        features = model.image_encoder(normalize_images(batch))
        by_class: list[list[Tensor]] = [[] for _ in sentences]
        for beginning, ends in endings.items():
            # The last token stands for any word: a position sees only what is before it.
            tokens = torch.tensor([tokenizer.sos, *beginning, tokenizer.eos], device=batch.device)
            logits = model(features, tokens.expand(len(batch), -1))  # (B, T - 1, V)
            logs = logits.log_softmax(dim=-1)
            steps = torch.arange(len(beginning), device=batch.device)
            before = logs[:, steps, tokens[1:-1]].sum(dim=1)  # (B,)
            for c, word in ends:
                by_class[c].append(before + logs[:, -1, word])
        return torch.stack([torch.stack(own).logsumexp(dim=0) for own in by_class], dim=1)

    return apply_in_batches(model, score, images)


def take_exam(model: nn.Module, tokenizer: Tokenizer, exam: Exam) -> np.ndarray:
    """Return a model's grade for each image, (N,): the mean over the questions."""
    grades = []
    for question in exam.questions:
        scores = score_classes(model, tokenizer, exam.images, question.sentences)  # (N, C)
        grade = grade_choices if question.single else grade_ranks
        grades.append(grade(scores.numpy(), question.truth))
    return np.mean(grades, axis=0)


def grade_choices(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Tell for each image whether the class with the highest score is right, bool (N,)."""
    return truth[np.arange(len(truth)), scores.argmax(axis=1)]


def grade_ranks(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return grades (N,) whose mean is the mean over classes of the area under the ROC curve.

    This area is the share of pairs of an image that shows a class and one that does not, in which
    the first one has the higher score. All classes count alike, so that nothing is gained by
    naming frequent ones.
    """
    N, C = truth.shape
    grades = np.zeros(N)
    for own_scores, shows in zip(scores.T, truth.T, strict=True):
        others = np.sort(own_scores[~shows])
        shares = np.searchsorted(others, own_scores[shows]) / len(others)
        grades[shows] += shares * N / (C * shows.sum())
    return grades


# ---- training --------------------------------------------------------------------------------


class LearningCurve(NamedTuple):
    """How an arm did at T moments of its training."""

    images: list[int]  # seen at each of the T moments
    outcomes: np.ndarray  # (N, T)
    seconds_per_image: float  # of training, without the exams


def choose_moments(n_steps: int) -> list[int]:
    """Choose the steps after which the exam is taken: from FIRST_STEPS to the last one.

    Each is about the square root of two times the one before.
    """
    n = max(2, round(2 * np.log2(n_steps / FIRST_STEPS)) + 1)
    return sorted({round(step) for step in np.geomspace(min(FIRST_STEPS, n_steps), n_steps, n)})


def train_arm(
    arm: str,
    seed: int,
    rate: float,
    train_set: CaptionDataset,
    epochs: int,
    exam: Exam,
    every_moment: bool = True,
) -> LearningCurve:
    """Train an arm and let it take an exam on the way, or load its curve if that was done before.

    The learning rate stays where the warm-up has brought it, so that a point in the middle of a
    curve is not an unfinished cosine. every_moment=False: the exam is taken at the end alone.
    """
    recipe = dataclasses.replace(RECIPE, epochs=epochs, learning_rate=rate)
    content = [arm, seed, recipe.digest(), every_moment, versioned_name("scenes")]
    content += [train_set.name, train_set.split, len(train_set), exam.images.shape]
    content += [[q.sentences, q.truth.tolist()] for q in exam.questions] + [
        digest_measure(train_arm)
    ]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
    path = cache_dir() / "experiments" / f"curve-{train_set.name}-{seed}-{digest}.npz"
    if not path.exists():
        curve = _train_arm(arm, seed, recipe, train_set, exam, every_moment)
        with replace_when_done(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **curve._asdict())
    with np.load(path) as data:
        curve = LearningCurve(
            data["images"].tolist(), data["outcomes"], float(data["seconds_per_image"])
        )
    TRAINING_SECONDS[path.stem] = curve.seconds_per_image * curve.images[-1]
    return curve


def _train_arm(
    arm: str, seed: int, recipe: Recipe, train_set: CaptionDataset, exam: Exam, every_moment: bool
) -> LearningCurve:
    tokenizer = make_tokenizer(recipe, train_set.captions)
    n_steps = recipe.epochs * steps_per_epoch(train_set, recipe)
    moments = choose_moments(n_steps) if every_moment else [n_steps]
    images = [steps * recipe.batch_size for steps in moments]
    seed_everything(seed)
    model, loss = make_arm(arm, recipe, tokenizer, train_set)
    outcomes, seconds = [], 0.0
    start = time.perf_counter()
    for images_seen in iterate_fitting(model, loss, train_set, recipe, seed, decay_rate=False):
        if images_seen in images:
            seconds += time.perf_counter() - start
            outcomes.append(take_exam(model, tokenizer, exam))
            start = time.perf_counter()
    return LearningCurve(images, np.stack(outcomes, axis=1), seconds / images[-1])


# ---- effects ---------------------------------------------------------------------------------


def images_to_reach(curve: Sequence[float], images: Sequence[int], level: float) -> float:
    """Return the number of images seen when a curve first reaches a level.

    Between two moments it is interpolated on a log axis. A curve that starts above the level needs
    the first number of images, one that never reaches it the last.
    """
    curve = np.asarray(curve)
    reached = np.flatnonzero(curve >= level)
    if not len(reached):
        return float(images[-1])
    i = reached[0]
    if i == 0:
        return float(images[0])
    share = (level - curve[i - 1]) / (curve[i] - curve[i - 1])
    before, after = np.log(images[i - 1]), np.log(images[i])
    return float(np.exp(before + share * (after - before)))


def compare_images(fast: str, slow: str, share: float = 1.0) -> Effect:
    """Make the effect "how many times more images `slow` needs than `fast`".

    The level to reach lies between chance and what the weaker of the two reaches at the end. share
    says how far: 1 is the end. The rule does not look at which arm is the weaker one, and both
    arms reach this level.
    """

    def compute(outcomes: dict[str, Any]) -> float:
        curves = {arm: outcomes[f"_curve, {arm}"].mean(axis=0) for arm in (fast, slow)}  # (T,)
        weaker = min(curve[-1] for curve in curves.values())
        level = outcomes["chance"] + share * (weaker - outcomes["chance"])
        needs = {
            arm: images_to_reach(curve, outcomes["images"], level) for arm, curve in curves.items()
        }
        return needs[slow] / needs[fast]

    return Effect(compute=compute, unit="times", scale="log")


def compare_seconds(fast: str, slow: str) -> Effect:
    """Make the effect "how many times longer `slow` trains on an image than `fast`"."""

    def compute(outcomes: dict[str, Any]) -> float:
        return outcomes[f"seconds per image, {slow}"] / outcomes[f"seconds per image, {fast}"]

    return Effect(compute=compute, unit="times", scale="log")


def measure_above_chance(arm: str) -> Effect:
    """Make the effect "points by which an arm is above chance at the end"."""

    def compute(outcomes: dict[str, Any]) -> float:
        return 100 * (np.mean(outcomes[arm]) - outcomes["chance"])

    return Effect(compute=compute, unit="points")
