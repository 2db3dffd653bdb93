"""Experiments on networks that never learn: they support no claim.

`tests/test_judges.py` gives the judges simulated outcomes. Here whole experiments run, in their
settings for notebooks, with a learning rate of zero. So every model keeps its first weights.
"""

import pytest

from clipnb import loop
from clipnb.claims import find_experiment, run_claim
from clipnb.claims.verdicts import NO_EFFECT_FOUND, SUPPORTED, reach_verdict

# Two claims that there is no effect, which a blank model would support, and one on a failure.
NAMES = ("sources", "word_order", "limits")


@pytest.mark.parametrize("name", NAMES)
def test_untrained_networks_support_no_claim(name, monkeypatch, tmp_path):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loop, "learning_rate_at", lambda *_: 0.0)
    record = run_claim(name)
    protocol = find_experiment(name).protocol
    verdict = reach_verdict(record["effects"], protocol, protocol.seeds)
    assert verdict not in (SUPPORTED, NO_EFFECT_FOUND), record["because"]
