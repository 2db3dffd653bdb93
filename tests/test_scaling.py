"""Notebook 10's experiments: power law, towers, batch size, temperature and clamp, on toy data."""

import dataclasses

import numpy as np
import pytest
import torch

from clipnb import RECIPES, clip_loss, create_model
from clipnb.experiments import batch_size, exams, scaling, small_clip, temperature, towers
from clipnb.experiments.small_clip import NAMING_TASKS
from clipnb.training import make_tokenizer

# Tiny vocabularies have not seen every word.
pytestmark = pytest.mark.filterwarnings("ignore:class")

TINY = dataclasses.replace(
    RECIPES["quick"],
    image_encoder="tiny_cnn",
    image_size=48,
    stored_size=32,
    batch_size=8,
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))


def make_quantity(mean, low, high):
    return {"mean": mean, "interval": [low, high]}


def make_outcomes(share):
    """Return the outcomes of eight images, each with that share of the tasks right."""
    return np.full(8, share)


def render_tiny_set(n_images):
    return exams.render_dataset(exams.sample_scenes(n_images), TINY.stored_size)


# ---- the power law ---------------------------------------------------------------------------


def test_multiply_adds_are_those_counted_by_hand():
    model = create_model(TINY)
    image, text = small_clip.count_multiply_adds(model, 32, n_tokens=12)
    convolutions = 16**2 * 32 * 3 * 9 + 8**2 * 64 * 32 * 9 + 4**2 * 128 * 64 * 9
    assert image == convolutions + model.image_projection.weight.numel()
    assert text == model.text_projection.weight.numel()  # a bag of words looks its words up


def make_grid(error_of):
    """Return the outcomes of a grid; error_of is a function of width, size and compute."""
    outcomes, compute = {}, {}
    for width in (48, 96):
        for size in (1000, 2000, 4000):
            condition = f"{width} x {size}"
            compute[condition] = float(width**2 * size)
            outcomes[condition] = make_outcomes(1 - error_of(width, size, compute[condition]))
    return outcomes | {"compute": compute}


def test_a_power_law_is_found_and_predicts():
    outcomes = make_grid(lambda width, size, compute: 40 * compute**-0.3)
    law = scaling.fit_power_law(outcomes)
    assert law.slope == pytest.approx(-0.3)
    assert law.rvalue**2 == pytest.approx(1)
    assert scaling.compute_prediction_error(outcomes) == pytest.approx(0, abs=1e-9)


def test_width_and_images_have_exponents_of_their_own_where_one_line_does_not_fit():
    outcomes = make_grid(lambda width, size, compute: 30 * width**-0.2 * size**-0.5)
    assert scaling.fit_joint_law(outcomes) == pytest.approx((1, 0.2, 0.5))
    assert scaling.fit_power_law(outcomes).rvalue ** 2 < 0.8


def test_a_line_promises_less_error_than_there_is_above_a_floor():
    outcomes = make_grid(lambda width, size, compute: 0.2 + 40 * compute**-0.4)
    assert scaling.compute_prediction_error(outcomes) < 0


def test_a_perfect_condition_has_a_finite_logarithm():
    outcomes = make_grid(lambda width, size, compute: 0.5 if size < 4000 else 0.0)
    assert np.isfinite(scaling.fit_power_law(outcomes).slope)


@pytest.mark.parametrize(
    ("low", "explained", "verdict"),
    [(0.2, 0.9, "replicated"), (0.2, 0.7, "partly"), (-0.1, 0.9, "contradicted")],
)
def test_the_law_is_judged_by_its_slope_and_its_fit(low, explained, verdict):
    quantities = {
        "exponent b": make_quantity(0.3, low, 0.4),
        "R² of the line": make_quantity(explained, 0, 1),
    }
    assert scaling.judge_scaling(quantities)[0] == verdict


# ---- the towers ------------------------------------------------------------------------------


def test_what_a_tower_gains_is_the_mean_over_tasks():
    outcomes = {}
    for task in NAMING_TASKS:
        outcomes[f"both small, {task}"] = make_outcomes(0.5)
        outcomes[f"image tower takes all, {task}"] = make_outcomes(0.6)
        outcomes[f"text tower takes all, {task}"] = make_outcomes(0.5)
    outcomes["image tower takes all, place"] = make_outcomes(0.9)
    image_gain = towers.tower_gain_quantity("image")(outcomes)
    assert image_gain == pytest.approx((10 + 10 + 40) / 3)
    assert towers.tower_gain_quantity("text")(outcomes) == pytest.approx(0)
    assert towers.subtract_tower_gains(outcomes) == pytest.approx(image_gain)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1, 3, "replicated"), (-1, 2, "not at this scale"), (-3, -1, "contradicted")],
)
def test_the_towers_are_judged_by_the_difference_of_their_gains(low, high, verdict):
    quantities = {
        "image minus text": make_quantity(0, low, high),
        "image tower takes all": make_quantity(1, 0, 2),
        "text tower takes all": make_quantity(1, 0, 2),
    }
    assert towers.judge_towers(quantities)[0] == verdict


def test_the_two_ways_of_spending_a_doubled_budget_cost_the_same(monkeypatch):
    models = []

    def keep_untrained(model, *arguments):
        models.append(model)
        return model

    def score_all_right(*arguments):
        return {task: np.ones(2, dtype=bool) for task in NAMING_TASKS}

    monkeypatch.setattr(towers, "load_dataset", lambda *arguments: render_tiny_set(8))
    monkeypatch.setattr(towers, "load_or_fit", keep_untrained)
    monkeypatch.setattr(towers, "score_naming", score_all_right)
    _, numbers = towers.measure_towers(0, epochs=1, n_images=2)
    small, image, text = (sum(cost) for cost in numbers["multiply_adds"].values())
    assert len(models) == 3
    assert image / small == pytest.approx(2, rel=0.05)
    assert text / small == pytest.approx(2, rel=0.05)


# ---- the batch -------------------------------------------------------------------------------


@pytest.fixture
def tiny_set(monkeypatch):
    """Replace the training set and the recipe of the experiments by tiny ones; return the set."""
    train_set = render_tiny_set(16)
    for module in (batch_size, temperature):
        monkeypatch.setattr(module, "SMALL_RECIPE", TINY)
        monkeypatch.setattr(module, "load_dataset", lambda *arguments: train_set)
    return train_set


def test_batch_sizes_are_compared_with_64():
    outcomes = {
        "batch_sizes": [16, 64, 256],
        "N = 16": make_outcomes(0.6),
        "N = 64": make_outcomes(0.7),
        "N = 256": make_outcomes(0.65),
    }
    assert batch_size.subtract_batch_of_64(outcomes) == pytest.approx(-5)
    assert 2 ** batch_size.find_best_batch(outcomes) == 64


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1, 3, "replicated"), (-1, 2, "not at this scale"), (-3, -1, "contradicted")],
)
def test_the_batch_is_judged_by_the_largest_minus_64(low, high, verdict):
    quantities = {
        "largest batch minus 64": make_quantity(0, low, high),
        "best batch, log2": make_quantity(5, 4, 6),
    }
    assert batch_size.judge_batch_size(quantities)[0] == verdict


def test_larger_batches_learn_at_a_rate_that_grows_with_their_root(tiny_set, monkeypatch):
    recipes = []

    def keep_untrained(recipe, *arguments):
        recipes.append(recipe)
        return create_model(recipe)

    monkeypatch.setattr(batch_size, "load_or_fit_clip", keep_untrained)
    outcomes, numbers = batch_size.measure_batch_size(0, batch_sizes=[2, 8], epochs=1, n_images=4)
    assert list(outcomes) == ["N = 2", "N = 8"]
    assert numbers == {"batch_sizes": [2, 8]}
    small, large = recipes
    assert large.learning_rate == pytest.approx(2 * small.learning_rate)
    assert large.learning_rate == pytest.approx(TINY.learning_rate)
    assert small.epochs == large.epochs
    assert small.name != large.name


def test_accumulated_gradients_are_not_those_of_a_large_batch():
    torch.manual_seed(0)
    images, texts = torch.randn(8, 4, requires_grad=True), torch.randn(8, 4)
    scale = torch.tensor(5.0)
    (whole,) = torch.autograd.grad(clip_loss(images, texts, scale), images)
    halves = [clip_loss(images[rows], texts[rows], scale) for rows in torch.arange(8).chunk(2)]
    (accumulated,) = torch.autograd.grad(sum(halves) / 2, images)
    assert not torch.allclose(whole, accumulated, atol=1e-2)


# ---- the temperature -------------------------------------------------------------------------


def test_the_learned_temperature_is_compared_with_the_best_and_the_worst():
    outcomes = {
        "temperatures": [0.01, 1],
        "learned": make_outcomes(0.79),
        "fixed at 0.01": make_outcomes(0.8),
        "fixed at 1": make_outcomes(0.4),
        "scales": [14.0, 19.0],
    }
    experiment, _ = temperature.EXPERIMENTS
    values = [quantity(outcomes) for quantity in experiment.quantities.values()]
    assert values == pytest.approx([-1, 39, 19])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-1, 1, "replicated"), (-3, 1, "partly"), (-5, -3, "contradicted")],
)
def test_the_temperature_may_be_two_points_below_the_best_fixed_one(low, high, verdict):
    quantities = {
        "learned minus best fixed": make_quantity(0, low, high),
        "learned minus worst fixed": make_quantity(30, 20, 40),
    }
    assert temperature.judge_temperature(quantities)[0] == verdict


@pytest.fixture
def learn(tiny_set):
    """Return a function that trains on the tiny set and returns the scale after each step."""
    recipe = dataclasses.replace(TINY, name="test", epochs=2)
    tokenizer = make_tokenizer(recipe, tiny_set.captions)

    def train(start, **options):
        _, scales = temperature.train_with_scale(recipe, 0, tiny_set, tokenizer, start, **options)
        return scales

    return train


def test_a_fixed_scale_stays_where_it_starts(learn):
    assert learn(5, learned=False) == pytest.approx([5] * 4)


def test_a_scale_that_is_never_near_the_clamp_is_the_same_without_it(learn):
    clamped = learn(5)
    assert len(set(clamped)) == 4
    assert clamped == learn(5, clamp=False)  # bit for bit


def test_a_scale_far_above_the_clamp_is_brought_back(learn):
    assert min(learn(1000, clamp=False)) > 900
    assert max(learn(1000)) < 101


# ---- the clamp -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("helped", "verdict"),
    [
        ("usual", "replicated"),
        ("hot", "partly"),
        ("from 100", "partly"),
        ("from 1000", "not at this scale"),  # no training gets there by itself
        (None, "not at this scale"),
    ],
)
def test_the_clamp_is_judged_by_the_settings_that_training_can_reach(helped, verdict):
    quantities = {"highest scale, usual": make_quantity(19, 19, 20)}
    for setting in ("usual", "hot", "from 100", "from 1000"):
        low = 3 if setting == helped else 0
        quantities[f"on minus off, {setting}"] = make_quantity(4, low, 9)
    assert temperature.judge_clamp(quantities)[0] == verdict


def test_the_clamp_is_only_run_where_it_has_something_to_do(tiny_set, monkeypatch):
    clamps = []
    train_with_scale = temperature.train_with_scale

    def note_clamp(*arguments, clamp=True, **options):
        clamps.append(clamp)
        return train_with_scale(*arguments, clamp=clamp, **options)

    monkeypatch.setattr(temperature, "train_with_scale", note_clamp)
    outcomes, numbers = temperature.measure_clamp(0, epochs=1, n_images=4, hot=2)
    assert len(outcomes) == 8
    for right in outcomes.values():
        assert right.shape == (4,)
        assert ((right >= 0) & (right <= 1)).all()
    assert clamps.count(False) == 4
    assert 1 <= clamps.count(True) < 4  # from 1000 at least
    highest = numbers["highest"]
    assert highest["from 1000, clamp on"] < 101
    assert highest["from 1000, clamp off"] > 900
    assert highest["usual, clamp on"] == highest["usual, clamp off"]
    assert (outcomes["usual, clamp on"] == outcomes["usual, clamp off"]).all()
