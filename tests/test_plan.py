"""The costed plan: FLOPs, traffic and seconds worked out by hand."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
from torch import nn

import clipnb.plan
from clipnb import RECIPES
from clipnb.bench.figures import load_ways, measure_area, plot_plans, plot_step, plot_ways
from clipnb.plan import (
    VIT_B_32,
    Assumptions,
    Cost,
    count_cost,
    count_gather_bytes,
    count_gradient_bytes,
    find_paper_share,
    format_range,
    make_plan,
    plan_table,
    time_step,
)

SURE = Assumptions(
    peak=(100e12,) * 3,
    share=(0.5,) * 3,
    backward=(2.0,) * 3,
    image_bytes=(10e3,) * 3,
    read_rate=(1e9,) * 3,
    decode_rate=(100.0,) * 3,
    cores=(10.0,) * 3,
    link_rate=(10e9,) * 3,
    latency=(1e-5,) * 3,
    overlap=(0.5,) * 3,
    lost=(1.0,) * 3,
    price=(2.0,) * 3,
)
MODEL = Cost("model", flops=1e9, parameters=1e6, embed_dim=500)


# ---- a model ---------------------------------------------------------------------------------


def test_flops_of_a_model_are_those_of_its_modules(monkeypatch):
    """A convolution 3 -> 2 of 3 x 3 on 8 x 8 outputs, and a linear layer 10 -> 4 on T tokens."""

    class Hand(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
            self.linear = nn.Linear(10, 4, bias=False)
            self.embedding = nn.Embedding(7, 10)

        def encode_image(self, images):
            return self.conv(images)

        def encode_text(self, tokens):
            return self.linear(self.embedding(tokens))

    monkeypatch.setattr(clipnb.plan, "create_model", lambda recipe: Hand())
    recipe = dataclasses.replace(
        RECIPES["quick"], image_size=8, captions_per_image=2, context_length=6
    )
    cost = count_cost(recipe)
    conv = 2 * (3 * 3 * 3) * (2 * 8 * 8)
    linear = 2 * 10 * 4 * (2 * 6)
    assert cost.flops == conv + linear
    assert cost.captions == 2
    assert cost.parameters == 3 * 2 * 9 + 10 * 4 + 7 * 10
    assert count_cost(recipe, n_tokens=3).flops == conv + linear / 2


def test_vit_b_32_costs_what_is_published_and_no_memory():
    cost = count_cost(VIT_B_32)
    assert cost.parameters == 151_277_313  # openai/CLIP's
    assert cost.flops / 1e9 == pytest.approx(14.78, abs=0.01)  # open_clip's model profile


def test_the_paper_reached_a_fifth_of_its_cards():
    # 3 * 175.3 GFLOPs * 12.8e9 pairs, over 256 cards * 12 days * 86,400 s * 125 TFLOPs a second
    assert find_paper_share(175.3e9, "ViT-L/14") == pytest.approx(0.2029, abs=1e-4)
    assert find_paper_share(2 * 175.3e9, "ViT-L/14") == pytest.approx(0.4058, abs=1e-4)


def test_a_model_of_which_the_paper_gives_no_days_is_refused_in_a_line():
    """Before, a bare KeyError said its name alone."""
    with pytest.raises(ValueError, match=r"'ViT-B/32'; choose one of ViT-L/14, RN50x64\.$"):
        find_paper_share(14.8e9, "ViT-B/32")


# ---- traffic ---------------------------------------------------------------------------------


def test_traffic_of_two_ranks_by_hand():
    # 10 pairs on each: 10 images and 10 texts of 500 numbers of 2 bytes, there and back
    assert count_gather_bytes(20, 2, 500) == 2 * 10 * 2 * 500 * 2
    assert count_gather_bytes(20, 2, 500, captions=5) == 2 * 10 * 6 * 500 * 2
    # each sends half of the gradients to be added, and half of the sums back, 4 bytes each
    assert count_gradient_bytes(1000, 2) == 2 * 500 * 4


def test_one_rank_sends_nothing():
    assert count_gather_bytes(20, 1, 500) == count_gradient_bytes(1000, 1) == 0


# ---- a step and a plan -----------------------------------------------------------------------


def time_surely(ranks, model=MODEL, batch_size=1000, **changes):
    drawn = dataclasses.replace(SURE, **changes).draw(3)
    times = time_step(model, batch_size, ranks, drawn)
    return {name: values[0] for name, values in times.items()}


def test_a_step_of_ten_ranks_by_hand():
    times = time_surely(10)
    # 100 pairs * 3 GFLOPs over 50 TFLOPs a second
    assert times["compute"] == pytest.approx(0.006)
    # 18 hops of 10 us, and 2 * 9 * 100 * 2 * 500 * 2 bytes at 10 GB a second
    assert times["gather"] == pytest.approx(18e-5 + 3.6e6 / 10e9)
    # 2 * 0.9 * 4 MB take 0.72 ms and 18 hops; half of a backward pass of 4 ms hides all of it
    assert times["gradients"] == 0
    # reading 1 MB takes 1 ms; decoding 100 images with 10 cores takes 100 ms
    assert times["input"] == pytest.approx(0.1)
    assert times["step"] == pytest.approx(0.1)


def test_a_step_without_waiting_is_compute_and_traffic():
    times = time_surely(10, decode_rate=(1e6,) * 3, overlap=(0.1,) * 3)
    exposed = 0.72e-3 + 18e-5 - 0.1 * 0.004
    assert times["gradients"] == pytest.approx(exposed)
    assert times["step"] == pytest.approx(0.006 + 18e-5 + 0.36e-3 + exposed)


def test_every_caption_of_an_image_has_a_feature_that_is_sent():
    one, five = (dataclasses.replace(MODEL, captions=n) for n in (1, 5))
    times = [time_surely(10, model)["gather"] - 18e-5 for model in (one, five)]
    assert times[1] == pytest.approx(3 * times[0])


def test_a_measured_rate_takes_the_place_of_flops():
    drawn = SURE.draw(2)
    times = time_step(MODEL, 1000, 10, drawn, pairs_per_second=200)
    assert times["compute"].tolist() == [0.5, 0.5]


def test_a_sure_plan_by_hand():
    plan = make_plan(MODEL, pairs=1_000_500, ranks=10, batch_size=1000, epochs=4, assumptions=SURE)
    seconds = 4 * 1000 * 0.1  # the rest of 500 pairs is left out
    assert plan.days == pytest.approx((seconds / 86_400,) * 3)
    assert plan.card_days == pytest.approx((10 * seconds / 86_400,) * 3)
    assert plan.dollars == pytest.approx((2 * 10 * seconds / 3600,) * 3)
    assert plan.flops == 4 * 1e6 * 3e9
    assert plan.waits == 1


def test_the_range_comes_from_the_assumptions_and_the_seed():
    unsure = dataclasses.replace(SURE, decode_rate=(50.0, 100.0, 200.0))
    plan = make_plan(MODEL, 10**6, 10, 1000, 4, assumptions=unsure)
    low, middle, high = plan.days
    sure = 4 * 1000 * 0.1 / 86_400
    assert middle == pytest.approx(sure, rel=0.02)
    assert sure / 2 < low < sure < high < 2 * sure
    assert high / middle == pytest.approx(middle / low, rel=0.05)  # symmetric as logarithms
    assert plan == make_plan(MODEL, 10**6, 10, 1000, 4, assumptions=unsure)
    assert plan.days != make_plan(MODEL, 10**6, 10, 1000, 4, assumptions=unsure, seed=1).days


def test_draws_stay_in_their_ranges():
    drawn = Assumptions().draw(2000)
    for field in dataclasses.fields(Assumptions):
        low, middle, high = getattr(Assumptions(), field.name)
        assert low <= middle <= high
        values = drawn[field.name]
        assert low * 0.999 <= values.min() and values.max() <= high * 1.001
        assert low == high or np.std(values) > 0


def test_ranks_that_do_not_divide_the_batch_are_refused():
    with pytest.raises(ValueError, match="3 ranks cannot share a batch of 1,000 evenly"):
        make_plan(MODEL, 10**6, 3, 1000)


@pytest.mark.parametrize("name", ["pairs", "ranks", "batch_size", "epochs", "pairs_per_second"])
@pytest.mark.parametrize("value", [0, -8, float("nan")])
def test_a_plan_of_nothing_is_refused(name, value):
    cost = Cost("any", 1e9, 1e6, 64)
    with pytest.raises(ValueError, match=f"{name} is {value}; a plan needs a number above 0"):
        make_plan(cost, **{"pairs": 100, "ranks": 2, "batch_size": 10, name: value})


def test_fewer_pairs_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="100 pairs are no batch of 32,768; choose a smaller"):
        make_plan(Cost("any", 1e9, 1e6, 64), pairs=100, ranks=8)


@pytest.mark.parametrize(
    "share",
    [(0, 0.2, 0.5), (-1, 0.2, 0.5), (0.5, 0.2, 0.1), (0.1, 0.9, 0.5), (0.1, 0.5), 0.3,
     (0.1, float("nan"), 0.5)],
)  # fmt: skip
def test_a_range_out_of_order_is_refused(share):
    with pytest.raises(ValueError, match="the assumption share is .*as .low, middle, high."):
        dataclasses.replace(Assumptions(), share=share)


def test_a_table_has_a_row_for_each_plan():
    plan = make_plan(MODEL, 15 * 10**6, 8, pairs_per_second=1000.0)
    table = plan_table([plan, plan]).splitlines()
    assert len(table) == 4
    assert table[2].startswith("| model (rate measured) | 32 x 15 million | 3.0 | 8 |")
    assert format_range((1.04, 23.4, 5678)) == "23 (1 to 5,700)"


# ---- figures ---------------------------------------------------------------------------------


def test_the_figure_of_ways_shows_every_row():
    rows = [
        {
            "gallery": gallery,
            "features": n,
            "way": way,
            "bytes each": n_bytes,
            "recall, texts": 0.5 + 0.1 * i,
            "milliseconds": 2.0 * n / 1000,
        }
        for gallery in ("a", "b")
        for i, (way, n_bytes) in enumerate((("exact", 2048), ("signs", 64)))
        for n in (10_000, 1_000_000)
    ]
    fig = plot_ways(rows)
    assert [ax.get_title() for ax in fig.axes] == ["a", "b"]
    drawn = [group for group in fig.axes[0].collections if len(group.get_offsets())]
    points = np.array(sorted(tuple(group.get_offsets()[0]) for group in drawn))
    assert points == pytest.approx(np.array([(20, 0.5), (20, 0.6), (2000, 0.5), (2000, 0.6)]))
    areas = {group.get_sizes()[0] for group in drawn}
    assert areas == {measure_area(64), measure_area(2048)}
    labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert labels == ["exact: 2,048", "signs: 64"]
    plt.close(fig)


def test_the_record_of_the_search_bench_can_be_drawn():
    rows = load_ways()
    assert {10_000, 1_000_000} <= {row["features"] for row in rows}
    plt.close(plot_ways(rows, "images"))


def test_the_figures_of_plans_show_what_they_tell():
    plan = make_plan(MODEL, 10**6, 10, 1000, 4, assumptions=SURE)
    fig = plot_plans([plan])
    names = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert names[0] == "model, 1 million pairs" and len(names) == 3
    places = [float(group.get_offsets()[0][0]) for group in fig.axes[0].collections]
    assert places == pytest.approx([plan.card_days[1], 256 * 12, 592 * 18])
    plt.close(fig)
    fig = plot_step(MODEL, 1000, ranks=(1, 10), assumptions=SURE)
    tops = [bar.get_y() + bar.get_height() for bar in fig.axes[0].patches[-2:]]
    assert tops == pytest.approx([100, 100])
    assert fig.axes[0].lines[0].get_ydata().tolist() == [100, 100]  # always waits
    plt.close(fig)
