"""Arguments of another kind than a function takes: each is told in one line."""

import numpy as np
import pytest
from bad_parts import check_message
from widget_parts import build_index

from clipnb import ImageIndex, encode_images, load_or_train, train


@pytest.fixture(scope="module")
def index():
    return build_index()


@pytest.mark.parametrize("use", [train, load_or_train])
@pytest.mark.parametrize("recipe", [None, 3, {"name": "quick"}, ["quick"]])
def test_what_is_no_recipe_is_told(use, recipe, own_cache):
    with pytest.raises(TypeError) as error:
        use(recipe)
    check_message(error, "a recipe is one of clipnb.RECIPES, or its name, not", repr(recipe))


@pytest.mark.parametrize("use", [train, load_or_train])
def test_an_unknown_name_lists_those_that_there_are(use, own_cache):
    with pytest.raises(ValueError) as error:
        use("quik")
    check_message(error, "no recipe 'quik'; there are quick,")


@pytest.mark.parametrize("photos", [None, [1, 2], "Pictures", np.zeros((2, 3, 8, 8))])
def test_an_index_is_built_of_a_dataset(photos, index):
    with pytest.raises(TypeError) as error:
        ImageIndex.build(index.model, index.tokenizer, photos)
    check_message(error, "a CaptionDataset or a PhotoFolder, not of", type(photos).__name__)


@pytest.mark.parametrize("images", [None, [1, 2], "photo.jpg"])
def test_images_are_an_array(images, index):
    with pytest.raises(TypeError) as error:
        encode_images(index.model, images)
    check_message(error, "images are an array (N, 3, S, S), not a", type(images).__name__)


@pytest.mark.parametrize("number", [-1, 10**6])
def test_an_id_outside_of_the_vocabulary_is_told(number, index):
    last = index.tokenizer.vocab_size - 1
    assert index.tokenizer.decode([last])
    with pytest.raises(ValueError) as error:
        index.tokenizer.decode([last, number])
    check_message(error, f"{number} is no id of this vocabulary: 0 to {last}")
