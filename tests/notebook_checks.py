"""The notebook contract as code: `find_problems(notebook, folder, name)` lists what breaks it.

nbval compares outputs cell by cell. This module checks what nbval does not see: notebooks that
were not run in order, missing alt text, dead links, outputs that hold a path of somebody's machine,
and definitions that differ from their twins in `clipnb`.
"""

import ast
import itertools
import re
from pathlib import Path

from execute import METADATA
from notebook_course import find_course_problems
from notebook_drift import find_drift

from clipnb.runtime import ROOT

MAX_LINES = 25
MAX_IGNORED = 1 / 6
MAX_BYTES = 1_500_000
# These work in JupyterLab and fail under nbval, which cannot route an output into a widget.
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
    r"(?<![\w.])/(?:home|root|tmp|work|Users|opt|usr|var|mnt)/\w"
    r"|[A-Za-z]:\\+Users|site-packages|ipykernel_\d"
)
OBJECT_REPR = re.compile(r"\bat 0x[0-9a-fA-F]{6}|<matplotlib\.|^Text\(|^\[?<Axes", re.MULTILINE)
HEAD = ["Goal", "You need", "Data"]  # the time is one of the course's own rules
FOOT = ["Checks", "Exercises", "Summary", "References"]


def find_problems(notebook, folder=ROOT / "notebooks", name="01_.ipynb"):
    """Return a sentence for each fault of an nbformat notebook; the list is empty without faults.

    folder, name: where the notebook lies. Its links are relative to `folder`.
    """
    folder = Path(folder)
    found = [
        *find_file_problems(notebook),
        *find_ignored_output_problems(notebook),
        *find_head_problems(notebook),
        *find_foot_problems(notebook),
        *find_link_problems(notebook, folder),
        *find_neighbour_problems(notebook, folder, name),
        *find_course_problems(notebook),
    ]
    for number, cell in enumerate(list_code_cells(notebook), 1):
        found += [f"Cell [{number}] {problem}" for problem in find_cell_problems(cell)]
    return found


def list_code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def list_markdown(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def has_tag(cell, *tags):
    """Tell whether a cell has one of the tags."""
    return bool(set(tags) & set(cell.metadata.get("tags", [])))


# ---- the file --------------------------------------------------------------------------------


def find_file_problems(notebook):
    """Yield what is wrong with execution order, metadata and size."""
    counts = [cell.execution_count for cell in list_code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield (
            "The notebook was not executed from top to bottom: its execution counts are not "
            "1, 2, 3 and so on. Run `make notebooks`."
        )
    metadata = notebook.metadata
    if "widgets" in metadata:
        yield "The notebook holds saved widget state. GitHub cannot show it. Run `make notebooks`."
    elif metadata != METADATA:
        yield (
            "The metadata is not that of all notebooks, so opening it in JupyterLab changes it. "
            "Run `make notebooks`."
        )
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) < len(ids):
        yield "The cell ids are missing or not unique. Run `make notebooks`."
    if len(str(notebook)) > MAX_BYTES:
        yield f"The notebook is larger than {MAX_BYTES / 1e6} MB. Show fewer or smaller images."


def find_ignored_output_problems(notebook):
    """Yield where outputs are ignored too often, or where no assert follows one."""
    code = list_code_cells(notebook)
    ignored = [i for i, cell in enumerate(code) if has_tag(cell, "nbval-ignore-output")]
    if len(ignored) > MAX_IGNORED * len(code):
        yield (
            f"{len(ignored)} of {len(code)} code cells have the tag nbval-ignore-output. "
            "At most one in six may have it."
        )
    for i in ignored:
        following = code[i + 1].source if i + 1 < len(code) else ""
        if not re.search(r"^\s*assert\b", following, re.MULTILINE):
            yield (
                f"Cell [{i + 1}] has an output that is ignored, so the next code cell must assert "
                "what matters about it."
            )


# ---- one code cell ---------------------------------------------------------------------------


def find_cell_problems(cell):
    """Yield what one code cell breaks, as sentences whose subject, the cell, is left out."""
    try:
        tree = ast.parse(cell.source)
    except SyntaxError as error:
        yield f"is not plain Python ({error.msg}). Magics and shell lines do not run everywhere."
        return
    yield from find_source_problems(cell)
    yield from find_output_problems(cell)
    yield from find_call_problems(tree, shows_images(cell))
    for problem in find_drift(tree):
        yield f"holds a definition that has drifted: {problem}"


def shows_images(cell):
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def join_output_texts(cell):
    """Join all texts that a cell shows."""
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text", ""))
        data = output.get("data", {})
        texts += [data[kind] for kind in data if kind.startswith("text/")]
    return "\n".join(texts)


def find_source_problems(cell):
    """Yield what is wrong with the source of a cell."""
    source = cell.source
    n_lines = len(source.splitlines())
    if n_lines > MAX_LINES:
        yield f"has {n_lines} lines. At most {MAX_LINES} are allowed, and 15 are better."
    if has_tag(cell, "nbval-skip") or re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE)", source):
        yield "uses nbval-skip or a comment for nbval. Use the tag nbval-ignore-output instead."
    if source.rstrip().endswith(";"):
        yield "ends in `;`, which hides nothing under nbval. Write `_ = ...`."
    if shows_images(cell) and "plt.show()" not in source:
        yield "draws without plt.show(). Write it in the last line."


def find_output_problems(cell):
    """Yield what is wrong with the outputs of a cell."""
    has_error = any(output.output_type == "error" for output in cell.outputs)
    if has_error and not has_tag(cell, "raises-exception", "nbval-raises-exception"):
        yield "holds an error. Correct the code, or tag the cell raises-exception."
    writes_stderr = any(output.get("name") == "stderr" for output in cell.outputs)
    if writes_stderr and not has_tag(cell, "nbval-ignore-output"):
        yield "writes to stderr. Correct what causes the warning."
    text = join_output_texts(cell)
    if path := MACHINE_PATH.search(cell.source + "\n" + text):
        yield f"holds a path of somebody's machine: {path.group()!r}."
    if OBJECT_REPR.search(text):
        yield "shows the repr of an object. Write `_ = ...`, and end a plot with plt.show()."


def find_call_problems(tree, has_images):
    """Yield the names in a syntax tree that nbval cannot follow, and wrong uses of Flickr8k."""
    for node in ast.walk(tree):
        name = get_name(node)
        if name in FORBIDDEN:
            yield f"uses {name}, which nbval cannot follow. Set the traits of a widget instead."
        if isinstance(node, ast.Assign) and is_flickr8k(node.value):
            yield "sets a name to flickr8k. Committed notebooks run on the scenes."
        if has_images and isinstance(node, ast.Call) and get_name(node.func) == "load_dataset":
            keywords = [keyword.value for keyword in node.keywords]
            if any(is_flickr8k(argument) for argument in [*node.args, *keywords]):
                yield "shows images of Flickr8k, which may not be passed on."


def get_name(node):
    """Return the name that a node of a syntax tree uses, or None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.keyword):
        return node.arg
    return None


def is_flickr8k(node):
    return isinstance(node, ast.Constant) and node.value == "flickr8k"


# ---- Markdown --------------------------------------------------------------------------------


def find_head_problems(notebook):
    """Yield what the cells before the first code cell lack."""
    cells = itertools.takewhile(lambda cell: cell.cell_type != "code", notebook.cells)
    head = [cell.source for cell in cells]
    if not head or not head[0].startswith("# "):
        yield "The first cell has no title. Start it with `# ` and the title."
    for word in HEAD:
        if not re.search(rf"\b{word}\b", "\n".join(head)):
            yield f"The box at the top lacks {word!r}."
    if not any(find_images(text) for text in head):
        yield "There is no image of where we are before the first code cell."


def find_foot_problems(notebook):
    """Yield what the sections at the end lack."""
    places = [find_heading(notebook, word) for word in FOOT]
    if None in places or places != sorted(places):
        yield f"The foot lacks the headings {', '.join(FOOT)}, in this order."
        return
    checks, exercises, _, _ = places
    checks_code = [
        cell.source for cell in notebook.cells[checks:exercises] if cell.cell_type == "code"
    ]
    if not any("assert" in source for source in checks_code):
        yield "The section Checks has no cell of asserts."


def find_heading(notebook, word):
    """Return the number of the first Markdown cell with a heading that holds a word, or None."""
    heading = re.compile(rf"^#+ .*\b{word}\b", re.MULTILINE)
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and heading.search(cell.source):
            return number
    return None


def find_link_problems(notebook, folder):
    """Yield links that lead nowhere, and images without alt text."""
    for alt, target in list_images(notebook):
        if not alt.strip():
            yield f"The image {target} has no alt text."
    for target in list_targets(notebook):
        if re.match(r"\w+:/|mailto:|#", target):  # elsewhere, or in the notebook itself
            continue
        if not (folder / target.partition("#")[0]).exists():
            yield f"The link to {target} leads nowhere."
        if MACHINE_PATH.search(target):
            yield f"The link to {target} is a path of somebody's machine."


def find_neighbour_problems(notebook, folder, name):
    """Yield the notebooks before and after this one to which it has no link."""
    names = sorted(path.name for path in folder.glob("[0-9]*.ipynb"))
    if name not in names:
        return
    here = names.index(name)
    neighbours = names[max(here - 1, 0) : here] + names[here + 1 : here + 2]
    targets = list_targets(notebook)
    for neighbour in neighbours:
        if neighbour not in targets:
            yield f"There is no link to the neighbour {neighbour}."


def list_targets(notebook):
    """List the targets of all links and images."""
    targets = [target for _, target in list_images(notebook)]
    for markdown in list_markdown(notebook):
        targets += re.findall(r"(?<!!)\[[^\]]*\]\(\s*<?([^)\s>]+)", remove_code(markdown))
    return targets


def list_images(notebook):
    """List (alt text, target) of all images in the Markdown cells."""
    found = []
    for markdown in list_markdown(notebook):
        found += find_images(remove_code(markdown))
    return found


def remove_code(markdown):
    """Remove code blocks and code spans, because text in them may look like a link."""
    without_blocks = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+).+?\1", "", without_blocks)


def find_images(markdown):
    """Return (alt text, target) of every image in Markdown, as `![]()` or as `<img>`."""
    found = re.findall(r"!\[([^\]]*)\]\(\s*<?([^)\s>]+)", markdown)
    for element in re.findall(r"<img\b[^>]*>", markdown):
        found.append((read_attribute(element, "alt", ""), read_attribute(element, "src", "?")))
    return found


def read_attribute(element, name, default):
    """Return the value of an attribute of an HTML element."""
    value = re.search(rf"""\b{name}\s*=\s*["']([^"']*)""", element)
    return value.group(1) if value else default
