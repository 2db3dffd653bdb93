"""Numbers people read come from results/, and only from there."""

import copy
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clipnb import CaptionDataset, create_model, evaluate, load_or_train, records, report
from clipnb.recipes import Recipe
from clipnb.runtime import ROOT


def test_readme_tables_are_what_results_say():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- results: ") == 2 and text.count("<!-- bench -->") == 1
    assert report.rendered(text) == text, "run `python -m clipnb report`"


def test_records_hold_what_the_design_asks_for():
    assert records.load_records()
    for record in records.load_records():
        assert {
            "dataset",
            "recipe",
            "seed",
            "metrics",
            "train_seconds",
            "images_seen",
            "machine",
            "versions",
            "date",
        } <= set(record)
        for split in "dev", "test":
            metrics = record["metrics"][split]
            six = [metrics[f"{d}_R@{k}"] for d in report.DIRECTIONS for k in (1, 5, 10)]
            assert metrics["mean_recall"] == pytest.approx(sum(six) / 6, abs=1e-3)
            low, high = record["intervals"][split]["mean_recall"]
            assert low <= metrics["mean_recall"] <= high


def test_records_are_of_the_models_in_the_code():
    for recipe, parameters in {
        json.dumps(r["recipe"]): r["parameters"] for r in records.load_records()
    }.items():
        model = create_model(Recipe(**json.loads(recipe)))
        assert sum(p.numel() for p in model.parameters()) == parameters, (
            f"an encoder has changed: train and record again ({recipe})"
        )


def test_a_changed_record_changes_the_table(tmp_path, monkeypatch):
    record = records.load_records()[0]
    (tmp_path / "runs").mkdir()
    (tmp_path / "published.json").write_text((ROOT / "results" / "published.json").read_text())
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    for seed, value in (0, 10.0), (1, 12.0):
        other = copy.deepcopy(record) | {"seed": seed}
        other["metrics"]["test"]["mean_recall"] = value
        (tmp_path / "runs" / f"{seed}.json").write_text(json.dumps(other))
    assert "**11.0** ± 1.4 | 2 |" in report.results_table(record["dataset"])


def test_one_run_is_recorded_with_intervals(small, recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    run = load_or_train(dataclasses.replace(recipe, epochs=1), seed=2)
    records.record_run(run)
    record = json.loads((tmp_path / "runs" / "small-tiny-2.json").read_text())
    for split in "dev", "test":
        assert record["metrics"][split] == pytest.approx(
            evaluate(run.model, run.tokenizer, small(split)), rel=1e-4
        )
    assert (
        record["recipe"]["name"] == "tiny"
        and record["n_images"] == 20
        and record["parameters"] > 1000
    )


def test_an_empty_place_for_a_table_takes_nothing_else_with_it():
    place = "<!-- results: scenes -->\n<!-- end -->"
    text = report.rendered(f"{place}\nbetween\n{place}\nafter")
    assert (
        text.count("| chance |") == 2
        and "\nbetween\n" in text
        and text.endswith("<!-- end -->\nafter")
    )


def test_errors_are_counted_by_noun_and_by_image(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    captions = [["A dog runs.", "Two dogs and a man"], ["a man", "a dog, a man"]]
    ranks = torch.tensor([1, 3, 20, 11])
    monkeypatch.setattr(
        records,
        "load_dataset",
        lambda *arguments: CaptionDataset(
            "photos", "dev", np.zeros((2, 3, 8, 8), np.uint8), captions, ["0", "1"], None
        ),
    )
    monkeypatch.setattr(records, "encode_dataset", lambda *arguments: (None, None))
    monkeypatch.setattr(records, "retrieval_ranks", lambda *features: (None, ranks))
    run = SimpleNamespace(
        recipe=SimpleNamespace(dataset="photos", name="tiny", image_size=8),
        seed=4,
        model=None,
        tokenizer=None,
    )
    records.record_errors(run)
    record = json.loads((tmp_path / "errors" / "photos-tiny.json").read_text())
    assert record["nouns"] == {
        "dog": {"captions": 2, "R@10": 50.0, "median_rank": 6.0},
        "dogs": {"captions": 1, "R@10": 100.0, "median_rank": 3.0},
        "man": {"captions": 3, "R@10": pytest.approx(100 / 3, abs=1e-3), "median_rank": 11.0},
    }
    assert (
        record["median_ranks_by_image"] == [2.0, 15.5]
        and record["seed"] == 4
        and record["split"] == "dev"
    )
