"""The page to share, without a browser: what is in the file, and when none is written.

tests/test_page_browser_*.py open it.
"""

import base64
import hashlib
import html.parser
import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from page_index import CAPTIONS, NASTY, add_bank, make_index, make_model
from torch import nn

from clipnb import RECIPES, ImageIndex
from clipnb.runtime import ROOT
from clipnb.search import packing
from clipnb.search import page as page_module
from clipnb.search.packing import (
    pack_bank,
    pack_encoder,
    pack_matrix,
    pack_thumbnail,
    pack_tokenizer,
)
from clipnb.search.page import check_target, describe_run, save_html, write_json
from clipnb.search.thumbnails import encode_array_thumbnail


class Reader(html.parser.HTMLParser):
    """Collects the elements of a page, and the text of its scripts, styles and title."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.texts = {}
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.texts.setdefault(tag, []).append("")
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside:
            self.texts[self.inside][-1] += data


def read_page(path):
    return Reader(path.read_text(encoding="utf-8"))


def read_data(path):
    return json.loads(read_page(path).texts["script"][0])


def unpack(packed, dtype):
    return torch.from_numpy(np.frombuffer(base64.b64decode(packed), dtype).copy())


def unpack_matrix(packed):
    scales = unpack(packed["scales"], np.float32)
    dtype = {8: np.int8, 16: np.int16}[packed["bits"]]
    values = unpack(packed["values"], dtype).view(len(scales), packed["columns"])
    return values * scales[:, None]


# ---- what is in it ---------------------------------------------------------------------------


def test_a_page_holds_all_that_a_search_needs(tmp_path):
    index = make_index()
    save_html(index, tmp_path / "a.html", "Mine", "Trained on toys.")
    data = read_data(tmp_path / "a.html")
    assert data["ids"] == index.image_ids
    assert data["captions"] == index.captions
    assert data["about"] == "Trained on toys."
    assert len(data["thumbnails"]) == len(index)
    assert data["bank"] is None
    assert (unpack_matrix(data["features"]) - index.image_features).abs().max() < 0.003
    assert set(data["examples"]) <= {caption for own in index.captions for caption in own}


def test_captions_and_names_are_data_and_never_html(tmp_path):
    index = make_index()
    save_html(index, tmp_path / "a.html", title=NASTY[0], about=NASTY[1])
    page = read_page(tmp_path / "a.html")
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 4 and tags.count("style") == 1 and tags.count("img") == 0
    assert not [name for _, attributes in page.elements for name in attributes if name[:2] == "on"]
    assert page.texts["title"] == page.texts["h1"] == [NASTY[0]]
    assert "<" not in page.texts["script"][0]
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "\u2028" not in text and "\u202e" not in text


def test_a_title_cannot_name_a_part_of_the_page(tmp_path):
    save_html(make_index(), tmp_path / "a.html", title="{{data}} \\1 \\g<0>")
    assert read_page(tmp_path / "a.html").texts["h1"] == ["{{data}} \\1 \\g<0>"]


def test_the_policy_lets_nothing_run_but_the_pages_own(tmp_path):
    save_html(make_index(), tmp_path / "a.html")
    page = read_page(tmp_path / "a.html")
    policy = next(a["content"] for _, a in page.elements if "http-equiv" in a)
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    sources = [*page.texts["script"][1:], *page.texts["style"]]
    digests = {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in sources}
    assert digests == allowed


def test_names_that_are_no_unicode_are_written(tmp_path):
    index = make_index()
    index.image_ids[0] = "caf\udce9.jpg"  # as Python reads a name in Latin-1
    index.row = {name: i for i, name in enumerate(index.image_ids)}
    save_html(index, tmp_path / "a.html", title="caf\udce9")
    assert read_data(tmp_path / "a.html")["ids"][0] == "caf\udce9.jpg"
    assert read_page(tmp_path / "a.html").texts["h1"] == ["caf\ufffd"]


def test_an_index_without_captions_shows_names(tmp_path):
    full = make_index()
    index = ImageIndex(
        full.model,
        full.tokenizer,
        full.image_features,
        images=full.images,
        image_ids=full.image_ids,
    )
    add_bank(index, threshold=-1.0)
    save_html(index, tmp_path / "a.html")
    data = read_data(tmp_path / "a.html")
    assert data["captions"] is None
    assert data["examples"] and set(data["examples"]) <= set(index.bank.captions)


# ---- its parts -------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (16, 32767)])
def test_a_matrix_is_rounded_row_by_row(bits, largest):
    matrix = torch.randn(5, 64) * torch.tensor([1e-4, 1.0, 1e3, 0.0, 7.0])[:, None]
    error = (unpack_matrix(pack_matrix(matrix, bits)) - matrix).abs().amax(dim=1)
    assert (error <= matrix.abs().amax(dim=1) / largest / 2 * 1.01).all()


def test_rows_of_the_embedding_without_a_token_are_left_out():
    model, tokenizer = make_model("bag")
    packed = pack_encoder(model, tokenizer.vocab_size)
    embedding = unpack_matrix(packed["matrices"]["token_embedding.weight"])
    assert (
        len(embedding) == tokenizer.vocab_size < model.text_encoder.token_embedding.num_embeddings
    )


@pytest.mark.parametrize("encoder", ["bag", "clip"])
def test_the_merges_of_a_vocabulary_are_packed_as_ids(encoder):
    tokenizer = make_model(encoder)[1]
    packed = pack_tokenizer(tokenizer)
    entries = packed["entries"]
    assert len(entries) == tokenizer.vocab_size
    assert entries[packed["start"]] == "<start_of_text>"
    assert all(entries[a] + entries[b] == entries[both] for a, b, both in packed["merges"])


def test_a_bank_is_packed():
    index = add_bank(make_index(n_images=300), threshold=-2.5)
    packed = pack_bank(index)
    assert (unpack_matrix(packed["features"]) - index.bank.image_features).abs().max() < 0.003
    assert packed["thresholds"] == {"short": -2.5, "long": -2.5}
    assert (packed["n_there"], packed["n_here"]) == (9, 1)  # three percent of 300 and of 30
    assert packed["contexts"] == index.bank.captions[:8]


def test_thumbnails_are_at_most_96_pixels_and_keep_their_shape():
    from io import BytesIO

    from PIL import Image

    image = np.random.default_rng(0).integers(256, size=(3, 120, 160), dtype=np.uint8)
    small = Image.open(BytesIO(base64.b64decode(pack_thumbnail(encode_array_thumbnail(image)))))
    assert small.size == (96, 72)


# ---- when none is written --------------------------------------------------------------------


class OwnEncoder(nn.Module):
    """A text encoder that the page does not know."""

    width = 8


def test_an_encoder_of_ones_own_is_refused_in_one_line(tmp_path):
    index = make_index()
    index.model.text_encoder = OwnEncoder()
    with pytest.raises(ValueError, match="BagOfWords and TextTransformer.*OwnEncoder") as error:
        save_html(index, tmp_path / "a.html")
    assert "\n" not in str(error.value)
    index.model = nn.Linear(2, 2)  # no CLIP at all
    with pytest.raises(ValueError, match="BagOfWords and TextTransformer"):
        save_html(index, tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


def check_refused(index, path, message):
    with pytest.raises(ValueError, match=message) as error:
        save_html(index, path)
    assert "\n" not in str(error.value)
    assert not path.exists()


def test_an_empty_index_is_refused(tmp_path):
    model, tokenizer = make_model("bag")
    index = ImageIndex(model, tokenizer, torch.zeros(0, 48), image_ids=[])
    check_refused(index, tmp_path / "a.html", "there are no features")


@pytest.mark.parametrize("encoder", ["bag", "transformer"])
def test_what_a_diverged_training_leaves_is_refused(encoder, tmp_path):
    index = make_index(encoder)
    with torch.no_grad():
        index.model.text_encoder.token_embedding.weight[3, 0] = torch.inf
    check_refused(index, tmp_path / "a.html", "its training diverged; train it again")
    index = make_index(encoder)
    index.image_features[3] = torch.nan
    check_refused(index, tmp_path / "a.html", "feature 3 holds NaN or infinity")
    with pytest.raises(ValueError):
        write_json({"threshold": float("nan")})  # no browser could read it


def test_a_page_that_is_too_large_is_refused_early(tmp_path, monkeypatch):
    index = make_index(n_images=40)
    size = save_html(index, tmp_path / "whole.html").sizes["images"]
    asked = []
    thumbnail = index.thumbnail
    index.thumbnail = lambda image_id: asked.append(image_id) or thumbnail(image_id)
    monkeypatch.setattr(packing, "MOST", size // 4)
    check_refused(index, tmp_path / "a.html", "a page of 40 images .* make several pages of fewer")
    assert len(asked) < 20
    monkeypatch.setattr(packing, "MOST", size + 1000)  # too little for all the rest
    check_refused(index, tmp_path / "a.html", "make several pages")


@pytest.mark.parametrize("name", ["page", "page.htm", "page.txt"])
def test_a_name_without_html_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="ends in .html"):
        save_html(make_index(), tmp_path / name)


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "a.html").mkdir()
    with pytest.raises(FileExistsError, match="is a folder; name a file, such as"):
        save_html(make_index(), tmp_path / "a.html")
    with pytest.raises(FileExistsError, match="is a folder"):
        save_html(make_index(), tmp_path)


def test_a_file_of_somebody_else_is_not_replaced_and_a_page_is(tmp_path):
    path = tmp_path / "a.html"
    path.write_text("<h1>My thesis</h1>")
    with pytest.raises(FileExistsError, match="choose another name, or delete it"):
        save_html(make_index(), path)
    assert path.read_text() == "<h1>My thesis</h1>"
    path.unlink()
    save_html(make_index(), path, "First")
    save_html(make_index(), path, "Second")
    assert read_page(path).texts["h1"] == ["Second"]


def test_the_file_that_is_there_is_closed(tmp_path, monkeypatch):
    path = tmp_path / "a.html"
    save_html(make_index(), path)
    opened = []
    open_path = Path.open

    def remember(self, *arguments, **options):
        opened.append(open_path(self, *arguments, **options))
        return opened[-1]

    monkeypatch.setattr(Path, "open", remember)
    check_target(path)
    assert len(opened) == 1 and opened[0].closed


def test_a_failure_leaves_the_old_page(tmp_path, monkeypatch):
    path = tmp_path / "a.html"
    save_html(make_index(), path, "First")
    monkeypatch.setattr(page_module, "fill_template", lambda title, parts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_html(make_index(), path, "Second")
    assert read_page(path).texts["h1"] == ["First"]
    assert list(tmp_path.iterdir()) == [path]


# ---- what is said ----------------------------------------------------------------------------


def test_the_sizes_of_the_parts_add_up(tmp_path):
    page = save_html(make_index(), tmp_path / "a.html")
    assert sum(page.sizes.values()) == (tmp_path / "a.html").stat().st_size
    assert str(page) == f"{tmp_path / 'a.html'} is 0.1 MB. Open it in a browser."


def test_a_large_page_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "MUCH", 1000)
    assert "in MB: images 0.0, " in str(save_html(make_index(), tmp_path / "a.html"))


def test_a_run_is_described():
    run = SimpleNamespace(recipe=RECIPES["quick"], seed=3, metrics={"dev": {"mean_recall": 81.79}})
    assert describe_run(run) == (
        "Trained on scenes with the recipe quick, seed 3. Mean recall on its dev split: 81.8 %."
    )
    run.metrics = {}
    assert describe_run(run).endswith("seed 3.")


def test_the_files_of_the_page_are_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["clipnb.search"]
    installed = {path.name for pattern in patterns for path in page_module.PARTS.glob(pattern)}
    assert {"page.html", page_module.STYLE, *page_module.SCRIPTS} <= installed


def test_there_is_a_caption_for_each_kind_of_trouble():
    assert len(CAPTIONS) == len(set(CAPTIONS)) and any(len(text) == 10_000 for text in CAPTIONS)
