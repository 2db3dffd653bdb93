"""The course's own rules for a notebook: main line, Deeper sections, predictions, exercises.

`find_course_problems(notebook)` yields a sentence for each fault. `notebook_checks` calls it.
"""

import ast
import re

MAX_MAIN_CELLS = 60
WORDS_PER_MINUTE = 200
SECONDS_PER_CODE_LINE = 8
EXERCISE = re.compile(
    r"### Exercise \d+ (★{1,3}) · (two|five|ten) minutes: .+"
    r"|### Exercise \d+ (★{1,3}) · (half an|an) hour: .+"
)
MIN_EXERCISES = 3
MIN_SHORT_EXERCISES = 2
PLACEHOLDER = re.compile(r"(\b(?:TODO|TBD|FIXME|LATER|XXX|[A-Z]+_HERE|MILLIONS)\b|@@+)")
FOLDED = "jp-MarkdownHeadingCollapsed"  # JupyterLab's name for a heading whose section is folded


def find_course_problems(notebook):
    """Yield a sentence for each of the course's rules that an nbformat notebook breaks."""
    sections = list(divide(notebook))
    yield from find_length_problems(sections)
    yield from find_deeper_problems(sections)
    yield from find_prediction_problems(notebook)
    yield from find_alt_problems(notebook)
    yield from find_exercise_problems(sections)
    yield from find_placeholders(notebook)


def divide(notebook):
    """Yield (part, cell) with part "main", "deeper" or "exercises".

    A Deeper section begins with a heading `Deeper: ...` and ends at the next heading of its level
    or above. The exercises end at the heading Summary.
    """
    part, deeper_level = "main", None
    for cell in notebook.cells:
        heading = re.match(r"(#+) (.*)", cell.source) if cell.cell_type == "markdown" else None
        if heading:
            level, title = len(heading[1]), heading[2]
            if deeper_level and level <= deeper_level:
                deeper_level = None
            if title.startswith("Deeper: ") and deeper_level is None:
                deeper_level = level
            if title == "Exercises":
                part = "exercises"
            elif title == "Summary":
                part = "main"
        yield ("deeper" if deeper_level else part), cell


# ---- length ----------------------------------------------------------------------------------


def find_length_problems(sections):
    """Yield what is wrong with the length of the main line, and with the time that is told."""
    main = [cell for part, cell in sections if part == "main"]
    if len(main) > MAX_MAIN_CELLS:
        yield (
            f"The main line has {len(main)} cells. At most {MAX_MAIN_CELLS} are allowed: "
            "cut some, or put them into a section whose heading starts with `Deeper: `."
        )
    text = "\n".join(cell.source for cell in main[:4])
    told = re.search(r"\bTime\b.*?(\d+) min to read", text)
    if not told:
        yield "The box at the top does not say `Time · about N min to read`."
        return
    minutes = measure_reading_minutes(main)
    if abs(int(told[1]) - minutes) > max(5, 0.2 * minutes):
        yield f"The box tells {told[1]} min of reading, but the main line takes {minutes:.0f}."


def measure_reading_minutes(cells):
    """Return how long cells take to read: 200 words a minute, 8 seconds for a line of code."""
    words, lines = 0, 0
    for cell in cells:
        if cell.cell_type == "markdown":
            words += len(cell.source.split())
        else:
            lines += sum(bool(line.strip()) for line in cell.source.splitlines())
    return words / WORDS_PER_MINUTE + lines * SECONDS_PER_CODE_LINE / 60


def find_placeholders(notebook):
    """Yield words that stand for text which nobody has written yet."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (word := PLACEHOLDER.search(cell.source)):
            yield f"The text holds the placeholder {word[1]!r}."


# ---- Deeper ----------------------------------------------------------------------------------


def find_deeper_problems(sections):
    """Yield Deeper sections that are not folded, and names that the main line takes from them."""
    for _, cell in sections:
        if cell.cell_type != "markdown":
            continue
        title = cell.source.partition("\n")[0]
        is_deeper = bool(re.match(r"#+ Deeper: ", title))
        if is_deeper != bool(cell.metadata.get(FOLDED)):
            yield f"Exactly the headings `Deeper: ...` have the metadata {FOLDED}. Wrong: {title!r}"
    deeper_names = find_names([cell for part, cell in sections if part == "deeper"], ast.Store)
    others = [cell for part, cell in sections if part != "deeper"]
    missing = (deeper_names - find_names(others, ast.Store)) & find_names(others, ast.Load)
    if missing:
        names = ", ".join(sorted(missing))
        yield f"The main line uses names that only Deeper sections define: {names}."


def find_names(cells, context):
    """Return the names that code cells define (ast.Store) or use (ast.Load)."""
    names = set()
    for cell in cells:
        if cell.cell_type != "code":
            continue
        try:
            tree = ast.parse(cell.source)
        except SyntaxError:
            continue  # `notebook_checks` tells that
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, context):
                names.add(node.id)
            if context is ast.Store:
                names |= find_defined_names(node)
    return names


def find_defined_names(node):
    """Return the names that a definition, an import or an argument gives."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    if isinstance(node, ast.arg):
        return {node.arg}
    return set()


# ---- predictions -----------------------------------------------------------------------------


def find_prediction_problems(notebook):
    """Yield predictions whose answer is in sight when the notebook is opened in JupyterLab."""
    is_awaited = False
    goes_on = False  # a cell that directly follows a hidden answer may be a part of it
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            is_awaited = is_awaited or "**Predict first" in cell.source
            goes_on = False
            continue
        is_hidden = bool(cell.metadata.get("jupyter", {}).get("outputs_hidden"))
        first_line = cell.source.partition("\n")[0]
        if is_awaited and not is_hidden:
            yield f"The answer to a prediction is in sight (no outputs_hidden): {first_line!r}"
        if is_hidden and not (is_awaited or goes_on):
            yield f"A cell hides its output without a prediction above it: {first_line!r}"
        if is_hidden and re.search(r"\d", read_preview(cell)):
            yield f"The preview of a hidden output has a digit: {read_preview(cell)!r}"
        is_awaited, goes_on = False, is_hidden
    if is_awaited:
        yield "The last prediction has no cell that answers it."


def read_preview(cell):
    """Return the line that JupyterLab shows of a hidden output, or "" if that is a figure."""
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            return ""
        text = output.get("text") or data.get("text/plain", "")
        for line in text.splitlines():
            if line.strip():
                return line
    return ""


# ---- figures ---------------------------------------------------------------------------------


def find_alt_problems(notebook):
    """Yield cells that show a figure and have no alt text in their metadata."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        has_figure = any("image/png" in output.get("data", {}) for output in cell.outputs)
        if has_figure and len(cell.metadata.get("alt", "")) < 20:
            first_line = cell.source.partition("\n")[0]
            yield f'A figure has no alt text (metadata "alt" of its cell): {first_line!r}'


# ---- exercises -------------------------------------------------------------------------------


def find_exercise_problems(sections):
    """Yield exercises without difficulty, time, solution, or a cell that checks the answer."""
    cells = [cell for part, cell in sections if part == "exercises"]
    titles = []
    for cell, below in zip(cells, [*cells[1:], None], strict=True):
        if cell.cell_type != "markdown" or not cell.source.startswith("### Exercise"):
            continue
        title = cell.source.partition("\n")[0]
        titles.append(title)
        if not EXERCISE.fullmatch(title):
            yield f"Write `### Exercise 1 ★ · two minutes: title` instead of {title!r}."
        if "<summary>Solution</summary>" not in cell.source:
            yield f"{title!r} has no solution that is folded away."
        if below is None or below.cell_type != "code" or "\ncheck(" not in below.source:
            yield f"{title!r} has no cell below it that ends in `check(...)`."
    n_short = sum("two minutes" in title for title in titles)
    if len(titles) < MIN_EXERCISES or n_short < MIN_SHORT_EXERCISES:
        yield (
            f"There are {len(titles)} exercises, {n_short} of two minutes. "
            f"At least {MIN_EXERCISES} and {MIN_SHORT_EXERCISES} are needed."
        )
