"""One line for each claim: the effects of its experiments together, and what many tests cost.

Effects of different kinds become comparable when each is divided by the smallest effect that
counts, the margin of its protocol. 1 is then the margin and 0 no effect. A claim's effect is the
plain mean over its experiments: the verdict is about these datasets and setups, each of which
counts alike, and not about datasets at large.

A claim of equivalence has no use for that mean: the sign of such an effect is arbitrary ("nature
minus town"), so large effects of opposite signs would cancel. It is supported only if every
experiment lies within its margin by itself.

Experiments on the same dataset share models and test images, so their errors may go together. The
standard error of their mean is then at most the mean of their standard errors, which is what is
used. Experiments on different datasets share nothing, so their variances add up.
"""

from dataclasses import dataclass, replace

import numpy as np

from clipnb.claims.effects import find_freedom, find_quantile
from clipnb.claims.verdicts import (
    DIRECTION,
    INCONCLUSIVE,
    NO_EFFECT_FOUND,
    NOT_REACHED,
    OPPOSITE,
    SUPPORTED,
    UNFINISHED,
    judge_interval,
    measure_from_none,
    measure_margin,
)

LEVEL = 0.05  # of the family of all claims
UNBOUNDED_P = 0.04  # what an interval of 95 % alone tells


@dataclass(frozen=True)
class PooledClaim:
    """What the experiments on one claim say together, in margins."""

    claim: str
    verdict: str
    note: str = ""  # what a reader must know beside the verdict
    kind: str = "difference"  # or "equivalence"
    mean: float | None = None
    interval: tuple[float, float] | None = None
    freedom: float = np.inf  # the degrees of freedom of the interval
    p: float | None = None  # of the test that the verdict rests on
    p_holm: float | None = None  # corrected for the number of claims


def scale_effect(record: dict) -> tuple[float, float, float]:
    """Return a record's effect and its interval in margins: 0 is no effect, 1 is the margin."""
    margin = measure_margin(record["margin"], record["scale"])
    low, high = measure_from_none(record["interval"], record["scale"])
    middle = np.inf  # a median beyond all that was tried
    if record["mean"] is not None:
        middle, _ = measure_from_none([record["mean"], record["mean"]], record["scale"])
    return middle / margin, low / margin, high / margin


def pool_claim(claim: str, records: list[dict]) -> PooledClaim:
    """Pool the experiments on a claim; the correction for many claims is still to come.

    An experiment whose gate is closed says nothing and is left out. If one interval lies above
    none and another one below, the experiments disagree, and no mean of them is a verdict. A claim
    of equivalence is judged by the worst of its experiments. Where the experiments have different
    verdicts, the note tells them. Raises ValueError if some of them test for a difference and
    others for equivalence.
    """
    verdicts = [record["verdict"] for record in records]
    if not records or UNFINISHED in verdicts:
        return PooledClaim(claim, UNFINISHED)
    kinds = {record["kind"] for record in records}
    if len(kinds) > 1:
        raise ValueError(f"the experiments on {claim} are of several kinds: {', '.join(kinds)}.")
    kind = kinds.pop()
    open_records = [record for record in records if record["verdict"] != NOT_REACHED]
    if not open_records:
        return PooledClaim(claim, NOT_REACHED, kind=kind)
    note = describe_verdicts(records)
    mean, interval, freedom = pool_effects(open_records)
    pooled = PooledClaim(claim, INCONCLUSIVE, note, kind, mean, interval, freedom)
    if kind == "equivalence":
        return judge_equivalence(pooled, open_records)
    effects = [scale_effect(record) for record in open_records]
    is_above, is_below = (any(low > 0 for _, low, _ in effects), any(e[2] < 0 for e in effects))
    if is_above and is_below:
        note = f"the experiments disagree in direction: {note}"
        return replace(pooled, note=note, p=find_p(pooled))
    pooled = replace(pooled, verdict=judge_interval(*interval, 1.0, kind))
    return replace(pooled, p=find_p(pooled))


def judge_alone(record: dict) -> str:
    """Return the verdict of a record by its effect and the margin that it names.

    It is the record's own verdict, unless somebody has given the record another margin.
    """
    if record["verdict"] in (NOT_REACHED, UNFINISHED):
        return record["verdict"]
    _, low, high = scale_effect(record)
    return judge_interval(low, high, 1.0, record["kind"])


def describe_verdicts(records: list[dict]) -> str:
    """Say what each experiment on a claim found, if they differ; an empty text if they do not.

    An experiment is named by its dataset, or by its own name where it has several or shares it.
    """
    verdicts = [judge_alone(record) for record in records]
    if len(set(verdicts)) < 2:
        return ""
    datasets = [record["dataset"] for record in records]
    if len(set(datasets)) == len(datasets) and not any(" and " in each for each in datasets):
        return "; ".join(f"{own} on {where}" for own, where in zip(verdicts, datasets, strict=True))
    names = [record["experiment"] for record in records]
    return "; ".join(f"`{name}`: {own}" for name, own in zip(names, verdicts, strict=True))


def judge_equivalence(pooled: PooledClaim, records: list[dict]) -> PooledClaim:
    """Return a claim that there is no effect with its verdict: that of its worst experiment.

    Its p-value is the largest of the experiments' own: all of them must lie within their margins.
    If one lies beyond, the p-value is the smallest one of those that do, times the number of
    experiments, because any of them could have been the one.
    """
    alone = []
    for record in records:
        each = PooledClaim(
            pooled.claim, judge_alone(record), "", pooled.kind, *pool_effects([record])
        )
        alone.append((each.verdict, find_p(each)))
    verdicts = [verdict for verdict, _ in alone]
    if OPPOSITE in verdicts:
        least = min(p for verdict, p in alone if verdict == OPPOSITE)
        return replace(pooled, verdict=OPPOSITE, p=min(1.0, least * len(records)))
    verdict = INCONCLUSIVE if INCONCLUSIVE in verdicts else SUPPORTED
    return replace(pooled, verdict=verdict, p=max(p for _, p in alone))


def pool_effects(records: list[dict]) -> tuple[float, tuple[float, float], float]:
    """Return the mean effect of records in margins, its 95 % interval and degrees of freedom.

    The two sides of an interval are pooled each by itself, because some are not symmetric.
    """
    effects = np.array([scale_effect(record) for record in records])  # (E, 3)
    means, lows, highs = effects.T
    mean = float(means.mean())
    if len(records) == 1:
        return mean, (float(lows[0]), float(highs[0])), read_freedom(records[0])
    with np.errstate(invalid="ignore"):  # a mean and a bound that are both infinite
        below, freedom_below = pool_side(records, means - lows)
        above, freedom_above = pool_side(records, highs - means)
        low, high = mean - below, mean + above
    interval = (low if np.isfinite(low) else -np.inf, high if np.isfinite(high) else np.inf)
    return mean, interval, min(freedom_below, freedom_above)


def pool_side(records: list[dict], halves: np.ndarray) -> tuple[float, float]:
    """Return how far a mean's 95 % interval reaches to one side, and its degrees of freedom.

    halves: (E,), how far the interval of each record reaches to this side.
    """
    degrees = np.array([read_freedom(record) for record in records])
    errors = halves / np.array([find_quantile(each) for each in degrees])
    variances, own_degrees = [], []  # of each group of experiments that share something
    for rows in group_rows(records):
        variances.append(float(errors[rows].sum() / len(records)) ** 2)
        own_degrees.append(float(degrees[rows].min()))
    if not np.isfinite(variances).all():
        return np.inf, min(own_degrees)
    freedom = find_freedom(variances, own_degrees)
    return find_quantile(freedom) * float(np.sqrt(sum(variances))), freedom


def group_rows(records: list[dict]) -> list[list[int]]:
    """Return the numbers of the records that share a dataset, a list for each such group.

    The dataset of a record may be two, such as "scenes and flickr8k".
    """
    groups = []  # (datasets, rows)
    for row, record in enumerate(records):
        datasets, rows = set(record["dataset"].split(" and ")), [row]
        for other in [group for group in groups if group[0] & datasets]:
            groups.remove(other)
            datasets, rows = datasets | other[0], other[1] + rows
        groups.append((datasets, sorted(rows)))
    return [rows for _, rows in groups]


def read_freedom(record: dict) -> float:
    """Return the degrees of freedom of the interval of a record's effect on trial."""
    freedom = record["effects"][record["effect"]]["freedom"]
    return np.inf if freedom is None else freedom


def find_p(claim: PooledClaim, verdict: str | None = None) -> float:
    """Return the p-value of the test that a verdict rests on, by default the claim's own.

    It is below 0.05 where the 95 % interval gives the verdict. "supported" needs an effect above
    one margin, "no effect found" one within a margin either way; all other verdicts on a
    difference are about no effect. Where a mean or a bound is infinite, it is 0.04, which is all
    that the interval tells, or 1 for an inconclusive one.
    """
    from scipy import stats

    verdict = verdict or claim.verdict
    low, high = claim.interval
    if claim.kind == "equivalence":
        is_within = verdict != OPPOSITE
        distance = (1 - abs(claim.mean)) if is_within else (abs(claim.mean) - 1)
    elif verdict == NO_EFFECT_FOUND:
        is_within, distance = True, 1 - abs(claim.mean)
    else:
        is_within = False
        distance = claim.mean - 1 if verdict == SUPPORTED else abs(claim.mean)
    upwards = claim.mean > 0
    # The side of the interval that must not reach the tested value.
    half = high - claim.mean if upwards == is_within else claim.mean - low
    if not np.isfinite(claim.mean) or not np.isfinite(half):
        return 1.0 if verdict == INCONCLUSIVE else UNBOUNDED_P
    error = max(half, 1e-9) / find_quantile(claim.freedom)
    return float(min(1.0, 2 * stats.t.sf(distance / error, claim.freedom)))


def correct_for_many(claims: list[PooledClaim]) -> list[PooledClaim]:
    """Return the claims with Holm's correction: all verdicts together err in 5 % of cases.

    A verdict that does not survive the correction steps down: from "supported" to "supported in
    direction" if that survives, else to "inconclusive".

    The factor becomes smaller only after a claim on which nothing is left to decide. One that is
    supported in direction keeps its place, because "supported" could still be wrong of it.
    """
    tested = sorted((each for each in claims if each.p is not None), key=lambda each: each.p)
    corrected, highest, factor = {}, 0.0, len(tested)
    for each in tested:
        highest = max(highest, min(1.0, each.p * factor))
        corrected[each.claim] = (highest, factor)
        if highest < LEVEL and each.verdict not in (DIRECTION, INCONCLUSIVE):
            factor -= 1
    return [_correct_one(each, *corrected.get(each.claim, (None, 1))) for each in claims]


def _correct_one(claim: PooledClaim, p_holm: float | None, factor: int) -> PooledClaim:
    claim = replace(claim, p_holm=p_holm)
    if p_holm is None or p_holm < LEVEL or claim.verdict == INCONCLUSIVE:
        return claim
    note = f"{claim.verdict} before the correction for many"
    claim = replace(claim, note="; ".join(filter(None, [claim.note, note])))
    if (claim.verdict, claim.kind) == (SUPPORTED, "difference"):
        p_direction = find_p(claim, DIRECTION) * factor
        if p_direction < LEVEL:
            return replace(claim, verdict=DIRECTION, p_holm=p_direction)
    return replace(claim, verdict=INCONCLUSIVE)


def pool_claims(groups: dict[str, list[dict]]) -> dict[str, PooledClaim]:
    """Pool the records of each claim and correct for their number. groups: {claim: records}."""
    pooled = [pool_claim(claim, records) for claim, records in groups.items()]
    return {each.claim: each for each in correct_for_many(pooled)}
