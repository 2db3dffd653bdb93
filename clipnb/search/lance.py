"""An index as a table of LanceDB, for more vectors than memory.

LanceDB is a database of vectors that runs inside a program, as SQLite does. It searches a table
that lies on disk, exactly as here or with an index of its own (IVF-PQ, HNSW), and takes new rows.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clipnb.datasets.photos import make_printable
from clipnb.disk import errors_of_the_system, list_entries
from clipnb.places import check_path
from clipnb.runtime import display_path, replace_when_done

if TYPE_CHECKING:
    import pyarrow

    from clipnb.retrieval import ImageIndex

TABLE = "images"
FILES = {f"{TABLE}.lance", "README.txt"}
ROWS = 8192  # that are handed to the database at a time
README = """\
A table of LanceDB with {n:,} images, made by clipnb. This is how to search it from Python:

    pip install lancedb

    import lancedb

    table = lancedb.connect("FOLDER").open_table("{table}")
    found = table.search(vector).distance_type("cosine").limit(5).to_list()
    for row in found:
        print(1 - row["_distance"], row["image_id"], row["captions"], row["path"])

vector is the feature of a text or an image, {D} numbers, as the same model makes it. In clipnb it
is `index.encode("a dog in the snow").numpy()`. The digest of the weights that made this table is
{weights}. Features have length 1, so 1 - _distance is the cosine. The search is exact. With
hundreds of thousands of rows, table.create_index(metric="cosine") makes it faster and approximate.
If the images are exported again, open the table again: the files of the old one are gone.
"""
FIRST_WORDS = README.partition("{")[0]  # by which an earlier export is known


def export_lancedb(index: "ImageIndex", folder: str | Path) -> Path:
    """Write the images of an index into a folder as the table `images` of LanceDB.

    A row has `image_id`, `captions` (a list, empty without any), `path` (of the file, or null) and
    `vector`, float32 (D,) of unit length. A letter that is no Unicode becomes an escape, such as
    `\\udcff`. README.txt shows how to search it. The folder is written whole or not at all, and an
    earlier export is replaced: a program that has its table open has to open it again. Returns the
    folder. Raises FileExistsError for a folder that holds anything else, ValueError for an address
    such as `s3://...`, and ModuleNotFoundError without the extra `lancedb`.
    """
    try:
        import lancedb
        import pyarrow
    except ModuleNotFoundError as error:
        message = f"the LanceDB export needs {error.name}: pip install 'clipnb[lancedb]'"
        raise ModuleNotFoundError(message, name=error.name) from None
    check_folder(folder)
    folder = check_path(folder)
    N, D = index.image_features.shape
    schema = pyarrow.schema(
        {
            "image_id": pyarrow.string(),
            "captions": pyarrow.list_(pyarrow.string()),
            "path": pyarrow.string(),
            "vector": pyarrow.list_(pyarrow.float32(), D),
        }
    )
    with replace_when_done(folder, replace_folder=True) as new:
        new.mkdir()
        blocks = pyarrow.RecordBatchReader.from_batches(schema, iterate_rows(index, schema))
        with name_errors(folder), errors_of_the_system():
            lancedb.connect(str(new)).create_table(TABLE, blocks)
        readme = README.format(n=N, D=D, table=TABLE, weights=index.weights)
        (new / "README.txt").write_text(readme, encoding="utf-8")
    return folder


@contextlib.contextmanager
def name_errors(folder: Path) -> Iterator[None]:
    """Raise a RuntimeError of LanceDB as an OSError in a sentence."""
    try:
        yield
    except RuntimeError as error:
        problem = str(error).partition("\n")[0]
        raise OSError(f"LanceDB cannot write {display_path(folder)}: {problem}") from error


def iterate_rows(index: "ImageIndex", schema: "pyarrow.Schema") -> Iterator["pyarrow.RecordBatch"]:
    """Iterate over the rows of the table, `ROWS` at a time."""
    import pyarrow

    N, D = index.image_features.shape
    for start in range(0, N, ROWS):
        rows = range(start, min(start + ROWS, N))
        numbers = index.image_features[start : start + ROWS].float().numpy().ravel()  # (n * D,)
        captions = [index.captions[row] if index.captions else () for row in rows]
        paths = [index.paths[row] if index.paths else None for row in rows]
        columns = {
            "image_id": [make_printable(index.image_ids[row]) for row in rows],
            "captions": [[make_printable(caption) for caption in own] for own in captions],
            "path": [make_printable(str(path)) if path else None for path in paths],
            "vector": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(numbers), D),
        }
        yield pyarrow.RecordBatch.from_pydict(columns, schema=schema)


def check_folder(folder: str | Path) -> None:
    """Raise FileExistsError for a path that is no folder, or holds more than an earlier export.

    Raises ValueError for an address: LanceDB would look for a server in it.
    """
    if re.match(r"\w{2,}:/", str(folder)):  # as in s3://..., but not the C:/ of Windows
        raise ValueError(
            f"{folder} is the address of a server; name a folder, and copy it there afterwards."
        )
    folder = check_path(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{display_path(folder)} is a file; name a folder.")
    found = list_entries(folder)
    if found and not (found == FILES and is_ours(folder / "README.txt")):
        raise FileExistsError(
            f"{display_path(folder)} holds other files than such an export; name a new folder."
        )


def is_ours(readme: Path) -> bool:
    """Tell whether a README.txt is that of an export. A table of somebody else may have one too."""
    return readme.is_file() and readme.read_bytes().startswith(FIRST_WORDS.encode())
