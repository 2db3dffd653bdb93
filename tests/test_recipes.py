"""Recipes: a recipe that contradicts itself is refused, and the message names the choices."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from clipnb import RECIPES, fit_to_dataset

OLDER_DIGESTS = {  # as they stand in the names of runs that were trained before `freeze`
    "quick": "42aa9819",
    "quick_words": "cb40f84b",
    "baseline": "376f7aea",
    "baseline_rows": "cd1846a1",
    "two_minutes": "73be7855",
    "improved": "3034dd0a",
    "residual_bag": "aa376b92",
}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"loss": "hinge"}, "loss 'hinge' is unknown; choose one of clip, siglip"),
        ({"sampling": "columns"}, "choose one of images, rows"),
        ({"tokenizer": "words"}, "choose one of captions, clip"),
        ({"epochs": 0}, "epochs is 0; set it to a whole number from 1 to 100,000"),
        ({"optimizer": "sgd"}, "choose one of adamw, muon"),
        (
            {"image_encoder": "vit", "image_size": 64, "crop_size": 48},
            "a position for each patch of an image of 64 px",
        ),
        ({"text_loss": 1.0, "captions_per_image": 1}, "set captions_per_image to 2 or more"),
        ({"text_loss": 1.0, "sampling": "rows"}, "and sampling='images'"),
        ({"batch_size": 1}, "batch_size is 1; set it to a whole number from 2"),
        ({"optimizer": "muon", "learning_rate": 0}, "learning_rate; set it above 0"),
        ({"tokenizer": "clip", "vocab_size": 4096}, "49,408 ids.*set vocab_size=49408"),
    ],
)
def test_an_impossible_recipe_is_refused_with_the_choices(recipe, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(recipe, **changes)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"freeze": "all"}, "freeze 'all' is unknown; choose one of none, image, text, both"),
        ({"init_towers": "none"}, "init_towers 'none' is unknown; choose one of both, image, text"),
        ({"freeze": "text", "init_towers": "image"}, "random weights of the text encoder"),
        ({"freeze": "both", "init_towers": "text"}, "random weights of the image encoder"),
        ({"freeze": "image", "flip": True}, "cannot be changed at random; set min_crop_area=1"),
        ({"freeze": "both", "colour": 0.1}, "encodes each image only once"),
        ({"freeze": "image", "min_crop_area": 0.5}, "encodes each image only once"),
        ({"freeze": "image", "crop_size": 48}, "encodes each image only once"),
        ({"lora_rank": 2.5}, "lora_rank is 2.5; set it to a whole number from 0 to 4,096"),
        ({"lora_rank": -1}, "lora_rank is -1; set it to a whole number from 0 to 4,096"),
        ({"lora_rank": 4, "freeze": "both"}, "set freeze='none' or lora_rank=0"),
        (
            {"lora_rank": 4, "freeze": "image", "init_towers": "image"},
            "freeze='image' keeps all of them",
        ),
    ],
)
def test_an_adaptation_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(RECIPES["quick"], **changes)


def test_frozen_text_allows_augmentation_and_lora_of_the_image_encoder(recipe):
    recipe = dataclasses.replace(recipe, freeze="text", lora_rank=2)
    assert recipe.flip and recipe.min_crop_area < 1
    assert (recipe.frozen_towers, recipe.lora_towers) == ({"text"}, {"image"})
    assert dataclasses.replace(recipe, lora_rank=0).lora_towers == set()


@pytest.mark.parametrize(
    "field, value, plain",
    [
        ("batch_size", np.int64(64), 64),
        ("epochs", np.uint8(3), 3),
        ("epochs", torch.tensor(3), 3),
        ("learning_rate", np.float32(0.5), 0.5),
        ("weight_decay", np.float64(2), 2.0),
        ("weight_decay", 0, 0.0),
        ("flip", np.bool_(True), True),
        ("name", np.str_("other"), "other"),
    ],
)
def test_numbers_of_numpy_are_the_numbers_that_they_are(field, value, plain):
    recipe = dataclasses.replace(RECIPES["quick"], **{field: value})
    expected = dataclasses.replace(RECIPES["quick"], **{field: plain})
    assert type(getattr(recipe, field)) is type(plain)
    assert json.dumps(dataclasses.asdict(recipe)) == json.dumps(dataclasses.asdict(expected))
    assert recipe.digest() == expected.digest()


@pytest.mark.parametrize("value", [np.float64(64), np.array([64]), np.nan, np.bool_(True)])
def test_what_is_no_whole_number_is_refused_of_numpy_too(value):
    with pytest.raises(ValueError, match="batch_size is .* set it to a whole number from 2"):
        dataclasses.replace(RECIPES["quick"], batch_size=value)


def test_the_runs_of_older_recipes_keep_their_names():
    assert {name: RECIPES[name].digest() for name in OLDER_DIGESTS} == OLDER_DIGESTS
    quick = RECIPES["quick"]
    digests = {
        dataclasses.replace(quick, **changes).digest()
        for changes in ({}, {"freeze": "image"}, {"init_towers": "image"}, {"lora_rank": 1})
    }
    assert len(digests) == 4


@pytest.mark.parametrize("n_images", [2000, 6000])
@pytest.mark.parametrize("name", RECIPES)
def test_with_enough_images_a_recipe_stays_as_it_is(name, n_images, capsys):
    assert fit_to_dataset(RECIPES[name], n_images) is RECIPES[name]
    assert capsys.readouterr().out == ""


def test_with_few_images_batches_are_smaller_and_epochs_more(capsys):
    recipe = dataclasses.replace(RECIPES["quick"], dataset="holiday")
    fitted = fit_to_dataset(recipe, 120)
    assert fitted == dataclasses.replace(recipe, batch_size=16, epochs=40)
    assert capsys.readouterr().out == (
        "holiday has 120 training images, so quick takes batches of 16 instead of 128 and 40 "
        "epochs instead of 6.\n"
    )
    assert fit_to_dataset(recipe, 120, quiet=True) == fitted
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("n_images", [2, 3, 9, 48, 120, 500, 1000, 1999])
@pytest.mark.parametrize("name", RECIPES)
def test_a_fitted_recipe_has_whole_batches_and_about_the_usual_number_of_steps(name, n_images):
    recipe = RECIPES[name]
    fitted = fit_to_dataset(recipe, n_images)
    assert 2 <= fitted.batch_size <= min(n_images, recipe.batch_size)
    assert recipe.epochs <= fitted.epochs <= max(100, recipe.epochs)
    steps = fitted.epochs * (n_images // fitted.batch_size)
    usual = recipe.epochs * (6000 // recipe.batch_size)
    assert steps >= usual or fitted.epochs == max(100, recipe.epochs)
    assert fit_to_dataset(fitted, 6000) is fitted


def test_one_image_is_too_few():
    with pytest.raises(ValueError, match="scenes has 1 training images; at least 2"):
        fit_to_dataset(RECIPES["quick"], 1)
