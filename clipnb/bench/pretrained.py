"""How fast the published CLIP is in our modules: `python -m clipnb bench pretrained`.

Everything is compared with open_clip, in turns, in one process, on the same inputs and with the
same random weights at their true sizes. A ratio above 1 means faster than open_clip.
"""

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.accelerate import METHODS, open_towers, write_towers
from clipnb.bench import baselines
from clipnb.bench.comparisons import VIT
from clipnb.bench.search import compare_times
from clipnb.bench_report import pretrained_tables
from clipnb.model import CLIP, create_model
from clipnb.optimizers import make_optimizer
from clipnb.pretrained.names import rename_to_ours
from clipnb.records import record_benchmark
from clipnb.runtime import (
    autocast,
    get_device,
    keep_freed_memory,
    may_use_bf16,
    memory_format,
    progress,
)
from clipnb.search.onnx import silence_exporter, store_weights_in_int8
from clipnb.steps import train_step
from clipnb.tokenizer import trim_padding
from clipnb.towers.published import adopt_architecture, read_architecture

CPU = torch.device("cpu")
# AdamW on the loss of the paper. The rate is so small that the weights stay what they are.
RECIPE = replace(VIT, learning_rate=1e-7)
ROUNDS = {1: 15, 8: 7, 32: 3}  # by batch size; small batches are quick and their times vary more
LENGTH = 14  # tokens of a text, [START] and [EOS] included, as in a caption of Flickr8k
METHOD_UNITS = {"encode_image": "images per second", "encode_text": "texts per second"}


@dataclass
class Pair:
    """The same CLIP twice, with the same weights: in our modules and in open_clip's."""

    ours: CLIP
    theirs: nn.Module


def run_pretrained_benchmark() -> str:
    """Measure everything, write the record, and print it. Returns the record's path as text.

    The record is `results/bench/pretrained-<cpu>.json`. It takes five minutes and 5 GB of memory.
    """
    results = {"encoding": compare_encoding("ViT-B-32")}
    for part, compare in {"forward": compare_forward, "training step": compare_steps}.items():
        results[part] = {name: compare(name) for name in ("ViT-B-32", "RN50")}
    path, record = record_benchmark(results, prefix="pretrained-")
    print(pretrained_tables(record))
    return path


def make_pair(name: str) -> Pair:
    """Make a published model twice, with the same random weights."""
    import open_clip

    with silence_exporter():  # it warns that the weights are random
        theirs = open_clip.create_model(name, output_dict=True)
    ours = create_model(adopt_architecture(RECIPE, name))
    ours.load_state_dict(rename_to_ours(theirs.state_dict(), read_architecture(name)))
    return Pair(ours, theirs)


def make_inputs(model: CLIP, batch_size: int) -> dict[str, Tensor]:
    """Make random inputs for both methods: images float32 (B, 3, S, S), tokens int64 (B, T).

    T is the context length that open_clip needs, 77 for all published models.
    """
    generator = torch.Generator().manual_seed(0)
    size = model.preprocess.size
    images = torch.randn(batch_size, 3, size, size, generator=generator)
    vocab_size = model.text_encoder.token_embedding.num_embeddings
    tokens = torch.randint(1, vocab_size - 2, (batch_size, LENGTH), generator=generator)
    tokens[:, 0], tokens[:, -1] = vocab_size - 2, vocab_size - 1  # [START] and [EOS]
    context_length = len(model.text_encoder.positional_embedding)
    return {"encode_image": images, "encode_text": baselines.pad_tokens(tokens, context_length)}


# ---- encoding --------------------------------------------------------------------------------


def compare_encoding(name: str, rounds: dict[int, int] = ROUNDS) -> dict[str, dict]:
    """Compare the ways to encode with open_clip's on the CPU, by batch size.

    rounds: {batch size: how many rounds}. Returns findings by method's unit, batch size and way.
    Each finding has also the lowest "cosine" of its features with open_clip's. One way at a time is
    in memory.
    """
    pair = make_pair(name)
    pair.ours.eval()
    pair.theirs.eval()
    results = {unit: {f"batch {size}": {} for size in rounds} for unit in METHOD_UNITS.values()}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        ways = list_ways(pair.ours, Path(folder))
        for way, open_way in progress(ways.items(), desc=f"encoding, {name}"):
            encoder = open_way()
            for batch_size, n in rounds.items():
                for method, inputs in make_inputs(pair.ours, batch_size).items():
                    if method not in encoder:  # a way that concerns texts alone
                        continue
                    ours = partial(encoder[method], inputs)
                    theirs = partial(getattr(pair.theirs, method), inputs)
                    finding = compare_times(ours, theirs, n, batch_size)
                    finding["unit"] = METHOD_UNITS[method]
                    finding["cosine"] = find_lowest_cosine(ours(), theirs())
                    results[finding["unit"]][f"batch {batch_size}"][way] = finding
    return results


Encoder = dict[str, Callable[[Tensor], Tensor]]  # by the name of the method


def list_ways(model: CLIP, folder: Path) -> dict[str, Callable[[], Encoder]]:
    """List the ways to encode that there are on this machine: functions that make them ready.

    folder: for the ONNX files, which are written once.
    """
    ways = {
        "ours": lambda: take_methods(model),
        "ours, texts cut to the longest": lambda: trim_texts(model),
    }
    if may_use_bf16(CPU):
        ways["ours, bfloat16"] = lambda: encode_in_bf16(model)
    if not has_libraries("onnx", "onnxruntime", "onnxscript"):
        return ways

    def open_exported(backend: str, precision: str = "float32", int8: bool = False) -> Encoder:
        if not any(folder.iterdir()):
            write_towers(model, folder)
        if not int8:
            return take_methods(open_towers(model, folder, backend, precision))
        with tempfile.TemporaryDirectory() as copy:
            for path in folder.glob("*.onnx"):
                store_weights_in_int8(Path(shutil.copy(path, copy)))
            return take_methods(open_towers(model, Path(copy), backend, precision))

    ways["ONNX Runtime"] = partial(open_exported, "onnxruntime")
    ways["ONNX Runtime, int8 weights"] = partial(open_exported, "onnxruntime", int8=True)
    if not has_libraries("openvino"):
        return ways
    ways["OpenVINO, float32"] = partial(open_exported, "openvino")
    if may_use_bf16(CPU):
        ways["OpenVINO, bfloat16"] = partial(open_exported, "openvino", "bfloat16")
    return ways


def has_libraries(*names: str) -> bool:
    """Tell whether all libraries of these names are installed."""
    return all(importlib.util.find_spec(name) for name in names)


def take_methods(model: nn.Module) -> Encoder:
    """Return the two methods of a model that encode."""
    return {method: getattr(model, method) for method in METHODS}


def trim_texts(model: CLIP) -> Encoder:
    """Return an encoder of texts that cuts off the padding which all texts of a batch share."""
    return {"encode_text": lambda tokens: model.encode_text(trim_padding(tokens))}


def encode_in_bf16(model: CLIP) -> Encoder:
    """Return an encoder that computes in bfloat16."""

    def encode(method: str, inputs: Tensor) -> Tensor:
        with autocast(CPU):
            return getattr(model, method)(inputs)

    return {method: partial(encode, method) for method in METHODS}


def find_lowest_cosine(ours: Tensor, theirs: Tensor) -> float:
    """Return the lowest cosine of the rows of two arrays of features (B, D)."""
    return F.cosine_similarity(ours.double(), theirs.double()).min().item()


# ---- forward and step ------------------------------------------------------------------------


def compare_forward(name: str, batch_size: int = 8, rounds: int = 7) -> dict[str, dict]:
    """Compare the forward pass of both towers, in training mode with gradients, by method.

    Both sides get texts of 77 tokens and compute in float32.
    """
    keep_freed_memory()
    pair = make_pair(name)
    results = {}
    for method, inputs in make_inputs(pair.ours, batch_size).items():
        ours = partial(getattr(pair.ours.train(), method), inputs)
        theirs = partial(getattr(pair.theirs.train(), method), inputs)
        results[method] = compare_times(ours, theirs, rounds, batch_size)
        results[method]["unit"] = METHOD_UNITS[method]
    return results


def compare_steps(name: str, batch_size: int = 8, rounds: int = 5) -> dict[str, dict]:
    """Compare a whole training step: forward, loss, backward, AdamW.

    Each side takes it as its own training loop does, in the same precision. "same tokens": both get
    77. "own lengths": ours is given texts cut to the longest, as our batches are; open_clip's text
    transformer takes no shorter ones.
    """
    from open_clip.loss import ClipLoss

    keep_freed_memory()
    pair, device = make_pair(name), get_device()
    inputs = make_inputs(pair.ours, batch_size)
    images, tokens = inputs["encode_image"].to(device), inputs["encode_text"].to(device)
    model = pair.ours.train().to(device, memory_format=memory_format(device))
    other = pair.theirs.train().to(device)
    optimizer = make_optimizer(model, RECIPE)
    other_optimizer = baselines.make_open_clip_optimizer(other, RECIPE)
    compute_loss = ClipLoss()

    def take_their_step() -> float:
        step = baselines.take_open_clip_step
        loss = step(other, other_optimizer, compute_loss, images, tokens).item()
        other_optimizer.zero_grad()  # the gradients of one side at a time: less memory
        return loss

    results = {}
    for title, texts in {"same tokens": tokens, "own lengths": trim_padding(tokens)}.items():

        def take_our_step(texts: Tensor = texts) -> float:
            loss = train_step(model, optimizer, images, texts[None], RECIPE).item()
            optimizer.zero_grad()
            return loss

        results[title] = compare_times(take_our_step, take_their_step, rounds, batch_size)
        results[title]["unit"] = "pairs per second"
    return results
