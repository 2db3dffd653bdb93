"""The benchmark: every part runs, small, and compares what it says it compares.

No test asserts a time, only what cannot be otherwise.
"""

import contextlib
import dataclasses
import json
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from clipnb import (
    RECIPES,
    bench,
    bench_report,
    create_model,
    datasets,
    normalize_images,
    records,
)
from clipnb.bench import baselines, card, comparisons, costs, jpegs, loops, processes, timing
from clipnb.datasets import decoded
from clipnb.records import count_parameters
from clipnb.steps import train_step
from clipnb.tokenizer import clip_tokenizer

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


@pytest.fixture
def photos():
    """Six photos, two of them different."""
    with jpegs.temporary_photos(6, 2) as folder:
        yield folder


def check_comparison(result, rounds=2):
    assert result["rounds"] == rounds
    assert 0 < result["lowest"] <= result["ratio"] <= result["highest"]
    assert result["ours"] > 0
    assert result["theirs"] > 0


# ---- baselines -------------------------------------------------------------------------------


def test_naive_images_and_tokens_are_ours(small):
    dataset = small("train")
    naive = baselines.make_naive_dataset("small", 32)
    assert len(naive) == 5 * len(dataset)
    image, tokens = naive[5 * 7 + 2]

    ours, another = normalize_images(dataset.images[7:9])
    assert image.shape == ours.shape == (3, 32, 32)
    assert (image - ours).abs().mean() < 0.06, "the same but for resampling"
    assert (image - another).abs().mean() > 0.06

    expected = clip_tokenizer()([dataset.captions[7][2]])[0]
    assert len(tokens) == 77
    assert tokens[: len(expected)].equal(expected)
    assert not tokens[len(expected) :].any()


def test_naive_steps_are_our_steps(small, baseline):
    """Same weights and batch, so same loss, before a step and after it, padded to 77 or not."""
    torch.manual_seed(0)
    ours = create_model(baseline)
    naive = create_model(baseline)
    naive.load_state_dict(ours.state_dict())
    our_optimizer = torch.optim.SGD(ours.parameters(), lr=1e-3)
    naive_optimizer = torch.optim.SGD(naive.parameters(), lr=1e-3)

    images = normalize_images(small("train").images[:8])
    tokens = clip_tokenizer()([captions[0] for captions in small("train").captions[:8]])
    padded = baselines.pad_tokens(tokens, 77)
    for _ in range(2):
        our_loss = train_step(ours, our_optimizer, images, tokens[None], baseline).item()
        naive_loss = baselines.take_naive_step(naive, naive_optimizer, images, padded).item()
        assert our_loss == pytest.approx(naive_loss, rel=1e-4)
        assert our_loss == pytest.approx(math.log(8), abs=0.3)


def test_open_clips_model_is_as_large_as_ours():
    ours = create_model(comparisons.VIT)
    theirs = baselines.make_open_clip_model()
    assert count_parameters(theirs) == pytest.approx(count_parameters(ours), rel=0.001)
    heads = ours.image_encoder.blocks[0].attention.heads
    assert theirs.visual.transformer.resblocks[0].attn.num_heads == heads
    assert theirs.transformer.resblocks[0].attn.num_heads == heads


def test_open_clips_model_learns():
    from open_clip.loss import ClipLoss

    recipe = dataclasses.replace(comparisons.VIT, learning_rate=1e-3)
    model = baselines.make_open_clip_model()
    optimizer = baselines.make_open_clip_optimizer(model, recipe)
    images = torch.randn(4, 3, 64, 64)
    tokens = torch.randint(1, 49408, (4, 77))
    losses = [
        baselines.take_open_clip_step(model, optimizer, ClipLoss(), images, tokens).item()
        for _ in range(3)
    ]
    assert losses[0] == pytest.approx(math.log(4), abs=0.5)
    assert losses[-1] < losses[0]


def test_open_clips_optimizer_decays_matrices_alone():
    model = baselines.make_open_clip_model()
    optimizer = baselines.make_open_clip_optimizer(model, comparisons.VIT)
    decaying, others = optimizer.param_groups
    assert decaying["weight_decay"] == comparisons.VIT.weight_decay
    assert others["weight_decay"] == 0
    assert min(p.ndim for p in decaying["params"]) == 2
    assert max(p.ndim for p in others["params"]) == 1
    n_parameters = sum(p.numel() for p in decaying["params"] + others["params"])
    assert n_parameters == count_parameters(model)


def test_a_row_loader_gives_as_many_batches_as_asked_for(small):
    rows = baselines.make_open_clip_dataset("small", 32)
    batches = list(baselines.make_row_loader(rows, 6, 3))
    assert len(batches) == 3
    for images, tokens in batches:
        assert images.shape == (6, 3, 32, 32)
        assert tokens.shape == (6, 77)


# ---- timing ----------------------------------------------------------------------------------


def test_loops_take_turns(monkeypatch):
    calls = []
    now = 0.0
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)

    def make_fake_loop(name, seconds_per_step):
        def run(steps):
            nonlocal now
            calls.append((name, steps))
            now += seconds_per_step * steps

        return run

    fake_loops = [make_fake_loop("a", 1), make_fake_loop("b", 2)]
    rates = timing.measure_rates(fake_loops, batch_size=10, seconds=6, rounds=2, title="")
    warm_up = [("a", 1), ("a", 1), ("b", 1), ("b", 1)]
    one_round = [("a", 1), ("a", 3), ("b", 1), ("b", 3)]  # a step that does not count, then three
    assert calls == warm_up + 2 * one_round
    assert rates == [[10, 10], [5, 5]]


def test_ratios_are_taken_round_by_round():
    result = timing.summarize_ratios([10, 30, 20], [5, 5, 20])
    assert (result["ratio"], result["lowest"], result["highest"]) == (2, 1, 6)
    assert (result["ours"], result["theirs"]) == (20, 5)


def test_a_typical_batch_has_median_length():
    batches = ((None, torch.zeros(1, 2, length)) for length in (9, 3, 5, 50, 4))
    typical = loops.repeat_typical_batch(batches)
    assert [next(typical)[1].shape[-1] for _ in range(3)] == [5, 5, 5]


# ---- photos and comparisons ------------------------------------------------------------------


def test_photos_are_as_large_as_flickr8ks(photos):
    sizes = [path.stat().st_size for path in (photos / "Images").iterdir()]
    assert len(sizes) == 6
    assert len(set(sizes)) == 2
    assert min(sizes) > 120_000
    assert max(sizes) < 150_000
    with Image.open(photos / "Images" / "00000.jpg") as image:
        assert image.size == (500, 375)


def test_photos_are_gone_after_the_block():
    with jpegs.temporary_photos(2, 1) as folder:
        assert folder.exists()
    assert not folder.exists()


def test_our_speed_is_compared_with_the_naive_pipeline(photos, baseline):
    result = comparisons.compare_with_naive(baseline, batch_sizes=(4,), **TINY)
    assert list(result) == ["batch 4"]
    check_comparison(result["batch 4"])


def test_our_speed_is_compared_with_the_bare_step(photos, baseline, recipe):
    recipes = [dataclasses.replace(each, batch_size=3) for each in (recipe, baseline)]
    result = comparisons.compare_with_bare_step(recipes, **TINY)
    assert list(result) == ["tiny", "baseline"]
    check_comparison(result["tiny"])
    check_comparison(result["baseline"])


def test_our_speed_is_compared_with_open_clip(photos):
    recipe = dataclasses.replace(comparisons.VIT, batch_size=4)
    result = comparisons.compare_with_open_clip(recipe, worker_counts=(0,), **TINY)
    assert list(result) == ["same tensors", "own data pipelines, 0 workers"]
    check_comparison(result["same tensors"])
    check_comparison(result["own data pipelines, 0 workers"])


# ---- costs -----------------------------------------------------------------------------------


def test_a_program_runs_in_an_interpreter_of_its_own():
    program = "import sys; print('noise'); print(float(sys.argv[1]) + ('torch' in sys.modules))"
    assert processes.run_python(program, "2") == 2
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        processes.run_python("1 / 0", "")


@pytest.mark.skipif(sys.platform == "win32", reason="not measured on Windows")
def test_peak_memory_is_that_of_the_loop_over_array_and_step(photos, recipe):
    recipe = dataclasses.replace(recipe, batch_size=4)
    result = processes.measure_peak_memory([recipe], steps=1)["tiny"]
    assert result["array"] == 6 * 3 * 40 * 40
    assert result["loop"] > 50e6
    assert result["bare"] > 50e6
    assert result["ratio"] == result["loop"] / (result["array"] + 1.5 * result["bare"])


def test_imports_take_turns(monkeypatch):
    imported = []

    def run_instead(program, name):
        assert program == processes.TIME_IMPORT
        imported.append(name)
        return 2.0 if name == "clipnb.training" else 1.0

    monkeypatch.setattr(processes, "run_python", run_instead)
    result = processes.measure_import(rounds=2)
    check_comparison(result)
    assert result["ratio"] == 2
    assert imported == ["torch", "clipnb.training"] * 2


def test_an_import_is_timed_in_a_program_that_runs():
    assert processes.run_python(processes.TIME_IMPORT, "json") >= 0


def test_first_use_decodes_and_second_use_does_not(photos, monkeypatch):
    calls = []
    decode_into = decoded.decode_into

    def decode_and_count(*arguments):
        calls.append(arguments)
        decode_into(*arguments)

    monkeypatch.setattr(decoded, "decode_into", decode_and_count)
    datasets.load_dataset("photos", "train", 32)  # what is in the cache already must not count
    result = costs.measure_decoding(image_sizes=(32,))
    assert len(calls) == 2
    assert list(result) == [
        "first use at 32 px, seconds for 8,000",
        "second use at 32 px, seconds for 8,000",
    ]


def test_growth_is_measured_in_images_and_in_batch_size(photos, recipe):
    recipe = dataclasses.replace(recipe, batch_size=4)
    result = costs.measure_growth(recipe, n_images=(8, 16, 24), batch_sizes=(2, 12), steps=1)
    assert list(result) == ["seconds per epoch", "line", "pairs per second by batch size"]
    assert list(result["seconds per epoch"]) == [8, 16, 24]
    assert list(result["pairs per second by batch size"]) == [2, 12]


def test_a_line_is_fitted_to_seconds_per_epoch():
    line = costs.fit_line({1000: 3.0, 2000: 5.0, 4000: 9.0})
    assert line == pytest.approx({"seconds per 1,000 images": 2, "seconds at 0": 1, "R2": 1})


def test_repeated_images_start_again_at_the_end():
    repeated = costs.RepeatedImages(np.arange(5))
    assert repeated[np.array([0, 4, 5, 13])].tolist() == [0, 4, 0, 3]


def test_compiling_is_measured(photos, recipe):
    recipe = dataclasses.replace(recipe, batch_size=4)
    result = costs.measure_compiling(recipe, steps=4, backend="eager")
    saved = result["later step, eager"] - result["later step, compiled"]
    if saved > 0:
        assert result["pays after steps"] == result["seconds spent compiling"] / saved
    else:
        assert result["pays after steps"] is None


def test_compiling_says_why_it_is_not_possible(photos, recipe):
    recipe = dataclasses.replace(recipe, batch_size=4)
    result = costs.measure_compiling(recipe, steps=1, backend="nonsense")
    assert "nonsense" in result["not possible here"]


# ---- the whole -------------------------------------------------------------------------------


def test_the_keys_of_a_record_stay():
    assert list(bench.PARTS) == [
        "the usual way",
        "the limit",
        "open_clip",
        "peak memory",
        "import",
        "first use",
        "scaling",
        "torch.compile",
    ]


def test_a_benchmark_is_recorded_and_printed_with_ratios_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    monkeypatch.setattr(records, "cpu_name", lambda: "Some CPU (TM) @ 3 GHz")
    monkeypatch.setattr(bench, "temporary_photos", contextlib.nullcontext)
    parts = {
        "first use": lambda: {"seconds": 1.5},
        "import": lambda: {"clipnb": timing.summarize_ratios([1.0], [2.0], "seconds")},
    }
    monkeypatch.setattr(bench, "PARTS", parts)
    path = bench.run_benchmark()
    assert path.endswith("some-cpu-tm-3-ghz.json")
    record = json.loads((tmp_path / "bench" / "some-cpu-tm-3-ghz.json").read_text())
    about = ["machine", "threads", "versions", "date"]
    assert list(record) == [*about, "first use", "import"]
    assert capsys.readouterr().out.splitlines() == [
        "   0.500  import: clipnb",
        "          first use: seconds: 1.5",
    ]


# ---- a graphics card -------------------------------------------------------------------------


def test_every_part_of_the_cards_benchmark_runs(photos, baseline, recipe, monkeypatch):
    """On the processor, at sizes of a toy: what needs a card is its speed alone."""
    monkeypatch.setattr(card, "MEASURED", [dataclasses.replace(baseline, batch_size=3)])
    monkeypatch.setattr(card, "BESIDE_OPEN_CLIP", [dataclasses.replace(card.VIT, batch_size=3)])
    monkeypatch.setattr(card, "WORKER_COUNTS", (0,))
    monkeypatch.setattr(card, "COMPILED", [dataclasses.replace(recipe, batch_size=4)])
    result = card.measure_card(**TINY, compiled_steps=2, backend="eager")
    check_comparison(result["the limit"]["baseline"])
    beside = result["open_clip"]["batch 3"]
    assert list(beside) == ["same tensors", "own data pipelines, 0 workers"]
    for comparison in beside.values():
        check_comparison(comparison)
    assert result["torch.compile"]["tiny"]["later step, compiled"] > 0


def test_the_cards_recipes_take_the_photos_that_are_drawn_for_it():
    largest = max(recipe.batch_size for recipe in card.MEASURED)
    assert card.N_PHOTOS >= largest == 1024
    assert card.IMPROVED_128.crop_size == 128


def test_the_cards_record_is_named_after_the_card(tmp_path, monkeypatch):
    machine = {"gpu": "Some Card 80GB", "cpu": "some cpu", "cores": 2, "bf16": True}
    finding = {"ratio": 0.5, "lowest": 0.4, "highest": 0.6}
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    monkeypatch.setattr(card, "describe_machine", lambda: machine)
    monkeypatch.setattr(records, "describe_machine", lambda: machine)
    monkeypatch.setattr(card, "temporary_photos", lambda n: contextlib.nullcontext())
    monkeypatch.setattr(card, "measure_card", lambda: {"the limit": {"baseline": finding}})
    assert card.run_card_benchmark().endswith("card-some-card-80gb.json")
    table = bench_report.bench_table()
    assert "Some Card 80GB, 2 cores, with bf16" in table
    assert "| the limit: baseline | 0.50 | 0.40 to 0.60 |" in table


def test_a_machine_without_a_card_is_told_what_to_do(monkeypatch):
    monkeypatch.setenv("CLIPNB_DEVICE", "cpu")
    with pytest.raises(ValueError, match="no graphics card is in use here; `clipnb bench train`"):
        card.run_card_benchmark()
