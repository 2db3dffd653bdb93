"""The images in figures/: there, not blank, small; and the code that draws them still runs."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipnb.datasets import CaptionDataset

FIGURES = Path(__file__).resolve().parent.parent / "figures"
NAMES = [
    *(f"roadmap_{number:02}" for number in (*range(1, 11), 14)),
    "model",
    "ladder",
    "verdicts",
    "hero",
]


@pytest.fixture
def draw(monkeypatch):
    monkeypatch.syspath_prepend(FIGURES)
    return importlib.import_module("draw")


def check_image(path):
    assert path.stat().st_size < 400_000
    with Image.open(path) as image:
        assert image.width > 1000
        assert np.asarray(image.convert("L")).std() > 5, f"{path.name} is blank"


def test_names(draw):
    assert list(draw.DRAWN) == NAMES
    assert sorted(path.stem for path in FIGURES.glob("*.png")) == sorted(NAMES), (
        "run `make figures`; an image no code draws has no place here"
    )


@pytest.mark.parametrize("name", NAMES)
def test_committed(name):
    check_image(FIGURES / f"{name}.png")


@pytest.mark.parametrize("name", ["roadmap_01", "roadmap_09", "model"])
def test_drawing_is_reproducible(draw, name, tmp_path):
    for copy in "ab":
        draw.save(draw.DRAWN[name](), tmp_path / f"{copy}.png")
    check_image(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_model_tells_the_counts(draw):
    told = " ".join(text.get_text() for text in draw.draw_model().texts)
    for number in (
        "7,351,489",
        "6,324,224",
        "4 × 198,272",
        "9,856",
        "65,536",
        "896",
        "18,496",
        "73,856",
        "86 %",
    ):
        assert number in told


def test_right_answers(draw):
    dog, cats = (
        {"kind": "dog", "colour": "red", "size": "big", "count": 1},
        {"kind": "cat", "colour": "blue", "size": "small", "count": 2},
    )
    labels = [
        {"place": place, "objects": [dog, cats], "relation": "above"} for place in ("beach", "snow")
    ]
    dataset = CaptionDataset(
        "scenes", "test", np.zeros((2, 3, 8, 8), np.uint8), [["a"] * 5] * 2, ["0", "1"], labels
    )
    assert draw.right_answers(dataset, "cat", "blue", "snow") == {"1"}
    assert (
        draw.right_answers(dataset, "cat", "red", "snow") == set()
    )  # a red thing and a cat, but no red cat
    assert draw.ask("cat", "blue", "snow") == "blue cats in the snow"
