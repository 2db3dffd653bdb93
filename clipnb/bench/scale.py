"""What scaling out costs and gains on this machine: `python -m clipnb bench scale`.

Two processes with one thread each are compared with one that has two. All three are there from the
beginning and work in turns, so that whatever else the machine does slows both ways alike.
"""

import dataclasses
import os
import queue
import sys
import tempfile

import torch
import torch.distributed as dist
from torch import multiprocessing

from clipnb.bench.jpegs import temporary_photos
from clipnb.bench.loops import iterate_endlessly, make_loop, make_model, use_photos
from clipnb.bench.memory import measure_step_memory
from clipnb.bench.streaming import compare_shards_with_memory, measure_mapped_memory
from clipnb.bench.timing import summarize_ratios, time_steps, time_warm_step
from clipnb.datasets import load_dataset
from clipnb.recipes import RECIPES, Recipe
from clipnb.records import record_benchmark
from clipnb.runtime import end_with_parent, progress
from clipnb.shared_norm import share_batch_norms

# Recipe and batch size. What the processes tell each other in a step costs time, and hardly more of
# it if the step has more pairs: so a larger batch loses less.
COMPARED = (("quick", 128), ("quick", 512), ("baseline", 128))
LONGEST_WAIT = 600  # seconds for an answer


def run_scale_benchmark() -> str:
    """Measure, print the findings, and write `results/bench/scale-<cpu>.json`. Returns its path."""
    with temporary_photos():
        processes = {
            f"{name}, batch {batch_size}": compare_processes(size_recipe(name, batch_size))
            for name, batch_size in COMPARED
        }
    shards = {"quick": compare_shards_with_memory()}
    results = {
        "two processes": processes,
        "shards": shards,
        "memory of a step, bytes": measure_step_memory(),
        "mapped images": measure_mapped_memory() if sys.platform == "linux" else None,
    }
    path, _ = record_benchmark(results, "scale-")
    for name, finding in processes.items():
        print(f"{finding['ratio']:8.3f}  two processes against one, {name} at 64 px")
    for name, finding in shards.items():
        print(f"{finding['ratio']:8.3f}  shards against images in memory, {name}")
    return path


def size_recipe(name: str, batch_size: int) -> Recipe:
    """Return a recipe with a batch size, for images of 64 px."""
    sizes = {"image_size": 64, "stored_size": 64, "batch_size": batch_size}
    return dataclasses.replace(RECIPES[name], **sizes)


def compare_processes(recipe: Recipe, seconds: float = 10.0, rounds: int = 7) -> dict:
    """Compare two gloo processes of one thread each with one process of two threads.

    seconds: how long a round takes. Returns the ratio of their pairs a second, as
    `summarize_ratios` does. Raises RuntimeError if a process ends or does not answer.
    """
    recipe = use_photos(recipe)
    load_dataset(recipe.dataset, "train", recipe.stored_size)  # decoded once, for all
    with tempfile.TemporaryDirectory() as folder:
        ways = {"two": Workers(recipe, 2, 1, folder), "one": Workers(recipe, 1, 2, folder)}
        try:
            slowest = max(workers.time(0) for workers in ways.values())
            steps = max(1, int(seconds / slowest))
            rates = {name: [] for name in ways}
            for _ in progress(range(rounds), desc=recipe.name, leave=False):
                for name, workers in ways.items():
                    rates[name].append(steps * recipe.batch_size / workers.time(steps))
        finally:
            for workers in ways.values():
                workers.end()
    return summarize_ratios(rates["two"], rates["one"])


class Workers:
    """Processes that train together when they are told to, and sleep otherwise.

    size: their number. threads: of each. folder: where they meet.
    """

    def __init__(self, recipe: Recipe, size: int, threads: int, folder: str):
        context = multiprocessing.get_context("spawn")
        self.orders = [context.Queue() for _ in range(size)]
        self.answers = context.Queue()
        self.processes = []
        for rank, orders in enumerate(self.orders):
            arguments = (recipe, rank, size, threads, folder, orders, self.answers)
            self.processes.append(context.Process(target=work, args=arguments, daemon=True))
            self.processes[-1].start()

    def time(self, steps: int) -> float:
        """Let all of them take some steps. Returns the seconds of the slowest; 0: of one step."""
        for orders in self.orders:
            orders.put(steps)
        try:
            return max(self.answers.get(timeout=LONGEST_WAIT) for _ in self.orders)
        except queue.Empty:
            raise RuntimeError("a process of the benchmark does not answer.") from None

    def end(self) -> None:
        """End the processes."""
        for orders in self.orders:
            orders.put(None)
        for process in self.processes:
            process.join(10)
            process.kill()


def work(
    recipe: Recipe,
    rank: int,
    size: int,
    threads: int,
    folder: str,
    orders: multiprocessing.Queue,
    answers: multiprocessing.Queue,
) -> None:
    """Train a recipe for as many steps as each order says, and answer with the seconds."""
    end_with_parent()
    os.environ["CLIPNB_DEVICE"] = "cpu"
    torch.set_num_threads(threads)
    if size > 1:
        dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=size)
    torch.manual_seed(0)
    model, optimizer = make_model(recipe)
    share_batch_norms(model)
    loop = make_loop(model, optimizer, iterate_endlessly(recipe), recipe)
    while (steps := orders.get()) is not None:
        answers.put(time_steps(loop, steps) if steps else time_warm_step(loop))
    if size > 1:
        dist.destroy_process_group()
