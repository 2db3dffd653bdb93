"""What is measured in a fresh Python process: the time of an import, and the peak memory."""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from clipnb.bench.loops import (
    iterate_endlessly,
    make_loop,
    make_model,
    repeat_typical_batch,
    use_photos,
)
from clipnb.bench.timing import summarize_ratios
from clipnb.datasets import load_dataset
from clipnb.recipes import FROM_SCRATCH, Recipe
from clipnb.runtime import progress

# Programs for `run_python`. They find their arguments in sys.argv.
TIME_IMPORT = """
import importlib, sys, time
start = time.perf_counter()
importlib.import_module(sys.argv[1])
print(time.perf_counter() - start)
"""
PRINT_PEAK_MEMORY = """
import sys
from clipnb.bench.processes import print_peak_memory
print_peak_memory(sys.argv[1])
"""


def run_python(program: str, argument: str) -> float:
    """Run a program in a fresh interpreter. Returns the last word that it prints, as a number.

    Raises RuntimeError, with the last line of its error output, if the program fails.
    """
    command = [sys.executable, "-c", program, argument]
    result = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 (our own programs)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1]
        raise RuntimeError(f"the benchmark's subprocess failed: {reason}")
    return float(result.stdout.split()[-1])


def measure_import(rounds: int = 5) -> dict:
    """Measure the seconds of importing clipnb's training, against those of importing torch."""
    ours, theirs = [], []
    for _ in progress(range(rounds), desc="import", leave=False):
        theirs.append(run_python(TIME_IMPORT, "torch"))
        ours.append(run_python(TIME_IMPORT, "clipnb.training"))
    return summarize_ratios(ours, theirs, "seconds")


def measure_peak_memory(recipes: Sequence[Recipe] = FROM_SCRATCH, steps: int = 4) -> dict:
    """Measure the most memory that training needs, in bytes, for each recipe.

    The whole loop is compared with the size of the array of images plus 1.5 times what the bare
    step needs.
    """
    if sys.platform == "win32":
        return {"not measured": "Windows keeps no such count"}
    results = {}
    on_photos = [use_photos(recipe) for recipe in recipes]
    for recipe in progress(on_photos, desc="peak memory", leave=False):
        whole = run_python(PRINT_PEAK_MEMORY, pack_arguments("loop", recipe, steps))
        bare = run_python(PRINT_PEAK_MEMORY, pack_arguments("bare", recipe, steps))
        array = load_dataset(recipe.dataset, "train", recipe.stored_size).images.nbytes
        results[recipe.name] = {
            "ratio": whole / (array + 1.5 * bare),
            "loop": whole,
            "bare": bare,
            "array": array,
        }
    return results


def pack_arguments(mode: str, recipe: Recipe, steps: int) -> str:
    """Pack the arguments of `print_peak_memory` as JSON."""
    return json.dumps({"mode": mode, "recipe": dataclasses.asdict(recipe), "steps": steps})


def print_peak_memory(arguments: str) -> None:
    """Train for some steps in this process, and print the most memory that it has had, in bytes.

    arguments: see `pack_arguments`. The mode is "loop" for whole training, "bare" for the same
    batch at every step.
    """
    unpacked = json.loads(arguments)
    recipe = Recipe(**unpacked["recipe"])
    batches = iterate_endlessly(recipe)
    if unpacked["mode"] == "loop":
        images = load_dataset(recipe.dataset, "train", recipe.stored_size).images
        images.max()  # read it all, as an epoch does
    else:
        batches = repeat_typical_batch(batches)
    train_loop = make_loop(*make_model(recipe), batches, recipe)
    train_loop(unpacked["steps"])
    print(read_peak_memory())


def read_peak_memory() -> int:
    """Return the most memory that this process has had so far, in bytes. Not on Windows."""
    status = Path("/proc/self/status")
    if status.exists():
        # On Linux, ru_maxrss also counts what the parent held when it started this process.
        kilobytes = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]
        return 1024 * int(kilobytes)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
