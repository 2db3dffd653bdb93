"""From a protocol to a record: what is refused, and how seeds are added."""

import dataclasses
import json

import numpy as np
import pytest
from claim_parts import (
    EFFECTS,
    MEASURED,
    compute_gain,
    make_protocol,
    make_toy,
    measure_toy,
)

from clipnb.claims import code, protocols, running
from clipnb.claims.effects import (
    mean_interval,
)
from clipnb.claims.verdicts import (
    reach_verdict,
    read_interval,
)

pytestmark = pytest.mark.usefixtures("parsed_once")


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
    first = (results / "claims" / "toy.json").read_bytes()
    with pytest.raises(ValueError, match="set version=2"):
        protocols.write_protocol(make_toy(margin=1.0))
    with pytest.raises(ValueError, match="says in `changed`"):
        protocols.write_protocol(make_toy(margin=1.0, version=2))
    changed = make_toy(margin=1.0, version=2, changed="The margin was too large.")
    protocols.write_protocol(changed)
    earlier = json.loads((results / "protocols" / "earlier" / "toy-1.json").read_text())
    assert earlier["margin"] == 3.0
    assert (results / "claims" / "earlier" / "toy-1.json").read_bytes() == first
    assert not (results / "claims" / "toy.json").exists()
    protocols.check_protocol(changed)


def test_a_record_of_another_protocol_is_not_added_to(results):
    protocols.write_protocol(make_toy())
    running.record_experiment(make_toy(), [0])
    path = results / "protocols" / "toy.json"
    path.write_text(protocols.dump_protocol(make_toy(margin=3.0)), encoding="utf-8")
    with pytest.raises(ValueError, match="made with another protocol"):
        running.record_experiment(make_toy(margin=3.0), [1])


@pytest.fixture
def protocol(results):
    """The results, in which the toy has its protocol."""
    protocols.write_protocol(make_toy())
    return results


def load_record(results):
    return json.loads((results / "claims" / "toy.json").read_text(encoding="utf-8"))


VARYING = ("seconds", "date", "commit", "machine", "versions", "trained", "origins")


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


@pytest.mark.parametrize("keeps_the_cache", [True, False])
def test_a_record_tells_where_each_seed_was_made(protocol, tmp_path, monkeypatch, keeps_the_cache):
    toy = make_toy()
    for seeds, machine in (([0, 1], "a CPU"), ([2], "a GPU")):
        monkeypatch.setattr(running, "describe_machine", lambda machine=machine: {"gpu": machine})
        running.record_experiment(toy, seeds)
        if not keeps_the_cache:
            monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "another cache"))
    record = load_record(protocol)
    assert record["machine"] == {"gpu": "a GPU"}, "the newest seed's"
    origins = running.list_origins(record)
    made = [(seed, origin["machine"]["gpu"]) for origin in origins for seed in origin["seeds"]]
    assert made == [(0, "a CPU"), (1, "a CPU"), (2, "a GPU")]
    assert all(set(origin) == {"seeds", *running.ORIGIN} for origin in origins)


def test_an_older_record_knows_the_origin_of_its_newest_seed_alone(protocol):
    toy = make_toy()
    older = running.run_experiment(toy, [0, 1])
    assert "origins" not in older
    merged = running.merge_records(older, running.run_experiment(toy, [2]), toy)
    assert [origin["seeds"] for origin in merged["origins"]] == [[1], [2]]


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
