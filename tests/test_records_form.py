"""A record of another form is refused by its name, wherever records are read."""

import json

import pytest

from clipnb.claims import load_claim, load_claims, load_experiments
from clipnb.commands.trials import print_list
from clipnb.records import load_records, load_trials

BAD = [{}, [], 3, None, {"seeds": 3, "verdict": 1}]


@pytest.mark.parametrize("content", BAD, ids=map(json.dumps, BAD))
def test_a_record_of_another_form_is_refused_by_its_name(content, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    for folder, name in (("claims", "clamp"), ("runs", "own-tiny-0")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.json").write_text(json.dumps(content))
    calls = {
        "clamp.json": [
            load_claims,
            lambda: load_claim("clamp"),
            lambda: print_list(load_experiments()),
        ],
        "own-tiny-0.json": [load_records],
    }
    for name, readers in calls.items():
        for read in readers:
            with pytest.raises(ValueError, match=f"{name} is no record"):
                read()


def test_a_line_of_the_trials_that_is_no_object_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path))
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "own.jsonl").write_text('3\n{"seed": 0}\n[]\n')
    with pytest.warns(UserWarning, match="is not a whole trial"):
        assert load_trials("own") == [{"seed": 0}]
