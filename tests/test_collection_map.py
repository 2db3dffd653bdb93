"""The map of a collection: where images stand, how clusters are found and what they are called."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb.retrieval import ImageIndex
from clipnb.widgets import collection_map
from clipnb.widgets.collection_map import (
    COLUMNS,
    ROWS,
    CollectionMap,
    arrange,
    find_clusters,
    project,
    spread,
)

WORDS = ["dog", "boat", "tree"]


class Towers(torch.nn.Module):
    """Encodes a text as the axis of the one word that it holds."""

    def encode_text(self, tokens, normalize=False):
        return F.one_hot(tokens[:, 0], 4).float()


class Letters:
    """A tokenizer whose tokens are the places of the words in WORDS."""

    def __call__(self, texts):
        return torch.tensor([[WORDS.index(text) if text in WORDS else 3] for text in texts])


@pytest.fixture
def index(monkeypatch):
    """Ninety images in three clusters, around the axes of three words."""
    monkeypatch.setattr(
        collection_map, "encode_texts", lambda model, tokens: model.encode_text(tokens)
    )
    noise = 0.1 * torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
    kinds = torch.arange(90) % 3
    features = F.normalize(F.one_hot(kinds, 4) + noise, dim=1)
    images = np.zeros((90, 3, 8, 8), np.uint8)
    captions = [[f"{WORDS[kind]} number <b>{i}</b> ."] for i, kind in enumerate(kinds.tolist())]
    ids = [f"{i}.png" for i in range(90)]
    return ImageIndex(Towers(), Letters(), features, features[:, None], images, ids, captions)


def test_pca_finds_the_plane_that_holds_the_points():
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(200, 2, generator=generator) * torch.tensor([3.0, 1.0])
    turned, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator))
    points = project(plane @ turned[:2])  # (200, 2)
    found = F.pdist(points)
    assert torch.allclose(found, F.pdist(plane), atol=1e-3)
    assert points[:, 0].std() > points[:, 1].std()


def test_an_unknown_method_is_an_error():
    with pytest.raises(ValueError, match="'pca' or 'umap', not 'tsne'"):
        project(torch.eye(3), "tsne")


@pytest.mark.parametrize("n", [1, 2, 5, 100, 3000])
def test_no_two_images_share_a_cell(n):
    layout = arrange(torch.randn(n, 2, generator=torch.Generator().manual_seed(0)))
    assert len(set(layout.cells.values())) == len(layout.cells) <= min(n, COLUMNS * ROWS)
    assert all(c < layout.columns and r < layout.rows for c, r in layout.cells)
    if n == 3000:
        assert len(layout.cells) > 0.9 * COLUMNS * ROWS


def test_neighbours_on_the_map_are_neighbours_in_the_plane():
    points = torch.rand(3000, 2, generator=torch.Generator().manual_seed(0))
    cells = arrange(points).cells
    columns = torch.tensor([column for column, _ in cells], dtype=torch.float)
    x = points[list(cells.values()), 0]
    assert torch.corrcoef(torch.stack([columns, x]))[0, 1] > 0.99


def test_clusters_are_found(index):
    cluster = find_clusters(index.image_features, 3).reshape(30, 3)
    assert (cluster == cluster[0]).all()
    assert len(set(cluster[0].tolist())) == 3


def test_labels_are_the_words_of_their_clusters(index, monkeypatch):
    monkeypatch.setattr(collection_map, "N_CLUSTERS", 3)
    monkeypatch.setattr(collection_map, "MOST_COMMON", 0.5)
    labels = CollectionMap(index).labels
    assert sorted(label["text"].split(",")[0] for label in labels) == sorted(WORDS)


def test_labels_do_not_cover_each_other():
    layout = collection_map.Layout(22, 12, {})
    placed = spread([{"text": str(i), "x": 5.0, "y": 3.0} for i in range(4)], layout)
    assert len({label["y"] for label in placed}) == 4
    assert min(np.diff([label["y"] for label in placed])) >= 0.9


def test_a_click_searches_by_the_image(index):
    pytest.importorskip("anywidget")
    picked = []
    widget = CollectionMap(index, picked.append)
    layout = widget.layout_of_images
    (column, row), i = next(iter(layout.cells.items()))
    content = {"picked": row * layout.columns + column}
    widget.children[1]._handle_custom_msg(content, [])
    assert picked == [index.image_ids[i]]


def test_cells_whose_files_are_gone_are_left_out(index):
    pytest.importorskip("anywidget")
    whole = CollectionMap(index).layout_of_images.cells
    shown = index.thumbnail
    gone = [index.image_ids[i] for i in list(whole.values())[:40]]

    def lose_some(image_id):
        if image_id in gone:
            raise OSError("gone")
        return shown(image_id)

    index.thumbnail = lose_some
    widget = CollectionMap(index)
    cells = widget.layout_of_images.cells
    assert cells == dict(list(whole.items())[40:])
    assert len(widget.describe()["cells"]) == len(cells)
    widget.pick(*next(iter(cells)))
    nearest = index.search(index.feature(index.image_ids[next(iter(cells.values()))]), 9)
    left = [hit for hit in nearest if hit.image_id not in gone]
    assert widget.found.value.count("<img") == len(left) < 9


def test_alone_it_shows_the_nearest_images_and_captions_are_no_html(index):
    widget = CollectionMap(index)
    widget.pick(*next(iter(widget.layout_of_images.cells)))
    assert widget.found.value.count("<img") == 9
    assert "&lt;b&gt;" in widget.found.value
    assert "<b>" not in widget.found.value
    assert repr(widget) == "CollectionMap(90 images)"


def test_a_collection_without_captions_has_no_labels(index):
    plain = ImageIndex(
        index.model, index.tokenizer, index.image_features, None, index.images, index.image_ids
    )
    widget = CollectionMap(plain)
    assert widget.labels == []
    assert widget.describe()["cells"][0]["name"].endswith(".png")


def test_without_anywidget_it_says_what_to_install(index, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install anywidget" in CollectionMap(index).children[1].value
