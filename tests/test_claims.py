"""The experiments by name, and their records by claim."""

import pytest
from claim_parts import make_toy

import clipnb
from clipnb import claims
from clipnb.claims import protocols

pytestmark = pytest.mark.usefixtures("parsed_once")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The toy as the only experiment, with results and cache in a temporary folder."""
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    toy = make_toy()
    monkeypatch.setattr(claims, "load_experiments", lambda: {"toy": toy})
    return toy


def test_a_record_that_is_missing_is_told_with_the_command_that_makes_it(toy, capsys):
    assert clipnb.load_claim("toy") is None
    told = capsys.readouterr().out
    assert "not on record" in told
    assert "python -m clipnb experiment toy" in told


def test_recording_writes_the_file_that_load_claim_reads(toy):
    protocols.write_protocol(toy)
    assert claims.record_claim("toy", [0]).endswith("claims/toy.json")
    assert clipnb.load_claim("toy")["seeds"] == [0]
    groups = clipnb.load_claims()
    assert list(groups) == list(claims.CLAIMS)
    assert [record["experiment"] for record in groups["C2"]] == ["toy"]
    assert groups["C15"] == []


def test_a_claim_without_all_its_records_is_not_finished(toy):
    (record,) = clipnb.load_claims()["C2"]
    assert (record["verdict"], record["seeds"]) == ("not finished", [])


def test_a_run_in_a_notebook_is_small_and_has_no_verdict(toy):
    record = clipnb.run_claim("toy")
    assert record["small"] and record["verdict"] is None
    assert record["settings"] == toy.small


@pytest.mark.parametrize("function", [claims.find_experiment, clipnb.load_claim, clipnb.run_claim])
def test_an_unknown_experiment_gets_the_list_of_names(toy, function):
    with pytest.raises(ValueError, match="no experiment 'zeroshot'; there are toy"):
        function("zeroshot")
