"""How the claims on trial are shown: one record as a card, its arms as dots, all of them as a table. Nothing is typed by hand."""

import numpy as np

from clipnb.experiments import load_claim, load_claims
from clipnb.experiments.experiment import VERDICTS

MARKS = dict(zip(VERDICTS, ("✔", "◐", "○", "✘")))


def format_number(value):
    """A number as people write it, three significant digits of a measured one, a proper minus; anything else as it is."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    value = 0.0 if abs(value) < 5e-4 else value
    text = (
        f"{value:,.0f}"
        if abs(value) >= 100
        else f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.2f}"
        if abs(value) >= 0.1 or value == 0
        else f"{value:.3f}"
    )
    return text.replace("-", "−")


def format_interval(found):
    """A quantity of a record as text: mean and 95 % interval."""
    low, high = found["interval"]
    return f"{format_number(found['mean'])} ({format_number(low)} to {format_number(high)})"


def format_paper_figures(record):
    """The paper's own figures of a record as text."""
    return "; ".join(f"{what} {format_number(value)}" for what, value in record["paper"].items())


def render_card(name):
    """The full record of an experiment as Markdown: the claim, the paper's figures, ours with intervals, the rule, the verdict, and its file."""
    record = load_claim(name)
    if record is None:
        return f"*No full run of `{name}` on record.*"
    minutes = max(sum(record["trained"].values()), record["seconds"]) / 60
    rows = "\n".join(
        f"| {'**' * (i == 0)}{what}{'**' * (i == 0)} | {format_interval(found)} | {', '.join(format_number(v) for v in found['values'])} |"
        for i, (what, found) in enumerate(record["quantities"].items())
    )
    return f"""**{record["claim"]} · {record["title"]}** ({record["where"]}; {record["dataset"]})

| full run, {len(record["seeds"])} seeds, {record["n_images"]:,} test images | mean (95 % interval) | by seed |
|---|---|---|
{rows}

The paper: {format_paper_figures(record)}. The first row is on trial, in {record["unit"]}.
Settled before the run: {record["rule"]}.

**Verdict: {MARKS[record["verdict"]]} {record["verdict"]}.** {record["because"][0].upper() + record["because"][1:]}

*From `results/claims/{record["experiment"]}.json` of {record["date"]}: about {minutes:.0f} min on {record["machine"]["gpu"] or f"{record['machine']['cores']} CPU cores"}. Again: `{record["command"]}`.*"""


def plot_conditions(arms, small=None, full=None, title="", xlabel="percent", chance=None, ax=None):
    """Arms of a record as dots, one a row: the full run filled, with 95 % bars, the notebook's small one hollow. Returns the axes.

    arms: [(label, key in record["conditions"])]. small, full: records, or None. chance: where a guesser would stand.
    """
    import matplotlib.pyplot as plt

    from clipnb.plots import BLACK, BLUE, ORANGE

    if ax is None:
        _, ax = plt.subplots(figsize=(7.5, 1.4 + 0.42 * len(arms)))
    for record, name, offset, style in (
        (small, "small run, here", 0.14, {"color": ORANGE, "markerfacecolor": "white"}),
        (full, "full run, on record", -0.14, {"color": BLUE}),
    ):
        if record is None:
            continue
        found = [record["conditions"][key] for _, key in arms]
        offset *= small is not None and full is not None
        means = np.array([arm["mean"] for arm in found])
        margins = np.abs(np.array([arm["interval"] for arm in found]).T - means)
        seeds = len(record["seeds"])
        label = f"{name}: {seeds} seed{'s' * (seeds > 1)}, {record['n_images']:,} images"
        ax.errorbar(
            means,
            np.arange(len(arms)) + offset,
            xerr=margins,
            fmt="o",
            markersize=8,
            capsize=3,
            linewidth=1.5,
            label=label,
            **style,
        )
    if chance is not None:
        ax.axvline(chance, color=BLACK, linestyle="--", linewidth=1.2, label="chance")
    ax.set_yticks(range(len(arms)), [label for label, _ in arms])
    ax.set(title=title, xlabel=xlabel, ylim=(len(arms) - 0.5, -0.5))
    alone = len(ax.figure.axes) == 1
    (ax.figure if alone else ax).legend(
        *ax.get_legend_handles_labels(),
        fontsize=9,
        frameon=not alone,
        **({"loc": "outside lower center", "ncols": 3} if alone else {}),
    )
    return ax


def combine_verdicts(verdicts):
    """One verdict for a claim with several experiments: theirs if they agree, "partly" if not. One that could not see the effect has no vote if others have."""
    votes = set(verdicts) - {"not at this scale"} or set(verdicts)
    return votes.pop() if len(votes) == 1 else "partly"


CLAIMS = {  # the paper's claims, numbered as in the replication report: in words, and where they stand
    "C1": ("Contrastive pre-training is more efficient than predicting captions", "Fig 2"),
    "C2": ("A classifier made of words works without a labelled example", "Table 1"),
    "C3": ("Prompts and their ensembles help", "§3.1.4, Fig 4"),
    "C4": ("Zero-shot equals a probe with four examples a class", "Fig 6"),
    "C5": ("Zero-shot is worth a handful of labels a class, more or fewer by class", "Fig 7"),
    "C6": ("Zero-shot goes along with what supervision reaches", "Fig 8"),
    "C7": ("Zero-shot rivals a supervised probe, but not in counting", "Fig 5"),
    "C8": ("Error falls as a power of compute", "Fig 9, §2.4"),
    "C9": ("Its features are the better ones for linear probes", "Fig 10, 11"),
    "C10": ("Zero-shot is robust where supervised models are not", "Fig 13 to 15"),
    "C11": ("It retrieves images and captions", "Table 13"),
    "C12": ("It learns to read", "Table 14"),
    "C13": ("Where the captions come from matters little", "Table 12"),
    "C14": ("Overlap of training and test does little harm", "§5, Fig 17"),
    "C15": ("People learn from one example, CLIP does not", "Table 2"),
    "C16": ("It cannot count, nor tell relations", "§6"),
    "C17": ("Large batches, a learned temperature and its clamp matter", "§2.5, Table 18"),
}
UNTESTED = {"C15": "not tested: it takes people"}


def group_by_claim(records=None):
    """{claim: its records} for all of CLAIMS, in order; a claim without an experiment has none."""
    records = load_claims() if records is None else records
    return {claim: [record for record in records if record["claim"] == claim] for claim in CLAIMS}


def plot_verdicts(records=None):
    """Every claim as a tile with its verdict's colour and mark, small marks for its experiments. Returns the figure."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    from clipnb.plots import BLACK, BLUE, GREEN, RED, wrap

    colours = dict(zip(VERDICTS, (GREEN, BLUE, "#A87400", RED)))
    columns, found = 6, group_by_claim(records)
    fig, ax = plt.subplots(figsize=(12, 5.4))
    for i, (claim, own) in enumerate(found.items()):
        x, y = i % columns, i // columns
        verdict = combine_verdicts([record["verdict"] for record in own]) if own else None
        colour = colours.get(verdict, "#8A8F98")
        ax.add_patch(
            FancyBboxPatch(
                (x + 0.05, y + 0.06),
                0.9,
                0.88,
                "round,pad=0,rounding_size=0.06",
                facecolor=colour + "1C",
                edgecolor=colour,
                linewidth=1.6,
            )
        )
        ax.text(x + 0.11, y + 0.2, claim, fontsize=12, fontweight="bold", color=BLACK, va="center")
        ax.text(
            x + 0.89,
            y + 0.2,
            " ".join(MARKS[record["verdict"]] for record in own),
            fontsize=11,
            color=BLACK,
            va="center",
            ha="right",
        )
        ax.text(
            x + 0.11,
            y + 0.32,
            wrap(CLAIMS[claim][0], 22),
            fontsize=9,
            color=BLACK,
            va="top",
            linespacing=1.25,
        )
        ax.text(
            x + 0.11,
            y + 0.85,
            f"{MARKS.get(verdict, '–')} {verdict or 'not tested'}",
            fontsize=10,
            fontweight="bold",
            color=colour,
            va="center",
        )
    ax.set(
        xlim=(0, columns),
        ylim=(-(-len(found) // columns), 0),
        title="The paper on trial: one verdict for each claim, one mark for each experiment",
    )
    ax.axis("off")
    return fig


def row_of(record):
    """What a record says of the paper and of us, and its notebook, as three cells of a table."""
    return (
        format_paper_figures(record),
        f"{record['dataset']}: {next(iter(record['quantities']))} {format_interval(record)} {record['unit']}",
    )


def link_to(notebook, folder):
    return f"[{notebook[:2]}]({folder}{notebook}.ipynb)"


def claims_table(records=None, notebooks="notebooks/"):
    """The claims in short, a row each, as a Markdown table: the verdict over all of a claim's experiments, and the figures of the first that has it."""
    lines = [
        "| | the paper says | its figure | ours, 95 % interval | verdict | notebook |",
        "|---|---|---|---|---|---|",
    ]
    for claim, found in group_by_claim(records).items():
        title, where = CLAIMS[claim]
        if not found:
            lines.append(
                f"| {claim} | {title} ({where}) | | | {UNTESTED.get(claim, 'no record')} | |"
            )
            continue
        verdict = combine_verdicts([record["verdict"] for record in found])
        paper, ours = row_of(
            next((record for record in found if record["verdict"] == verdict), found[0])
        )
        links = ", ".join(
            link_to(name, notebooks)
            for name in dict.fromkeys(record["notebook"] for record in found)
        )
        lines.append(
            f"| {claim} | {title} ({where}) | {paper} | {ours} | {MARKS[verdict]} {verdict} | {links} |"
        )
    return "\n".join(lines)


def experiments_table(records=None, notebooks=""):
    """Every experiment on record, a row each, as a Markdown table with the reason for its verdict and the file it comes from."""
    lines = [
        "| claim | experiment | the paper | ours, 95 % interval | verdict | because | file |",
        "|---|---|---|---|---|---|---|",
    ]
    for claim, found in group_by_claim(records).items():
        for record in found:
            paper, ours = row_of(record)
            lines.append(
                f"| {claim} | {record['title']} ({record['where']}), notebook {link_to(record['notebook'], notebooks)} | {paper} | {ours} "
                f"| {MARKS[record['verdict']]} {record['verdict']} | {record['because']} | `{record['experiment']}.json` |"
            )
    return "\n".join(lines)
