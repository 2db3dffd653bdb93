"""Drift: a definition in a notebook must do what its twin in the package does.

A twin is a function or class of the same name, in any module of the package. Two definitions are
equal if they do the same. Docstrings, annotations, comments and layout may differ. A check of its
arguments, which a function of the package may begin with, is no part of what it does.
"""

import ast
import copy
import functools

from clipnb.runtime import ROOT

# The package's versions of these have options that chapter 12 explains. test_notebook_twins.py runs
# both: with its defaults the package's must do what the notebook's does.
GROWN = {"CLIP", "MultiHeadAttention", "TextTransformer", "TransformerBlock", "normalize_images"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class RemoveDescriptions(ast.NodeTransformer):
    """Remove docstrings, annotations and checks of arguments from a syntax tree."""

    def generic_visit(self, node):
        super().generic_visit(node)
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, FUNCTIONS) and is_check(node.body[0]):
            node.body = node.body[1:] or [ast.Pass()]
        for field in ("annotation", "returns"):
            if hasattr(node, field):
                setattr(node, field, None)
        return node

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        if node.value is None:
            return ast.Expr(node.target)
        return ast.Assign(targets=[node.target], value=node.value)


def is_check(statement):
    """Tell whether a statement only calls a function named check_…, whose result it drops."""
    called = getattr(statement.value, "func", None) if isinstance(statement, ast.Expr) else None
    return getattr(called, "id", "").startswith("check_")


def find_definitions(tree):
    """Return the top-level functions and classes of a module as {name: {part: what it does}}.

    A function has one part, "". A class has a part for each of its members, and "" for the rest:
    its bases and decorators. What a part does is given as the text of its syntax tree.
    """
    found = {}
    for node in tree.body:
        if isinstance(node, FUNCTIONS):
            found[node.name] = {"": ast.dump(remove_descriptions(node))}
        elif isinstance(node, ast.ClassDef):
            found[node.name] = divide_class(remove_descriptions(node))
    return found


def remove_descriptions(node):
    """Return a copy of a syntax tree without docstrings and annotations."""
    return RemoveDescriptions().visit(copy.deepcopy(node))


def divide_class(node):
    """Return the parts of a class as {part: text}."""
    parts = {}
    for member in node.body:
        text = ast.dump(member)
        parts[getattr(member, "name", text)] = text
    node.body = []
    return parts | {"": ast.dump(node)}


@functools.cache
def read_definitions(folder=ROOT / "clipnb"):
    """Return {name: [(module, definition), ...]} for the modules of the package in a folder.

    `exercises` is left out: its functions are named after what the reader writes.
    """
    found = {}
    for path in sorted(folder.rglob("*.py")):
        if "exercises" in path.parts:
            continue
        parts = path.relative_to(folder.parent).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, definition in find_definitions(tree).items():
            found.setdefault(name, []).append((module, definition))
    return found


def find_drift(tree, package_definitions=None):
    """Yield a sentence for each definition in a cell's syntax tree that equals none of its twins.

    package_definitions: what to compare with, by default the definitions of clipnb.
    """
    if package_definitions is None:
        twins = read_definitions().items()
        package_definitions = {name: twin for name, twin in twins if name not in GROWN}
    for name, definition in find_definitions(tree).items():
        differences = {
            f"{module}.{name}": list_differences(definition, twin)
            for module, twin in package_definitions.get(name, [])
        }
        if differences and all(differences.values()):
            twins = [describe_twin(twin, parts) for twin, parts in differences.items()]
            yield f"{name} differs from {' and from '.join(twins)}. Make them equal or rename it."


def describe_twin(twin, differences):
    """Describe a twin by its full name and the members in which it differs."""
    members = [part for part in differences if part]
    return f"{twin} (in {', '.join(members)})" if members else twin


def list_differences(definition, twin):
    """List the parts in which a definition differs from its twin.

    A definition may lack members of its twin, except `__init__` and `forward`. A member that it
    has must be equal to the twin's.
    """
    different = {part for part, text in definition.items() if text != twin.get(part)}
    lacking = {part for part in ("__init__", "forward") if part in twin and part not in definition}
    return sorted(different | lacking)
