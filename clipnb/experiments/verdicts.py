"""How the claims on trial are shown: a record as a card, its conditions as dots, all as a table.

Every number and every sentence comes from the records.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clipnb.experiments import load_claim, load_claims
from clipnb.experiments.experiment import VERDICTS
from clipnb.markdown import markdown_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = dict(zip(VERDICTS, ("✔", "◐", "○", "✘"), strict=True))
SETTLED = {  # a record's `rule_settled`, as a card says it
    "before": "Settled before the run",
    "after a first look": "Settled after a first look",
}

# The paper's claims, numbered as in the replication report: in words, and where they stand.
CLAIMS = {
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


# ---- numbers as text -------------------------------------------------------------------------


def format_number(value: Any) -> str:
    """Format a float with about three digits and a proper minus, an int with its thousands.

    Anything else is returned as it reads.
    """
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if abs(value) < 5e-4:
        return "0.00"
    decimals = 3
    for smallest, enough in ((100, 0), (10, 1), (0.1, 2)):
        if abs(value) >= smallest:
            decimals = enough
            break
    return f"{value:,.{decimals}f}".replace("-", "−")


def format_interval(quantity: dict) -> str:
    """Format a quantity of a record: its mean and its 95 % interval."""
    mean = format_number(quantity["mean"])
    low, high = (format_number(bound) for bound in quantity["interval"])
    return f"{mean} ({low} to {high})"


def format_paper_figures(record: dict) -> str:
    """Format the paper's own figures, as a record quotes them."""
    return "; ".join(f"{what} {format_number(value)}" for what, value in record["paper"].items())


def format_verdict(verdict: str) -> str:
    """Format a verdict with its mark."""
    return f"{MARKS[verdict]} {verdict}"


# ---- one record as a card --------------------------------------------------------------------


def render_card(name: str) -> str:
    """Render the full record of an experiment as Markdown.

    The card holds the claim, our quantities with their intervals, the paper's figures, the rule and
    when it was settled, the verdict, and the file that all of this comes from.
    """
    record = load_claim(name)
    if record is None:
        return f"*No full run of `{name}` on record.*"
    claim = f"**{record['claim']} · {record['title']}** ({record['where']}; {record['dataset']})"
    paper = format_paper_figures(record)
    on_trial = f"The paper: {paper}. The first row is on trial, in {record['unit']}."
    rule = f"{SETTLED[record['rule_settled']]}: {record['rule']}."
    because = record["because"][0].upper() + record["because"][1:]
    verdict = f"**Verdict: {format_verdict(record['verdict'])}.** {because}"
    paragraphs = [
        claim,
        _render_quantities(record),
        f"{on_trial}\n{rule}",
        verdict,
        _render_source(record),
    ]
    return "\n\n".join(paragraphs)


def _render_quantities(record: dict) -> str:
    n_seeds, n_images = len(record["seeds"]), record["n_images"]
    header = [
        f"full run, {n_seeds} seeds, {n_images:,} test images",
        "mean (95 % interval)",
        "by seed",
    ]
    rows = []
    for name, quantity in record["quantities"].items():
        by_seed = ", ".join(format_number(value) for value in quantity["values"])
        rows.append([name, format_interval(quantity), by_seed])
    rows[0][0] = f"**{rows[0][0]}**"  # the one on trial
    return markdown_table(header, rows)


def _render_source(record: dict) -> str:
    """Say which file a card was made from, what the run cost and how to make it again."""
    # A run that was trained for an earlier experiment has cost its training and little else now.
    minutes = max(sum(record["trained"].values()), record["seconds"]) / 60
    machine = record["machine"]
    hardware = machine["gpu"] or f"{machine['cores']} CPU cores"
    return (
        f"*From `results/claims/{record['experiment']}.json` of {record['date']}: about "
        f"{minutes:.0f} min on {hardware}. Again: `{record['command']}`.*"
    )


# ---- the conditions of a record as dots ------------------------------------------------------


def plot_conditions(
    conditions: Sequence[tuple[str, str]],
    small: dict | None = None,
    full: dict | None = None,
    title: str = "",
    xlabel: str = "percent",
    chance: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot conditions as dots with 95 % bars, one a row: the full run filled, the small one hollow.

    conditions: a label and a key of record["conditions"] for each row. small, full: the records.
    chance: what a guesser would score. Returns the axes.
    """
    import matplotlib.pyplot as plt

    from clipnb.plots import BLACK, BLUE, ORANGE

    if ax is None:
        _, ax = plt.subplots(figsize=(7.5, 1.4 + 0.42 * len(conditions)))
    shift = 0.14 if small and full else 0  # so that two runs do not cover each other
    keys = [key for _, key in conditions]
    if small:
        style = {"color": ORANGE, "markerfacecolor": "white"}
        _plot_run(ax, small, keys, "small run, here", shift, style)
    if full:
        _plot_run(ax, full, keys, "full run, on record", -shift, {"color": BLUE})
    if chance is not None:
        ax.axvline(chance, color=BLACK, linestyle="--", linewidth=1.2, label="chance")
    ax.set_yticks(range(len(conditions)), [label for label, _ in conditions])
    ax.set(title=title, xlabel=xlabel, ylim=(len(conditions) - 0.5, -0.5))
    _add_legend(ax)
    return ax


def _plot_run(
    ax: "Axes", record: dict, keys: list[str], name: str, shift: float, style: dict
) -> None:
    """Plot one record's conditions; `shift` moves them down from their rows."""
    conditions = [record["conditions"][key] for key in keys]
    means = np.array([condition["mean"] for condition in conditions])
    intervals = np.array([condition["interval"] for condition in conditions])  # (rows, 2)
    n_seeds = len(record["seeds"])
    seeds = "1 seed" if n_seeds == 1 else f"{n_seeds} seeds"
    ax.errorbar(
        means,
        np.arange(len(conditions)) + shift,
        xerr=np.abs(intervals.T - means),
        fmt="o",
        markersize=8,
        capsize=3,
        linewidth=1.5,
        label=f"{name}: {seeds}, {record['n_images']:,} images",
        **style,
    )


def _add_legend(ax: "Axes") -> None:
    """Put the legend below the figure if the axes stand alone, else into the axes."""
    handles, labels = ax.get_legend_handles_labels()
    if len(ax.figure.axes) > 1:
        ax.legend(handles, labels, fontsize=9, frameon=True)
        return
    ax.figure.legend(
        handles, labels, fontsize=9, frameon=False, loc="outside lower center", ncols=3
    )


# ---- one verdict for each claim --------------------------------------------------------------


def combine_verdicts(verdicts: Sequence[str]) -> str:
    """Combine the verdicts of a claim's experiments: theirs if they agree, "partly" if not.

    "not at this scale" is ignored if another experiment reached a verdict.
    """
    votes = set(verdicts)
    if len(votes) > 1:
        votes.discard("not at this scale")
    return votes.pop() if len(votes) == 1 else "partly"


def group_by_claim(records: list[dict] | None = None) -> dict[str, list[dict]]:
    """Group records by claim, for all of CLAIMS in order; a claim without a record has none.

    records: by default all that are in results/claims/.
    """
    if records is None:
        records = load_claims()
    groups = {}
    for claim in CLAIMS:
        groups[claim] = [record for record in records if record["claim"] == claim]
    return groups


def plot_verdicts(records: list[dict] | None = None, columns: int = 6) -> "Figure":
    """Plot every claim as a tile with its verdict, and a small mark for each of its experiments.

    Returns the figure.
    """
    import matplotlib.pyplot as plt

    groups = group_by_claim(records)
    n_rows = -(-len(groups) // columns)  # rounded up
    fig, ax = plt.subplots(figsize=(12, 5.4))
    for i, (claim, own) in enumerate(groups.items()):
        _draw_tile(ax, i % columns, i // columns, claim, [record["verdict"] for record in own])
    ax.set(
        xlim=(0, columns),
        ylim=(n_rows, 0),
        title="The paper on trial: one verdict for each claim, one mark for each experiment",
    )
    ax.axis("off")
    return fig


def _draw_tile(ax: "Axes", x: int, y: int, claim: str, verdicts: list[str]) -> None:
    """Draw the tile of a claim in column x and row y. verdicts: of its experiments."""
    from matplotlib.patches import FancyBboxPatch

    from clipnb.plots import BLACK, BLUE, GREEN, RED, wrap

    colours = dict(zip(VERDICTS, (GREEN, BLUE, "#A87400", RED), strict=True))
    if verdicts:
        verdict = combine_verdicts(verdicts)
        colour, summary = colours[verdict], format_verdict(verdict)
    else:
        colour, summary = "#8A8F98", "– not tested"
    box = FancyBboxPatch(
        (x + 0.05, y + 0.06),
        width=0.9,
        height=0.88,
        boxstyle="round,pad=0,rounding_size=0.06",
        facecolor=colour + "1C",  # nearly transparent
        edgecolor=colour,
        linewidth=1.6,
    )
    ax.add_patch(box)
    left, right = x + 0.11, x + 0.89
    marks = " ".join(MARKS[verdict] for verdict in verdicts)
    title = wrap(CLAIMS[claim][0], 22)
    ax.text(left, y + 0.2, claim, fontsize=12, fontweight="bold", color=BLACK, va="center")
    ax.text(right, y + 0.2, marks, fontsize=11, color=BLACK, va="center", ha="right")
    ax.text(left, y + 0.32, title, fontsize=9, color=BLACK, va="top", linespacing=1.25)
    ax.text(left, y + 0.85, summary, fontsize=10, fontweight="bold", color=colour, va="center")


# ---- tables ----------------------------------------------------------------------------------


def format_row(record: dict) -> tuple[str, str]:
    """Format what the paper reports and what we measured, as two cells of a table."""
    on_trial = next(iter(record["quantities"]))
    ours = f"{record['dataset']}: {on_trial} {format_interval(record)} {record['unit']}"
    return format_paper_figures(record), ours


def format_link(notebook: str, folder: str) -> str:
    """Format a link to a notebook; its text is the notebook's number."""
    return f"[{notebook[:2]}]({folder}{notebook}.ipynb)"


def claims_table(records: list[dict] | None = None, notebooks: str = "../notebooks/") -> str:
    """Render the claims in short as a Markdown table, a row each.

    A row tells the verdict over all of a claim's experiments, and the figures of the first
    experiment that has it. notebooks: the folder that the links lead to.
    """
    header = [
        "",
        "the paper says",
        "its figure",
        "ours, 95 % interval",
        "verdict",
        "notebook",
        "file",
    ]
    rows = []
    for claim, own in group_by_claim(records).items():
        title, where = CLAIMS[claim]
        if not own:
            why = UNTESTED.get(claim, "no record")
            rows.append([claim, f"{title} ({where})", "", "", why, "", ""])
            continue
        verdict = combine_verdicts([record["verdict"] for record in own])
        with_verdict = [record for record in own if record["verdict"] == verdict]
        shown = with_verdict[0] if with_verdict else own[0]
        names = dict.fromkeys(record["notebook"] for record in own)  # each once, in order
        links = ", ".join(format_link(name, notebooks) for name in names)
        file = f"`{shown['experiment']}.json`"
        rows.append(
            [claim, f"{title} ({where})", *format_row(shown), format_verdict(verdict), links, file]
        )
    return markdown_table(header, rows)


def experiments_table(records: list[dict] | None = None, notebooks: str = "") -> str:
    """Render every experiment on record as a Markdown table, a row each.

    A row tells the reason for the verdict and the file that it comes from. notebooks: the folder
    that the links lead to.
    """
    header = [
        "claim",
        "experiment",
        "the paper",
        "ours, 95 % interval",
        "verdict",
        "because",
        "file",
    ]
    rows = []
    for claim, own in group_by_claim(records).items():
        for record in own:
            link = format_link(record["notebook"], notebooks)
            rows.append(
                [
                    claim,
                    f"{record['title']} ({record['where']}), notebook {link}",
                    *format_row(record),
                    format_verdict(record["verdict"]),
                    record["because"],
                    f"`{record['experiment']}.json`",
                ]
            )
    return markdown_table(header, rows)
