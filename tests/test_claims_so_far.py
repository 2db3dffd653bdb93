"""What the rule says of records that lack seeds."""

import dataclasses
import json

import pytest
from claim_parts import make_protocol, make_record

from clipnb.claims import showing, so_far
from clipnb.claims.experiment import Gate


@pytest.fixture
def protocol(tmp_path, monkeypatch):
    """Write a protocol of the toy that asks for five seeds, with a gate. Returns it as a dict."""
    gate = Gate(effect="accuracy", above=60.0, why="a model near chance says nothing")
    settled = dataclasses.asdict(make_protocol(seeds=5, gates=[gate]))
    settled |= {"experiment": "toy", "rule": "supported: above 2 points"}
    (tmp_path / "protocols").mkdir()
    (tmp_path / "protocols" / "toy.json").write_text(json.dumps(settled))
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    return settled


def make_unfinished(interval, accuracy=(70.0, 80.0)):
    told = {"mean": sum(accuracy) / 2, "values": [70.0, 75.0], "unit": "percent"}
    effects = {"accuracy": told | {"interval": list(accuracy), "scale": "linear"}}
    return make_record(
        "toy",
        "C2",
        sum(interval) / 2,
        interval,
        seeds=[0, 1],
        effects=effects,
        verdict="not finished",
    )


@pytest.mark.parametrize(
    "interval, accuracy, verdict",
    [
        ((3.0, 7.0), (70.0, 80.0), "supported"),
        ((0.5, 7.0), (70.0, 80.0), "supported in direction"),
        ((-1.0, 7.0), (70.0, 80.0), "inconclusive"),
        ((3.0, 7.0), (50.0, 80.0), "not reached here"),
    ],
)
def test_the_rule_is_applied_to_the_seeds_on_record(protocol, interval, accuracy, verdict):
    groups = {"C2": [make_unfinished(interval, accuracy)], "C15": []}
    judged = so_far.judge_so_far(groups)
    assert [record["verdict"] for record in judged["C2"]] == [verdict]
    assert groups["C2"][0]["verdict"] == "not finished", "the records themselves stay as they are"
    assert so_far.count_finished(groups) == (0, 1)


def test_a_finished_record_and_one_without_seeds_keep_their_verdicts(protocol):
    finished = make_record("toy", verdict="no effect found")
    missing = {"experiment": "toy", "claim": "C2", "verdict": "not finished"}
    judged = so_far.judge_so_far({"C2": [finished, missing]})["C2"]
    assert [record["verdict"] for record in judged] == ["no effect found", "not finished"]


def test_a_card_tells_the_verdict_so_far(protocol):
    protocol["conditions"] = {}
    card = showing.render_record(make_unfinished((3.0, 7.0)), protocol)
    assert "**Verdict: … not finished**" in card
    assert "By 2 of 5 seeds it would be **✔ supported**." in card
