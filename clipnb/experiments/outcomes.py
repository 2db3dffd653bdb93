"""One seed of an experiment: measured once, then kept in the cache."""

import ast
import hashlib
import inspect
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from clipnb.datasets import versioned_name
from clipnb.experiments.experiment import Experiment, Outcomes
from clipnb.experiments.fitting import TRAINING_SECONDS
from clipnb.runtime import ROOT, cache_dir, replace_when_done


def run_seed(
    experiment: Experiment, seed: int, settings: dict, code: str | None = None
) -> tuple[Outcomes, dict]:
    """Return the outcomes and numbers of one seed: from the cache, or measured now.

    The numbers hold two more entries, `seconds` and `trained`. code: a digest of the code that
    measures; by default that of `digest_measure`. Raises ValueError if the
    conditions do not hold a row for each test image, or if a number has the name of a condition.
    """
    path = seed_file(experiment, seed, settings, code)
    if not path.exists():
        outcomes, numbers = measure_seed(experiment, seed, settings)
        with replace_when_done(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **outcomes, __numbers=json.dumps(numbers))
    with np.load(path) as data:
        outcomes = {name: data[name] for name in data.files if name != "__numbers"}
        numbers = json.loads(str(data["__numbers"]))
    return outcomes, numbers


def measure_seed(experiment: Experiment, seed: int, settings: dict) -> tuple[Outcomes, dict]:
    """Measure one seed now. Returns what `run_seed` does."""
    TRAINING_SECONDS.clear()
    start = time.perf_counter()
    outcomes, numbers = experiment.measure(seed, **settings)
    sizes = {condition: len(array) for condition, array in outcomes.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(
            f"{experiment.name}: every condition needs a row for each test image, but they have "
            f"{sizes}."
        )
    if hidden := outcomes.keys() & numbers.keys():
        raise ValueError(
            f"{experiment.name}: {', '.join(sorted(hidden))} is both an outcome and a number; give "
            "one of them another name."
        )
    seconds = time.perf_counter() - start
    return outcomes, numbers | {"seconds": seconds, "trained": dict(TRAINING_SECONDS)}


# ---- the file in the cache -------------------------------------------------------------------


def seed_file(experiment: Experiment, seed: int, settings: dict, code: str | None = None) -> Path:
    """Return the file in the cache that keeps the outcomes of one seed.

    Its name changes with the settings, the version of the scenes, and the code that measures.
    """
    code = code or digest_measure(experiment.measure)
    content = [settings, versioned_name("scenes"), code]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return cache_dir() / "experiments" / f"{experiment.name}-{seed}-{digest}.npz"


@cache  # so that an edit while an experiment runs changes no name between two seeds
def digest_measure(measure: Callable) -> str:
    """Return a digest of the code that an experiment's `measure` runs.

    That is its module and every clipnb module that this one imports, directly or not. A function
    from a notebook is known by its cell alone, because nothing tells which other cells it uses.
    """
    lines, _ = inspect.findsource(measure)  # all lines of the file or of the notebook's cell
    return digest_source("".join(lines))


def digest_source(source: str) -> str:
    """Return a digest of a source and of every clipnb module that it imports, directly or not.

    Comments, docstrings and layout do not count, because they change no number.
    """
    files = sorted(find_imported_files(source))
    sources = [source, *(file.read_text(encoding="utf-8") for file in files)]
    code = "\n".join(dump_code(each) for each in sources)
    return hashlib.sha256(code.encode()).hexdigest()


def find_imported_files(source: str) -> set[Path]:
    """Return the files of all clipnb modules that a source imports, directly or not."""
    found, waiting = set(), [source]
    while waiting:
        new = find_direct_imports(waiting.pop()) - found
        found |= new
        waiting += [file.read_text(encoding="utf-8") for file in new]
    return found


def find_direct_imports(source: str) -> set[Path]:
    """Return the files of the clipnb modules that a source itself imports, in functions too.

    The `__init__.py` of a package counts only if something is imported from it. That of the
    experiments imports all of them, but an experiment does not depend on all the others.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            # What is imported may be a module itself: `from clipnb import scenes`.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    files = {source_file(name) for name in names if name.startswith("clipnb.")}
    return files - {None}  # most of the names are functions and classes


def source_file(module: str) -> Path | None:
    """Return the file of a clipnb module such as "clipnb.training", or None if there is none."""
    path = ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.exists():
            return file
    return None


def dump_code(source: str) -> str:
    """Return what a source does as text: its syntax tree without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        may_have_docstring = isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        )
        if may_have_docstring and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)
