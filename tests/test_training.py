"""Training: it learns, it can be interrupted, and runs on disk are what they say they are."""

import dataclasses
import json
import math

import pytest
import safetensors.torch
import torch

import clipnb.training
from clipnb import (
    RECIPES,
    clip_loss,
    create_model,
    evaluate,
    load_or_train,
    load_run,
    normalize_images,
    run_folder,
    seed_everything,
    siglip_loss,
    train,
)
from clipnb.features import tokenize
from clipnb.optimizers import make_optimizer
from clipnb.training import learning_rate_at, train_step


def weights(run):
    return torch.cat(
        [p.flatten() for p in run.model.state_dict().values() if p.is_floating_point()]
    )


def test_starts_at_ln_n_and_overfits_eight_pairs(small):
    dataset = small("train").subset(range(8))
    recipe = dataclasses.replace(
        RECIPES["quick"], image_encoder="tiny_cnn", learning_rate=2e-3, vocab_size=300
    )
    seed_everything(0)
    tokenizer, model = (
        clipnb.training.make_tokenizer(recipe, dataset.captions),
        create_model(recipe),
    )
    images, tokens = torch.tensor(dataset.images), tokenizer([c[0] for c in dataset.captions])[None]
    optimizer = make_optimizer(model, recipe)
    losses = [train_step(model, optimizer, images, tokens, recipe).item() for _ in range(150)]
    assert losses[0] == pytest.approx(math.log(8), abs=0.5)
    image_features, text_features, _ = model.eval()(images, tokens[0])
    assert losses[-1] < 0.1 and (image_features @ text_features.T).argmax(1).tolist() == list(
        range(8)
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "muon", "ema": 0.5, "text_loss": 1.0, "captions_per_image": 2}],
    ids=["plain", "muon, average"],
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    small, recipe, tmp_path, monkeypatch, changes
):
    recipe = dataclasses.replace(recipe, **changes)
    whole = train(recipe, 3, tmp_path / "whole", train_set=small("train", 40), dev_set=small("dev"))
    steps = 0

    def stop_in_the_second_epoch(*arguments):
        nonlocal steps
        steps += 1
        if steps == 5:  # three steps an epoch
            raise KeyboardInterrupt
        return train_step(*arguments)

    monkeypatch.setattr(clipnb.training, "train_step", stop_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, 3, tmp_path / "broken", train_set=small("train", 40), dev_set=small("dev"))
    monkeypatch.setattr(clipnb.training, "train_step", train_step)
    with pytest.raises(FileNotFoundError, match="unfinished.*--resume"):
        load_run(tmp_path / "broken")
    seed_everything(99)  # whatever happened in between must not matter
    resumed = train(
        recipe,
        3,
        tmp_path / "broken",
        resume=True,
        train_set=small("train", 40),
        dev_set=small("dev"),
    )
    assert torch.equal(weights(whole), weights(resumed))
    assert [row["loss"] for row in whole.history] == [row["loss"] for row in resumed.history]


def test_other_seeds_give_other_runs(small, recipe, tmp_path):
    short = dataclasses.replace(recipe, epochs=1)
    runs = [
        train(short, seed, tmp_path / str(seed), train_set=small("train", 40), dev_set=small("dev"))
        for seed in (0, 1)
    ]
    assert not torch.equal(weights(runs[0]), weights(runs[1]))


def test_a_run_on_disk(small, recipe):
    recipe = dataclasses.replace(recipe, epochs=2)
    run = load_or_train(recipe, seed=5)
    assert {p.name for p in run.folder.iterdir()} == {
        "model.safetensors",
        "recipe.json",
        "history.csv",
        "metrics.json",
        "state.pt",
        "tokenizer.json",
    }
    again = load_or_train(recipe, seed=5)
    assert (
        torch.equal(weights(run), weights(again))
        and again.history == run.history
        and again.recipe == recipe
    )
    assert again.metrics["dev"] == evaluate(again.model, again.tokenizer, small("dev")), (
        "the weights kept are those the metrics speak of"
    )
    assert again.metrics["images_seen"] == 2 * 48 and 1 <= again.metrics["best_epoch"] <= 2


def test_another_recipe_is_refused_and_both_are_named(small, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, epochs=1)
    run = train(recipe, 0, tmp_path / "run", train_set=small("train", 40), dev_set=small("dev"))
    other = dataclasses.replace(recipe, name="other", epochs=7)
    for attempt in (
        lambda: train(other, 0, run.folder, resume=True),
        lambda: load_run(run.folder, other),
    ):
        with pytest.raises(ValueError, match=r"'tiny', not 'other'.*epochs: 1 there, 7 asked for"):
            attempt()
    assert json.loads((run.folder / "recipe.json").read_text())["recipe"]["name"] == "tiny"


def test_run_folder_changes_with_every_field_and_the_seed():
    recipe = RECIPES["quick"]
    folders = {
        run_folder(recipe, 0),
        run_folder(recipe, 1),
        run_folder(dataclasses.replace(recipe, weight_decay=0.06), 0),
    }
    assert len(folders) == 3


def test_no_run_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m clipnb train"):
        load_run(tmp_path / "nothing")


def test_learning_rate_warms_up_and_falls_to_zero():
    rates = [learning_rate_at(step, 100, RECIPES["baseline"]) for step in range(100)]
    assert (
        rates[0] == pytest.approx(1e-4)
        and max(rates) == pytest.approx(1e-3)
        and rates.index(max(rates)) in (9, 10)
    )
    assert rates[-1] < 1e-6 and rates[10:] == sorted(rates[10:], reverse=True)


def test_a_step_does_what_the_recipe_says(small, recipe):
    dataset = small("train").subset(range(8))
    recipe = dataclasses.replace(
        recipe, image_encoder="tiny_cnn", dropout=0.0, clip_norm=0.01, label_smoothing=0.2
    )
    tokenizer, model = (
        clipnb.training.make_tokenizer(recipe, dataset.captions),
        create_model(recipe),
    )
    images, tokens = (
        normalize_images(dataset.images),
        tokenize(tokenizer, dataset.captions).transpose(0, 1)[:2],
    )  # (2, 8, T)
    expected = sum(clip_loss(*model(images, captions), 0.2).item() for captions in tokens) / 2
    flat = lambda: torch.cat([p.detach().flatten() for p in model.parameters()])
    before, optimizer = flat(), torch.optim.SGD(model.parameters(), lr=1.0)
    assert train_step(model, optimizer, images, tokens, recipe).item() == pytest.approx(
        expected, rel=1e-4
    )
    assert (flat() - before).norm().item() == pytest.approx(0.01, rel=0.05), (
        "the gradient is shortened to clip_norm"
    )
    model.logit_scale.data.fill_(9.0)
    train_step(model, optimizer, images, tokens, recipe)
    assert model.logit_scale.item() == pytest.approx(math.log(100))


def test_the_text_loss_pulls_each_caption_to_the_next_of_its_image(small, recipe):
    recipe = dataclasses.replace(recipe, captions_per_image=3, label_smoothing=0.1, text_loss=0.5)
    dataset = small("train").subset(range(8))
    model = create_model(recipe).eval()
    images, tokens = torch.tensor(dataset.images), torch.randint(1, 200, (3, 8, 6))
    features = [model.encode_text(t, normalize=True) for t in tokens]
    image_features, scale = model.encode_image(images, normalize=True), model.logit_scale.exp()
    expected = sum(clip_loss(image_features, f, scale, 0.1) for f in features) / 3
    expected += (
        0.5
        * sum(clip_loss(features[i], features[j], scale, 0.1) for i, j in [(0, 1), (1, 2), (2, 0)])
        / 3
    )
    assert train_step(
        model, make_optimizer(model, recipe), images, tokens, recipe
    ).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_average_is_what_is_judged_and_kept(small, recipe, tmp_path):
    data = {"train_set": small("train", 40), "dev_set": small("dev")}
    last = train(recipe, 0, tmp_path / "last", **data)
    nearly_last = train(dataclasses.replace(recipe, ema=1e-6), 0, tmp_path / "nearly", **data)
    average = train(dataclasses.replace(recipe, ema=0.999), 0, tmp_path / "average", **data)
    assert [row["loss"] for row in average.history] == [row["loss"] for row in last.history], (
        "the steps are the same"
    )
    state = torch.load(tmp_path / "average" / "state.pt", weights_only=True)
    assert not torch.allclose(
        state["average"]["image_projection.weight"],
        state["model"]["image_projection.weight"],
        rtol=1e-2,
    )
    if last.metrics["best_epoch"] == nearly_last.metrics["best_epoch"]:
        assert torch.allclose(weights(last), weights(nearly_last), atol=1e-4), (
            "without memory it is the model itself"
        )
    assert average.metrics["dev"] == evaluate(average.model, average.tokenizer, small("dev"))


def test_the_schedule_runs_over_all_epochs_and_the_best_epoch_is_kept(
    small, recipe, tmp_path, monkeypatch
):
    rates, states, recalls = [], [], iter([10.0, 30.0, 20.0])

    def spy(model, optimizer, *rest):
        rates.append(optimizer.param_groups[0]["lr"])
        return train_step(model, optimizer, *rest)

    def judged(model, tokenizer, dataset):
        states.append({k: v.clone() for k, v in model.state_dict().items()})
        return {"mean_recall": next(recalls)}

    monkeypatch.setattr(clipnb.training, "train_step", spy)
    monkeypatch.setattr(clipnb.training, "evaluate", judged)
    run = train(recipe, 0, tmp_path / "run", train_set=small("train", 40), dev_set=small("dev"))
    assert rates == pytest.approx([learning_rate_at(step, 9, recipe) for step in range(9)])
    assert (
        run.metrics["best_epoch"] == 2
        and run.metrics["dev"] == {"mean_recall": 30.0}
        and not run.model.training
    )
    assert all(torch.equal(v.cpu(), states[1][k].cpu()) for k, v in run.model.state_dict().items())
    with pytest.raises(ValueError, match="seed: 0 there, 1 asked for"):
        load_run(run.folder, recipe, seed=1)


def test_a_run_begun_anew_forgets_the_old_one(small, recipe, tmp_path, monkeypatch):
    """Trained, then other captions, begun anew and stopped at once: a resume must not find the old state, nor `load_run` the old weights."""
    recipe = dataclasses.replace(recipe, epochs=1)
    train(recipe, 0, tmp_path / "run", train_set=small("train", 40), dev_set=small("dev"))
    other = dataclasses.replace(
        small("train", 40), captions=[[f"number {i}"] * 5 for i in range(48)]
    )

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(clipnb.training, "train_step", stop)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, 0, tmp_path / "run", train_set=other, dev_set=small("dev"))
    with pytest.raises(FileNotFoundError, match="unfinished"):
        load_run(tmp_path / "run")
    monkeypatch.setattr(clipnb.training, "train_step", train_step)
    resumed = train(recipe, 0, tmp_path / "run", resume=True, train_set=other, dev_set=small("dev"))
    fresh = train(recipe, 0, tmp_path / "fresh", train_set=other, dev_set=small("dev"))
    assert torch.equal(weights(resumed), weights(fresh)) and resumed.tokenizer.encode(
        "number"
    ) == fresh.tokenizer.encode("number")


def test_a_run_of_another_version_is_refused_in_words(small, recipe, tmp_path):
    run = train(
        dataclasses.replace(recipe, epochs=1),
        0,
        tmp_path / "run",
        train_set=small("train", 40),
        dev_set=small("dev"),
    )
    weights_file, recipe_file = run.folder / "model.safetensors", run.folder / "recipe.json"
    weights_file.write_bytes(safetensors.torch.save({"other": torch.zeros(1)}))
    with pytest.raises(
        ValueError, match="do not fit the encoders of this version.*Nothing was loaded"
    ):
        load_run(run.folder)
    stored = json.loads(recipe_file.read_text())
    stored["recipe"]["colours"] = stored["recipe"].pop("colour")
    recipe_file.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="another version of clipnb.*'colours'"):
        load_run(run.folder)


def test_siglip_trains_with_a_bias_that_starts_at_one_pair_in_n(small, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, loss="siglip", epochs=1)
    model = create_model(recipe)
    assert model.logit_bias.item() == pytest.approx(-math.log(15))
    run = train(recipe, 0, tmp_path / "run", train_set=small("train", 40), dev_set=small("dev"))
    assert run.model.logit_bias.item() != pytest.approx(-math.log(15), abs=1e-4), "it is learned"
    images, tokens = (
        normalize_images(small("dev").images[:8]),
        run.tokenizer([c[0] for c in small("dev").captions[:8]]),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    expected = siglip_loss(*model.eval()(images, tokens), model.logit_bias)
    assert train_step(model, optimizer, images, tokens[None], recipe).item() == pytest.approx(
        expected.item(), rel=1e-4
    )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"loss": "hinge"}, "loss 'hinge' is unknown; choose one of clip, siglip"),
        ({"sampling": "columns"}, "choose one of images, rows"),
        ({"tokenizer": "words"}, "choose one of captions, clip"),
        ({"optimizer": "sgd"}, "choose one of adamw, muon"),
        (
            {"image_encoder": "vit", "image_size": 64, "crop_size": 48},
            "a position for each patch of an image of 64 px",
        ),
        ({"text_loss": 1.0, "captions_per_image": 1}, "set captions_per_image to 2 or more"),
        ({"tokenizer": "clip", "vocab_size": 4096}, "49,408 ids.*set vocab_size=49408"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_with_the_choices(recipe, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(recipe, **change)
