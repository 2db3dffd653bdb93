"""An experiment from its seeds to its record in results/claims/."""

import datetime
import subprocess
from collections.abc import Sequence
from pathlib import Path

from clipnb.claims.code import digest_code
from clipnb.claims.effects import estimate_effect, merge_summaries, summarize_condition
from clipnb.claims.experiment import RECORDS, Experiment
from clipnb.claims.protocols import check_protocol, describe_protocol
from clipnb.claims.verdicts import reach_verdict
from clipnb.experiments.outcomes import run_seed, seed_file
from clipnb.records import read_record, round_floats, write_record
from clipnb.run_lock import lock_path
from clipnb.runtime import (
    ROOT,
    describe_machine,
    display_path,
    is_repository,
    list_versions,
    progress,
    results_dir,
)

# The fields of a record that its readers need.
FIELDS = {
    **dict.fromkeys(("experiment", "claim", "title", "dataset", "protocol", "verdict"), str),
    **dict.fromkeys(("settings", "effects", "conditions", "numbers", "trained", "machine"), dict),
    **dict.fromkeys(("seeds", "values", "interval"), list),
}
ORIGIN = ("machine", "versions", "commit", "date")  # where and when seeds were made


def run_experiment(
    experiment: Experiment,
    seeds: Sequence[int] = (0,),
    small: bool = False,
    n_resamples: int = 1000,
) -> dict:
    """Run an experiment. Returns its record, as in results/claims/.

    It goes on seed by seed where it was interrupted. small: use the settings for notebooks instead
    of the full ones; such a record has no verdict, because its protocol is about the full ones.
    """
    protocol = None if small else check_protocol(experiment)
    settings = experiment.small if small else experiment.full
    code = digest_code(experiment, library=True)
    bar = progress(seeds, desc=f"{experiment.name}: seeds")
    runs = [run_seed(experiment, seed, settings, code) for seed in bar]
    effects = {
        name: estimate_effect(effect, runs, n_resamples)
        for name, effect in experiment.effects.items()
    }
    first_outcomes, first_numbers = runs[0]
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
        "protocol": protocol,
        "code": digest_code(experiment),
        "settings": settings,
        "small": small,
        "seeds": list(seeds),
        "effects": effects,
        "conditions": conditions,
        "numbers": numbers,
        "n_images": len(next(iter(first_outcomes.values()))),
        "seconds": sum(own["seconds"] for _, own in runs),
        "trained": trained,
        "machine": describe_machine(),
        "versions": list_versions(),
        "commit": find_commit(),
        "date": datetime.date.today().isoformat(),
    }
    return finish_record(round_floats(record), experiment)


def read_claim(path: Path) -> dict:
    """Read the record of an experiment. Raises ValueError, naming the file, for anything else."""
    return read_record(path, FIELDS, f"python -m clipnb experiment {path.stem}")


def describe_experiment(experiment: Experiment) -> dict:
    """Return the part of a record that repeats the protocol in short."""
    protocol = describe_protocol(experiment)
    fields = ("experiment", "claim", "title", "dataset", "source", "match", "kind", "margin")
    fields += ("paper_effect", "rule", "effect", "unit", "scale")
    return {field: protocol[field] for field in fields} | {"notebook": experiment.notebook}


def finish_record(record: dict, experiment: Experiment) -> dict:
    """Return a record with what is made from its effects: the one on trial, verdict and reason."""
    effects = record["effects"]
    on_trial = next(iter(effects.values()))
    verdict = None
    if not record["small"]:
        verdict = reach_verdict(effects, experiment.protocol, len(record["seeds"]))
    seeds = ",".join(map(str, record["seeds"]))
    return record | {
        "values": on_trial["values"],
        "mean": on_trial["mean"],
        "std": on_trial["std"],
        "interval": on_trial["interval"],
        "verdict": verdict,
        "because": experiment.explain(effects),
        "command": f"python -m clipnb experiment {experiment.name} --seeds {seeds}",
    }


def record_tuning(experiment: Experiment) -> str:
    """Tune every condition of an experiment on dev, and write all scores. Returns the path.

    The file is results/tuning/NAME.json. Raises ValueError if the experiment tunes nothing.
    """
    if experiment.tune is None:
        raise ValueError(f"{experiment.name} has nothing to tune.")
    path = results_dir() / "tuning" / f"{experiment.name}.json"
    return write_record(path, {"scores": experiment.tune(), "machine": describe_machine()}, 1)


def find_commit() -> str | None:
    """Return the commit of the repository that runs, or None outside a repository."""
    if not is_repository():
        return None
    command = ["git", "rev-parse", "HEAD"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603
    return result.stdout.strip() or None


def record_experiment(experiment: Experiment, seeds: Sequence[int]) -> str:
    """Run an experiment in full with some seeds and add them to its record. Returns the path.

    Seeds that are on record already are not run again.
    """
    path = results_dir() / RECORDS / f"{experiment.name}.json"
    for seed in seeds:  # one by one, so that what is done is on record
        record = find_record(experiment, path)
        if record is None or seed not in record["seeds"]:
            alone = run_experiment(experiment, [seed])
            with lock_path(path, f"adding a seed to {display_path(path)}"):
                add_seed(experiment, path, alone)
    return display_path(path)


def find_record(experiment: Experiment, path: Path) -> dict | None:
    """Read the record that seeds are added to, or return None if there is none.

    Raises ValueError if it was made with another protocol.
    """
    protocol = check_protocol(experiment)
    record = read_claim(path) if path.exists() else None
    if record is not None and record["protocol"] != protocol:
        raise ValueError(
            f"{display_path(path)} was made with another protocol. Move it to earlier/, or "
            "bring its protocol back: results of two protocols are never mixed."
        )
    return record


def add_seed(experiment: Experiment, path: Path, alone: dict) -> None:
    """Add the record of one seed to that in a file, which is locked.

    The file is read again: another process may have added seeds while this one was measured.
    """
    record = find_record(experiment, path)
    known = record["seeds"] if record else []
    (seed,) = alone["seeds"]
    if seed in known:
        return
    if not known:
        merged = keep_origins(alone, None, [seed])
    elif is_cached(experiment, known):  # all outcomes are at hand
        again = run_experiment(experiment, [*known, seed])
        merged = keep_origins(again, record, [seed])
    else:
        merged = merge_records(record, alone, experiment)
    write_record(path, merged, indent=1)


def is_cached(experiment: Experiment, seeds: Sequence[int]) -> bool:
    """Tell whether the outcomes of these seeds of the full run are in the cache."""
    code = digest_code(experiment, library=True)
    files = [seed_file(experiment, seed, experiment.full, code) for seed in seeds]
    return all(file.exists() for file in files)


def merge_records(record: dict, other: dict, experiment: Experiment) -> dict:
    """Return a record with the seeds of another one added. They have no seed in common.

    The machine, the versions, the commit and the date are those of the newest seeds; `origins` has
    them for all.
    """
    order = record["seeds"] + other["seeds"]
    merged = record | {
        "seeds": order,
        "effects": _merge_all(record["effects"], other["effects"]),
        "conditions": _merge_all(record["conditions"], other["conditions"]),
        "numbers": {name: own + other["numbers"][name] for name, own in record["numbers"].items()},
        "seconds": record["seconds"] + other["seconds"],
        "trained": record["trained"] | other["trained"],
    }
    merged |= {field: other[field] for field in ORIGIN}
    merged = keep_origins(merged, record, other["seeds"])
    return finish_record(round_floats(merged), experiment)


def keep_origins(record: dict, before: dict | None, seeds: Sequence[int]) -> dict:
    """Return a record that says where its seeds were made: those before, and `seeds` as it says."""
    own = {"seeds": list(seeds)} | {field: record[field] for field in ORIGIN}
    return record | {"origins": [*(list_origins(before) if before else []), own]}


def list_origins(record: dict) -> list[dict]:
    """List where and when the seeds of a record were made, a dict for each group of seeds.

    A record without `origins` knows this of its newest seed alone, because each new seed took the
    place of the others; the history of its file in git knows the rest.
    """
    newest = {"seeds": record["seeds"][-1:]} | {field: record[field] for field in ORIGIN}
    return record.get("origins", [newest])


def _merge_all(summaries: dict[str, dict], others: dict[str, dict]) -> dict[str, dict]:
    return {name: merge_summaries(own, others[name]) for name, own in summaries.items()}
