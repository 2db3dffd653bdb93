"""The second sitting's framework by hand-worked cases: from effects to records."""

import dataclasses
import importlib.util
import json
import sys

import numpy as np
import pytest
from claim_parts import (
    EFFECTS,
    MEASURED,
    compute_gain,
    make_protocol,
    make_record,
    make_toy,
    measure_toy,
)
from scipy import stats

from clipnb.claims import code, pooling, protocols, running
from clipnb.claims.effects import (
    check_values,
    estimate_effect,
    find_freedom,
    from_scale,
    mean_interval,
    measure_shift,
    median_interval,
    merge_summaries,
    resample_images,
    share_interval,
    summarize,
    summarize_condition,
    to_scale,
)
from clipnb.claims.experiment import Effect, Gate
from clipnb.claims.verdicts import (
    MARKS,
    VERDICTS,
    is_closed,
    judge_interval,
    measure_from_none,
    measure_margin,
    reach_verdict,
    read_interval,
    write_rule,
)
from clipnb.experiments import outcomes

INF = float("inf")


def effect_of(over="images", scale="linear", compute=lambda outcomes: outcomes["x"].mean()):
    return Effect(compute=compute, unit="points", scale=scale, over=over)


# ---- effects ---------------------------------------------------------------------------------


def test_one_seed_has_the_interval_of_its_images():
    x = np.array([0.0, 0.0, 1.0, 1.0])
    summary = estimate_effect(effect_of(), [({"x": x}, {})], n_resamples=4000)
    error = 0.5 / np.sqrt(4)
    assert summary["image_spread"] == pytest.approx(error, rel=0.05)
    low, high = summary["interval"]
    assert (high - low) / 2 == pytest.approx(1.96 * summary["image_spread"], rel=1e-3)
    assert (summary["mean"], summary["std"], summary["freedom"]) == (0.5, None, None)


def test_seeds_alone_give_students_interval():
    mean, low, high, freedom = mean_interval(np.array([1.0, 2.0, 3.0]))
    half = stats.t.ppf(0.975, 2) * 1 / np.sqrt(3)
    assert (mean, low, high) == pytest.approx((2, 2 - half, 2 + half))
    assert freedom == 2


def test_seeds_and_images_together_follow_welch_and_satterthwaite():
    values, spread = np.array([1.0, 2.0, 3.0]), 0.5
    _, low, high, freedom = mean_interval(values, spread)
    seeds, images = 1 / 3, 0.25
    by_hand = (seeds + images) ** 2 / (seeds**2 / 2)
    assert (
        freedom == pytest.approx(by_hand) == pytest.approx(find_freedom([seeds, images], [2, INF]))
    )
    half = stats.t.ppf(0.975, by_hand) * np.sqrt(seeds + images)
    assert high - low == pytest.approx(2 * half)


def test_units_and_seeds_are_both_samples():
    values = np.array([[0.0, 2.0, 4.0], [2.0, 4.0, 6.0]])  # two seeds, three classes
    mean, low, high, freedom = mean_interval(values)
    units, seeds = 4 / 3, 2 / 2  # the variances of 1, 3, 5 and of 2, 4, over their numbers
    by_hand = (units + seeds) ** 2 / (units**2 / 2 + seeds**2 / 1)
    assert mean == 3
    assert freedom == pytest.approx(by_hand)
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, by_hand) * np.sqrt(units + seeds))


def test_a_ratio_is_averaged_and_bounded_on_the_log_scale():
    summary = summarize([2.0, 8.0], 0.0, effect_of(scale="log"))
    half = stats.t.ppf(0.975, 1) * np.std(np.log([2, 8]), ddof=1) / np.sqrt(2)
    assert summary["mean"] == pytest.approx(4)
    assert summary["interval"] == pytest.approx([4 / np.exp(half), 4 * np.exp(half)])
    assert summary["interval"][0] > 0


def test_a_correlation_is_bounded_on_fishers_scale():
    summary = summarize([0.9, 0.95, 0.8], 0.1, effect_of(scale="fisher z"))
    low, high = summary["interval"]
    assert -1 < low < summary["mean"] < high < 1
    assert summary["mean"] == pytest.approx(np.tanh(np.arctanh([0.9, 0.95, 0.8]).mean()))


@pytest.mark.parametrize("scale, value", [("linear", -3.0), ("log", 1.7), ("fisher z", 0.4)])
def test_a_scale_leads_there_and_back(scale, value):
    assert float(from_scale(to_scale(value, scale), scale)) == pytest.approx(value)


def test_the_median_knows_the_rank_of_what_lies_beyond():
    values = np.array([[1.0, 2, 3, 4, 5, 6, 7, 8, INF, INF]])
    median, low, high = median_interval(values, "linear")
    assert (median, low, high) == (5.5, 2, INF)  # ranks 2 and 9 of ten: 97.9 %
    assert 1 - 2 * stats.binom.cdf(1, 10, 0.5) == pytest.approx(0.9785, abs=1e-4)
    assert 1 - 2 * stats.binom.cdf(2, 10, 0.5) < 0.95, "the next ranks would promise too much"
    summary = summarize(values.tolist(), 0.0, effect_of("median"))
    assert summary["interval"] == [2, None]
    assert summary["values"][0][-1] is None


def test_few_classes_bound_no_median():
    assert median_interval(np.array([[1.0, 2, 3, 4, 5]]), "log")[1:] == (0, INF)


def test_a_lower_bound_beyond_what_was_tried_is_the_largest_value_found():
    values = [[4.0, 8.0, *[INF] * 8]]
    summary = summarize(values, 0.0, effect_of("median", "log"))
    assert summary["mean"] is None
    assert summary["interval"] == [pytest.approx(8), None]
    nothing = summarize([[INF] * 8], 0.0, effect_of("median", "log"))
    assert nothing["interval"] == [0, None]


def test_what_a_seed_does_to_all_classes_widens_the_interval_of_the_median():
    classes = np.arange(1.0, 11.0)
    same = np.stack([classes] * 3)
    shifted = np.stack([classes - 1, classes, classes + 1])
    assert measure_shift(same) == 0
    assert measure_shift(shifted) == pytest.approx(np.sqrt(np.pi / 2 / 3))
    assert median_interval(same, "linear") == (5.5, 2, 9)
    median, low, high = median_interval(shifted, "linear")
    by_hand = np.hypot(3.5, stats.t.ppf(0.975, 2) * np.sqrt(np.pi / 2 / 3))
    assert (median, low, high) == pytest.approx((5.5, 5.5 - by_hand, 5.5 + by_hand))
    beyond = np.full((3, 10), INF)
    beyond[:, :4] = shifted[:, :4]
    median, low, high = median_interval(beyond, "linear")
    assert median == high == INF and np.isfinite(low)


def test_a_count_has_an_exact_interval():
    won = np.array([[True] * 7 + [False] * 3])
    share, low, high = share_interval(won)
    exact = stats.beta.ppf(0.025, 7, 4), stats.beta.ppf(0.975, 8, 3)
    assert (share, low, high) == pytest.approx((0.7, *exact))
    assert share_interval(np.repeat(won, 3, axis=0)) == pytest.approx((0.7, *exact))


def test_most_seeds_decide_a_task_and_a_tie_is_lost():
    won = np.array([[True, True, False], [True, False, False]])
    assert share_interval(won)[0] == pytest.approx(1 / 3)
    several = np.array([[True] * 8, [False] * 8, [True] * 8])
    share, low, high = share_interval(several)
    assert (share, low, high) == (1, 0, 1), "a seed that loses all tasks makes the share unsure"


def test_values_that_cannot_be_summarized_are_refused():
    def refuse(values, match, over="images", scale="linear"):
        with pytest.raises(ValueError, match=match):
            check_values(np.array(values), effect_of(over, scale))

    refuse([1.0, np.nan], "each must be a number")
    refuse([1.0, INF], "finite")
    refuse([1.0, 0.0], "finite on its scale", scale="log")
    refuse([1.0, -1.0], "finite on its scale", scale="log")
    refuse([0.5, 1.0], "finite on its scale", scale="fisher z")
    refuse([[1.0, INF]], "finite", over="units")
    refuse([[1.0, -INF]], "finite", over="median")
    refuse([1.0, 2.0], "there must be 2 axes", over="units")
    refuse([[1.0, 2.0]], "there must be 1 axes")
    refuse([[1.0]], "needs 2 classes", over="units")
    refuse(np.ones((1, 3, 2)), "there must be 2 axes", over="units")
    check_values(np.array([[1.0, INF]]), effect_of("median"))


def test_an_effect_without_a_standard_error_is_refused():
    rare = np.zeros(30)
    rare[0] = 1
    effect = effect_of(scale="log", compute=lambda outcomes: outcomes["x"].mean())
    with pytest.raises(ValueError, match="with a median"):
        resample_images(effect, [({"x": rare}, {})], 200)


def test_the_images_are_drawn_alike_for_all_conditions_and_seeds():
    x = np.random.default_rng(1).normal(size=50)
    effect = effect_of(compute=lambda outcomes: outcomes["x"].mean() - outcomes["y"].mean())
    runs = [({"x": x, "y": x - 1}, {}), ({"x": x, "y": x - 3}, {})]
    assert resample_images(effect, runs, 100) == pytest.approx(0, abs=1e-12)


def test_merged_summaries_hold_all_seeds_and_the_spread_of_the_images():
    first = summarize([1.0, 2.0, 3.0], 0.3, effect_of())
    second = summarize([5.0], 0.5, effect_of())
    merged = merge_summaries(first, second)
    spread = np.sqrt((3 * 0.09 + 0.25) / 4)
    assert merged["values"] == [1, 2, 3, 5]
    assert merged["image_spread"] == pytest.approx(spread)
    assert merged["interval"] == pytest.approx(
        list(mean_interval(np.array([1, 2, 3, 5.0]), spread)[1:3])
    )
    beyond = summarize([[1.0, 2.0, INF]], 0.0, effect_of("median", "log"))
    assert merge_summaries(beyond, beyond)["values"] == [[1, 2, None]] * 2


def test_a_condition_is_told_in_percent():
    summary = summarize_condition([np.array([True, False, True, True]), np.ones(4)])
    assert summary["values"] == [75, 100]
    assert summary["mean"] == 87.5 and summary["unit"] == "percent"


# ---- verdicts --------------------------------------------------------------------------------

CASES = [  # (low, high) with a margin of 1, the verdict on a difference and on an equivalence
    ((1.2, 2.0), "supported", "opposite found here"),
    ((1.0, 2.0), "supported in direction", "inconclusive"),
    ((0.5, 2.0), "supported in direction", "inconclusive"),
    ((0.5, 0.9), "no effect found", "supported"),
    ((-0.5, 0.9), "no effect found", "supported"),
    ((-0.9, -0.5), "no effect found", "supported"),
    ((-0.5, 2.0), "inconclusive", "inconclusive"),
    ((-3.0, 2.0), "inconclusive", "inconclusive"),
    ((-2.0, -0.5), "opposite found here", "inconclusive"),
    ((-2.0, -1.5), "opposite found here", "opposite found here"),
    ((1.5, INF), "supported", "opposite found here"),
    ((-INF, INF), "inconclusive", "inconclusive"),
]


@pytest.mark.parametrize("interval, difference, equivalence", CASES)
def test_every_interval_gets_its_verdict(interval, difference, equivalence):
    assert judge_interval(*interval, 1.0, "difference") == difference
    assert judge_interval(*interval, 1.0, "equivalence") == equivalence


def test_every_verdict_has_words_and_a_mark():
    told = {verdict for _, *both in CASES for verdict in both}
    assert told | {"not reached here", "not finished"} == set(VERDICTS) == set(MARKS)


def summary_of(low, high, scale="linear"):
    return {"interval": [low, high], "scale": scale, "mean": None}


def test_a_ratio_is_judged_on_its_scale():
    protocol = make_protocol(margin=1.1)
    for interval, verdict in {
        (1.2, 1.5): "supported",
        (1.05, 1.5): "supported in direction",
        (0.92, 1.05): "no effect found",
        (0.9, 1.05): "inconclusive",  # 1 / 1.1 is 0.909
        (0.5, 0.99): "opposite found here",
        (None, 1.5): "inconclusive",
        (1.2, None): "supported",
    }.items():
        assert reach_verdict({"x": summary_of(*interval, "log")}, protocol, 3) == verdict, interval
    assert measure_margin(1.1, "log") == pytest.approx(np.log(1.1))
    assert measure_from_none([None, None], "fisher z") == (-INF, INF)


def test_an_unfinished_run_has_no_verdict_even_with_a_closed_gate():
    gate = Gate(effect="works", above=20, why="there is nothing to see")
    effects = {"gain": summary_of(5, 9), "works": summary_of(15, 30)}
    protocol = make_protocol(gates=(gate,))
    assert reach_verdict(effects, protocol, 2) == "not finished"
    assert reach_verdict(effects, protocol, 3) == "not reached here"
    assert reach_verdict(effects | {"works": summary_of(21, 30)}, protocol, 3) == "supported"


def test_a_gate_is_closed_unless_the_whole_interval_lies_where_it_must():
    both = Gate(effect="x", above=20, below=95, why="it is so")
    for interval, closed in {
        (21, 94): False,
        (20, 94): True,
        (21, 95): True,
        (None, 94): True,
        (21, None): True,
    }.items():
        assert is_closed(both, {"x": summary_of(*interval)}) == closed
    assert not is_closed(Gate(effect="x", above=1, why="so"), {"x": summary_of(2, None)})


def test_the_rule_in_words_names_effect_margin_and_gates():
    gate = Gate(effect="works", above=20, below=95, why="nothing can be seen")
    rule = write_rule(make_protocol(gates=(gate,)), "gain", "points")
    assert "“gain” lies above 2 points" in rule
    assert "“works” does not lie above 20 and below 95, so that nothing can be seen" in rule
    assert "within 2 points either way" in write_rule(
        make_protocol(kind="equivalence"), "x", "points"
    )


# ---- pooling ---------------------------------------------------------------------------------


def test_effects_are_told_in_margins():
    record = make_record(mean=5.0, interval=(3.0, 7.0), margin=2.0)
    assert pooling.scale_effect(record) == (2.5, 1.5, 3.5)
    ratio = make_record(mean=1.21, interval=(1.1, 1.331), margin=1.1, scale="log")
    assert pooling.scale_effect(ratio) == pytest.approx((2, 1, 3))


def test_one_experiment_is_its_claims_verdict():
    for interval in ((3.0, 9.0), (1.0, 9.0), (-1.0, 1.5), (-9.0, -1.0), (-9.0, 9.0)):
        record = make_record(mean=sum(interval) / 2, interval=interval)
        claim = pooling.pool_claim("C2", [record])
        assert claim.verdict == record["verdict"]
        assert claim.interval == pytest.approx([bound / 2 for bound in interval])
        needs_p = claim.verdict != "inconclusive"
        assert (claim.p < 0.05) == needs_p
    lopsided = make_record(mean=8.0, interval=(3.0, 40.0), scale="linear")
    assert pooling.pool_claim("C2", [lopsided]).interval == (1.5, 20)


def test_experiments_on_different_datasets_add_their_variances():
    records = [make_record("a"), make_record("b", mean=9.0, interval=(6.0, 12.0), dataset="photos")]
    claim = pooling.pool_claim("C2", records)
    assert claim.mean == pytest.approx((2.5 + 4.5) / 2)
    half = np.sqrt(1**2 + 1.5**2) / 2
    assert claim.interval == pytest.approx((3.5 - half, 3.5 + half))


def test_experiments_on_one_dataset_may_err_together():
    records = [make_record("a"), make_record("b", mean=9.0, interval=(6.0, 12.0))]
    claim = pooling.pool_claim("C2", records)
    assert claim.interval == pytest.approx((3.5 - 1.25, 3.5 + 1.25))


def test_an_experiment_on_two_datasets_may_err_with_those_on_either():
    both = make_record("a", dataset="scenes and flickr8k")
    others = [make_record("b"), make_record("c", dataset="flickr8k")]
    assert pooling.group_rows([both, *others]) == [[0, 1, 2]]
    assert pooling.group_rows(others) == [[0], [1]]
    assert pooling.group_rows([*others, both]) == [[0, 1, 2]]
    claim = pooling.pool_claim("C2", [*others, both])
    assert claim.interval == pytest.approx((2.5 - 1, 2.5 + 1))


def test_few_seeds_count_when_experiments_are_pooled():
    half = stats.t.ppf(0.975, 2)  # an interval of a standard error of 1 from three seeds
    one = {"mean": 5.0, "interval": (5 - half, 5 + half), "freedom": 2, "margin": 1.0}
    records = [make_record("a", **one), make_record("b", dataset="photos", **one)]
    claim = pooling.pool_claim("C2", records)
    assert claim.freedom == pytest.approx(4)  # Welch and Satterthwaite: 2² / (1 / 2 + 1 / 2)
    pooled = stats.t.ppf(0.975, 4) * np.sqrt(2) / 2
    assert claim.interval == pytest.approx((5 - pooled, 5 + pooled))


def test_closed_gates_are_left_out_and_unfinished_runs_wait():
    good, closed = make_record("a"), make_record("b", verdict="not reached here", mean=-9.0)
    claim = pooling.pool_claim("C2", [good, closed])
    assert claim.verdict == "supported"
    assert claim.note == "1 of 2 experiments not reached"
    assert pooling.pool_claim("C2", [closed]).verdict == "not reached here"
    unfinished = make_record("c", verdict="not finished")
    assert pooling.pool_claim("C2", [good, unfinished]).verdict == "not finished"
    assert pooling.pool_claim("C2", []).verdict == "not finished"


def test_experiments_that_disagree_in_direction_are_no_verdict():
    records = [
        make_record("a", mean=50.0, interval=(48.0, 52.0)),
        make_record("b", mean=-3.0, interval=(-4.0, -2.0)),
    ]
    claim = pooling.pool_claim("C2", records)
    assert claim.verdict == "inconclusive"
    assert claim.note == "the experiments disagree in direction"


def test_kinds_are_not_mixed():
    with pytest.raises(ValueError, match="several kinds"):
        pooling.pool_claim("C2", [make_record("a"), make_record("b", kind="equivalence")])


def test_an_interval_without_a_bound_is_judged_by_the_other_one():
    record = make_record(mean=None, interval=(3.0, None))
    claim = pooling.pool_claim("C2", [record])
    assert claim.verdict == record["verdict"] == "supported"
    assert claim.p == pooling.UNBOUNDED_P
    pooled = pooling.pool_claim("C2", [record, make_record("b")])
    assert pooled.verdict == "inconclusive"


def test_the_p_value_is_that_of_the_verdict():
    def find_p(mean, half, verdict, kind="difference", freedom=INF):
        interval = (mean - half, mean + half)
        claim = pooling.PooledClaim("C1a", verdict, "", kind, mean, interval, freedom)
        return pooling.find_p(claim)

    z = stats.norm.ppf(0.975)
    assert find_p(2.0, 1.0, "supported") == pytest.approx(0.05)  # against 1
    assert find_p(1.0, 1.0, "supported in direction") == pytest.approx(0.05)  # against 0
    assert find_p(-1.0, 1.0, "opposite found here") == pytest.approx(0.05)
    assert find_p(0.4, 0.6, "no effect found") == pytest.approx(0.05)  # against 1 and -1
    assert find_p(-0.4, 0.6, "supported", "equivalence") == pytest.approx(0.05)
    assert find_p(2.0, 1.0, "opposite found here", "equivalence") == pytest.approx(0.05)
    assert find_p(3.0, z, "supported in direction") == pytest.approx(2 * stats.norm.sf(3))
    half = stats.t.ppf(0.975, 2)
    assert find_p(3.0, half, "supported in direction", freedom=2) == pytest.approx(
        2 * stats.t.sf(3, 2)
    )


def claim_of(name, p, verdict="supported in direction"):
    """A claim whose test against no effect has the p-value p, with a standard error of 1."""
    mean, half = stats.norm.isf(p / 2), stats.norm.ppf(0.975)
    return pooling.PooledClaim(
        name, verdict, "", "difference", mean, (mean - half, mean + half), INF, p
    )


def test_holms_correction_by_hand():
    claims = [claim_of("a", 0.01), claim_of("b", 0.04), claim_of("c", 0.03), claim_of("d", 0.005)]
    claims.append(pooling.PooledClaim("e", "not finished"))
    corrected = pooling.correct_for_many(claims)
    assert [each.p_holm for each in corrected] == pytest.approx(
        [0.03, 0.06, 0.06, 0.02, None], nan_ok=True
    )
    assert [each.verdict for each in corrected] == [
        "supported in direction",
        "inconclusive",
        "inconclusive",
        "supported in direction",
        "not finished",
    ]
    assert corrected[1].note == "supported in direction before the correction for many"


def test_holms_correction_is_the_published_formula():
    p = np.random.default_rng(0).uniform(0, 0.2, size=12)
    order = np.argsort(p)
    stepped = np.minimum(1, np.maximum.accumulate(p[order] * (12 - np.arange(12))))
    expected = np.empty(12)
    expected[order] = stepped
    found = pooling.correct_for_many([claim_of(str(i), each) for i, each in enumerate(p)])
    assert [each.p_holm for each in found] == pytest.approx(expected.tolist())


def test_supported_steps_down_to_a_direction_that_survives():
    half = stats.norm.ppf(0.975)
    strong = pooling.PooledClaim("a", "supported", "", "difference", 3.1, (3.1 - half, 3.1 + half))
    strong = dataclasses.replace(strong, p=pooling.find_p(strong))
    others = [claim_of(str(i), 0.5, "inconclusive") for i in range(9)]
    corrected = pooling.correct_for_many([strong, *others])[0]
    assert strong.p < 0.05 < corrected.p_holm
    assert corrected.verdict == "supported in direction"
    assert "supported before the correction" in corrected.note


def test_no_effect_found_must_survive_too():
    narrow = pooling.PooledClaim("a", "no effect found", "", "difference", 0.4, (-0.15, 0.95))
    narrow = dataclasses.replace(narrow, p=pooling.find_p(narrow))
    others = [claim_of(str(i), 0.5, "inconclusive") for i in range(9)]
    assert pooling.correct_for_many([narrow])[0].verdict == "no effect found"
    assert pooling.correct_for_many([narrow, *others])[0].verdict == "inconclusive"


def test_all_claims_are_pooled_and_corrected():
    groups = {"C1a": [], "C2": [make_record(mean=20.0, interval=(18.0, 22.0))]}
    pooled = pooling.pool_claims(groups)
    assert list(pooled) == ["C1a", "C2"]
    assert pooled["C1a"].p_holm is None
    assert pooled["C2"].verdict == "supported"


# ---- which code a protocol names -------------------------------------------------------------

TRIAL = '''
"""A family of claims."""
import numpy as np
from clipnb.claims.experiment import Effect, Experiment, Protocol
from clipnb.claims.verdicts import SUPPORTED

LEVEL = 3
TABLE = {}
TABLE["a"] = 1


def helper(x):
    """Help."""
    return x * LEVEL


def measure(seed, n_images=5):
    """Measure."""
    from clipnb.experiments.tool import draw
    from clipnb.library import work

    return {"a": np.ones(n_images) * helper(TABLE["a"])}, {}


def gain(outcomes):
    return outcomes["a"].mean()


def other(outcomes):
    return 0


EFFECTS = {"gain": Effect(compute=gain, unit="points")}


def explain(effects):
    return "It is so."


EXPERIMENTS = [
    Experiment(
        name="trial",
        claim="C1a",
        title="A trial",
        dataset="scenes",
        protocol=None,
        measure=measure,
        effects=EFFECTS,
        explain=explain,
        notebook="06",
    )
]
'''


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """A function that digests a source of a module of claims. Its imports are in a fake package."""
    for name in ("outcomes", "code"):
        module = {"outcomes": outcomes, "code": code}[name]
        monkeypatch.setattr(module, "ROOT", tmp_path)
    for name, text in {
        "claims/experiment.py": "A = 1\n",
        "claims/verdicts.py": "SUPPORTED = 1\n",
        "experiments/tool.py": "from clipnb.experiments.deep import VALUE\n",
        "experiments/deep.py": "VALUE = 1\n",
        "library.py": "VALUE = 1\n",
    }.items():
        file = tmp_path / "clipnb" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    count = iter(range(1000))

    def run(source=TRIAL, library=False, files=None):
        for name, text in (files or {}).items():
            (tmp_path / "clipnb" / name).write_text(text)
        path = tmp_path / f"trial{next(count)}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
        return code.digest_code(module.EXPERIMENTS[0], library)

    return run


@pytest.mark.parametrize(
    "old, new",
    [
        ('"""Measure."""', '"""Measure, in other words."""'),
        ('"""A family of claims."""', '"""A family."""'),
        ('"It is so."', '"It is not so."'),
        ('title="A trial"', 'title="Another title"'),
        ("protocol=None", 'protocol="another text"'),
        ("    return 0\n", "    return 1\n"),  # of a function that nothing here uses
        ("x * LEVEL", "x  *  LEVEL  # a comment"),
        ('notebook="06"', 'notebook="07"'),
    ],
)
def test_what_does_not_change_a_number_does_not_change_the_digest(digest, old, new):
    assert old in TRIAL
    assert digest(TRIAL.replace(old, new)) == digest()


@pytest.mark.parametrize(
    "old, new",
    [
        ("np.ones(n_images)", "np.zeros(n_images)"),
        ("LEVEL = 3", "LEVEL = 4"),
        ("x * LEVEL", "x + LEVEL"),
        ('TABLE["a"] = 1', 'TABLE["a"] = 2'),
        (".mean()", ".max()"),
        ('unit="points"', 'unit="percent"'),
        ("n_images=5", "n_images=6"),
    ],
)
def test_what_changes_a_number_changes_the_digest(digest, old, new):
    assert old in TRIAL
    assert digest(TRIAL.replace(old, new)) != digest()


def test_imported_tools_count_and_the_library_only_for_the_cache(digest):
    before, with_library = digest(), digest(library=True)
    files = {"experiments/deep.py": "VALUE = 2\n"}
    changed = digest(files=files)
    assert changed != before, "a module of experiments that an imported one imports"
    assert digest(library=True) != with_library
    with_library = digest(library=True)
    files = {"library.py": "VALUE = 2\n", "claims/verdicts.py": "SUPPORTED = 2\n"}
    assert digest(files=files) == changed
    assert digest(library=True) != with_library


def test_an_experiment_that_is_built_out_of_sight_depends_on_its_whole_module():
    built = TRIAL.replace('name="trial"', "name=NAME").replace("LEVEL = 3", 'NAME = "trial"')
    assert code.select_measuring(built, "trial") == built
    assert "other" not in code.select_measuring(TRIAL, "trial")


# ---- protocols -------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The folder of the results, with a cache beside it."""
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    MEASURED.clear()
    return tmp_path / "results"


def test_no_run_without_a_protocol(results):
    with pytest.raises(FileNotFoundError, match="toy has no protocol .*--protocol.*commit it"):
        running.record_experiment(make_toy(), [0])
    with pytest.raises(FileNotFoundError):
        running.run_experiment(make_toy())
    assert MEASURED == []
    assert running.run_experiment(make_toy(), small=True)["verdict"] is None


def test_a_protocol_says_all_that_is_settled(results):
    protocols.write_protocol(make_toy())
    written = json.loads((results / "protocols" / "toy.json").read_text(encoding="utf-8"))
    assert written == json.loads(protocols.dump_protocol(make_toy()))
    for key in ("quote", "margin", "rule", "effect", "settings", "code", "seeds", "gates"):
        assert key in written
    digest = protocols.check_protocol(make_toy())
    assert digest == protocols.digest_protocol("toy") and len(digest) == 64


@pytest.mark.parametrize(
    "changes, named",
    [({"margin": 1.0}, "margin, rule"), ({"seeds": 5}, "seeds"), ({"quote": "So."}, "quote")],
)
def test_a_changed_definition_is_refused(results, changes, named):
    protocols.write_protocol(make_toy())
    with pytest.raises(ValueError, match=f"is not what its protocol says .*{named} differ"):
        protocols.check_protocol(make_toy(**changes))


def test_a_changed_file_is_refused(results):
    protocols.write_protocol(make_toy())
    path = results / "protocols" / "toy.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(written | {"extra": 1}), encoding="utf-8")
    with pytest.raises(ValueError, match="extra differ"):
        protocols.check_protocol(make_toy())


def test_what_changes_after_a_look_is_a_new_version_and_the_old_one_stays(results):
    protocols.write_protocol(make_toy())
    protocols.write_protocol(make_toy(margin=3.0))  # nobody has looked yet
    running.record_experiment(make_toy(margin=3.0), [0])
    first = (results / "second_sitting" / "toy.json").read_bytes()
    with pytest.raises(ValueError, match="set version=2"):
        protocols.write_protocol(make_toy(margin=1.0))
    with pytest.raises(ValueError, match="says in `changed`"):
        protocols.write_protocol(make_toy(margin=1.0, version=2))
    changed = make_toy(margin=1.0, version=2, changed="The margin was too large.")
    protocols.write_protocol(changed)
    earlier = json.loads((results / "protocols" / "earlier" / "toy-1.json").read_text())
    assert earlier["margin"] == 3.0
    assert (results / "second_sitting" / "earlier" / "toy-1.json").read_bytes() == first
    assert not (results / "second_sitting" / "toy.json").exists()
    protocols.check_protocol(changed)


def test_a_record_of_another_protocol_is_not_added_to(results):
    protocols.write_protocol(make_toy())
    running.record_experiment(make_toy(), [0])
    path = results / "protocols" / "toy.json"
    path.write_text(protocols.dump_protocol(make_toy(margin=3.0)), encoding="utf-8")
    with pytest.raises(ValueError, match="made with another protocol"):
        running.record_experiment(make_toy(margin=3.0), [1])


# ---- runs ------------------------------------------------------------------------------------


@pytest.fixture
def protocol(results):
    """The results, in which the toy has its protocol."""
    protocols.write_protocol(make_toy())
    return results


def load_record(results):
    return json.loads((results / "second_sitting" / "toy.json").read_text(encoding="utf-8"))


VARYING = ("seconds", "date", "commit", "machine", "versions", "trained")


def drop_varying(record):
    return {key: value for key, value in record.items() if key not in VARYING}


def test_fewer_seeds_than_the_protocol_asks_for_have_no_verdict(protocol):
    running.record_experiment(make_toy(), [0, 1])
    assert load_record(protocol)["verdict"] == "not finished"
    running.record_experiment(make_toy(), [2])
    record = load_record(protocol)
    assert (
        record["verdict"] == reach_verdict(record["effects"], make_protocol(), 3) != "not finished"
    )
    assert record["protocol"] == protocols.digest_protocol("toy")
    assert record["code"] == code.digest_code(make_toy())
    assert record["command"] == "python -m clipnb experiment toy --seeds 0,1,2"
    assert record["because"].startswith("The gain is")
    assert set(record["conditions"]) == {"a", "b"}


def test_an_interrupted_run_goes_on_seed_by_seed(protocol, monkeypatch):
    def stop(seed, **settings):
        if seed == 1:
            raise KeyboardInterrupt
        return measure_toy(seed, **settings)

    toy = make_toy()
    broken = dataclasses.replace(toy)
    object.__setattr__(broken, "measure", stop)
    monkeypatch.setattr(
        running, "digest_code", lambda experiment, library=False: code.digest_code(toy, library)
    )
    monkeypatch.setattr(protocols, "digest_code", lambda experiment: code.digest_code(toy))
    monkeypatch.setattr(stop, "__module__", measure_toy.__module__, raising=False)
    with pytest.raises(KeyboardInterrupt):
        running.record_experiment(broken, [0, 1, 2])
    assert load_record(protocol)["seeds"] == [0]
    assert MEASURED == [0]
    running.record_experiment(toy, [0, 1, 2])
    assert MEASURED == [0, 1, 2]
    assert load_record(protocol)["seeds"] == [0, 1, 2]


def test_seeds_on_record_are_not_run_again(protocol):
    running.record_experiment(make_toy(), [0, 1, 2])
    before = load_record(protocol)
    MEASURED.clear()
    running.record_experiment(make_toy(), [2, 0])
    assert MEASURED == []
    assert load_record(protocol) == before


def test_added_seeds_give_the_same_as_all_at_once(protocol):
    running.record_experiment(make_toy(), [0, 1, 2])
    running.record_experiment(make_toy(), [5, 6])
    at_once = running.run_experiment(make_toy(), [0, 1, 2, 5, 6])
    assert drop_varying(load_record(protocol)) == drop_varying(at_once)
    assert MEASURED == [0, 1, 2, 5, 6]


def test_added_seeds_without_the_cache_give_nearly_the_same(protocol, tmp_path, monkeypatch):
    toy = make_toy()
    running.record_experiment(toy, [0, 1, 2])
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "another cache"))  # of another machine
    running.record_experiment(toy, [5, 6])
    record = load_record(protocol)
    at_once = running.run_experiment(toy, [0, 1, 2, 5, 6])
    assert record["seeds"] == [0, 1, 2, 5, 6]
    assert record["numbers"] == at_once["numbers"]
    for name, effect in record["effects"].items():
        expected = at_once["effects"][name]
        assert effect["values"] == expected["values"]
        assert effect["mean"] == pytest.approx(expected["mean"])
        if effect["over"] != "images":
            bounds, others = read_interval(effect["interval"]), read_interval(expected["interval"])
            assert bounds == pytest.approx(others, rel=1e-4)
    gain = record["effects"]["gain"]
    values = np.array(gain["values"])
    assert list(mean_interval(values, gain["image_spread"])[1:3]) == pytest.approx(
        gain["interval"], rel=1e-4
    )
    assert gain["interval"] == pytest.approx(at_once["effects"]["gain"]["interval"], rel=0.3)
    spread = at_once["effects"]["gain"]["image_spread"]
    assert spread <= gain["image_spread"] <= 2 * spread, "fewer seeds show more of their own noise"


def test_the_merged_spread_by_hand(protocol, tmp_path, monkeypatch):
    toy = make_toy()
    first = running.run_experiment(toy, [0, 1])
    second = running.run_experiment(toy, [2])
    merged = running.merge_records(first, second, toy)
    squares = [each["effects"]["gain"]["image_spread"] ** 2 for each in (first, second)]
    by_hand = np.sqrt((2 * squares[0] + squares[1]) / 3)
    assert merged["effects"]["gain"]["image_spread"] == pytest.approx(by_hand, rel=1e-5)
    assert merged["seconds"] == pytest.approx(first["seconds"] + second["seconds"], rel=1e-4)
    assert merged["numbers"]["by_class"][2] == second["numbers"]["by_class"][0]


def test_tuning_is_written_down(results):
    tuned = dataclasses.replace(make_toy(), tune=lambda: {"a": {"0.001": 60.0}})
    running.record_tuning(tuned)
    written = json.loads((results / "tuning" / "toy.json").read_text())
    assert written["scores"] == {"a": {"0.001": 60.0}}
    with pytest.raises(ValueError, match="nothing to tune"):
        running.record_tuning(make_toy())


def test_the_toys_gain_is_what_its_outcomes_say():
    outcomes_of_one, _ = measure_toy(0)
    by_hand = 100 * (outcomes_of_one["a"].mean() - outcomes_of_one["b"].mean())
    assert compute_gain(outcomes_of_one) == by_hand
    assert next(iter(EFFECTS)) == "gain"
