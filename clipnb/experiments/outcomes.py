"""One seed of an experiment: measured once, then kept in the cache."""

import ast
import hashlib
import importlib.util
import inspect
import json
import time
from functools import cache
from pathlib import Path

import numpy as np

from clipnb.datasets import versioned_name
from clipnb.experiments.experiment import Experiment, Outcomes
from clipnb.experiments.fitting import TRAINING_SECONDS
from clipnb.runtime import cache_dir, replace_when_done


def run_seed(experiment: Experiment, seed: int, settings: dict) -> tuple[Outcomes, dict]:
    """Return (outcomes, numbers) of one seed: measured now, or read if it has been before.

    Raises ValueError if the conditions do not hold a row for each test image.
    """
    path = seed_file(experiment, seed, settings)
    if not path.exists():
        TRAINING_SECONDS.clear()
        start = time.perf_counter()
        outcomes, numbers = experiment.measure(seed, **settings)
        sizes = {condition: len(array) for condition, array in outcomes.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(
                f"{experiment.name}: every condition needs a row for each test image, but they "
                f"have {sizes}."
            )
        seconds = time.perf_counter() - start
        numbers = numbers | {"seconds": seconds, "trained": dict(TRAINING_SECONDS)}
        with replace_when_done(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **outcomes, __numbers=json.dumps(numbers))
    with np.load(path) as data:
        numbers = json.loads(str(data["__numbers"]))
        return {key: data[key] for key in data.files if key != "__numbers"}, numbers


def seed_file(experiment: Experiment, seed: int, settings: dict) -> Path:
    """Return the file in the cache that keeps the outcome of one seed.

    Its name changes with the settings, the version of the scenes, and the source of every clipnb
    module that the experiment uses.
    """
    module = inspect.getmodule(experiment.measure).__name__
    content = [settings, versioned_name("scenes"), digest_sources(module)]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    return cache_dir() / "experiments" / f"{experiment.name}-{seed}-{digest}.npz"


@cache
def digest_sources(module: str) -> str:
    """Return a digest of the code of a module and of all clipnb modules that it imports.

    Comments, docstrings and layout do not count: they change no number.
    """
    code = [f"{name}: {read_code(name)}" for name in sorted(find_imports(module))]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()


def find_imports(module: str) -> set[str]:
    """Return a module and every clipnb module that it imports, directly or not."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imported_modules(name)
    return found


def imported_modules(module: str) -> list[str]:
    """Return the clipnb modules that a module imports itself, inside functions too."""
    names = []
    for node in ast.walk(parse_module(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("clipnb.") and source_file(name)]


def read_code(module: str) -> str:
    """Return what a module does as text: its syntax tree without docstrings."""
    tree = parse_module(module)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            node.body = body[1:]
    return ast.dump(tree)


def _is_text(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    is_expression = isinstance(statement, ast.Expr) and isinstance(value, ast.Constant)
    return is_expression and isinstance(value.value, str)


def parse_module(module: str) -> ast.Module:
    """Parse the source of a module; one without a file is empty."""
    path = source_file(module)
    return ast.parse(Path(path).read_text(encoding="utf-8") if path else "")


@cache
def source_file(name: str) -> str | None:
    """Return the file of a module, or None if the name is not that of a module with a file."""
    try:
        spec = importlib.util.find_spec(name)
    except (ModuleNotFoundError, ValueError):
        return None
    return spec.origin if spec and spec.origin and spec.origin.endswith(".py") else None
