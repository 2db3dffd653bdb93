"""Run notebooks in place and keep their outputs: `make notebooks`, or this script with names.

`python notebooks/execute.py 04_training 05_retrieval_demo` runs two of them. Committed outputs are
refreshed in this way only. Each notebook runs in a fresh kernel with the settings of the tests.
Nothing of the machine stays in the metadata, and figures have 256 colours. If a cell fails, the
notebook stays as it was on disk.
"""

import argparse
import base64
import io
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

from clipnb.runtime import NOTEBOOK_ENV, ROOT, replace_when_done

# What JupyterLab writes into a notebook that it opens, so that opening changes no byte. The version
# is the same on every machine: another Python changes this one line when the notebook is saved.
METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": "3.11.7",
    },
}
# What is kept of a cell's metadata. `jupyter` says which outputs JupyterLab hides at first, and the
# last one which headings it folds. `alt` describes the cell's figure on a page made by nbconvert.
CELL_METADATA = ("tags", "jupyter", "alt", "jp-MarkdownHeadingCollapsed")


def execute_notebook(path: Path) -> None:
    """Run a notebook in its own folder, and write it back.

    Raises CellExecutionError, and writes nothing, if a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    make_client(notebook, path.parent).execute()
    clean_notebook(notebook)
    with replace_when_done(path) as temporary:
        temporary.write_bytes(nbformat.writes(notebook).encode() + b"\n")


def make_client(notebook: nbformat.NotebookNode, folder: Path) -> NotebookClient:
    """Make what runs a notebook in a folder, with a fresh kernel and without saved widgets."""
    return NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        timeout=None,
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
    )


def clean_notebook(notebook: nbformat.NotebookNode) -> None:
    """Give a notebook the metadata of all notebooks, and make its figures small."""
    notebook.metadata = METADATA
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in CELL_METADATA if key in cell.metadata}
        if cell.metadata.get("jupyter", {}).get("outputs_hidden"):
            cell.metadata.collapsed = True  # JupyterLab writes both
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = reduce_colours(data["image/png"])


def reduce_colours(png: str) -> str:
    """Reduce a PNG in base64 to 256 colours on white.

    It takes a third of the bytes, and figures seldom have more colours.
    """
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    small = io.BytesIO()
    page.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def list_notebooks() -> list[Path]:
    """List all notebooks of the course, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def find_notebook(name: str) -> Path:
    """Find a notebook by its path, or by its name in this folder with or without `.ipynb`.

    Exits, with the list of names, if there is none.
    """
    path = ROOT / "notebooks" / f"{name.removesuffix('.ipynb')}.ipynb"
    if not path.exists():
        path = Path(name).resolve()
    if path.suffix != ".ipynb" or not path.is_file():
        names = ", ".join(each.stem for each in list_notebooks()) or "none"
        sys.exit(f"No notebook {name!r}. In notebooks/ there are: {names}.")
    return path


def main() -> None:
    """Run the notebooks that the command line names, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names",
        nargs="*",
        help="notebooks to run, such as 04_training; all of them if none is named",
    )
    names = parser.parse_args().names
    paths = [find_notebook(name) for name in names] or list_notebooks()
    os.environ.update(NOTEBOOK_ENV)
    for path in paths:
        start = time.perf_counter()
        try:
            execute_notebook(path)
        except CellExecutionError as error:
            sys.exit(f"{error}\n{path.name} failed in the cell above; the file is unchanged.")
        print(f"{path.name}: executed in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
