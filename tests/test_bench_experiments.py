"""The benchmark of the experiments' time: what runs, in which cache, and what is kept."""

import json
import os
from pathlib import Path

import pytest
from claim_parts import MEASURED, make_toy

from clipnb.bench import experiments
from clipnb.claims.protocols import write_protocol
from clipnb.places import cache_dir

pytestmark = pytest.mark.usefixtures("parsed_once")


def draw_scenes(name):
    """Leave a file in the cache that stands for the drawn scenes."""
    (cache_dir() / f"{name}.txt").write_text("drawn")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    MEASURED.clear()
    own = make_toy()
    write_protocol(own)
    monkeypatch.setattr(experiments, "load_experiments", lambda: {"toy": own})
    monkeypatch.setattr(experiments, "dataset_folder", draw_scenes)
    return own


def read_records(tmp_path):
    (path,) = (tmp_path / "results" / "bench").glob("experiments-*.json")
    return json.loads(path.read_text())


def test_both_settings_are_timed_and_nothing_is_left_in_the_cache(toy, tmp_path):
    path = experiments.run_experiments_benchmark()
    assert Path(path).name.startswith("experiments-")
    record = read_records(tmp_path)
    assert record["small"]["toy"] > 0
    assert record["full"]["toy"] > 0
    assert MEASURED == [experiments.SEED] * 2
    assert os.environ["CLIPNB_CACHE"] == str(tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.npz"))
    assert not (tmp_path / "cache" / "scenes.txt").exists()
    assert not (tmp_path / "results" / "claims").exists()  # no seed is added to a record


def test_the_small_settings_find_the_scenes_drawn(toy, monkeypatch):
    seen = {}

    def look(experiment, seeds, small=False):
        seen[small] = (cache_dir() / "scenes.txt").exists()
        return {"seconds": 1.0}

    monkeypatch.setattr(experiments, "run_experiment", look)
    experiments.run_experiments_benchmark()
    assert seen == {True: True, False: False}


def test_an_interruption_keeps_the_small_times_and_the_full_ones_go_on(toy, tmp_path, monkeypatch):
    time_full = experiments.time_full

    def time_and_stop(experiment):
        time_full(experiment)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(experiments, "time_full", time_and_stop)
        experiments.run_experiments_benchmark()
    assert read_records(tmp_path).keys() >= {"small"}
    assert "full" not in read_records(tmp_path)
    experiments.run_experiments_benchmark()
    # The small one is timed again, because its cache is gone; the full one comes from the cache.
    assert MEASURED == [experiments.SEED] * 3
    assert read_records(tmp_path)["full"]["toy"] > 0
