"""From an effect and its protocol to one of seven verdicts."""

from clipnb.claims.effects import NO_EFFECT, to_scale
from clipnb.claims.experiment import Gate, Protocol

SUPPORTED = "supported"
DIRECTION = "supported in direction"
NO_EFFECT_FOUND = "no effect found"
INCONCLUSIVE = "inconclusive"
NOT_REACHED = "not reached here"
OPPOSITE = "opposite found here"
UNFINISHED = "not finished"

# The least and the largest value of an effect on each scale: a ratio is never negative.
RANGES = {
    "linear": (float("-inf"), float("inf")),
    "log": (0.0, float("inf")),
    "fisher z": (-1.0, 1.0),
}

VERDICTS = {  # in words, for the reports
    SUPPORTED: "the effect is there, and larger than the smallest one that counts",
    DIRECTION: "the effect is there, but it may be smaller than the smallest one that counts",
    NO_EFFECT_FOUND: "whatever effect there is, it is smaller than the smallest one that counts",
    INCONCLUSIVE: "the data allow an effect and allow none: too few seeds, images or classes",
    NOT_REACHED: "the models here cannot show the effect: a gate of the protocol is closed",
    OPPOSITE: "the data exclude what the claim says, in our setting",
    UNFINISHED: "the run has fewer seeds than its protocol asks for",
}
VERDICTS_ON_NONE = VERDICTS | {  # of a claim that there is no effect
    SUPPORTED: "as the claim says, any effect is smaller than the smallest one that counts",
    INCONCLUSIVE: "the data allow an effect that counts and one that does not: too few seeds, "
    "images or classes",
    OPPOSITE: "there is an effect that counts, and the claim says that there is none",
}
MARKS = {
    SUPPORTED: "✔",
    DIRECTION: "◐",
    NO_EFFECT_FOUND: "=",
    INCONCLUSIVE: "?",
    NOT_REACHED: "○",
    OPPOSITE: "✘",
    UNFINISHED: "…",
}


def explain_verdict(verdict: str, kind: str) -> str:
    """Say in words what a verdict means. kind: "difference" or "equivalence", as in a protocol."""
    return (VERDICTS_ON_NONE if kind == "equivalence" else VERDICTS)[verdict]


def reach_verdict(effects: dict[str, dict], protocol: Protocol, n_seeds: int) -> str:
    """Return the verdict on the first effect of a record.

    effects: {name: its summary}, as `estimate_effect` makes them.
    """
    if n_seeds < protocol.seeds:
        return UNFINISHED
    if any(is_closed(gate, effects) for gate in protocol.gates):
        return NOT_REACHED
    on_trial = next(iter(effects.values()))
    scale = on_trial["scale"]
    low, high = measure_from_none(on_trial["interval"], scale)
    return judge_interval(low, high, measure_margin(protocol.margin, scale), protocol.kind)


def judge_interval(low: float, high: float, margin: float, kind: str) -> str:
    """Judge an interval on its scale, where 0 is no effect and a positive one is the paper's.

    This is the one rule of all verdicts: of the experiments and of the claims.
    """
    is_small = -margin < low and high < margin
    if kind == "equivalence":
        if is_small:
            return SUPPORTED
        return OPPOSITE if low > margin or high < -margin else INCONCLUSIVE
    if is_small:
        return NO_EFFECT_FOUND
    if low > margin:
        return SUPPORTED
    if low > 0:
        return DIRECTION
    return OPPOSITE if high < 0 else INCONCLUSIVE


def is_closed(gate: Gate, effects: dict[str, dict]) -> bool:
    """Tell whether a gate's effect fails to lie where it must."""
    low, high = read_interval(effects[gate.effect]["interval"])
    if gate.above is not None and low <= gate.above:
        return True
    return gate.below is not None and high >= gate.below


def read_interval(interval: list) -> tuple[float, float]:
    """Return the bounds of an interval of a record, in which None stands for "no bound"."""
    low, high = interval
    return (float("-inf") if low is None else low), (float("inf") if high is None else high)


def measure_from_none(interval: list, scale: str) -> tuple[float, float]:
    """Return the bounds of an interval on their scale, where "no effect" is 0."""
    low, high = read_interval(interval)
    least, most = RANGES[scale]
    low, high = max(low, least), min(high, most)
    none = to_scale(NO_EFFECT[scale], scale)
    return float(to_scale(low, scale) - none), float(to_scale(high, scale) - none)


def measure_margin(margin: float, scale: str) -> float:
    """Return a margin on its scale. A ratio of 1.1 allows 1.1 times more and 1.1 times less."""
    return float(to_scale(margin, scale) - to_scale(NO_EFFECT[scale], scale))


def write_rule(protocol: Protocol, effect: str, unit: str) -> str:
    """Write the rule of a protocol in words, made from its fields alone."""
    margin = f"{protocol.margin:g} {unit}"
    if protocol.kind == "equivalence":
        rule = (
            f"supported: the 95 % interval of “{effect}” lies within {margin} either way; opposite "
            "found here: it lies beyond; inconclusive: it does neither"
        )
    else:
        rule = (
            f"supported: the 95 % interval of “{effect}” lies above {margin}; no effect found: "
            f"within {margin} either way; else supported in direction: above no effect; opposite "
            "found here: below no effect; inconclusive: none of these"
        )
    for gate in protocol.gates:
        bound = f"above {gate.above:g}" if gate.above is not None else ""
        bound += " and " if gate.above is not None and gate.below is not None else ""
        bound += f"below {gate.below:g}" if gate.below is not None else ""
        rule += (
            f"; not reached here: the interval of “{gate.effect}” does not lie {bound}, so that "
        )
        rule += gate.why
    return rule
