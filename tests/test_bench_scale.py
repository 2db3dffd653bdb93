"""The benchmark of scaling out: two processes, shards, images that are mapped, and its record."""

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import torch
from distributed_parts import TINY
from PIL import Image

from clipnb.bench import scale, streaming
from clipnb.bench.streaming import compare_shards_with_memory, measure_mapped_memory


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_are_compared_with_one(small):
    recipe = dataclasses.replace(TINY, dataset="small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "use_photos", lambda recipe: recipe)
        result = scale.compare_processes(recipe, seconds=0, rounds=2)
    assert result["rounds"] == 2
    assert 0 < result["lowest"] <= result["ratio"] <= result["highest"]
    assert result["ours"] > 0
    assert result["unit"] == "pairs per second"


def test_shards_are_compared_with_memory(small, recipe):
    pytest.importorskip("webdataset")
    result = compare_shards_with_memory(recipe, seconds=0.01, rounds=2)
    assert result["rounds"] == 2
    assert 0 < result["lowest"] <= result["ratio"] <= result["highest"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_images_that_are_mapped_take_no_memory_of_the_process(recipe, monkeypatch):
    # What is on the images does not matter here, and scenes of this size take long to draw.
    monkeypatch.setattr(streaming, "render", lambda scene, size: Image.new("RGB", (size, size)))
    recipe = dataclasses.replace(recipe, stored_size=448, batch_size=16)
    result = measure_mapped_memory(recipe, n_images=300, steps=1)
    assert result["array, bytes"] == 300 * 3 * 448 * 448
    # An image has 602,112 bytes. What each costs beyond is its captions and their tokens. Two runs
    # of the same program differ by 10 MB, which is 40,000 bytes for each of the 270 images.
    assert result["own memory for each further image, bytes"] < 200_000


def test_the_record_of_the_benchmark_holds_every_measurement(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    ratio = {"ratio": 0.95, "lowest": 0.9, "highest": 1.0}
    for name in ("compare_processes", "compare_shards_with_memory"):
        monkeypatch.setattr(scale, name, lambda *arguments: ratio)
    monkeypatch.setattr(scale, "measure_step_memory", lambda: {"at once": {256: 10**6}})
    monkeypatch.setattr(scale, "measure_mapped_memory", lambda: {"images": 100_000})
    record = json.loads(Path(scale.run_scale_benchmark()).read_text())
    names = ("quick, batch 128", "quick, batch 512", "baseline, batch 128")
    assert record["two processes"] == dict.fromkeys(names, ratio)
    assert record["shards"] == {"quick": ratio}
    assert record["memory of a step, bytes"] == {"at once": {"256": 10**6}}
    assert record["mapped images"] == ({"images": 100_000} if sys.platform == "linux" else None)
    assert capsys.readouterr().out.count("0.950") == 4
