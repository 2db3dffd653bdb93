"""The export to LanceDB: its own engine finds in the table what our index finds."""

import dataclasses
from pathlib import Path

import pytest
import torch

from clipnb import ImageIndex, load_dataset
from clipnb.runs import load_run
from clipnb.search import lance

lancedb = pytest.importorskip("lancedb")

QUERIES = ["a red car", "two dogs beside a tree", "the moon over a house at night"]


@pytest.fixture
def run(trained_root, monkeypatch):
    """A trained run, with the data that it was trained on."""
    monkeypatch.setenv("CLIPNB_DATA", str(trained_root / "data"))
    monkeypatch.setenv("CLIPNB_CACHE", str(trained_root / "cache"))
    return load_run(next((trained_root / "cache" / "runs").iterdir()))


def search_table(folder, vector, k):
    table = lancedb.connect(str(folder)).open_table("images")
    return table.search(vector.numpy()).distance_type("cosine").limit(k).to_list()


def test_the_engine_finds_what_the_index_finds(run, tmp_path, monkeypatch):
    monkeypatch.setattr(lance, "ROWS", 16)  # so that several blocks are written
    dataset = load_dataset("small", "train", 32)
    index = ImageIndex.build(run.model, run.tokenizer, dataset)
    folder = lance.export_lancedb(index, tmp_path / "vectors")
    for query in [*QUERIES, torch.tensor(dataset.images[7])]:
        rows = search_table(folder, index.encode(query), 5)
        hits = index.search(query, 5)
        assert [row["image_id"] for row in rows] == [hit.image_id for hit in hits]
        scores = [1 - row["_distance"] for row in rows]
        assert scores == pytest.approx([hit.score for hit in hits], abs=1e-5)
        for row, hit in zip(rows, hits, strict=True):
            assert hit.caption in row["captions"]
            assert Path(row["path"]).name == hit.image_id
    assert lancedb.connect(str(folder)).open_table("images").count_rows() == len(dataset)
    assert index.weights in (folder / "README.txt").read_text()


def test_a_folder_of_photos_has_paths_and_no_captions(run, photos, clipnb, tmp_path):
    status, out, err = clipnb(f"export --run {run.folder} --lancedb vectors --of {photos}")
    assert status == 0, err
    assert out.split() == ["vectors/README.txt", "vectors/images.lance"]
    rows = search_table(tmp_path / "vectors", torch.ones(512), 50)
    assert len(rows) == 12  # without the broken one
    assert all(Path(row["path"]).is_file() and row["captions"] == [] for row in rows)


def test_only_an_earlier_export_is_replaced(run, clipnb, tmp_path):
    command = f"export --run {run.folder} --lancedb vectors --split dev"
    assert clipnb(command)[0] == clipnb(command)[0] == 0
    (tmp_path / "vectors" / "notes.txt").write_text("mine")
    status, _, err = clipnb(command)
    assert status == 2
    assert err.endswith("holds other files than such an export; name a new folder.\n")
    assert (tmp_path / "vectors" / "notes.txt").read_text() == "mine"


def test_a_table_of_somebody_else_is_not_taken_for_an_export(run, clipnb, tmp_path):
    """Its names alone do not tell: anybody may have a table of images and a README.txt."""
    folder = tmp_path / "vectors"
    lancedb.connect(str(folder)).create_table("images", [{"mine": 1}])
    (folder / "README.txt").write_text("my own table")
    status, _, err = clipnb(f"export --run {run.folder} --lancedb vectors --split dev")
    assert status == 2
    assert err.endswith("holds other files than such an export; name a new folder.\n")
    assert lancedb.connect(str(folder)).open_table("images").to_arrow().to_pylist() == [{"mine": 1}]
    assert (folder / "README.txt").read_text() == "my own table"


def test_an_address_is_refused_before_anything_is_indexed(run, clipnb, tmp_path):
    status, _, err = clipnb(f"export --run {run.folder} --lancedb s3://bucket/vectors")
    assert status == 2
    assert err == (
        "clipnb: s3://bucket/vectors is the address of a server; name a folder, and copy it there "
        "afterwards.\n"
    )
    assert list(tmp_path.iterdir()) == []


ODD_TEXTS = [
    'he said "no"\nand left',
    "it's; DROP TABLE images; --",
    "",
    "\0",
    "é 漢字 😀",
    "\udcff",
]


def test_odd_texts_and_an_odd_folder_come_back(run, tmp_path):
    dataset = load_dataset("small", "dev", 32)
    n = len(ODD_TEXTS)
    odd = dataclasses.replace(
        dataset,
        images=dataset.images[:n],
        image_ids=[f"{i}{text}" for i, text in enumerate(ODD_TEXTS)],
        captions=[[text] for text in ODD_TEXTS],
        labels=None,
    )
    index = ImageIndex.build(run.model, run.tokenizer, odd)
    folder = lance.export_lancedb(index, tmp_path / "l'été, 漢字 #1 100%25 ?x=y")
    rows = lancedb.connect(str(folder)).open_table("images").to_arrow().to_pylist()
    readable = [*ODD_TEXTS[:-1], r"\udcff"]  # half of a character becomes an escape
    assert [row["captions"] for row in rows] == [[text] for text in readable]
    assert [row["image_id"] for row in rows] == [f"{i}{text}" for i, text in enumerate(readable)]


def test_one_image_and_none_make_a_table(run, tmp_path):
    dataset = load_dataset("small", "dev", 32)
    index = ImageIndex.build(run.model, run.tokenizer, dataset)
    for n in (1, 0):
        index.image_features = index.image_features[:n]
        folder = lance.export_lancedb(index, tmp_path / "vectors")
        rows = search_table(folder, torch.ones(512), 5)
        assert [row["image_id"] for row in rows] == dataset.image_ids[:n]


def test_a_table_that_is_replaced_has_to_be_opened_again(run, tmp_path):
    index = ImageIndex.build(run.model, run.tokenizer, load_dataset("small", "dev", 32))
    folder = lance.export_lancedb(index, tmp_path / "vectors")
    table = lancedb.connect(str(folder)).open_table("images")
    query = index.image_features[3]
    found = table.search(query.numpy()).limit(1).to_list()
    lance.export_lancedb(index, folder)
    with pytest.raises(RuntimeError):  # if LanceDB mends this, README.txt need not tell it
        table.search(query.numpy()).limit(1).to_list()
    assert [row["image_id"] for row in search_table(folder, query, 1)] == [found[0]["image_id"]]
    assert "open the table again" in (folder / "README.txt").read_text()


def test_an_interrupted_export_leaves_nothing(run, tmp_path, monkeypatch):
    def stop(index, schema):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(lance, "iterate_rows", stop)
    dataset = load_dataset("small", "dev", 32)
    index = ImageIndex.build(run.model, run.tokenizer, dataset)
    with pytest.raises(BaseException):  # noqa: B017, the library may wrap it
        lance.export_lancedb(index, tmp_path / "vectors")
    assert list(tmp_path.glob("*vectors*")) == []


def test_options_of_vectors_belong_to_lancedb(clipnb):
    status, _, err = clipnb("export --onnx model --of scenes")
    assert status == 2
    assert err == "clipnb: --of and --split belong to --lancedb; leave them out.\n"
