"""The records of the first sitting: whole, and read for comparison alone."""

import json

import pytest

from clipnb.claims import CLAIMS
from clipnb.claims.first_sitting import (
    FIRST_VERDICTS,
    combine_first,
    judge_first_sitting,
    load_first_sitting,
)
from clipnb.claims.showing import compare_sittings

RECORDS = load_first_sitting()


@pytest.mark.parametrize(
    ("own", "combined"),
    [
        (["replicated", "replicated"], "replicated"),
        (["replicated", "contradicted"], "partly"),
        (["partly", "partly"], "partly"),
        (["not at this scale", "contradicted"], "contradicted"),
        (["not at this scale", "replicated", "contradicted"], "partly"),
        (["not at this scale"], "not at this scale"),
    ],
)
def test_a_claim_with_several_experiments_has_one_verdict(own, combined):
    assert combine_first(own) == combined


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_whole(name):
    record = RECORDS[name]
    assert record["experiment"] == name
    assert record["claim"] in {claim.rstrip("abc") for claim in CLAIMS}
    assert len(record["seeds"]) >= 3
    assert record["verdict"] in FIRST_VERDICTS
    assert record["interval"][0] <= record["mean"] <= record["interval"][1]


def test_there_are_twenty_seven_and_four_rules_were_settled_late():
    assert len(RECORDS) == 27
    late = [name for name, record in RECORDS.items() if record["rule_settled"] != "before"]
    assert late == ["clamp", "data_source", "limits", "overlap"]


def test_each_claim_has_one_verdict(tmp_path, monkeypatch):
    folder = tmp_path / "first_sitting"
    folder.mkdir()
    for name, claim, verdict in (
        ("a", "C2", "replicated"),
        ("b", "C2", "replicated"),
        ("c", "C7", "not at this scale"),
        ("d", "C7", "contradicted"),
    ):
        record = {"experiment": name, "claim": claim, "verdict": verdict}
        (folder / f"{name}.json").write_text(json.dumps(record))
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    assert judge_first_sitting(load_first_sitting()) == {"C2": "replicated", "C7": "contradicted"}
    told = compare_sittings({claim: [] for claim in CLAIMS}).splitlines()
    assert any(line.startswith("| C7b |") and "contradicted" in line for line in told)
    assert any(line.startswith("| C4 |") and "not tested | not tested" in line for line in told)
