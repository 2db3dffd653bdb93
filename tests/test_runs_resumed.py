"""An interrupted run that is resumed equals a run that was never interrupted."""

import dataclasses

import pytest
import torch
from run_parts import flatten_weights, interrupt_at_step, list_losses

import clipnb.epochs
from clipnb import load_run, seed_everything
from clipnb.features import digest_weights

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "muon", "ema": 0.5, "text_loss": 1.0, "captions_per_image": 2}],
    ids=["plain", "muon and an average"],
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    train_small, recipe, tmp_path, changes
):
    recipe = dataclasses.replace(recipe, **changes)
    whole = train_small(recipe, tmp_path / "whole", seed=3)
    with interrupt_at_step(5):  # in the second epoch
        train_small(recipe, tmp_path / "broken", seed=3)
    with pytest.raises(FileNotFoundError, match=r"unfinished.*resume=True"):
        load_run(tmp_path / "broken")
    seed_everything(99)  # whatever happened in between must not matter
    resumed = train_small(recipe, tmp_path / "broken", seed=3, resume=True)
    assert torch.equal(flatten_weights(whole), flatten_weights(resumed))
    assert list_losses(whole) == list_losses(resumed)


def test_a_run_that_is_begun_anew_forgets_the_old_one(train_small, small, recipe, tmp_path):
    """A run is finished, begun anew with other captions, and stopped at once.

    Then `load_run` still finds the finished run, and resuming must not find its state.
    """
    recipe = dataclasses.replace(recipe, epochs=1)
    before = train_small(recipe, tmp_path / "run")
    other_captions = [[f"number {i}"] * 5 for i in range(48)]
    other = dataclasses.replace(small("train", 40), captions=other_captions)
    with interrupt_at_step(1):
        train_small(recipe, tmp_path / "run", train_set=other)
    kept = load_run(tmp_path / "run")
    assert torch.equal(flatten_weights(kept), flatten_weights(before))
    assert kept.metrics == before.metrics
    resumed = train_small(recipe, tmp_path / "run", train_set=other, resume=True)
    assert not (tmp_path / "run" / "next").exists(), "the successor is finished and in its place"
    fresh = train_small(recipe, tmp_path / "fresh", train_set=other)
    assert torch.equal(flatten_weights(resumed), flatten_weights(fresh))
    assert resumed.tokenizer.encode("number") == fresh.tokenizer.encode("number")


def test_a_resumed_run_that_started_from_another_is_the_same_bit_for_bit(
    train_small, recipe, short_run, tmp_path
):
    recipe = dataclasses.replace(recipe, ema=0.5)
    options = {"seed": 3, "init": short_run.folder}
    whole = train_small(recipe, tmp_path / "whole", **options)
    fresh = train_small(recipe, tmp_path / "fresh", seed=3)
    with interrupt_at_step(5):
        train_small(recipe, tmp_path / "broken", **options)
    seed_everything(99)
    resumed = train_small(recipe, tmp_path / "broken", resume=True, **options)
    assert torch.equal(flatten_weights(whole), flatten_weights(resumed))
    assert list_losses(whole) == list_losses(resumed) != list_losses(fresh)


@pytest.mark.parametrize(
    "changes",
    [
        {"freeze": "image", "init_towers": "image"},
        {"freeze": "both", "token_dropout": 0.0},
        {"lora_rank": 2, "ema": 0.5, "flip": True},
        {"lora_rank": 2, "optimizer": "muon", "freeze": "text"},
    ],
    ids=["locked image", "adapter", "lora and an average", "lora beside a frozen encoder"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tuned, tmp_path, monkeypatch, changes):
    whole = tuned(tmp_path / "whole", **changes)
    end_epoch = clipnb.epochs.end_epoch

    def stop_after_the_first(run, *rest):
        if run.history:
            raise KeyboardInterrupt
        end_epoch(run, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(clipnb.epochs, "end_epoch", stop_after_the_first)
        with pytest.raises(KeyboardInterrupt):
            tuned(tmp_path / "broken", **changes)
    seed_everything(99)
    resumed = tuned(tmp_path / "broken", resume=True, **changes)
    assert len(whole.history) == len(resumed.history) == 2
    assert digest_weights(whole.model) == digest_weights(resumed.model)
    assert [row["loss"] for row in whole.history] == [row["loss"] for row in resumed.history]
    assert whole.metrics["learned_parameters"] == resumed.metrics["learned_parameters"]
