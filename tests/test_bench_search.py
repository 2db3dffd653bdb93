"""The benchmark of search: every part runs, small. No test asserts a time."""

import functools
import json
import sys

import pytest
import torch
import torch.nn.functional as F

from clipnb import bench_report, create_model, records
from clipnb.bench import approximate, search
from clipnb.bench.approximate import compare_ways, grow
from clipnb.loop import make_tokenizer
from clipnb.runs import Run
from clipnb.runtime import ROOT
from clipnb.search.nearest import FaissIndex

RECORDS = sorted((ROOT / "results" / "bench").glob("search-*.json"))


@pytest.fixture
def run(small, recipe, tmp_path):
    """A model that has learned nothing, on 88 drawn scenes."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer(recipe, small("train").captions)
    return Run(create_model(recipe), tokenizer, recipe, 0, tmp_path)


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(0)
    return F.normalize(torch.randn(40, 64, generator=generator), dim=1)


def check_comparison(result, rounds=2):
    assert result["rounds"] == rounds
    assert 0 < result["lowest"] <= result["ratio"] <= result["highest"]


# ---- the parts -------------------------------------------------------------------------------


def test_two_functions_take_turns_after_a_warm_up():
    calls = []
    times = search.compare_times(lambda: calls.append("a"), lambda: calls.append("b"), rounds=3)
    assert calls == ["a", "b"] * 4
    assert times["unit"] == "milliseconds"


def test_a_rate_is_items_over_time(monkeypatch):
    own_times = iter([10.0, 40.0, 20.0, 40.0])  # ours, theirs, ours, theirs
    monkeypatch.setattr(search, "time_call", lambda function: next(own_times))
    result = search.compare_times(lambda: None, lambda: None, rounds=2, n_items=8)
    assert result["unit"] == "images per second"
    assert (result["ours"], result["theirs"]) == (600, 200)  # medians of 800 and 400, 200 and 200
    assert (result["lowest"], result["highest"]) == (2, 4)


def test_keystrokes_are_measured_in_the_widget(run, monkeypatch):
    pytest.importorskip("ipywidgets")
    monkeypatch.setattr(search, "QUERY", "a red")
    result = search.measure_keystrokes(run)
    assert list(result) == [
        "images",
        "search, milliseconds",
        "encoding, milliseconds",
        "whole, milliseconds",
    ]
    assert result["images"] == 88


@pytest.mark.skipif(sys.platform == "win32", reason="memory is not measured on Windows")
def test_a_search_takes_the_memory_of_the_features_and_little_more():
    result = search.measure_exact_search(20_000, rounds=2)
    check_comparison(result["time, 20,000 features"])
    memory = result["memory, 20,000 features"]
    assert memory["theirs"] == pytest.approx(20_000 * 512 * 4 / 1e6)
    assert 0.9 < memory["ratio"] < 1.2


def test_indexing_a_folder_is_compared_with_encoding(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    result = search.measure_folders(["quick"], n_images=4, rounds=2)
    check_comparison(result["indexing against encoding alone, quick"])
    assert not list(tmp_path.iterdir()), "the index is made in a cache of its own"


def test_decoders_are_compared():
    check_comparison(search.compare_decoders(n_images=2, rounds=2)["Pillow against torchvision"])


# ---- ways to search --------------------------------------------------------------------------


def test_grown_features_lie_between_real_ones(features):
    grown = grow(features, 500, noise=0.01)
    assert grown.shape == (500, 64)
    assert grown.norm(dim=1).allclose(torch.ones(500))
    pairs = [(a, b) for a in range(40) for b in range(40)]
    middle = F.normalize(torch.stack([features[a] + features[b] for a, b in pairs]), dim=1)
    assert (grown @ middle.T).max(dim=1).values.min() > 0.85
    assert len(grown.unique(dim=0)) == 500
    assert grow(features, 500, noise=0.01).equal(grown), "the same at every call"


def test_a_way_that_misses_half_has_half_the_recall(features, monkeypatch):
    class EverySecond:
        """Search among the rows with an even number only."""

        def __init__(self, features):
            self.features = features

        def find_nearest(self, query, k):
            scores, rows = search.find_nearest(self.features[::2], query, k)
            return scores, 2 * rows

    monkeypatch.setattr(approximate, "list_ways", lambda: {"signs": EverySecond})
    queries = {"texts": torch.randn(30, 64), "images": features[:4]}
    exact, halved = compare_ways(features, queries, "drawn")
    assert exact["recall, texts"] == exact["recall, images"] == 1
    assert 0.35 < halved["recall, texts"] < 0.65
    assert (exact["bytes each"], halved["bytes each"]) == (256, 8)
    assert exact["times as fast"] == 1


def test_all_ways_are_compared_on_all_galleries(run):
    rows = approximate.compare_indexes([run], counts=(60, 90), n_queries=3)
    ways = ["exact", *approximate.list_ways()]
    assert [row["way"] for row in rows] == 2 * ways
    assert [row["features"] for row in rows] == [60] * len(ways) + [90] * len(ways)
    assert {row["gallery"] for row in rows} == {"small, tiny"}
    assert all(
        row["recall, texts"] == row["recall, images"] == 1 for row in rows if row["way"] == "signs"
    )


def test_faiss_is_left_out_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert FaissIndex not in approximate.list_ways().values()


# ---- record and table ------------------------------------------------------------------------


def test_a_record_is_written_and_its_tables_are_printed(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    monkeypatch.setattr(records, "cpu_name", lambda: "Some CPU (TM)")
    monkeypatch.setattr(search, "find_runs", lambda: [run])
    finding = {"ratio": 1.25, "lowest": 1.0, "highest": 1.5, "ours": 120.4, "theirs": 96.0}
    finding["unit"] = "milliseconds"
    monkeypatch.setattr(search, "measure_exact_search", lambda: {"time": finding})
    monkeypatch.setattr(search, "measure_folders", dict)
    monkeypatch.setattr(search, "compare_decoders", dict)
    keystroke = {"images": 8000, "search, milliseconds": 1.23}
    monkeypatch.setattr(search, "measure_keystrokes", lambda run: keystroke)
    small_comparison = functools.partial(approximate.compare_indexes, counts=(60,), n_queries=2)
    monkeypatch.setattr(search, "compare_indexes", small_comparison)

    assert search.run_search_benchmark().endswith("search-some-cpu-tm.json")
    record = json.loads((tmp_path / "bench" / "search-some-cpu-tm.json").read_text())
    printed = capsys.readouterr().out
    assert "| keystroke: search, 8,000 images | | | 1.2 milliseconds | |" in printed
    assert "| exact search: time | 1.25 | 1.00 to 1.50 | 120 milliseconds | 96.0 |" in printed
    assert "| small, tiny | 60 | signs | 1.000 | 1.000 |" in printed
    assert bench_report.search_bench_table() == bench_report.search_tables(record)
    assert not bench_report.bench_table(), "the other table is of training alone"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_the_readme_shows_what_a_record_says(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    assert bench_report.search_tables(record) in (ROOT / "results" / "README.md").read_text("utf-8")
