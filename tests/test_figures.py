"""The images in figures/ are there, not blank, and small; and the code that draws them runs."""

import importlib
import math

import numpy as np
import pytest
import torch
from PIL import Image

from clipnb.datasets import CaptionDataset
from clipnb.encoders import ResidualCNN, ViT
from clipnb.runtime import ROOT

FOLDER = ROOT / "figures"
ROADMAPS = [f"roadmap_{number:02}" for number in range(15)]
DIAGRAMS = [
    "sliding_window",
    "residual_block",
    "attention_flow",
    "transformer_block",
    "patches",
]
NAMES = [*ROADMAPS, *DIAGRAMS, "model", "ladder", "verdicts", "hero"]
ANIMATIONS = ["pairs_let_go", "matrix_training"]
RECORDED = ["page", "search"]  # in a browser, not drawn


@pytest.fixture
def import_figures(monkeypatch):
    """A function that imports a module of figures/ by its name."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def check_image(path, largest=300_000):
    assert path.stat().st_size < largest
    with Image.open(path) as image:
        assert image.width > 1000
        assert np.asarray(image.convert("L")).std() > 5, f"{path.name} is blank"


def read_texts(ax):
    """Return all words of a figure, in the order in which they were written."""
    return [text.get_text() for text in ax.texts]


# ---- what is committed -----------------------------------------------------------------------


def test_every_image_has_code_that_draws_it(import_figures):
    draw = import_figures("draw")
    assert list(draw.FIGURES) == NAMES
    assert list(draw.ANIMATIONS) == ANIMATIONS
    stills = {path.stem for path in FOLDER.glob("*.png")} - set(RECORDED)
    moving = {path.stem for path in FOLDER.glob("*.gif")} - set(RECORDED)
    assert stills == set(NAMES), "run `make figures`"
    assert moving == set(ANIMATIONS), "run `make figures`"


@pytest.mark.parametrize("name", NAMES)
def test_committed_images_are_small_and_not_blank(name):
    check_image(FOLDER / f"{name}.png")


@pytest.mark.parametrize("name", ANIMATIONS)
def test_animations_are_small_and_loop_with_a_pause_at_the_end(name):
    path = FOLDER / f"{name}.gif"
    assert path.stat().st_size < 1_500_000
    with Image.open(path) as animation:
        assert animation.width <= 900
        assert animation.info["loop"] == 0, "0 is for ever"
        durations, spreads = [], []
        for i in range(animation.n_frames):
            animation.seek(i)
            durations.append(animation.info["duration"])  # milliseconds
            spreads.append(np.asarray(animation.convert("L")).std())
    assert len(durations) >= 15
    assert min(durations) >= 100, "a frame can be seen"
    assert durations[-1] >= 2000, "the end can be looked at"
    assert min(spreads) > 5, "no frame is blank"


@pytest.mark.parametrize("name", ANIMATIONS)
def test_an_animation_begins_on_white_and_changes(name):
    with Image.open(FOLDER / f"{name}.gif") as animation:
        first = np.asarray(animation.convert("RGB")).astype(int)
        animation.seek(animation.n_frames - 1)
        last = np.asarray(animation.convert("RGB")).astype(int)
    assert (first[20, 20] == 255).all()
    assert (abs(first - last).max(axis=-1) > 50).mean() > 0.01, "more than 1 % of the pixels"


@pytest.mark.parametrize("name", ["roadmap_01", "roadmap_09", "patches", "model"])
def test_drawing_twice_gives_the_same_bytes(import_figures, name, tmp_path):
    draw = import_figures("draw")
    for copy in ("a", "b"):
        draw.save_figure(draw.FIGURES[name](), tmp_path / f"{copy}.png")
    check_image(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_saving_frames_twice_gives_the_same_bytes(import_figures, tmp_path):
    pairs = import_figures("pairs_let_go")
    path, losses = pairs.let_go()
    thumbnails = [pairs.render(scene, 40) for scene in pairs.SIX_SCENES]
    for copy in ("a", "b"):
        frames = [pairs.draw_frame(step, path[step], losses, thumbnails) for step in (0, 50)]
        import_figures("animation").save_animation(frames, 100, tmp_path / f"{copy}.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


@pytest.mark.parametrize("name", [*DIAGRAMS, "roadmap_00", "roadmap_14"])
def test_type_is_large_enough_in_a_page_of_900_pixels(import_figures, name):
    ax = import_figures("draw").FIGURES[name]()
    points_on_page = 900 / ax.figure.get_figwidth() / 100  # a card has 100 units an inch
    sizes = [text.get_fontsize() * points_on_page * 100 / 96 for text in ax.texts]
    assert min(sizes) > 8.9


# ---- what the figures say --------------------------------------------------------------------


def test_every_roadmap_shows_the_whole_course(import_figures):
    draw = import_figures("draw")
    names = {"See it work", "Data", "Encoders", "Loss", "Training", "Retrieval", "Better"}
    names |= {"Real CLIP"}
    names |= {"Zero-shot", "Objectives", "Few-shot", "Robustness", "Scaling", "Verdicts"}
    for number in (0, 5, 11, 14):
        assert names <= set(read_texts(draw.FIGURES[f"roadmap_{number:02}"]()))


def test_a_roadmap_ticks_what_lies_before_on_the_same_way(import_figures):
    texts = read_texts(import_figures("draw").FIGURES["roadmap_08"]())
    assert not {"00", "6", "7"} & set(texts), "ticks stand in place of these numbers"
    assert {"1", "5", "11", "8", "9", "14"} <= set(texts)


def test_the_sliding_window_shows_a_true_convolution(import_figures):
    convolution = import_figures("convolution")
    padded = np.pad(convolution.PIXELS, 1)
    output = convolution.convolve()
    for (row, column), value in np.ndenumerate(output):
        window = padded[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        assert value == (window * convolution.SOBEL).sum()
    texts = read_texts(convolution.draw_sliding_window())
    assert any(text.endswith(f"= {output[1, 1]}") for text in texts)


def test_the_attention_figure_tells_what_attention_gives(import_figures):
    attention = import_figures("attention")
    steps = attention.attend()
    expected = torch.nn.functional.scaled_dot_product_attention(
        steps["q"][None], steps["k"][None], steps["v"][None]
    )[0]
    torch.testing.assert_close(steps["y"], expected)
    rounded = (100 * steps["weights"]).round()
    assert (rounded.sum(dim=1) == 100).all(), "the printed weights of a row add up to 1.00"
    texts = " ".join(read_texts(attention.draw_attention_flow()))
    assert "0.88 · (2, 0) + 0.01 · (0, 1) + 0.11 · (1, 0.5) = (1.87, 0.07)" in texts


def test_the_shapes_of_the_residual_block_are_those_of_the_code(import_figures):
    convolution = import_figures("convolution")
    network = ResidualCNN().eval()
    stem = network.stem(torch.zeros(2, 3, 64, 64))
    block = network.blocks[0](stem)
    texts = read_texts(convolution.draw_residual_block())
    for output in (stem, block, network.blocks[1](block)):
        assert convolution.format_shape(*output.shape[1:3]) in texts


def test_the_patches_are_those_of_unfold_and_of_the_convolution(import_figures):
    patches = import_figures("patches")
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    images = torch.tensor(image).permute(2, 0, 1)[None].float()  # (1, 3, 64, 64)
    tokens = images.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).reshape(1, 64, 192)
    number = patches.NUMBER - 1
    mine = patches.cut(image)[patches.SHOWN].transpose(2, 0, 1).reshape(-1)
    assert (tokens[0, number].numpy() == mine).all()
    assert patches.project(image).shape == (1, ViT(64).width)


def test_the_pairs_meet(import_figures):
    path, losses = import_figures("pairs_let_go").let_go()
    apart = (path[-1, 0] - path[-1, 1] + 180) % 360 - 180  # degrees
    assert apart.abs().max() < 15
    assert losses[-1] < 0.5 < math.log(6) < losses[0]


def test_the_matrix_is_learned(import_figures):
    matrix_training = import_figures("matrix_training")
    record = matrix_training.load_record()
    first, last = record["frames"][0], record["frames"][-1]
    assert [frame["step"] for frame in record["frames"]] == matrix_training.STEPS_SHOWN
    assert last["step"] == len(record["losses"])
    choices = np.argmax(last["cosines"], axis=1)
    assert (choices == np.arange(8)).all()
    assert first["recall"] < 1 < 70 < last["recall"]
    assert abs(record["losses"][0] - math.log(128)) < 0.5


def test_the_model_figure_tells_the_counts(import_figures):
    ax = import_figures("model").draw_model()
    told = " ".join(read_texts(ax))
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
