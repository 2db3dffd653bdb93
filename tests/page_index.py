"""Small indexes with awkward captions and names, for the tests of the shared page."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from clipnb import CLIP, CaptionDataset, ImageIndex
from clipnb.encoders import BagOfWords, QuickGELU, TextTransformer, TinyCNN
from clipnb.features import encode_texts
from clipnb.search.bank import CaptionBank
from clipnb.search.words import collect_words
from clipnb.tokenizer import clip_tokenizer, train_tokenizer

NASTY = [
    "</script><script>window.attacked = 1</script>",
    "<img src=x onerror='window.attacked = 1'>",
    "<!-- <script> a comment that never ends",
    "\"quotes\" & 'ampersands' &lt;b&gt; {{data}} ${1}",
    "😀 a smile and 👩‍👩‍👧 a family",
    "\u202eright to left\u202c שלום עולם",
    "a line\u2028and a paragraph\u2029end",
    "long " * 2000,
]
PLAIN = ["a red dog in the snow .", "a blue boat", "two green trees", "a black cat on the street"]
CAPTIONS = [*PLAIN, *NASTY]


def make_images(n, side=32):
    """Return n plain coloured images, uint8 (n, 3, side, side)."""
    colours = np.random.default_rng(0).integers(256, size=(n, 3, 1, 1), dtype=np.uint8)
    return colours.repeat(side, axis=2).repeat(side, axis=3)


def make_model(encoder, width=32):
    """Return an untrained model and its tokenizer.

    encoder: "bag", "transformer", or "clip", a bag of words with CLIP's own vocabulary. "published"
    is a small text transformer with the parts of the published models: a causal mask, [EOS],
    QuickGELU. "published gelu" has GELU.
    """
    torch.manual_seed(0)
    if encoder.startswith("published"):
        tokenizer = clip_tokenizer(40)
        text_encoder = TextTransformer(
            tokenizer.vocab_size,
            40,
            width,
            layers=2,
            heads=4,
            causal=True,
            pooling="eos",
            activation=nn.GELU if encoder.endswith("gelu") else QuickGELU,
        )
    elif encoder == "clip":
        tokenizer = clip_tokenizer()
        text_encoder = BagOfWords(tokenizer.vocab_size, width)
    else:
        tokenizer = train_tokenizer([*CAPTIONS, *PLAIN * 9], vocab_size=400, context_length=40)
        if encoder == "bag":
            text_encoder = BagOfWords(tokenizer.vocab_size + 7, width)  # 7 rows without a token
        else:
            text_encoder = TextTransformer(tokenizer.vocab_size, 40, width, layers=2, heads=4)
    return CLIP(TinyCNN(), text_encoder, embed_dim=48).eval(), tokenizer


def make_index(encoder="bag", n_images=None):
    """Return an index of images with two captions each; the captions of CAPTIONS come first."""
    model, tokenizer = make_model(encoder)
    n = n_images or len(CAPTIONS)
    captions = [[CAPTIONS[i % len(CAPTIONS)], f"image number {i}"] for i in range(n)]
    names = [f"{i} {captions[i][0][:40]}.png" for i in range(n)]
    dataset = CaptionDataset("toy", "test", make_images(n), captions, names)
    index = ImageIndex.build(model, tokenizer, dataset)
    # The images of an untrained model all look alike. Random vectors are as far apart as can be.
    index.image_features = F.normalize(torch.randn(n, 48), dim=1)
    return index


def add_bank(index, threshold, n=30):
    """Give an index a bank of n training images, with the same threshold for every query."""
    torch.manual_seed(1)
    things = ["car", "dog", "boat"]
    captions = [f"{PLAIN[i % len(PLAIN)]} beside a {things[i % 3]}" for i in range(n)]
    index.bank = CaptionBank(
        index.model,
        index.tokenizer,
        captions,
        features=encode_texts(index.model, index.tokenizer(captions)),
        image_features=F.normalize(torch.randn(n, 48), dim=1),
        words=collect_words([captions]),
        thresholds={"short": threshold, "long": threshold},
        error_rate=0.1,
        weights="",
    )
    return index
