"""The tables of results/README.md about speed, from the records in results/bench/."""

from collections.abc import Iterator
from typing import Any

from clipnb.markdown import markdown_table
from clipnb.records import read_json
from clipnb.runtime import results_dir

# Records that have tables of their own, or none.
OTHERS = ("search-", "pretrained-", "scale-", "experiments-")

N_SEEDS = 5  # that every record has at least

# ---- training --------------------------------------------------------------------------------


def bench_table() -> str:
    """Return a Markdown table of training's ratios for each machine with a record."""
    paths = sorted((results_dir() / "bench").glob("*.json"))
    training = [path for path in paths if not path.name.startswith(OTHERS)]
    return "\n\n".join(_machine_table(read_json(path)) for path in training)


def _machine_table(record: dict) -> str:
    header = [name_machine(record), "ratio", "lowest to highest round"]
    rows = []
    for title, finding in iterate_findings(record):
        if isinstance(finding, dict):
            rows.append([title, f"{finding['ratio']:.2f}", format_rounds(finding)])
    return markdown_table(header, rows)


def name_machine(record: dict) -> str:
    """Name the machine of a benchmark's record."""
    machine = record["machine"]
    processor = machine["gpu"] or machine["cpu"]
    bf16 = "with bf16" if machine["bf16"] else "without bf16"
    return f"{processor}, {machine['cores']} cores, {bf16}"


def format_rounds(finding: dict) -> str:
    """Format the lowest and the highest ratio. Peak memory is measured once and has none."""
    if "lowest" not in finding:
        return ""
    return f"{finding['lowest']:.2f} to {finding['highest']:.2f}"


def iterate_findings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Iterate over a benchmark's nested results as pairs (title, value).

    A dict with a "ratio" is one value. All other dicts are taken apart. path: the keys that lead
    to `value`.
    """
    if isinstance(value, dict) and "ratio" not in value:
        for key, inner in value.items():
            yield from iterate_findings(inner, (*path, str(key)))
    else:
        yield ": ".join(path), value


# ---- experiments -----------------------------------------------------------------------------


def times_table() -> str:
    """Return a Markdown table of the experiments' time, a row for each machine with a record.

    A record whose full settings have not been timed to the end has none.
    """
    header = ["machine", "the slowest small setting", "one seed of all", "all five seeds of all"]
    rows = []
    for path in sorted((results_dir() / "bench").glob("experiments-*.json")):
        record = read_json(path)
        if "full" not in record:
            continue
        small, seconds = record["small"], sum(record["full"].values())
        slowest = max(small, key=small.__getitem__)
        shown = f"{slowest}, {small[slowest]:.0f} s"
        hours = f"{N_SEEDS * seconds / 3600:.1f} hours"
        rows.append([name_machine(record), shown, f"{seconds / 60:.0f} minutes", hours])
    return markdown_table(header, rows)


# ---- search ----------------------------------------------------------------------------------


def search_bench_table() -> str:
    """Return the Markdown tables of search's speed for each machine with a record."""
    paths = sorted((results_dir() / "bench").glob("search-*.json"))
    return "\n\n".join(search_tables(read_json(path)) for path in paths)


def search_tables(record: dict) -> str:
    """Return two Markdown tables of a record of `clipnb bench search`: speed, and ways to search.

    "times as fast" compares with the exact search of the same features.
    """
    keystroke = record["keystroke"]
    images = f"{keystroke['images']:,} images"
    own = [
        [f"keystroke: {part}, {images}", "", "", f"{value:.1f} {unit}", ""]
        for part, unit, value in _split_keystroke(keystroke)
    ]
    ratios = [
        [
            title,
            f"{finding['ratio']:.2f}",
            format_rounds(finding),
            f"{_format_quantity(finding['ours'])} {finding['unit']}",
            _format_quantity(finding["theirs"]),
        ]
        for title, finding in iterate_findings(record)
        if isinstance(finding, dict)
    ]
    header = [name_machine(record), "ratio", "lowest to highest round", "ours", "theirs"]
    ways = [_format_way(row) for row in record["indexes"]]
    return markdown_table(header, own + ratios) + "\n\n" + markdown_table(WAYS_HEADER, ways)


WAYS_HEADER = [
    "features of",
    "features",
    "way",
    "recall@10, texts",
    "recall@10, images",
    "times as fast",
    "milliseconds",
    "bytes each",
    "seconds to make",
]


def _split_keystroke(keystroke: dict) -> list[tuple[str, str, float]]:
    """Return what was timed at a keystroke as (part, unit, value)."""
    parts = [(name.split(", "), value) for name, value in keystroke.items() if ", " in name]
    return [(part, unit, value) for (part, unit), value in parts]


def _format_quantity(value: float) -> str:
    """Format a number of milliseconds, images per second or megabytes."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _format_way(row: dict) -> list[str]:
    """Format one row about a way to search."""
    return [
        row["gallery"],
        f"{row['features']:,}",
        row["way"],
        f"{row['recall, texts']:.3f}",
        f"{row['recall, images']:.3f}",
        f"{row['times as fast']:.1f}",
        f"{row['milliseconds']:.1f}",
        str(row["bytes each"]),
        f"{row['seconds to make']:.1f}" if "seconds to make" in row else "",
    ]


# ---- pretrained models -----------------------------------------------------------------------


def pretrained_bench_table() -> str:
    """Return the Markdown tables of the published models' speed for each machine with a record."""
    paths = sorted((results_dir() / "bench").glob("pretrained-*.json"))
    return "\n\n".join(pretrained_tables(read_json(path)) for path in paths)


def pretrained_tables(record: dict) -> str:
    """Return two Markdown tables of a record of `clipnb bench pretrained`.

    The first has a row for each way to encode, the second one for the forward pass and the training
    step of our modules. Ratios are speeds divided by open_clip's.
    """
    machine = name_machine(record)
    encoding = [
        [title.replace(": ", ", "), *_format_speeds(finding), f"{finding['cosine']:.5f}"]
        for title, finding in iterate_findings(record["encoding"])
    ]
    training = [
        [title.replace(": ", ", "), *_format_speeds(finding)]
        for part in ("forward", "training step")
        for title, finding in iterate_findings({part: record[part]})
    ]
    header = [f"{machine}: encoding", *SPEEDS_HEADER, "lowest cosine"]
    first = markdown_table(header, encoding)
    return first + "\n\n" + markdown_table([f"{machine}: training", *SPEEDS_HEADER], training)


SPEEDS_HEADER = ["ratio", "lowest to highest round", "a second", "open_clip's"]


def _format_speeds(finding: dict) -> list[str]:
    """Format the ratio of two speeds, its spread, and both speeds."""
    ours, theirs = _format_quantity(finding["ours"]), _format_quantity(finding["theirs"])
    return [f"{finding['ratio']:.2f}", format_rounds(finding), ours, theirs]
