"""Notebook 10's experiments: the power law, the towers, batch size, temperature and clamp, on outcomes made by hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from clipnb import RECIPES, create_model
from clipnb.experiments import exams, scaling, temperature

pytestmark = pytest.mark.filterwarnings(
    "ignore:class"
)  # tiny vocabularies have not seen every word
TINY = dataclasses.replace(
    RECIPES["quick"], image_encoder="tiny_cnn", image_size=48, stored_size=32, batch_size=8
)
FOUND = lambda mean, low, high: {"mean": mean, "interval": [low, high]}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))


def share(right):
    "Outcomes of eight images, `right` of each."
    return np.full(8, right)


def test_multiply_adds_are_those_counted_by_hand():
    model = create_model(TINY)
    image, text = scaling.multiply_adds(model, 32, tokens=12)
    convolutions = 16**2 * 32 * 3 * 9 + 8**2 * 64 * 32 * 9 + 4**2 * 128 * 64 * 9
    assert image == convolutions + model.image_projection.weight.numel()
    assert text == model.text_projection.weight.numel()  # a bag of words looks its words up


def grid(error):
    "Outcomes of a grid whose error is that function of width, images and compute."
    compute = {
        f"{width} x {size}": float(width**2 * size)
        for width in (48, 96)
        for size in (1000, 2000, 4000)
    }
    return {
        arm: share(1 - error(*(int(n) for n in arm.split(" x ")), C)) for arm, C in compute.items()
    } | {"compute": compute}


def test_a_power_law_is_found_and_predicts():
    o = grid(lambda width, size, C: 40 * C**-0.3)
    assert -scaling.law(o).slope == pytest.approx(0.3) and scaling.law(
        o
    ).rvalue ** 2 == pytest.approx(1)
    assert scaling.prediction_error(o) == pytest.approx(0, abs=1e-9)


def test_width_and_images_have_exponents_of_their_own_where_one_line_does_not_fit():
    o = grid(lambda width, size, C: 30 * width**-0.2 * size**-0.5)
    assert scaling.two_exponents(o) == pytest.approx((1, 0.2, 0.5))
    assert scaling.law(o).rvalue ** 2 < 0.8


def test_a_floor_is_missed_by_the_line_and_the_miss_has_a_sign():
    falls_less = grid(lambda width, size, C: 0.2 + 40 * C**-0.4)
    assert scaling.prediction_error(falls_less) < 0  # the line promises less error than there is


def test_a_perfect_arm_has_a_finite_logarithm():
    assert np.isfinite(scaling.law(grid(lambda width, size, C: 0.5 if size < 4000 else 0.0)).slope)


def test_the_law_is_judged_by_its_slope_and_its_fit():
    judge = lambda low, fit: scaling.judge_scaling(
        {"exponent b": FOUND(0.3, low, 0.4), "R² of the line": FOUND(fit, 0, 1)}
    )[0]
    assert (judge(0.2, 0.9), judge(0.2, 0.7), judge(-0.1, 0.9)) == (
        "replicated",
        "partly",
        "contradicted",
    )


def test_what_a_tower_gains_is_the_mean_over_tasks():
    o = {
        f"{arm}, {task}": share(value)
        for arm, value in (
            ("both small", 0.5),
            ("image tower takes all", 0.6),
            ("text tower takes all", 0.5),
        )
        for task in scaling.TASKS
    }
    o["image tower takes all, place"] = share(0.9)
    assert scaling.gain("image")(o) == pytest.approx((10 + 10 + 40) / 3) and scaling.gain("text")(
        o
    ) == pytest.approx(0)
    judge = lambda low, high: scaling.judge_towers(
        {
            "image minus text": FOUND(0, low, high),
            "image tower takes all": FOUND(1, 0, 2),
            "text tower takes all": FOUND(1, 0, 2),
        }
    )[0]
    assert (judge(1, 3), judge(-1, 2), judge(-3, -1)) == (
        "replicated",
        "not at this scale",
        "contradicted",
    )


def test_the_two_ways_of_spending_a_doubled_budget_cost_the_same():
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            scaling, "load_dataset", lambda *_: exams.render_dataset(exams.sample_scenes(8), 32)
        )
        patch.setattr(scaling, "load_or_fit", lambda model, *_: asked.append(model) or model)
        patch.setattr(
            scaling,
            "named_rightly",
            lambda *_: {task: np.ones(2, dtype=bool) for task in scaling.TASKS},
        )
        cost = {
            arm: sum(towers)
            for arm, towers in scaling.measure_towers(0, epochs=1, n_images=2)[1][
                "multiply_adds"
            ].items()
        }
    small, image, text = cost.values()
    assert (
        len(asked) == 3
        and image / small == pytest.approx(2, rel=0.05)
        and text / small == pytest.approx(2, rel=0.05)
    )


def test_batch_sizes_are_compared_with_64():
    o = {
        "batch_sizes": [16, 64, 256],
        "N = 16": share(0.6),
        "N = 64": share(0.7),
        "N = 256": share(0.65),
    }
    assert (
        temperature.gain_of_large(o) == pytest.approx(-5) and 2 ** temperature.best_batch(o) == 64
    )
    judge = lambda low, high: temperature.judge_batch_size(
        {"largest batch minus 64": FOUND(0, low, high), "best batch, log2": FOUND(5, 4, 6)}
    )[0]
    assert (judge(1, 3), judge(-1, 2), judge(-3, -1)) == (
        "replicated",
        "not at this scale",
        "contradicted",
    )


def test_the_learned_temperature_is_compared_with_the_best_and_the_worst():
    o = {
        "temperatures": [0.01, 1],
        "learned": share(0.79),
        "fixed at 0.01": share(0.8),
        "fixed at 1": share(0.4),
        "scales": [14.0, 19.0],
    }
    best, worst, end = (quantity(o) for quantity in temperature.EXPERIMENTS[1].quantities.values())
    assert (best, worst, end) == pytest.approx((-1, 39, 19))
    judge = lambda low, high: temperature.judge_temperature(
        {
            "learned minus best fixed": FOUND(0, low, high),
            "learned minus worst fixed": FOUND(30, 20, 40),
        }
    )[0]
    assert (judge(-1, 1), judge(-3, 1), judge(-5, -3)) == ("replicated", "partly", "contradicted")


def test_the_clamp_is_judged_by_settings_in_which_the_scale_gets_there_by_itself():
    def judge(**lows):
        gains = {
            f"on minus off, {name}": FOUND(0, lows.get(name.replace(" ", "_"), 0), 9)
            for name in ("usual", "hot", "from 100", "from 1000")
        }
        return temperature.judge_clamp(gains | {"highest scale, usual": FOUND(19, 19, 20)})[0]

    assert (judge(usual=3), judge(hot=3), judge(from_100=3)) == ("replicated", "partly", "partly")
    assert judge(from_1000=50) == judge() == "not at this scale"


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(temperature, "SMALL", TINY)
    monkeypatch.setattr(
        temperature, "load_dataset", lambda *_: exams.render_dataset(exams.sample_scenes(16), 32)
    )
    return exams.render_dataset(exams.sample_scenes(16), 32)


def test_a_fixed_scale_stays_and_a_clamped_one_is_brought_back(tiny):
    tokenizer = temperature.make_tokenizer(TINY, tiny.captions)
    learn = lambda start, **options: temperature.train_with_scale(
        0, "test", start, tiny, tokenizer, epochs=2, rate=3e-3, **options
    )
    assert learn(5, learned=False)[1] == pytest.approx([5] * 4)
    learned, free = learn(5)[1], learn(5, clamp=False)[1]
    assert (
        learned == free and len(set(learned)) == 4
    )  # never near the clamp: with and without it the same, bit for bit
    assert min(learn(1000, clamp=False)[1]) > 900 and max(learn(1000)[1]) < 101


def test_the_clamp_is_only_run_where_it_has_something_to_do(tiny, monkeypatch):
    ran, learn = [], temperature.train_with_scale
    monkeypatch.setattr(
        temperature,
        "train_with_scale",
        lambda *args, **options: ran.append(options["clamp"]) or learn(*args, **options),
    )
    outcomes, numbers = temperature.measure_clamp(0, epochs=1, n_images=4, hot=2)
    assert len(outcomes) == 8 and all(
        value.shape == (4,) and ((value >= 0) & (value <= 1)).all() for value in outcomes.values()
    )
    assert ran.count(False) == 4 and ran.count(True) < 4  # from 1000 at least
    assert (
        numbers["highest"]["from 1000, clamp on"]
        < 101
        < 900
        < numbers["highest"]["from 1000, clamp off"]
    )
    assert (outcomes["usual, clamp on"] == outcomes["usual, clamp off"]).all()


def test_larger_batches_take_fewer_steps_at_a_rate_that_grows_with_their_root(tiny, monkeypatch):
    recipes = []
    monkeypatch.setattr(
        temperature,
        "load_or_fit",
        lambda model, loss, train_set, recipe, seed: recipes.append(recipe) or model,
    )
    outcomes, numbers = temperature.measure_batch_size(0, batch_sizes=[2, 8], epochs=1, n_images=4)
    assert list(outcomes) == ["N = 2", "N = 8"] and numbers == {"batch_sizes": [2, 8]}
    small, large = recipes
    assert math.isclose(large.learning_rate, 2 * small.learning_rate) and math.isclose(
        large.learning_rate, TINY.learning_rate
    )
    assert small.epochs == large.epochs and small.name != large.name


def test_accumulated_gradients_are_not_those_of_a_large_batch():
    torch.manual_seed(0)
    from clipnb import clip_loss

    images, texts = torch.randn(8, 4, requires_grad=True), torch.randn(8, 4)
    (whole,) = torch.autograd.grad(clip_loss(images, texts, torch.tensor(5.0)), images)
    (parts,) = torch.autograd.grad(
        sum(
            clip_loss(images[rows], texts[rows], torch.tensor(5.0)) / 2
            for rows in torch.arange(8).chunk(2)
        ),
        images,
    )
    assert not torch.allclose(whole, parts, atol=1e-2)
