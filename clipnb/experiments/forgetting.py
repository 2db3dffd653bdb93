"""What adapting brings and what it costs: new images, old images, and the line between weights.

`python -m clipnb experiment adapting` measures it and writes results/adapting/scenes.json. It is a
study of this course and tests no claim of the paper.
"""

import datetime
import hashlib
import json
from collections.abc import Sequence

import numpy as np

from clipnb.datasets import CaptionDataset, versioned_name
from clipnb.experiments.adapting import (
    N_STEPS,
    NEW_STYLE,
    WAYS,
    Worlds,
    adapt,
    render_worlds,
)
from clipnb.experiments.exams import read_classes
from clipnb.experiments.outcomes import digest_measure
from clipnb.model import CLIP
from clipnb.records import read_json, write_record
from clipnb.runtime import (
    cache_dir,
    describe_machine,
    display_path,
    list_versions,
    progress,
    results_dir,
    write_file,
)
from clipnb.tokenizer import Tokenizer
from clipnb.training import evaluate, load_or_train
from clipnb.tuning import interpolate_weights
from clipnb.zero_shot import zero_shot_scores

FULL = {"sizes": [100, 500, 2000], "n_images": 500, "shares": [0.0, 0.25, 0.5, 0.75, 1.0]}
SMALL = {"sizes": [100], "n_images": 100, "shares": [0.0, 1.0]}


def measure_way(
    seed: int, way: str, sizes: Sequence[int], n_images: int, shares: Sequence[float]
) -> dict:
    """Adapt the `quick` run of a seed in one way, to every number of pairs, and measure it.

    With "fine-tuning", the weights before it and after it, on the most pairs, are mixed in all
    `shares` too. Returns plain numbers, those of `measure_model`, by size and by share.
    """
    run = load_or_train("quick", seed)
    worlds = render_worlds(max(sizes), n_images)
    by_size, line = {}, []
    for size in sizes:
        model, tokenizer = adapt(run, worlds.pairs.subset(range(size)), way, seed)
        by_size[str(size)] = measure_model(model, tokenizer, worlds)
    if way == "fine-tuning":
        for share in shares:
            between = interpolate_weights(run.model, model, share)
            line.append(measure_model(between, run.tokenizer, worlds))
    return {"by_size": by_size, "line": line}


def measure_model(model: CLIP, tokenizer: Tokenizer, worlds: Worlds) -> dict[str, float]:
    """Measure a model on new and on old images, in percent.

    "recall" is the mean recall of retrieval, "kind" the zero-shot accuracy of the kinds of things.
    """
    return {
        "new recall": evaluate(model, tokenizer, worlds.new)["mean_recall"],
        "old recall": evaluate(model, tokenizer, worlds.old)["mean_recall"],
        "new kind": score_kinds(model, tokenizer, worlds.new_things),
        "old kind": score_kinds(model, tokenizer, worlds.old_things),
    }


def score_kinds(model: CLIP, tokenizer: Tokenizer, things: CaptionDataset) -> float:
    """Return how many kinds of things are named rightly without an example, in percent."""
    kinds, truth = read_classes(things, "kind")
    scores = zero_shot_scores(model, tokenizer, things.images, kinds)  # (N, 12)
    return 100 * np.mean(scores.argmax(dim=1).numpy() == truth).item()


# ---- the record ------------------------------------------------------------------------------


def run_way(seed: int, way: str, settings: dict) -> dict:
    """Return the numbers of one seed and one way: from the cache, or measured now."""
    content = [way, settings, versioned_name("scenes"), digest_measure(measure_way)]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]
    path = cache_dir() / "experiments" / f"adapting-{seed}-{digest}.json"
    if not path.exists():
        write_file(path, json.dumps(measure_way(seed, way, **settings)))
    return read_json(path)


def run_seed(seed: int, settings: dict) -> dict:
    """Return the numbers of one seed: of all ways, and of the weights in between."""
    numbers = {way: run_way(seed, way, settings) for way in progress(list(WAYS), desc="ways")}
    line = numbers["fine-tuning"]["line"]
    ways = {way: own["by_size"] for way, own in numbers.items()}
    return {"before": line[0], "ways": ways, "line": line}  # share 0 is the model before


def gather_seeds(seeds: Sequence[int], settings: dict) -> dict:
    """Return the numbers of all seeds: each one becomes a list with an entry for each seed."""
    return join_numbers([run_seed(seed, settings) for seed in seeds])


def join_numbers(each: Sequence) -> dict | list:
    """Join equal structures of dicts and lists into one, whose numbers are lists."""
    first = each[0]
    if isinstance(first, dict):
        return {key: join_numbers([one[key] for one in each]) for key in first}
    if isinstance(first, list):
        return [join_numbers(parts) for parts in zip(*each, strict=True)]
    return list(each)


def record_adapting(n_seeds: int = 3) -> str:
    """Measure seeds 0, 1, ... in full, and write the record. Returns its path as text."""
    record = {
        "dataset": "scenes",
        "old": "painted",
        "new": NEW_STYLE,
        "steps": N_STEPS,
        "settings": FULL,
        "seeds": list(range(n_seeds)),
        **gather_seeds(range(n_seeds), FULL),
        "machine": describe_machine(),
        "versions": list_versions(),
        "date": datetime.date.today().isoformat(),
        "command": f"python -m clipnb experiment adapting --seeds {n_seeds}",
    }
    return write_record(results_dir() / "adapting" / "scenes.json", record, indent=1)


def load_adapting() -> dict | None:
    """Load the record. If there is none, print how to make it and return None."""
    path = results_dir() / "adapting" / "scenes.json"
    if path.exists():
        return read_json(path)
    print(
        f"The study is not on record ({display_path(path)}). To make it: "
        "python -m clipnb experiment adapting --seeds 3"
    )
    return None
