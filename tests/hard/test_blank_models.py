"""Experiments on networks that have nothing to show: they support no claim.

`tests/test_judges.py` gives the judges simulated outcomes. Here every experiment runs as a whole,
in its settings for notebooks, on two sorts of blank models.
"""

import pytest
import torch

from clipnb import batches, steps
from clipnb.claims import load_experiments
from clipnb.claims.running import run_experiment
from clipnb.claims.verdicts import DIRECTION, NO_EFFECT_FOUND, SUPPORTED, reach_verdict
from clipnb.experiments import fitting

EXPERIMENTS = load_experiments()


def keep_weights(monkeypatch):
    """Let no step of a training change a weight."""
    for module in (steps, fitting):
        monkeypatch.setattr(module, "update_weights", lambda *_: None)


def shuffle_images(monkeypatch):
    """Give the captions and labels of each batch to other images of it, anew in each step."""

    take, augment = batches.take_images, fitting.augment

    def shuffle(images):
        return images[torch.randperm(len(images))]

    monkeypatch.setattr(batches, "take_images", lambda *batch: shuffle(take(*batch)))
    monkeypatch.setattr(fitting, "augment", lambda images, recipe: augment(shuffle(images), recipe))


@pytest.mark.parametrize("make_blank", [keep_weights, shuffle_images])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_blank_networks_support_no_claim(name, make_blank, monkeypatch, tmp_path):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    make_blank(monkeypatch)
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
