"""Linear probes: logistic regressions on frozen features, as in the paper (§3.2, appendix A)."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.exams import (
    ATTRIBUTES,
    has_one_thing,
    read_classes,
    render_dataset,
    sample_scenes,
)
from clipnb.experiments.experiment import Outcomes, Quantity
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.predictive import fit_word_predictor
from clipnb.experiments.quantities import average, difference
from clipnb.experiments.twin import fit_supervised_baseline
from clipnb.features import encode_images
from clipnb.model import create_model
from clipnb.recipes import QUICK
from clipnb.runs import Run
from clipnb.runtime import get_device, seed_everything
from clipnb.scenes import Scene
from clipnb.zero_shot import DEFAULT_TEMPLATES, zero_shot_scores

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

SHOTS = (1, 2, 4, 8, 16)  # examples a class
# scikit-learn's C, the inverse of the regularisation, for features of mean square length 1.
C_GRID = 10.0 ** np.arange(-1, 5)

TAUGHT_TASKS = ("kind", "colour", "place")  # what the supervised baseline is trained on
UNTAUGHT_TASKS = ("count", "size")
PROBE_TASKS = TAUGHT_TASKS + UNTAUGHT_TASKS
# The captions number things "a dog", "two dogs", "three dogs", and rarely "one dog". A number
# without its noun is all that can be said of any kind.
CLASS_WORDS = ATTRIBUTES | {"count": ("a", "two", "three")}
TASK_TEMPLATES = dict.fromkeys(PROBE_TASKS, DEFAULT_TEMPLATES) | {"count": ("{}",)}


@dataclass(frozen=True)
class Split:
    """Features (N, D) of images and their labels, int or bool (N,)."""

    features: np.ndarray
    labels: np.ndarray

    def subset(self, rows: np.ndarray) -> "Split":
        """Return some rows as a split of their own. rows: their numbers, or bool (N,)."""
        return Split(self.features[rows], self.labels[rows])


class Splits(NamedTuple):
    """The three splits of a task for probes."""

    pool: Split  # to learn from
    validation: Split  # to choose C
    test: Split


# ---- images and features ---------------------------------------------------------------------


def render_probe_sets(n_images: int, pool: int) -> list[CaptionDataset]:
    """Draw one-thing images: `pool` to learn from, half as many for validation, `n_images` to test.

    No image is in two of these sets.
    """
    return [render_dataset(some_scenes) for some_scenes in sample_probe_scenes(n_images, pool)]


def sample_probe_scenes(n_images: int, pool: int) -> list[list[Scene]]:
    """Sample the scenes of `render_probe_sets`."""
    sizes = {"one_thing_shots": pool, "one_thing_check": pool // 2, "one_thing_seen": n_images}
    return [sample_scenes(n, name, keep=has_one_thing) for name, n in sizes.items()]


def load_tower(name: str, seed: int, epochs: int = QUICK.epochs) -> nn.Module:
    """Train (or load) a model whose `image_encoder` is one of the four towers of equal size.

    name: "contrastive" (the recipe `quick`), "supervised" (the baseline that is trained on labels),
    "predictive" (a bag-of-words predictor), or "random" (untrained). Raises ValueError for another.
    """
    recipe = dataclasses.replace(QUICK, epochs=epochs)
    if name == "contrastive":
        return load_or_train_timed(recipe, seed).model
    if name == "random":
        seed_everything(seed)
        return create_model(recipe).to(get_device()).eval()
    train_set = load_dataset("scenes", "train", recipe.stored_size)
    if name == "supervised":
        recipe = dataclasses.replace(recipe, name="quick_supervised")
        return fit_supervised_baseline(recipe, seed, train_set)
    if name == "predictive":
        recipe = dataclasses.replace(recipe, name="quick_bow_prediction")
        return fit_word_predictor(recipe, seed, train_set)
    raise ValueError(
        f"no tower {name!r}; choose 'contrastive', 'supervised', 'predictive' or 'random'."
    )


def encode_for_probes(
    model: nn.Module, sets: Sequence[CaptionDataset], projected: bool = True
) -> list[np.ndarray]:
    """Encode each set as features float64 (N, D) whose scale is the same for every tower.

    The features get unit length. Then all are shifted and scaled alike, so that the first set has
    mean 0 and mean square length 1. This changes no probe, because the intercept and C make up for
    it. But then one range of C fits every tower.
    """
    unit = []
    for dataset in sets:
        features = encode_images(model, dataset.images, projected=projected)
        unit.append(F.normalize(features, dim=1).double().numpy())
    centre = unit[0].mean(axis=0)
    length = np.sqrt(np.square(unit[0] - centre).sum(axis=1).mean())
    return [(features - centre) / length for features in unit]


def label_splits(
    features: Sequence[np.ndarray], sets: Sequence[CaptionDataset], task: str
) -> Splits:
    """Put the features of three sets together with their labels in a task."""
    labels = [read_classes(dataset, task)[1] for dataset in sets]
    return Splits(*map(Split, features, labels))


# ---- probes ----------------------------------------------------------------------------------


def sample_shots(
    labels: np.ndarray, k: int, rng: np.random.Generator, names: Sequence[str] | None = None
) -> np.ndarray:
    """Sample k different random examples of every class. Returns their rows, int (n,).

    labels: int (N,). names: the classes; without them, the classes are the labels that occur.
    Warns of a class with fewer than k examples, and uses all of them.
    """
    classes = np.unique(labels) if names is None else range(len(names))
    shots = []
    for label in classes:
        own = np.flatnonzero(labels == label)
        if len(own) < k:
            name = label if names is None else names[label]
            warnings.warn(
                f"class {name!r} has {len(own)} examples, not {k}: its probe learns from "
                f"{len(own)}.",
                stacklevel=2,
            )
        shots.append(rng.permutation(own)[:k])
    return np.concatenate(shots)


def fit_probe(train: Split, C: float) -> "LogisticRegression":
    """Fit a linear probe as in the paper (§3.2).

    It is a logistic regression, fitted by L-BFGS in at most 1000 iterations.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # scikit-learn depends on it

    # For matrices this small, threads cost more than they bring. On a busy machine they wait for
    # each other, and a fit takes twenty times as long.
    with threadpool_limits(1, user_api="blas"):
        return LogisticRegression(C=C, max_iter=1000).fit(train.features, train.labels)


def check_probe(train: Split, C: float, test: Split) -> np.ndarray:
    """Fit a probe and tell for each test image whether its answer is right, bool (N,)."""
    return fit_probe(train, C).predict(test.features) == test.labels


def choose_C(train: Split, validation: Split) -> float:  # noqa: N802 - C as in scikit-learn
    """Choose the C of `C_GRID` whose probe is right most often on the validation images.

    Of equally good ones it is the smallest, which is the strongest regularisation.
    """
    accuracies = [np.mean(check_probe(train, C, validation)) for C in C_GRID]
    return C_GRID[np.argmax(accuracies)]


def probe_with_shots(splits: Splits, names: Sequence[str], draws: int, seed: int) -> np.ndarray:
    """Return how often probes with few examples are right, float (N, K) for the K of `SHOTS`.

    It is the mean over `draws` samples of examples, which are the same for every tower. C is
    chosen once for each k, with the first sample.
    """
    pool, validation, test = splits
    right = []
    for k in SHOTS:
        rng = np.random.default_rng((seed, k))
        samples = [pool.subset(sample_shots(pool.labels, k, rng, names)) for _ in range(draws)]
        C = choose_C(samples[0], validation)
        right.append(np.mean([check_probe(shots, C, test) for shots in samples], axis=0))
    return np.stack(right, axis=1)


def probe_with_all_labels(splits: Splits) -> np.ndarray:
    """Tell whether a probe that has seen all labels of the pool is right, bool (N,)."""
    C = choose_C(splits.pool, splits.validation)
    return check_probe(splits.pool, C, splits.test)


def check_words(
    run: Run,
    features: Tensor,
    labels: np.ndarray,
    task: str,
    templates: Sequence[str] | None = None,
) -> np.ndarray:
    """Tell for each image whether words alone name its class in a task rightly, bool (N,).

    features: float32 (N, D) of unit length. labels: int (N,). templates: use these instead of the
    task's own.
    """
    names = CLASS_WORDS[task]
    templates = templates or TASK_TEMPLATES[task]
    scores = zero_shot_scores(run.model, run.tokenizer, features, names, templates)  # (N, C)
    return scores.argmax(dim=1).numpy() == labels


def compare_words_and_probes(
    seed: int, n_images: int, pool: int, probe: Callable[[Splits, Sequence[str]], np.ndarray]
) -> tuple[Outcomes, list[str]]:
    """Name kinds, colours and places with words, and with probes on the same features.

    probe: called with splits and the names of the classes, returns what is right (N, ...).
    Returns the outcomes and the names of all classes in the test images, one task after the other.
    """
    sets = render_probe_sets(n_images, pool)
    run = load_or_train_timed(QUICK, seed)
    features = encode_for_probes(run.model, sets)
    unit_features = encode_images(run.model, sets[-1].images)
    outcomes, classes = {}, []
    for task in TAUGHT_TASKS:
        names = ATTRIBUTES[task]
        splits = label_splits(features, sets, task)
        labels = splits.test.labels
        classes += [names[label] for label in np.unique(labels)]
        outcomes[task] = labels
        outcomes[f"zero-shot, {task}"] = check_words(run, unit_features, labels, task)
        outcomes[f"probe, {task}"] = probe(splits, names)
    return outcomes, classes


# ---- numbers from outcomes -------------------------------------------------------------------


def find_crossing(
    curve: Sequence[float], level: float, shots: Sequence[int] = SHOTS, never: float = 32.0
) -> float:
    """Return the examples a class at which a curve over `shots` first reaches a level.

    Between two points the curve is straight on a log2 axis. Returns 0.5 if the first point is
    above the level already, and `never` if no point reaches it.
    """
    reached = np.flatnonzero(np.asarray(curve) >= level)
    if not len(reached):
        return never
    i = reached[0]
    if i == 0:
        return 1.0 if curve[0] == level else 0.5
    share = (level - curve[i - 1]) / (curve[i] - curve[i - 1])
    return float(2 ** np.interp(share, [0, 1], np.log2([shots[i - 1], shots[i]])))


def average_by_class(right: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean of right (N, ...) over the images of each class that has one, (C, ...)."""
    return np.stack([right[labels == label].mean(axis=0) for label in np.unique(labels)])


def average_by_all_classes(outcomes: dict[str, Any], condition: str) -> np.ndarray:
    """Return a condition's means by class, of kinds, colours and places one after the other."""
    means = [
        average_by_class(outcomes[f"{condition}, {task}"], outcomes[task]) for task in TAUGHT_TASKS
    ]
    return np.concatenate(means)


def lead_quantity(condition: str, other: str, tasks: Sequence[str] = PROBE_TASKS) -> Quantity:
    """Make the quantity "points by which a condition is above another, on average over tasks"."""
    return average([difference(f"{condition}, {task}", f"{other}, {task}") for task in tasks])


def grade_crossing(interval: Sequence[float], enough: float) -> str:
    """Return the verdict on the number of examples a class that words are worth.

    replicated: the interval lies above `enough`, half the paper's figure. partly: above 1.
    contradicted: not above 1 anywhere.
    """
    low, high = interval
    if low >= enough:
        return "replicated"
    if low > 1:
        return "partly"
    if high <= 1:
        return "contradicted"
    return "not at this scale"
