"""Speeds measured in turns: A, B, A, B and so on.

Whatever else the machine does meanwhile slows both alike, so that the ratio of two speeds is surer
than either of them. A ratio is the median over the rounds, beside the lowest and the highest.
"""

import statistics
import time
from collections.abc import Sequence

from clipnb.bench.loops import TrainingLoop
from clipnb.runtime import progress


def compare_speeds(
    ours: TrainingLoop,
    theirs: TrainingLoop,
    batch_size: int,
    seconds: float,
    rounds: int,
    title: str,
) -> dict:
    """Run two training loops in turns. Returns their ratio as `summarize_ratios` does.

    seconds: how long a round of the slower one takes. title: for the progress bar.
    """
    our_rates, their_rates = measure_rates([ours, theirs], batch_size, seconds, rounds, title)
    return summarize_ratios(our_rates, their_rates)


def measure_rates(
    loops: Sequence[TrainingLoop], batch_size: int, seconds: float, rounds: int, title: str
) -> list[list[float]]:
    """Run training loops in turns. Returns the pairs per second of each loop in each round.

    All loops take the same number of steps, at least one: as many as the slowest takes in
    `seconds`.
    """
    slowest = max(time_warm_step(loop) for loop in loops)
    steps = max(1, int(seconds / slowest))
    rates = [[] for _ in loops]
    for _ in progress(range(rounds), desc=title, leave=False):
        for loop, own_rates in zip(loops, rates, strict=True):
            loop(1)  # not counted: the other loop may have given back memory that this one keeps
            own_rates.append(steps * batch_size / time_steps(loop, steps))
    return rates


def time_warm_step(loop: TrainingLoop) -> float:
    """Return the seconds of one step after a first one that warms up."""
    return min(time_steps(loop, 1), time_steps(loop, 1))


def time_steps(loop: TrainingLoop, steps: int) -> float:
    """Return the seconds that a loop needs for a number of steps."""
    start = time.perf_counter()
    loop(steps)
    return time.perf_counter() - start


def summarize_ratios(
    ours: Sequence[float], theirs: Sequence[float], unit: str = "pairs per second"
) -> dict:
    """Summarize two lists of measurements, taken in turns, for the record."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "rounds": len(ratios),
        "ours": statistics.median(ours),
        "theirs": statistics.median(theirs),
        "unit": unit,
    }
