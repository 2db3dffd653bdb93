"""The commands for a trained run beside `search`: runs, index, page, export and bench."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from run_parts import write_recipe

from clipnb import run_folders

pytestmark = pytest.mark.usefixtures("trained_run")


# ---- runs ------------------------------------------------------------------------------------


@pytest.fixture
def more_runs(trained_root, tmp_path, monkeypatch):
    """A cache with four runs: tiny; of an experiment, and later; unfinished; of another version."""
    (folder,) = (trained_root / "cache" / "runs").iterdir()
    cache = tmp_path / "cache" / "runs"
    for name in (folder.name, "small-trial-0", "small-tiny-1", "old"):
        shutil.copytree(folder, cache / name)
    start = json.loads((folder / "recipe.json").read_text())
    trial = {**start, "recipe": {**start["recipe"], "name": "trial"}}
    write_recipe(cache / "small-trial-0", trial)
    os.utime(cache / "small-trial-0" / "metrics.json", (4e9, 4e9))
    (cache / "small-tiny-1" / "metrics.json").unlink()
    (cache / "old" / "recipe.json").write_text('{"seed": 0, "recipe": {"name": "old", "nope": 1}}')
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    return folder.name


def test_runs_are_listed(clipnb, more_runs):
    status, printed, said = clipnb("runs")
    assert status == 0
    lines = printed.splitlines()
    assert lines[0].startswith("name ")
    assert len({len(line) for line in lines[1:]}) == 1, "aligned: a date ends each line"
    by_first_word = {line.split()[0]: line for line in lines}
    assert "unfinished" in by_first_word["small-tiny-1"]
    assert "of another version" in by_first_word["old"]
    assert lines[-1].startswith("small-trial-0"), "the latest one is the last one"
    assert f"clipnb search uses {more_runs} unless" in said
    listed = json.loads(clipnb("runs --json")[1])
    by_name = {run["name"]: run for run in listed}
    assert by_name[more_runs]["dev_mean_recall"] > 0
    assert by_name["small-tiny-1"]["state"] == "unfinished"
    for run in listed:
        if run["state"] == "finished":
            assert run_folders.find_run(run["name"]).name == run["name"]


def test_the_run_of_a_named_recipe_comes_before_a_later_trial(clipnb, more_runs):
    assert json.loads(clipnb("search dog --json")[1])["run"] == more_runs
    assert json.loads(clipnb("search dog --json --run trial")[1])["run"] == "small-trial-0"


def test_a_run_without_a_recipe_stops_no_command(clipnb, more_runs, tmp_path):
    junk = tmp_path / "cache" / "runs" / "junk"
    junk.mkdir()
    for content in ("{}", '{"recipe": null, "seed": 0}', '{"recipe": {"name": "tiny"}}'):
        (junk / "recipe.json").write_text(content)
        for name in ("metrics.json", "model.safetensors"):
            (junk / name).write_text("{}")
        lines = clipnb("runs")[1].splitlines()
        assert any("junk" in line and "of another version" in line for line in lines)
        said = clipnb("search dog --recipe quick --seed 7")[2]
        assert "junk (of another version of clipnb)" in said
        assert json.loads(clipnb("search dog --json")[1])["run"] == more_runs
    (junk / "recipe.json").write_text("{}")
    assert "no finished run 'nope'" in clipnb("search dog --run nope")[2]


def test_a_closed_pipe_is_no_error(clipnb, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)  # as `head` does when it has seen enough
    with os.fdopen(writer, "w") as pipe, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", pipe)
        status, _, said = clipnb("runs")
    assert status == 0
    assert "Broken pipe" not in said


# ---- index, page, export and bench -----------------------------------------------------------


def test_unreadable_files_and_duplicates_are_listed(clipnb, photos):
    printed = clipnb("index Pictures --unreadable")[1]
    assert printed == "Pictures/broken.jpg\tit holds no image\n"
    printed = clipnb("index Pictures --duplicates")[1]
    assert printed.splitlines() == ["Pictures/again.jpg", "Pictures/photo 5.jpg"]


def test_a_page_is_written(clipnb, photos):
    status, printed, _ = clipnb("page Pictures mine.html")
    assert status == 0
    assert "mine.html" in printed
    assert Path("mine.html").stat().st_size > 10_000
    assert "no folder and no dataset 'nowhere'" in clipnb("page nowhere mine.html")[2]
    assert clipnb("page Pictures /dev/null/mine.html")[0] == 2


def test_export_lists_its_files(clipnb, monkeypatch):
    def export(model, tokenizer, folder, int8):
        Path(folder).mkdir()
        (Path(folder) / f"int8-{int8}.onnx").write_text("")
        return Path(folder)

    monkeypatch.setattr("clipnb.search.onnx.export_onnx", export)
    assert clipnb("export --onnx towers --int8")[1] == "towers/int8-True.onnx\n"
    assert "int8 instead of float32" in " ".join(clipnb("export --help")[1].split())


def test_bench_search(clipnb, monkeypatch):
    bench = SimpleNamespace(run_search_benchmark=lambda run: f"results/bench/{run}.json")
    monkeypatch.setitem(sys.modules, "clipnb.bench.search", bench)
    assert clipnb("bench search")[1] == "wrote results/bench/None.json\n"
    assert clipnb("bench search --run ViT-B-32/openai")[1].endswith("ViT-B-32/openai.json\n")
    assert "--run belongs to `clipnb bench search`" in clipnb("bench train --run quick")[2]
