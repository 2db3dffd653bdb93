"""How fast training is, and what it costs: `python -m clipnb bench train`.

Only ratios carry from one machine to another. comparisons.py, costs.py and processes.py measure,
each with what it needs from jpegs.py, loops.py, timing.py and baselines.py.
"""

from clipnb.bench.comparisons import (
    compare_with_bare_step,
    compare_with_naive,
    compare_with_open_clip,
)
from clipnb.bench.costs import measure_compiling, measure_decoding, measure_growth
from clipnb.bench.jpegs import temporary_photos
from clipnb.bench.processes import measure_import, measure_peak_memory
from clipnb.bench_report import iterate_findings
from clipnb.records import record_benchmark
from clipnb.runtime import progress

# What is measured, by its key in the record.
PARTS = {
    "the usual way": compare_with_naive,
    "the limit": compare_with_bare_step,
    "open_clip": compare_with_open_clip,
    "peak memory": measure_peak_memory,
    "import": measure_import,
    "first use": measure_decoding,
    "scaling": measure_growth,
    "torch.compile": measure_compiling,
}


def run_benchmark() -> str:
    """Measure everything, write the record, and print it. Returns the record's path as text.

    The record is `results/bench/<cpu>.json`.
    """
    with temporary_photos():
        parts = progress(PARTS.items(), desc="benchmark")
        results = {name: measure() for name, measure in parts}
    path, _ = record_benchmark(results)
    print_findings(results)
    return path


def print_findings(results: dict) -> None:
    """Print the results of a benchmark: ratios first, then all other numbers."""
    findings = list(iterate_findings(results))
    for title, finding in findings:
        if isinstance(finding, dict):
            print(f"{finding['ratio']:8.3f}  {title}")
    for title, finding in findings:
        if not isinstance(finding, dict):
            print(f"          {title}: {finding}")
