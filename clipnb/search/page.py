"""A page to share: one HTML file that searches a collection offline, with the model inside it."""

import base64
import hashlib
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clipnb.disk import refuse_odd_file
from clipnb.places import check_path
from clipnb.runtime import display_path, write_file
from clipnb.search.nearest import check_features
from clipnb.search.packing import (
    check_size,
    choose_examples,
    measure_captions,
    pack_bank,
    pack_encoder,
    pack_matrix,
    pack_thumbnails,
    pack_tokenizer,
)
from clipnb.search.words import index_known_words
from clipnb.tokenizer import check_text

if TYPE_CHECKING:
    from clipnb.retrieval import ImageIndex
    from clipnb.runs import Run

PARTS = Path(__file__).parent  # page.html and what goes into it
STYLE = "page.css"
SCRIPTS = ("page_model.js", "page_search.js", "page.js")
OWN_MARK = '<meta name="generator" content="clipnb">'  # tells our pages from other files
MUCH = 6_000_000  # bytes: a page that is larger says why


@dataclass(frozen=True)
class Page:
    """A page that was written. sizes: the bytes of each of its parts."""

    path: Path
    sizes: dict[str, int]

    def __str__(self) -> str:
        n_bytes = sum(self.sizes.values())
        text = f"{display_path(self.path)} is {n_bytes / 1e6:.1f} MB. Open it in a browser."
        if n_bytes > MUCH:
            parts = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in self.sizes.items())
            text += f" It is that large because of its parts, in MB: {parts}."
        return text

    __repr__ = __str__


def save_html(index: "ImageIndex", path: str | Path, title: str = "", about: str = "") -> Page:
    """Write one HTML file that searches an index in the browser, without network and server.

    It holds small images, their vectors, captions or file names, and the text encoder. Vectors and
    weights are rounded to 8 bits, with one scale per row. title: stands above the search box.
    about: what the model was trained on, such as `describe_run(run)`. The file is written whole or
    not at all.

    Raises ValueError if `path` does not end in .html, if the text encoder is neither `BagOfWords`
    nor a `TextTransformer` of at most 20 million numbers, if there is no image, if a number is NaN
    or infinite, or if the page would be larger than 100 MB. Raises FileExistsError if something
    else than such a page is there already.
    """
    path = check_target(path)
    encoder = pack_encoder(index.model, index.tokenizer.vocab_size)  # first: it may be refused
    check_features(index.image_features)
    title = check_text(title) or f"Search {len(index):,} images"
    thumbnails = pack_thumbnails(index)  # most of the bytes, so a page too large is refused early
    data = {
        "about": check_text(about),
        "examples": choose_examples(index),
        "ids": index.image_ids,
        "captions": index.captions and [list(own) for own in index.captions],
        "caption_lengths": measure_captions(index),
        "words": index_known_words(index.tokenizer, index.bank and index.bank.words).words,
        "tokenizer": pack_tokenizer(index.tokenizer),
        "encoder": encoder,
        "projection": pack_matrix(index.model.text_projection.weight),
        "features": pack_matrix(index.image_features),
        "bank": pack_bank(index),
        "thumbnails": thumbnails,
    }
    parts = {name: write_json(value) for name, value in data.items()}
    page = fill_template(title, parts)
    check_size(len(page), len(index))
    write_file(path, page)
    return Page(path, measure_parts(parts, len(page)))


def describe_run(run: "Run") -> str:
    """Say in a sentence or two what a run was trained on, and how well it finds captions."""
    from clipnb.pretrained import Pretrained  # none of the rest needs it

    recipe = run.recipe
    if isinstance(run, Pretrained):
        return f"The published model {recipe.name}."
    text = f"Trained on {recipe.dataset} with the recipe {recipe.name}, seed {run.seed}."
    recall = run.metrics.get("dev", {}).get("mean_recall")
    if recall is not None:
        text += f" Mean recall on its dev split: {recall:.1f} %."
    return text


def check_target(path: str | Path) -> Path:
    """Return the path of a page. Raise an error, in one line, if none should be written there."""
    path = check_path(path).expanduser()
    refuse_odd_file(path)
    if path.is_dir():
        example = display_path(path / "search.html")
        raise FileExistsError(f"{display_path(path)} is a folder; name a file, such as {example}.")
    if path.suffix.lower() != ".html":
        raise ValueError(f"the name of a page ends in .html, and {path.name!r} does not.")
    if path.exists() and not is_own_page(path):
        raise FileExistsError(
            f"{display_path(path)} is there already and is no page of clipnb's; choose another "
            "name, or delete it first."
        )
    return path


def is_own_page(path: Path) -> bool:
    """Tell whether a file is a page that `save_html` wrote."""
    with path.open("rb") as file:
        return OWN_MARK.encode() in file.read(2000)


# ---- the file ----------------------------------------------------------------------------------


def fill_template(title: str, parts: dict[str, str]) -> bytes:
    """Put the parts of the data, each as JSON, scripts and style into page.html.

    The data holds no "<", so nothing in a caption can end the script element that it stands in. The
    policy lets the page run its own scripts and show the images it holds, and nothing else, so no
    request ever leaves it.
    """
    sources = {name: (PARTS / name).read_text(encoding="utf-8") for name in (STYLE, *SCRIPTS)}
    scripts = " ".join(digest_source(sources[name]) for name in SCRIPTS)
    policy = [
        "default-src 'none'",
        "img-src data:",
        f"script-src {scripts}",
        f"style-src {digest_source(sources[STYLE])}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    data = ",".join(f'"{name}":{text}' for name, text in parts.items())
    contents = {
        "policy": "; ".join(policy),
        "title": html.escape(title),
        "data": "{" + data + "}",
        **sources,
    }
    template = (PARTS / "page.html").read_text(encoding="utf-8")
    # In one pass, so that a title such as "{{data}}" stays what it is.
    page = re.sub(r"\{\{([\w.]+)\}\}", lambda match: contents[match[1]], template)
    return page.encode()


def write_json(data: object) -> str:
    """Write data as JSON in ASCII, without any "<"."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def digest_source(source: str) -> str:
    """Return the digest by which a Content-Security-Policy allows an inline script or style."""
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def measure_parts(parts: dict[str, str], n_bytes: int) -> dict[str, int]:
    """Return how many of the `n_bytes` of a page are for what. parts: the data, each as JSON."""
    names_of = {
        "images": ["thumbnails"],
        "their vectors": ["features"],
        "images of the bank": ["bank"],
        "captions and names": ["captions", "caption_lengths", "ids"],
        "text encoder": ["encoder", "projection"],
        "vocabulary": ["tokenizer", "words"],
    }
    sizes = {what: sum(len(parts[name]) for name in names) for what, names in names_of.items()}
    sizes["scripts and style"] = n_bytes - sum(sizes.values())
    return sizes
