"""From runs to numbers people read: records in results/, and the tables in README.md rendered from them and from nothing else."""

import dataclasses
import datetime
import json
import re

from clipnb.runtime import ROOT, machine, shown, versions

RESULTS = ROOT / "results"


def record_run(run):
    """Evaluate a run on dev and test, once, and write `results/runs/<dataset>-<recipe>-<seed>.json`; returns its path as text."""
    from clipnb import bootstrap_intervals, encode_dataset, load_dataset, retrieval_ranks
    from clipnb.metrics import summarize
    from clipnb.runs import write

    recipe, metrics, intervals = run.recipe, {}, {}
    for split in "dev", "test":
        dataset = load_dataset(recipe.dataset, split, recipe.image_size)
        ranks = retrieval_ranks(*encode_dataset(run.model, run.tokenizer, dataset))
        metrics[split], intervals[split] = summarize(*ranks), bootstrap_intervals(*ranks)
    record = {
        "dataset": recipe.dataset, "recipe": dataclasses.asdict(recipe), "seed": run.seed,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "metrics": metrics, "intervals": intervals, "pictures": len(dataset),
        **{key: run.metrics[key] for key in ("best_epoch", "train_seconds", "images_seen")},
        "history": run.history, "machine": machine(), "versions": versions(), "date": datetime.date.today().isoformat(),
    }
    path = RESULTS / "runs" / f"{recipe.dataset}-{recipe.name}-{run.seed}.json"
    write(path, json.dumps(rounded(record), indent=1) + "\n")
    return shown(path)


NOUNS = ("air baby ball basketball beach bicycle bike boy boys building camera car child children crowd dirt dog dogs dress face field football frisbee "
         "girl girls grass group hair hat head hill jacket lake man men mountain mouth ocean park people person player pool river road rock sand shirt "
         "shorts snow soccer street sunglasses swing table toy tree wall water wave woman women").split()  # frequent in Flickr8k's captions


def record_errors(run):
    """Where a run errs on dev: write `results/errors/<dataset>-<recipe>.json`; returns its path as text.

    For each of `NOUNS` the captions that hold it, how many of them find their picture among the first ten, and their median rank;
    for every picture the median rank that its own captions give it, without its name.
    """
    from clipnb import encode_dataset, load_dataset, retrieval_ranks
    from clipnb.runs import write

    dataset = load_dataset(run.recipe.dataset, "dev", run.recipe.image_size)
    ranks = retrieval_ranks(*encode_dataset(run.model, run.tokenizer, dataset))[1].view(len(dataset), -1)  # (N, K) by caption
    words = [set(re.findall("[a-z]+", caption.lower())) for own in dataset.captions for caption in own]
    nouns = {}
    for noun in NOUNS:
        own = ranks.flatten()[[noun in said for said in words]].double()
        if len(own):
            nouns[noun] = {"captions": len(own), "R@10": 100 * (own <= 10).double().mean().item(), "median_rank": own.quantile(0.5).item()}
    record = {"recipe": run.recipe.name, "seed": run.seed, "split": "dev", "nouns": nouns,
              "median_ranks_by_picture": sorted(ranks.double().quantile(0.5, dim=1).tolist())}
    path = RESULTS / "errors" / f"{run.recipe.dataset}-{run.recipe.name}.json"
    write(path, json.dumps(rounded(record)) + "\n")
    return shown(path)


def record_arm(run):
    """Append a run's recipe and what it reached on dev, never on test, to `results/arms/<dataset>.jsonl`; returns that path as text.

    A search keeps a line of every arm it tried, the losers too: the best of many tries alone would look better than it is.
    """
    arm = {"recipe": dataclasses.asdict(run.recipe), "seed": run.seed, **run.metrics, "history": run.history,
           "parameters": sum(p.numel() for p in run.model.parameters()), "machine": machine(), "date": datetime.date.today().isoformat()}
    path = RESULTS / "arms" / f"{run.recipe.dataset}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(rounded(arm)) + "\n")
    return shown(path)


def load_arms(dataset):
    """The arms of a search that are on record, oldest first; none if there was no search."""
    path = RESULTS / "arms" / f"{dataset}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def rounded(value):
    """Floats to six significant digits, all the way down."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def load_records(dataset=None):
    """The records in results/runs/, in order of file name; of one dataset or of all."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((RESULTS / "runs").glob("*.json"))]
    return [record for record in records if dataset in (None, record["dataset"])]


DIRECTIONS = ("image_to_text", "text_to_image")


def recalls(metrics, direction):
    """R@1, R@5 and R@10 of one direction, as a table cell."""
    return " / ".join(f"{metrics[f'{direction}_R@{k}']:.1f}" for k in (1, 5, 10))


def mean_metrics(records, split):
    """The mean of every metric over records that differ in their seed."""
    return {key: sum(r["metrics"][split][key] for r in records) / len(records) for key in records[0]["metrics"][split]}


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

    lines = ["| system | image → text R@1 / 5 / 10 | median rank | text → image R@1 / 5 / 10 | median rank | mean recall | seeds | training |", "|---|---|---|---|---|---|---|---|"]
    records = load_records(dataset)
    guess = chance(records[0]["pictures"])
    ranks = [f"{guess[f'{d}_median_rank']:.0f}" for d in DIRECTIONS]
    lines.append(f"| chance | {recalls(guess, DIRECTIONS[0])} | {ranks[0]} | {recalls(guess, DIRECTIONS[1])} | {ranks[1]} | {guess['mean_recall']:.1f} | | |")
    for name in dict.fromkeys(r["recipe"]["name"] for r in sorted(records, key=lambda r: r["metrics"]["dev"]["mean_recall"])):
        group = [r for r in records if r["recipe"]["name"] == name]
        mean, first = mean_metrics(group, split), group[0]
        minutes = sum(r["train_seconds"] for r in group) / len(group) / 60
        cost = f"{first['parameters'] / 1e6:.2f} M parameters, {first['images_seen']:,} pictures seen, {minutes:.0f} min on {first['machine']['gpu'] or str(first['machine']['cores']) + ' CPU cores'}"
        cells = [f"**`{name}`**", recalls(mean, DIRECTIONS[0]), f"{mean['image_to_text_median_rank']:.0f}", recalls(mean, DIRECTIONS[1]),
                 f"{mean['text_to_image_median_rank']:.0f}", spread(group, split), str(len(group)), cost]
        lines.append("| " + " | ".join(cells) + " |")
    published = json.loads((RESULTS / "published.json").read_text(encoding="utf-8"))["systems"] if dataset == "flickr8k" else []
    for system in published:
        both = [" / ".join(f"{value:.1f}" for value in system[d]) for d in DIRECTIONS]
        mean_recall = sum(system[DIRECTIONS[0]] + system[DIRECTIONS[1]]) / 6
        lines.append(f"| {system['name']} | {both[0]} | | {both[1]} | | {mean_recall:.1f} | | {system['used']} |")
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
    for path in sorted((RESULTS / "bench").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        about = record["machine"]
        lines += [f"| {about['gpu'] or about['cpu']}, {about['cores']} cores, {'with' if about['bf16'] else 'without'} bf16 | ratio | lowest to highest round |", "|---|---|---|"]
        for title, found in findings(record):
            if isinstance(found, dict):
                rounds = f"{found['lowest']:.2f} to {found['highest']:.2f}" if "lowest" in found else ""
                lines.append(f"| {title} | {found['ratio']:.2f} | {rounds} |")
        lines.append("")
    return "\n".join(lines[:-1])


def rendered(text):
    """README text with every table between `<!-- results: DATASET -->`, `<!-- claims -->` or `<!-- bench -->` and `<!-- end -->` made anew."""
    from clipnb.verdicts import claims_table

    text = re.sub(r"(<!-- claims -->\n).*?(<!-- end -->)", lambda m: m[1] + claims_table() + "\n" + m[2], text, flags=re.DOTALL)
    text = re.sub(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", lambda m: m[1] + results_table(m[2]) + "\n" + m[3], text, flags=re.DOTALL)
    return re.sub(r"(<!-- bench -->\n).*?(<!-- end -->)", lambda m: m[1] + bench_table() + "\n" + m[2], text, flags=re.DOTALL)


def update_readme():
    """Write README.md's tables anew from results/."""
    readme = ROOT / "README.md"
    readme.write_text(rendered(readme.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
