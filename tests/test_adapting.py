"""Adapting a trained CLIP to other images: what each way changes, and the record of the study."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from clipnb import RECIPES, Run, create_model, seed_everything
from clipnb.experiments import adapting, forgetting, record_study
from clipnb.experiments.adapting import WAYS, adapt
from clipnb.loop import make_tokenizer
from clipnb.runtime import results_dir

SMALL = dataclasses.replace(RECIPES["quick"], image_size=32, stored_size=32, image_width=32)


@pytest.fixture
def pairs(small):
    return small("train")


@pytest.fixture
def run(pairs, tmp_path, monkeypatch):
    """A run with random weights, and trainings of a few steps."""
    monkeypatch.setattr(adapting, "N_STEPS", 6)
    seed_everything(0)
    tokenizer = make_tokenizer(SMALL, pairs.captions)
    return Run(create_model(SMALL).eval(), tokenizer, SMALL, 0, tmp_path)


def find_changes(before, after):
    """Return the names of the parameters, and of the batch statistics, that differ."""
    return {name for name in before if not torch.equal(before[name], after[name])}


def copy_weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(
    ("way", "still", "moving"),
    [
        ("locked image tower", ["image_encoder.", "image_projection."], ["text_proj"]),
        ("linear adapter", ["image_encoder.", "text_encoder."], ["image_proj", "text_proj"]),
        ("fine-tuning", [], ["image_encoder.", "text_encoder.", "image_proj", "text_proj"]),
    ],
)
def test_a_way_changes_what_it_says_and_nothing_else(run, pairs, way, still, moving):
    before = copy_weights(run.model)
    model, _ = adapt(run, pairs, way)
    ours, theirs = model.state_dict(), run.model.state_dict()
    assert not find_changes(before, theirs), "the run stays as it is"
    if way == "locked image tower":  # a new text tower, perhaps with another vocabulary
        ours = {name: tensor for name, tensor in ours.items() if "text_encoder" not in name}
    names = find_changes(ours, theirs)
    assert not [name for name in names if name.startswith(tuple(still))]
    for prefix in moving:
        assert any(name.startswith(prefix) for name in names)
    assert not model.training


def test_lora_changes_each_kernel_by_a_low_rank_and_no_batch_statistics(run, pairs, monkeypatch):
    monkeypatch.setitem(WAYS, "LoRA", {"lora_rank": 2})
    model, _ = adapt(run, pairs, "LoRA")
    ours, theirs = model.state_dict(), run.model.state_dict()
    assert ours.keys() == theirs.keys(), "merged: plain weights again"
    for name in find_changes(ours, theirs) - {"logit_scale"}:
        if "projection" not in name:
            change = (ours[name] - theirs[name]).flatten(1)
            assert torch.linalg.matrix_rank(change, rtol=1e-3) <= 2
            assert "running" not in name
    kernels = [name for name, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    assert {f"{name}.weight" for name in kernels} <= find_changes(ours, theirs)


def test_from_scratch_starts_without_the_trained_weights(run, pairs):
    first, _ = adapt(run, pairs, "from scratch", seed=1)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.zero_()
    second, _ = adapt(run, pairs, "from scratch", seed=1)
    assert not find_changes(first.state_dict(), second.state_dict())


@pytest.mark.parametrize("n_pairs", [100, 500, 2000])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_takes_about_as_many_steps(way, n_pairs):
    recipe = adapting.make_recipe(RECIPES["quick"], n_pairs, way)
    steps = recipe.epochs * (n_pairs // recipe.batch_size)
    assert adapting.N_STEPS <= steps <= 1.2 * adapting.N_STEPS


def test_the_worlds_show_the_same_scenes(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    worlds = adapting.render_worlds(n_pairs=6, n_images=8)
    assert worlds.new.captions == worlds.old.captions
    assert not set(map(str, worlds.pairs.captions)) & set(map(str, worlds.new.captions))
    negatives = 255 - worlds.old.images.astype(int)
    assert abs(worlds.new.images - negatives).mean() < 2, "negatives of the same images"


# ---- the study -------------------------------------------------------------------------------


def test_seeds_become_lists():
    first, second = {"a": {"b": 1.0}, "c": [2, 3]}, {"a": {"b": 5.0}, "c": [6, 7]}
    joined = forgetting.join_numbers([first, second])
    assert joined == {"a": {"b": [1.0, 5.0]}, "c": [[2, 6], [3, 7]]}


def test_the_record_is_written_and_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))

    def run_way(seed, way, settings):
        line = [{"new kind": 10.0 * i + seed} for i in range(2)] if way == "fine-tuning" else []
        return {"by_size": {"100": {"new kind": float(seed)}}, "line": line}

    monkeypatch.setattr(forgetting, "run_way", run_way)
    assert forgetting.load_adapting() is None
    assert "clipnb experiment adapting" in capsys.readouterr().out
    assert record_study("adapting", 2).endswith("scenes.json")
    record = forgetting.load_adapting()
    assert record["seeds"] == [0, 1]
    assert record["before"] == {"new kind": [0.0, 1.0]}
    assert record["ways"]["LoRA"]["100"] == {"new kind": [0.0, 1.0]}
    assert record["line"][1] == {"new kind": [10.0, 11.0]}


def test_an_unknown_study_gets_the_list_of_names():
    with pytest.raises(ValueError, match="no study 'adopting'; there are adapting, full_budget"):
        record_study("adopting", 3)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_small_study_measures_every_number(run, monkeypatch):
    monkeypatch.setattr(forgetting, "load_or_train", lambda recipe, seed: run)
    settings = forgetting.SMALL | {"n_images": 24}
    found = forgetting.measure_way(0, "fine-tuning", **settings)
    untouched = forgetting.measure_model(run.model, run.tokenizer, adapting.render_worlds(1, 24))
    assert found["line"][0] == untouched, "share 0 is the model before"
    assert found["line"][1] == found["by_size"]["100"], "share 1 is the model after"
    assert found["line"][0] != found["line"][1]
    assert set(untouched) == {"new recall", "old recall", "new kind", "old kind"}


def test_a_way_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    calls = []

    def measure_way(seed, way, **settings):
        calls.append((seed, way))
        return {"by_size": {}, "line": []}

    monkeypatch.setattr(forgetting, "digest_measure", lambda measure: "code")
    monkeypatch.setattr(forgetting, "measure_way", measure_way)
    for _ in range(2):
        forgetting.run_way(0, "LoRA", forgetting.SMALL)
    forgetting.run_way(0, "fine-tuning", forgetting.SMALL)
    assert calls == [(0, "LoRA"), (0, "fine-tuning")]


def test_the_committed_record_is_whole_and_agrees_with_itself():
    record = json.loads((results_dir() / "adapting" / "scenes.json").read_text(encoding="utf-8"))
    sizes, n_seeds = record["settings"]["sizes"], len(record["seeds"])
    assert n_seeds >= 3
    assert list(record["ways"]) == list(WAYS)
    measured = [record["before"], *record["line"]]
    for by_size in record["ways"].values():
        assert list(by_size) == [str(size) for size in sizes]
        measured += by_size.values()
    for own in measured:
        for values in own.values():
            assert len(values) == n_seeds
            assert all(0 <= value <= 100 for value in values)
    assert record["settings"]["shares"][0] == 0, "the line begins at the model before"
    assert record["line"][0] == record["before"]
    assert record["line"][-1] == record["ways"]["fine-tuning"][str(max(sizes))]
