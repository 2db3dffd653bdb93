"""Numbers that people read come from results/, and only from there."""

import copy
import dataclasses
import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from claim_parts import make_record

from clipnb import (
    CaptionDataset,
    bench_report,
    claims,
    create_model,
    evaluate,
    load_or_train,
    records,
    report,
)
from clipnb.metrics import RECALL_AT
from clipnb.recipes import Recipe
from clipnb.runtime import ROOT

DESIGNED_FIELDS = {
    "dataset",
    "recipe",
    "seed",
    "metrics",
    "train_seconds",
    "images_seen",
    "machine",
    "versions",
    "date",
}

# ---- tables ----------------------------------------------------------------------------------


def test_ctrl_c_while_the_tables_are_written_leaves_the_readme_as_it_was(tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text("as it was", encoding="utf-8")
    monkeypatch.setattr(report, "READMES", (readme,))
    monkeypatch.setattr(report, "render_tables", lambda text: "anew")

    def write_half(path, content, **options):
        with open(path, "wb") as file:
            file.write(content[:2] if isinstance(content, bytes) else content[:2].encode())
        raise KeyboardInterrupt

    for name in ("write_text", "write_bytes"):
        monkeypatch.setattr(Path, name, write_half)
    with pytest.raises(KeyboardInterrupt):
        report.update_readmes()
    assert readme.read_text(encoding="utf-8") == "as it was"


def test_tables_say_what_results_say():
    text = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- results: ") == 2
    assert text.count("<!-- bench -->") == 1
    for name in ("verdicts", "seeds", "claims", "experiments"):
        assert text.count(f"<!-- {name} -->") == 1
    assert report.render_tables(text) == text, "run `python -m clipnb report`"


def test_the_readme_tells_todays_verdicts():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("<!-- verdicts -->") == 1
    assert report.render_tables(text) == text, "run `python -m clipnb report`"


def test_sentences_about_the_claims_tell_verdicts_and_seeds(monkeypatch):
    own = [make_record("a"), make_record("b", "C8", -3.0, (-4.0, -2.0))]
    groups = {"C2": [own[0]], "C8": [own[1]], "C15": []}
    monkeypatch.setattr(claims, "load_claims", lambda: groups)
    assert report.summarize_verdicts() == (
        "✔ supported: C2; ✘ opposite found here: C8. "
        "(In brackets: only there. \\*: its experiments differ.)"
    )
    assert report.summarize_seeds().startswith("All 2 experiments have the seeds")
    groups["C15"] = [make_record("c", "C15", verdict="not finished", effects={})]
    assert report.summarize_seeds().startswith("2 of 3 experiments have all the seeds")


def test_an_empty_place_for_a_table_takes_no_other_text_with_it():
    place = "<!-- results: scenes -->\n<!-- end -->"
    text = report.render_tables(f"{place}\nbetween\n{place}\nafter")
    assert text.count("| chance |") == 2
    assert "\nbetween\n" in text
    assert text.endswith("<!-- end -->\nafter")


def test_a_changed_record_changes_the_table(tmp_path, monkeypatch):
    record = records.load_records()[0]
    published = (ROOT / "results" / "published.json").read_text(encoding="utf-8")
    (tmp_path / "published.json").write_text(published, encoding="utf-8")
    (tmp_path / "runs").mkdir()
    for seed, mean_recall in enumerate([10.0, 12.0]):
        changed = copy.deepcopy(record) | {"seed": seed}
        changed["metrics"]["test"]["mean_recall"] = mean_recall
        (tmp_path / "runs" / f"{seed}.json").write_text(json.dumps(changed))
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    assert "**11.0** ± 1.4 | 2 |" in report.results_table(record["dataset"])


def test_without_records_the_claims_are_not_finished_and_a_table_of_runs_is_refused(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    assert "not finished: C1a, C1b, C2" in report.render_tables("<!-- verdicts -->\n<!-- end -->")
    with pytest.raises(ValueError, match="no run of scenes is on record in .*; `clipnb evaluate"):
        report.render_tables("<!-- results: scenes -->\n<!-- end -->")


def test_the_times_of_the_experiments_are_summed_up(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    (tmp_path / "bench").mkdir()
    machine = {"cpu": "Toy", "gpu": None, "cores": 2, "bf16": False}
    small = {"machine": machine, "small": {"a": 20.0, "b": 30.0}}
    full = small | {"full": {"a": 600.0, "b": 1200.0}}
    for name, record in {"begun": small, "toy": full}.items():
        (tmp_path / "bench" / f"experiments-{name}.json").write_text(json.dumps(record))
    rows = bench_report.times_table().splitlines()[2:]
    assert rows == ["| Toy, 2 cores, without bf16 | b, 30 s | 30 minutes | 2.5 hours |"]
    assert "Toy" not in bench_report.bench_table()


def test_a_single_seed_has_a_bootstrap_interval():
    record = {
        "metrics": {"test": {"mean_recall": 14.04}},
        "intervals": {"test": {"mean_recall": [12.6, 15.5]}},
    }
    assert report.format_mean_recall([record], "test") == "**14.0** (12.6 to 15.5)"


def test_findings_are_ratios_whole_and_all_else_number_by_number():
    results = {"import": {"ratio": 1.5, "rounds": 2}, "first use": {"64": {"seconds": 3.0}}}
    assert list(bench_report.iterate_findings(results)) == [
        ("import", {"ratio": 1.5, "rounds": 2}),
        ("first use: 64: seconds", 3.0),
    ]


# ---- records ---------------------------------------------------------------------------------


def test_records_hold_what_the_design_asks_for():
    assert records.load_records()
    for record in records.load_records():
        assert set(record) >= DESIGNED_FIELDS
        for split in ("dev", "test"):
            metrics = record["metrics"][split]
            recalls = [metrics[f"{d}_R@{k}"] for d in report.DIRECTIONS for k in RECALL_AT]
            assert metrics["mean_recall"] == pytest.approx(sum(recalls) / 6, abs=1e-3)
            low, high = record["intervals"][split]["mean_recall"]
            assert low <= metrics["mean_recall"] <= high


def test_records_are_of_the_models_in_the_code():
    n_parameters = {
        json.dumps(record["recipe"]): record["parameters"] for record in records.load_records()
    }
    for recipe, recorded in n_parameters.items():
        model = create_model(Recipe(**json.loads(recipe)))
        assert records.count_parameters(model) == recorded, (
            f"an encoder has changed: train and record again ({recipe})"
        )


def test_a_run_is_recorded_with_intervals(small, recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    run = load_or_train(dataclasses.replace(recipe, epochs=1), seed=2)
    records.record_run(run)
    record = json.loads((tmp_path / "runs" / "small-tiny-2.json").read_text())
    for split in ("dev", "test"):
        metrics = evaluate(run.model, run.tokenizer, small(split))
        assert record["metrics"][split] == pytest.approx(metrics, rel=1e-4)
    assert record["recipe"]["name"] == "tiny"
    assert record["n_images"] == 20
    assert record["parameters"] > 1000


def test_errors_are_counted_by_noun_and_by_image(tmp_path, monkeypatch):
    captions = [["A dog runs.", "Two dogs and a man"], ["a man", "a dog, a man"]]
    ranks = torch.tensor([1, 3, 20, 11])  # of the four captions
    images = np.zeros((2, 3, 8, 8), np.uint8)
    dataset = CaptionDataset("photos", "dev", images, captions, ["0", "1"], None)
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    monkeypatch.setattr(records, "load_run_dataset", lambda *arguments: dataset)
    monkeypatch.setattr(records, "encode_dataset", lambda *arguments: (None, None))
    monkeypatch.setattr(records, "retrieval_ranks", lambda *features: (None, ranks))
    recipe = SimpleNamespace(dataset="photos", name="tiny", image_size=8)
    records.record_errors(SimpleNamespace(recipe=recipe, seed=4, model=None, tokenizer=None))

    record = json.loads((tmp_path / "errors" / "photos-tiny.json").read_text())
    assert record["nouns"] == {
        "dog": {"captions": 2, "R@10": 50.0, "median_rank": 6.0},
        "dogs": {"captions": 1, "R@10": 100.0, "median_rank": 3.0},
        "man": {"captions": 3, "R@10": pytest.approx(100 / 3, abs=1e-3), "median_rank": 11.0},
    }
    assert record["median_ranks_by_image"] == [2.0, 15.5]
    assert record["seed"] == 4
    assert record["split"] == "dev"


def test_a_mean_does_not_depend_on_the_version_of_python():
    """`sum` adds floats in another way since Python 3.12, and 16.95 was rounded both ways."""
    recalls = [5.9, 19.2, 27.3, 5.2, 17.6, 26.5]
    records = [{"metrics": {"test": {"mean_recall": recall}}} for recall in recalls]
    mean = report.mean_metrics(records, "test")["mean_recall"]
    assert mean == math.fsum(recalls) / 6


def test_a_readme_that_cannot_be_read_leaves_the_other_one_as_it_was(tmp_path, monkeypatch):
    text = "<!-- search -->\nold\n<!-- end -->\n"
    (tmp_path / "README.md").write_text(text)
    readmes = (tmp_path / "README.md", tmp_path / "missing.md")
    monkeypatch.setattr(report, "READMES", readmes)
    with pytest.raises(FileNotFoundError):
        report.update_readmes()
    assert (tmp_path / "README.md").read_text() == text
