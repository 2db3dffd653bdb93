"""Scale as evidence: the effect of each claim at a quarter, at half and at all of its budget.

A claim of the paper that fails on a small model may only need a larger one. So the effect on trial
is measured at three budgets: does it move towards the paper's figure? A budget is a number of
training images, or of epochs where the number of images is part of the question. All else stays as
it is in the full run, learning rates too. No verdict is made of this: no protocol settled it.
"""

import datetime
from collections.abc import Sequence

import numpy as np

from clipnb.claims import find_experiment, load_claim
from clipnb.claims.code import digest_code
from clipnb.claims.effects import estimate_effect, find_freedom, find_quantile
from clipnb.claims.experiment import Experiment
from clipnb.claims.forest import scale_paper_effect
from clipnb.claims.pooling import scale_effect
from clipnb.claims.running import describe_experiment
from clipnb.claims.verdicts import is_closed
from clipnb.experiments.outcomes import run_seed
from clipnb.records import read_json, round_floats, write_record
from clipnb.runtime import describe_machine, list_versions, progress, results_dir

SHARES = ("a quarter", "half", "all")
NO_CHANGE = "no change shown"
TOO_SMALL = "a quarter of the budget reaches nothing"
N_SEEDS = 3  # of the two smaller budgets

# What the settings of the full run become at a quarter and at half, for an experiment of each
# claim.
BUDGETS: dict[str, tuple[dict, dict]] = {
    "zero_shot": ({"n_training": 1500}, {"n_training": 3000}),
    "prompts": ({"n_training": 1500}, {"n_training": 3000}),
    "asking_in_number": ({"n_training": 1500}, {"n_training": 3000}),
    "retrieval_scenes": ({"n_training": 1500}, {"n_training": 3000}),
    "retrieval_prefix": ({"epochs": 2}, {"epochs": 4}),
    "transfer": ({"epochs": 2}, {"epochs": 4}),
    "reading": ({"n_scenes": 1500}, {"n_scenes": 3000}),
    "limits_counting": ({"n_scenes": 1500}, {"n_scenes": 3000}),
    "limits": ({"n_scenes": 1500}, {"n_scenes": 3000}),
    "word_order": ({"n_scenes": 1500}, {"n_scenes": 3000}),
    "gap_flickr8k": ({"epochs": 2}, {"epochs": 4}),
    "objectives": ({"n_train_images": 1500}, {"n_train_images": 3000}),
    "objectives_bag": ({"n_train_images": 1500}, {"n_train_images": 3000}),
    "few_shot": ({"n_training": 1500}, {"n_training": 3000}),
    "label_worth": ({"n_training": 1500}, {"n_training": 3000}),
    "tracks_supervised": ({"most_training": 1500}, {"most_training": 3000}),
    "rivals": ({"n_training": 1500}, {"n_training": 3000}),
    "counting": ({"n_training": 1500}, {"n_training": 3000}),
    "representations": ({"n_training": 1500}, {"n_training": 3000}),
    "robustness": ({"sizes": [250, 500, 1000, 1500]}, {"sizes": [500, 1000, 2000, 3000]}),
    "diversity": ({"sizes": [250, 500, 1000, 1500]}, {"sizes": [500, 1000, 2000, 3000]}),
    "adaptation": ({"sizes": [250, 500, 1000, 1500]}, {"sizes": [500, 1000, 2000, 3000]}),
    "sources": ({"size": 1500}, {"size": 3000}),
    "overlap": ({"n_images": 1500, "n_long": 750}, {"n_images": 3000, "n_long": 1500}),
    "scaling": (
        {"sizes": [500, 1000, 2000, 4000]},
        {"sizes": [500, 1000, 2000, 4000, 8000]},
    ),
    "predictable_scaling": (
        {"sizes": [500, 1000, 2000, 4000]},
        {"sizes": [500, 1000, 2000, 4000, 8000]},
    ),
    "batches": ({"budgets": [1, 4, 16]}, {"budgets": [2, 8, 32]}),
    "siglip": ({"epochs": 4}, {"epochs": 8}),
    "temperature": ({"epochs": 4}, {"epochs": 8}),
    "clamp": ({"epochs": 20}, {"epochs": 40}),
    "locked": ({"n_labelled": 1500}, {"n_labelled": 3000}),
}
# ---- measuring -------------------------------------------------------------------------------


def record_budgets(name: str, n_seeds: int = N_SEEDS) -> str:
    """Measure an experiment at a quarter and at half of its budget, and write the record.

    It goes on seed by seed where it was interrupted. Returns the path. Raises ValueError if the
    experiment has no record of its full budget, or if none of its settings is a budget.
    """
    if name not in BUDGETS:
        raise ValueError(f"{name} has no smaller budgets; these have: {', '.join(BUDGETS)}.")
    experiment = find_experiment(name)
    if load_claim(name) is None:
        raise ValueError(f"{name} has no full record: run `clipnb experiment {name}` first.")
    budgets = [
        measure_budget(experiment, share, changed, n_seeds)
        for share, changed in zip(SHARES, BUDGETS[name], strict=False)
    ]
    record = {
        **describe_experiment(experiment),
        "budgets": budgets,
        "machine": describe_machine(),
        "versions": list_versions(),
        "date": datetime.date.today().isoformat(),
        "command": "python -m clipnb experiment budgets",
    }
    return write_record(results_dir() / "budgets" / f"{name}.json", round_floats(record), indent=1)


def measure_budget(experiment: Experiment, share: str, changed: dict, n_seeds: int) -> dict:
    """Measure the effect on trial of an experiment with some settings changed."""
    code = digest_code(experiment, library=True)
    settings = experiment.full | changed
    seeds = list(range(n_seeds))
    bar = progress(seeds, desc=f"{experiment.name}, {share}: seeds")
    runs = [run_seed(experiment, seed, settings, code) for seed in bar]
    on_trial, *_ = experiment.effects
    needed = {on_trial, *(gate.effect for gate in experiment.protocol.gates)}
    effects = {name: estimate_effect(experiment.effects[name], runs) for name in needed}
    return describe_budget(share, changed, seeds, effects, experiment)


def describe_budget(
    share: str, changed: dict, seeds: Sequence[int], effects: dict, experiment: Experiment
) -> dict:
    """Return a budget's entry in a record: its effect on trial, and whether all gates are open."""
    on_trial, *_ = experiment.effects
    kept = {key: effects[on_trial][key] for key in ("mean", "interval", "freedom", "values")}
    is_reached = not any(is_closed(gate, effects) for gate in experiment.protocol.gates)
    return {"share": share, "changed": changed, "seeds": list(seeds), "reached": is_reached, **kept}


# ---- reading ---------------------------------------------------------------------------------


def load_budgets() -> dict[str, dict]:
    """Load the records of all experiments that were measured at three budgets, by name.

    The full budget comes from the experiment's own record, with all seeds that it has today.
    """
    paths = {name: results_dir() / "budgets" / f"{name}.json" for name in BUDGETS}
    records = {name: read_json(path) for name, path in paths.items() if path.exists()}
    for name, record in records.items():
        full = load_claim(name)
        all_of_it = describe_budget(
            SHARES[-1], {}, full["seeds"], full["effects"], find_experiment(name)
        )
        record["budgets"] = [*record["budgets"], all_of_it]
    return records


def scale_budgets(record: dict) -> np.ndarray:
    """Return the effect at the three budgets in margins, (3, 3): mean, low, high. 0 is no effect.

    A bound that lies beyond all that was tried is infinite.
    """
    fields = {key: record[key] for key in ("margin", "scale")}
    return np.array([scale_effect(budget | fields) for budget in record["budgets"]])


def measure_change(record: dict) -> tuple[float, float, float]:
    """Return by how many margins the effect grows from a quarter to all, with its 95 % interval.

    The intervals of both are taken for independent. They share test images, so the change is
    rather surer than told.
    """
    first, _, last = scale_budgets(record)
    budgets = record["budgets"][0], record["budgets"][-1]
    degrees = [np.inf if own["freedom"] is None else own["freedom"] for own in budgets]
    errors = [
        (high - low) / 2 / find_quantile(own)
        for (_, low, high), own in zip((first, last), degrees, strict=True)
    ]
    change = float(last[0] - first[0])
    if not np.isfinite([change, *errors]).all():
        return change, -np.inf, np.inf
    variances = [error**2 for error in errors]
    half = find_quantile(find_freedom(variances, degrees)) * float(np.sqrt(sum(variances)))
    return change, change - half, change + half


def describe_change(record: dict) -> str:
    """Say whether the effect moves with the budget, and whether towards the paper's figure.

    Models that do not reach the competence that the protocol asks for show no effect to compare.
    """
    if not record["budgets"][0]["reached"]:
        return TOO_SMALL
    change, low, high = measure_change(record)
    if low <= 0 <= high:
        return NO_CHANGE
    word = "grows" if change > 0 else "falls"
    if record["paper_effect"] is None:
        return word
    goal = scale_paper_effect(record)
    first, _, last = scale_budgets(record)[:, 0]
    is_nearer = abs(last - goal) < abs(first - goal)
    return f"{word}, {'towards' if is_nearer else 'away from'} the paper's figure"
