"""The nearest features: exact search in a case worked by hand, the other ways against it."""

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb.search import nearest
from clipnb.search.nearest import FaissIndex, SignBits, find_nearest, find_span, pack_signs


@pytest.fixture
def features():
    """Features (3000, 96) of unit length around 30 centres."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(30, 96, generator=generator)
    noise = torch.randn(3000, 96, generator=generator)
    return F.normalize(centres[torch.arange(3000) % 30] + 0.5 * noise, dim=1)


def make_index(way, features):
    if way is FaissIndex:
        pytest.importorskip("faiss")
    return way(features)


# ---- exact -----------------------------------------------------------------------------------


def test_the_largest_products_come_first():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]])
    scores, rows = find_nearest(features, torch.tensor([0.0, 1.0]), 3)
    assert rows.tolist()[:2] == [1, 2]
    assert scores.tolist() == pytest.approx([1.0, 0.8, 0.0])


@pytest.mark.parametrize("k, n", [(-1, 0), (0, 0), (2, 2), (9, 3)])
def test_there_are_at_most_as_many_as_there_are_features(k, n):
    scores, rows = find_nearest(torch.eye(3), torch.ones(3), k)
    assert len(scores) == len(rows) == n


def test_features_on_disk_are_searched(tmp_path, features):
    np.save(tmp_path / "features.npy", features.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "features.npy", mmap_mode="c"))
    expected = find_nearest(features, features[5], 10)
    found = find_nearest(mapped, features[5], 10)
    assert found[1].equal(expected[1])
    assert found[1][0] == 5


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_bad_query_is_refused(bad):
    with pytest.raises(ValueError, match="the query holds NaN or infinity"):
        find_nearest(torch.eye(3), torch.tensor([0.0, bad, 0.0]), 1)


def test_a_bad_feature_is_named():
    features = torch.eye(4)
    features[2, 1] = torch.nan
    with pytest.raises(ValueError, match="feature 2 holds NaN or infinity"):
        find_nearest(features, torch.ones(4), 1)


# ---- the other ways --------------------------------------------------------------------------


@pytest.mark.parametrize("way", [SignBits, FaissIndex])
def test_other_ways_find_what_the_exact_search_finds(way, features):
    index = make_index(way, features)
    for query in features[:10]:
        scores, rows = index.find_nearest(query, 10)
        expected_scores, expected_rows = find_nearest(features, query, 10)
        assert torch.isin(expected_rows, rows).float().mean() >= 0.9
        assert scores[0].item() == pytest.approx(expected_scores[0].item(), abs=1e-6)
        assert scores.equal(scores.sort(descending=True).values)
        assert scores.tolist() == pytest.approx((features[rows] @ query).tolist(), abs=1e-6)


@pytest.mark.parametrize("way", [SignBits, FaissIndex])
@pytest.mark.parametrize("N", [1, 7])
def test_few_features_are_all_found(way, N):
    features = F.normalize(torch.randn(N, 70, generator=torch.Generator().manual_seed(1)), dim=1)
    scores, rows = make_index(way, features).find_nearest(features[0], 10)
    assert sorted(rows.tolist()) == list(range(N))
    assert scores[0].item() == pytest.approx(1)


@pytest.mark.parametrize("way", [SignBits, FaissIndex])
def test_other_ways_refuse_what_is_no_number(way, features):
    index = make_index(way, features)
    with pytest.raises(ValueError, match="the query holds NaN"):
        index.find_nearest(torch.full((96,), torch.nan), 1)
    features[1234, 5] = torch.nan
    with pytest.raises(ValueError, match="feature 1234 holds NaN or infinity"):
        way(features)
    with pytest.raises(ValueError, match="there are no features"):
        way(features[:0])


def test_without_faiss_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'clipnb\[faiss\]'"):
        FaissIndex(torch.eye(3))


# ---- signs -----------------------------------------------------------------------------------


def test_signs_are_packed_bit_by_bit(monkeypatch):
    monkeypatch.setattr(nearest, "BLOCK", 2)  # three blocks
    features = torch.randn(5, 70, generator=torch.Generator().manual_seed(0))
    words = pack_signs(features)
    assert words.dtype == np.uint64
    assert words.shape == (2, 5)
    differing = np.bitwise_count(words[:, :1] ^ words).sum(axis=0)
    assert differing.tolist() == ((features > 0) != (features[0] > 0)).sum(dim=1).tolist()


def test_features_with_most_signs_in_common_are_rescored():
    signs = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, -1], [1, 1, -1, -1], [1, -1, -1, -1]])
    index = SignBits(signs, n_rescored=2)
    index.span = torch.eye(4)
    assert index.find_nearest(signs[0], 1)[1].tolist() == [0]
    assert index.find_nearest(signs[0], 2)[1].tolist() == [0, 1]
    assert index.find_nearest(-signs[3], 3)[1].tolist() == [0, 1, 2]  # k above n_rescored


def test_bits_take_a_thirty_second_of_the_memory(features):
    features = torch.cat([features, features[:, :32]], dim=1)  # (3000, 128)
    assert SignBits(features).bits.nbytes * 32 == features.nbytes


def test_a_query_is_projected_onto_what_features_differ_in():
    generator = torch.Generator().manual_seed(0)
    features = torch.zeros(500, 6)
    features[:, :2] = torch.randn(500, 2, generator=generator)
    features[:, 5] = 3.0  # the same in all of them
    projected = find_span(features) @ torch.tensor([1.0, -2.0, 5.0, 5.0, 5.0, 5.0])
    assert projected.tolist() == pytest.approx([1, -2, 0, 0, 0, 0], abs=1e-5)
    assert (find_span(features) @ find_span(features)).allclose(find_span(features), atol=1e-6)


def test_the_projection_finds_more(features):
    """A query with a large component that no feature differs in: as a text's feature has."""
    flat = F.normalize(
        features[:, :8] @ torch.randn(8, 96, generator=torch.Generator().manual_seed(2))
    )
    common = torch.randn(96, generator=torch.Generator().manual_seed(3))
    index = SignBits(flat, n_rescored=100)
    outside = common - index.span @ common

    def count_found():
        found = 0
        for feature in flat[:20]:
            query = feature + outside
            wanted = find_nearest(flat, query, 10)[1]
            found += torch.isin(wanted, index.find_nearest(query, 10)[1]).sum().item()
        return found

    projected = count_found()
    index.span = torch.eye(96)
    assert projected > 1.2 * count_found()
