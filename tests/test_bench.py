"""The benchmark: every part runs, small, and compares what it says it compares. No time is asserted, only what cannot be otherwise."""

import dataclasses
import json
import math
import sys

import numpy as np
import pytest
import torch

from clipnb import RECIPES, bench, create_model, normalize_images, report
from clipnb import bench_reference as reference
from clipnb.tokenizer import clip_tokenizer
from clipnb.training import train_step

TINY = {"seconds": 0, "rounds": 2}


@pytest.fixture
def baseline(small):
    """The baseline on small pictures."""
    return dataclasses.replace(RECIPES["baseline"], dataset="small", image_size=32, stored_size=32, batch_size=8, dropout=0.0)


def is_comparison(result, rounds=2):
    return result["rounds"] == rounds and 0 < result["lowest"] <= result["ratio"] <= result["highest"] and result["ours"] > 0 < result["theirs"]


def test_the_usual_pictures_and_tokens_are_ours(small, baseline):
    dataset, usual = small("train"), reference.usual_dataset("small", clip_tokenizer(), 32)
    assert len(usual) == 5 * len(dataset)
    images, tokens = usual[5 * 7 + 2]
    ours = normalize_images(dataset.images[7:8])[0]
    assert images.shape == ours.shape == (3, 32, 32)
    assert (images - ours).abs().mean() < 0.06 < (normalize_images(dataset.images[8:9])[0] - ours).abs().mean(), "the same but for resampling"
    expected = clip_tokenizer()([dataset.captions[7][2]])[0]
    assert len(tokens) == 77 and tokens[: len(expected)].equal(expected) and not tokens[len(expected) :].any()


def test_both_ways_take_the_same_step(small, baseline):
    """Same weights, same batch: same loss, before a step and after it, padded to 77 or not."""
    torch.manual_seed(0)
    ours, usual = create_model(baseline), create_model(baseline)
    usual.load_state_dict(ours.state_dict())
    tokens = clip_tokenizer()([c[0] for c in small("train").captions[:8]])
    images, padded = normalize_images(small("train").images[:8]), reference.pad(tokens, 77)
    optimizers = [torch.optim.SGD(model.parameters(), lr=1e-3) for model in (ours, usual)]
    for _ in range(2):
        loss = train_step(ours, optimizers[0], images, tokens[None], baseline).item()
        assert loss == pytest.approx(reference.usual_step(usual, optimizers[1], images, padded).item(), rel=1e-4)
    assert loss == pytest.approx(math.log(8), abs=0.3)


def test_open_clips_model_is_as_large_as_ours_and_learns():
    ours, theirs = create_model(bench.VIT), reference.open_clip_model()
    count = lambda model: sum(p.numel() for p in model.parameters())
    assert count(theirs) == pytest.approx(count(ours), rel=0.001)
    assert theirs.visual.transformer.resblocks[0].attn.num_heads == theirs.transformer.resblocks[0].attn.num_heads == ours.image_encoder.blocks[0].attention.heads
    from open_clip.loss import ClipLoss

    images, tokens = torch.randn(4, 3, 64, 64), torch.randint(1, 49408, (4, 77))
    optimizer = reference.open_clip_optimizer(theirs, dataclasses.replace(bench.VIT, learning_rate=1e-3), fused=None)
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == count(theirs)
    losses = [reference.open_clip_step(theirs, ClipLoss(), optimizer, images, tokens).item() for _ in range(3)]
    assert losses[0] == pytest.approx(math.log(4), abs=0.5) and losses[-1] < losses[0]


def test_rows_and_batches_are_counted_exactly(small):
    rows = reference.open_clip_dataset("small", 32)
    batches = list(reference.row_loader(rows, 6, 3))
    assert [(images.shape, tokens.shape) for images, tokens in batches] == [((6, 3, 32, 32), (6, 77))] * 3


def test_race_interleaves_and_compared_divides_round_by_round(monkeypatch):
    calls, clock = [], [0.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: clock[0])

    def contestant(name, seconds):
        def run(steps):
            calls.append((name, steps))
            clock[0] += seconds * steps

        return run

    rates = bench.race({"a": contestant("a", 1), "b": contestant("b", 2)}, batch_size=10, seconds=6, rounds=2, title="")
    assert calls == [("a", 1), ("a", 1), ("b", 1), ("b", 1)] + [("a", 3), ("b", 3)] * 2 and rates == {"a": [10, 10], "b": [5, 5]}
    result = bench.compared([10, 30, 20], [5, 5, 20])
    assert (result["ratio"], result["lowest"], result["highest"], result["ours"], result["theirs"]) == (2, 1, 6, 20, 5)


def test_speed_against_the_usual_way_and_the_limit(small, baseline, recipe):
    result = bench.against_the_usual_way(baseline, batch_sizes=(4,), pictures=6, **TINY)
    assert list(result) == ["batch 4"] and is_comparison(result["batch 4"])
    result = bench.against_the_limit([recipe, baseline], **TINY)
    assert list(result) == ["tiny", "baseline"] and all(map(is_comparison, result.values()))


def test_speed_against_open_clip(small):
    result = bench.against_open_clip(dataclasses.replace(bench.VIT, stored_size=64, batch_size=4), workers=(0,), pictures=6, **TINY)
    assert len(result) == 3 and all(map(is_comparison, result.values()))


def test_a_typical_batch_is_of_middling_length():
    stream = ((None, torch.zeros(1, 2, length)) for length in (9, 3, 5, 50, 4))
    assert bench.typical_batch(stream)[1].shape[-1] == 5


def test_a_child_is_an_interpreter_of_its_own():
    assert bench.child("import sys; print('noise'); print(len(sys.argv) + ('torch' in sys.modules))") == 1
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        bench.child("1 / 0")


@pytest.mark.skipif(sys.platform == "win32", reason="not measured on Windows")
def test_peak_memory(small, recipe, monkeypatch):
    def here_instead(code):  # a child takes seconds to import torch
        printed = []
        exec(code, {"print": printed.append})
        return float(printed[-1])

    monkeypatch.setattr(bench, "child", here_instead)
    array = small("train", 40).images.nbytes
    result = bench.peak_memory([recipe], steps=1)["tiny"]
    assert result["array"] == array and result["bare"] > 50e6 and result["ratio"] == result["loop"] / (array + 1.5 * result["bare"])


def test_first_use_counts_and_leaves_no_cache(small, tmp_path):
    result = bench.first_use(pictures=6, distinct=2, image_sizes=(32,))
    assert 40e3 < result["bytes per file"] < 100e3
    assert all(result[f"{use} use at 32 px, seconds for 8,000"] > 0 for use in ("first", "second"))
    assert not list((tmp_path / "cache").glob("decoded/photos*"))


def test_scaling(small, recipe):
    result = bench.scaling(recipe, pictures=(16, 32, 48), batch_sizes=(4, 64), seconds=0)
    assert list(result["seconds per epoch"]) == [16, 32, 48] and result["line"]["R2"] <= 1
    assert list(result["pairs per second by batch size"]) == [4, 64]


def test_repeated_pictures_come_round_again():
    repeated = bench.Repeated(np.arange(5))
    assert repeated[np.array([0, 4, 5, 13])].tolist() == [0, 4, 0, 3]


def test_compiling_measures_or_says_why_not(small, recipe):
    result = bench.compiling(recipe, steps=4, backend="eager")
    assert result["first step, compiled"] > 0 < result["later step, eager"]
    assert result["pays after steps"] is None or result["later step, compiled"] < result["later step, eager"]
    assert "nonsense" in bench.compiling(recipe, steps=1, backend="nonsense")["not possible here"]


def test_importing_takes_turns(monkeypatch):
    codes = []
    monkeypatch.setattr(bench, "child", lambda code: codes.append(code) or (2.0 if "clipnb" in code else 1.0))
    result = bench.importing(rounds=2)
    assert all(is_comparison(value) and value["ratio"] == 2 for value in result.values()) and codes[:3] == codes[3:]
    exec(codes[2])  # that it is Python, and that `clipnb.train` is there


def test_a_recipe_whose_dataset_is_missing_runs_on_the_scenes(small, recipe):
    assert bench.here(recipe).dataset == "small" and bench.here(RECIPES["baseline"]).dataset == "scenes"


def test_the_record_and_what_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "cpu_name", lambda: "Some CPU (TM) @ 3 GHz")
    monkeypatch.setattr(bench, "PARTS", {"first use": lambda: {"seconds": 1.5}, "import": lambda: {"clipnb": bench.compared([1.0], [2.0], "seconds")}})
    path = bench.bench_train()
    record = json.loads((tmp_path / "bench" / "some-cpu-tm-3-ghz.json").read_text())
    assert path.endswith("some-cpu-tm-3-ghz.json") and {"machine", "versions", "date", "threads", "first use", "import"} == set(record)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[0] == "0.500" and "import: clipnb" in printed[0] and printed[1].startswith("first use: seconds: 1.5")
