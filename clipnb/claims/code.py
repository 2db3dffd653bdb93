"""Which code an experiment runs, as a digest: a protocol names it, and a record repeats it."""

import ast
import hashlib
import inspect
import sys
from functools import cache
from pathlib import Path

from clipnb.claims.experiment import Experiment
from clipnb.experiments.outcomes import find_imported_files
from clipnb.runtime import ROOT

MEASURING = ("measure", "effects")  # the arguments of an experiment that decide its numbers
OWN_FOLDERS = ("claims", "experiments")  # what an experiment does; the rest is the library
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
FRAMEWORK = ("experiment", "effects", "verdicts")  # in claims/; the same for all experiments


@cache  # so that an edit while an experiment runs changes nothing between two seeds
def digest_code(experiment: Experiment, library: bool = False) -> str:
    """Return a digest of the code that decides the numbers of an experiment.

    That is what `measure` and `effects` reach in their own module, and the modules of experiments
    that this code imports. Its protocol, its texts, docstrings and layout do not count. library:
    with every other module of clipnb that it imports, directly or not.
    """
    source = inspect.getsource(sys.modules[experiment.measure.__module__])
    reached = select_measuring(source, experiment.name)
    files = sorted(find_imported_files(reached))
    if not library:
        files = [file for file in files if is_own(file)]
    framework = [ROOT / "clipnb" / "claims" / f"{name}.py" for name in FRAMEWORK]
    sources = [file.read_text(encoding="utf-8") for file in files if file not in framework]
    code = "\n".join(dump_code(each) for each in [reached, *sources])
    return hashlib.sha256(code.encode()).hexdigest()


def dump_code(source: str) -> str:
    """Return what a source does as text: its syntax tree without docstrings.

    The text is the same on every version of Python from 3.11 on. Newer ones have another list in
    each definition (3.12) and leave out empty lists (3.13).
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        if getattr(node, "type_params", None) == []:
            del node.type_params
    return ast.dump(tree, show_empty=True) if sys.version_info >= (3, 13) else ast.dump(tree)


def is_own(file: Path) -> bool:
    """Tell whether a file of clipnb says what an experiment does."""
    return file.relative_to(ROOT / "clipnb").parts[0] in OWN_FOLDERS


def select_measuring(source: str, name: str) -> str:
    """Return the part of a module's source that measures the experiment of that name.

    It is all top-level statements that `measure` and `effects` reach by name. The whole source, if
    it does not define such an experiment with these names in sight.
    """
    tree = ast.parse(source)
    roots = find_roots(tree, name)
    if not roots:
        return source
    statements = {}  # {name that it defines: statement}
    for statement in tree.body:
        for defined in find_defined(statement):
            statements.setdefault(defined, []).append(statement)
    reached, waiting = set(), list(roots)
    while waiting:
        for statement in statements.get(waiting.pop(), []):
            if statement not in reached:
                reached.add(statement)
                waiting += [n.id for n in ast.walk(statement) if isinstance(n, ast.Name)]
    return "\n".join(ast.unparse(each) for each in tree.body if each in reached)


def find_roots(tree: ast.Module, name: str) -> list[str]:
    """Return the names that stand for `measure` and `effects` of the experiment of that name."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Experiment"):
            continue
        arguments = {each.arg: each.value for each in node.keywords}
        if ast.unparse(arguments["name"]) == repr(name):
            parts = [arguments[key] for key in MEASURING]
            return [n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)]
    return []


def find_defined(statement: ast.stmt) -> set[str]:
    """Return the names that a top-level statement defines, changes or imports."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}
    if isinstance(statement, ast.Expr):  # a docstring, or a call for its effect
        return set()
    if isinstance(statement, ast.Assign):  # `TABLE["a"] = 1` changes TABLE
        targets = [node for target in statement.targets for node in ast.walk(target)]
        return {node.id for node in targets if isinstance(node, ast.Name)}
    return {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and not is_read(n)}


def is_read(name: ast.Name) -> bool:
    """Tell whether a name is read where it stands, and not assigned."""
    return isinstance(name.ctx, ast.Load)
