"""What an experiment on a claim of the paper is: a measurement, its effects and its protocol.

An experiment measures, for one seed, what happened to every test image under every condition. All
numbers are made from these outcomes afterwards. The protocol says in advance which of the numbers
is on trial and which outcome counts as which verdict.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

RECORDS = "claims"  # the folder of the records, in results/

Outcomes = dict[str, np.ndarray]  # {condition: (N, ...)}, a row for each of the N test images
Scale = Literal["linear", "log", "fisher z"]
Unit = Literal["images", "units", "count", "median"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A number that is made from outcomes, and how sure it is.

    compute: from {**outcomes, **numbers} of one seed. over="images": it returns a float, and the
    test images are drawn again with replacement. over="units": it returns an array (U,), a value
    for each class, task or word, and the effect is their mean, because the claim ranges over
    classes, tasks or words. over="median": the same, and the effect is their median; a value may
    be infinite where it is only known to lie beyond what was tried. over="count": a bool array
    (U,), and the effect is their share.

    scale: where the noise is about symmetric: "log" for ratios and numbers of examples, "fisher z"
    for correlations. An effect on the log scale is a ratio, and 1 means that there is none.
    """

    compute: Callable[[dict[str, Any]], Any]
    unit: str  # "points", "times", "correlation": in words
    scale: Scale = "linear"
    over: Unit = "images"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What must hold before the effect means anything, such as a model that works.

    The interval of the effect of that name must lie above `above`, or below `below`.
    """

    effect: str
    above: float | None = None
    below: float | None = None
    why: str  # a sentence without its full stop


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is settled before the run. It is kept in results/protocols/ and cannot be bent later.

    kind="difference": the claim says that there is an effect, and a positive one (above 1 on the
    log scale) is the paper's direction. kind="equivalence": the claim says that there is none worth
    speaking of.

    margin: the smallest effect that counts, on the effect's own scale as a reader sees it: points,
    or a ratio above 1 for the log scale.
    """

    quote: str  # the paper's own words
    source: str  # their section, table or figure, and page
    match: Literal["exact", "proxy"]  # is this the paper's own setting?
    match_reason: str
    hypothesis: str
    conditions: dict[str, str]  # {condition: what it is}
    equal: str  # what is the same in all conditions
    tuning: str  # how many settings each condition was given to choose from, and on which images
    power: str  # why so many seeds and test images: which effect they find
    kind: Literal["difference", "equivalence"] = "difference"
    margin: float
    margin_reason: str
    paper_effect: float | None = None  # the paper's own effect on the same scale, if it has one
    gates: tuple[Gate, ...] = ()
    opposite: str  # which outcome would speak against the claim
    seeds: int = 5
    version: int = 1
    changed: str = ""  # from version 2 on: what changed after a look, and why


@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """One test of one claim.

    measure: (seed, **settings) -> (outcomes, numbers). outcomes is {condition: array (N, ...)},
    the same N test images in every condition. Its arrays are float or bool for scores in [0, 1],
    int for labels; a prefix "_" marks arrays that are not conditions. numbers is {name: float or
    list}, about the seed. The seed draws everything but the test images: training images,
    weights and order.

    effects: the first one is on trial. explain: a sentence about the effects of a record, with
    its numbers, without judging.

    tune: returns {condition: {setting: score on dev}}, for the same number of settings in each
    condition, with a seed that no record uses. What it finds is written into the code before the
    protocol is.
    """

    name: str
    claim: str  # "C4" or "C11b", a key of claims.CLAIMS
    title: str  # what is tested, in a few words
    dataset: str
    protocol: Protocol
    measure: Callable[..., tuple[Outcomes, dict]]
    effects: dict[str, Effect]
    explain: Callable[[dict[str, dict]], str]
    tune: Callable[[], dict[str, dict[str, float]]] | None = None
    notebook: str  # such as "06_zero_shot_and_prompts"
    small: dict = field(default_factory=dict)  # settings for a notebook: below a minute
    full: dict = field(default_factory=dict)  # settings for the record
