"""A definition in a notebook that does something else than its twin in the package is found."""

import ast

import pytest
from notebook_drift import find_definitions, find_drift, read_definitions

TOWER = '''
class Tower(nn.Module):
    """A tower."""
    def __init__(self, width: int = 4):
        self.width: int = width
    def forward(self, x):
        return x * self.width
    def save(self): ...
'''
FORWARD = """    def forward(self, x):
        return x * self.width
"""


def find_drift_from_tower(source):
    """Return the drift of a cell from a package whose module `encoders` holds the tower."""
    definition = find_definitions(ast.parse(TOWER))["Tower"]
    package_definitions = {"Tower": [("clipnb.encoders", definition)]}
    return list(find_drift(ast.parse(source), package_definitions))


UNDESCRIBED = '''
class Tower(nn.Module):
    def __init__(self, width=4):
        self.width = width
    def forward(self, x):
        # why
        return x * self.width
    def save(self):
        """Save it."""
        ...
'''
EQUAL = {
    "the same": TOWER,
    "other docstrings and comments and no annotations": UNDESCRIBED,
    "fewer methods": TOWER.replace("    def save(self): ...\n", ""),
    "another name": TOWER.replace("Tower", "MyTower").replace("x *", "x +"),
}


@pytest.mark.parametrize("source", EQUAL.values(), ids=EQUAL)
def test_a_definition_that_does_the_same_is_no_drift(source):
    assert find_drift_from_tower(source) == []


# A changed tower, and the members in which it differs.
CHANGED = {
    "another body": (TOWER.replace("x *", "x +"), " (in forward)"),
    "another default": (TOWER.replace("= 4", "= 5"), " (in __init__)"),
    "another base": (TOWER.replace("nn.Module", "object"), ""),
    "no forward": (TOWER.replace(FORWARD, ""), " (in forward)"),
    "one method more": (TOWER + "    def load(self): ...\n", " (in load)"),
    "a function": ("def Tower(): ...", " (in __init__, forward)"),
}


@pytest.mark.parametrize("source, members", CHANGED.values(), ids=CHANGED)
def test_a_definition_that_does_something_else_is_found(source, members):
    (problem,) = find_drift_from_tower(source)
    assert problem == (
        f"Tower differs from clipnb.encoders.Tower{members}. Make them equal or rename it."
    )


# ---- twins -----------------------------------------------------------------------------------


@pytest.fixture
def package_definitions(tmp_path):
    """The definitions of a package that has `double` twice, once in a wing."""
    folder = tmp_path / "clipnb"
    (folder / "wing").mkdir(parents=True)
    (folder / "model.py").write_text("def double(x):\n    return 2 * x\n")
    (folder / "wing" / "__init__.py").write_text("def half(x):\n    return x / 2\n")
    (folder / "wing" / "search.py").write_text("def double(x):\n    return x + x\n")
    return read_definitions(folder)


def test_the_modules_of_wings_are_read_too(package_definitions):
    modules = [module for module, _ in package_definitions["double"]]
    assert modules == ["clipnb.model", "clipnb.wing.search"]
    modules = [module for module, _ in package_definitions["half"]]
    assert modules == ["clipnb.wing"]


def test_one_equal_twin_is_enough(package_definitions):
    tree = ast.parse("def double(x):\n    return x + x")
    assert list(find_drift(tree, package_definitions)) == []


def test_all_twins_are_named_when_none_is_equal(package_definitions):
    tree = ast.parse("def double(x):\n    return x")
    (problem,) = find_drift(tree, package_definitions)
    assert "from clipnb.model.double and from clipnb.wing.search.double." in problem


def test_clipnb_has_definitions_to_compare_with():
    assert {"clip_loss", "CLIP", "replace_when_done"} <= set(read_definitions())


def test_comparing_does_not_change_the_syntax_tree():
    tree = ast.parse(TOWER)
    before = ast.dump(tree)
    find_definitions(tree)
    assert ast.dump(tree) == before


def test_a_check_of_arguments_is_no_part_of_what_a_function_does():
    package = ast.parse('def double(x):\n    """Say."""\n    check_number(x)\n    return x + x')
    definitions = {"double": [("clipnb.a", find_definitions(package)["double"])]}
    assert not list(find_drift(ast.parse("def double(x):\n    return x + x"), definitions))
    other = ast.parse("def double(x):\n    double_number(x)\n    return x + x")
    assert list(find_drift(other, definitions))
