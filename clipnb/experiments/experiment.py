"""What an experiment on a claim of the paper is.

An experiment measures, for one seed, what happened to every test image under every condition. All
numbers are made from these outcomes afterwards. So the images can be drawn again with replacement,
and each number gets an interval.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

VERDICTS = ("replicated", "partly", "not at this scale", "contradicted")

Outcomes = dict[str, np.ndarray]  # {condition: (N, ...)}, a row for each of the N test images
Quantity = Callable[[dict[str, Any]], float]  # from outcomes and numbers to one number
Quantities = dict[str, dict]  # {name: its values, mean, std and interval}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One claim, how it is tested and how the outcome is judged.

    measure: (seed, **settings) -> (outcomes, numbers). outcomes is {condition: array (N, ...)},
    the same N test images in every condition. Its arrays are float or bool for scores in [0, 1],
    int for labels; a prefix "_" marks arrays that are not conditions. numbers is {name: float or
    list}, about the seed.

    quantities: {name: function of {**outcomes, **numbers} -> finite float}. The first one is on
    trial.

    judge: {name: its `values`, `mean`, `std`, `interval`} -> (one of VERDICTS, a sentence why).
    """

    name: str
    claim: str  # "C4", as the replication report numbers them
    title: str  # the claim in a few words
    where: str  # the paper's figure, table or section
    paper: dict  # the paper's own figures, {what: value}
    dataset: str
    measure: Callable[..., tuple[Outcomes, dict]]
    quantities: dict[str, Quantity]
    unit: str  # of the first quantity
    rule: str  # in words: what counts as which verdict
    rule_settled: str = "before"  # "before" the run, or "after a first look" at results
    judge: Callable[[Quantities], tuple[str, str]]
    notebook: str  # such as "06_zero_shot_and_prompts"
    small: dict = field(default_factory=dict)  # settings for a notebook: half a minute or so
    full: dict = field(default_factory=dict)  # settings for the record
