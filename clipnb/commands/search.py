"""The command search: words, images or both find images in a folder of photos or in a dataset."""

import json
import sys
from argparse import Namespace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clipnb.commands.galleries import (
    Gallery,
    check_place,
    find_bank,
    open_gallery,
    split_place,
)
from clipnb.commands.options import AddCommand, parse_date, parse_positive
from clipnb.commands.runs import add_run_options, choose_run
from clipnb.commands.sheet import open_sheet
from clipnb.places import escape

if TYPE_CHECKING:
    from clipnb.retrieval import Hit
    from clipnb.runs import Run
    from clipnb.search.bank import CaptionBank
    from clipnb.search.query import Query

NOTHING_FOUND = 1  # the exit status, as of grep
FEW, SHEET = 5, 24  # so many images are found by default: in the terminal, on a page
EXAMPLES = """examples:
  clipnb search "black kites over the beach"
  clipnb search ~/Pictures "dog in the snow" --open
  clipnb search ~/Pictures "2:dog" + ./a.jpg - people
  clipnb search ~/Pictures "a dog" --run ViT-B-32/openai

exit status: 0 if something matches, 1 if nothing does, 2 after an error"""


def add_commands(add_command: AddCommand) -> None:
    """Add the commands of this module to the parser."""
    search = add_command(
        "search",
        handle_search,
        "Find images by words, with a trained run.",
        usage="clipnb search [WHERE] QUERY... [options]",
        epilog=EXAMPLES,
    )
    search.add_argument(
        "words",
        nargs="*",
        metavar="QUERY",
        help="words, image files, or a sum of both: + adds, - subtracts, 2: counts twice. WHERE "
        "before it is a folder of photos, or the name of a dataset (default: the run's own).",
    )
    search.add_argument(
        "-k", type=parse_positive, help="how many images (default: 5, on a page 24)"
    )
    search.add_argument("--like", metavar="PHOTO", help="add an image to the query")
    search.add_argument(
        "--since",
        metavar="DATE",
        type=parse_date,
        help="only photos taken since 2025-06-01, 2025-06 or 2025",
    )
    search.add_argument("--open", action="store_true", help="show them on a page in the browser")
    search.add_argument("--json", action="store_true", help="print one JSON document")
    search.add_argument(
        "--split", help="which images of a dataset: train, dev, test or all (default: test)"
    )
    add_run_options(search)


def handle_search(arguments: Namespace) -> int:
    """Print the images that a trained run finds for a query: score, path and caption.

    Returns the exit status.
    """
    from clipnb.search.query import shorten

    place, words = split_place(arguments.words)
    query = read_query(words, arguments.like)
    if not query.terms:
        start = f"clipnb search {place}" if place else "clipnb search"
        raise ValueError(f'there is nothing to search for; add a query: {start} "a red car".')
    run = choose_run(arguments)
    check_place(place, run)
    gallery = open_gallery(place, run, arguments.split, find_bank(run))
    if arguments.since:
        gallery = keep_since(gallery, arguments.since)
    index = gallery.index
    if index.encode(query) is None:
        raise ValueError(
            f"there is nothing to search for: the model knows no word of “{shorten(str(query))}”."
        )
    explain_query(query, run, index.bank)
    has_match = index.has_match(query) if len(index) else False
    hits = index.search(query, arguments.k or (SHEET if arguments.open else FEW))
    verdict = describe_match(gallery, query, has_match)
    if arguments.json:
        print_json(gallery, query, run, has_match, hits)
    else:
        print_hits(gallery, hits, verdict)
    if arguments.open:
        open_sheet(gallery, shorten(str(query)), verdict, hits)
    return NOTHING_FOUND if has_match is False else 0


# ---- the query -------------------------------------------------------------------------------


def read_query(words: list[str], like: str | None) -> "Query":
    """Build the query from its words and from the image of --like.

    Raises ValueError for a query that cannot be parsed or an image that cannot be read, before
    anything is indexed.
    """
    from clipnb.search.query import Query, Term, parse_query

    query = parse_query(words)
    if like is not None:
        query = Query((*query.terms, Term(1.0, Path(like).expanduser())))
    for term in query.terms:
        if isinstance(term.content, Path):
            check_image(term.content)
    return query


def check_image(path: Path) -> None:
    """Raise ValueError, in words, for a file that cannot be read as an image."""
    from clipnb.datasets.photos import UnreadableImageError, open_file, read_photo

    try:
        with open_file(path) as file:
            read_photo(file, 8)
    except UnreadableImageError as error:
        raise ValueError(f"{path} cannot be read as an image: {error}.") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}.") from None


def explain_query(query: "Query", run: "Run", bank: "CaptionBank | None") -> None:
    """Say on stderr which words the model does not know, and what it makes of a negation."""
    from clipnb.search.negation import explain_terms

    _, sentences = explain_terms(run.tokenizer, query.terms, bank.words if bank else None)
    for sentence in sentences:
        print(escape(sentence), file=sys.stderr)


# ---- the answer ------------------------------------------------------------------------------


def keep_since(gallery: Gallery, since: datetime) -> Gallery:
    """Return a gallery of the photos taken since a date.

    Raises ValueError if the images have no dates.
    """
    from clipnb import ImageIndex

    index = gallery.index
    if not index.taken:
        raise ValueError(
            f"the images of {gallery.place} have no dates; --since needs a folder of photos."
        )
    rows = [row for row, taken in enumerate(index.taken) if taken >= since]
    kept = ImageIndex(
        index.model,
        index.tokenizer,
        index.image_features[rows],
        image_ids=[index.image_ids[row] for row in rows],
        paths=[index.paths[row] for row in rows],
        taken=[index.taken[row] for row in rows],
        make_thumbnail=index.thumbnail,
        unreadable=index.unreadable,
        bank=index.bank,
    )
    title = f"{len(rows):,} of the {gallery.title} that were taken since {since:%Y-%m-%d}"
    return Gallery(kept, gallery.place, title, gallery.is_folder)


def describe_match(gallery: Gallery, query: "Query", has_match: bool | None) -> str:
    """Say in a sentence whether anything matches, and what was searched for in which images."""
    from clipnb.search.query import shorten

    if not len(gallery.index):
        return f"There are {gallery.title}."
    asked = shorten(str(query))
    if has_match is False:
        return f"Nothing here matches “{asked}”. These are the nearest of the {gallery.title}:"
    return f"These are the best for “{asked}” of the {gallery.title}:"


def print_hits(gallery: Gallery, hits: list["Hit"], verdict: str) -> None:
    """Print score, path and caption of each image, with tabs between them."""
    print(escape(verdict), file=sys.stderr)
    for hit in hits:
        columns = [f"{hit.score:.3f}", gallery.get_path(hit.image_id), hit.caption]
        print("\t".join(escape(column) for column in columns if column))


def print_json(
    gallery: Gallery, query: "Query", run: "Run", has_match: bool | None, hits: list["Hit"]
) -> None:
    """Print the answer as one JSON document, in ASCII: not every terminal knows every letter."""
    index = gallery.index
    found = []
    for hit in hits:
        taken = index.taken[index.row[hit.image_id]].isoformat() if index.taken else None
        path = gallery.get_path(hit.image_id)
        found.append({"path": path, "score": hit.score, "caption": hit.caption, "date": taken})
    answer = {
        "query": str(query),
        "run": run.folder.name,
        "searched": len(index),
        "has_match": has_match,
        "hits": found,
    }
    print(json.dumps(answer, indent=1))
