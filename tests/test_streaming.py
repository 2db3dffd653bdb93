"""Training from shards: it equals training from memory, and goes on from any step."""

import dataclasses
import warnings
from types import SimpleNamespace

import pytest
import torch
from run_parts import flatten_weights, interrupt_at_step, list_losses

import clipnb.loop
from clipnb import load_dataset, load_run, run_data, seed_everything, train
from clipnb.batches import iterate_batches
from clipnb.datasets.shard_files import write_shards
from clipnb.datasets.shards import ShardFolder
from clipnb.features import tokenize
from clipnb.loop import make_tokenizer
from clipnb.runs import load_run_dataset
from clipnb.steps import train_step
from clipnb.streaming import ShardBatches
from clipnb.tokenizer import train_tokenizer

pytest.importorskip("webdataset")
pytestmark = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


@pytest.fixture
def sharded(small, small_root, tmp_path, monkeypatch):
    """The dataset `small` as shards of 10 pairs at 40 px; its name as a dataset is their path."""
    folder = tmp_path / "small_shards"
    write_shards(small("train", 40), folder, pairs_per_shard=10)
    return folder


def test_a_batch_of_all_pairs_is_the_one_in_memory(small, recipe, tmp_path):
    """The batch in memory and the one of the shards hold the same pairs in another order."""
    plain = dataclasses.replace(
        recipe,
        batch_size=48,
        stored_size=32,
        captions_per_image=5,
        min_crop_area=1.0,
        flip=False,
        colour=0.0,
        token_dropout=0.0,
    )
    dataset, cpu = small("train"), torch.device("cpu")
    write_shards(dataset, tmp_path / "shards", pairs_per_shard=10)
    tokenizer = make_tokenizer(plain, dataset.captions)
    tokens = tokenize(tokenizer, dataset.captions)
    batches = ShardBatches(ShardFolder(tmp_path / "shards"), tokenizer, seed=0)
    ours = next(batches.open_epoch(plain, cpu))
    theirs = next(iterate_batches(dataset, tokens, plain, cpu))
    assert [part.shape for part in ours] == [part.shape for part in theirs]
    assert [part.dtype for part in ours] == [part.dtype for part in theirs]

    def list_pairs(images, texts):
        return sorted(
            (image.sum().item(), sorted(tuple(own) for own in captions.tolist()))
            for image, captions in zip(images, texts.transpose(0, 1), strict=True)
        )

    assert list_pairs(*ours) == list_pairs(*theirs)


def test_remembered_captions_have_the_tokens_of_the_tokenizer(numbered, shards, monkeypatch):
    monkeypatch.setattr("clipnb.streaming.MOST_REMEMBERED", 4)
    captions = [caption for own in numbered.captions for caption in own]
    tokenizer = train_tokenizer(captions, 300)
    batches = ShardBatches(ShardFolder(shards), tokenizer, seed=0)
    texts = ["image 3", "image 255 caption 4", "image 3", "sea"]
    for _ in range(3):
        assert torch.equal(batches.tokenize(texts), tokenizer(texts))
        assert torch.equal(batches.tokenize(captions[:9]), tokenizer(captions[:9]))
    assert len(batches.remembered) == 3 + 9  # nothing is added to four or more


@pytest.fixture(scope="module")
def whole(small_root, recipe, tmp_path_factory):
    """A run that nothing has stopped, of two epochs with six steps each."""
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPNB_DATA", str(small_root))
        patch.setenv("CLIPNB_CACHE", str(root / "cache"))
        patch.setattr("clipnb.streaming.SAVE_EVERY", 2)
        shards = root / "shards"
        write_shards(load_dataset("small", "train", 40), shards, pairs_per_shard=10)
        changes = {"dataset": str(shards), "batch_size": 8, "epochs": 2, "ema": 0.5}
        return train(dataclasses.replace(recipe, **changes), 3, root / "run")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("stop", [3, 6, 9])
def test_a_run_that_stops_in_an_epoch_goes_on_bit_for_bit(whole, tmp_path, monkeypatch, stop):
    monkeypatch.setattr("clipnb.streaming.SAVE_EVERY", 2)
    recipe = whole.recipe
    with interrupt_at_step(stop):
        train(recipe, 3, tmp_path / "broken")
    seed_everything(99)  # whatever happened in between must not matter
    taken = []

    def count_step(*arguments):
        taken.append(1)
        return train_step(*arguments)

    monkeypatch.setattr(clipnb.loop, "train_step", count_step)
    resumed = train(recipe, 3, tmp_path / "broken", resume=True)
    assert len(taken) == 12 - (stop - 1) // 2 * 2  # only what was not saved is done again
    assert torch.equal(flatten_weights(whole), flatten_weights(resumed))
    assert list_losses(whole) == list_losses(resumed)


def test_an_epoch_counts_the_seconds_before_and_after_it_was_interrupted(
    sharded, recipe, tmp_path, monkeypatch
):
    """By a clock that ticks at each step. Before, such an epoch lost the seconds until its stop."""
    recipe = dataclasses.replace(recipe, dataset=str(sharded), batch_size=8, epochs=2)
    clock = SimpleNamespace(now=0.0)

    def tick(*arguments):
        clock.now += 1
        if clock.now in (110, 1002):  # in the fourth and the fifth step of the second epoch
            raise KeyboardInterrupt
        return train_step(*arguments)

    monkeypatch.setattr("clipnb.streaming.SAVE_EVERY", 1)
    monkeypatch.setattr("clipnb.epochs.time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(clipnb.loop, "train_step", tick)
    for start in (100.0, 1000.0):
        clock.now = start
        with pytest.raises(KeyboardInterrupt):
            train(recipe, 0, tmp_path / "run", resume=start > 100)
    clock.now = 5000.0
    run = train(recipe, 0, tmp_path / "run", resume=True)
    assert [row["seconds"] for row in run.history] == [6, 6]
    assert run.metrics["train_seconds"] == 12


def test_only_the_first_process_saves(shards, monkeypatch):
    saved = []
    monkeypatch.setattr("clipnb.streaming.save_state", lambda *arguments: saved.append(arguments))
    monkeypatch.setattr("clipnb.streaming.SAVE_EVERY", 2)
    for rank in (1, 0):
        batches = ShardBatches(ShardFolder(shards, rank, 2), None, seed=0)
        for n in range(1, 6):
            batches.save_now_and_then(None, None, None, [torch.tensor(1.0)] * n, 7.0)
        assert len(saved) == (0 if rank else 2)
    assert [len(partial["losses"]) for *_, partial in saved] == [2, 4]


def save_partial(batches, monkeypatch):
    """What is saved after two steps of an epoch."""
    saved = []
    monkeypatch.setattr("clipnb.streaming.save_state", lambda *arguments: saved.append(arguments))
    monkeypatch.setattr("clipnb.streaming.SAVE_EVERY", 2)
    batches.save_now_and_then(None, None, None, [torch.tensor(1.0)] * 2, 7.0)
    return saved[0][-1]


@pytest.mark.parametrize("then", [(1, 0), (2, 0), (1, 2)])
@pytest.mark.parametrize("now", [(1, 0), (2, 0), (1, 2)])
def test_an_epoch_of_other_processes_or_workers_begins_anew(shards, monkeypatch, then, now):
    before, after = (ShardBatches(ShardFolder(shards, 0, *n), None, seed=0) for n in (then, now))
    partial = save_partial(before, monkeypatch)
    if then == now:
        assert after.resume(4, partial) == ([1.0, 1.0], 7.0)
        assert (after.epoch, after.first_step) == (4, 2)
        return
    numbers = rf"processes: {then[0]}, now {now[0]}; workers of each: {then[1]}, now {now[1]}"
    with pytest.warns(UserWarning, match=rf"\({numbers}\): epoch 5 begins anew\.$"):
        assert after.resume(4, partial) == ([], 0)
    assert (after.epoch, after.first_step) == (4, 0)


def test_other_processes_than_the_first_begin_anew_without_a_word(shards, monkeypatch):
    partial = save_partial(ShardBatches(ShardFolder(shards), None, seed=0), monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ShardBatches(ShardFolder(shards, 1, 2), None, seed=0).resume(4, partial) == ([], 0)


def test_a_state_of_before_goes_on(shards):
    batches = ShardBatches(ShardFolder(shards, 0, 2), None, seed=0)
    losses = torch.ones(3)
    random_state = {"cpu": torch.get_rng_state()}
    partial = {"losses": losses, "shards": batches.shards.digest, "random_state": random_state}
    assert batches.resume(1, partial) == ([1.0] * 3, 0)
    assert batches.first_step == 3


def test_every_step_of_every_process_draws_numbers_of_its_own(numbered, shards, recipe):
    """Augmentation, dropout of tokens and dropout draw between two batches."""
    tokenizer = train_tokenizer(["image caption"], 300)
    drawing = dataclasses.replace(recipe, batch_size=50, token_dropout=0.2)

    def draw(rank, epoch, first_step=0):
        batches = ShardBatches(ShardFolder(shards, rank, 2), tokenizer, seed=0)
        batches.epoch, batches.first_step = epoch, first_step
        opened = batches.open_epoch(drawing, torch.device("cpu"))
        return [(tokens.tolist(), torch.rand(2).tolist()) for _, tokens in opened]

    whole = draw(0, 0)
    assert len(whole) == 6
    numbers = [
        number
        for rank in range(2)
        for epoch in range(2)
        for _, drawn in draw(rank, epoch)
        for number in drawn
    ]
    assert len(set(numbers)) == 2 * 2 * 6 * 2, "no number is drawn twice"
    seed_everything(99)  # whatever happened in between must not matter
    assert draw(0, 0, first_step=4) == whole[4:]


def test_an_epoch_of_other_shards_begins_anew(sharded, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("clipnb.streaming.SAVE_EVERY", 1)
    recipe = dataclasses.replace(recipe, dataset=str(sharded), batch_size=8, epochs=1)
    with interrupt_at_step(3):
        train(recipe, 0, tmp_path / "run")
    path = sharded / "shard-000001.tar"
    path.write_bytes(path.read_bytes()[:1000])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = train(recipe, 0, tmp_path / "run", resume=True)
    told = [str(warning.message) for warning in caught]
    assert any("was cut short" in text for text in told)
    assert any("epoch 1 begins anew" in text for text in told)
    assert len(run.history) == 1


def test_a_successor_that_stops_in_an_epoch_goes_on_in_next(sharded, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("clipnb.streaming.SAVE_EVERY", 2)
    recipe = dataclasses.replace(recipe, dataset=str(sharded), batch_size=8, epochs=1)
    first = train(recipe, 3, tmp_path / "run")
    with interrupt_at_step(4):
        train(recipe, 3, tmp_path / "run")
    assert (tmp_path / "run" / "next" / "state.pt").exists()
    assert torch.equal(flatten_weights(load_run(tmp_path / "run")), flatten_weights(first))
    taken = []

    def count_step(*arguments):
        taken.append(1)
        return train_step(*arguments)

    monkeypatch.setattr(clipnb.loop, "train_step", count_step)
    resumed = train(recipe, 3, tmp_path / "run", resume=True)
    assert len(taken) == 4  # of six, two of which were saved
    assert torch.equal(flatten_weights(resumed), flatten_weights(first))
    assert not (tmp_path / "run" / "next").exists()


def test_a_run_knows_the_shards_that_it_was_trained_on(sharded, small, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, dataset=str(sharded), batch_size=8, epochs=2)
    with interrupt_at_step(8):
        train(recipe, 0, tmp_path / "run")
    for path in sharded.iterdir():
        path.unlink()
    dataset = small("train", 40)
    write_shards(dataset, sharded, pairs_per_shard=12)  # the same pairs
    run = train(recipe, 0, tmp_path / "run", resume=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_run_dataset(run, "train")
        load_run_dataset(run, "dev")
    # An image that was moved from train to test since the shards were written.
    test_set = dataclasses.replace(dataset.subset([3]), name=str(sharded), split="test")
    found = run_data.find_differences(run.folder, test_set)
    assert f"1 of the 1 images of test were trained on ({dataset.image_ids[3]})" in found
    with interrupt_at_step(8):
        train(recipe, 0, tmp_path / "run")
    for path in sharded.iterdir():
        path.unlink()
    changed = [["something else"] * 5, *dataset.captions[1:]]
    write_shards(dataclasses.replace(dataset, captions=changed), sharded, pairs_per_shard=10)
    with pytest.raises(ValueError, match="the images or captions of train have changed"):
        train(recipe, 0, tmp_path / "run", resume=True)


def test_the_images_of_a_diverged_step_are_those_of_its_batch(sharded, small, recipe, tmp_path):
    dataset = small("train", 40)
    recipe = dataclasses.replace(recipe, dataset=str(sharded), batch_size=8, stored_size=40)
    seen = []

    def note(model, optimizer, images, tokens, recipe):
        seen.append(images)
        return torch.tensor(torch.inf if len(seen) == 4 else 1.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clipnb.loop, "train_step", note)
        with pytest.raises(RuntimeError, match=r"at step 4 \(epoch 1\)") as error:
            train(recipe, 0, tmp_path / "run")
    named = str(error.value).split("the images ")[1].split(", …")[0].split(", ")
    found = ShardFolder(sharded).find_image_ids(8, 0, 0, step=3)
    assert named == found[:5]
    batches = list(ShardFolder(sharded).iterate_epoch(8, 1, 0, 0))
    for image_id, image in zip(found, batches[3][0], strict=True):
        assert (image.numpy() == dataset.images[dataset.image_ids.index(image_id)]).all()


def test_a_recipe_that_shards_cannot_feed_is_refused(sharded, recipe, tmp_path):
    sized = dataclasses.replace(recipe, dataset=str(sharded), stored_size=64)
    with pytest.raises(ValueError, match=r"holds images of 40 px.*--image-size 64`\.$"):
        train(sized, 0, tmp_path / "run")
    rows = dataclasses.replace(recipe, dataset=str(sharded), sampling="rows", captions_per_image=1)
    with pytest.raises(ValueError, match="sampling='rows' needs all images in memory"):
        train(rows, 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_line_writes_shards_and_trains_from_them(clipnb, small, small_root, tmp_path):
    options = "--set epochs=1 --set batch_size=16 --set image_encoder=tiny_cnn --set vocab_size=300"
    status, out, err = clipnb("shards small out/shards --image-size 48 --pairs 20")
    folder = tmp_path / "out" / "shards"
    assert (status, out) == (0, f"{folder}\n")
    assert err == (
        f"3 shards with 48 pairs of 48 px. Train from them: clipnb train --dataset {folder}\n"
    )
    sizes = "--set stored_size=48 --set image_size=48"
    status, out, err = clipnb(f"train --dataset {folder} {options} {sizes}")
    assert status == 0, err
    assert "mean recall" in out
    (folder / "shard-000000.tar").unlink()
    status, _, err = clipnb(f"train --dataset {folder} {options} {sizes} --seed 1")
    assert status == 2
    assert err.count("\n") == 1 and "1 of 3 shards are missing" in err
