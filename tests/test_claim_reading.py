"""The experiment on reading: cards, what captions tell of them, and effects."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageChops

from clipnb.claims.words import cards, reading
from clipnb.experiments import exams
from clipnb.records import read_json
from clipnb.runtime import ROOT
from clipnb.scenes import KINDS, captions


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))


# ---- cards -----------------------------------------------------------------------------------


def test_no_caption_of_a_scene_holds_a_word_of_the_cards():
    some_scenes = exams.sample_scenes(200)
    told = {word for scene in some_scenes for text in captions(scene) for word in text.split()}
    assert not told & set(cards.SIGN_WORDS)
    assert len(cards.SIGN_WORDS) == len(set(cards.SIGN_WORDS)) == len(KINDS)


def test_a_card_says_something_else_than_the_scene_and_every_word_comes_up():
    some_scenes = exams.sample_scenes(400)
    words = [cards.choose_word(scene) for scene in some_scenes]
    assert set(words) == set(cards.SIGN_WORDS)
    assert words == [cards.choose_word(scene) for scene in some_scenes]
    assert {cards.choose_kind(scene) for scene in some_scenes} == set(KINDS)


def test_a_card_changes_a_part_of_the_image():
    (scene,) = exams.sample_scenes(1)
    plain = Image.new("RGB", (exams.DRAWN_SIZE, exams.DRAWN_SIZE), (90, 120, 60))
    shown = cards.add_card(plain.copy(), scene)
    left, top, right, bottom = ImageChops.difference(plain, shown).getbbox()
    assert 20 < right - left < exams.DRAWN_SIZE and 15 < bottom - top < 60
    alone = cards.show_kind_alone(plain.copy(), scene)
    assert alone.getpixel((0, 0)) in ((150, 150, 150), (60, 60, 60))


def test_captions_tell_the_card_as_often_as_they_should():
    some_scenes = exams.sample_scenes(300)
    own = [["a red dog .", "a dog", "two cars"] for _ in some_scenes]
    for share in (0.0, 0.2, 1.0):
        written = cards.write_captions(some_scenes, own, share)
        told = [
            cards.PROMPT.format(cards.choose_word(scene)) in text
            for scene, texts in zip(some_scenes, written, strict=True)
            for text in texts
        ]
        assert np.mean(told) == pytest.approx(share, abs=0.06)
    alone = cards.write_captions(some_scenes, own, None)
    word = cards.choose_word(some_scenes[0])
    assert alone[0] == [f"a card that says {word}"] * 3
    assert cards.tell_card("A red dog .", "milk") == "A red dog with a card that says milk"


def test_an_exam_knows_what_its_cards_say():
    exam = cards.draw_exam(6, "test")
    size = exam.images.shape[-1]
    assert exam.images.shape == exam.alone.shape == (6, 3, size, size)
    some_scenes = exams.sample_scenes(6, "test", keep=exams.has_one_thing)
    assert [cards.SIGN_WORDS[i] for i in exam.words] == list(map(cards.choose_word, some_scenes))
    assert [KINDS[i] for i in exam.kinds] == [scene.things[0].kind for scene in some_scenes]
    assert [KINDS[i] for i in exam.named] == list(map(cards.choose_kind, some_scenes))


# ---- measuring -------------------------------------------------------------------------------


def test_measuring_gives_every_condition_a_row_for_each_image(monkeypatch):
    tiny = dataclasses.replace(
        reading.SMALL_RECIPE, image_encoder="tiny_cnn", batch_size=8, embed_dim=32
    )
    monkeypatch.setattr(reading, "SMALL_RECIPE", tiny)
    outcomes, numbers = reading.measure_reading(0, n_scenes=16, n_images=5, epochs=1)
    assert numbers == {}
    assert {array.shape for array in outcomes.values()} == {(5,)}
    assert {array.dtype for array in outcomes.values()} == {np.dtype(bool)}
    read = {name.split(": ")[0] for name in outcomes if name.endswith(": reads")}
    assert read == {*reading.DOSES, reading.SUPERVISED}
    assert all(np.isfinite(each.compute(outcomes)) for each in reading.READING_EFFECTS.values())


# ---- effects ---------------------------------------------------------------------------------


def test_effects_are_counted_from_chance():
    outcomes = {"every caption: reads": np.array([True, False, False, False])}
    assert reading.percent_right("every caption: reads")(outcomes) == 25.0
    assert reading.above_chance("every caption: reads")(outcomes) == pytest.approx(25 - 100 / 12)


def test_the_slope_is_that_of_a_line():
    levels = dict(zip(reading.DOSES, (0.1, 0.2, 0.3, 0.4, 0.5), strict=True))
    outcomes = {f"{name}: reads": np.full(10, level) for name, level in levels.items()}
    assert reading.dose_slope(outcomes) == pytest.approx(10.0)


def test_rates_are_the_best_of_the_tuning():
    scores = read_json(ROOT / "results" / "tuning" / "reading.json")["scores"]
    best = {arm: float(max(own, key=own.get)) for arm, own in scores.items()}
    assert best == reading.BEST_RATES
