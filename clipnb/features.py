"""From images and captions to features, batch by batch, for training, evaluation and search."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.places import display_value
from clipnb.preprocess import Preprocess, find_preprocess
from clipnb.runtime import autocast, may_use_bf16

if TYPE_CHECKING:
    from clipnb.datasets import CaptionDataset
    from clipnb.tokenizer import Tokenizer

# The encoders of this course are smaller than this. They take seconds for a whole dataset, and
# their features stay exactly those of float32.
MIN_PARAMETERS = 10_000_000
PROBE_SIZE = 16  # inputs that are encoded both ways to see which is faster; fewer stay in float32
MIN_GAIN = 1.2  # less may be chance
CAPTIONS = 10_000  # that are tokenized at a time
# What was measured in this process, by the model's parameters, the kind of input and the device.
faster_in_bf16: dict[tuple[int, int, str], bool] = {}


def tokenize(tokenizer: "Tokenizer", captions: Sequence[Sequence[str]]) -> Tensor:
    """Turn N lists of K captions into tokens, int64 (N, K, T).

    Raises TypeError for an image with a single string in the place of its list, ValueError if there
    are no captions, or not equally many for all images.
    """
    if single := next((own for own in captions if isinstance(own, str)), None):
        shown = display_value(single)
        raise TypeError(f"captions are a list of strings for each image; one has {shown} alone.")
    numbers = {len(own) for own in captions}
    if len(numbers) != 1 or 0 in numbers:
        raise ValueError(
            f"all images need equally many captions, at least one; these have {sorted(numbers)}."
        )
    flat = [caption for own in captions for caption in own]
    # In blocks: while it works, the tokenizer takes ten times the memory of the tokens.
    blocks = [tokenizer(flat[i : i + CAPTIONS]) for i in range(0, len(flat), CAPTIONS)]
    tokens = torch.zeros(len(flat), max(block.shape[1] for block in blocks), dtype=torch.int64)
    for i, block in enumerate(blocks):
        tokens[i * CAPTIONS :][: len(block), : block.shape[1]] = block
    return tokens.view(len(captions), len(captions[0]), -1)


def sample_captions(tokens: Tensor, images: Tensor, n: int) -> Tensor:
    """Draw n different captions of each image at random, or all of them if there are fewer.

    tokens: int64 (N, K, T), the K captions of all N images. images: int64 (B,), which images.
    Returns int64 (B, min(n, K), T).
    """
    K = tokens.shape[1]
    drawn = torch.rand(len(images), K).argsort(dim=1)[:, :n]  # (B, n)
    return tokens[images[:, None], drawn]


@contextlib.contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for the length of a block, without gradients."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def apply_in_batches(
    model: nn.Module,
    function: Callable[[Tensor], Tensor],
    inputs: Tensor | np.ndarray,
    batch_size: int = 250,
) -> Tensor:
    """Apply a function that uses `model` to inputs (N, ...), one batch at a time.

    The model is in evaluation mode meanwhile, and each batch is on its device. Returns the
    function's outputs (N, ...) as float32 on the CPU. Raises ValueError for a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {display_value(batch_size)}; set it to 1 or more.")
    device = next(model.parameters()).device
    outputs = []
    with evaluation_mode(model):
        for start in range(0, len(inputs), batch_size):
            batch = inputs[start : start + batch_size]
            if not torch.is_tensor(batch):
                batch = torch.tensor(batch)  # copied: a memory-mapped array is read-only
            outputs.append(function(batch.to(device)).float().cpu())
    return torch.cat(outputs)


def encode_images(
    model: nn.Module, images: Tensor | np.ndarray, batch_size: int = 250, projected: bool = True
) -> Tensor:
    """Encode images (N, 3, S, S) as float32 on the CPU.

    They are uint8, or floating point as the model's `preprocess` makes them. Returns features
    (N, D) of unit length, or with `projected=False` the image encoder's own output (N, width). A
    large model computes in bfloat16 where that is faster (see `choose_precision`). Raises
    ValueError for an array of another shape or type, and for pixels out of range; TypeError for
    what is no array, or no model.
    """
    check_is_model(model)
    check_images(images)
    check_pixels(images, find_preprocess(model))

    def encode(batch: Tensor) -> Tensor:
        if batch.dtype == torch.uint8 and not projected:
            batch = find_preprocess(model).normalize(batch)
        if batch.is_floating_point():
            batch = batch.to(next(model.parameters()).dtype)
        if projected:
            return model.encode_image(batch, normalize=False)
        return model.image_encoder(batch)

    encode = choose_precision(model, encode, images)
    features = apply_in_batches(model, encode, images, batch_size)
    return F.normalize(features, dim=-1) if projected else features


def check_is_model(model: nn.Module) -> None:
    """Raise TypeError, in words, for what is no model."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"a model is a CLIP, such as run.model, not {display_value(model)}.")


def check_images(images: Tensor | np.ndarray) -> None:
    """Raise an error, in words, for an array that is not (N, 3, S, S) or holds no image.

    It is a ValueError, and a TypeError for what is no array.
    """
    if not hasattr(images, "shape"):
        raise TypeError(f"images are an array (N, 3, S, S), not a {type(images).__name__}.")
    shape = tuple(images.shape)
    if len(shape) == 4 and shape[1] == 3:
        if not len(images):
            raise ValueError("there are no images to encode.")
        return
    hint = ""
    if shape[-1:] == (3,) and shape[-3:-2] != (3,):
        hint = " Put the colours first: np.moveaxis(images, -1, -3)."
    elif len(shape) == 3:
        hint = " For one image (3, S, S), give image[None]."
    raise ValueError(f"images are an array (N, 3, S, S); this one is {shape}.{hint}")


def check_pixels(images: Tensor | np.ndarray, preprocess: Preprocess) -> None:
    """Raise ValueError, in words, for pixels that are neither uint8 nor normalised floats."""
    kind = str(getattr(images, "dtype", "uint8")).removeprefix("torch.")  # rows of uint8 tell none
    if kind == "uint8":
        return
    told = ""
    if kind in ("float32", "float16", "bfloat16"):
        ends = preprocess.normalize(np.array([0, 255], np.uint8)[:, None, None, None])
        most = 2 * ends.abs().max().item()  # augmentation may go beyond black and white
        low, high = float(images.min()), float(images.max())
        if -most <= low and high <= most:  # neither holds for NaN
            return
        told = f" from {low:.4g} to {high:.4g}"
    raise ValueError(
        f"the pixels are {kind}{told}; give uint8 from 0 to 255, or float32 as the model's "
        "preprocess makes them, which is in about [-1, 1]."
    )


def encode_texts(model: nn.Module, tokens: Tensor, batch_size: int = 1000) -> Tensor:
    """Encode tokens int64 (N, T) as features (N, D) of unit length, float32 on the CPU.

    A large model computes in bfloat16 where that is faster (see `choose_precision`).
    """
    check_is_model(model)
    encode = choose_precision(model, model.encode_text, tokens)
    return F.normalize(apply_in_batches(model, encode, tokens, batch_size), dim=-1)


def choose_precision(
    model: nn.Module, encode: Callable[[Tensor], Tensor], inputs: Tensor | np.ndarray
) -> Callable[[Tensor], Tensor]:
    """Return `encode`, or a function that does the same in bfloat16 if that is faster here.

    The processor must have bfloat16, but that alone is not enough: on a Xeon with AMX a ViT-B/32
    encodes 32 images three times as fast in bfloat16, and one short text more slowly. So the first
    16 inputs are timed both ways, once per process, model size, kind of input and device. Small
    models (`MIN_PARAMETERS`), models that are in half precision already, and fewer than 16 inputs
    are left alone. `CLIPNB_PRECISION=float32` turns bfloat16 off.
    """
    first, size = next(model.parameters()), sum(p.numel() for p in model.parameters())
    is_large = size >= MIN_PARAMETERS and len(inputs) >= PROBE_SIZE
    if not is_large or first.dtype != torch.float32 or not may_use_bf16(first.device):
        return encode

    def encode_in_bf16(batch: Tensor) -> Tensor:
        with autocast(first.device):
            return encode(batch)

    kind = (size, inputs.ndim, first.device.type)
    if kind not in faster_in_bf16:
        gain = measure_gain(model, encode_in_bf16, encode, inputs[:PROBE_SIZE])
        faster_in_bf16[kind] = gain >= MIN_GAIN
    return encode_in_bf16 if faster_in_bf16[kind] else encode


def measure_gain(
    model: nn.Module,
    encode: Callable[[Tensor], Tensor],
    usual: Callable[[Tensor], Tensor],
    inputs: Tensor | np.ndarray,
) -> float:
    """Return how many times as fast `encode` encodes some inputs as `usual` does."""
    seconds = {encode: [], usual: []}
    for _ in range(2):  # in turns; the first time of each warms up
        for function, own_seconds in seconds.items():
            start = time.perf_counter()
            apply_in_batches(model, function, inputs)
            own_seconds.append(time.perf_counter() - start)
    return min(seconds[usual]) / min(seconds[encode])


def encode_dataset(
    model: nn.Module, tokenizer: "Tokenizer", dataset: "CaptionDataset", batch_size: int = 250
) -> tuple[Tensor, Tensor]:
    """Encode all images and captions of a dataset.

    Returns image features (N, D) and text features (N, K, D), of unit length, float32 on the CPU.
    Raises TypeError for what is no dataset.
    """
    if not hasattr(dataset, "captions"):
        raise TypeError(
            f"{display_value(dataset)} is no dataset; give load_dataset(name, split, image_size)."
        )
    image_features = encode_images(model, dataset.images, batch_size)
    tokens = tokenize(tokenizer, dataset.captions)  # (N, K, T)
    text_features = encode_texts(model, tokens.flatten(0, 1), 4 * batch_size)  # (N*K, D)
    return image_features, text_features.view(*tokens.shape[:2], -1)


def digest_weights(model: nn.Module) -> str:
    """Return sixteen hexadecimal digits that change when any weight of a model does.

    So does QuickGELU in the place of GELU: published weights are often tried with both. A model
    made by `accelerate` has no weights of its own, but knows the digits of those it was made from.
    """
    if known := getattr(model, "weights_digest", ""):
        return known
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    if any(type(module).__name__ == "QuickGELU" for module in model.modules()):
        digest.update(b"QuickGELU")
    return digest.hexdigest()[:16]
