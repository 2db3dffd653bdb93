"""What the experiments share: drawn images with their truth, the supervised twin, the loop for any objective."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb import RECIPES, scenes
from clipnb.experiments import exams, fitting, twin


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))


def test_sampled_scenes_are_the_same_every_time_and_in_no_split():
    some = exams.sample_scenes(60, "exam", keep=exams.has_one_thing)
    assert some == exams.sample_scenes(60, "exam", keep=exams.has_one_thing) and all(
        len(scene.things) == 1 for scene in some
    )
    assert some != exams.sample_scenes(60, "other", keep=exams.has_one_thing)
    seeds = {scenes.dataset_scene(split, i).seed for split in scenes.COUNTS for i in range(1000)}
    assert not seeds & {scene.seed for scene in some}
    assert all(
        (thing.kind, thing.colour) in scenes.HELD_OUT
        for scene in exams.sample_scenes(20, compositions=True)
        for thing in scene.things
    )


def darker(image, scene):
    return image.point(lambda value: value // 2)


def test_drawn_images_have_their_style_and_what_was_put_on_top():
    some = exams.sample_scenes(4, keep=exams.has_one_thing)
    plain, mixed, edited = (
        exams.render_dataset(some, 32),
        exams.render_dataset(some, 32, ("painted", "negative")),
        exams.render_dataset(some, 32, edit=darker),
    )
    assert plain.images.shape == (4, 3, 32, 32) and plain.images.dtype == np.uint8
    assert (plain.images[::2] == mixed.images[::2]).all() and abs(
        255 - plain.images[1].astype(int) - mixed.images[1]
    ).max() <= 2
    assert edited.images.mean() == pytest.approx(plain.images.mean() / 2, rel=0.02)
    assert plain.labels == [scenes.labels(scene) for scene in some] and len(plain.captions[0]) == 5
    assert (exams.render_dataset(some, 32).images == plain.images).all()  # from the cache


def test_classes_and_targets_tell_the_truth():
    drawn = exams.render_dataset(exams.sample_scenes(12), 32)
    for attribute in "kind", "colour", "size", "count", "place":
        names, truth = exams.read_classes(drawn, attribute)
        for label, i in zip(drawn.labels, truth):
            assert names[i] == (
                label["place"] if attribute == "place" else label["objects"][0][attribute]
            )
    for name, target in twin.label_targets(drawn).items():
        assert torch.allclose(target.sum(dim=1), torch.ones(12))
        for label, row in zip(drawn.labels, target):
            words = {"kind": scenes.KINDS, "colour": scenes.COLOURS, "place": scenes.PLACES}[name]
            told = {words[i] for i in row.nonzero().flatten().tolist()}
            assert told == (
                {label["place"]} if name == "place" else {thing[name] for thing in label["objects"]}
            )


def test_fit_learns_and_fitted_is_found_again():
    drawn = exams.render_dataset(exams.sample_scenes(32), 32)
    recipe = dataclasses.replace(
        RECIPES["quick"],
        name="twin_supervised",
        image_encoder="tiny_cnn",
        image_size=32,
        stored_size=32,
        batch_size=8,
        epochs=12,
    )
    place, seen = twin.label_targets(drawn)["place"], []
    loss = lambda model, images, rows: F.cross_entropy(model(images)["place"], place[rows])
    torch.manual_seed(0)
    model = twin.SupervisedBaseline(recipe)
    for images_seen in fitting.iterate_fitting(model, loss, drawn, recipe, seed=0):
        seen.append(images_seen)
    assert seen == list(range(8, 12 * 32 + 1, 8))
    assert (
        twin.predict_supervised(model, drawn.images, "place").argmax(dim=1) == place.argmax(dim=1)
    ).float().mean() > 0.6  # chance: 1 in 8

    first, again = (
        twin.fit_supervised_baseline(dataclasses.replace(recipe, epochs=1), 1, drawn)
        for _ in range(2)
    )
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values())
    )
    ((name, seconds),) = fitting.TRAINING_SECONDS.items()
    assert "twin_supervised-1" in name and seconds > 0
