"""The index: exact, with three kinds of query, and sensible when a query is not."""

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
    tokenizer = train_tokenizer([c for five in dataset.captions for c in five], 300)
    return ImageIndex.build(create_model(RECIPES["quick"]), tokenizer, dataset)


def test_text_search_equals_comparing_with_every_image(index):
    query = (
        index.model.eval().encode_text(index.tokenizer(["a red dog"]), normalize=True)[0].detach()
    )
    scores = [float(query @ feature) for feature in index.image_features]
    order = sorted(range(len(index)), key=lambda i: -scores[i])
    hits = index.search("a red dog", k=4)
    assert [hit.image_id for hit in hits] == [index.image_ids[i] for i in order[:4]]
    assert [hit.score for hit in hits] == pytest.approx([scores[i] for i in order[:4]], abs=1e-5)
    for hit in hits:
        row = index.row[hit.image_id]
        assert hit.caption == index.captions[row][(index.text_features[row] @ query).argmax()], (
            "of the image's captions the nearest"
        )


def test_a_image_finds_itself_as_array_as_pil_and_as_vector(index):
    image = index.image(index.image_ids[7])
    for query in image, Image.fromarray(image.transpose(1, 2, 0)), 3 * index.image_features[7]:
        hit = index.search(query, k=1)[0]
        assert hit.image_id == index.image_ids[7] and hit.score == pytest.approx(1, abs=1e-4)


def test_captions_are_searched_too(index):
    hits = index.search_captions(index.text_features[4, 2], k=3)
    assert hits[0].score == pytest.approx(1, abs=1e-4)
    same_words = [
        c
        for captions in index.captions
        for c in captions
        if index.tokenizer.encode(c) == index.tokenizer.encode(index.captions[4][2])
    ]
    assert hits[0].caption in same_words or index.captions[4][2] == hits[0].caption


@pytest.mark.parametrize("query", ["", "   ", "狗在雪地里", "🐕"])
def test_a_query_without_a_known_word_finds_nothing(index, query):
    assert index.search(query) == [] and index.search_captions(query) == []


def test_k_may_exceed_the_collection(index):
    assert (
        len(index.search("dog", k=500)) == 20
        and len({hit.image_id for hit in index.search("dog", k=500)}) == 20
    )
    assert index.search("dog", k=0) == []


def test_a_vector_of_the_wrong_length_is_named(index):
    with pytest.raises(ValueError, match=r"vector \(512,\).*array \(3,\)"):
        index.search(np.ones(3))


def test_saved_and_loaded_it_finds_the_same(index, tmp_path):
    index.save(tmp_path / "index.npz")
    loaded = ImageIndex.load(tmp_path / "index.npz", index.model, index.tokenizer)
    assert loaded.search("a blue boat", 5) == index.search("a blue boat", 5)
    assert (loaded.image(index.image_ids[3]) == index.image(index.image_ids[3])).all()
    other = create_model(dataclasses.replace(RECIPES["quick"], embed_dim=64))
    with pytest.raises(ValueError, match="built with another model"):
        ImageIndex.load(tmp_path / "index.npz", other, index.tokenizer)
    with pytest.raises(FileNotFoundError, match="ImageIndex.build"):
        ImageIndex.load(tmp_path / "no.npz", index.model, index.tokenizer)
