"""How the claims on trial are told in Markdown: a record as a card, all records as tables.

Every number and every sentence comes from the records and their protocols.
"""

import numpy as np

from clipnb.claims import CLAIMS, find_experiment, load_claim, load_claims
from clipnb.claims.first_sitting import judge_first_sitting, load_first_sitting
from clipnb.claims.pooling import PooledClaim, describe_verdicts, judge_alone, pool_claims
from clipnb.claims.protocols import protocol_path
from clipnb.claims.so_far import apply_rule
from clipnb.claims.verdicts import (
    MARKS,
    NOT_REACHED,
    SUPPORTED,
    UNFINISHED,
    VERDICTS,
    explain_verdict,
)
from clipnb.markdown import format_link, format_number, markdown_table
from clipnb.records import read_json

Groups = dict[str, list[dict]]  # {claim: its records}

# ---- numbers and sentences as text -----------------------------------------------------------


def format_bound(value: float | None, infinite: str = "∞") -> str:
    """Format a bound of an interval; None is one that lies beyond all that was tried."""
    return infinite if value is None or not np.isfinite(value) else format_number(float(value))


def format_effect(effect: dict) -> str:
    """Format an effect of a record: its mean, its 95 % interval and its unit."""
    low, high = effect["interval"]
    mean = format_bound(effect["mean"], "beyond what was tried")
    interval = f"({format_bound(low, '−∞')} to {format_bound(high)})"
    return f"{mean} {interval} {effect['unit']}"


def format_verdict(verdict: str | None) -> str:
    """Format a verdict with its mark."""
    return "–" if verdict is None else f"{MARKS[verdict]} {verdict}"


def format_sentence(text: str) -> str:
    """Format a text of a protocol as a sentence, with a capital and a full stop."""
    text = text.strip()
    sentence = text[:1].upper() + text[1:]
    return sentence if sentence[-1:] in ".?!" else f"{sentence}."


def format_gate(gate: dict) -> str:
    """Format a gate of a protocol: what must hold before the effect means anything."""
    bounds = [f"{word} {gate[word]:g}" for word in ("above", "below") if gate[word] is not None]
    return f"“{gate['effect']}” lies {' and '.join(bounds)}: else {gate['why']}"


# ---- one record as a card --------------------------------------------------------------------


def render_card(name: str) -> str:
    """Render the full record of an experiment and its protocol as Markdown."""
    record = load_claim(name)
    if record is None:
        return f"*No full run of `{find_experiment(name).name}` on record.*"
    return render_record(record, read_json(protocol_path(name)))


def render_record(record: dict, protocol: dict) -> str:
    """Render a record and its protocol as Markdown.

    It holds the claim in the paper's words, our effects with their intervals, what was settled
    before the run, the verdict with its reason, and the files that all of this comes from.
    """
    verdict = record["verdict"]
    paragraphs = [
        f"**{record['claim']} · {record['title']}** ({record['dataset']})",
        f"> “{protocol['quote'].strip('“”')}”\n>\n> {protocol['source']}",
        _render_effects(record),
        "\n".join(f"- *{what}*: {text}" for what, text in list_settled(record, protocol)),
        f"**Verdict: {format_verdict(verdict)}**: {explain_verdict(verdict, record['kind'])}. "
        + _render_so_far(record, protocol)
        + format_sentence(record["because"]),
        _render_source(record),
    ]
    return "\n\n".join(paragraphs)


def _render_so_far(record: dict, protocol: dict) -> str:
    """Say what the rule says of the seeds that an unfinished record has."""
    if record["verdict"] != UNFINISHED:
        return ""
    so_far = format_verdict(apply_rule(record, protocol))
    return f"By {len(record['seeds'])} of {protocol['seeds']} seeds it would be **{so_far}**. "


def list_settled(record: dict, protocol: dict) -> list[tuple[str, str]]:
    """List what a protocol settled before the run, as (what, sentence)."""
    unit = record["unit"]
    settled = [("Hypothesis", format_sentence(protocol["hypothesis"]))]
    if protocol["paper_effect"] is not None:
        settled.append(
            ("The paper's own effect", f"{format_number(protocol['paper_effect'])} {unit}.")
        )
    margin = f"{protocol['margin']:g} {unit}. {format_sentence(protocol['margin_reason'])}"
    settled.append(("The smallest effect that counts", margin))
    for gate in protocol["gates"]:
        settled.append(("Only if", format_sentence(format_gate(gate))))
    settled.append(("Rule", format_sentence(protocol["rule"])))
    settled.append(("Equal in all conditions", format_sentence(protocol["equal"])))
    settled.append(("Tuning", format_sentence(protocol["tuning"])))
    reason = format_sentence(protocol["match_reason"])
    settled.append((f"{protocol['match'].capitalize()} of the paper's setting", reason))
    if protocol["version"] > 1:
        changed = format_sentence(protocol["changed"])
        settled.append((f"Version {protocol['version']} of the protocol", changed))
    return settled


def _render_effects(record: dict) -> str:
    n_seeds, n_images = len(record["seeds"]), record["n_images"]
    header = [
        f"full run, {n_seeds} {'seed' if n_seeds == 1 else 'seeds'}, {n_images:,} test images",
        "mean (95 % interval)",
        "by seed",
    ]
    rows = [
        [name, format_effect(effect), format_by_seed(effect["values"])]
        for name, effect in record["effects"].items()
    ]
    rows[0][0] = f"**{rows[0][0]}** (on trial)"
    return markdown_table(header, rows)


def format_by_seed(values: list) -> str:
    """Format the values of an effect by seed; those over classes or tasks are told by number."""
    if isinstance(values[0], list):
        return f"over {len(values[0])} each"
    return ", ".join(format_bound(value) for value in values)


def _render_source(record: dict) -> str:
    """Say which files a card was made from, what the run cost and how to make it again."""
    # A run that was trained for an earlier experiment has cost its training and little else now.
    minutes = max(sum(record["trained"].values()), record["seconds"]) / 60
    machine = record["machine"]
    hardware = machine["gpu"] or f"{machine['cores']} CPU cores"
    name = record["experiment"]
    return (
        f"*From `results/claims/{name}.json` of {record['date']} and "
        f"`results/protocols/{name}.json`: about {minutes:.0f} min on {hardware}. "
        f"Again: `{record['command']}`.*"
    )


# ---- tables ----------------------------------------------------------------------------------


def format_pooled(claim: PooledClaim) -> str:
    """Format the pooled effect of a claim in margins."""
    if claim.interval is None:
        return ""
    low, high = claim.interval
    interval = f"({format_bound(low, '−∞')} to {format_bound(high)})"
    return f"{format_bound(claim.mean)} {interval}"


def claims_table(groups: Groups | None = None, notebooks: str = "../notebooks/") -> str:
    """Render the claims in short as a Markdown table, a row each.

    The effect of a claim is told in margins: 1 is the smallest one that counts. groups: by default
    all records. notebooks: the folder that the links lead to.
    """
    groups = load_claims() if groups is None else groups
    header = [
        "",
        "the claim",
        "tests",
        "seeds",
        "effect in margins",
        "verdict",
        "p (Holm)",
        "notebook",
    ]
    rows = []
    for claim, pooled in pool_claims(groups).items():
        title, where = CLAIMS[claim]
        names = dict.fromkeys(record["notebook"] for record in groups[claim])
        verdict = format_verdict_so_far(pooled.verdict, groups[claim])
        verdict += f" ({pooled.note})" if pooled.note else ""
        rows.append(
            [
                claim,
                f"{title} ({where})",
                format_test_count(groups[claim]),
                format_seed_count(groups[claim]),
                format_pooled(pooled),
                verdict,
                format_p(pooled.p_holm),
                ", ".join(format_link(name, notebooks) for name in names),
            ]
        )
    return markdown_table(header, rows)


def format_verdict_so_far(verdict: str, records: list[dict]) -> str:
    """Format the verdict on a claim, with "so far" if seeds are missing in one of its records."""
    if not records:
        return "not tested"
    text = format_verdict(verdict)
    return f"{text} so far" if lack_seeds(records) else text


def lack_seeds(records: list[dict]) -> bool:
    """Tell whether seeds are missing in one of some records (see `judge_so_far`)."""
    return any(record.get("asked", 0) > len(record["seeds"]) for record in records)


def format_test_count(records: list[dict]) -> str:
    """Format how many experiments a claim has, and if some of them say nothing, how many speak."""
    n_open = sum(record["verdict"] != NOT_REACHED for record in records)
    is_whole = n_open in (0, len(records))
    return str(len(records)) if is_whole else f"{n_open} of {len(records)}"


def format_seed_count(records: list[dict]) -> str:
    """Format how many seeds some records have, and if any are missing, of how many.

    Only `judge_so_far` tells how many seeds a record ought to have.
    """
    done = sum(len(record["seeds"]) for record in records)
    asked = sum(record.get("asked", len(record["seeds"])) for record in records)
    return f"{done} of {asked}" if asked > done else str(done)


def format_p(p: float | None) -> str:
    """Format a p-value."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def experiments_table(groups: Groups | None = None, notebooks: str = "../notebooks/") -> str:
    """Render every experiment on record as a Markdown table, a row each.

    groups: by default all records. notebooks: the folder that the links lead to.
    """
    header = [
        "claim",
        "experiment",
        "the paper",
        "smallest that counts",
        "ours, 95 % interval",
        "seeds",
        "verdict",
        "because",
        "file",
    ]
    rows = []
    for claim, records in (load_claims() if groups is None else groups).items():
        for record in records:
            link = format_link(record["notebook"], notebooks)
            if "mean" not in record:  # not run yet
                title = f"{record['title']} ({record['dataset']}), notebook {link}"
                verdict = format_verdict(record["verdict"])
                rows.append([claim, title, "", "", "", "0", verdict, "", ""])
                continue
            rows.append(
                [
                    claim,
                    f"{record['title']} ({record['dataset']}), notebook {link}",
                    format_paper(record),
                    f"{record['margin']:g}",
                    f"{record['effect']}: {format_effect(record)}",
                    format_seed_count([record]),
                    format_verdict(record["verdict"]),
                    format_sentence(record["because"]),
                    f"`{record['experiment']}.json`",
                ]
            )
    return markdown_table(header, rows)


def format_paper(record: dict) -> str:
    """Format the paper's own effect, or nothing if it has none."""
    value = record["paper_effect"]
    return "" if value is None else f"{format_number(float(value))} ({record['source']})"


def compare_sittings(groups: Groups | None = None) -> str:
    """Render the verdicts of both sittings side by side as a Markdown table, a row a claim.

    A claim of the first sitting such as C7 may be two now: C7a and C7b. groups: by default all
    records of the second sitting.
    """
    first = judge_first_sitting(load_first_sitting())
    groups = load_claims() if groups is None else groups
    rows = []
    for claim, pooled in pool_claims(groups).items():
        second = format_verdict(pooled.verdict) if groups[claim] else "not tested"
        before = first.get(claim.rstrip("abc"), "not tested")
        rows.append([claim, CLAIMS[claim][0], before, second, pooled.note])
    header = ["", "the claim", "first sitting", "second sitting", "note"]
    return markdown_table(header, rows)


def group_by_verdict(groups: Groups | None = None) -> dict[str, list[str]]:
    """Return {verdict: its claims} of the tested claims, named as `name_claim` does.

    groups: by default all records.
    """
    groups = load_claims() if groups is None else groups
    claims: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
    for claim, pooled in pool_claims(groups).items():
        if groups[claim]:
            claims[pooled.verdict].append(name_claim(pooled, groups[claim]))
    return claims


def name_claim(pooled: PooledClaim, records: list[dict]) -> str:
    """Name a claim, and tell whether its experiments have different verdicts.

    "C3a (scenes)": it is supported there, and elsewhere it is not. "C13*": they differ otherwise.
    """
    if not describe_verdicts(records):
        return pooled.claim
    datasets = dict.fromkeys(record["dataset"] for record in records)
    verdicts = {
        name: {judge_alone(each) for each in records if each["dataset"] == name}
        for name in datasets
    }
    where = [name for name in datasets if verdicts[name] == {SUPPORTED}]
    if pooled.verdict == SUPPORTED and where:
        return f"{pooled.claim} ({', '.join(where)})"
    return f"{pooled.claim}*"
