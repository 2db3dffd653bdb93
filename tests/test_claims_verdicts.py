"""The one rule of all verdicts, by hand-worked intervals."""

import numpy as np
import pytest
from claim_parts import (
    make_protocol,
)

from clipnb.claims.experiment import Gate
from clipnb.claims.verdicts import (
    MARKS,
    VERDICTS,
    explain_verdict,
    is_closed,
    judge_interval,
    measure_from_none,
    measure_margin,
    reach_verdict,
    write_rule,
)

INF = float("inf")


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


def test_a_claim_that_there_is_none_has_words_of_its_own():
    assert "the effect is there" in explain_verdict("supported", "difference")
    assert "as the claim says" in explain_verdict("supported", "equivalence")
    assert "effect that counts and one that does not" in explain_verdict(
        "inconclusive", "equivalence"
    )
    shared = ("not finished", "not reached here")
    assert all(explain_verdict(each, "equivalence") == VERDICTS[each] for each in shared)


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
