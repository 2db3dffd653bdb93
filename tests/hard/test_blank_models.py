"""Experiments on networks that never learn: they support no claim.

`tests/test_judges.py` gives the judges simulated outcomes. Here whole experiments run, in their
settings for notebooks, with a learning rate of zero. So every model keeps its first weights.
"""

import pytest

from clipnb import loop
from clipnb.claims import load_experiments
from clipnb.claims.running import run_experiment
from clipnb.claims.verdicts import NO_EFFECT_FOUND, SUPPORTED, reach_verdict


@pytest.mark.parametrize("name", load_experiments())
def test_untrained_networks_support_no_claim(name, monkeypatch, tmp_path):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loop, "learning_rate_at", lambda *_: 0.0)
    experiment = load_experiments()[name]
    try:
        record = run_experiment(experiment, small=True)
    except FileNotFoundError as error:
        pytest.skip(f"its dataset is missing: {error}")
    protocol = experiment.protocol
    verdict = reach_verdict(record["effects"], protocol, protocol.seeds)
    assert verdict not in (SUPPORTED, NO_EFFECT_FOUND), record["because"]
