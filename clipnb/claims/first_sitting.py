"""The records of the first sitting, in results/first_sitting/: kept for comparison alone.

Version 0.5.0 made them. Nothing in this version runs or judges them again.
"""

from collections.abc import Sequence

from clipnb.records import read_json
from clipnb.runtime import results_dir

FIRST_SITTING = "first_sitting"  # the folder of the records, in results/
FIRST_VERDICTS = ("replicated", "partly", "not at this scale", "contradicted")


def load_first_sitting() -> dict[str, dict]:
    """Load the records of the first sitting by experiment."""
    paths = sorted((results_dir() / FIRST_SITTING).glob("*.json"))
    return {path.stem: read_json(path) for path in paths}


def combine_first(verdicts: Sequence[str]) -> str:
    """Combine the verdicts of a claim's experiments: theirs if they agree, "partly" if not.

    "not at this scale" is ignored if another experiment reached a verdict.
    """
    votes = set(verdicts)
    if len(votes) > 1:
        votes.discard("not at this scale")
    return votes.pop() if len(votes) == 1 else "partly"


def judge_first_sitting(records: dict[str, dict]) -> dict[str, str]:
    """Return the first sitting's verdict by claim. records: as `load_first_sitting` gives them."""
    verdicts = {}
    for record in records.values():
        verdicts.setdefault(record["claim"], []).append(record["verdict"])
    return {claim: combine_first(own) for claim, own in verdicts.items()}
