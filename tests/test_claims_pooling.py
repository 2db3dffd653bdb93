"""One line for each claim: margins, disagreement, closed gates, Holm."""

import dataclasses

import numpy as np
import pytest
from claim_parts import (
    make_record,
)
from scipy import stats

from clipnb.claims import pooling

INF = float("inf")


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
    assert claim.note == "`a`: supported; `b`: not reached here"
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
    told = "`a`: supported; `b`: opposite found here"
    assert claim.note == f"the experiments disagree in direction: {told}"


def test_verdicts_that_differ_are_told():
    strong = make_record("a", mean=50.0, interval=(48.0, 52.0))
    weak = make_record("b", mean=0.3, interval=(0.1, 0.5), dataset="flickr8k")
    claim = pooling.pool_claim("C3a", [strong, weak])
    assert claim.verdict == "supported"
    assert claim.note == "supported on scenes; no effect found on flickr8k"
    assert pooling.pool_claim("C3a", [strong, strong]).note == ""
    both = weak | {"dataset": "scenes and flickr8k"}
    assert pooling.pool_claim("L1", [strong, both]).note.endswith("`b`: no effect found")


def test_a_verdict_that_is_told_follows_the_margin_at_hand():
    strong = make_record("a", mean=50.0, interval=(48.0, 52.0)) | {"margin": 60.0}
    weak = make_record("b", mean=0.3, interval=(0.1, 0.5), dataset="flickr8k")
    assert pooling.pool_claim("C3a", [strong, weak]).note == ""  # both are within their margins


def make_equivalence(name, mean, half, dataset):
    """A record of a claim that there is no effect, with a margin of 2."""
    interval = (mean - half, mean + half)
    return make_record(name, "C13", mean, interval, kind="equivalence", dataset=dataset)


def test_opposite_effects_do_not_cancel_to_equivalence():
    records = [
        make_equivalence("a", 4.0, 0.5, "scenes"),
        make_equivalence("b", -4.0, 0.5, "photos"),
    ]
    claim = pooling.pool_claim("C13", records)
    assert claim.mean == 0, "the mean hides both"
    assert claim.verdict == "opposite found here"
    assert claim.p < 0.05


@pytest.mark.parametrize(
    "mean, half, verdict",
    [
        (1.0, 0.5, "supported"),
        (-1.9, 1.5, "inconclusive"),
        (-1.9, 0.05, "supported"),
        (4.0, 0.5, "opposite found here"),
    ],
)
def test_equivalence_is_as_sure_as_its_worst_experiment(mean, half, verdict):
    good, other = (
        make_equivalence("a", 0.0, 0.5, "scenes"),
        make_equivalence("b", mean, half, "photos"),
    )
    claim = pooling.pool_claim("C13", [good, other])
    assert claim.verdict == verdict
    alone = pooling.pool_claim("C13", [other])
    assert alone.verdict == verdict == other["verdict"]
    factor = 2 if verdict == "opposite found here" else 1  # either could have been the one
    assert claim.p == pytest.approx(factor * alone.p)
    assert (claim.p < 0.05) == (verdict != "inconclusive")
    assert bool(claim.note) == (verdict != "supported")


def test_a_closed_gate_has_no_say_in_equivalence():
    good = make_equivalence("a", 0.0, 0.5, "scenes")
    closed = make_equivalence("b", 9.0, 0.5, "photos") | {"verdict": "not reached here"}
    claim = pooling.pool_claim("C13", [good, closed])
    assert claim.verdict == "supported"
    assert claim.note == "supported on scenes; not reached here on photos"


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


def claim_of(name, p, verdict="opposite found here"):
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
        [0.03, 0.08, 0.06, 0.02, None], nan_ok=True
    )
    assert [each.verdict for each in corrected] == [
        "opposite found here",
        "inconclusive",
        "inconclusive",
        "opposite found here",
        "not finished",
    ]
    assert corrected[1].note == "opposite found here before the correction for many"


def test_holms_correction_is_the_published_formula():
    p = np.random.default_rng(0).uniform(0, 0.2, size=12)
    p[:4] /= 100  # some survive
    order = np.argsort(p)
    stepped = np.minimum(1, np.maximum.accumulate(p[order] * (12 - np.arange(12))))
    expected = np.empty(12)
    expected[order] = stepped
    claims = pooling.correct_for_many([claim_of(str(i), each) for i, each in enumerate(p)])
    found = np.array([each.p_holm for each in claims])
    survives = expected < 0.05
    assert 4 <= survives.sum() < 12
    assert found[survives] == pytest.approx(expected[survives])
    assert (found[~survives] >= 0.05).all(), "the first that falls takes all others with it"


def test_supported_steps_down_to_a_direction_that_survives():
    half = stats.norm.ppf(0.975)
    strong = pooling.PooledClaim("a", "supported", "", "difference", 3.1, (3.1 - half, 3.1 + half))
    strong = dataclasses.replace(strong, p=pooling.find_p(strong))
    others = [claim_of(str(i), 0.5, "inconclusive") for i in range(9)]
    corrected = pooling.correct_for_many([strong, *others])[0]
    assert strong.p < 0.05 < 10 * strong.p
    assert corrected.verdict == "supported in direction"
    assert corrected.p_holm == pytest.approx(10 * 2 * stats.norm.sf(3.1)), "that of the direction"
    assert "supported before the correction" in corrected.note


def test_a_direction_keeps_its_place_in_the_correction():
    claims = [claim_of("a", 0.001, "supported in direction"), claim_of("b", 0.02)]
    claims += [claim_of("c", 0.5, "inconclusive")]
    corrected = pooling.correct_for_many(claims)
    assert [each.p_holm for each in corrected] == pytest.approx([0.003, 0.06, 1])


def test_effects_as_large_as_the_margin_are_seldom_called_larger():
    rng, wrong = np.random.default_rng(0), 0
    half = 0.2 * stats.norm.ppf(0.975)
    for _ in range(40):
        claims = []
        for i, mean in enumerate(rng.normal(1, 0.2, size=30)):
            verdict = pooling.judge_interval(mean - half, mean + half, 1.0, "difference")
            bounds = (mean - half, mean + half)
            each = pooling.PooledClaim(str(i), verdict, "", "difference", mean, bounds)
            claims.append(dataclasses.replace(each, p=pooling.find_p(each)))
        corrected = pooling.correct_for_many(claims)
        wrong += any(each.verdict == "supported" for each in corrected)
    assert wrong <= 5, "of 40 families; if a direction freed its place it would be about 15"


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
