"""From runs to numbers people read: records in results/, and the tables in README.md rendered from them and from nothing else."""

import json
import re

from clipnb.records import load_records
from clipnb.runtime import ROOT, results_dir

DIRECTIONS = ("image_to_text", "text_to_image")


def recalls(metrics, direction):
    """R@1, R@5 and R@10 of one direction, as a table cell."""
    return " / ".join(f"{metrics[f'{direction}_R@{k}']:.1f}" for k in (1, 5, 10))


def mean_metrics(records, split):
    """The mean of every metric over records that differ in their seed."""
    return {
        key: sum(r["metrics"][split][key] for r in records) / len(records)
        for key in records[0]["metrics"][split]
    }


def spread(records, split):
    """Mean recall with its uncertainty: standard deviation over seeds, or the 95 % bootstrap interval of a single one."""
    values = [r["metrics"][split]["mean_recall"] for r in records]
    mean = sum(values) / len(values)
    if len(values) == 1:
        low, high = records[0]["intervals"][split]["mean_recall"]
        return f"**{mean:.1f}** ({low:.1f} to {high:.1f})"
    std = (sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5
    return f"**{mean:.1f}** ± {std:.1f}"


def results_table(dataset, split="test"):
    """Our runs of a dataset beside chance and, on Flickr8k, published systems: a Markdown table, from results/ alone."""
    from clipnb.metrics import chance

    lines = [
        "| system | image → text R@1 / 5 / 10 | median rank | text → image R@1 / 5 / 10 | median rank | mean recall | seeds | training |",
        "|---|---|---|---|---|---|---|---|",
    ]
    records = load_records(dataset)
    guess = chance(records[0]["n_images"])
    ranks = [f"{guess[f'{d}_median_rank']:.0f}" for d in DIRECTIONS]
    lines.append(
        f"| chance | {recalls(guess, DIRECTIONS[0])} | {ranks[0]} | {recalls(guess, DIRECTIONS[1])} | {ranks[1]} | {guess['mean_recall']:.1f} | | |"
    )
    for name in dict.fromkeys(
        r["recipe"]["name"]
        for r in sorted(records, key=lambda r: r["metrics"]["dev"]["mean_recall"])
    ):
        group = [r for r in records if r["recipe"]["name"] == name]
        mean, first = mean_metrics(group, split), group[0]
        minutes = sum(r["train_seconds"] for r in group) / len(group) / 60
        cost = f"{first['parameters'] / 1e6:.2f} M parameters, {first['images_seen']:,} images seen, {minutes:.0f} min on {first['machine']['gpu'] or str(first['machine']['cores']) + ' CPU cores'}"
        cells = [
            f"**`{name}`**",
            recalls(mean, DIRECTIONS[0]),
            f"{mean['image_to_text_median_rank']:.0f}",
            recalls(mean, DIRECTIONS[1]),
            f"{mean['text_to_image_median_rank']:.0f}",
            spread(group, split),
            str(len(group)),
            cost,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    published = (
        json.loads((results_dir() / "published.json").read_text(encoding="utf-8"))["systems"]
        if dataset == "flickr8k"
        else []
    )
    for system in published:
        both = [" / ".join(f"{value:.1f}" for value in system[d]) for d in DIRECTIONS]
        mean_recall = sum(system[DIRECTIONS[0]] + system[DIRECTIONS[1]]) / 6
        lines.append(
            f"| {system['name']} | {both[0]} | | {both[1]} | | {mean_recall:.1f} | | {system['used']} |"
        )
    return "\n".join(lines)


def findings(value, path=()):
    """A benchmark's nested results as pairs (title, value): comparisons, which have a "ratio", whole, all else number by number."""
    if not isinstance(value, dict) or "ratio" in value:
        yield ": ".join(path), value
    else:
        for key, inner in value.items():
            yield from findings(inner, (*path, str(key)))


def bench_table():
    """What `python -m clipnb bench train` found on each machine, ratios alone: a Markdown table, from results/bench/ alone."""
    lines = []
    for path in sorted((results_dir() / "bench").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        about = record["machine"]
        lines += [
            f"| {about['gpu'] or about['cpu']}, {about['cores']} cores, {'with' if about['bf16'] else 'without'} bf16 | ratio | lowest to highest round |",
            "|---|---|---|",
        ]
        for title, found in findings(record):
            if isinstance(found, dict):
                rounds = (
                    f"{found['lowest']:.2f} to {found['highest']:.2f}" if "lowest" in found else ""
                )
                lines.append(f"| {title} | {found['ratio']:.2f} | {rounds} |")
        lines.append("")
    return "\n".join(lines[:-1])


def rendered(text):
    """README text with every table between `<!-- results: DATASET -->`, `<!-- claims -->` or `<!-- bench -->` and `<!-- end -->` made anew."""
    from clipnb.experiments.verdicts import claims_table

    text = re.sub(
        r"(<!-- claims -->\n).*?(<!-- end -->)",
        lambda m: m[1] + claims_table() + "\n" + m[2],
        text,
        flags=re.DOTALL,
    )
    text = re.sub(
        r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)",
        lambda m: m[1] + results_table(m[2]) + "\n" + m[3],
        text,
        flags=re.DOTALL,
    )
    return re.sub(
        r"(<!-- bench -->\n).*?(<!-- end -->)",
        lambda m: m[1] + bench_table() + "\n" + m[2],
        text,
        flags=re.DOTALL,
    )


def update_readme():
    """Write README.md's tables anew from results/."""
    readme = ROOT / "README.md"
    readme.write_text(rendered(readme.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
