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
    run_folder,
    seed_everything,
)
from clipnb.commands.options import parse_field
from clipnb.recipe_checks import RANGES

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
