"""Which code a protocol names: what changes its digest, and what does not."""

import importlib.util
import sys

import pytest

from clipnb.claims import code
from clipnb.experiments import outcomes

TRIAL = '''
"""A family of claims."""
import numpy as np
from clipnb.claims.experiment import Effect, Experiment, Protocol
from clipnb.claims.verdicts import SUPPORTED

LEVEL = 3
TABLE = {}
TABLE["a"] = 1


def helper(x):
    """Help."""
    return x * LEVEL


def measure(seed, n_images=5):
    """Measure."""
    from clipnb.experiments.tool import draw
    from clipnb.library import work

    return {"a": np.ones(n_images) * helper(TABLE["a"])}, {}


def gain(outcomes):
    return outcomes["a"].mean()


def other(outcomes):
    return 0


EFFECTS = {"gain": Effect(compute=gain, unit="points")}


def explain(effects):
    return "It is so."


EXPERIMENTS = [
    Experiment(
        name="trial",
        claim="C1a",
        title="A trial",
        dataset="scenes",
        protocol=None,
        measure=measure,
        effects=EFFECTS,
        explain=explain,
        notebook="06",
    )
]
'''


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """A function that digests a source of a module of claims. Its imports are in a fake package."""
    for name in ("outcomes", "code"):
        module = {"outcomes": outcomes, "code": code}[name]
        monkeypatch.setattr(module, "ROOT", tmp_path)
    for name, text in {
        "claims/experiment.py": "A = 1\n",
        "claims/verdicts.py": "SUPPORTED = 1\n",
        "experiments/tool.py": "from clipnb.experiments.deep import VALUE\n",
        "experiments/deep.py": "VALUE = 1\n",
        "library.py": "VALUE = 1\n",
    }.items():
        file = tmp_path / "clipnb" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    count = iter(range(1000))

    def run(source=TRIAL, library=False, files=None):
        for name, text in (files or {}).items():
            (tmp_path / "clipnb" / name).write_text(text)
        path = tmp_path / f"trial{next(count)}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
        return code.digest_code(module.EXPERIMENTS[0], library)

    return run


@pytest.mark.parametrize(
    "old, new",
    [
        ('"""Measure."""', '"""Measure, in other words."""'),
        ('"""A family of claims."""', '"""A family."""'),
        ('"It is so."', '"It is not so."'),
        ('title="A trial"', 'title="Another title"'),
        ("protocol=None", 'protocol="another text"'),
        ("    return 0\n", "    return 1\n"),  # of a function that nothing here uses
        ("x * LEVEL", "x  *  LEVEL  # a comment"),
        ('notebook="06"', 'notebook="07"'),
    ],
)
def test_what_does_not_change_a_number_does_not_change_the_digest(digest, old, new):
    assert old in TRIAL
    assert digest(TRIAL.replace(old, new)) == digest()


@pytest.mark.parametrize(
    "old, new",
    [
        ("np.ones(n_images)", "np.zeros(n_images)"),
        ("LEVEL = 3", "LEVEL = 4"),
        ("x * LEVEL", "x + LEVEL"),
        ('TABLE["a"] = 1', 'TABLE["a"] = 2'),
        (".mean()", ".max()"),
        ('unit="points"', 'unit="percent"'),
        ("n_images=5", "n_images=6"),
    ],
)
def test_what_changes_a_number_changes_the_digest(digest, old, new):
    assert old in TRIAL
    assert digest(TRIAL.replace(old, new)) != digest()


def test_imported_tools_count_and_the_library_only_for_the_cache(digest):
    before, with_library = digest(), digest(library=True)
    files = {"experiments/deep.py": "VALUE = 2\n"}
    changed = digest(files=files)
    assert changed != before, "a module of experiments that an imported one imports"
    assert digest(library=True) != with_library
    with_library = digest(library=True)
    files = {"library.py": "VALUE = 2\n", "claims/verdicts.py": "SUPPORTED = 2\n"}
    assert digest(files=files) == changed
    assert digest(library=True) != with_library


def test_an_experiment_that_is_built_out_of_sight_depends_on_its_whole_module():
    built = TRIAL.replace('name="trial"', "name=NAME").replace("LEVEL = 3", 'NAME = "trial"')
    assert code.select_measuring(built, "trial") == built
    assert "other" not in code.select_measuring(TRIAL, "trial")


# ---- the same digest on every Python ---------------------------------------------------------


def test_code_is_told_as_python_3_11_tells_it():
    # 3.12 gives each definition a list of type parameters, 3.13 leaves out empty lists.
    source = """def f(x=[], *, y):\n    "Document."\n    return g(), f"{x!r} {y:>{3}}"\n"""
    assert code.dump_code(source) == (
        "Module(body=[FunctionDef(name='f', args=arguments(posonlyargs=[], args=[arg(arg='x')], "
        "kwonlyargs=[arg(arg='y')], kw_defaults=[None], defaults=[List(elts=[], ctx=Load())]), "
        "body=[Return(value=Tuple(elts=[Call(func=Name(id='g', ctx=Load()), args=[], "
        "keywords=[]), JoinedStr(values=[FormattedValue(value=Name(id='x', ctx=Load()), "
        "conversion=114), Constant(value=' '), FormattedValue(value=Name(id='y', ctx=Load()), "
        "conversion=-1, format_spec=JoinedStr(values=[Constant(value='>'), FormattedValue("
        "value=Constant(value=3), conversion=-1)]))])], ctx=Load()))], decorator_list=[])], "
        "type_ignores=[])"
    )
