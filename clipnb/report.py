"""The tables of both READMEs, rendered from the records in results/ and nothing else."""

import re
import statistics

from clipnb.bench_report import bench_table, pretrained_bench_table, search_bench_table, times_table
from clipnb.markdown import markdown_table
from clipnb.metrics import RECALL_AT, chance
from clipnb.records import load_records, read_json
from clipnb.runtime import ROOT, display_path, results_dir, write_file
from clipnb.search_report import matches_table, words_table

DIRECTIONS = ("image_to_text", "text_to_image")

# ---- runs ------------------------------------------------------------------------------------

RESULTS_HEADER = [
    "system",
    "image → text R@1 / 5 / 10",
    "median rank",
    "text → image R@1 / 5 / 10",
    "median rank",
    "mean recall",
    "seeds",
    "training",
]


def results_table(dataset: str, split: str = "test") -> str:
    """Return a Markdown table of our runs of a dataset.

    It starts with chance and ends, on Flickr8k, with published systems. Recipes are in the order
    of their results on dev. Raises ValueError if no run is on record.
    """
    records = load_records(dataset)
    if not records:
        raise ValueError(
            f"no run of {dataset} is on record in {display_path(results_dir() / 'runs')}, so there "
            "is no table to make; `clipnb evaluate --record` records one."
        )
    metrics = chance(records[0]["n_images"])
    rows = [["chance", *_format_metrics(metrics), f"{metrics['mean_recall']:.1f}", "", ""]]
    ordered = sorted(records, key=lambda record: record["metrics"]["dev"]["mean_recall"])
    for name in dict.fromkeys(record["recipe"]["name"] for record in ordered):
        group = [record for record in records if record["recipe"]["name"] == name]
        rows.append(
            [
                f"**`{name}`**",
                *_format_metrics(mean_metrics(group, split)),
                format_mean_recall(group, split),
                str(len(group)),
                format_training(group),
            ]
        )
    if dataset == "flickr8k":
        systems = read_json(results_dir() / "published.json")["systems"]
        rows += [_published_row(system) for system in systems]
    return markdown_table(RESULTS_HEADER, rows)


def mean_metrics(records: list[dict], split: str) -> dict[str, float]:
    """Return the mean of every metric over records that differ in their seed."""
    metrics = [record["metrics"][split] for record in records]
    return {key: statistics.fmean(own[key] for own in metrics) for key in metrics[0]}


def format_mean_recall(records: list[dict], split: str) -> str:
    """Format the mean recall of records that differ in their seed, and how sure it is.

    That is the standard deviation over the seeds, or the 95 % bootstrap interval of a single one.
    """
    values = [record["metrics"][split]["mean_recall"] for record in records]
    mean = statistics.fmean(values)
    if len(values) == 1:
        low, high = records[0]["intervals"][split]["mean_recall"]
        return f"**{mean:.1f}** ({low:.1f} to {high:.1f})"
    return f"**{mean:.1f}** ± {statistics.stdev(values):.1f}"


def format_training(records: list[dict]) -> str:
    """Format the size of a recipe's model, and what its training cost: the median of the runs."""
    first = records[0]
    if first["train_seconds"] is None:  # a published model
        return f"{first['parameters'] / 1e6:.2f} M parameters, trained elsewhere"
    machine = first["machine"]
    processor = machine["gpu"] or f"{machine['cores']} CPU cores"
    minutes = statistics.median(record["train_seconds"] for record in records) / 60
    return (
        f"{first['parameters'] / 1e6:.2f} M parameters, {first['images_seen']:,} images seen, "
        f"{minutes:.0f} min on {processor}"
    )


def _format_metrics(metrics: dict[str, float]) -> list[str]:
    """Format recalls and median rank of both directions as four cells."""
    cells = []
    for direction in DIRECTIONS:
        cells.append(format_recalls([metrics[f"{direction}_R@{k}"] for k in RECALL_AT]))
        cells.append(f"{metrics[f'{direction}_median_rank']:.0f}")
    return cells


def format_recalls(recalls: list[float]) -> str:
    """Format R@1, R@5 and R@10 of one direction as one cell."""
    return " / ".join(f"{recall:.1f}" for recall in recalls)


def _published_row(system: dict) -> list[str]:
    """Return the row of a system of published.json, which gives no median ranks."""
    image_to_text, text_to_image = (system[direction] for direction in DIRECTIONS)
    recalls = image_to_text + text_to_image
    return [
        system["name"],
        format_recalls(image_to_text),
        "",
        format_recalls(text_to_image),
        "",
        f"{statistics.fmean(recalls):.1f}",
        "",
        system["used"],
    ]


# ---- claims ----------------------------------------------------------------------------------


def summarize_verdicts() -> str:
    """Say in a paragraph which claims got which verdict, by the seeds on record."""
    from clipnb.claims import load_claims
    from clipnb.claims.showing import format_verdict, group_by_verdict
    from clipnb.claims.so_far import judge_so_far

    verdicts = group_by_verdict(judge_so_far(load_claims()))
    told = [f"{format_verdict(each)}: {', '.join(own)}" for each, own in verdicts.items() if own]
    return f"{'; '.join(told)}. (In brackets: only there. \\*: its experiments differ.)"


def summarize_seeds() -> str:
    """Say in a sentence how many experiments have all their seeds."""
    from clipnb.claims import load_claims
    from clipnb.claims.so_far import count_finished

    finished, n_experiments = count_finished(load_claims())
    if finished == n_experiments:
        return f"All {n_experiments} experiments have the seeds that their protocols ask for."
    return (
        f"{finished} of {n_experiments} experiments have all the seeds that their protocols ask "
        "for. More seeds can still change the other verdicts."
    )


def render_claims() -> str:
    """Render the claims in short as a Markdown table, by the seeds on record."""
    from clipnb.claims import load_claims
    from clipnb.claims.showing import claims_table
    from clipnb.claims.so_far import judge_so_far

    return claims_table(judge_so_far(load_claims()))


def render_full_budget() -> str:
    """Render recall@10 of the baseline at its original's budget as a Markdown table."""
    from clipnb.claims.scale.full_budget_figures import found_table, load_full_budget

    record = load_full_budget()
    return "" if record is None else found_table(record)


def render_experiments() -> str:
    """Render every experiment as a Markdown table, by the seeds on record."""
    from clipnb.claims import load_claims
    from clipnb.claims.showing import experiments_table
    from clipnb.claims.so_far import judge_so_far

    return experiments_table(judge_so_far(load_claims()))


# ---- the READMEs -----------------------------------------------------------------------------

# A table's place: `<!-- results: DATASET -->` or one of the other names, then the table, then
# `<!-- end -->`.
TABLE = re.compile(
    r"<!-- (results: (\w+)|full budget|verdicts|seeds|claims|experiments|times|bench|pretrained"
    r"|search|matches|words) -->\n.*?<!-- end -->",
    re.DOTALL,
)
READMES = (ROOT / "README.md", ROOT / "results" / "README.md")


def render_tables(text: str) -> str:
    """Return a text such as results/README.md with all its tables made anew."""
    return TABLE.sub(_render_table, text)


def _render_table(match: re.Match) -> str:
    what, dataset = match.groups()
    makers = {
        "full budget": render_full_budget,
        "verdicts": summarize_verdicts,
        "seeds": summarize_seeds,
        "claims": render_claims,
        "experiments": render_experiments,
        "times": times_table,
        "bench": bench_table,
        "pretrained": pretrained_bench_table,
        "search": search_bench_table,
        "matches": matches_table,
        "words": words_table,
    }
    table = results_table(dataset) if dataset else makers[what]()
    return f"<!-- {what} -->\n{table}\n<!-- end -->"


def update_readmes() -> None:
    """Write README.md and results/README.md with their tables made anew."""
    texts = {readme: render_tables(readme.read_text(encoding="utf-8")) for readme in READMES}
    for readme, text in texts.items():
        write_file(readme, text)
