"""How a record is told in a few lines of text: its effect, and the verdict by the seeds it has."""

from clipnb.claims.protocols import protocol_path
from clipnb.claims.showing import format_effect, format_verdict
from clipnb.claims.so_far import judge_record
from clipnb.claims.verdicts import UNFINISHED
from clipnb.records import read_json


def tell_seeds(record: dict) -> str:
    """Say how many seeds a record has, and of how many if some are missing: "3 of 5 seeds"."""
    n = len(record["seeds"])
    if record["verdict"] == UNFINISHED:
        asked = read_json(protocol_path(record["experiment"]))["seeds"]
        return f"{n} of {asked} seeds"
    return "1 seed" if n == 1 else f"{n} seeds"


def tell_verdict(record: dict) -> str:
    """Tell the verdict by the seeds on record: "✔ supported (by 3 of 5 seeds)"."""
    return f"{format_verdict(judge_record(record)['verdict'])} (by {tell_seeds(record)})"


def summarize_claim(record: dict) -> str:
    """Say in three lines what was tested, how large its effect is, and the verdict so far."""
    effect = record["effects"][record["effect"]]
    return "\n".join(
        [
            f"{record['claim']} · {record['title']} ({record['dataset']})",
            f"  {record['effect']}: {format_effect(effect)}",
            f"  verdict: {tell_verdict(record)}",
        ]
    )
