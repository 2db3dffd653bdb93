"""Recipes: a recipe that contradicts itself is refused, and the message names the choices."""

import dataclasses

import pytest


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"loss": "hinge"}, "loss 'hinge' is unknown; choose one of clip, siglip"),
        ({"sampling": "columns"}, "choose one of images, rows"),
        ({"tokenizer": "words"}, "choose one of captions, clip"),
        ({"optimizer": "sgd"}, "choose one of adamw, muon"),
        (
            {"image_encoder": "vit", "image_size": 64, "crop_size": 48},
            "a position for each patch of an image of 64 px",
        ),
        ({"text_loss": 1.0, "captions_per_image": 1}, "set captions_per_image to 2 or more"),
        ({"tokenizer": "clip", "vocab_size": 4096}, "49,408 ids.*set vocab_size=49408"),
    ],
)
def test_an_impossible_recipe_is_refused_with_the_choices(recipe, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(recipe, **changes)
