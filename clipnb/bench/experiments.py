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
from clipnb.datasets import dataset_folder
from clipnb.places import cache_dir
from clipnb.records import record_benchmark
from clipnb.runtime import progress

SEED = 0


def run_experiments_benchmark() -> str:
    """Time all experiments, one after the other, and write `results/bench/experiments-<cpu>.json`.

    The small settings have a cache for each experiment that holds the drawn scenes, as after
    notebook 00, and no model. In full, all share one cache that is empty at the start, so that the
    first one trains what several need. The record is written after the small settings, and again
    after the full ones. Started again after an interruption, the full ones go on where they
    stopped. Returns the record's path as text.
    """
    experiments = load_experiments().values()
    with tempfile.TemporaryDirectory() as drawn:
        with patch.dict(os.environ, CLIPNB_CACHE=drawn):
            dataset_folder("scenes")  # draws them
        bar = progress(experiments, desc="small settings")
        small = {each.name: time_small(each, drawn) for each in bar}
    record_benchmark({"small": small}, "experiments-")
    shared = cache_dir() / "bench-experiments"
    with patch.dict(os.environ, CLIPNB_CACHE=str(shared)):
        full = {each.name: time_full(each) for each in progress(experiments, desc="full settings")}
    path, _ = record_benchmark({"small": small, "full": full}, "experiments-")
    shutil.rmtree(shared)
    return path


def time_small(experiment: Experiment, drawn: str) -> float:
    """Return the seconds of an experiment with its small settings, in a copy of a cache."""
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, CLIPNB_CACHE=cache):
        shutil.copytree(drawn, cache, dirs_exist_ok=True)
        start = time.perf_counter()
        run_experiment(experiment, [SEED], small=True)
        return time.perf_counter() - start


def time_full(experiment: Experiment) -> float:
    """Return the seconds that a seed of an experiment took with its full settings."""
    return run_experiment(experiment, [SEED])["seconds"]
