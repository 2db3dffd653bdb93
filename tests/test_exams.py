"""Test images of the experiments: scenes of no split, held-out pairs, styles, what is shown."""

import numpy as np
import pytest

from clipnb import scenes
from clipnb.experiments import exams


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))


def test_sampled_scenes_are_the_same_every_time_and_in_no_split():
    some_scenes = exams.sample_scenes(60, "exam", keep=exams.has_one_thing)
    assert some_scenes == exams.sample_scenes(60, "exam", keep=exams.has_one_thing)
    assert some_scenes != exams.sample_scenes(60, "other", keep=exams.has_one_thing)
    assert all(len(scene.things) == 1 for scene in some_scenes)
    seeds = {scenes.dataset_scene(split, i).seed for split in scenes.COUNTS for i in range(1000)}
    assert not seeds & {scene.seed for scene in some_scenes}


def test_compositions_are_held_out_pairs_and_nothing_else():
    for scene in exams.sample_scenes(20, compositions=True):
        assert all((thing.kind, thing.colour) in scenes.HELD_OUT for thing in scene.things)
    for scene in exams.sample_scenes(20, compositions=False):
        assert all((thing.kind, thing.colour) not in scenes.HELD_OUT for thing in scene.things)


def darken(image, scene):
    return image.point(lambda value: value // 2)


def test_rendered_images_have_their_style_and_what_was_put_on_top():
    some_scenes = exams.sample_scenes(4, keep=exams.has_one_thing)
    plain = exams.render_dataset(some_scenes, 32)
    mixed = exams.render_dataset(some_scenes, 32, ("painted", "negative"))
    edited = exams.render_dataset(some_scenes, 32, edit=darken)
    assert plain.images.shape == (4, 3, 32, 32) and plain.images.dtype == np.uint8
    assert (plain.images[::2] == mixed.images[::2]).all()
    assert abs(255 - plain.images[1].astype(int) - mixed.images[1]).max() <= 2
    assert edited.images.mean() == pytest.approx(plain.images.mean() / 2, rel=0.02)
    assert plain.labels == [scenes.labels(scene) for scene in some_scenes]
    assert len(plain.captions[0]) == 5
    from_cache = exams.render_dataset(some_scenes, 32)
    assert (from_cache.images == plain.images).all()


def test_classes_tell_the_truth():
    rendered = exams.render_dataset(exams.sample_scenes(12), 32)
    for attribute in ("kind", "colour", "size", "count", "place"):
        names, truth = exams.read_classes(rendered, attribute)
        for label, i in zip(rendered.labels, truth, strict=True):
            told = label["place"] if attribute == "place" else label["objects"][0][attribute]
            assert names[i] == told
