"""The layout of the package: arrows between modules go down, and every public name is there."""

import ast
import inspect
import os
import re
import subprocess
import sys

import pytest

import clipnb
from clipnb.runtime import ROOT

# The order of the layers, from the bottom up. A module may import modules of its own line, as long
# as there is no circle, and of the lines above it here. `wing.*` stands for all modules of a wing.
LAYERS = [
    "places",
    "disk",
    "runtime",
    "tokenizer losses local_losses metrics recipe_checks recipes markdown",
    "distributed shared_norm run_lock",
    "encoders",
    "preprocess",
    "towers.*",
    "augment model optimizers",
    "objective tuning",
    "scenes.*",
    "datasets.*",
    "features batches",
    "selection run_folders pretrained.files pretrained.torchscript pretrained.sources",
    "run_commands",
    "run_data run_checks",
    "runs",
    "pretrained.*",
    "search.*",
    "accelerate",
    "starts frozen records zero_shot retrieval streaming steps divergence plan",
    "loop",
    "epochs",
    "training",
    "plots widgets.*",
    "experiments.*",
    "claims.*",
    "exercises.*",
    "bench_report search_report",
    "report",
    "bench.*",
    "commands.*",
    "cli",
    "__main__",
]


def find_modules():
    """Return {dotted name below clipnb: file} of all modules but clipnb itself."""
    modules = {}
    for path in sorted((ROOT / "clipnb").rglob("*.py")):
        parts = path.relative_to(ROOT / "clipnb").with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if name:
            modules[name] = path
    return modules


MODULES = find_modules()


def find_imports(source, modules):
    """Return the modules that a module's source imports, inside functions too.

    What is imported for type hints alone does not count, because nothing runs it.
    """
    imported = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `from clipnb.a import b` may name a module b; if it does not, it imports a.
            full_names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [
                name if name.removeprefix("clipnb.") in modules else node.module
                for name in full_names
            ]
        else:
            continue
        imported |= {name.removeprefix("clipnb.") for name in names}
    return imported & set(modules)


IMPORTS = {name: find_imports(path.read_text(), MODULES) for name, path in MODULES.items()}


def find_layer(module):
    """Return the number of a module's layer."""
    wing = module.split(".")[0]
    for number, line in enumerate(LAYERS):
        if module in line.split() or f"{wing}.*" in line.split():
            return number
    raise AssertionError(f"{module} has no layer: add it to LAYERS")


def find_circle(imports):
    """Return a circle of imports as a list of modules, or None."""
    done = set()

    def visit(module, path):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return None
        for imported in sorted(imports[module]):
            if circle := visit(imported, [*path, module]):
                return circle
        done.add(module)
        return None

    circles = (visit(module, []) for module in sorted(imports))
    return next((circle for circle in circles if circle), None)


@pytest.mark.parametrize("module", MODULES)
def test_no_arrow_goes_up(module):
    upward = [other for other in IMPORTS[module] if find_layer(other) > find_layer(module)]
    assert not upward, f"clipnb.{module} imports from a higher layer: {', '.join(upward)}"


def test_there_is_no_circle():
    circle = find_circle(IMPORTS)
    assert circle is None, " imports ".join(circle)


def test_these_checks_can_fail():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None
    source = "def f():\n    from clipnb import runs\n    from clipnb.model import CLIP"
    source += "\nif TYPE_CHECKING:\n    from clipnb.losses import clip_loss"
    assert find_imports(source, ["runs", "model", "losses"]) == {"runs", "model"}
    assert find_layer("scenes.drawing") > find_layer("model")
    with pytest.raises(AssertionError, match="add it to LAYERS"):
        find_layer("framework")


def loaded_after(statement):
    """Return the names of the modules that a fresh Python has loaded after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=True)
    return set(result.stdout.split())


def test_importing_clipnb_loads_no_library():
    heavy = {"torchvision", "open_clip", "ipywidgets", "matplotlib", "tokenizers", "PIL", "scipy"}
    assert not heavy & loaded_after("import clipnb")


def test_the_help_of_the_command_line_loads_not_even_torch():
    assert not {"torch", "numpy", "PIL"} & loaded_after(
        "from clipnb import cli; cli.build_parser().format_help()"
    )


def test_importing_retrieval_loads_no_dataset_and_no_training():
    ours = {name for name in loaded_after("import clipnb.retrieval") if name.startswith("clipnb.")}
    names = ["retrieval", "features", "preprocess", "runtime", "disk", "places"]
    names += [f"search.{own}" for own in ("index_parts", "nearest", "query", "query_images")]
    names.append("search")
    assert ours == {f"clipnb.{name}" for name in names}


# ---- public names ----------------------------------------------------------------------------


def test_every_public_name_can_be_imported_and_is_listed():
    for name in clipnb.__all__:
        assert getattr(clipnb, name) is not None
        assert name in dir(clipnb)
    assert "CLIP" in dir(clipnb)
    with pytest.raises(AttributeError, match="clipnb has no 'CLAP'"):
        _ = clipnb.CLAP


def find_public_functions():
    """Return (module.name, syntax tree) of all public functions and methods of the package."""
    functions = []
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            members = node.body if isinstance(node, ast.ClassDef) else [node]
            for member in members:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    functions.append((f"{module}.{member.name}", member))
    return functions


FUNCTIONS = find_public_functions()


@pytest.mark.parametrize("name, function", FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_public_functions_are_documented_and_annotated(name, function):
    assert ast.get_docstring(function), f"{name} has no docstring"
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
    assert not bare, f"{name} does not annotate {', '.join(bare)}"
    assert function.returns is not None, f"{name} does not annotate what it returns"


def test_every_public_class_is_documented():
    for name in clipnb.__all__:
        if inspect.isclass(getattr(clipnb, name)):
            assert getattr(clipnb, name).__doc__


# ---- the README's map ------------------------------------------------------------------------

README = (ROOT / "README.md").read_text(encoding="utf-8")


def read_map():
    """Return the rows of the README's map of the code: (files or folders, lines)."""
    rows = []
    for line in README.splitlines():
        cells = line.split("|")
        if len(cells) == 5 and cells[3].strip().replace(",", "").isdigit():
            rows.append((re.findall(r"\(clipnb/([\w/.]+)\)", cells[2]), cells[3]))
    return rows


def find_files(place):
    """Return the files that a link of the map stands for: one file, or all of a folder."""
    path = ROOT / "clipnb" / place
    return set(path.glob("*.py")) if path.is_dir() else {path}


def test_the_map_names_every_file_and_tells_its_lines():
    named = set()
    for places, lines in read_map():
        files = set().union(*(find_files(place) for place in places))
        counted = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
        assert counted == pytest.approx(int(lines.replace(",", "")), rel=0.1), places
        named |= files
    assert set(MODULES.values()) - named == {ROOT / "clipnb" / "__main__.py"}


def test_the_list_says_where_each_claim_is_measured():
    from clipnb.claims import load_experiments

    listed = (ROOT / "results" / "README.md").read_text(encoding="utf-8")

    experiments = load_experiments().values()
    tested = {(each.claim, each.measure.__module__) for each in experiments}
    link = r"((?:[CL]\d+[abc]?(?:, )?)+) \[(\w+/\w+)\]\(\.\./clipnb/claims/\2\.py\)"
    found = re.findall(link, listed)
    named = {
        (claim, f"clipnb.claims.{module.replace('/', '.')}")
        for claims, module in found
        for claim in claims.split(", ")
    }
    assert named == tested
