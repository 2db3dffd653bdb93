"""The benchmark: every part runs, small, and compares what it says it compares. No time is asserted, only what cannot be otherwise."""

import contextlib
import dataclasses
import json
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from clipnb import RECIPES, bench, create_model, datasets, normalize_images, report
from clipnb.bench import baselines, comparisons, costs, races
from clipnb.tokenizer import clip_tokenizer
from clipnb.training import train_step

TINY = {"seconds": 0, "rounds": 2}


@pytest.fixture
def baseline():
    """The baseline on images of 32 pixels."""
    return dataclasses.replace(
        RECIPES["baseline"],
        dataset="small",
        image_size=32,
        stored_size=32,
        batch_size=8,
        dropout=0.0,
    )


def is_comparison(result, rounds=2):
    return (
        result["rounds"] == rounds
        and 0 < result["lowest"] <= result["ratio"] <= result["highest"]
        and result["ours"] > 0 < result["theirs"]
    )


def test_the_usual_images_and_tokens_are_ours(small, baseline):
    dataset, usual = small("train"), baselines.naive_dataset("small", 32)
    assert len(usual) == 5 * len(dataset)
    images, tokens = usual[5 * 7 + 2]
    ours = normalize_images(dataset.images[7:8])[0]
    assert images.shape == ours.shape == (3, 32, 32)
    assert (
        (images - ours).abs().mean()
        < 0.06
        < (normalize_images(dataset.images[8:9])[0] - ours).abs().mean()
    ), "the same but for resampling"
    expected = clip_tokenizer()([dataset.captions[7][2]])[0]
    assert (
        len(tokens) == 77
        and tokens[: len(expected)].equal(expected)
        and not tokens[len(expected) :].any()
    )


def test_both_ways_take_the_same_step(small, baseline):
    """Same weights, same batch: same loss, before a step and after it, padded to 77 or not."""
    torch.manual_seed(0)
    ours, usual = create_model(baseline), create_model(baseline)
    usual.load_state_dict(ours.state_dict())
    tokens = clip_tokenizer()([c[0] for c in small("train").captions[:8]])
    images, padded = normalize_images(small("train").images[:8]), baselines.pad(tokens, 77)
    optimizers = [torch.optim.SGD(model.parameters(), lr=1e-3) for model in (ours, usual)]
    for _ in range(2):
        loss = train_step(ours, optimizers[0], images, tokens[None], baseline).item()
        assert loss == pytest.approx(
            baselines.naive_step(usual, optimizers[1], images, padded).item(), rel=1e-4
        )
    assert loss == pytest.approx(math.log(8), abs=0.3)


def test_open_clips_model_is_as_large_as_ours_and_learns():
    ours, theirs = create_model(comparisons.VIT), baselines.open_clip_model()
    count = lambda model: sum(p.numel() for p in model.parameters())
    assert count(theirs) == pytest.approx(count(ours), rel=0.001)
    assert (
        theirs.visual.transformer.resblocks[0].attn.num_heads
        == theirs.transformer.resblocks[0].attn.num_heads
        == ours.image_encoder.blocks[0].attention.heads
    )
    from open_clip.loss import ClipLoss

    images, tokens = torch.randn(4, 3, 64, 64), torch.randint(1, 49408, (4, 77))
    optimizer = baselines.open_clip_optimizer(
        theirs, dataclasses.replace(comparisons.VIT, learning_rate=1e-3)
    )
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == count(
        theirs
    )
    losses = [
        baselines.open_clip_step(theirs, optimizer, ClipLoss(), images, tokens).item()
        for _ in range(3)
    ]
    assert losses[0] == pytest.approx(math.log(4), abs=0.5) and losses[-1] < losses[0]


def test_rows_and_batches_are_counted_exactly(small):
    rows = baselines.open_clip_dataset("small", 32)
    batches = list(baselines.row_loader(rows, 6, 3))
    assert [(images.shape, tokens.shape) for images, tokens in batches] == [
        ((6, 3, 32, 32), (6, 77))
    ] * 3


def test_race_interleaves_and_compared_divides_round_by_round(monkeypatch):
    calls, clock = [], [0.0]
    monkeypatch.setattr(races.time, "perf_counter", lambda: clock[0])

    def contestant(name, seconds):
        def run(steps):
            calls.append((name, steps))
            clock[0] += seconds * steps

        return run

    rates = races.race(
        [contestant("a", 1), contestant("b", 2)], batch_size=10, seconds=6, rounds=2, title=""
    )
    a_round = [
        ("a", 1),
        ("a", 3),
        ("b", 1),
        ("b", 3),
    ]  # one step that does not count, then those that do
    assert calls == [("a", 1), ("a", 1), ("b", 1), ("b", 1)] + a_round * 2 and rates == [
        [10, 10],
        [5, 5],
    ]
    result = races.compared([10, 30, 20], [5, 5, 20])
    assert (
        result["ratio"],
        result["lowest"],
        result["highest"],
        result["ours"],
        result["theirs"],
    ) == (2, 1, 6, 20, 5)


@pytest.fixture
def photos():
    """Six photographs, two of them different."""
    with races.photos(6, 2) as folder:
        yield folder


def test_photos_are_of_flickr8ks_size_and_gone_afterwards(photos):
    sizes = [path.stat().st_size for path in (photos / "Images").iterdir()]
    assert len(sizes) == 6 and len(set(sizes)) == 2 and 120e3 < min(sizes) and max(sizes) < 150e3
    with Image.open(photos / "Images" / "00000.jpg") as image:
        assert image.size == (500, 375)
    with races.photos(2, 1) as other:
        pass
    assert not other.exists()


def test_speed_against_the_usual_way_the_limit_and_open_clip(photos, baseline, recipe):
    result = comparisons.against_the_usual_way(baseline, batch_sizes=(4,), **TINY)
    assert list(result) == ["batch 4"] and is_comparison(result["batch 4"])
    result = comparisons.against_the_limit(
        [dataclasses.replace(r, batch_size=3) for r in (recipe, baseline)], **TINY
    )
    assert list(result) == ["tiny", "baseline"] and all(map(is_comparison, result.values()))
    result = comparisons.against_open_clip(
        dataclasses.replace(comparisons.VIT, batch_size=4), workers=(0,), **TINY
    )
    assert len(result) == 2 and all(map(is_comparison, result.values()))


def test_a_typical_batch_is_of_middling_length():
    stream = ((None, torch.zeros(1, 2, length)) for length in (9, 3, 5, 50, 4))
    assert races.typical_batch(stream)[1].shape[-1] == 5


def test_a_child_is_an_interpreter_of_its_own():
    assert (
        costs.child("import sys; print('noise'); print(len(sys.argv) + ('torch' in sys.modules))")
        == 1
    )
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        costs.child("1 / 0")


@pytest.mark.skipif(sys.platform == "win32", reason="not measured on Windows")
def test_peak_memory(photos, recipe, monkeypatch):
    def here_instead(code):  # a child takes seconds to import torch
        printed = []
        exec(code, {"print": printed.append})
        return float(printed[-1])

    monkeypatch.setattr(costs, "child", here_instead)
    result = costs.peak_memory([dataclasses.replace(recipe, batch_size=4)], steps=1)["tiny"]
    assert (
        result["array"] == 6 * 3 * 40 * 40
        and result["bare"] > 50e6
        and result["ratio"] == result["loop"] / (result["array"] + 1.5 * result["bare"])
    )


def test_first_use_decodes_anew_and_second_use_does_not(photos, monkeypatch):
    decoded, decode = [], datasets.decode_into
    monkeypatch.setattr(
        datasets, "decode_into", lambda *arguments: decoded.append(1) or decode(*arguments)
    )
    datasets.load_dataset("photos", "train", 32)  # what lies in the cache must not count
    result = costs.first_use(image_sizes=(32,))
    assert len(decoded) == 2 and all(
        result[f"{use} use at 32 px, seconds for 8,000"] > 0 for use in ("first", "second")
    )


def test_scaling(photos, recipe):
    result = costs.scaling(
        dataclasses.replace(recipe, batch_size=4),
        n_images=(8, 16, 24),
        batch_sizes=(2, 12),
        steps=1,
    )
    assert list(result["seconds per epoch"]) == [8, 16, 24] and result["line"]["R2"] <= 1
    assert list(result["pairs per second by batch size"]) == [2, 12]


def test_repeated_images_come_round_again():
    repeated = costs.Repeated(np.arange(5))
    assert repeated[np.array([0, 4, 5, 13])].tolist() == [0, 4, 0, 3]


def test_compiling_measures_or_says_why_not(photos, recipe):
    recipe = dataclasses.replace(recipe, batch_size=4)
    result = costs.compiling(recipe, steps=4, backend="eager")
    assert result["first step, compiled"] > 0 < result["later step, eager"]
    assert (
        result["pays after steps"] is None
        or result["later step, compiled"] < result["later step, eager"]
    )
    assert "nonsense" in costs.compiling(recipe, steps=1, backend="nonsense")["not possible here"]


def test_importing_takes_turns(monkeypatch):
    codes = []
    monkeypatch.setattr(
        costs, "child", lambda code: codes.append(code) or (2.0 if "clipnb" in code else 1.0)
    )
    result = costs.importing(rounds=2)
    assert is_comparison(result) and result["ratio"] == 2 and codes[:2] == codes[2:]
    exec(codes[1])  # that it is Python, and that `clipnb.train` is there


def test_the_record_and_what_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    monkeypatch.setattr(bench, "cpu_name", lambda: "Some CPU (TM) @ 3 GHz")
    monkeypatch.setattr(bench, "photos", contextlib.nullcontext)
    monkeypatch.setattr(
        bench,
        "PARTS",
        {
            "first use": lambda: {"seconds": 1.5},
            "import": lambda: {"clipnb": races.compared([1.0], [2.0], "seconds")},
        },
    )
    path = bench.run_benchmark()
    record = json.loads((tmp_path / "bench" / "some-cpu-tm-3-ghz.json").read_text())
    assert path.endswith("some-cpu-tm-3-ghz.json") and {
        "machine",
        "versions",
        "date",
        "threads",
        "first use",
        "import",
    } == set(record)
    printed = capsys.readouterr().out.splitlines()
    assert (
        printed[0].split()[0] == "0.500"
        and "import: clipnb" in printed[0]
        and printed[1].strip() == "first use: seconds: 1.5"
    )
