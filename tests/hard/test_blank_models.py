"""Experiments on networks that never learn: no claim may be supported by them.

`tests/test_judges.py` gives the judges simulated outcomes. Here whole experiments run, in their
settings for notebooks, with a learning rate of zero. So every model keeps its first weights.
"""

import pytest

from clipnb import loop
from clipnb.claims import find_experiment, run_claim
from clipnb.claims.verdicts import NO_EFFECT_FOUND, SUPPORTED, reach_verdict

# A claim of each kind: naming, prompts, no difference between sources, order of words, reading.
NAMES = ("zero_shot", "asking_in_number", "sources", "word_order", "limits", "reading")
SEEDS = (0, 1)


@pytest.fixture
def no_learning(monkeypatch, tmp_path):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(loop, "learning_rate_at", lambda *_: 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_untrained_networks_support_no_claim(name, no_learning):
    record = run_claim(name, SEEDS)
    protocol = find_experiment(name).protocol
    verdict = reach_verdict(record["effects"], protocol, protocol.seeds)
    assert verdict not in (SUPPORTED, NO_EFFECT_FOUND), record["because"]
