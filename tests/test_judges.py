"""All judges of the second sitting on trial: they reject models that learned nothing.

For every experiment tests/planted_*.py holds a simulation of what it measures. "blank" is what
models give that learned nothing: such an outcome must not be supported. "planted" is the paper's
effect with the noise of seeds and images: it must be.
"""

import re

import pytest
from claim_parts import (
    find_missing_modules,
    find_size,
    judge_simulated,
    load_known_experiments,
    load_simulations,
)
from notebook_course import PLACEHOLDER

from clipnb.claims import CLAIMS
from clipnb.claims.code import digest_code, select_measuring
from clipnb.claims.verdicts import DIRECTION, SUPPORTED
from clipnb.experiments.outcomes import find_imported_files
from clipnb.runtime import ROOT

pytestmark = pytest.mark.usefixtures("parsed_once")
EXPERIMENTS = load_known_experiments()
SIMULATIONS = load_simulations()
SIMULATED = [name for name in EXPERIMENTS if name in SIMULATIONS]
MOST_PLANTED = 1.25  # times the paper's effect, because the simulated noise moves it
SENTENCES = (
    "match_reason",
    "hypothesis",
    "equal",
    "tuning",
    "power",
    "margin_reason",
    "opposite",
)


# This test alone is red while families of claims are still being written.
def test_every_family_of_claims_is_there():
    assert find_missing_modules() == {}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_has_a_simulation(name):
    assert name in SIMULATIONS, f"no tests/planted_*.py simulates {name}"


def test_every_simulation_belongs_to_an_experiment():
    if find_missing_modules():
        pytest.skip("some families of claims are missing")
    assert set(SIMULATIONS) <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", SIMULATED)
def test_models_that_learned_nothing_are_not_supported(name):
    verdict, effects = judge_simulated(EXPERIMENTS[name], SIMULATIONS[name], "blank")
    on_trial = next(iter(effects.values()))
    assert verdict not in (SUPPORTED, DIRECTION), f"{on_trial['mean']}, {on_trial['interval']}"


@pytest.mark.parametrize("name", SIMULATED)
def test_the_papers_effect_is_supported(name):
    experiment = EXPERIMENTS[name]
    verdict, effects = judge_simulated(experiment, SIMULATIONS[name], "planted")
    shown = {key: (own["mean"], own["interval"]) for key, own in effects.items()}
    assert verdict == SUPPORTED, shown
    paper = experiment.protocol.paper_effect
    if experiment.protocol.kind == "difference" and paper is not None:
        on_trial = next(iter(effects.values()))
        planted = find_size(on_trial["mean"], on_trial["scale"])
        largest = MOST_PLANTED * find_size(paper, on_trial["scale"])
        assert planted <= largest, "more than the paper's effect is planted, so it is easy to see"
    explained = experiment.explain(effects)
    assert is_told(explained), explained


@pytest.mark.parametrize("name", SIMULATED)
def test_a_reason_can_be_given_without_bounds(name):
    _, effects = judge_simulated(EXPERIMENTS[name], SIMULATIONS[name], "blank")
    unbounded = {key: own | {"interval": [None, None]} for key, own in effects.items()}
    assert EXPERIMENTS[name].explain(unbounded)


# ---- protocols -------------------------------------------------------------------------------


CONSTANT = re.compile(r"\b[A-Z]{3,}_[A-Z]+\b")  # a name in the code for a text to come


def is_told(text):
    """Tell whether a text says something: a few words, none of them a placeholder.

    A card writes the capital at its start and the full stop at its end.
    """
    is_open = PLACEHOLDER.search(text) or CONSTANT.search(text)
    return len(text.split()) >= 3 and not is_open


def find_faults(experiment):
    """Return what is missing or wrong in an experiment's protocol, as sentences."""
    protocol, faults = experiment.protocol, []
    for field in SENTENCES:
        text = getattr(protocol, field)
        if not is_told(text):
            faults.append(f"{field} says nothing: {text!r}")
    if not protocol.quote.strip() or not re.search(r"\d", protocol.source):
        faults.append("quote or source are empty, or the source has no section, table or page")
    if protocol.match not in ("proxy", "exact"):
        faults.append(f"match is {protocol.match!r}")
    if protocol.kind not in ("difference", "equivalence"):
        faults.append(f"kind is {protocol.kind!r}")
    on_trial = next(iter(experiment.effects.values()))
    margin = 0.0 if protocol.margin <= 0 else find_size(protocol.margin, on_trial.scale)
    if not margin > 0 or (on_trial.scale == "log" and protocol.margin <= 1):
        faults.append(f"the margin {protocol.margin} allows nothing")
    paper = protocol.paper_effect
    is_shown = protocol.kind == "difference" and paper is not None
    if is_shown and find_size(paper, on_trial.scale) <= margin:
        faults.append(f"the margin {protocol.margin} is not smaller than the paper's {paper}")
    for gate in protocol.gates:
        if gate.effect not in experiment.effects:
            faults.append(f"there is no effect {gate.effect!r} for a gate")
        if gate.above is None and gate.below is None:
            faults.append(f"the gate on {gate.effect!r} bounds nothing")
        if not gate.why.strip() or gate.why.rstrip().endswith("."):
            faults.append(f"the gate on {gate.effect!r} lacks a reason, or it ends in a full stop")
    if not protocol.conditions or not all(protocol.conditions.values()):
        faults.append("a condition is not described")
    if experiment.claim not in CLAIMS:
        faults.append(f"there is no claim {experiment.claim}")
    if protocol.seeds < 3:
        faults.append(f"{protocol.seeds} seeds are too few")
    return faults


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_protocol_says_everything(name):
    assert not find_faults(EXPERIMENTS[name])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_notebook_of_an_experiment_exists(name):
    assert (ROOT / "notebooks" / f"{EXPERIMENTS[name].notebook}.ipynb").exists()


def test_the_experiments_on_a_claim_are_of_one_kind():
    kinds = {}
    for each in EXPERIMENTS.values():
        kinds.setdefault(each.claim, set()).add(each.protocol.kind)
    assert {claim: own for claim, own in kinds.items() if len(own) > 1} == {}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiments_code_is_found_and_depends_on_its_tools_alone(name):
    import inspect
    import sys

    experiment = EXPERIMENTS[name]
    source = inspect.getsource(sys.modules[experiment.measure.__module__])
    reached = select_measuring(source, name)
    assert reached != source, "measure and effects must be plain names of the module"
    names = {file.relative_to(ROOT).as_posix() for file in find_imported_files(reached)}
    wrong = names & {"clipnb/experiments/__init__.py", "clipnb/claims/__init__.py"}
    assert not wrong, "import a tool by `from clipnb.experiments.exams import ...`"
    assert len(digest_code(experiment)) == 64


def test_these_checks_can_fail():
    from claim_parts import make_toy

    from clipnb.claims.experiment import Gate

    assert find_faults(make_toy()) == []
    gate = Gate(effect="nowhere", why="so it is.")
    wrong = make_toy(margin=0.0, opposite="later", match="close", gates=(gate,), paper_effect=0.0)
    told = " ".join(find_faults(wrong))
    for part in ("opposite says nothing", "allows nothing", "match is", "no effect 'nowhere'"):
        assert part in told
    assert "bounds nothing" in told and "full stop" in told
    assert "is not smaller" in " ".join(find_faults(make_toy(margin=30.0)))
