"""What the replication report reads and computes from records, beside what others tell already.

It draws nothing: `verdict_figures` and `method_figures` do.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clipnb.claims.effects import NO_EFFECT, from_scale, none_to_infinite, summarize, to_scale
from clipnb.claims.experiment import RECORDS, Effect, Gate
from clipnb.claims.first_sitting import judge_first_sitting
from clipnb.claims.pooling import PooledClaim, pool_claims
from clipnb.claims.protocols import digest_protocol, protocol_path
from clipnb.claims.running import list_origins
from clipnb.claims.showing import format_bound
from clipnb.claims.verdicts import SUPPORTED, UNFINISHED, is_closed, read_interval
from clipnb.records import load_records, read_json
from clipnb.runtime import results_dir

Groups = dict[str, list[dict]]  # {claim: its records}

# ---- the records of the second sitting -------------------------------------------------------


def list_records(groups: Groups) -> list[dict]:
    """List the records of all claims that have been run, in order."""
    return [record for own in groups.values() for record in own if "mean" in record]


def count_seeds(records: Sequence[dict]) -> tuple[int, int]:
    """Return how many seeds are on record, and how many all protocols together ask for."""
    asked = [read_protocol(record)["seeds"] for record in records]
    return sum(len(record["seeds"]) for record in records), sum(asked)


def read_protocol(record: dict) -> dict:
    """Read the protocol of a record."""
    return read_json(protocol_path(record["experiment"]))


def has_its_protocol(record: dict) -> bool:
    """Tell whether the protocol's file is the one that a record was made with, to the byte."""
    return record["protocol"] == digest_protocol(record["experiment"])


def list_closed_gates(record: dict) -> list[tuple[str, str]]:
    """List the gates of a record that are closed, as (the gate's effect, how it is closed).

    A gate that fails is one thing, and one that is not shown to be open is another: with more
    seeds the second may open.
    """
    gates = read_protocol(record)["gates"]
    closed = [gate for gate in gates if is_closed(Gate(**gate), record["effects"])]
    return [(gate["effect"], describe_closed(gate, record)) for gate in closed]


def describe_closed(gate: dict, record: dict) -> str:
    """Say how a gate of a record is closed: its effect fails, or is not shown to pass."""
    low, high = read_interval(record["effects"][gate["effect"]]["interval"])
    interval = f"its interval, {format_bound(low, '−∞')} to {format_bound(high)}, "
    for side, bound in (("above", gate["above"]), ("below", gate["below"])):
        if bound is None or (low > bound if side == "above" else high < bound):
            continue
        if high <= bound if side == "above" else low >= bound:
            return interval + f"does not lie {side} {bound:g}: {gate['why']}"
        return interval + f"is not shown to lie {side} {bound:g}"
    raise ValueError(f"the gate {gate['effect']!r} is open.")


# ---- what if? --------------------------------------------------------------------------------


def rescale_margins(groups: Groups, factor: float) -> dict[str, PooledClaim]:
    """Pool all claims as if each margin were `factor` times as large, on its effect's scale.

    A margin of 4 times, halved on the log scale, is 2 times. Gates and seeds stay as they are.
    """
    changed = {}
    for claim, records in groups.items():
        changed[claim] = [
            record | {"margin": rescale_margin(record["margin"], record["scale"], factor)}
            if "margin" in record
            else record
            for record in records
        ]
    return pool_claims(changed)


def rescale_margin(margin: float, scale: str, factor: float) -> float:
    """Return a margin that is `factor` times as large on its scale."""
    none = to_scale(NO_EFFECT[scale], scale)
    return float(from_scale(none + factor * (to_scale(margin, scale) - none), scale))


def grow_interval(effect: dict) -> list[tuple[float, float, float]]:
    """Return what an effect of a record was after its first seed, its first two, and so on.

    Each is (mean, low, high). With one seed the noise of the seeds is unknown, and the interval
    holds that of the images or classes alone.
    """
    values = none_to_infinite(effect["values"])
    how = Effect(compute=np.mean, **{key: effect[key] for key in ("unit", "scale", "over")})
    grown = []
    for n in range(1, len(values) + 1):
        summary = summarize(values[:n], effect["image_spread"], how)
        mean = np.inf if summary["mean"] is None else summary["mean"]
        grown.append((mean, *read_interval(summary["interval"])))
    return grown


def split_variance(effect: dict) -> tuple[float, float] | None:
    """Return the variance of an effect that comes from images or classes, and that from seeds.

    Both are on the effect's scale. None for medians and counts, whose intervals are made in
    another way, and for a single seed.
    """
    values = np.array(none_to_infinite(effect["values"]), float)
    if effect["over"] not in ("images", "units") or len(values) < 2:
        return None
    scaled = to_scale(values, effect["scale"])
    by_seed, others = scaled, effect["image_spread"] ** 2
    if scaled.ndim == 2:
        by_seed, by_unit = scaled.mean(axis=1), scaled.mean(axis=0)
        others = by_unit.var(ddof=1) / len(by_unit)
    return float(others), float(by_seed.var(ddof=1) / len(by_seed))


# ---- the first sitting -----------------------------------------------------------------------

# Intervals of the first sitting that reach beyond what a quantity can be: (experiment, quantity,
# the least and the largest value that it can have, why).
BEYOND = (
    ("few_shot_flickr8k", "photos of a noun", 0, 128, "at most 128 photos were tried"),
    ("label_worth", "median examples a class", 0, 32, "a value beyond what was tried counts as 32"),
    ("tracks_supervised_flickr8k", "r over nouns", -1, 1, "a correlation is at most 1"),
    ("supervised_probe", "tasks won of five", 0, 5, "a number of tasks is never negative"),
    (
        "objectives",
        "seconds an image, language model over contrastive bag",
        0,
        float("inf"),
        "a ratio of times is never negative",
    ),
)


def list_impossible(first: dict[str, dict]) -> list[list[str]]:
    """List the intervals of the first sitting that reach beyond what is possible, as texts.

    Each is [experiment, quantity, interval, why]. first: as `load_first_sitting` returns it.
    """
    rows = []
    for name, quantity, least, most, why in BEYOND:
        if name not in first:
            continue
        low, high = first[name]["quantities"][quantity]["interval"]
        if low < least or high > most:
            interval = f"{low:.4g} to {high:.6g}".replace("-", "−")
            rows.append([f"`{name}`", quantity, interval, why])
    return rows


# What an effect of the second sitting can be at most, by its unit. Most intervals are symmetric on
# their scale, so near an end they can reach beyond it.
LARGEST = {
    "percent": 100.0,
    "percent of the dogs": 100.0,
    "percent of the precision above chance": 100.0,  # more is less than guessing finds
    "share": 1.0,
    "share of variance": 1.0,
}


def list_beyond(records: Sequence[dict]) -> list[list[str]]:
    """List the intervals of the second sitting that reach above what is possible, as texts.

    A bound below zero is possible for a difference and for a loss, so none is looked for. Each row
    is [experiment, effect, interval, why].
    """
    rows = []
    for record in records:
        for name, effect in record["effects"].items():
            low, high = read_interval(effect["interval"])
            most = LARGEST.get(effect["unit"], np.inf)
            if high > most:
                interval = f"{format_bound(low)} to {high:.6g}".replace("-", "−")
                why = f"at most {most:g} {effect['unit']}"
                rows.append([f"`{record['experiment']}`", name, interval, why])
    return rows


def pair_verdicts(groups: Groups, first: dict[str, dict]) -> dict[str, tuple[str, str]]:
    """Return {claim: (first verdict, second verdict)} of the claims that both sittings tested.

    A claim of the first sitting may be two or three now, such as C7, which is C7a and C7b.
    """
    before = judge_first_sitting(first)
    pairs = {}
    for claim, pooled in pool_claims(groups).items():
        own = before.get(claim.rstrip("abc"))
        if own and groups[claim]:
            pairs[claim] = (own, pooled.verdict)
    return pairs


def list_fallen(pairs: dict[str, tuple[str, str]]) -> list[str]:
    """List the claims that were replicated at first and are not supported now, once finished."""
    return [
        claim
        for claim, (first, second) in pairs.items()
        if first == "replicated" and second not in (SUPPORTED, UNFINISHED)
    ]


# ---- machines, costs -------------------------------------------------------------------------

UNTOLD = "a machine that no record names"  # where a seed was made


class SameSeeds(NamedTuple):
    """The recalls of the same recipe with the same seeds, made on one machine."""

    source: str
    machine: str
    recalls: dict[str, list[float]]  # {recall: values by seed}, in percent


RECALLS = ("image to text R@1", "text to image R@1", "image to text R@10", "text to image R@10")


def describe_hardware(machine: dict) -> str:
    """Name a machine: its GPU or its CPU, and the numbers that it computes with."""
    hardware = machine["gpu"] or machine["cpu"].replace("(R)", "").replace(" Processor", "")
    return f"{hardware}, {'bfloat16' if machine['bf16'] else 'float32'}"


def list_same_seeds(groups: Groups, first: dict[str, dict]) -> list[SameSeeds]:
    """List what the recipe `two_minutes` reached on Flickr8k's test photos with the seeds 0, 1, 2.

    It was trained three times: for the runs on record, for the first and for the second sitting.
    """
    runs = [run for run in load_records("flickr8k") if run["recipe"]["name"] == "two_minutes"]
    runs.sort(key=lambda run: run["seed"])
    tests = [run["metrics"]["test"] for run in runs[:3]]
    recalls = {name: [test[name.replace(" ", "_")] for test in tests] for name in RECALLS}
    found = [SameSeeds("runs on record", describe_hardware(runs[0]["machine"]), recalls)]
    told = [("first sitting", first[name], "quantities") for name in first if name == "retrieval"]
    for record in list_records(groups):
        if record["experiment"] == "retrieval":
            told.append(("second sitting", record, "effects"))
    for source, record, where in told:
        recalls = {name: record[where][name]["values"][:3] for name in RECALLS}
        found.append(SameSeeds(source, describe_hardware(record["machine"]), recalls))
    return found


def load_repeated(records: Sequence[dict]) -> dict[str, tuple[dict, dict]]:
    """Load the records of first versions that were run again with the same seeds and effect.

    If the two protocols differ in what is equal in all conditions or in the tuning, the second run
    is another experiment, and is left out. Returns {experiment: (record of its first version,
    record of today)}.
    """
    repeated = {}
    for record in records:
        first = load_first_version(record["experiment"])
        if first is not None:
            earlier = f"earlier/{record['experiment']}-1.json"
            first_protocol = read_json(results_dir() / "protocols" / earlier)
            same_seeds = set(first["seeds"]) == set(record["seeds"])
            protocol = read_protocol(record)
            same_conditions = all(first_protocol[it] == protocol[it] for it in ("equal", "tuning"))
            if same_seeds and same_conditions and first["effect"] == record["effect"]:
                repeated[record["experiment"]] = (first, record)
    return repeated


def load_first_version(name: str) -> dict | None:
    """Load the record of the first version of an experiment, or None if there is one version."""
    path = results_dir() / RECORDS / "earlier" / f"{name}-1.json"
    return read_json(path) if path.exists() else None


def describe_place(machine: dict) -> str:
    """Name where a run was made: a GPU or a CPU, and how many cores."""
    cores = f"{machine['cores']} CPU cores"
    return f"{machine['gpu']} and {cores}" if machine["gpu"] else cores


def count_places(records: Sequence[dict]) -> dict[str, int]:
    """Return how many seeds are known to have been made at each place, by its name.

    A record knows this of all seeds that were added since it keeps `origins`, and of its newest
    one. The others are counted as `UNTOLD`.
    """
    counts = {}
    for record in records:
        known = 0
        for origin in list_origins(record):
            place = describe_place(origin["machine"])
            counts[place] = counts.get(place, 0) + len(origin["seeds"])
            known += len(origin["seeds"])
        counts[UNTOLD] = counts.get(UNTOLD, 0) + len(record["seeds"]) - known
    return {place: n for place, n in sorted(counts.items(), key=lambda each: -each[1]) if n}


def load_times() -> dict:
    """Load the newest record of `clipnb bench experiments`.

    It holds seconds by experiment, "small" and "full", and the machine. Raises FileNotFoundError if
    there is none.
    """
    paths = (results_dir() / "bench").glob("experiments-*.json")
    records = [record for record in map(read_json, paths) if "full" in record]
    if not records:
        raise FileNotFoundError("`clipnb bench experiments` has not been run to its end.")
    return max(records, key=lambda record: record["date"])


# ---- tuning, coverage, the baseline at its original's budget ---------------------------------


def load_tuning(name: str) -> dict[str, dict[float, float]]:
    """Load what each learning rate scored on dev, {condition: {rate: score}}."""
    scores = read_json(results_dir() / "tuning" / f"{name}.json")["scores"]
    return {
        condition: {float(rate): score for rate, score in own.items()}
        for condition, own in scores.items()
    }


def load_coverage() -> dict | None:
    """Load how often the intervals held the truth in simulations, or None if it was not made."""
    path = results_dir() / "coverage.json"
    return read_json(path) if path.exists() else None
