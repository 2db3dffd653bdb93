"""How busy training keeps a graphics card: `python -m clipnb bench card`.

The parts are those of `clipnb bench train`, at sizes for which a card is made: batches of 1,024,
crops of 128 pixels, and as many helpers for open_clip's data pipeline as there are cores.
"""

import os
from dataclasses import replace

from clipnb.bench import print_findings
from clipnb.bench.comparisons import VIT, compare_with_bare_step, compare_with_open_clip
from clipnb.bench.costs import measure_compiling
from clipnb.bench.jpegs import temporary_photos
from clipnb.recipes import RECIPES
from clipnb.records import record_benchmark
from clipnb.runtime import describe_machine, progress

N_PHOTOS = 2048  # two batches of 1,024
WORKER_COUNTS = (4, os.cpu_count() or 1)  # of open_clip's DataLoader
IMPROVED_128 = replace(RECIPES["improved"], name="improved, 128 px", crop_size=128)
MEASURED = (
    RECIPES["baseline"],
    replace(RECIPES["baseline"], name="baseline, batch 1024", batch_size=1024),
    RECIPES["improved"],
    IMPROVED_128,
)
BESIDE_OPEN_CLIP = (VIT, replace(VIT, batch_size=1024))
COMPILED = (RECIPES["baseline"], IMPROVED_128, VIT)


def run_card_benchmark() -> str:
    """Measure on the graphics card, print the findings, and write `results/bench/card-<gpu>.json`.

    Returns the record's path as text. Raises ValueError if there is no card.
    """
    card = describe_machine()["gpu"]
    if card is None:
        raise ValueError(
            "no graphics card is in use here; `clipnb bench train` measures the processor."
        )
    with temporary_photos(N_PHOTOS):
        results = measure_card()
    path, _ = record_benchmark(results, "card-", processor=card)
    print_findings(results)
    return path


def measure_card(
    seconds: float = 6, rounds: int = 5, compiled_steps: int = 60, backend: str = "inductor"
) -> dict:
    """Measure our loop against the bare step and against open_clip's, and what compiling costs.

    seconds, rounds: of each comparison. compiled_steps, backend: of each recipe that is compiled.
    """
    return {
        "the limit": compare_with_bare_step(MEASURED, seconds, rounds),
        "open_clip": {
            f"batch {recipe.batch_size}": compare_with_open_clip(
                recipe, WORKER_COUNTS, seconds, rounds
            )
            for recipe in BESIDE_OPEN_CLIP
        },
        "torch.compile": {
            recipe.name: measure_compiling(recipe, compiled_steps, backend)
            for recipe in progress(COMPILED, desc="torch.compile")
        },
    }
