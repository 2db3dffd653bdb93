"""What the rule says of a record that does not have all the seeds of its protocol yet."""

from types import SimpleNamespace

from clipnb.claims.experiment import Gate
from clipnb.claims.protocols import protocol_path
from clipnb.claims.verdicts import UNFINISHED, reach_verdict
from clipnb.records import read_json


def judge_so_far(groups: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Return records in which every verdict "not finished" is the one by the seeds on record.

    Such a verdict can still change, so tell with it how many seeds are missing (see
    `count_finished`). groups: {claim: its records}, as `load_claims` gives them. A record without
    any seed stays "not finished".
    """
    return {
        claim: [record | {"verdict": find_verdict(record)} for record in records]
        for claim, records in groups.items()
    }


def find_verdict(record: dict) -> str:
    """Return the verdict of a record, by its protocol's rule and the seeds that it has."""
    if record["verdict"] != UNFINISHED or not record.get("effects"):
        return record["verdict"]
    return apply_rule(record, read_json(protocol_path(record["experiment"])))


def apply_rule(record: dict, protocol: dict) -> str:
    """Apply the rule of a protocol to a record, as if it had all its seeds."""
    gates = [Gate(**gate) for gate in protocol["gates"]]
    settled = SimpleNamespace(**protocol | {"gates": gates})
    return reach_verdict(record["effects"], settled, settled.seeds)


def count_finished(groups: dict[str, list[dict]]) -> tuple[int, int]:
    """Return how many experiments have all the seeds of their protocols, and how many there are."""
    records = [record for own in groups.values() for record in own]
    return sum(record["verdict"] != UNFINISHED for record in records), len(records)
