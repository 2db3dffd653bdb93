"""The scenes: the same everywhere, true in every word, readable, and written whole or not at all."""

import collections
import hashlib
import itertools
import json
import random
import re

import numpy as np
import pytest

from clipnb import scenes
from clipnb.scenes import (
    COLOURS,
    COUNTS,
    HELD_OUT,
    KINDS,
    PLACES,
    RELATIONS,
    Scene,
    Thing,
    annotators,
    captions,
    dataset_scene,
    drawing,
    labels,
    landscapes,
    layout,
    pictograms,
    render,
)

FEW = {"train": 8, "dev": 3, "test": 3, "compositions": 3}


def some_scenes(n, split="train"):
    return [dataset_scene(split, i) for i in range(n)]


def words(caption):
    return re.findall(r"[a-z-]+", caption.lower())


# --- the same everywhere ---------------------------------------------------------------------------------------------------------


def test_the_first_scene_is_the_same_on_every_platform():
    scene = dataset_scene("train", 5)
    assert labels(scene) == {
        "place": "night",
        "relation": "below",
        "objects": [
            {"kind": "bird", "colour": "green", "size": "small", "count": 1},
            {"kind": "house", "colour": "red", "size": "big", "count": 2},
        ],
    }
    assert captions(scene)[0] == "little green bird at night"
    assert captions(scene)[1] == "A small green bird under two big red houses under the stars ."


def test_two_thousand_captions_and_labels_are_the_same_on_every_platform():
    told = [
        (labels(scene), captions(scene)) for split in COUNTS for scene in some_scenes(100, split)
    ]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    assert digest[:16] == "2fd5e345b75bb2d2", (
        "captions or labels have changed: raise scenes.VERSION, and pin the new digest"
    )


def test_images_do_not_depend_on_what_was_drawn_before():
    scene = dataset_scene("train", 3)
    first = render(scene).tobytes()
    random.seed(1), np.random.seed(1), render(dataset_scene("train", 4))
    assert render(scene).tobytes() == first


# --- what is in a scene ----------------------------------------------------------------------------------------------------------


def test_every_name_is_known_to_every_module():
    assert (
        set(PLACES)
        == set(landscapes.PLACES)
        == set(landscapes.HORIZON)
        == set(landscapes.ODDS)
        == set(annotators.WHERE)
    )
    assert (
        set(KINDS)
        == set(pictograms.PICTOGRAMS)
        == set(annotators.NOUNS)
        == set(annotators.DOING)
        == set(scenes.HOMES)
    )
    assert set(COLOURS) == set(drawing.HUES) == set(annotators.HUES)
    assert len(PLACES) >= 6 and len(KINDS) >= 10 and len(COLOURS) == 8


def test_all_values_occur_and_two_things_are_of_different_kinds():
    seen = collections.Counter()
    for scene in some_scenes(1500):
        seen.update([scene.place, scene.relation])
        for thing in scene.things:
            seen.update([thing.kind, thing.colour, thing.size, thing.count])
        assert len({t.kind for t in scene.things}) == len(scene.things) in (1, 2)
        assert (scene.relation is None) == (len(scene.things) == 1)
    for values, least in (
        (PLACES, 100),
        (KINDS, 140),
        (COLOURS, 200),
        (RELATIONS, 150),
        (scenes.SIZES, 800),
        ((1, 2, 3), 600),
    ):
        assert all(seen[value] > least for value in values), {
            value: seen[value] for value in values
        }


def test_compositions_are_pairs_never_seen_in_the_other_splits():
    for split in ("train", "dev", "test"):
        assert not any(
            (t.kind, t.colour) in HELD_OUT
            for scene in some_scenes(1000, split)
            for t in scene.things
        )
    met = {(t.kind, t.colour) for scene in some_scenes(300, "compositions") for t in scene.things}
    assert met == HELD_OUT
    assert set(collections.Counter(colour for _, colour in HELD_OUT).values()) == {2}
    assert all(1 <= n <= 2 for n in collections.Counter(kind for kind, _ in HELD_OUT).values())


def test_labels_survive_json():
    assert all(json.loads(json.dumps(labels(scene))) == labels(scene) for scene in some_scenes(50))


# --- captions --------------------------------------------------------------------------------------------------------------------


def vocabulary_of(values, phrases):
    """{word: the values it can stand for}, from phrases(value) -> list of str."""
    meaning = collections.defaultdict(set)
    for value in values:
        for phrase in phrases(value):
            for word in words(phrase):
                meaning[word].add(value)
    return meaning


COMMON = {
    "on",
    "in",
    "at",
    "a",
    "the",
    "of",
    "over",
    "under",
    "day",
    "toy",
    "round",
    "flying",
    "with",
    "open",
}  # name nothing by themselves
KIND_WORDS = vocabulary_of(
    KINDS,
    lambda k: [
        noun
        for pair in [*annotators.NOUNS[k][0], *annotators.NOUNS[k][1], annotators.NOUNS[k][2]]
        for noun in pair
    ],
)
COLOUR_WORDS = vocabulary_of(COLOURS, lambda c: [c, *annotators.HUES[c]])
SIZE_WORDS = vocabulary_of(scenes.SIZES, lambda s: annotators.SIZES[s])
PLACE_WORDS = vocabulary_of(
    PLACES, lambda p: [phrase for group in annotators.WHERE[p] for phrase in group]
)


def test_captions_never_say_what_is_not_there():
    counts = {"two": 2, "pair": 2, "three": 3, "several": 3, "few": 3, "some": 3}
    for split in ("train", "compositions"):
        for scene, caption in ((s, c) for s in some_scenes(500, split) for c in captions(s)):
            told = set(words(caption)) - COMMON
            for meaning, truth in (
                (KIND_WORDS, {t.kind for t in scene.things}),
                (COLOUR_WORDS, {t.colour for t in scene.things}),
                (SIZE_WORDS, {t.size for t in scene.things}),
                (PLACE_WORDS, {scene.place}),
            ):
                for word in told & set(meaning):
                    assert meaning[word] & truth, (word, caption, scene)
            for word in told & set(counts):
                assert counts[word] in {t.count for t in scene.things}, (caption, scene)


def test_each_noun_comes_with_its_own_number_colour_and_size():
    for scene in some_scenes(600):
        for caption in captions(scene):
            found = re.findall(
                r"\b(two|a pair of|three|some|several|a few|an?|one) ((?:[a-z-]+ )*?)(%s)\b"
                % "|".join(sorted(KIND_WORDS, key=len, reverse=True)),
                caption.lower(),
            )
            for number, adjectives, noun in found:
                things = [t for t in scene.things if t.kind in KIND_WORDS[noun]]
                count = {"a": (1,), "an": (1,), "one": (1,), "two": (2,), "a pair of": (2,)}.get(
                    number, (3,)
                )
                adjectives = adjectives.split()
                if not all(w in COLOUR_WORDS or w in SIZE_WORDS for w in adjectives):
                    continue  # the match ran over something else ("a beach with ...", "toy ball")
                assert any(
                    t.count in count
                    and all(
                        t.colour in COLOUR_WORDS[w] or t.size in SIZE_WORDS[w] for w in adjectives
                    )
                    for t in things
                ), (caption, scene)


def test_relations_in_captions_are_true():
    ways = {
        phrase: relation for relation, phrases in annotators.RELATIONS.items() for phrase in phrases
    }
    told = 0
    for scene in [s for s in some_scenes(600) if s.relation]:
        first, second = scene.things
        for caption in captions(scene):
            found = re.search(
                r"(.*?)\b(%s) (?!the stars|a starry)(.*)"
                % "|".join(sorted(ways, key=len, reverse=True)),
                caption.lower(),
            )
            if not found or not {w for w in words(found[3]) if w in KIND_WORDS and w not in COMMON}:
                continue
            before, after = (
                {k for w in words(part) if w not in COMMON for k in KIND_WORDS.get(w, ())}
                for part in (found[1], found[3])
            )
            relation = ways[found[2]]
            expected = (
                scene.relation if first.kind in before else annotators.OPPOSITE[scene.relation]
            )
            assert relation == expected and (first.kind in before) == (second.kind in after), (
                caption,
                scene,
            )
            told += 1
    assert told > 300


def test_captions_read_like_flickr8k():
    told = [captions(scene) for scene in some_scenes(800)]
    flat = list(itertools.chain(*told))
    lengths = [len(words(caption)) for caption in flat]
    assert all(len(five) == 5 for five in told) and min(lengths) >= 1
    assert 8 <= np.mean(lengths) <= 12
    assert 150 <= len({word for caption in flat for word in words(caption)}) <= 260
    assert (
        len({caption[0].isupper() for caption in flat}) == 2
        and len({caption.rstrip()[-1] == "." for caption in flat}) == 2
    )
    assert not any(
        re.search(r"\ba [aeiou]|\ban [^aeiou]|  |\n|^ ", caption.lower()) for caption in flat
    )


def test_equal_captions_of_different_images_occur_but_are_few():
    owners = collections.defaultdict(set)
    told = [
        [" ".join(words(caption)) for caption in captions(scene)] for scene in some_scenes(1500)
    ]
    for i, five in enumerate(told):
        for caption in five:
            owners[caption].add(i)
    share = np.mean([len(owners[caption]) > 1 for five in told for caption in five])
    assert 0.01 < share < 0.10  # 3 % here, 7 % among all 6,000 training images


# --- drawings --------------------------------------------------------------------------------------------------------------------


def test_the_relation_holds_between_all_members_as_drawn():
    for scene in [s for s in some_scenes(800) if s.relation]:
        first, second = ([p for p in layout(scene) if p.thing == i] for i in (0, 1))
        assert len(first) == scene.things[0].count and len(second) == scene.things[1].count
        for p, q in itertools.product(first, second):
            distance = {
                "left of": q.x - p.x,
                "right of": p.x - q.x,
                "above": q.y - p.y,
                "below": p.y - q.y,
            }[scene.relation]
            assert distance > 0.15, scene


@pytest.mark.parametrize("relation", RELATIONS)
def test_the_relation_holds_in_the_pixels(relation):
    scene = Scene(
        "snow", (Thing("ball", "red", "big", 1), Thing("kite", "green", "big", 1)), relation, 7
    )
    r, g, b = np.asarray(render(scene), dtype=int).transpose(2, 0, 1)
    (ry, rx), (gy, gx) = (
        np.argwhere(mask).mean(0)
        for mask in ((r > g + 70) & (r > b + 70), (g > r + 40) & (g > b + 25))
    )
    assert {"left of": rx < gx, "right of": rx > gx, "above": ry < gy, "below": ry > gy}[relation]


def test_small_is_smaller_than_big_and_members_can_be_told_apart():
    assert all(
        1.15 * table["small"][1] < table["big"][0] for table in (drawing.HEIGHT, drawing.CROWDED)
    )
    gaps = []
    for scene in some_scenes(400):
        placed, heights = (
            layout(scene),
            drawing.HEIGHT if sum(t.count for t in scene.things) < 4 else drawing.CROWDED,
        )
        for p in placed:
            low, high = heights[scene.things[p.thing].size]
            assert low <= p.height <= high and 0 < p.x < 1 and 0 < p.y < 1
        gaps += [
            drawing._gap((p.x, p.y, p.height), [(q.x, q.y, q.height)])
            for p, q in itertools.combinations(placed, 2)
        ]
    assert min(gaps) > 0.2 and np.mean(np.array(gaps) < 0.3) < 0.02  # 0.5 touch: none hides another


def test_styles_differ_and_keep_size_and_mode():
    scene = dataset_scene("train", 2)
    for size in (32, 64, 224):
        images = [render(scene, size, style) for style in drawing.STYLES]
        assert all(p.size == (size, size) and p.mode == "RGB" for p in images)
        for a, b in itertools.combinations(images, 2):
            assert np.abs(np.asarray(a, dtype=int) - np.asarray(b)).mean() > 4
    with pytest.raises(ValueError, match="sketch"):
        render(scene, 64, "cubist")


def test_images_are_smooth_and_the_same_at_every_size():
    for scene in some_scenes(12):
        small, large = (
            np.asarray(render(scene, 64), dtype=int),
            np.asarray(render(scene, 128).reduce(2), dtype=int),
        )
        assert np.abs(small - large).mean() < 3
        assert len(np.unique(small.reshape(-1, 3), axis=0)) > 400 and small.std() > 15


def test_every_pictogram_fits_its_box_in_every_colour():
    for kind, colour in itertools.product(KINDS, COLOURS):
        points = np.array(
            [
                point
                for part in pictograms.PICTOGRAMS[kind]
                for _, points in part
                for point in points
            ]
        )
        assert points.min() > -3 and points.max() < 103
        canvas = drawing.Canvas(96)
        drawing.paint_thing(
            canvas, drawing.Placed(0, kind, 0.5, 0.5, 0.8, 0, False), colour, random.Random(0)
        )
        pixels = np.asarray(canvas.image).reshape(-1, 3)
        assert 0.1 < (pixels.max(1) > 0).mean() < 0.8


# --- the folder ------------------------------------------------------------------------------------------------------------------


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_folder_is_complete_and_the_same_each_time_with_any_number_of_workers(tmp_path):
    scenes.write_scenes(tmp_path / "one", FEW, size=32, workers=1)
    scenes.write_scenes(tmp_path / "two", FEW, size=32, workers=2)
    files = contents(tmp_path / "one")
    assert files == contents(tmp_path / "two")
    lines = files["captions.txt"].decode().splitlines()
    assert lines[0] == "image,caption" and len(lines) == 1 + 5 * sum(FEW.values())
    assert lines[1].split(",", 1) == ["train_00000.jpg", captions(dataset_scene("train", 0))[0]]
    truth = json.loads(files["labels.json"])
    for split, n in FEW.items():
        names = files[f"splits/{split}.txt"].decode().split()
        assert len(names) == n and all(
            f"Images/{name}" in files and name in truth for name in names
        )


def test_another_seed_gives_other_scenes():
    assert captions(dataset_scene("train", 0, seed=1)) != captions(dataset_scene("train", 0))
    assert dataset_scene("dev", 0) != dataset_scene("train", 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_first_run_leaves_nothing_behind(tmp_path, monkeypatch, error):
    def render_some(scene, size, left=iter(range(9))):
        if next(left, None) is None:
            raise error
        return render(scene, size)

    monkeypatch.setattr(scenes, "render", render_some)
    with pytest.raises(error):
        scenes.write_scenes(tmp_path / "scenes", FEW, size=32, workers=1)
    assert list(tmp_path.iterdir()) == []


class BreakingPool:
    """A pool whose workers die after the first job, as they do in a script without `if __name__ == "__main__":`."""

    def __init__(self, workers):
        pass

    def map(self, function, *arguments):
        yield function(*(values[0] for values in arguments))
        raise scenes.BrokenProcessPool

    def shutdown(self, **options):
        pass


def no_pool(workers):
    raise OSError("no semaphores here")


@pytest.mark.parametrize("pool", [BreakingPool, no_pool])
def test_without_worker_processes_the_work_is_done_here(tmp_path, monkeypatch, pool):
    scenes.write_scenes(tmp_path / "one", FEW, size=32, workers=1)
    monkeypatch.setattr(scenes, "ProcessPoolExecutor", pool)
    scenes.write_scenes(tmp_path / "two", FEW, size=32, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
