"""The captions of a dataset folder: a table of them, JSON lines, or a text file for each image."""

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from clipnb.datasets.image_files import ALL_SUFFIXES, clean_path, get_suffix, list_files
from clipnb.disk import parse_json

# In this order. Upper and lower case make no difference.
CAPTION_FILES = [
    "flickr8k_text/flickr8k.token.txt",  # the official archive
    "flickr8k.token.txt",
    "captions.txt",  # Kaggle
    "captions.csv",
    "captions.tsv",
    "captions.jsonl",
    "caption.txt",
    "caption.csv",
    "caption.tsv",
    "metadata.jsonl",  # Hugging Face's imagefolder
    "metadata.csv",
    "metadata.tsv",
    "results.csv",  # Flickr30k at Kaggle
    "results_20130124.token",  # Flickr30k
]
TABLE_SUFFIXES = {".txt", ".csv", ".tsv", ".jsonl"}
SIDECAR_SUFFIXES = {".txt", ".caption"}
DELIMITERS = [",", ";", "\t", "|"]
PRINTED_LIST = re.compile(r"""\s*\[\s*(["']).*\1\s*\]\s*""")  # ['a dog', 'a cat']

# The bytes with which a text may begin, and its encoding. UTF-32's mark begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",  # of Windows editors
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",  # "Unicode text" of Windows programs
    codecs.BOM_UTF16_BE: "utf-16",
}
HOW_TO_CONVERT = (
    'Write its captions as captions.jsonl, with a line {"image": "a.jpg", "caption": "a dog"} for '
    "each one, or as captions.csv with the header `image,caption`"
)
HOW_TO_SAVE = 'in Excel "CSV UTF-8", in Windows Notepad the encoding "UTF-8"'

# The columns of a table, the first choice first.
# fmt: off
IMAGE_COLUMNS = [
    "image", "file_name", "filename", "image_name", "image_file", "image_path", "file", "path",
    "file_path", "filepath", "img", "image_id", "photo", "picture", "name", "id",
]
CAPTION_COLUMNS = [
    "caption", "captions", "text", "texts", "description", "descriptions", "comment", "sentence",
    "sentences", "title", "prompt", "alt", "alt_text", "label",
]
# fmt: on


class Line(NamedTuple):
    """One caption of a caption file.

    image: how the file calls the image. place: the folder of the file, from the dataset's folder;
    "" for that folder itself.
    """

    image: str
    caption: str
    place: str = ""


def read_caption_lines(folder: Path) -> tuple[list[Line], str]:
    """Read all captions of a dataset folder, in the order of its files.

    Returns the captions, and where they come from, in words. There is none if the folder has no
    caption file of a known name and no text file beside an image. Raises ValueError with file and
    line if a file cannot be understood, or with the file alone if it is empty.
    """
    files = find_caption_files(folder)
    if files:
        lines = []
        for file in files:
            pairs = read_captions(folder / file)
            place = "" if file.lower() in CAPTION_FILES else PurePosixPath(file).parent.as_posix()
            lines += [Line(image, caption, place) for image, caption in pairs]
        if not lines:
            raise ValueError(
                f"{folder / files[0]} holds no caption. Write a line `name.jpg,caption` for each "
                "image, or delete the file if the captions are elsewhere."
            )
        return lines, " and ".join(str(folder / file) for file in files[:3])
    return read_sidecars(folder), f"the text files beside the images in {folder}"


def find_caption_files(folder: Path) -> list[str]:
    """Find the caption file of a folder, as a path from it.

    If the folder itself has none, every sub-folder with images may have one of its own.
    """
    files = list(list_files(folder))
    by_lower_case = {file.lower(): file for file in reversed(files)}
    for name in CAPTION_FILES:
        if name in by_lower_case:
            return [by_lower_case[name]]
    found: dict[str, str] = {}  # the first caption file of each sub-folder
    for name in CAPTION_FILES:
        for file in files:
            if file.lower().endswith(f"/{name}"):
                found.setdefault(str(PurePosixPath(file).parent), file)
    return sorted(found.values())


def read_sidecars(folder: Path) -> list[Line]:
    """Read the text files that have the name of an image, each line a caption.

    They are `beach.txt` or `beach.jpg.txt` for `beach.jpg`. The split lists are none of them.
    """
    files = list(list_files(folder))
    stems = {PurePosixPath(file).stem.lower() for file in files if get_suffix(file) in ALL_SUFFIXES}
    names = {PurePosixPath(file).name.lower() for file in files}
    lines = []
    for file in files:
        if file.startswith("splits/"):
            continue
        own = PurePosixPath(file).stem.lower()
        if get_suffix(file) in SIDECAR_SUFFIXES and own in stems | names:
            image = str(PurePosixPath(file).with_suffix(""))
            lines += [Line(image, text.strip()) for text in read_lines(folder / file) if text]
    return lines


# ---- one file --------------------------------------------------------------------------------


def read_captions(path: Path) -> list[tuple[str, str]]:
    """Read a caption file as (image name, caption), in its order, without stray spaces.

    `*.token.txt` has lines `name.jpg#0<tab>caption`, `*.jsonl` has a JSON object a line, and the
    others are tables with a column of image names and a column of captions. Cells are separated by
    comma, semicolon, tab or |. Without a header the first column is the name. A caption in the
    last column may hold the separator, or be quoted as in CSV.

    Raises ValueError with file and line for a malformed line.
    """
    if path.name.lower().endswith((".token.txt", ".token")):
        pairs = read_token_lines(path)
    elif get_suffix(path.name) == ".jsonl":
        pairs = read_json_lines(path)
    else:
        pairs = read_table(path)
    return [(name.strip(), " ".join(caption.split())) for name, caption in pairs]


def read_token_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Read the lines `name.jpg#0<tab>caption` of the official caption file."""
    for number, line in enumerate(read_lines(path), 1):
        # The ends of the lines are stripped, so one without a caption has lost its tab.
        match = re.fullmatch(r"(.+)#\d+(?:\s*\t(.*))?", line)
        if match is None and line:
            raise ValueError(
                f"{path}:{number}: expected `name.jpg#0<tab>caption`, got {line[:80]!r}"
            )
        if match:
            yield match[1], match[2] or ""


def read_json_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Read JSON objects such as {"file_name": "a.jpg", "text": "a dog"}, one a line.

    The caption may be a list of captions. What is no text, such as null, NaN or true, is empty; but
    a number may be the name of an image.
    """
    for number, line in enumerate(read_lines(path), 1):
        if not line:
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: expected a JSON object ({error})") from error
        columns = find_columns(list(row)) if isinstance(row, dict) else None
        if columns is None:
            raise ValueError(
                f'{path}:{number}: expected {{"file_name": "a.jpg", "text": "a caption"}}, got '
                f"{line[:80]!r}"
            )
        cells = list(row.values())
        image = cells[columns[0]]
        name = image if isinstance(image, str) else str(image) if type(image) is int else ""
        for caption in [cells[i] for i in columns[1]]:
            for text in caption if isinstance(caption, list) else [caption]:
                if isinstance(text, list | dict):
                    raise ValueError(
                        f"{path}:{number}: expected a caption or a list of captions, got "
                        f"{str(text)[:80]!r}"
                    )
                yield name, text if isinstance(text, str) else ""


class Layout(NamedTuple):
    """How a table is written: its separator, its columns by number, and whether it has a header."""

    delimiter: str
    image: int
    captions: list[int]
    n_columns: int
    has_header: bool


def read_table(path: Path) -> Iterator[tuple[str, str]]:
    """Read a table with a column of image names and one or more columns of captions."""
    rows = [(number, line) for number, line in enumerate(read_lines(path), 1) if line]
    if not rows:
        return
    number, first = rows[0]
    layout = read_layout(path, number, first)
    simple = layout.image == 0 and layout.captions == [1]
    expected = f"`name.jpg{layout.delimiter}caption`" if simple else f"cells as in {first[:80]!r}"
    body = rows[1:] if layout.has_header else rows
    for number, line in join_quoted(path, body, layout.delimiter):
        cells = split_row(line, layout)
        name = cells[layout.image].strip() if len(cells) > layout.image else ""
        if not name or not min(layout.captions) < len(cells) <= layout.n_columns:
            hint = "; put a caption in quotes if it holds the separator"
            raise ValueError(
                f"{path}:{number}: expected {expected}, got {line[:80]!r}"
                f"{hint if len(cells) > layout.n_columns else ''}"
            )
        for column in layout.captions:
            caption = cells[column] if column < len(cells) else ""
            if PRINTED_LIST.fullmatch(caption):
                raise ValueError(
                    f"{path}:{number}: expected a caption, got a list of them, {caption[:80]!r}; "
                    "give each caption a line or a column of its own"
                )
            yield name, caption


def read_layout(path: Path, number: int, line: str) -> Layout:
    """Read the layout of a table from its first line.

    Raises ValueError if the line is neither a header that we know nor begins with a file name.
    """
    for delimiter in DELIMITERS:
        try:
            header = next(csv.reader([line], delimiter=delimiter))
        except csv.Error:  # a cell is longer than csv reads, so it is no header
            continue
        columns = find_columns(header)
        if columns is not None:
            return Layout(delimiter, *columns, len(header), True)
    present = [delimiter for delimiter in DELIMITERS if delimiter in line]
    delimiter = min(present, key=line.index, default=",")
    layout = Layout(delimiter, 0, [1], 2, False)
    if get_suffix(clean_path(split_row(line, layout)[0])) in ALL_SUFFIXES:
        return layout
    if line.startswith(("{", "[")):
        raise ValueError(f"{path}:{number}: this is JSON, not a table. {HOW_TO_CONVERT}.")
    raise ValueError(
        f"{path}:{number}: expected the header `image,caption`, got {line[:80]!r}. Call the column "
        "of the file names `image` and the column of the captions `caption`."
    )


def find_columns(header: Sequence[str]) -> tuple[int, list[int]] | None:
    """Find the column of the image names and the columns of the captions, by their names.

    Several columns may hold captions: `caption_1`, `caption_2`. Returns None if either is missing.
    """
    names = [re.sub(r"[^a-z0-9]+", "_", str(cell).strip().lower()).strip("_") for cell in header]
    image = next((names.index(name) for name in IMAGE_COLUMNS if name in names), None)
    if image is None:
        return None
    for wanted in CAPTION_COLUMNS:
        found = [i for i, name in enumerate(names) if re.sub(r"_?\d+$", "", name) == wanted]
        found = [i for i in found if i != image]
        if found:
            return image, found
    return None


def join_quoted(
    path: Path, rows: list[tuple[int, str]], delimiter: str
) -> Iterator[tuple[int, str]]:
    """Join lines that belong to one quoted cell. A `.txt` file has one row a line, always."""
    may_join = get_suffix(path.name) != ".txt"
    i = 0
    while i < len(rows):
        number, line = rows[i]
        n_more = 0
        if may_join and '"' in line:
            n_more = count_open_lines([text for _, text in rows[i : i + 20]], delimiter)
        yield number, " ".join(text for _, text in rows[i : i + n_more + 1])
        i += n_more + 1


def count_open_lines(lines: list[str], delimiter: str) -> int:
    """Count how many of the next lines belong to a quoted cell that the first line opens."""
    for n in range(len(lines)):
        try:
            next(csv.reader([" ".join(lines[: n + 1])], delimiter=delimiter, strict=True))
            return n
        except csv.Error as error:
            if "end of data" not in str(error):
                return 0
    return 0  # the quote is never closed, so it opens no cell


def split_row(line: str, layout: Layout) -> list[str]:
    """Split a line into cells; a caption in the last column takes the rest, separators included.

    Kaggle quotes captions that hold a comma, and doubles the quotes in them.
    """
    delimiter, last = layout.delimiter, layout.n_columns - 1
    cells = line.split(delimiter)
    if '"' in line:
        # A cell is quoted if it begins and ends with a quote. A caption that only begins with a
        # quoted word keeps its quotes.
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True))
        except csv.Error as error:
            if "end of data" in str(error):  # a quote that is never closed
                cells = next(csv.reader([line], delimiter=delimiter))
    if len(cells) > last and last in layout.captions:
        cells = [*cells[:last], delimiter.join(cells[last:])]
    if delimiter == "\t":  # empty cells at the end were stripped with the line
        cells += [""] * (last + 1 - len(cells))
    return cells


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file, without surrounding spaces.

    A tab in front of a line stays: the first cell of a table may be empty. The file is UTF-8, or
    begins with the byte-order mark of another encoding (`MARKS`). Raises ValueError with file and
    line if it is neither.
    """
    content = path.read_bytes()
    encoding = next((each for mark, each in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        raise ValueError(
            f"{path}:{number}: expected UTF-8 text, got the byte 0x{byte:02x}: save the file as "
            f"UTF-8 ({HOW_TO_SAVE})"
        ) from error
    if "\0" in text:
        number = text[: text.index("\0")].count("\n") + 1
        raise ValueError(
            f"{path}:{number}: expected UTF-8 text, got the byte 0x00, as in UTF-16 or UTF-32 "
            f"without a byte-order mark: save the file as UTF-8 ({HOW_TO_SAVE})"
        )
    return [line.rstrip().lstrip(" ") for line in re.split(r"\r\n|\r|\n", text)]
