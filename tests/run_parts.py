"""What the tests of whole runs share: fixtures that train, and what is compared of two runs."""

import contextlib
import dataclasses
import itertools
import json

import pytest
import torch

import clipnb.loop
from clipnb import RECIPES, load_or_train, train
from clipnb.features import digest_weights
from clipnb.scenes import write_scenes
from clipnb.steps import train_step


@pytest.fixture
def base(small, recipe):
    """A recipe of two epochs with batch norm and dropout, whose images stay as they are."""
    return dataclasses.replace(
        recipe,
        name="base",
        image_encoder="residual_cnn",
        image_width=32,
        embed_dim=32,
        stored_size=32,
        epochs=2,
        min_crop_area=1.0,
        flip=False,
        colour=0.0,
    )


@pytest.fixture
def first(base):
    """A finished run to start from."""
    return load_or_train(dataclasses.replace(base, epochs=1))


@pytest.fixture
def tuned(base, first):
    """A function that trains a changed recipe from the weights of `first`."""

    def train_from_first(folder, resume=False, init=first.folder, seed=3, **changes):
        changed = dataclasses.replace(base, name="tuned", **changes)
        return train(changed, seed, folder, resume, init=init)

    return train_from_first


@pytest.fixture
def train_small(small):
    """A function that trains a recipe on `small`, three steps an epoch, and returns the run."""

    def train_on_small(recipe, folder, seed=0, **options):
        datasets = {"train_set": small("train", 40), "dev_set": small("dev")}
        return train(recipe, seed, folder, **(datasets | options))

    return train_on_small


@pytest.fixture
def short_run(train_small, recipe, tmp_path):
    """A finished run of one epoch."""
    return train_small(dataclasses.replace(recipe, epochs=1), tmp_path / "short")


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory):
    """A data folder with one dataset, `own`: scenes of 16 px, which no test changes."""
    root = tmp_path_factory.mktemp("tiny_data")
    write_scenes(root / "own", {"train": 32, "dev": 8, "test": 8}, size=16, workers=1)
    return root


@pytest.fixture
def tiny_recipe(tiny_root, tmp_path, monkeypatch):
    """A recipe that trains on `own` in a moment, with a cache of the test's own."""
    monkeypatch.setenv("CLIPNB_DATA", str(tiny_root))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    return dataclasses.replace(
        RECIPES["quick"],
        name="tiny",
        dataset="own",
        image_encoder="tiny_cnn",
        image_size=16,
        stored_size=16,
        vocab_size=200,
        embed_dim=16,
        epochs=1,
        batch_size=16,
    )


def write_recipe(folder, stored):
    """Write another `recipe.json` into a finished run, as an older version did: unchecked."""
    (folder / "recipe.json").write_text(json.dumps(stored))
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["recipe_checksum"]
    (folder / "metrics.json").write_text(json.dumps(metrics))


def flatten_weights(run):
    tensors = run.model.state_dict().values()
    return torch.cat([tensor.flatten() for tensor in tensors if tensor.is_floating_point()])


def list_losses(run):
    return [row["loss"] for row in run.history]


def list_digests(model):
    return {name: digest_weights(part) for name, part in model.named_children()}


def list_kept(run, other):
    """List the parts that two runs have in common, bit for bit."""
    mine, theirs = list_digests(run.model), list_digests(other.model)
    return {name for name in mine if mine[name] == theirs[name]}


@contextlib.contextmanager
def interrupt_at_step(number):
    """Interrupt training as Ctrl-C does, when it takes its step of that number in the block."""
    numbers = itertools.count(1)

    def step_or_stop(*arguments):
        if next(numbers) == number:
            raise KeyboardInterrupt
        return train_step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clipnb.loop, "train_step", step_or_stop)
        with pytest.raises(KeyboardInterrupt):
            yield
