"""The paper on trial: experiments on its claims, one module for each family of claims.

`python -m clipnb experiment NAME` runs one in full. `run_experiment` runs one in a notebook.
"""

import datetime
from collections.abc import Sequence

from clipnb.experiments import (
    adaptation,
    batch_size,
    corruptions,
    data_source,
    few_shot,
    few_shot_photos,
    forgetting,
    full_budget,
    leaky_split,
    limits,
    objectives,
    overlap,
    prompts,
    reading,
    representations,
    retrieval,
    robustness,
    scaling,
    temperature,
    towers,
    zero_shot,
)
from clipnb.experiments.experiment import VERDICTS, Experiment
from clipnb.experiments.intervals import (
    estimate_quantity,
    minimum_detectable_difference,
    summarize_condition,
)
from clipnb.experiments.outcomes import run_seed
from clipnb.records import read_json, round_floats, write_record
from clipnb.runtime import (
    describe_machine,
    display_path,
    list_versions,
    progress,
    results_dir,
)

MODULES = (
    zero_shot,
    prompts,
    retrieval,
    limits,
    reading,
    objectives,
    few_shot,
    representations,
    few_shot_photos,
    robustness,
    adaptation,
    data_source,
    corruptions,
    overlap,
    leaky_split,
    scaling,
    towers,
    batch_size,
    temperature,
)
EXPERIMENTS = {each.name: each for module in MODULES for each in module.EXPERIMENTS}
# Studies that test no claim of the paper: functions of the number of seeds that write a record.
STUDIES = {
    "adapting": forgetting.record_adapting,
    "full_budget": full_budget.record_full_budget,
}


def find_experiment(name: str) -> Experiment:
    """Return the experiment of that name. Raises ValueError, with the list of names, if none."""
    if name not in EXPERIMENTS:
        raise ValueError(
            f"no experiment {name!r}; there are {', '.join([*EXPERIMENTS, *STUDIES])}."
        )
    return EXPERIMENTS[name]


def run_experiment(
    experiment: Experiment | str,
    seeds: Sequence[int] = (0,),
    small: bool = False,
    n_resamples: int = 1000,
) -> dict:
    """Run an experiment (or the one of that name). Returns its record, as in results/claims/.

    It goes on seed by seed where it was interrupted. small: use the settings for notebooks instead
    of the full ones. Raises ValueError, with the list of names, for an unknown name.
    """
    if isinstance(experiment, str):
        experiment = find_experiment(experiment)
    settings = experiment.small if small else experiment.full
    bar = progress(seeds, desc=f"{experiment.name}: seeds")
    runs = [run_seed(experiment, seed, settings) for seed in bar]
    quantities = round_floats(
        {
            name: estimate_quantity(quantity, runs, n_resamples)
            for name, quantity in experiment.quantities.items()
        }
    )
    verdict, because = experiment.judge(quantities)
    if verdict not in VERDICTS:
        raise ValueError(
            f"{experiment.name}: a verdict is one of {', '.join(VERDICTS)}, not {verdict!r}."
        )
    on_trial = next(iter(quantities.values()))
    first_outcomes, first_numbers = runs[0]
    n_images = len(next(iter(first_outcomes.values())))
    conditions = {
        name: summarize_condition([outcomes[name] for outcomes, _ in runs])
        for name, array in first_outcomes.items()
        if array.dtype.kind in "fb" and not name.startswith("_")
    }
    numbers = {
        name: [own[name] for _, own in runs]
        for name in first_numbers
        if name not in ("seconds", "trained")
    }
    trained = {}  # seconds of training by run, each counted once
    for _, own in runs:
        trained |= own["trained"]
    record = {
        **describe_experiment(experiment),
        "settings": settings,
        "small": small,
        "seeds": list(seeds),
        **on_trial,
        "verdict": verdict,
        "because": because,
        "quantities": quantities,
        "conditions": conditions,
        "numbers": numbers,
        "n_images": n_images,
        "detectable_points": minimum_detectable_difference(n_images, len(seeds)),
        "seconds": sum(own["seconds"] for _, own in runs),
        "trained": trained,
        "machine": describe_machine(),
        "versions": list_versions(),
        "date": datetime.date.today().isoformat(),
        "command": f"python -m clipnb experiment {experiment.name} --seeds {len(seeds)}",
    }
    return round_floats(record)


def describe_experiment(experiment: Experiment) -> dict:
    """Return the part of a record that is known before a run."""
    fields = ("claim", "title", "where", "paper", "dataset", "unit", "rule", "rule_settled")
    described = {field: getattr(experiment, field) for field in fields}
    return {"experiment": experiment.name, **described, "notebook": experiment.notebook}


def record_experiment(name: str, seeds: int) -> str:
    """Run an experiment in full with seeds 0, 1, ... and write its record.

    Returns the path, results/claims/NAME.json, as text. A study has a path of its own.
    """
    if name in STUDIES:
        return STUDIES[name](seeds)
    record = run_experiment(name, range(seeds))
    path = results_dir() / "claims" / f"{record['experiment']}.json"
    return write_record(path, record, indent=1)


def load_claim(name: str) -> dict | None:
    """Load the record of an experiment.

    If there is none, print how to make it and return None. Raises ValueError for an unknown name.
    """
    path = results_dir() / "claims" / f"{find_experiment(name).name}.json"
    if path.exists():
        return read_json(path)
    print(
        f"The full run of {name} is not on record ({display_path(path)}); what you see is the "
        f"small one alone. To make it: python -m clipnb experiment {name} --seeds 3"
    )
    return None


def load_claims() -> list[dict]:
    """Load all records in results/claims/, in the order of the experiments.

    Raises FileNotFoundError, and says where they are, if clipnb is installed without them.
    """
    folder = results_dir() / "claims"
    if not folder.exists():
        raise FileNotFoundError(
            f"no records in {display_path(folder)}. They are in the repository of clipnb, in "
            "results/: clone it and set CLIPNB_RESULTS to that folder, or make them anew with "
            "`clipnb experiment all`."
        )
    paths = [folder / f"{name}.json" for name in EXPERIMENTS]
    return [read_json(path) for path in paths if path.exists()]
