"""What the tests of the retrieval widget share: a small index, and what is seen of a widget."""

import dataclasses

import numpy as np
import torch

from clipnb import RECIPES, CaptionDataset, ImageIndex, create_model, train_tokenizer

NAMES = [
    "red dog",
    "blue boat",
    "green tree",
    "white cat",
    "black car",
    "yellow kite",
    '<b>bold</b> & "fish"',
    "purple ball",
]


def build_index():
    """Encode eight plain coloured images with three captions each by an untrained model."""
    colours = np.random.default_rng(0).integers(256, size=(len(NAMES), 3, 1, 1), dtype=np.uint8)
    images = colours.repeat(32, axis=2).repeat(32, axis=3)  # (8, 3, 32, 32)
    captions = [[f"a {name} .", f"{name} on the grass", name] for name in NAMES]
    image_ids = [f"{i}.png" for i in range(len(NAMES))]
    dataset = CaptionDataset("toy", "test", images, captions, image_ids)
    tokenizer = train_tokenizer([text for own in captions for text in own], vocab_size=200)
    torch.manual_seed(0)
    model = create_model(dataclasses.replace(RECIPES["quick"], vocab_size=200, embed_dim=16))
    return ImageIndex.build(model, tokenizer, dataset)


def read_cards(widget):
    """Return the HTML of the visible cards, images included."""
    return [card.text.value + card.children[-1].value for card in widget.gallery.children]
