"""How the claims on trial are shown: one record as a card, its arms as dots, all of them as a table. Nothing is typed by hand."""

import numpy as np

from clipnb.claims import VERDICTS, load_claim, load_claims

MARKS = dict(zip(VERDICTS, ("✔", "◐", "○", "✘")))


def number(value):
    """A number as people write it: three significant digits, no exponent, a proper minus."""
    if not isinstance(value, (int, float)):
        return str(value)
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}" if abs(value) < 0.1 else f"{value:.2f}"
    return text.replace("-", "−")


def with_interval(found):
    """A quantity of a record as text: mean and 95 % interval."""
    low, high = found["interval"]
    return f"{number(found['mean'])} ({number(low)} to {number(high)})"


def paper_figures(record):
    """The paper's own figures of a record as text."""
    return "; ".join(f"{what} {number(value)}" for what, value in record["paper"].items())


def card(name):
    """The full record of an experiment as Markdown: the claim, the paper's figures, ours with intervals, the rule, the verdict, and its file."""
    record = load_claim(name)
    if record is None:
        return f"*No full run of `{name}` on record.*"
    trained = sum(record["trained"].values()) / 60
    rows = "\n".join(f"| {'**' * (i == 0)}{what}{'**' * (i == 0)} | {with_interval(found)} | {', '.join(number(v) for v in found['values'])} |"
                     for i, (what, found) in enumerate(record["quantities"].items()))
    return f"""**{record['claim']} · {record['title']}** ({record['where']}; {record['dataset']})

| full run, {len(record['seeds'])} seeds, {record['pictures']:,} test pictures | mean (95 % interval) | by seed |
|---|---|---|
{rows}

The paper: {paper_figures(record)}. The first row is on trial, in {record['unit']}.
Settled before the run: {record['rule']}.

**Verdict: {MARKS[record['verdict']]} {record['verdict']}.** {record['because'][0].upper() + record['because'][1:]}

*From `results/claims/{record['experiment']}.json` of {record['date']}: {trained:.0f} min of training on {record['machine']['gpu'] or f"{record['machine']['cores']} CPU cores"}. Again: `{record['command']}`.*"""


def plot_arms(arms, small=None, full=None, title="", xlabel="percent", chance=None, ax=None):
    """Arms of a record as dots, one a row: the full run filled, with 95 % bars, the notebook's small one hollow. Returns the axes.

    arms: [(label, key in record["arms"])]. small, full: records, or None. chance: where a guesser would stand.
    """
    import matplotlib.pyplot as plt

    from clipnb.plots import BLACK, BLUE, ORANGE

    if ax is None:
        _, ax = plt.subplots(figsize=(7.5, 1.4 + 0.42 * len(arms)))
    for record, name, offset, style in (small, "this notebook's small run", 0.14, {"color": ORANGE, "markerfacecolor": "white"}), (full, "full run on record", -0.14, {"color": BLUE}):
        if record is None:
            continue
        found = [record["arms"][key] for _, key in arms]
        means = np.array([arm["mean"] for arm in found])
        margins = np.abs(np.array([arm["interval"] for arm in found]).T - means)
        seeds = len(record["seeds"])
        label = f"{name}, {seeds} seed{'s' * (seeds > 1)}, {record['pictures']:,} pictures"
        ax.errorbar(means, np.arange(len(arms)) + offset, xerr=margins, fmt="o", markersize=8, capsize=3, linewidth=1.5, label=label, **style)
    if chance is not None:
        ax.axvline(chance, color=BLACK, linestyle="--", linewidth=1.2, label="chance")
    ax.set_yticks(range(len(arms)), [label for label, _ in arms])
    ax.set(title=title, xlabel=xlabel, ylim=(len(arms) - 0.5, -0.5))
    ax.legend(fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.28 / (1 + 0.2 * len(arms)) - 0.1), ncols=3, frameon=False)
    return ax


def verdict_of(verdicts):
    """One verdict for a claim with several experiments: theirs if they agree; "partly" if some hold and others do not, else the harsher one."""
    if len(set(verdicts)) == 1:
        return verdicts[0]
    if {"replicated", "partly"} & set(verdicts):
        return "partly"
    return max(verdicts, key=VERDICTS.index)


def by_claim(records=None):
    """{claim: its records}, in the order C1, C2, ..."""
    records = load_claims() if records is None else records
    claims = sorted({record["claim"] for record in records}, key=lambda claim: int(claim[1:]))
    return {claim: [record for record in records if record["claim"] == claim] for claim in claims}


def claims_table(notebooks="notebooks"):
    """All claims on record as a Markdown table: an experiment a row, the verdict of the claim at its first row. notebooks: where their folder is."""
    lines = ["| claim | what the paper says | the paper's figure | ours (95 % interval) | verdict | notebook |", "|---|---|---|---|---|---|"]
    for claim, records in by_claim().items():
        for record in records:
            link = f"[{record['notebook'][:2]}]({notebooks}/{record['notebook']}.ipynb)"
            name = f"**{claim}**" if record is records[0] else ""
            ours = f"{next(iter(record['quantities']))}: {with_interval(record)} {record['unit']}"
            lines.append(f"| {name} | {record['title']} ({record['where']}) | {paper_figures(record)} | {record['dataset']}: {ours} | {MARKS[record['verdict']]} {record['verdict']} | {link} |")
    return "\n".join(lines)
