"""Run notebooks in place and keep their outputs: `make notebooks`, or `python notebooks/execute.py [04_training ...]`.

The one way committed outputs are refreshed: the settings of the tests, a fresh kernel each, nothing of the machine in the metadata,
and figures with 256 colours. A notebook whose cell fails stays as it was on disk.
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

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def with_fewer_colours(png):
    """A PNG in base64 with 256 colours, on white: a third of the bytes, and a figure seldom has more."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    page.quantize(256, dither=Image.Dither.NONE).save(small := io.BytesIO(), "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def execute(path):
    """Run the notebook at `path` in its own folder and write it back; raises CellExecutionError, and writes nothing, if a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        timeout=None,
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute()
    notebook.metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
    }  # no versions: they differ by machine
    for cell in notebook.cells:
        cell.metadata = {
            key: cell.metadata[key] for key in ("tags", "jupyter") if key in cell.metadata
        }
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = with_fewer_colours(output.data["image/png"])
    with replace_when_done(path) as temporary:
        temporary.write_bytes(nbformat.writes(notebook).encode() + b"\n")


def find(name):
    """A notebook from its path, or from its name in this folder with or without `.ipynb`."""
    here = ROOT / "notebooks" / f"{name.removesuffix('.ipynb')}.ipynb"
    path = here if here.exists() else Path(name).resolve()
    if path.suffix != ".ipynb" or not path.is_file():
        sys.exit(
            f"No notebook {name!r}. In notebooks/ there are: {', '.join(p.stem for p in everything()) or 'none'}."
        )
    return path


def everything():
    """All notebooks of the course, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names",
        nargs="*",
        help="notebooks to run, such as 04_training; all of them if none is named",
    )
    paths = [find(name) for name in parser.parse_args().names] or everything()
    os.environ.update(NOTEBOOK_ENV)
    for path in paths:
        start = time.perf_counter()
        try:
            execute(path)
        except CellExecutionError as error:
            sys.exit(f"{error}\n{path.name} failed in the cell above; the file is unchanged.")
        print(f"{path.name}: executed in {time.perf_counter() - start:.0f} s")
