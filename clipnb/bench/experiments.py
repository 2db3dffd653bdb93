"""How long the experiments take: `python -m clipnb bench experiments`.

Their records cannot tell this, because most seeds were made on machines that did other work too.
"""

import os
import shutil
import tempfile
import time
from unittest.mock import patch

from clipnb.claims import load_experiments
from clipnb.claims.experiment import Experiment
from clipnb.claims.running import run_experiment
from clipnb.places import cache_dir
from clipnb.records import record_benchmark
from clipnb.runtime import progress

SEED = 0


def run_experiments_benchmark() -> str:
    """Time all experiments, one after the other, and write `results/bench/experiments-<cpu>.json`.

    The small settings have an empty cache for each experiment. In full, all share one cache that is
    empty at the start, so that the first one trains what several need. The record is written after
    the small settings, and again after the full ones. Started again after an interruption, the full
    ones go on where they stopped. Returns the record's path as text.
    """
    experiments = load_experiments().values()
    small = {each.name: time_small(each) for each in progress(experiments, desc="small settings")}
    record_benchmark({"small": small}, "experiments-")
    shared = cache_dir() / "bench-experiments"
    with patch.dict(os.environ, CLIPNB_CACHE=str(shared)):
        full = {each.name: time_full(each) for each in progress(experiments, desc="full settings")}
    path, _ = record_benchmark({"small": small, "full": full}, "experiments-")
    shutil.rmtree(shared)
    return path


def time_small(experiment: Experiment) -> float:
    """Return the seconds of an experiment with its small settings and an empty cache."""
    with tempfile.TemporaryDirectory() as empty, patch.dict(os.environ, CLIPNB_CACHE=empty):
        start = time.perf_counter()
        run_experiment(experiment, [SEED], small=True)
        return time.perf_counter() - start


def time_full(experiment: Experiment) -> float:
    """Return the seconds that a seed of an experiment took with its full settings."""
    return run_experiment(experiment, [SEED])["seconds"]
