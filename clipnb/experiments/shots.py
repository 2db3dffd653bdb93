"""Few examples a class beside words: answers, scores by class, and the examples words are worth."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipnb.datasets import CaptionDataset
from clipnb.experiments.asking import ask_kinds, score_sentences
from clipnb.experiments.exams import (
    ATTRIBUTES,
    Edit,
    has_one_thing,
    render_dataset,
    sample_scenes,
)
from clipnb.experiments.nouns import mean_average_precision
from clipnb.experiments.probes import (
    Split,
    Splits,
    choose_C,
    fit_probe,
    sample_shots,
)
from clipnb.runs import Run

# scikit-learn's C for probes on photos, for features of mean square length 1: as many values as
# for the scenes, and smaller ones, because photos are noisier.
NOUN_C_GRID = 10.0 ** np.arange(-1.5, 1.5, 0.5)


# ---- scenes ----------------------------------------------------------------------------------


def draw_probe_sets(
    seed: int, n_images: int, pool: int, edit: Edit | None = None
) -> list[CaptionDataset]:
    """Draw images of one thing: `pool` to learn from, half as many for validation, test images.

    The seed draws the first two. The test images are the same for every seed. edit: a module-level
    function that changes each image, as in `render_dataset`.
    """
    sizes = {
        f"one_thing_shots-{seed}": pool,
        f"one_thing_check-{seed}": pool // 2,
        "one_thing_seen": n_images,
    }
    drawn = [sample_scenes(n, name, keep=has_one_thing) for name, n in sizes.items()]
    return [render_dataset(each, edit=edit) for each in drawn]


def answer_in_words(run: Run, features: Tensor, task: str, number: str = "both") -> np.ndarray:
    """Name each image's class in a task by words alone, int (N,).

    features: float32 (N, D) of unit length. number: "singular", "plural" or "both", for the kinds;
    a colour or a place is asked for by its bare name.
    """
    names = ATTRIBUTES[task]
    sentences = ask_kinds(names)[number] if task == "kind" else [[name] for name in names]
    return score_sentences(run, features, sentences).argmax(axis=1)


def answer_with_shots(
    splits: Splits, names: Sequence[str], shots: Sequence[int], draws: int, seed: int
) -> np.ndarray:
    """Name each test image's class by probes with few examples, int8 (N, K, draws).

    shots: K numbers of examples a class. C is chosen for each of them on the validation images,
    with the first draw.
    """
    pool, validation, test = splits
    answers = np.zeros((len(test.labels), len(shots), draws), np.int8)
    for i, k in enumerate(shots):
        rng = np.random.default_rng((seed, k))
        samples = [pool.subset(sample_shots(pool.labels, k, rng, names)) for _ in range(draws)]
        C = choose_C(samples[0], validation)
        for draw, sample in enumerate(samples):
            answers[:, i, draw] = fit_probe(sample, C).predict(test.features)
    return answers


def answer_with_all(splits: Splits) -> np.ndarray:
    """Name each test image's class by a probe that has seen the whole pool, int (N,)."""
    C = choose_C(splits.pool, splits.validation)
    return fit_probe(splits.pool, C).predict(splits.test.features)


def score_classes(answers: np.ndarray, truth: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the F1 score of each class, (C, ...), between 0 and 1.

    A model that gives the same answer too often has a high accuracy on the images of that class,
    and no high F1 score. answers: int (N, ...). truth: int (N,).
    """
    truth = truth.reshape(-1, *[1] * (answers.ndim - 1))
    scores = []
    for label in range(n_classes):
        said, is_so = answers == label, truth == label
        both = (said & is_so).sum(axis=0)
        scores.append(2 * both / np.maximum(said.sum(axis=0) + is_so.sum(axis=0), 1))
    return np.stack(scores)


# ---- photos ----------------------------------------------------------------------------------


def fit_noun_probes(train: Split, used: np.ndarray, C: float) -> tuple[Tensor, Tensor]:
    """Fit a logistic regression for each noun, all at once by L-BFGS. Returns (D, C) and (C,).

    train: labels bool (n, C). used: bool (n, C), the photos that a noun's probe learns from. C: as
    in scikit-learn, the inverse of the regularisation.
    """
    features = torch.tensor(train.features, dtype=torch.float32)
    truth = torch.tensor(train.labels, dtype=torch.float32)
    mask = torch.tensor(used, dtype=torch.float32)
    share = (truth * mask).sum(dim=0) / mask.sum(dim=0)
    weights = torch.zeros(features.shape[1], truth.shape[1], requires_grad=True)
    bias = torch.logit(share, eps=1e-4).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weights, bias], max_iter=300, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def compute_loss() -> Tensor:
        optimizer.zero_grad()
        logits = features @ weights + bias  # (n, C)
        errors = F.binary_cross_entropy_with_logits(logits, truth, mask, reduction="sum")
        loss = errors / len(truth) + weights.square().sum() / (2 * C * len(truth))
        loss.backward()
        return loss

    optimizer.step(compute_loss)
    return weights.detach(), bias.detach()


def sample_noun_shots(
    truth: np.ndarray, k: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sample k photos of every noun, or all there are. Returns their rows (n,) and used (n, C).

    A noun's probe learns from its own k photos and from those of the other nouns that do not show
    it. truth: bool (N, C).
    """
    own = np.zeros(truth.shape, bool)
    for noun, shows in enumerate(truth.T):
        own[rng.permutation(np.flatnonzero(shows))[:k], noun] = True
    rows = np.flatnonzero(own.any(axis=1))
    return rows, own[rows] | ~truth[rows]


def score_nouns(train: Split, used: np.ndarray, C: float, features: np.ndarray) -> np.ndarray:
    """Fit the probes of all nouns and score photos with them, float32 (N, C)."""
    weights, bias = fit_noun_probes(train, used, C)
    return (torch.tensor(features, dtype=torch.float32) @ weights + bias).numpy()


def choose_noun_C(  # noqa: N802 - C as in scikit-learn
    train: Split, used: np.ndarray, validation: Split
) -> float:
    """Choose the C of `NOUN_C_GRID` with the best mean average precision on validation photos.

    train, used: as for `fit_noun_probes`. validation: labels bool (n, C).
    """
    scores = [score_nouns(train, used, C, validation.features) for C in NOUN_C_GRID]
    precisions = [mean_average_precision(each, validation.labels) for each in scores]
    return float(NOUN_C_GRID[np.argmax(precisions)])


def rank_scores(scores: np.ndarray) -> np.ndarray:
    """Return the rank of each score along the first axis, int16, the lowest one first.

    Average precision needs no more than the ranks, and sorts small integers fast.
    """
    return scores.argsort(axis=0).argsort(axis=0).astype(np.int16)


# ---- what words are worth --------------------------------------------------------------------


def find_worth(curve: Sequence[float], level: float, shots: Sequence[float]) -> float:
    """Return the examples a class at which a curve over `shots` reaches a level.

    The curve is first made monotone (by isotonic regression), because its noise would cross the
    level too early. Between two points it is straight on a log axis. Returns half the first number
    of shots if the curve is above the level from the start, and infinity if it never reaches it.
    """
    from sklearn.isotonic import isotonic_regression

    curve = isotonic_regression(np.asarray(curve, float))
    reached = np.flatnonzero(curve >= level)
    if not len(reached):
        return np.inf
    i = reached[0]
    if i == 0:
        return float(shots[0]) if curve[0] == level else shots[0] / 2
    share = (level - curve[i - 1]) / (curve[i] - curve[i - 1])
    return float(2 ** np.interp(share, [0, 1], np.log2([shots[i - 1], shots[i]])))
