"""The images in figures/ are there, not blank, and small; and the code that draws them runs."""

import importlib

import numpy as np
import pytest
from PIL import Image

from clipnb.datasets import CaptionDataset
from clipnb.runtime import ROOT

FOLDER = ROOT / "figures"
ROADMAPS = [f"roadmap_{number:02}" for number in (*range(1, 11), 14)]
NAMES = [*ROADMAPS, "model", "ladder", "verdicts", "hero"]


@pytest.fixture
def import_figures(monkeypatch):
    """A function that imports a module of figures/ by its name."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def check_image(path):
    assert path.stat().st_size < 400_000
    with Image.open(path) as image:
        assert image.width > 1000
        assert np.asarray(image.convert("L")).std() > 5, f"{path.name} is blank"


def test_every_image_has_code_that_draws_it(import_figures):
    assert list(import_figures("draw").FIGURES) == NAMES
    assert sorted(path.stem for path in FOLDER.glob("*.png")) == sorted(NAMES), "run `make figures`"


@pytest.mark.parametrize("name", NAMES)
def test_committed_images_are_small_and_not_blank(name):
    check_image(FOLDER / f"{name}.png")


@pytest.mark.parametrize("name", ["roadmap_01", "roadmap_09", "model"])
def test_drawing_twice_gives_the_same_bytes(import_figures, name, tmp_path):
    draw = import_figures("draw")
    for copy in ("a", "b"):
        draw.save_figure(draw.FIGURES[name](), tmp_path / f"{copy}.png")
    check_image(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_model_figure_tells_the_counts(import_figures):
    ax = import_figures("model").draw_model()
    told = " ".join(text.get_text() for text in ax.texts)
    assert "7,351,489" in told  # the whole model
    assert "6,324,224" in told  # the token embedding
    assert "86 %" in told  # its share
    assert "9,856" in told  # positions
    assert "4 × 198,272" in told  # transformer layers
    assert "65,536" in told  # a projection
    for convolution in ("896", "18,496", "73,856"):
        assert convolution in told


@pytest.fixture
def beach_and_snow():
    """A dataset of two images: a red dog and blue cats, once on a beach and once in the snow."""
    dog = {"kind": "dog", "colour": "red", "size": "big", "count": 1}
    cats = {"kind": "cat", "colour": "blue", "size": "small", "count": 2}
    labels = [
        {"place": place, "objects": [dog, cats], "relation": "above"} for place in ("beach", "snow")
    ]
    images = np.zeros((2, 3, 8, 8), np.uint8)
    return CaptionDataset("scenes", "test", images, [["a"] * 5] * 2, ["0", "1"], labels)


def test_right_images_show_kind_colour_and_place_as_asked(import_figures, beach_and_snow):
    query = import_figures("hero").Query("cat", "blue", "snow")
    assert query.find_right_images(beach_and_snow) == {"1"}


def test_kind_and_colour_of_two_things_make_no_right_image(import_figures, beach_and_snow):
    query = import_figures("hero").Query("cat", "red", "snow")
    assert query.find_right_images(beach_and_snow) == set()


def test_a_query_is_told_as_people_say_it(import_figures):
    hero = import_figures("hero")
    assert hero.Query("cat", "blue", "snow").format_text() == "blue cats in the snow"
    assert hero.Query("kite", "black", "beach").format_text() == "black kites over the beach"
