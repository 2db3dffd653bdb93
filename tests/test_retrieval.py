"""The index: its search is exact with three kinds of query, and helpful with a wrong query."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from clipnb import ImageIndex, create_model, train_tokenizer
from clipnb.recipes import RECIPES


@pytest.fixture
def index(small):
    torch.manual_seed(0)
    dataset = small("test")
    captions = [caption for own in dataset.captions for caption in own]
    tokenizer = train_tokenizer(captions, 300)
    return ImageIndex.build(create_model(RECIPES["quick"]), tokenizer, dataset)


def test_a_text_search_equals_comparing_with_every_image(index):
    tokens = index.tokenizer(["a red dog"])
    query = index.model.eval().encode_text(tokens, normalize=True)[0].detach()
    scores = [float(query @ feature) for feature in index.image_features]
    best = sorted(range(len(index)), key=lambda i: -scores[i])[:4]
    hits = index.search("a red dog", k=4)
    assert [hit.image_id for hit in hits] == [index.image_ids[i] for i in best]
    assert [hit.score for hit in hits] == pytest.approx([scores[i] for i in best], abs=1e-5)


def test_a_hit_shows_the_nearest_caption_of_its_image(index):
    tokens = index.tokenizer(["a red dog"])
    query = index.model.eval().encode_text(tokens, normalize=True)[0]
    for hit in index.search("a red dog", k=4):
        row = index.row[hit.image_id]
        nearest = (index.text_features[row] @ query).argmax()
        assert hit.caption == index.captions[row][nearest]


def test_an_image_finds_itself_as_array_as_pil_image_and_as_vector(index):
    image_id = index.image_ids[7]
    image = index.image(image_id)
    pil_image = Image.fromarray(image.transpose(1, 2, 0))
    vector = 3 * index.image_features[7]
    for query in image, pil_image, vector:
        hit = index.search(query, k=1)[0]
        assert hit.image_id == image_id
        assert hit.score == pytest.approx(1, abs=1e-4)


def test_captions_are_searched_too(index):
    hit = index.search_captions(index.text_features[4, 2], k=3)[0]
    assert hit.score == pytest.approx(1, abs=1e-4)
    assert hit.caption in [caption for own in index.captions for caption in own]
    # Two captions may be made of the same tokens.
    expected = index.captions[4][2]
    assert index.tokenizer.encode(hit.caption) == index.tokenizer.encode(expected)


@pytest.mark.parametrize("query", ["", "   ", "狗在雪地里", "🐕"])
def test_a_query_without_a_known_word_finds_nothing(index, query):
    assert index.search(query) == []
    assert index.search_captions(query) == []


def test_k_may_exceed_the_collection(index):
    hits = index.search("dog", k=500)
    assert len(hits) == 20
    assert len({hit.image_id for hit in hits}) == 20


def test_k_may_be_zero(index):
    assert index.search("dog", k=0) == []


def test_a_vector_of_the_wrong_length_is_named(index):
    with pytest.raises(ValueError, match=r"vector \(512,\).*array \(3,\)"):
        index.search(np.ones(3))


def test_an_image_with_its_channels_last_is_refused(index):
    with pytest.raises(ValueError, match=r"an image \(3, H, W\).*array \(32, 32, 3\)"):
        index.search(np.zeros((32, 32, 3), np.uint8))


def test_a_loaded_index_finds_the_same_as_the_saved_one(index, tmp_path):
    index.save(tmp_path / "index.npz")
    loaded = ImageIndex.load(tmp_path / "index.npz", index.model, index.tokenizer)
    assert loaded.search("a blue boat", 5) == index.search("a blue boat", 5)
    image_id = index.image_ids[3]
    assert (loaded.image(image_id) == index.image(image_id)).all()


def test_a_missing_index_says_how_to_make_one(index, tmp_path):
    with pytest.raises(FileNotFoundError, match="ImageIndex.build"):
        ImageIndex.load(tmp_path / "no.npz", index.model, index.tokenizer)


def test_an_index_of_another_model_is_refused(index, tmp_path):
    index.save(tmp_path / "index.npz")
    narrower = create_model(dataclasses.replace(RECIPES["quick"], embed_dim=64))
    trained_on = create_model(RECIPES["quick"])  # of the same shape, with other weights
    trained_on.load_state_dict(index.model.state_dict())
    with torch.no_grad():
        trained_on.image_projection.weight[3, 5] += 1e-3
    for other in narrower, trained_on:
        with pytest.raises(ValueError, match="built with another model.*ImageIndex.build"):
            ImageIndex.load(tmp_path / "index.npz", other, index.tokenizer)
