"""The outcomes of a seed in the cache: known by settings and by the code that measures."""

import ast
import dataclasses
import inspect
import linecache
from pathlib import Path

import numpy as np
import pytest
from claim_parts import MEASURED, make_toy

from clipnb.claims import load_experiments
from clipnb.experiments import outcomes
from clipnb.runtime import ROOT


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))


# A package in which the experiment imports `middle`, `middle` imports `deep` inside a function,
# and nobody imports `alone`.
FAKE_PACKAGE = {
    "__init__.py": "VERSION = 1\n",
    "experiments/__init__.py": "from clipnb.experiments import trial, alone\n",
    "experiments/trial.py": "from clipnb.middle import helper\n",
    "middle.py": "def helper():\n    from clipnb import deep\n    return deep.VALUE\n",
    "deep.py": "VALUE = 1\n",
    "alone.py": "VALUE = 1\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of the fake package, which stands for clipnb."""
    monkeypatch.setattr(outcomes, "ROOT", tmp_path)
    for name, source in FAKE_PACKAGE.items():
        file = tmp_path / "clipnb" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return tmp_path / "clipnb"


def digest_trial(package):
    return outcomes.digest_source((package / "experiments" / "trial.py").read_text())


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("experiments/trial.py", "from clipnb.middle import helper\n\nLEVEL = 2\n"),
        ("middle.py", FAKE_PACKAGE["middle.py"].replace("deep.VALUE", "deep.VALUE + 1")),
        ("deep.py", "VALUE = 2\n"),
    ],
    ids=["its own module", "a module it imports", "a module imported there inside a function"],
)
def test_a_changed_module_changes_the_digest(package, file, source):
    before = digest_trial(package)
    (package / file).write_text(source)
    assert digest_trial(package) != before


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("deep.py", '"""What it is."""\n\nVALUE   =  1  # and why\n'),
        ("middle.py", FAKE_PACKAGE["middle.py"].replace("():\n", '():\n    """Help."""\n')),
        ("alone.py", "VALUE = 2\n"),
        ("experiments/__init__.py", "from clipnb.experiments import trial\n"),
    ],
    ids=[
        "comment, docstring and layout of a module",
        "docstring of a function",
        "a module that is not imported",
        "the list of experiments",
    ],
)
def test_what_changes_no_number_leaves_the_digest_alone(package, file, source):
    before = digest_trial(package)
    (package / file).write_text(source)
    assert digest_trial(package) == before


@pytest.mark.parametrize(
    "statement",
    [
        "import clipnb.deep",
        "import clipnb.deep as other, json",
        "from clipnb.deep import VALUE",
        "from clipnb import deep, unknown",
        "def f():\n    class A:\n        from clipnb.deep import VALUE",
    ],
)
def test_every_form_of_import_is_followed(package, statement):
    assert outcomes.find_direct_imports(statement) == {package / "deep.py"}


def test_modules_that_import_each_other_are_read_once(package):
    (package / "deep.py").write_text("import clipnb.middle\n")
    files = outcomes.find_imported_files("import clipnb.deep")
    assert files == {package / "deep.py", package / "middle.py"}


def test_a_real_experiment_depends_on_the_shared_modules_and_not_on_other_experiments():
    source = (ROOT / "clipnb" / "claims" / "words" / "limits.py").read_text(encoding="utf-8")
    files = outcomes.find_imported_files(source)
    names = {file.relative_to(ROOT / "clipnb").as_posix() for file in files}
    assert {"training.py", "augment.py", "scenes/drawing.py", "experiments/exams.py"} <= names
    assert not names & {"experiments/__init__.py", "claims/words/reading.py", "cli.py"}


def test_what_the_experiments_use_is_imported_by_the_full_names_of_modules():
    # A relative import, or a name that `clipnb` itself lends, would not be followed.
    files = {Path(inspect.getsourcefile(each.measure)) for each in load_experiments().values()}
    sources = [file.read_text(encoding="utf-8") for file in files]
    files |= outcomes.find_imported_files("\n".join(sources))
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file.name}: a relative import"
                if node.module == "clipnb":
                    modules = [outcomes.source_file(f"clipnb.{name.name}") for name in node.names]
                    assert None not in modules, f"{file.name}: not all of them are modules"


def measure_nothing(seed):
    return {}, {}


def test_the_file_of_a_seed_is_known_by_settings_and_code(monkeypatch):
    experiment = dataclasses.replace(make_toy(), measure=measure_nothing)
    file = outcomes.seed_file(experiment, 0, {"epochs": 1})
    assert file.name.startswith("toy-0-")
    assert outcomes.seed_file(experiment, 0, {"epochs": 1}) == file
    assert outcomes.seed_file(experiment, 0, {"epochs": 2}) != file
    assert outcomes.seed_file(experiment, 1, {"epochs": 1}) != file
    monkeypatch.setattr(outcomes, "digest_measure", lambda measure: "other code")
    assert outcomes.seed_file(experiment, 0, {"epochs": 1}) != file


def test_a_measure_is_known_by_the_file_that_defines_it():
    with open(__file__, encoding="utf-8") as file:
        assert outcomes.digest_measure(measure_nothing) == outcomes.digest_source(file.read())


def test_a_measure_in_a_notebook_is_known_by_its_cell(monkeypatch):
    cell = "def measure(seed):\n    return {}, {}\n"
    monkeypatch.setitem(
        linecache.cache, "<cell>", (len(cell), None, cell.splitlines(True), "<cell>")
    )
    names = {}
    exec(compile(cell, "<cell>", "exec"), names)  # noqa: S102 (what a notebook's kernel does)
    assert outcomes.digest_measure(names["measure"]) == outcomes.digest_source(cell)


# ---- one seed ----------------------------------------------------------------------------------


def measure_two(seed, n_images):
    """Measure two conditions that tell the seed."""
    MEASURED.append(seed)
    return {"a": np.full(n_images, seed), "b": np.zeros((n_images, 3))}, {"scale": [1.0, 2.0]}


def test_a_seed_is_measured_once(cache):
    toy = dataclasses.replace(make_toy(), measure=measure_two)
    MEASURED.clear()
    for _ in range(2):
        found, numbers = outcomes.run_seed(toy, 3, {"n_images": 5})
        assert found["a"].tolist() == [3] * 5 and found["b"].shape == (5, 3)
        assert numbers["scale"] == [1.0, 2.0] and numbers["trained"] == {}
    outcomes.run_seed(toy, 3, {"n_images": 4})
    outcomes.run_seed(toy, 4, {"n_images": 4})
    assert MEASURED == [3, 3, 4]


@pytest.mark.parametrize(
    ("found", "numbers", "told"),
    [
        ({"a": np.ones(3), "b": np.ones(4)}, {}, "a row for each test image.*'a': 3, 'b': 4"),
        ({"a": np.ones(3), "b": np.ones(3)}, {"b": 1.0}, "b is both an outcome and a number"),
    ],
)
def test_outcomes_that_cannot_be_kept_are_refused(found, numbers, told):
    toy = dataclasses.replace(make_toy(), measure=lambda seed: (found, numbers))
    with pytest.raises(ValueError, match=told):
        outcomes.measure_seed(toy, 0, {})
