"""The paper's claims on trial: what an experiment is, how it is run seed by seed, how sure its outcome is, and where it is kept.

An experiment measures, for one seed, what happened to every test picture under every arm. All numbers are made from these
outcomes afterwards, so that the pictures can be drawn again with replacement and each number gets an interval.
"""

import datetime
import hashlib
import inspect
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from clipnb.report import RESULTS, rounded
from clipnb.runs import write
from clipnb.runtime import cache_dir, machine, progress, replace_when_done, shown, versions

VERDICTS = ("replicated", "partly", "not at this scale", "contradicted")
TRAINED = {}  # seconds of training of every run that the experiment now running has used, by folder name


@dataclass(frozen=True)
class Experiment:
    """One claim, how it is tested and how the outcome is judged; all of it settled before the first run.

    measure: (seed, **settings) -> (outcomes, numbers). outcomes: {arm: array (N, ...)}, a row for each of the N test pictures, the
    same pictures in every arm, float or bool for scores in [0, 1]; int for labels, and a leading "_" for what is no arm. numbers: {name: float or list} about the seed.
    quantities: {name: function of {**outcomes, **numbers} -> finite float}; the first is the one on trial.
    judge: {name: dict of `values`, `mean`, `std`, `interval`} -> (one of VERDICTS, one sentence why).
    """

    name: str
    claim: str  # "C4", as the replication report numbers them
    title: str  # the claim in a few words
    where: str  # the paper's figure, table or section
    paper: dict  # the paper's own figures, {what: value}
    dataset: str
    measure: Callable
    quantities: dict
    unit: str  # of the first quantity
    rule: str  # in words, what was to count as which verdict
    judge: Callable
    notebook: str  # such as "06_zero_shot_and_prompts"
    small: dict = field(default_factory=dict)  # settings for a notebook: minutes on two cores
    full: dict = field(default_factory=dict)  # settings for the record


def seed_file(experiment, seed, settings):
    """Where the outcome of one seed is kept; the name changes with the settings and with the code of the experiment's module."""
    from clipnb.scenes import VERSION

    source = inspect.getsource(inspect.getmodule(experiment.measure))
    digest = hashlib.sha256(json.dumps([settings, VERSION, source], sort_keys=True).encode()).hexdigest()[:8]
    return cache_dir() / "experiments" / f"{experiment.name}-{seed}-{digest}.npz"


def run_seed(experiment, seed, settings):
    """(outcomes, numbers) of one seed: measured now, or read if it has been before. Kept whole or not at all."""
    path = seed_file(experiment, seed, settings)
    if not path.exists():
        TRAINED.clear()
        start = time.perf_counter()
        outcomes, numbers = experiment.measure(seed, **settings)
        sizes = {key: len(value) for key, value in outcomes.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"{experiment.name}: every arm needs a row for each test picture, but they have {sizes}.")
        numbers = numbers | {"seconds": time.perf_counter() - start, "trained": dict(TRAINED)}
        with replace_when_done(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **outcomes, __numbers=json.dumps(numbers))
    with np.load(path) as data:
        return {key: data[key] for key in data.files if key != "__numbers"}, json.loads(str(data["__numbers"]))


def spread(values, pictures_variance):
    """Values by seed (n, ...) and the variance of their mean that comes from the choice of test pictures (...) -> mean, std, 95 % interval.

    The interval holds both sources of noise: the seeds' variance over n, and the pictures'. Student's t, with the degrees of freedom
    of Welch and Satterthwaite, because three seeds estimate their own noise poorly. With one seed: the pictures' noise alone.
    """
    from scipy import stats

    values, n = np.asarray(values, dtype=float), len(values)
    mean, std = values.mean(axis=0), values.std(axis=0, ddof=1) if n > 1 else np.zeros_like(values[0])
    total = std**2 / n + pictures_variance
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = np.where(std > 0, total**2 * (n - 1) / (std**2 / n) ** 2, np.inf)
    half = stats.t.ppf(0.975, degrees) * np.sqrt(total)
    return {"values": values.tolist(), "mean": mean.tolist(), "std": std.tolist() if n > 1 else None,
            "interval": np.stack([mean - half, mean + half], axis=-1).tolist()}


def interval_of(quantity, runs, draws=1000):
    """A quantity over seeds and its uncertainty: `values`, `mean`, `std`, `interval` (see `spread`) and `pictures_interval`.

    runs: [(outcomes, numbers)] by seed. pictures_interval: 95 % percentile bootstrap over test pictures alone, the same draw of pictures
    for all arms and seeds; its standard error is the pictures' share of `interval`.
    """
    from scipy import stats

    def resampled(rows):
        return np.mean([quantity({key: value[rows] for key, value in outcomes.items()} | numbers) for outcomes, numbers in runs])

    values = [float(quantity(outcomes | numbers)) for outcomes, numbers in runs]
    pictures = np.arange(len(next(iter(runs[0][0].values()))))
    drawn = stats.bootstrap((pictures,), resampled, n_resamples=draws, vectorized=False, method="percentile", rng=np.random.default_rng(0))
    found = drawn.confidence_interval
    return spread(values, np.square(drawn.standard_error)) | {"pictures_interval": [float(found.low), float(found.high)]}


def arm_of(outcomes):
    """An arm's outcomes by seed, each (N, ...), in percent: `values` (n, ...), `mean`, `std`, `interval` as `spread` has them."""
    outcomes = 100 * np.stack(outcomes).astype(float)  # (n, N, ...)
    return spread(outcomes.mean(axis=1), outcomes.mean(axis=0).var(axis=0, ddof=1) / outcomes.shape[1])


def detectable(pictures, seeds=1, accuracy=0.7, seed_std=0.01, power=0.8):
    """The smallest difference of two accuracies (in percentage points) that such a test would find with probability `power`, at 5 %.

    pictures: how many judge each arm. seed_std: how much an arm's accuracy is expected to move between seeds. The arms are taken as
    independent; on the same pictures they rarely are, so a paired difference is found sooner: this is the cautious side.
    """
    from scipy import stats

    variance = 2 * (accuracy * (1 - accuracy) / pictures + seed_std**2 / seeds)
    return 100 * (stats.norm.ppf(0.975) + stats.norm.ppf(power)) * variance**0.5


def run_experiment(experiment, seeds=(0,), small=False, draws=1000):
    """Run an experiment (or the one of that name) and return its record, a dict as in results/claims/. Goes on seed by seed where it was interrupted.

    small: with the settings for notebooks instead of the full ones. Raises ValueError for an unknown name, with the list of names.
    """
    from clipnb.experiments import find_experiment

    experiment = find_experiment(experiment) if isinstance(experiment, str) else experiment
    settings = experiment.small if small else experiment.full
    runs = [run_seed(experiment, seed, settings) for seed in progress(seeds, desc=f"{experiment.name}: seeds")]
    quantities = rounded({name: interval_of(quantity, runs, draws) for name, quantity in experiment.quantities.items()})
    verdict, because = experiment.judge(quantities)
    if verdict not in VERDICTS:
        raise ValueError(f"{experiment.name}: a verdict is one of {', '.join(VERDICTS)}, not {verdict!r}.")
    arms = [key for key, value in runs[0][0].items() if value.dtype.kind in "fb" and not key.startswith("_")]
    N = len(next(iter(runs[0][0].values())))
    return rounded({
        "experiment": experiment.name, **{key: getattr(experiment, key) for key in ("claim", "title", "where", "paper", "dataset", "unit", "rule", "notebook")},
        "settings": settings, "small": small, "seeds": list(seeds), **next(iter(quantities.values())), "verdict": verdict, "because": because,
        "quantities": quantities, "arms": {key: arm_of([outcomes[key] for outcomes, _ in runs]) for key in arms},
        "numbers": {key: [numbers[key] for _, numbers in runs] for key in runs[0][1] if key not in ("seconds", "trained")},
        "pictures": N, "detectable_points": detectable(N, len(seeds)),
        "seconds": sum(numbers["seconds"] for _, numbers in runs), "trained": {k: v for _, numbers in runs for k, v in numbers["trained"].items()},
        "machine": machine(), "versions": versions(), "date": datetime.date.today().isoformat(),
        "command": f"python -m clipnb experiment {experiment.name} --seeds {len(seeds)}"})


def record_experiment(name, seeds):
    """Run an experiment with its full settings and seeds 0, 1, ... and write results/claims/NAME.json; returns that path as text."""
    record = run_experiment(name, range(seeds))
    path = RESULTS / "claims" / f"{record['experiment']}.json"
    write(path, json.dumps(record, indent=1) + "\n")
    return shown(path)


def load_claim(name):
    """The full record of an experiment; None, and a line that says how to make it, if it is not there. ValueError for an unknown name."""
    from clipnb.experiments import find_experiment

    path = RESULTS / "claims" / f"{find_experiment(name).name}.json"
    if not path.exists():
        print(f"The full run of {name} is not on record ({shown(path)}); what you see is the small one alone. "
              f"To make it: python -m clipnb experiment {name} --seeds 3")
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def load_claims():
    """All records in results/claims/, in the order of the experiments."""
    from clipnb.experiments import EXPERIMENTS

    paths = [RESULTS / "claims" / f"{name}.json" for name in EXPERIMENTS]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
