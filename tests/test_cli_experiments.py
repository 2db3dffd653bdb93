"""The command `clipnb experiment`: seeds, protocols, small runs, lists, all of them in turns."""

import dataclasses
import json

import pytest
from claim_parts import MEASURED, make_toy, measure_toy

from clipnb import claims, experiments
from clipnb.claims import coverage, protocols
from clipnb.commands.options import parse_seeds

pytestmark = pytest.mark.usefixtures("parsed_once")


def measure_other(seed, n_images=120):
    return measure_toy(seed, n_images)


def measure_photos(seed, n_images=120):
    raise FileNotFoundError("there is no flickr8k; download it.")


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Three experiments: toy, other with five seeds, and photos, whose dataset is missing."""
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    MEASURED.clear()
    toy = make_toy()
    other = dataclasses.replace(make_toy(seeds=5), name="other", measure=measure_other)
    photos = dataclasses.replace(make_toy(), name="photos", measure=measure_photos)
    own = {each.name: each for each in (toy, photos, other)}
    monkeypatch.setattr(claims, "load_experiments", lambda: own)
    return own


def read_seeds(tmp_path, name):
    path = tmp_path / "results" / "claims" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["seeds"]


@pytest.mark.parametrize(
    "text, seeds",
    [("5", [0, 1, 2, 3, 4]), ("5,6", [5, 6]), ("5,", [5]), ("1", [0]), (" 5 , 6 ", [5, 6])],
)
def test_seeds_are_a_number_or_a_list(text, seeds):
    assert list(parse_seeds(text)) == seeds


WRONG_SEEDS = [
    "0", "-1", ",", ",,", "1,,2", ",1", "5,5", "1,-2", "x", "1,x", "1.5", "1e3", "1001", "9" * 400,
    "4294967296,", ",".join(map(str, range(1001))),
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG_SEEDS)
def test_wrong_seeds_are_refused(clipnb, text):
    status, _, said = clipnb(f"experiment toy --seeds={text}")
    assert status == 2
    told = said.splitlines()[-1]
    assert "argument --seeds" in told and len(told) < 400
    assert "are no seeds. Give how many, from 1 to 1,000: 5 means 0 to 4." in told
    assert "each once, from 0 to 4,294,967,295: 5,6 means 5 and 6, and 5, with its comma" in told


def test_a_protocol_comes_first_and_then_the_seeds_that_it_asks_for(clipnb, toys, tmp_path):
    status, _, said = clipnb("experiment toy")
    assert status == 2
    assert said.startswith("clipnb: toy has no protocol")
    assert len(said.splitlines()) == 1
    assert clipnb("experiment toy --protocol")[0] == 0
    status, printed, _ = clipnb("experiment toy")
    assert status == 0
    assert printed.splitlines()[0] == "toy: seeds 0, 1, 2"
    assert printed.splitlines()[-1].endswith("toy.json: seed 2")
    assert read_seeds(tmp_path, "toy") == [0, 1, 2]


def test_a_reader_adds_seeds_to_the_record(clipnb, toys, tmp_path):
    clipnb("experiment toy --protocol")
    clipnb("experiment toy")
    MEASURED.clear()
    assert clipnb("experiment toy --seeds 5,6")[0] == 0
    assert MEASURED == [5, 6]
    assert read_seeds(tmp_path, "toy") == [0, 1, 2, 5, 6]


def test_all_take_turns_and_leave_out_what_they_lack(clipnb, toys, tmp_path):
    status, printed, _ = clipnb("experiment all --protocol")
    assert status == 0
    assert [line.split("/")[-1] for line in printed.splitlines()] == [
        "toy.json",
        "photos.json",
        "other.json",
    ]
    protocols.protocol_path("toy").unlink()
    status, printed, _ = clipnb("experiment all --seeds 2")
    assert status == 0
    lines = [line.replace(str(tmp_path / "results"), "") for line in printed.splitlines()]
    assert lines[0].startswith("left out toy: toy has no protocol")
    assert lines[1:] == [
        "photos: seeds 0, 1",
        "other: seeds 0, 1",
        "left out photos: there is no flickr8k; download it.",
        "wrote /claims/other.json: seed 0",
        "wrote /claims/other.json: seed 1",
    ]


def test_the_first_seed_of_all_comes_before_the_second(clipnb, toys, tmp_path):
    clipnb("experiment all --protocol")
    status, printed, _ = clipnb("experiment all")
    assert status == 0
    wrote = [line.split("/")[-1] for line in printed.splitlines() if line.startswith("wrote")]
    assert wrote == [
        *[f"{name}.json: seed {seed}" for seed in range(3) for name in ("toy", "other")],
        "other.json: seed 3",
        "other.json: seed 4",
    ]
    before = len(MEASURED)
    assert clipnb("experiment all")[0] == 0, "it goes on where it was, and here nothing is left"
    assert len(MEASURED) == before


def test_one_that_is_not_what_its_protocol_says_does_not_stop_the_others(
    clipnb, toys, tmp_path, monkeypatch
):
    clipnb("experiment all --protocol")
    changed = dataclasses.replace(make_toy(margin=1.0))
    monkeypatch.setattr(claims, "load_experiments", lambda: toys | {"toy": changed})
    status, printed, _ = clipnb("experiment all --seeds 1")
    assert status == 2
    assert "left out toy: toy is not what its protocol says" in printed
    assert read_seeds(tmp_path, "other") == [0]


def test_the_small_run_shows_its_effects_and_writes_nothing(clipnb, toys, tmp_path):
    status, printed, _ = clipnb("experiment toy --small")
    assert status == 0
    assert printed.startswith("toy, small settings, without a verdict. The gain is")
    assert "  gain: " in printed and " points\n" in printed
    assert MEASURED == [0]
    assert not (tmp_path / "results").exists()


def test_tuning(clipnb, toys, tmp_path, monkeypatch):
    assert "toy has nothing to tune" in clipnb("experiment toy --tune")[2]
    tuned = dataclasses.replace(make_toy(), tune=lambda: {"a": {"0.1": 60.0}})
    monkeypatch.setattr(claims, "load_experiments", lambda: toys | {"toy": tuned})
    status, printed, _ = clipnb("experiment all --tune")
    assert status == 0
    assert printed.endswith("tuning/toy.json\n") and len(printed.splitlines()) == 1


@pytest.mark.parametrize("command", ["list", "--list"])
def test_the_list_tells_what_is_done(clipnb, toys, monkeypatch, command):
    monkeypatch.setattr(claims, "find_experiment", toys.get)
    clipnb("experiment toy --protocol")
    clipnb("experiment toy --seeds 2")
    status, printed, _ = clipnb(f"experiment {command}")
    assert status == 0
    assert printed.splitlines() == [
        "toy\tC2\t2/3 seeds\tnot finished\tA toy",
        "photos\tC2\t0/3 seeds\t-\tA toy",
        "other\tC2\t0/5 seeds\t-\tA toy",
    ]


def test_a_study_takes_a_number_of_seeds_and_nothing_else(clipnb, toys, monkeypatch):
    asked = []
    monkeypatch.setattr(
        experiments, "record_study", lambda name, n_seeds: asked.append((name, n_seeds)) or "it"
    )
    assert clipnb("experiment adapting")[1] == "wrote it\n"
    assert clipnb("experiment full_budget --seeds 5")[0] == 0
    assert asked == [("adapting", 3), ("full_budget", 5)]
    for options in ("--seeds 5,6", "--protocol", "--small", "--tune"):
        status, _, said = clipnb(f"experiment adapting {options}")
        assert (status, said.count("\n")) == (2, 1)
        assert "adapting tests no claim" in said


def test_mistakes_are_answered_in_a_line(clipnb, toys):
    for command, told in {
        "experiment": "which experiment?",
        "experiment nothing": "no experiment 'nothing'; there are toy, photos, other, adapting",
        "experiment toy --small --tune": "not allowed with argument",
    }.items():
        status, _, said = clipnb(command)
        assert status == 2
        assert told in said.splitlines()[-1]


def test_coverage_is_a_study_of_its_own(clipnb, toys, tmp_path, monkeypatch):
    cases = {"one": lambda rng: (0.0, [-1.0, None])}
    monkeypatch.setattr(coverage, "list_cases", lambda: cases)
    monkeypatch.setattr(coverage.record_coverage, "__defaults__", (50,))
    assert clipnb("experiment coverage")[0] == 0
    record = json.loads((tmp_path / "results" / "coverage.json").read_text())
    assert record["coverage"] == {"one": 1.0}
    assert record["repetitions"] == 50


def test_the_help_says_how_to_add_seeds(clipnb):
    status, printed, _ = clipnb("experiment --help")
    assert status == 0
    assert "clipnb experiment NAME --seeds 5,6" in " ".join(printed.split())
