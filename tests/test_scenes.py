"""The scenes: the same everywhere, readable, and written whole or not at all."""

import collections
import hashlib
import itertools
import json
import random
import shutil

import numpy as np
import pytest

from clipnb import scenes
from clipnb.datasets import dataset_folder
from clipnb.scenes import (
    COLOURS,
    COUNTS,
    HELD_OUT,
    KINDS,
    PLACES,
    RELATIONS,
    SIZES,
    Scene,
    Thing,
    captions,
    clutter,
    dataset_scene,
    drawing,
    labels,
    landscapes,
    layout,
    pictograms,
    placement,
    render,
    words,
)

FEW = {"train": 8, "dev": 3, "test": 3, "compositions": 3}


def some_scenes(n, split="train"):
    return [dataset_scene(split, i) for i in range(n)]


# ---- the same everywhere ---------------------------------------------------------------------


def test_a_known_scene_is_the_same_on_every_platform():
    assert labels(dataset_scene("train", 5)) == {
        "place": "night",
        "relation": "below",
        "objects": [
            {"kind": "bird", "colour": "green", "size": "small", "count": 1},
            {"kind": "house", "colour": "red", "size": "big", "count": 2},
        ],
    }


def test_two_thousand_captions_and_labels_are_the_same_on_every_platform():
    texts = [
        (labels(scene), captions(scene)) for split in COUNTS for scene in some_scenes(100, split)
    ]
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()
    assert digest[:16] == "2fd5e345b75bb2d2", (
        "captions or labels have changed: raise scenes.VERSION, and pin the new digest"
    )


def test_images_do_not_depend_on_what_was_drawn_before():
    scene = dataset_scene("train", 3)
    first = render(scene).tobytes()
    random.seed(1)
    np.random.seed(1)
    render(dataset_scene("train", 4))
    assert render(scene).tobytes() == first


# ---- what is in a scene ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "names, tables",
    [
        (PLACES, [landscapes.PLACE_PAINTERS, landscapes.HORIZON, words.PLACE_PHRASES]),
        (PLACES, [clutter.CLUTTER]),
        (KINDS, [pictograms.PICTOGRAMS, words.NOUN_FORMS, words.ACTIVITIES, scenes.HOMES]),
        (COLOURS, [drawing.PAINT_HUES, words.COLOUR_SYNONYMS]),
        (SIZES, [placement.HEIGHTS, placement.CROWDED_HEIGHTS, words.SIZE_WORDS]),
        (RELATIONS, [words.RELATION_PHRASES, words.OPPOSITE]),
    ],
    ids=["places", "clutter", "kinds", "colours", "sizes", "relations"],
)
def test_every_name_is_known_to_every_module(names, tables):
    for table in tables:
        assert set(table) == set(names)


def test_the_world_is_large_enough():
    assert len(PLACES) >= 6
    assert len(KINDS) >= 10
    assert len(COLOURS) == 8


def test_all_values_occur_and_two_things_are_of_different_kinds():
    seen = collections.Counter()
    for scene in some_scenes(1500):
        seen.update([scene.place, scene.relation])
        for thing in scene.things:
            seen.update([thing.kind, thing.colour, thing.size, thing.count])
        kinds = {thing.kind for thing in scene.things}
        assert len(kinds) == len(scene.things) in (1, 2)
        assert (scene.relation is None) == (len(scene.things) == 1)
    for values, least in (
        (PLACES, 100),
        (KINDS, 140),
        (COLOURS, 200),
        (RELATIONS, 150),
        (SIZES, 800),
        ((1, 2, 3), 600),
    ):
        counts = {value: seen[value] for value in values}
        assert all(count > least for count in counts.values()), counts


def pairs_in(some):
    return {(thing.kind, thing.colour) for scene in some for thing in scene.things}


def test_compositions_are_pairs_never_seen_in_the_other_splits():
    for split in ("train", "dev", "test"):
        assert not pairs_in(some_scenes(1000, split)) & HELD_OUT
    assert pairs_in(some_scenes(300, "compositions")) == HELD_OUT
    per_colour = collections.Counter(colour for _, colour in HELD_OUT)
    per_kind = collections.Counter(kind for kind, _ in HELD_OUT)
    assert set(per_colour.values()) == {2}
    assert all(1 <= n <= 2 for n in per_kind.values())


def test_labels_survive_json():
    for scene in some_scenes(50):
        assert json.loads(json.dumps(labels(scene))) == labels(scene)


# ---- drawings --------------------------------------------------------------------------------


def test_the_relation_holds_between_all_members_as_placed():
    for scene in some_scenes(800):
        if scene.relation is None:
            continue
        placed = layout(scene)
        first, second = ([p for p in placed if p.thing == i] for i in (0, 1))
        assert len(first) == scene.things[0].count
        assert len(second) == scene.things[1].count
        for p, q in itertools.product(first, second):
            distances = {
                "left of": q.x - p.x,
                "right of": p.x - q.x,
                "above": q.y - p.y,
                "below": p.y - q.y,
            }
            assert distances[scene.relation] > 0.15, scene


@pytest.mark.parametrize("relation", RELATIONS)
def test_the_relation_holds_in_the_pixels(relation):
    things = (Thing("ball", "red", "big", 1), Thing("kite", "green", "big", 1))
    image = render(Scene("snow", things, relation, seed=7))
    r, g, b = np.asarray(image, dtype=int).transpose(2, 0, 1)
    is_red = (r > g + 70) & (r > b + 70)
    is_green = (g > r + 40) & (g > b + 25)
    red_y, red_x = np.argwhere(is_red).mean(axis=0)
    green_y, green_x = np.argwhere(is_green).mean(axis=0)
    truth = {
        "left of": red_x < green_x,
        "right of": red_x > green_x,
        "above": red_y < green_y,
        "below": red_y > green_y,
    }
    assert truth[relation]


@pytest.mark.parametrize("heights", [placement.HEIGHTS, placement.CROWDED_HEIGHTS])
def test_small_is_smaller_than_big(heights):
    assert 1.15 * heights["small"][1] < heights["big"][0]


def test_members_have_their_size_and_can_be_told_apart():
    gaps = []
    for scene in some_scenes(400):
        placed, heights = layout(scene), placement.heights_in(scene)
        n_members = sum(thing.count for thing in scene.things)
        assert heights is (placement.HEIGHTS if n_members < 4 else placement.CROWDED_HEIGHTS)
        for p in placed:
            low, high = heights[scene.things[p.thing].size]
            assert low <= p.height <= high
            assert 0 < p.x < 1
            assert 0 < p.y < 1
        gaps += [placement.nearest_gap(p, [q]) for p, q in itertools.combinations(placed, 2)]
    assert min(gaps) > 0.2  # at 0.5 they touch: none hides another
    assert np.mean(np.array(gaps) < 0.3) < 0.02


def test_styles_differ_and_keep_size_and_mode():
    scene = dataset_scene("train", 2)
    for size in (32, 64, 224):
        images = [render(scene, size, style) for style in drawing.STYLES]
        assert all(image.size == (size, size) and image.mode == "RGB" for image in images)
        for a, b in itertools.combinations(images, 2):
            assert np.abs(np.asarray(a, dtype=int) - np.asarray(b)).mean() > 4
    with pytest.raises(ValueError, match="sketch"):
        render(scene, 64, "cubist")


def test_images_are_smooth_and_the_same_at_every_size():
    for scene in some_scenes(12):
        small = np.asarray(render(scene, 64), dtype=int)
        large = np.asarray(render(scene, 128).reduce(2), dtype=int)
        assert np.abs(small - large).mean() < 3
        assert len(np.unique(small.reshape(-1, 3), axis=0)) > 400
        assert small.std() > 15


@pytest.mark.parametrize("kind", KINDS)
def test_every_pictogram_fits_its_box(kind):
    pictogram = pictograms.PICTOGRAMS[kind]
    points = [point for _, part in pictogram.solids + pictogram.details for point in part]
    assert np.min(points) > -3
    assert np.max(points) < 103


@pytest.mark.parametrize("kind", KINDS)
def test_every_pictogram_can_be_drawn_in_every_colour(kind):
    placed = placement.Placed(0, kind, x=0.5, y=0.5, height=0.8, turn=0, mirrored=False)
    for colour in COLOURS:
        canvas = drawing.Canvas(96)
        drawing.paint_thing(canvas, placed, colour, random.Random(0))
        pixels = np.asarray(canvas.image).reshape(-1, 3)
        assert 0.1 < (pixels.max(axis=1) > 0).mean() < 0.8


# ---- the folder ------------------------------------------------------------------------------


def read_files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_folder_is_complete_and_the_same_with_any_number_of_workers(tmp_path):
    scenes.write_scenes(tmp_path / "one", FEW, size=32, workers=1)
    scenes.write_scenes(tmp_path / "two", FEW, size=32, workers=2)
    files = read_files(tmp_path / "one")
    assert files == read_files(tmp_path / "two")
    lines = files["captions.txt"].decode().splitlines()
    assert lines[0] == "image,caption"
    assert len(lines) == 1 + 5 * sum(FEW.values())
    assert lines[1].split(",", 1) == ["train_00000.jpg", captions(dataset_scene("train", 0))[0]]
    truth = json.loads(files["labels.json"])
    for split, n in FEW.items():
        names = files[f"splits/{split}.txt"].decode().split()
        assert len(names) == n
        for name in names:
            assert f"Images/{name}" in files
            assert name in truth


def test_another_seed_gives_other_scenes():
    assert captions(dataset_scene("train", 0, seed=1)) != captions(dataset_scene("train", 0))
    assert dataset_scene("dev", 0) != dataset_scene("train", 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_first_call_leaves_nothing_behind(tmp_path, monkeypatch, error):
    left = iter(range(9))  # scenes that are drawn before the error

    def render_some(scene, size):
        if next(left, None) is None:
            raise error
        return render(scene, size)

    monkeypatch.setattr(scenes, "render", render_some)
    with pytest.raises(error):
        scenes.write_scenes(tmp_path / "scenes", FEW, size=32, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "counts, size",
    [({"../x": 1}, 32), ({"": 1}, 32), ({"a b": 1}, 32), ({"x": 0}, 32), ({"x": 1}, 0)],
)  # fmt: skip
def test_scenes_that_cannot_be_are_refused(tmp_path, counts, size):
    with pytest.raises(ValueError, match="cannot (name a split|be drawn for 'x')"):
        scenes.write_scenes(tmp_path / "scenes", counts, size=size, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["captions.txt", "labels.json", "splits/dev.txt", "Images/dev_00001.jpg", "Images"]
)
def test_scenes_of_which_a_part_is_gone_are_drawn_anew(tmp_path, monkeypatch, name):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    monkeypatch.setattr(scenes, "COUNTS", FEW)
    folder = dataset_folder("scenes")
    before = sorted(path for path in folder.rglob("*"))
    assert dataset_folder("scenes") == folder
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.warns(UserWarning, match="is damaged; the scenes are drawn anew"):
        dataset_folder("scenes")
    assert sorted(path for path in folder.rglob("*")) == before


def test_what_finder_leaves_among_the_scenes_is_no_damage(tmp_path, monkeypatch, recwarn):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    monkeypatch.setattr(scenes, "COUNTS", FEW)
    folder = dataset_folder("scenes")
    for place in (folder, folder / "splits", folder / "Images"):
        (place / ".DS_Store").write_bytes(b"\xff")
    assert dataset_folder("scenes") == folder
    assert (folder / ".DS_Store").exists(), "they were not drawn anew"
    # Since 3.12 Python warns of each fork, which it does for the workers on Linux.
    assert not [each for each in recwarn if each.category is UserWarning]


class BreakingPool:
    """A pool whose workers die after the first job.

    They do in a script without `if __name__ == "__main__":`.
    """

    def __init__(self, workers, initializer=None):
        pass

    def map(self, function, jobs):
        yield function(jobs[0])
        raise scenes.BrokenProcessPool

    def shutdown(self, **options):
        pass


def no_pool(workers, initializer=None):
    raise OSError("no semaphores here")


@pytest.mark.parametrize("pool", [BreakingPool, no_pool])
def test_without_worker_processes_the_work_is_done_here(tmp_path, monkeypatch, pool):
    scenes.write_scenes(tmp_path / "one", FEW, size=32, workers=1)
    monkeypatch.setattr(scenes, "ProcessPoolExecutor", pool)
    scenes.write_scenes(tmp_path / "two", FEW, size=32, workers=2)
    assert read_files(tmp_path / "one") == read_files(tmp_path / "two")
