"""The index: its search is exact with three kinds of query, and helpful with a wrong query."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from clipnb import ImageIndex, PhotoFolder, create_model, parse_query, train_tokenizer
from clipnb.preprocess import Preprocess
from clipnb.recipes import RECIPES
from clipnb.search.bank import fit_bank
from clipnb.search.thumbnails import MOST_BYTES


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


@pytest.mark.parametrize("query", [None, ["a dog"], b"a dog", {"a": "dog"}, object()])
def test_what_is_no_query_is_told(index, query):
    with pytest.raises(
        ValueError, match=f"a query is a text, .*; this is a {type(query).__name__}"
    ):
        index.search(query)


@pytest.mark.parametrize("k", [None, "2", 2.0, True, float("nan")])
def test_k_is_a_whole_number(index, k):
    with pytest.raises(ValueError, match="k is .*; set it to a whole number of images"):
        index.search("a dog", k)
    with pytest.raises(ValueError, match="k is .*; set it to a whole number of captions"):
        index.search_captions("a dog", k)
    assert len(index.search("a dog", np.int64(2))) == 2


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


def test_weights_that_change_after_an_index_was_built_are_not_those_of_the_index(index, tmp_path):
    with torch.no_grad():
        index.model.image_projection.weight.neg_()  # trained on, say
    index.save(tmp_path / "index.npz")
    with pytest.raises(ValueError, match="built with another model"):
        ImageIndex.load(tmp_path / "index.npz", index.model, index.tokenizer)


@pytest.mark.parametrize("vocab_size", [200, 4096])
def test_a_tokenizer_that_is_not_the_model_s_is_refused(index, tmp_path, vocab_size):
    index.save(tmp_path / "index.npz")
    backwards = [caption[::-1] for own in index.captions for caption in own]
    other = train_tokenizer(backwards, vocab_size)
    with pytest.raises(ValueError, match="built with another tokenizer.*run.tokenizer"):
        ImageIndex.load(tmp_path / "index.npz", index.model, other)


@pytest.mark.parametrize("length", [1e-40, 1e-20, 1e30, 1e300])
def test_a_vector_of_any_length_but_zero_is_a_query(index, length):
    vector = index.image_features[7].double()
    assert index.search(length * vector, 3) == index.search(vector, 3)
    with pytest.raises(ValueError, match="this vector is zero"):
        index.search(0 * vector)


# ---- queries of several terms ----------------------------------------------------------------


def test_terms_are_added_and_subtracted(index):
    found = index.encode(parse_query("2:dog + boat - tree"))
    by_hand = 2 * index.encode("dog") + index.encode("boat") - index.encode("tree")
    assert torch.allclose(found, by_hand / by_hand.norm(), atol=1e-6)


def test_an_image_file_is_a_term(index, tmp_path):
    path = tmp_path / "query.png"
    Image.fromarray(index.image(index.image_ids[5]).transpose(1, 2, 0)).save(path)
    assert index.search(path, k=1)[0].image_id == index.image_ids[5]
    assert index.search(parse_query(f"{path} + dog"), k=1)


def test_terms_without_a_known_token_are_left_out(index):
    found = index.encode(parse_query("狗 + dog"))
    assert torch.allclose(found, index.encode("dog"), atol=1e-6)
    assert index.search(parse_query("狗 + 犬"), 3) == []


@pytest.mark.parametrize("text", ["dog - dog", "0.5:dog + 0.5:dog - dog"])
def test_terms_that_cancel_are_told(index, text):
    with pytest.raises(ValueError, match="cancel each other"):
        index.search(parse_query(text))


def test_a_query_file_that_cannot_be_read_is_told(index, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    with pytest.raises(OSError, match=r"broken\.jpg cannot be read: it holds no image"):
        index.search(broken)
    with pytest.raises(FileNotFoundError):
        index.search(tmp_path / "gone.jpg")


# ---- a folder without captions ---------------------------------------------------------------


@pytest.fixture
def folder_index(index, tmp_path, monkeypatch):
    """The index of a folder that holds the images of `index` as files."""
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image_id in enumerate(index.image_ids):
        Image.fromarray(index.image(image_id).transpose(1, 2, 0)).save(folder / f"{i:02}.png")
    index.model.preprocess = Preprocess(32)
    return ImageIndex.build(index.model, index.tokenizer, PhotoFolder(folder))


def test_a_folder_is_searched_like_a_dataset(index, folder_index):
    assert torch.allclose(folder_index.image_features, index.image_features, atol=1e-5)
    found = folder_index.search("a red dog", 4)
    expected = index.search("a red dog", 4)
    rows = [index.row[hit.image_id] for hit in expected]
    assert [hit.image_id for hit in found] == [f"{row:02}.png" for row in rows]
    assert {hit.caption for hit in found} == {""}
    assert folder_index.search_captions("a red dog") == []


def test_its_images_and_thumbnails_come_from_the_files(index, folder_index):
    assert (folder_index.image("03.png") == index.image(index.image_ids[3])).all()
    assert 0 < len(folder_index.thumbnail("03.png")) <= MOST_BYTES
    assert 0 < len(index.thumbnail(index.image_ids[3])) <= MOST_BYTES


def test_an_index_without_captions_is_not_saved(folder_index, tmp_path):
    with pytest.raises(ValueError, match="kept in the cache"):
        folder_index.save(tmp_path / "index.npz")


# ---- the bank --------------------------------------------------------------------------------


def test_a_bank_answers_texts_and_nothing_else(index, small):
    bank = fit_bank(index.model, index.tokenizer, small("train"), small("dev"))
    with_bank = ImageIndex.build(index.model, index.tokenizer, small("test"), bank)
    assert with_bank.has_match("dog") in (True, False)
    assert with_bank.has_match(parse_query("2:dog")) == with_bank.has_match("dog")
    assert with_bank.has_match(parse_query("dog - cat")) is None
    assert with_bank.has_match(index.image_features[0]) is None
    assert index.has_match("dog") is None
    assert torch.equal(with_bank.encode("dog"), bank.expand("dog"))


def test_a_bank_of_another_model_is_refused(index, small):
    bank = fit_bank(index.model, index.tokenizer, small("train"), small("dev"))
    other = create_model(RECIPES["quick"])
    with pytest.raises(ValueError, match="another model"):
        ImageIndex.build(other, index.tokenizer, small("test"), bank)
