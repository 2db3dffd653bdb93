"""How fast training is, and what it costs: `python -m clipnb bench train`. Only ratios carry from one machine to another.

races.py measures, comparisons.py and costs.py say what, rivals.py holds what training is compared with.
"""

import datetime
import json
import re

import torch

from clipnb import records, report
from clipnb.bench.comparisons import against_open_clip, against_the_limit, against_the_usual_way
from clipnb.bench.costs import compiling, first_use, importing, peak_memory, scaling
from clipnb.bench.races import photos
from clipnb.runtime import (
    cpu_name,
    describe_machine,
    display_path,
    list_versions,
    progress,
    results_dir,
    write_file,
)

PARTS = {
    "the usual way": against_the_usual_way,
    "the limit": against_the_limit,
    "open_clip": against_open_clip,
    "peak memory": peak_memory,
    "import": importing,
    "first use": first_use,
    "scaling": scaling,
    "torch.compile": compiling,
}


def run_benchmark():
    """Measure everything, write `results/bench/<cpu>.json` and print it, ratios first; returns the file's path as text."""
    with photos():
        results = {name: part() for name, part in progress(PARTS.items(), desc="benchmark")}
    about = {
        "machine": describe_machine(),
        "threads": torch.get_num_threads(),
        "versions": list_versions(),
        "date": datetime.date.today().isoformat(),
    }
    path = (
        results_dir()
        / "bench"
        / (re.sub("[^a-z0-9]+", "-", cpu_name().lower()).strip("-") + ".json")
    )
    write_file(path, json.dumps(records.round_floats(about | results), indent=1) + "\n")
    for title, found in sorted(
        report.findings(results), key=lambda finding: not isinstance(finding[1], dict)
    ):  # ratios first, else in order
        print(
            f"{found['ratio']:8.3f}  {title}"
            if isinstance(found, dict)
            else f"          {title}: {found}"
        )
    return display_path(path)
