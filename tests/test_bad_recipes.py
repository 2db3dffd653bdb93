"""Bad recipes, names and seeds: each is refused in one line that says what is wrong."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from bad_parts import check_message

from clipnb import (
    RECIPES,
    Recipe,
    create_model,
    run_folder,
    seed_everything,
)
from clipnb.commands.options import parse_field
from clipnb.model import create_image_encoder
from clipnb.recipe_checks import RANGES
from clipnb.towers.libraries import Backbone

QUICK = RECIPES["quick"]
TYPES = Recipe.__annotations__


def list_bad_numbers():
    """List (field, value) for each number of a recipe: outside of its range, or no number."""
    cases = []
    for field, (low, high) in RANGES.items():
        is_whole = TYPES[field] is int
        step = 1 if is_whole else 1e-3
        values = [low - step, high * 2, -1e9 if not is_whole else -(10**9)]
        values += [math.nan, math.inf, -math.inf, None, "3", True, [1]]
        values += [low + 0.5] if is_whole else []
        cases += [(field, value) for value in values]
    return cases


BAD_NUMBERS = list_bad_numbers()
BAD_WORDS = [
    (field, value)
    for field in ("name", "dataset", "image_encoder", "text_encoder", "tokenizer", "loss")
    for value in (None, 3, "", " ", "a\0b", "a\nb", "\udcff")
] + [("flip", value) for value in (None, 0, 1, "true", math.nan)]


@pytest.mark.parametrize("field, value", BAD_NUMBERS + BAD_WORDS)
def test_a_field_outside_of_its_range_is_refused_by_name(field, value):
    with pytest.raises(ValueError) as error:
        dataclasses.replace(QUICK, **{field: value})
    check_message(error, "recipe", field)
    if field in RANGES:
        low, high = RANGES[field]
        check_message(error, f"from {low:,} to {high:,}")


@pytest.mark.parametrize("text", ["nan", "1e999", "-1", "", "x", "0x10", "1,5", "None"])
@pytest.mark.parametrize("field", RANGES)
def test_the_command_line_refuses_it_too(field, text):
    with pytest.raises(ValueError) as error:
        dataclasses.replace(QUICK, **{field: parse_field(QUICK, field, text)})
    check_message(error, field)


@pytest.mark.parametrize("field", RANGES)
def test_the_ends_of_a_range_are_in_it(field):
    low, high = RANGES[field]
    free = {"text_loss": 0.0, "captions_per_image": 2, "tokenizer": "captions"}
    for value in (low, high):
        recipe = dataclasses.replace(QUICK, **(free | {field: value}))
        assert getattr(recipe, field) == value


@pytest.mark.parametrize("image_encoder", ["vit", "clip_vit"])
@pytest.mark.parametrize("size", [4, 7, 9, 63, 2047])
def test_patches_fill_an_image(image_encoder, size):
    text = {"text_encoder": "bag_of_words", "image_encoder": image_encoder}
    with pytest.raises(ValueError) as error:
        dataclasses.replace(QUICK, image_size=size, **text)
    check_message(error, image_encoder, f"{size} px", "a multiple of 8 from 8 to 2,048")


@pytest.mark.parametrize("size", [4, 5, 7, 9, 17])
@pytest.mark.parametrize("image_encoder, width", [("tiny_cnn", 192), ("residual_cnn", 8)])
def test_a_convolution_takes_every_size(image_encoder, width, size):
    """Also the narrowest network, and odd pixels."""
    recipe = dataclasses.replace(
        QUICK, image_encoder=image_encoder, image_width=width, image_size=size, embed_dim=3
    )
    model = create_model(recipe)
    features = model.encode_image(torch.zeros(2, 3, size, size, dtype=torch.uint8))
    assert features.shape == (2, 3) and features.isfinite().all()


@pytest.mark.parametrize("name, size", [("vit_b_32", 65), ("vgg11", 8), ("convnext_tiny", 4)])
def test_an_encoder_of_a_library_names_a_size_that_it_cannot_take(name, size):
    recipe = dataclasses.replace(QUICK, image_encoder=f"torchvision/{name}", image_size=size)
    encoder = create_image_encoder(recipe).eval()
    with pytest.raises(ValueError) as error:
        encoder(torch.zeros(1, 3, size, size))
    check_message(error, f"torchvision/{name} takes no images of {size} px", "Set image_size")


def test_other_errors_of_a_library_are_told_as_they_are():
    """Such as one about memory."""
    broken = Backbone("own", torch.nn.Linear(3, 3), 3)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        broken(torch.zeros(1, 3, 64, 64))


FAMILY = "\U0001f469\u200d\U0001f467"  # two emoji and what joins them


@pytest.mark.parametrize("name", ["my\xa0photos", "\u5199\u3000\u771f", FAMILY, "e\u0301"])
def test_a_name_of_any_alphabet_is_a_text(name, own_cache):
    recipe = dataclasses.replace(QUICK, name=name, dataset=name)
    assert run_folder(recipe).name.startswith(f"{name}-{name}-0-")


def test_a_name_that_is_not_utf_8_is_told_as_such():
    with pytest.raises(ValueError) as error:
        dataclasses.replace(QUICK, dataset="caf\udce9")
    check_message(error, "dataset is 'caf\\udce9', which is not UTF-8", "Rename it")


BAD_NAMES = [
    "..", ".", "../x", "/etc/x", "a/b", "a\\b", "c:x", "a*", "a?", 'a"b', "a<b", "a>b", "a|b",
    " a", "a ", "a.", ".a", "x" * 101,
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_cannot_leave_its_folder(name, own_cache):
    with pytest.raises(ValueError) as error:
        run_folder(dataclasses.replace(QUICK, name=name))
    check_message(error, "part of a folder's name", repr(name))


@pytest.mark.parametrize("seed", ["../x", 1.5, None, True, "0"])
def test_a_seed_is_a_whole_number(seed, own_cache):
    with pytest.raises(ValueError) as error:
        run_folder(QUICK, seed)
    check_message(error, "seed", repr(seed))


def test_a_seed_of_numpy_is_the_number_that_it_is(own_cache):
    assert run_folder(QUICK, np.int64(3)) == run_folder(QUICK, 3)
    seed_everything(np.int64(3), 1)
    drawn = torch.rand(3)
    seed_everything(3, 1)
    assert torch.equal(drawn, torch.rand(3))
