"""The tables of results/README.md about how good the answers of a search are."""

import statistics

from clipnb.markdown import markdown_table
from clipnb.records import read_json
from clipnb.runtime import results_dir

# ---- nothing here matches --------------------------------------------------------------------

KINDS_OF_TEXT = {
    "subject": "a subject",
    "attribute": "colour or adjective and subject",
    "place": "subject and place",
    "caption": "a whole caption",
}


def matches_table() -> str:
    """Return a Markdown table of how well each statistic tells whether anything matches.

    A cell has the AUROC, then the false alarms where dev's threshold finds 80 %: the mean over the
    seeds of a recipe.
    """
    groups = group_seeds(read_json(results_dir() / "search" / "abstention.json"))
    names = list(next(iter(groups.values()))[0]["statistics"])
    tables = []
    for title, entries in groups.items():
        rows = [
            [name, *(format_finding(entries, name, kind) for kind in KINDS_OF_TEXT)]
            for name in names
        ]
        tables.append(markdown_table([title, *KINDS_OF_TEXT.values()], rows))
    return "\n\n".join(tables)


def format_finding(entries: list[dict], name: str, kind: str) -> str:
    """Format AUROC, share found and false alarms of one statistic for one kind of text."""
    found = [entry["statistics"][name]["all images"][kind] for entry in entries]
    auroc, share, alarms = (
        statistics.fmean(own[key] for own in found) for key in ("auroc", "found", "false alarms")
    )
    return f"{auroc:.2f} · {share:.0f} / {alarms:.0f} %"


# ---- one-word queries ------------------------------------------------------------------------


def words_table() -> str:
    """Return a Markdown table of precision@10 of short queries on test, beside the mean recall."""
    groups = group_seeds(read_json(results_dir() / "search" / "word_precision.json"))
    header = ["", "queries", "chance", "the word", "“a” + word", "with the bank", "mean recall"]
    rows = []
    for title, entries in groups.items():
        tests = [entry["test"] for entry in entries]
        recall = format_mean([test["mean recall"] for test in tests])
        for category in tests[0]["precision@10"]["word"]:
            ways = [
                [test["precision@10"][way][category]["precision"] for test in tests]
                for way in ("word", "a word", "expanded")
            ]
            chance = tests[0]["precision@10"]["word"][category]["chance"]
            cells = [title, category, f"{chance:.0f}", *map(format_mean, ways), recall]
            rows.append(cells)
            title = recall = ""  # once for each recipe
    return markdown_table(header, rows)


def group_seeds(entries: dict[str, dict]) -> dict[str, list[dict]]:
    """Group the entries of a record by dataset and recipe. A key says how many seeds there are."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for entry in entries.values():
        groups.setdefault((entry["dataset"], entry["recipe"]["name"]), []).append(entry)
    return {
        f"{dataset}, `{name}`, {len(own)} seed{'' if len(own) == 1 else 's'}": own
        for (dataset, name), own in groups.items()
    }


def format_mean(values: list[float]) -> str:
    """Format the mean over seeds and, of several, the standard deviation."""
    mean = statistics.fmean(values)
    return f"{mean:.1f}" if len(values) == 1 else f"{mean:.1f} ± {statistics.stdev(values):.1f}"
