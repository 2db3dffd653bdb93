"""From runs to numbers people read: records in results/, and the tables in README.md rendered from them and from nothing else."""

import dataclasses
import datetime
import json

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
