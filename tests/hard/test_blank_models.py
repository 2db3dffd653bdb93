"""Experiments on networks that never learn: they support no claim.

`tests/test_judges.py` gives the judges simulated outcomes. Here every experiment runs as a whole,
in its settings for notebooks, and no step of a training changes a weight.
"""

import pytest

from clipnb import steps
from clipnb.claims import load_experiments
from clipnb.claims.running import run_experiment
from clipnb.claims.verdicts import DIRECTION, NO_EFFECT_FOUND, SUPPORTED, reach_verdict
from clipnb.experiments import fitting

EXPERIMENTS = load_experiments()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_untrained_networks_support_no_claim(name, monkeypatch, tmp_path):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    for module in (steps, fitting):
        monkeypatch.setattr(module, "update_weights", lambda *_: None)
    try:
        record = run_experiment(EXPERIMENTS[name], small=True)
    except FileNotFoundError as error:
        if "flickr8k" not in EXPERIMENTS[name].dataset:
            raise
        pytest.skip(str(error))
    except ValueError as error:  # a quotient without a number to divide by is no verdict either
        assert "infinite or no number" in str(error)
        return
    protocol = EXPERIMENTS[name].protocol
    wrong = [SUPPORTED, DIRECTION]
    if protocol.gates:  # they must close, so that nothing is said
        wrong.append(NO_EFFECT_FOUND)
    verdict = reach_verdict(record["effects"], protocol, protocol.seeds)
    assert verdict not in wrong, record["because"]
