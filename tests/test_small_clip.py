"""The small CLIP of many experiments: what it costs."""

import dataclasses

from clipnb import RECIPES, create_model
from clipnb.experiments.small_clip import count_multiply_adds

TINY = dataclasses.replace(RECIPES["quick"], image_encoder="tiny_cnn", image_size=48)


def test_multiply_adds_are_those_counted_by_hand():
    model = create_model(TINY)
    image, text = count_multiply_adds(model, 32, n_tokens=12)
    convolutions = 16**2 * 32 * 3 * 9 + 8**2 * 64 * 32 * 9 + 4**2 * 128 * 64 * 9
    assert image == convolutions + model.image_projection.weight.numel()
    assert text == model.text_projection.weight.numel()  # a bag of words looks its words up
