"""The export to LanceDB: its own engine finds in the table what our index finds."""

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
