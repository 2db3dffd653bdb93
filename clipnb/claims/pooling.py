"""One line for each claim: the effects of its experiments together, and what many tests cost.

Effects of different kinds become comparable when each is divided by the smallest effect that
counts, the margin of its protocol. 1 is then the margin and 0 no effect. A claim's effect is the
plain mean over its experiments: the verdict is about these datasets and setups, each of which
counts alike, and not about datasets at large.
"""

from dataclasses import dataclass

import numpy as np

from clipnb.claims.verdicts import (
    DIRECTION,
    INCONCLUSIVE,
    NOT_REACHED,
    OPPOSITE,
    SUPPORTED,
    UNFINISHED,
    judge_interval,
    measure_from_none,
    measure_margin,
)

LEVEL = 0.05  # of the family of all claims


@dataclass(frozen=True)
class PooledClaim:
    """What the experiments on one claim say together, in margins."""

    claim: str
    verdict: str
    note: str  # what a reader must know beside the verdict; may be empty
    mean: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None  # of the test that the verdict rests on
    p_holm: float | None = None  # corrected for the number of claims


def scale_effect(record: dict) -> tuple[float, float, float]:
    """Return a record's effect and its interval in margins: 0 is no effect, 1 is the margin."""
    margin = measure_margin(record["margin"], record["scale"])
    low, high = measure_from_none(record["interval"], record["scale"])
    middle = (low + high) / 2
    if record["mean"] is not None:
        middle, _ = measure_from_none([record["mean"], record["mean"]], record["scale"])
    return middle / margin, low / margin, high / margin


def pool_claim(claim: str, records: list[dict]) -> PooledClaim:
    """Pool the experiments on a claim; the correction for many claims is still to come.

    An experiment whose gate is closed says nothing and is left out. If one interval lies above
    none and another one below, the experiments disagree, and no mean of them is a verdict.
    """
    verdicts = [record["verdict"] for record in records]
    if not records or UNFINISHED in verdicts:
        return PooledClaim(claim, UNFINISHED, "")
    open_records = [record for record in records if record["verdict"] != NOT_REACHED]
    if not open_records:
        return PooledClaim(claim, NOT_REACHED, "")
    effects = np.array([scale_effect(record) for record in open_records])  # (E, 3)
    means, lows, highs = effects.T
    mean = float(means.mean())
    half = float(np.sqrt(np.square((highs - lows) / 2).sum()) / len(effects))
    kind = open_records[0]["kind"]
    note = ""
    if len(open_records) < len(records):
        note = f"{len(records) - len(open_records)} of {len(records)} experiments not reached"
    if not np.isfinite(half):
        return PooledClaim(claim, INCONCLUSIVE, "an interval has no bound")
    interval, p = (mean - half, mean + half), find_p(mean, half, kind)
    if kind == "difference" and (lows > 0).any() and (highs < 0).any():
        note = "the experiments disagree in direction"
        return PooledClaim(claim, INCONCLUSIVE, note, mean, interval, p)
    verdict = judge_interval(*interval, 1.0, kind)
    return PooledClaim(claim, verdict, note, mean, interval, p)


def find_p(mean: float, half: float, kind: str) -> float:
    """Return the p-value of a mean whose 95 % interval reaches `half` to either side.

    For a difference it is two-sided, against no effect. For an equivalence it is that of two
    one-sided tests, against an effect of one margin.
    """
    from scipy import stats

    error = max(half, 1e-9) / stats.norm.ppf(0.975)
    if kind == "equivalence":
        return float(stats.norm.sf((1 - abs(mean)) / error))
    return float(2 * stats.norm.sf(abs(mean) / error))


def correct_for_many(claims: list[PooledClaim]) -> list[PooledClaim]:
    """Return the claims with Holm's correction: all verdicts together err in 5 % of cases.

    A verdict that says that there is an effect, or that there is none, and does not survive the
    correction becomes "inconclusive".
    """
    tested = sorted((each for each in claims if each.p is not None), key=lambda each: each.p)
    corrected, highest = {}, 0.0
    for place, each in enumerate(tested):
        highest = max(highest, min(1.0, each.p * (len(tested) - place)))
        corrected[each.claim] = highest
    return [_correct_one(each, corrected.get(each.claim)) for each in claims]


def _correct_one(claim: PooledClaim, p_holm: float | None) -> PooledClaim:
    verdict, note = claim.verdict, claim.note
    rests_on_p = verdict in (SUPPORTED, DIRECTION, OPPOSITE)
    if p_holm is not None and p_holm >= LEVEL and rests_on_p:
        verdict = INCONCLUSIVE
        note = "; ".join(filter(None, [note, f"{claim.verdict} before the correction for many"]))
    return PooledClaim(claim.claim, verdict, note, claim.mean, claim.interval, claim.p, p_holm)


def pool_claims(groups: dict[str, list[dict]]) -> dict[str, PooledClaim]:
    """Pool the records of each claim and correct for their number. groups: {claim: records}."""
    pooled = [pool_claim(claim, records) for claim, records in groups.items()]
    return {each.claim: each for each in correct_for_many(pooled)}
