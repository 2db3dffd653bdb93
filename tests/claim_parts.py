"""What the tests of the second sitting share: a toy, records by hand, simulated seeds."""

import functools
import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from clipnb import claims
from clipnb.claims import code
from clipnb.claims.effects import NO_EFFECT, estimate_effect, to_scale
from clipnb.claims.experiment import Effect, Experiment, Protocol
from clipnb.claims.verdicts import reach_verdict
from clipnb.experiments import outcomes
from clipnb.runtime import results_dir

MEASURED = []  # the seeds that the toy has measured
FEW_RESAMPLES = 10


# ---- a toy -----------------------------------------------------------------------------------


def measure_toy(seed, n_images=120, gain=0.5):
    """Measure two models on the same images; `a` is better by about `gain`."""
    MEASURED.append(seed)
    rng = np.random.default_rng(seed)
    difficulty = np.random.default_rng(999).normal(size=n_images)
    outcomes = {
        "a": difficulty + rng.normal(size=n_images) + gain > 0,
        "b": difficulty + rng.normal(size=n_images) > 0,
        "_raw": np.zeros((n_images, 3)),
        "label": np.arange(n_images) % 6,
    }
    by_class = [float(each) for each in gain + 0.1 * rng.normal(size=6)]
    return outcomes, {"by_class": by_class, "crossings": [1.0, 2.0, 4.0, 8.0, 16.0, np.inf]}


def compute_gain(outcomes):
    return 100 * (outcomes["a"].mean() - outcomes["b"].mean())


EFFECTS = {
    "gain": Effect(compute=compute_gain, unit="points"),
    "by class": Effect(compute=lambda outcomes: outcomes["by_class"], unit="u", over="units"),
    "crossing": Effect(
        compute=lambda outcomes: outcomes["crossings"], unit="labels", scale="log", over="median"
    ),
    "accuracy": Effect(compute=lambda outcomes: 100 * outcomes["a"].mean(), unit="percent"),
}


def explain_toy(effects):
    return f"The gain is {effects['gain']['mean']:.1f} points."


def make_protocol(**changes):
    """Return a protocol, with what a test changes."""
    fields = {
        "quote": "It is better.",
        "source": "§0, Table 0, page 0",
        "match": "proxy",
        "match_reason": "It is a toy.",
        "hypothesis": "The model a is better than b.",
        "conditions": {"a": "the better one", "b": "the other one"},
        "equal": "The images are the same.",
        "tuning": "Nothing is tuned.",
        "power": "Three seeds and 120 images find 8 points.",
        "margin": 2.0,
        "margin_reason": "It is a tenth of the paper's effect.",
        "paper_effect": 20.0,
        "opposite": "The model b is better.",
        "seeds": 3,
    }
    return Protocol(**(fields | changes))


def make_toy(effects=EFFECTS, **changes):
    """Return the toy, with another protocol where `changes` say so."""
    return Experiment(
        name="toy",
        claim="C2",
        title="A toy",
        dataset="scenes",
        protocol=make_protocol(**changes),
        measure=measure_toy,
        effects=effects,
        explain=explain_toy,
        notebook="06_zero_shot_and_prompts",
        small={"n_images": 40},
        full={"n_images": 120},
    )


# ---- records ---------------------------------------------------------------------------------


def make_record(name="toy", claim="C2", mean=5.0, interval=(3.0, 7.0), **changes):
    """Return the parts of a record that are shown and pooled. The verdict follows the rule."""
    record = {
        "experiment": name,
        "claim": claim,
        "title": f"The test {name} of {claim}",
        "dataset": "scenes",
        "source": "§3, Fig 4, page 7",
        "match": "proxy",
        "kind": "difference",
        "margin": 2.0,
        "paper_effect": None,
        "rule": "supported: the 95 % interval of “gain” lies above 2 points",
        "effect": "gain",
        "unit": "points",
        "scale": "linear",
        "notebook": "06_zero_shot_and_prompts",
        "seeds": [0, 1, 2, 3, 4],
        "n_images": 2000,
        "small": False,
        "mean": mean,
        "interval": list(interval),
        "values": [mean] * 5,
        "std": 1.0,
        "because": f"The gain is {mean}.",
        "command": f"python -m clipnb experiment {name} --seeds 0,1,2,3,4",
        "seconds": 100.0,
        "trained": {"run": 300.0},
        "machine": {"gpu": None, "cores": 2, "cpu": "a CPU"},
        "date": "2026-01-01",
        "freedom": None,
    } | changes
    keys = ("values", "mean", "std", "interval", "unit", "scale", "freedom")
    on_trial = {key: record[key] for key in keys} | {"over": "images", "image_spread": 1.0}
    record["effects"] = {record["effect"]: on_trial} | record.get("effects", {})
    margin = {"margin": record["margin"], "kind": record["kind"]}
    protocol = make_protocol(seeds=5, **margin)
    record.setdefault("verdict", reach_verdict(record["effects"], protocol, len(record["seeds"])))
    return record


# ---- all experiments -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parsed_once():
    """Parse each source once. Nearly all experiments import nearly the same modules."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((outcomes, "find_direct_imports"), (code, "dump_code")):
            patch.setattr(module, name, functools.cache(getattr(module, name)))
        yield


def find_missing_modules():
    """Return {family of claims: why its module cannot be used yet}."""
    return {name: found for name in claims.MODULES if isinstance(found := _load(name), str)}


def load_known_experiments():
    """Return {name: experiment} of all families whose module can be imported."""
    found = [own for name in claims.MODULES if not isinstance(own := _load(name), str)]
    return {each.name: each for own in found for each in own}


def _load(name):
    """Return the experiments of a family of claims, or why there are none."""
    try:
        return importlib.import_module(f"clipnb.claims.{name}").EXPERIMENTS
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def load_simulations():
    """Return {experiment's name: simulate} from all files tests/planted_*.py."""
    simulations = {}
    for path in sorted(Path(__file__).parent.glob("planted_*.py")):
        module = importlib.import_module(path.stem)
        simulations |= module.SIMULATIONS
    return simulations


@functools.cache
def judge_simulated(experiment, simulate, kind, n_resamples=100):
    """Return the verdict on simulated seeds, and the effects. kind: "blank" or "planted".

    n_resamples: draws of the test images for the effects that decide the verdict, which are the
    first one and those of the gates. A hundred draws know a standard error to 7 %. The other
    effects are only told, and few draws are enough to tell them.
    """
    runs = [simulate(kind, seed) for seed in range(experiment.protocol.seeds)]
    on_trial = next(iter(experiment.effects))
    deciding = {on_trial, *(gate.effect for gate in experiment.protocol.gates)}
    effects = {
        name: estimate_effect(effect, runs, n_resamples if name in deciding else FEW_RESAMPLES)
        for name, effect in experiment.effects.items()
    }
    return reach_verdict(effects, experiment.protocol, len(runs)), effects


def read_best(name):
    """Return {condition: learning rate} of the best on dev, from results/tuning."""
    path = results_dir() / "tuning" / f"{name}.json"
    scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
    return {condition: float(max(own, key=own.get)) for condition, own in scores.items()}


def find_size(value, scale):
    """Return the size of an effect or a margin on its scale, where "no effect" is 0."""
    return abs(float(to_scale(value, scale) - to_scale(NO_EFFECT[scale], scale)))
