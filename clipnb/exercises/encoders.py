"""The exercises of notebook 02: encoders."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.encoders import BagOfWords
from clipnb.exercises import Properties, is_close
from clipnb.model import CLIP

# Mean recall in percent of `train_own_encoder`, seeds 0 to 2: TinyCNN with batch norm gets 52 to
# 54, four times conv_norm_relu 60 to 62, ResidualCNN 67 to 69.
ENOUGH_RECALL = 57
MAX_PARAMETERS = 1_000_000


def small_vocabulary(answer: int) -> Properties:
    """Yield the properties of the baseline's size with a vocabulary of 4,096 entries."""
    yield "The model is smaller than before.", answer < 7_351_489
    yield "The positions, blocks, convolutions and projections are still there.", answer > 1_027_265
    yield (
        "Every entry has one row of the token table, and no other part changes.",
        answer == 1_551_553,
    )


def layers_to_see(answer: int) -> Properties:
    """Yield the properties of the number of strided layers whose field is at least 224 pixels."""
    field = 1 + sum(2 * 2**i for i in range(int(answer)))
    yield "It is a whole number.", answer == int(answer)
    yield "With so many layers the field has at least 224 pixels.", field >= 224
    yield "With one layer less it has not.", field - 2**answer < 224


def eos_pooling(answer: Callable[[Tensor, Tensor], Tensor]) -> Properties:
    """Yield the properties of pooling by the output at [EOS]."""
    torch.manual_seed(0)
    x = torch.randn(3, 6, 4)  # (B, T, D)
    tokens = torch.tensor([[9, 5, 7, 8, 0, 0], [9, 5, 8, 0, 0, 0], [9, 7, 5, 5, 7, 8]])
    pooled = answer(x, tokens)
    yield "It returns one vector for each text, (B, D).", pooled.shape == (3, 4)
    yield "A text that fills all places is read at its last place.", is_close(pooled[2], x[2, 5])
    yield "A shorter text is read at [EOS], before the padding.", is_close(pooled[0], x[0, 3])

    longer = answer(F.pad(x, (0, 0, 0, 2)), F.pad(tokens, (0, 2)))
    yield "Extra padding changes nothing.", is_close(longer, pooled)

    with_mark = torch.tensor([[9, 5, 0, 7, 8, 0], [9, 0, 0, 8, 0, 0], [9, 7, 5, 5, 0, 8]])
    expected = x[torch.arange(3), torch.tensor([4, 3, 5])]
    yield "A real 0 inside a text is no padding.", is_close(answer(x, with_mark), expected)

    own_ids = torch.tensor([[1, 50, 70, 2, 0, 0], [1, 30, 2, 0, 0, 0], [1, 70, 50, 50, 70, 2]])
    expected = x[torch.arange(3), torch.tensor([3, 2, 5])]
    yield (
        "It works for a tokenizer whose [EOS] is not the largest id.",
        is_close(answer(x, own_ids), expected),
    )


def looking_back(answer: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Properties:
    """Yield the properties of attention in which a token sees itself and what is before it."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 5, 4)  # (T, d) each
    out = answer(q, k, v)
    yield "It returns one vector for each token, (T, d).", out.shape == (5, 4)
    yield "The first token sees only itself.", is_close(out[0], v[0])

    later_k, later_v = k.clone(), v.clone()
    later_k[4] += 1
    later_v[4] += 1
    changed = answer(q, later_k, later_v)
    yield (
        "A change of the last token leaves all outputs before it alone.",
        is_close(changed[:4], out[:4]),
    )
    yield "A change of the last token changes its own output.", not is_close(changed[4], out[4])

    weights = answer(q, k, torch.eye(5))  # with these values the outputs are the weights
    yield "The weights of every token add up to 1.", is_close(weights.sum(dim=1), torch.ones(5))
    full = F.scaled_dot_product_attention(q, k, v)
    yield (
        "The last token sees all, with the weights of ordinary attention.",
        is_close(out[4], full[4]),
    )

    q, k, v = torch.randn(3, 2, 8, 6, 16)  # (B, heads, T, d) each
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    yield "It works on (B, heads, T, d) as well.", is_close(answer(q, k, v), expected, 1e-3)


def folded_norm(answer: Callable[[nn.Conv2d, nn.BatchNorm2d], nn.Conv2d]) -> Properties:
    """Yield the properties of a convolution into which a batch norm has been folded."""
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
    norm = nn.BatchNorm2d(8)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
        norm(conv(torch.randn(16, 3, 12, 12)))  # so that the running averages are not 0 and 1
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.01, 2)
        norm.running_var[0] = norm.eps  # a map that hardly varies
        norm.eval()
        images = torch.randn(4, 3, 12, 12)
        expected = norm(conv(images))
        weight_before = conv.weight.clone()

        folded = answer(conv, norm)
        yield (
            "It returns a convolution with a bias.",
            isinstance(folded, nn.Conv2d) and folded.bias is not None,
        )
        out = folded(images)
        yield "The output has the shape that it had before.", out.shape == expected.shape
        zeros = torch.zeros(1, 3, 12, 12)
        yield (
            "A black image gives what it gave before.",
            is_close(folded(zeros), norm(conv(zeros)), 1e-3),
        )
        yield "Every image gives what it gave before.", is_close(out, expected, 1e-3)
        yield "The convolution that came in is unchanged.", torch.equal(conv.weight, weight_before)


def own_image_encoder(answer: Callable[[], nn.Module]) -> Properties:
    """Yield the properties of an image encoder of the reader's own. The last one trains it."""
    torch.manual_seed(0)
    encoder = answer()
    brightness = torch.tensor([-0.5, 0.0, 0.5])
    images = brightness[:, None, None, None] + torch.rand(3, 3, 64, 64) - 0.5
    width = getattr(encoder, "width", None)
    yield "It has a `width`, a whole number.", isinstance(width, int)
    features = encoder(images)
    yield "It maps images (3, 3, 64, 64) to (3, width).", features.shape == (3, width)
    distances = torch.pdist(features.detach())
    yield "Different images have different features.", bool((distances > 1e-6).all())

    n_parameters = sum(p.numel() for p in encoder.parameters())
    yield (
        f"It has at most {MAX_PARAMETERS:,} parameters; now it has {n_parameters:,}.",
        n_parameters <= MAX_PARAMETERS,
    )
    features.square().sum().backward()
    without = [name for name, p in encoder.named_parameters() if p.grad is None]
    yield f"Every parameter gets a gradient; these get none: {', '.join(without)}.", not without

    recall = train_own_encoder(answer)
    yield (
        f"Trained, it reaches a mean recall of {ENOUGH_RECALL} %; now it has {recall:.1f} %.",
        recall >= ENOUGH_RECALL,
    )


def train_own_encoder(make_encoder: Callable[[], nn.Module], seed: int = 0) -> float:
    """Train an image encoder with a bag of words for two epochs of the scenes.

    make_encoder: makes the encoder, for images of 64 pixels, when it is called without arguments.
    Returns the mean recall on the dev split, in percent.
    """
    from clipnb.batches import iterate_batches, steps_per_epoch
    from clipnb.datasets import load_dataset
    from clipnb.features import tokenize
    from clipnb.loop import evaluate, iterate_training, make_tokenizer
    from clipnb.optimizers import make_optimizer
    from clipnb.recipes import RECIPES
    from clipnb.runtime import get_device, memory_format, seed_everything
    from clipnb.steps import train_step

    recipe = dataclasses.replace(RECIPES["quick"], name="own_encoder", epochs=2)
    train_set = load_dataset(recipe.dataset, "train", recipe.image_size)
    dev_set = load_dataset(recipe.dataset, "dev", recipe.image_size)
    tokenizer = make_tokenizer(recipe, train_set.captions)
    tokens = tokenize(tokenizer, train_set.captions)  # (N, K, T)

    device = get_device()
    seed_everything(seed)
    model = CLIP(make_encoder(), BagOfWords(tokenizer.vocab_size))
    model = model.to(device, memory_format=memory_format(device))
    optimizer = make_optimizer(model, recipe)

    def open_epoch() -> Iterator[tuple[Tensor, Tensor]]:
        return iterate_batches(train_set, tokens, recipe, device)

    def take_step(*batch: Any) -> Tensor:
        return train_step(model, optimizer, *batch, recipe)

    steps = steps_per_epoch(train_set, recipe)
    for _ in iterate_training(model, optimizer, recipe, seed, steps, open_epoch, take_step):
        pass
    return evaluate(model, tokenizer, dev_set)["mean_recall"]
