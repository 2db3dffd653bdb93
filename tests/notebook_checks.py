"""The notebook contract as code: `problems(notebook, folder)` says in sentences what a notebook breaks.

nbval compares outputs cell by cell. What it cannot see is checked here: notebooks that were not run in order, images' alt text,
dead links, outputs that carry somebody's machine, definitions that have drifted away from their twins in `clipnb`.
"""

import ast
import functools
import re
from pathlib import Path

from clipnb.runtime import ROOT

MAX_LINES = 25
MAX_IGNORED = 1 / 6
MAX_BYTES = 1_500_000
# nbval is a front end without widgets' output routing: these pass in JupyterLab and fail there.
FORBIDDEN = {
    "Output",
    "interact",
    "interact_manual",
    "interactive",
    "interactive_output",
    "clear_output",
    "display_id",
}
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:home|root|tmp|work|Users|opt|usr|var|mnt)/\w|[A-Za-z]:\\+Users|site-packages|ipykernel_\d"
)
HEAD = ["Goal", "You need", "Time", "Data"]
FOOT = ["Checks", "Exercises", "Summary", "References"]


def problems(notebook, folder=ROOT / "notebooks", name="01_.ipynb"):
    """All that is wrong with an nbformat notebook of that file name in `folder`, as a list of sentences; empty if nothing is."""
    faults = list(file_problems(notebook))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    trees = {}
    for number, cell in enumerate(code, 1):
        try:
            trees[number] = ast.parse(cell.source)
        except SyntaxError as error:
            faults.append(
                f"cell [{number}]: not plain Python ({error.msg}); magics and shell lines do not run everywhere"
            )
            continue
        faults += [f"cell [{number}]: {fault}" for fault in cell_problems(cell, trees[number])]
        if "nbval-ignore-output" in tags(cell) and not (
            number < len(code) and re.search(r"^\s*assert\b", code[number].source, re.M)
        ):
            faults.append(
                f"cell [{number}]: its output is ignored, so the next code cell must assert what matters about it"
            )
    ignored = sum("nbval-ignore-output" in tags(cell) for cell in code)
    if ignored > MAX_IGNORED * len(code):
        faults.append(
            f"{ignored} of {len(code)} code cells are tagged nbval-ignore-output; at most one in six may be"
        )
    faults += text_problems(notebook, folder, name)
    faults += drift_problems(trees.values())
    return faults


def tags(cell):
    return cell.metadata.get("tags", [])


def file_problems(notebook):
    """Execution order, metadata, size: what `make notebooks` puts right."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "not executed from top to bottom (execution counts are not 1, 2, 3 ...): make notebooks"
    if "widgets" in notebook.metadata:
        yield "holds saved widget state, which GitHub cannot render: make notebooks"
    if notebook.metadata.get("kernelspec", {}).get(
        "name"
    ) != "python3" or "version" in notebook.metadata.get("language_info", {}):
        yield "its metadata names a machine's kernel or Python version: make notebooks"
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) < len(ids):
        yield "cell ids are missing or not unique"
    if len(str(notebook)) > MAX_BYTES:
        yield f"larger than {MAX_BYTES / 1e6} MB: use fewer or smaller images"


def cell_problems(cell, tree):
    """What one code cell breaks; `tree` is its parsed source."""
    outputs = cell.outputs
    images = any("image/png" in output.get("data", {}) for output in outputs)
    texts = [output.get("text", "") for output in outputs]
    texts += [
        text
        for output in outputs
        for kind, text in output.get("data", {}).items()
        if kind.startswith("text/")
    ]
    text = "\n".join(texts)

    if any(output.output_type == "error" for output in outputs) and not {
        "raises-exception",
        "nbval-raises-exception",
    } & set(tags(cell)):
        yield "holds an error"
    if "nbval-skip" in tags(cell) or re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE)", cell.source):
        yield "nbval-skip and NBVAL comments are not used here; the tag is nbval-ignore-output"
    if len(cell.source.splitlines()) > MAX_LINES:
        yield f"{len(cell.source.splitlines())} lines; at most {MAX_LINES}, better 15"
    if found := MACHINE_PATH.search(cell.source + "\n" + text):
        yield f"carries a path of somebody's machine: {found.group()!r}"
    if re.search(r"\bat 0x[0-9a-fA-F]{6}|<matplotlib\.|^Text\(|^\[?<Axes", text, re.M):
        yield "shows an object's repr; write `_ = ...`, and end a plot with plt.show()"
    if any(
        output.get("name") == "stderr" for output in outputs
    ) and "nbval-ignore-output" not in tags(cell):
        yield "writes to stderr; mend what warns"
    if images and "plt.show()" not in cell.source:
        yield "draws without plt.show()"
    if cell.source.rstrip().endswith(";"):
        yield "ends in `;`, which hides nothing under nbval; write `_ = ...`"
    yield from tree_problems(tree, images)


def tree_problems(tree, images):
    """What a code cell's syntax tree breaks: calls that nbval cannot follow, and Flickr8k where it must not be."""
    for node in ast.walk(tree):
        used = (
            getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "arg", None)
        )
        if isinstance(node, (ast.Name, ast.Attribute, ast.keyword)) and used in FORBIDDEN:
            yield f"uses {used}, which nbval cannot follow; set widget traits instead"
        if isinstance(node, ast.Assign) and getattr(node.value, "value", None) == "flickr8k":
            yield "is set to flickr8k; committed notebooks run on the scenes"
        if (
            isinstance(node, ast.Call)
            and images
            and getattr(node.func, "id", getattr(node.func, "attr", None)) == "load_dataset"
        ):
            if any(
                getattr(argument, "value", None) == "flickr8k"
                for argument in [*node.args, *(k.value for k in node.keywords)]
            ):
                yield "shows images of Flickr8k, which may not be passed on"


def text_problems(notebook, folder, name):
    """Head, foot, links and images in the Markdown cells."""
    kinds = [cell.cell_type for cell in notebook.cells]
    head = [
        cell.source for cell in notebook.cells[: kinds.index("code") if "code" in kinds else None]
    ]
    if not head or not head[0].startswith("# "):
        yield "the first cell must start with the title: `# ...`"
    for word in HEAD:
        if not re.search(rf"\b{word}\b", "\n".join(head)):
            yield f"the box at the top lacks {word!r}"
    if not any(images_in(text) for text in head):
        yield "no image of where we are before the first code cell"

    places = [
        next(
            (
                i
                for i, cell in enumerate(notebook.cells)
                if cell.cell_type == "markdown"
                and re.search(rf"^#+ .*\b{word}\b", cell.source, re.M)
            ),
            None,
        )
        for word in FOOT
    ]
    if None in places or places != sorted(places):
        yield f"the foot must have the headings {', '.join(FOOT)}, in this order"
    else:
        checks, exercises, summary, _ = places
        if not any(
            cell.cell_type == "code" and "assert" in cell.source
            for cell in notebook.cells[checks:exercises]
        ):
            yield "Checks has no cell of asserts"
        if (
            sum(cell.source.count("<details") for cell in notebook.cells[exercises : summary + 1])
            < 3
        ):
            yield "Exercises needs three solutions folded away in <details>"

    markdown = [
        without_code(cell.source) for cell in notebook.cells if cell.cell_type == "markdown"
    ]
    targets = [
        target
        for text in markdown
        for target in re.findall(r"(?<!!)\[[^\]]*\]\(\s*<?([^)\s>]+)", text)
    ]
    for alt, target in [image for text in markdown for image in images_in(text)]:
        targets.append(target)
        if not alt.strip():
            yield f"the image {target} has no alt text"
    for target in targets:
        if re.match(r"\w+:/|mailto:|#", target):
            continue
        if not (Path(folder) / target.partition("#")[0]).exists():
            yield f"the link to {target} leads nowhere"
        if MACHINE_PATH.search(target):
            yield f"the link to {target} is a path of somebody's machine"
    names = sorted(path.name for path in Path(folder).glob("[0-9]*.ipynb"))
    if name in names:
        here = names.index(name)
        for neighbour in names[max(here - 1, 0) : here] + names[here + 1 : here + 2]:
            if neighbour not in targets:
                yield f"no link to its neighbour {neighbour}"


def without_code(markdown):
    """Markdown without code blocks and code spans: what looks like a link in them is none."""
    return re.sub(r"(`+).+?\1", "", re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S))


def images_in(markdown):
    """(alt text, target) of every image in a piece of Markdown, `![]()` and `<img>` alike."""
    found = re.findall(r"!\[([^\]]*)\]\(\s*<?([^)\s>]+)", markdown)
    for image in re.findall(r"<img\b[^>]*>", markdown):
        alt, target = (
            re.search(rf"""\b{key}\s*=\s*["']([^"']*)""", image) for key in ("alt", "src")
        )
        found.append((alt.group(1) if alt else "", target.group(1) if target else "?"))
    return found


# ---- drift: a definition in a notebook equals its twin in the package -----------------------------------------------


class Bare(ast.NodeTransformer):
    """Leaves what a definition does: docstrings and type annotations go (comments and layout are in no tree)."""

    def generic_visit(self, node):
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if (
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and ast.get_docstring(node) is not None
        ):
            node.body = body[1:] or [ast.Pass()]
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None:
                setattr(node, field, None)
        return node

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        return (
            ast.Assign(targets=[node.target], value=node.value)
            if node.value
            else ast.Expr(node.target)
        )


def definitions(tree):
    """{name: what it does, as text} for the top-level functions and classes of a module; a class's members are told apart."""
    found = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found[node.name] = {"": ast.dump(Bare().visit(node))}
        elif isinstance(node, ast.ClassDef):
            bare = Bare().visit(node)
            members = {
                getattr(member, "name", ast.dump(member)): ast.dump(member) for member in bare.body
            }
            bare.body = []
            found[node.name] = {"": ast.dump(bare), **members}
    return found


@functools.cache
def package_definitions(folder=ROOT / "clipnb"):
    """{name: [(module, definition)]} for all of `clipnb`."""
    found = {}
    for path in sorted(Path(folder).glob("*.py")):
        for name, definition in definitions(ast.parse(path.read_text(encoding="utf-8"))).items():
            found.setdefault(name, []).append((path.stem, definition))
    return found


def drift_problems(trees, package=None):
    """Definitions that `clipnb` has under the same name and that do something else there.

    A class in a notebook may leave methods of its twin out, but `__init__` and `forward`; those it has must be equal.
    """
    package = package_definitions() if package is None else package
    for tree in trees:
        for name, mine in definitions(tree).items():
            twins = package.get(name, [])
            differing = [(module, sorted(differences(mine, theirs))) for module, theirs in twins]
            if twins and all(parts for _, parts in differing):
                module, parts = differing[0]
                parts = ", ".join(part for part in parts if part)
                yield f"{name} has drifted from clipnb.{module}.{name}{f' (in {parts})' if parts else ''}: make them equal or rename it"


def differences(mine, theirs):
    """Names of the parts in which a notebook's definition differs from the package's."""
    return {part for part in mine if mine[part] != theirs.get(part)} | {
        part for part in ("__init__", "forward") if part in theirs and part not in mine
    }
