"""Experiments of notebook 08: linear probes and few-shot (paper Fig 5 to 8, 10)."""

import dataclasses
import warnings

import numpy as np
import torch.nn.functional as F

from clipnb.datasets import load_dataset
from clipnb.experiments.exams import has_one_thing, read_classes, render_dataset, sample_scenes
from clipnb.experiments.experiment import Experiment
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.nouns import CLASSES, average_precisions, mean_average_precision, noun_truth
from clipnb.experiments.objectives import predictive_tower
from clipnb.experiments.quantities import accuracy, difference
from clipnb.experiments.twin import fit_supervised_baseline
from clipnb.experiments.zero_shot import LIKE_CAPTIONS, PHOTOS
from clipnb.features import encode_images
from clipnb.model import create_model
from clipnb.recipes import RECIPES
from clipnb.runtime import get_device, seed_everything
from clipnb.scenes import COLOURS, KINDS, PLACES, SIZES
from clipnb.zero_shot import zero_shot_scores

QUICK = RECIPES["quick"]
SHOTS = (1, 2, 4, 8, 16)  # examples a class
C_GRID = 10.0 ** np.arange(
    -1, 5
)  # scikit-learn's C, the inverse of the regularisation, for features of mean square length 1
PHOTO = ["a photo of a {}"]
# How each task is put into words. The captions number things "a dog", "two dogs", "three dogs" (rarely "one dog");
# a number without its noun is all that can be said of any kind.
WORDS = {
    "kind": (KINDS, PHOTO),
    "colour": (COLOURS, PHOTO),
    "place": (PLACES, PHOTO),
    "size": (SIZES, PHOTO),
    "count": (("a", "two", "three"), ["{}"]),
}
TAUGHT, UNTAUGHT = ("kind", "colour", "place"), ("count", "size")  # to the supervised twin
TASKS = TAUGHT + UNTAUGHT


# ---- images, features, probes ---------------------------------------------------------------------------------------


def sample_shots(labels, k, rng, names=None):
    """Rows int (n,) of k random examples of every class, none twice. labels: int (N,); rng: a numpy Generator; names: the classes.

    Warns of a class with fewer than k examples, and uses all of them.
    """
    rows = []
    for label in range(len(names)) if names is not None else np.unique(labels):
        own = np.flatnonzero(labels == label)
        if len(own) < k:
            name = label if names is None else names[label]
            warnings.warn(
                f"class {name!r} has {len(own)} examples, not {k}: its probe learns from {len(own)}.",
                stacklevel=2,
            )
        rows.append(rng.permutation(own)[:k])
    return np.concatenate(rows)


def probe(features, labels, C):
    """A linear probe as in the paper (§3.2): L-BFGS logistic regression, at most 1000 iterations; returns a function from features to labels."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=1000).fit(features, labels).predict


def choose_C(features, labels, check, check_labels):
    """The C of `C_GRID` that is right most often on the validation images; the strongest regularisation of equally good ones."""
    return C_GRID[
        np.argmax([np.mean(probe(features, labels, C)(check) == check_labels) for C in C_GRID])
    ]


def images_for(n_images, pool):
    """One-thing images, none of them in two sets: (pool to learn from, validation, test)."""
    sizes = {"one_thing_shots": pool, "one_thing_check": pool // 2, "one_thing_seen": n_images}
    return [render_dataset(sample_scenes(n, name, keep=has_one_thing)) for name, n in sizes.items()]


def towers_of(seed, names=("contrastive", "supervised", "random")):
    """{name: CLIP} of equal image towers: CLIP's; the supervised twin's and the word predictor's, put into a CLIP that knows nothing else; one before any training."""
    towers = {}
    for name in names:
        seed_everything(seed)
        towers[name] = (
            load_or_train_timed(QUICK, seed).model
            if name == "contrastive"
            else create_model(QUICK).to(get_device()).eval()
        )
        if name == "supervised":
            train_set = load_dataset("scenes", "train", QUICK.stored_size)
            towers[name].image_encoder = fit_supervised_baseline(
                dataclasses.replace(QUICK, name="quick_supervised"), seed, train_set
            ).image_encoder
        if name == "predictive":
            towers[name].image_encoder = predictive_tower(seed)
    return towers


def features_for_probes(model, sets, projected=True):
    """Features (N, D) of each set, of unit length, then all shifted and scaled alike: the first set has mean 0 and mean square length 1.

    The shift and the one factor change no probe (its intercept and its C take them up), but one range of C fits every tower.
    """
    unit = [
        F.normalize(encode_images(model, some.images, projected=projected), dim=1).double().numpy()
        for some in sets
    ]
    centre = unit[0].mean(axis=0)
    length = np.sqrt(np.square(unit[0] - centre).sum(axis=1).mean())
    return [(features - centre) / length for features in unit]


def few_shot(features, truths, names, draws, seed):
    """How often probes with few examples are right: float (N, K) for N test images and K of `SHOTS`, the mean over draws of the examples.

    features, truths: of the pool, of validation and of the test. C is settled once for each k, with the first draw; every tower gets the same draws.
    """
    (pool, check, exam), (labels, check_labels, truth), right = features, truths, []
    for k in SHOTS:
        rng, C, hits = np.random.default_rng((seed, k)), None, []
        for _ in range(draws):
            rows = sample_shots(labels, k, rng, names)
            C = C or choose_C(pool[rows], labels[rows], check, check_labels)
            hits.append(probe(pool[rows], labels[rows], C)(exam) == truth)
        right.append(np.mean(hits, axis=0))
    return np.stack(right, axis=1)


def full_probe(features, truths):
    """Whether a probe that has seen all labels of the pool is right: bool (N,)."""
    (pool, check, exam), (labels, check_labels, truth) = features, truths
    return probe(pool, labels, choose_C(pool, labels, check, check_labels))(exam) == truth


def zero_shot_right(run, exam, task, templates=None):
    """Whether words alone are right: bool (N,). exam: (features of unit length, truth) of the test images."""
    (words, own), (features, truth) = WORDS[task], exam
    return (
        zero_shot_scores(run.model, run.tokenizer, features, words, templates or own)
        .argmax(dim=1)
        .numpy()
        == truth
    )


def truths_of(sets, task):
    """(names of the classes, [int (N,) for each set])."""
    return read_classes(sets[0], task)[0], [read_classes(some, task)[1] for some in sets]


# ---- numbers from outcomes --------------------------------------------------------------------------------------------


def crossing(curve, level, shots=SHOTS, never=32.0):
    """Examples a class at which a curve over `shots` first reaches a level, straight between neighbours on a log2 axis.

    0.5: its first point is above the level; `never`: none reaches it.
    """
    reached = np.flatnonzero(np.asarray(curve) >= level)
    if not len(reached):
        return never
    if (i := reached[0]) == 0:
        return 1.0 if curve[0] == level else 0.5
    share = (level - curve[i - 1]) / (curve[i] - curve[i - 1])
    return float(2 ** np.interp(share, [0, 1], np.log2([shots[i - 1], shots[i]])))


def by_class(right, labels):
    """The mean of right (N, ...) for each class that has an image: (C, ...)."""
    return np.stack([right[labels == label].mean(axis=0) for label in np.unique(labels)])


def all_classes(o, arm):
    """`by_class` of an arm for kinds, colours and places, one after the other."""
    return np.concatenate([by_class(o[f"{arm}, {task}"], o[task]) for task in TAUGHT])


def worth(o):
    """For each class, the examples a class that words are worth: float (C,)."""
    return np.array(
        [
            crossing(curve, level)
            for curve, level in zip(all_classes(o, "probe"), all_classes(o, "zero-shot"))
        ]
    )


def correlation(x, y):
    """Pearson's r; 0 if one of them never changes."""
    return float(np.corrcoef(x, y)[0, 1]) if np.std(x) > 0 and np.std(y) > 0 else 0.0


def gain(one, other, tasks=TASKS):
    """The quantity "points by which an arm is above another, on average over tasks"."""
    return lambda o: np.mean(
        [difference(f"{one}, {task}", f"{other}, {task}")(o) for task in tasks]
    )


# ---- few examples -----------------------------------------------------------------------------------------------------


def measure_few_shot(seed, n_images, pool, draws):
    """Kinds of one-thing images: words, and probes with 1 to 16 examples a class on three towers."""
    sets = images_for(n_images, pool)
    names, truths = truths_of(sets, "kind")
    run, towers, outcomes = load_or_train_timed(QUICK, seed), towers_of(seed), {}
    exam = encode_images(run.model, sets[-1].images), truths[-1]
    outcomes["zero-shot"], outcomes["zero-shot, ensemble"] = (
        zero_shot_right(run, exam, "kind"),
        zero_shot_right(run, exam, "kind", LIKE_CAPTIONS),
    )
    for name, model in towers.items():
        features = features_for_probes(
            model, sets, projected=name != "supervised"
        )  # the twin has no projection
        outcomes[f"{name} probe"] = few_shot(features, truths, names, draws, seed)
    return outcomes, {"shots": list(SHOTS)}


def judge_few_shot(found):
    ours, twin = found["examples a class"], found["zero-shot minus 16 examples on the twin"]
    said = (
        f"words are worth {ours['mean']:.1f} examples a class (0.5: less than one, 32: more than sixteen), "
        f"and stand {twin['mean']:+.1f} points from 16 examples on the supervised twin's features."
    )
    low, high = ours["interval"]
    return (
        "replicated"
        if low >= 2
        else "partly"
        if low > 1
        else "contradicted"
        if high <= 1
        else "not at this scale"
    ), said


def measure_label_worth(seed, n_images, pool, draws):
    """Kinds, colours and places: words, and probes with 1 to 16 examples a class on CLIP's features; what words are worth to each class."""
    sets = images_for(n_images, pool)
    run, outcomes, classes = load_or_train_timed(QUICK, seed), {}, []
    features, exam = features_for_probes(run.model, sets), encode_images(run.model, sets[-1].images)
    for task in TAUGHT:
        names, truths = truths_of(sets, task)
        classes += [names[label] for label in np.unique(truths[-1])]
        outcomes |= {
            task: truths[-1],
            f"zero-shot, {task}": zero_shot_right(run, (exam, truths[-1]), task),
            f"probe, {task}": few_shot(features, truths, names, draws, seed),
        }
    return outcomes, {"shots": list(SHOTS), "classes": classes, "worth": worth(outcomes).tolist()}


def judge_label_worth(found):
    median, mean = found["median examples a class"], found["mean examples a class"]
    said = (
        f"to the median class, words are worth {median['mean']:.1f} examples, on average {mean['mean']:.1f} "
        f"(counting 0.5 for less than one and 32 for more than sixteen)."
    )
    low, high = median["interval"]
    return (
        "replicated"
        if low >= 2.7
        else "partly"
        if low > 1
        else "contradicted"
        if high <= 1
        else "not at this scale"
    ), said


# ---- all labels -------------------------------------------------------------------------------------------------------


def measure_tracks_supervised(seed, n_images, pool):
    """Kinds, colours and places: words, and a probe with all labels on the same features; class by class."""
    sets = images_for(n_images, pool)
    run, outcomes, classes = load_or_train_timed(QUICK, seed), {}, []
    features, exam = features_for_probes(run.model, sets), encode_images(run.model, sets[-1].images)
    for task in TAUGHT:
        names, truths = truths_of(sets, task)
        classes += [names[label] for label in np.unique(truths[-1])]
        outcomes |= {
            task: truths[-1],
            f"zero-shot, {task}": zero_shot_right(run, (exam, truths[-1]), task),
            f"probe, {task}": full_probe(features, truths),
        }
    by = {
        f"{arm}, by class": (100 * all_classes(outcomes, arm)).tolist()
        for arm in ("zero-shot", "probe")
    }
    return outcomes, {"classes": classes} | by


def judge_tracks_supervised(found):
    r, gap = found["r over classes"], found["the probe's lead"]
    said = f"zero-shot and a probe with all labels go together, r = {r['mean']:.2f} over classes; the probe leads by {gap['mean']:.1f} points."
    low, high = r["interval"]
    return (
        "replicated"
        if low > 0.5
        else "partly"
        if low > 0
        else "contradicted"
        if high < 0
        else "not at this scale"
    ), said


def measure_supervised_probe(seed, n_images, pool):
    """Five tasks: words, against a probe with all labels on the tower of the supervised twin."""
    sets = images_for(n_images, pool)
    run, twin, outcomes = (
        load_or_train_timed(QUICK, seed),
        towers_of(seed, ["supervised"])["supervised"],
        {},
    )
    features, exam = (
        features_for_probes(twin, sets, projected=False),
        encode_images(run.model, sets[-1].images),
    )
    for task in TASKS:
        truths = truths_of(sets, task)[1]
        outcomes |= {
            f"zero-shot, {task}": zero_shot_right(run, (exam, truths[-1]), task),
            f"supervised, {task}": full_probe(features, truths),
        }
    return outcomes, {}


def judge_supervised_probe(found):
    wins, count = found["tasks won of five"], found["lead in count"]
    said = (
        f"zero-shot wins {wins['mean']:.1f} of five tasks against a probe with all labels on the supervised twin; "
        f"it stands at {count['mean']:+.1f} points in counting."
    )
    if count["interval"][0] > 0:
        return "contradicted", said
    if wins["mean"] >= 1 and count["interval"][1] < 0:
        return ("replicated" if wins["mean"] > 2.5 else "partly"), said
    return "not at this scale", said


def measure_representations(seed, n_images, pool):
    """Five tasks: probes with all labels on four towers, before and after the projection, where training has given the tower one."""
    sets, outcomes = images_for(n_images, pool), {}
    truths = {task: truths_of(sets, task)[1] for task in TASKS}
    for name, model in towers_of(
        seed, ("contrastive", "supervised", "predictive", "random")
    ).items():
        for when in ("before", "after")[: 2 if name in ("contrastive", "random") else 1]:
            features = features_for_probes(model, sets, projected=when == "after")
            outcomes |= {
                f"{name} {when}, {task}": full_probe(features, truths[task]) for task in TASKS
            }
    return outcomes, {}


def judge_representations(found):
    ours, untaught, blank = (
        found[f"contrastive minus {other}"]
        for other in ("supervised", "supervised, count and size", "random")
    )
    said = (
        f"probes on CLIP's tower stand {ours['mean']:+.1f} points from those on its supervised twin over five tasks, "
        f"{untaught['mean']:+.1f} on the two that the twin was not taught, and {blank['mean']:+.1f} from those on an untrained tower."
    )
    if ours["interval"][0] > 0:
        return "replicated", said
    if untaught["interval"][0] > 0:
        return "partly", said
    return ("contradicted" if ours["interval"][1] < 0 else "not at this scale"), said


# ---- nouns in photos --------------------------------------------------------------------------------------------------

PHOTO_SHOTS = (
    1,
    2,
    4,
    8,
    16,
    32,
    64,
)  # positives a noun; five times as many photos without it stand beside them


def noun_probe(features, truth, rows, C):
    """A yes-or-no probe for one noun, fitted to some rows; returns a function of features (N, D) that gives scores (N,)."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=1000).fit(features[rows], truth[rows]).decision_function


def measure_photos(seed, draws, C):
    """25 nouns in the official test photos: words, probes with 1 to 64 photos of a noun, and probes with all training photos, on the same features."""
    run, sets = (
        load_or_train_timed(PHOTOS, seed),
        [load_dataset("flickr8k", split, PHOTOS.image_size) for split in ("train", "test")],
    )
    features, truths = features_for_probes(run.model, sets), [noun_truth(some) for some in sets]
    few = np.zeros((len(sets[1]), len(PHOTO_SHOTS), draws, len(CLASSES)), dtype=np.float32)
    full = np.zeros((len(sets[1]), len(CLASSES)), dtype=np.float32)
    for c, name in enumerate(CLASSES):
        truth, rng = truths[0][:, c], np.random.default_rng((seed, c))
        full[:, c] = noun_probe(features[0], truth, np.arange(len(truth)), C)(features[1])
        for d in range(draws):
            yes, no = (
                rng.permutation(np.flatnonzero(truth)),
                rng.permutation(np.flatnonzero(~truth)),
            )
            for i, k in enumerate(PHOTO_SHOTS):
                few[:, i, d, c] = noun_probe(
                    features[0], truth, np.concatenate([yes[:k], no[: 5 * k]]), C
                )(features[1])
    clip = zero_shot_scores(run.model, run.tokenizer, sets[1].images, CLASSES, ["a {}"]).numpy()
    curve = [
        np.mean([mean_average_precision(few[:, i, d], truths[1]) for d in range(draws)])
        for i in range(len(PHOTO_SHOTS))
    ]
    numbers = {
        "shots": list(PHOTO_SHOTS),
        "curve": curve,
        "positives": truths[0].sum(axis=0).tolist(),
        **{
            f"{arm}, by noun": average_precisions(scores, truths[1]).tolist()
            for arm, scores in (("zero-shot", clip), ("probe", full))
        },
    }
    return {"_clip": clip, "_full": full, "_few": few, "_truth": truths[1]}, numbers


def photo_crossing(o):
    """Photos of a noun at which probes reach zero-shot's mean average precision, clipped to [0.5, 128]."""
    level = mean_average_precision(o["_clip"], o["_truth"])
    curve = [
        np.mean(
            [
                mean_average_precision(o["_few"][:, i, d], o["_truth"])
                for d in range(o["_few"].shape[2])
            ]
        )
        for i in range(len(PHOTO_SHOTS))
    ]
    return crossing(curve, level, PHOTO_SHOTS, never=128.0)


def photo_correlation(o):
    """Pearson's r over nouns of zero-shot's and the full probe's average precision."""
    clip, full = (average_precisions(o[key], o["_truth"]) for key in ("_clip", "_full"))
    known = ~np.isnan(clip)
    return correlation(clip[known], full[known])


def judge_photo_shots(found):
    ours, words, full = (
        found[name] for name in ("photos of a noun", "zero-shot, mean AP", "full probe, mean AP")
    )
    said = f"words are worth {ours['mean']:.0f} photos of a noun (128: more than 64): mean average precision {words['mean']:.0f} %, with all training photos {full['mean']:.0f} %."
    low, high = ours["interval"]
    return (
        "replicated"
        if low >= 2
        else "partly"
        if low > 1
        else "contradicted"
        if high <= 1
        else "not at this scale"
    ), said


def judge_photo_tracks(found):
    return judge_tracks_supervised(
        {"r over classes": found["r over nouns"], "the probe's lead": found["the probe's lead"]}
    )


BEFORE = ("contrastive before", "supervised before")
PHOTO_QUANTITIES = {
    "zero-shot, mean AP": lambda o: mean_average_precision(o["_clip"], o["_truth"]),
    "full probe, mean AP": lambda o: mean_average_precision(o["_full"], o["_truth"]),
}
EXPERIMENTS = [
    Experiment(
        name="few_shot",
        claim="C4",
        title="Zero-shot equals a probe with four examples a class",
        where="Fig 6",
        paper={"examples a class": 4},
        dataset="scenes",
        measure=measure_few_shot,
        quantities={
            "examples a class": lambda o: crossing(
                o["contrastive probe"].mean(axis=0), o["zero-shot"].mean()
            ),
            "examples a class, ensemble": lambda o: crossing(
                o["contrastive probe"].mean(axis=0), o["zero-shot, ensemble"].mean()
            ),
            "zero-shot": accuracy("zero-shot"),
            **{
                f"zero-shot minus 16 examples on {said}": lambda o, arm=arm: (
                    100 * (o["zero-shot"].mean() - o[f"{arm} probe"][:, -1].mean())
                )
                for said, arm in (
                    ("its own tower", "contrastive"),
                    ("the twin", "supervised"),
                    ("an untrained tower", "random"),
                )
            },
        },
        unit="examples",
        rule="replicated: the interval of the crossing lies above 2, half the paper's four; partly: above 1; "
        "contradicted: not above 1 anywhere",
        judge=judge_few_shot,
        notebook="08_linear_probe_and_few_shot",
        small={"n_images": 400, "pool": 400, "draws": 3},
        full={"n_images": 2000, "pool": 2000, "draws": 10},
    ),
    Experiment(
        name="label_worth",
        claim="C5",
        title="How many labels words are worth",
        where="Fig 7",
        paper={"median": 5.4, "mean": 20.8},
        dataset="scenes",
        measure=measure_label_worth,
        quantities={
            "median examples a class": lambda o: float(np.median(worth(o))),
            "mean examples a class": lambda o: worth(o).mean(),
            "classes worth less than one": lambda o: 100 * np.mean(worth(o) < 1),
            "classes worth more than sixteen": lambda o: 100 * np.mean(worth(o) > 16),
        },
        unit="examples",
        rule="replicated: the interval of the median lies above 2.7, half the paper's 5.4; partly: above 1; "
        "contradicted: not above 1 anywhere",
        judge=judge_label_worth,
        notebook="08_linear_probe_and_few_shot",
        small={"n_images": 400, "pool": 400, "draws": 3},
        full={"n_images": 2000, "pool": 2000, "draws": 10},
    ),
    Experiment(
        name="tracks_supervised",
        claim="C6",
        title="Zero-shot goes with supervised accuracy",
        where="Fig 8",
        paper={"r": 0.82, "the probe's lead": "10 to 25 points"},
        dataset="scenes",
        measure=measure_tracks_supervised,
        quantities={
            "r over classes": lambda o: correlation(
                all_classes(o, "zero-shot"), all_classes(o, "probe")
            ),
            "r over kinds": lambda o: correlation(
                by_class(o["zero-shot, kind"], o["kind"]), by_class(o["probe, kind"], o["kind"])
            ),
            "the probe's lead": lambda o: (
                100 * np.mean(all_classes(o, "probe") - all_classes(o, "zero-shot"))
            ),
        },
        unit="correlation",
        rule="replicated: the interval of r lies above 0.5; partly: above 0; contradicted: below 0",
        judge=judge_tracks_supervised,
        notebook="08_linear_probe_and_few_shot",
        small={"n_images": 400, "pool": 400},
        full={"n_images": 2000, "pool": 2000},
    ),
    Experiment(
        name="supervised_probe",
        claim="C7",
        title="Zero-shot rivals a supervised probe, but not in counting",
        where="Fig 5",
        paper={"datasets won": "16 of 27", "CLEVRCounts": -18.2, "Food101": 22.5},
        dataset="scenes",
        measure=measure_supervised_probe,
        quantities={
            "tasks won of five": lambda o: float(
                sum(gain("zero-shot", "supervised", [task])(o) > 0 for task in TASKS)
            ),
            "lead over five tasks": gain("zero-shot", "supervised"),
            **{f"lead in {task}": gain("zero-shot", "supervised", [task]) for task in TASKS},
        },
        unit="tasks",
        rule="replicated: more than half of the tasks won, and counting lost by its interval; partly: at least one won, and counting lost; "
        "contradicted: counting won by its interval",
        judge=judge_supervised_probe,
        notebook="08_linear_probe_and_few_shot",
        small={"n_images": 400, "pool": 400},
        full={"n_images": 2000, "pool": 2000},
    ),
    Experiment(
        name="representations",
        claim="C9",
        title="Its features are the better ones for linear probes",
        where="Fig 10, 11",
        paper={"12 datasets": 2.6, "27 datasets": 5},
        dataset="scenes",
        measure=measure_representations,
        quantities={
            "contrastive minus supervised": gain(*BEFORE),
            "contrastive minus supervised, count and size": gain(*BEFORE, UNTAUGHT),
            "contrastive minus supervised, taught tasks": gain(*BEFORE, TAUGHT),
            "contrastive minus predictive": gain("contrastive before", "predictive before"),
            "contrastive minus random": gain("contrastive before", "random before"),
            "after minus before the projection": gain("contrastive after", "contrastive before"),
        },
        unit="points",
        rule="replicated: the interval of the lead over the supervised twin's tower, on five tasks, lies above 0; "
        "partly: on the two tasks that the twin was not taught; contradicted: neither, and the lead's interval lies below 0",
        judge=judge_representations,
        notebook="08_linear_probe_and_few_shot",
        small={"n_images": 400, "pool": 400},
        full={"n_images": 2000, "pool": 2000},
    ),
    Experiment(
        name="few_shot_flickr8k",
        claim="C4",
        title="Zero-shot equals a probe with four photos of a noun",
        where="Fig 6",
        paper={"examples a class": 4},
        dataset="flickr8k",
        measure=measure_photos,
        quantities={"photos of a noun": photo_crossing, **PHOTO_QUANTITIES},
        unit="photos",
        rule="replicated: the interval of the crossing lies above 2, half the paper's four; partly: above 1; contradicted: not above 1 anywhere",
        judge=judge_photo_shots,
        notebook="08_linear_probe_and_few_shot",
        full={"draws": 3, "C": 10.0},
    ),
    Experiment(
        name="tracks_supervised_flickr8k",
        claim="C6",
        title="Zero-shot goes with supervised accuracy, photos",
        where="Fig 8",
        paper={"r": 0.82, "the probe's lead": "10 to 25 points"},
        dataset="flickr8k",
        measure=measure_photos,
        quantities={
            "r over nouns": photo_correlation,
            "the probe's lead": lambda o: (
                PHOTO_QUANTITIES["full probe, mean AP"](o)
                - PHOTO_QUANTITIES["zero-shot, mean AP"](o)
            ),
            **PHOTO_QUANTITIES,
        },
        unit="correlation",
        rule="replicated: the interval of r lies above 0.5; partly: above 0; contradicted: below 0",
        judge=judge_photo_tracks,
        notebook="08_linear_probe_and_few_shot",
        full={"draws": 3, "C": 10.0},
    ),
]
