"""A model that encodes with OpenVINO or ONNX Runtime instead of PyTorch, for whoever only encodes.

Both libraries read the ONNX files of the two towers. What they gain depends on the processor:
`clipnb bench pretrained` measures it.
"""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipnb.features import digest_weights, evaluation_mode
from clipnb.preprocess import find_preprocess
from clipnb.runtime import may_use_bf16
from clipnb.search.onnx import Tower, export_tower, require_onnx

if TYPE_CHECKING:
    import openvino

METHODS = ("encode_image", "encode_text")
# Takes an array, returns the features (B, D) as one.
Session = Callable[[np.ndarray], np.ndarray]


class AcceleratedCLIP(nn.Module):
    """A CLIP whose two towers are programs of another library. It cannot be trained.

    It has what encoding needs: `encode_image`, `encode_text`, `preprocess`, `logit_scale` (and
    `logit_bias` if the model has one) and `embed_dim`. `weights_digest` tells which weights it was
    made from, so that an index of the one model fits the other. precision: "float32" or "bfloat16".
    """

    def __init__(self, model: nn.Module, sessions: dict[str, Session], precision: str):
        super().__init__()
        self.sessions = sessions
        self.precision = precision
        self.preprocess = find_preprocess(model)
        self.embed_dim = model.image_projection.out_features
        # A text encoder without positions, such as a bag of words, takes texts of any length.
        positions = getattr(model.text_encoder, "positional_embedding", None)
        self.context_length = None if positions is None else len(positions)
        self.weights_digest = digest_weights(model)
        for name in ("logit_scale", "logit_bias"):
            if hasattr(model, name):
                value = getattr(model, name).detach().cpu().clone()
                self.register_parameter(name, nn.Parameter(value, requires_grad=False))

    def encode_image(self, images: Tensor, normalize: bool = False) -> Tensor:
        """Encode images (B, 3, S, S), uint8 or as `preprocess` makes them, as `CLIP` does.

        Returns features float32 (B, D), of unit length if `normalize`. Raises ValueError for images
        of another size than the model's.
        """
        S = self.preprocess.size
        if images.ndim != 4 or images.shape[1:] != (3, S, S):
            raise ValueError(f"images are (B, 3, {S}, {S}) here; these are {tuple(images.shape)}.")
        if images.dtype == torch.uint8:
            images = self.preprocess.normalize(images)
        return self._encode("encode_image", images.float(), normalize)

    def encode_text(self, tokens: Tensor, normalize: bool = False) -> Tensor:
        """Encode tokens int64 (B, T), 0 is padding, as `CLIP` does.

        Returns features float32 (B, D), of unit length if `normalize`. Raises ValueError for texts
        longer than the model takes.
        """
        if tokens.ndim != 2 or not tokens.shape[1]:
            raise ValueError(f"tokens are (B, T) with T of at least 1, not {tuple(tokens.shape)}.")
        if self.context_length and tokens.shape[1] > self.context_length:
            raise ValueError(
                f"a text has at most {self.context_length} tokens here, not {tokens.shape[1]}; let "
                "the model's own tokenizer cut it."
            )
        return self._encode("encode_text", tokens.long(), normalize)

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode a batch of pairs as `CLIP` does. Returns both features and the scale."""
        image_features = self.encode_image(images, normalize=True)
        return image_features, self.encode_text(tokens, normalize=True), self.logit_scale.exp()

    def _encode(self, method: str, inputs: Tensor, normalize: bool) -> Tensor:
        if not len(inputs):  # the libraries differ in what they do with none
            return torch.zeros(0, self.embed_dim)
        features = self.sessions[method](inputs.detach().cpu().contiguous().numpy())
        features = torch.tensor(features)  # copied: the library may write there again
        return F.normalize(features, dim=-1) if normalize else features


def accelerate(
    model: nn.Module,
    backend: Literal["openvino", "onnxruntime"] = "openvino",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
) -> AcceleratedCLIP:
    """Return a model that encodes as `model` does, with OpenVINO or ONNX Runtime on the CPU.

    It takes batches of any size and texts of any length that `model` takes, and works wherever a
    model only encodes: an index, zero-shot, a folder of photos. precision: "auto" is bfloat16 with
    OpenVINO on a processor that is faster in it (see `runtime.has_bf16`), else float32. ONNX
    Runtime has float32 alone. Making it takes up to a minute for a published model, and it
    holds the weights a second time. Raises ValueError for an unknown backend or precision, and for
    a model that is not float32 or is accelerated already, ModuleNotFoundError without the extra
    `openvino` or `onnx`.
    """
    check_model(model)
    precision = resolve_precision(backend, precision)
    require_library(backend)
    with tempfile.TemporaryDirectory() as folder:
        write_towers(model, Path(folder))
        return open_towers(model, Path(folder), backend, precision)


def check_model(model: nn.Module) -> None:
    """Raise ValueError for a model that cannot be exported: not float32, or no PyTorch model."""
    if isinstance(model, AcceleratedCLIP):
        raise ValueError("this model is accelerated already; give the model it was made from.")
    others = {parameter.dtype for parameter in model.parameters()} - {torch.float32}
    if others:
        raise ValueError(f"this model has weights in {others.pop()}; call `model.float()` first.")


def write_towers(model: nn.Module, folder: Path) -> None:
    """Write both towers of a model as ONNX files into a folder, named after the two methods."""
    with evaluation_mode(model):
        for method, (example, axes) in make_examples(model).items():
            tower = Tower(model, method, normalize=False)
            export_tower(tower, example, axes, folder / f"{method}.onnx", int8=False)


def open_towers(model: nn.Module, folder: Path, backend: str, precision: str) -> AcceleratedCLIP:
    """Open the ONNX files of a model's towers that `write_towers` wrote."""
    sessions = {
        method: BACKENDS[backend](folder / f"{method}.onnx", precision) for method in METHODS
    }
    return AcceleratedCLIP(model, sessions, precision).eval()


def resolve_precision(backend: str, precision: str) -> str:
    """Return "float32" or "bfloat16". Raises ValueError for what there is not."""
    if backend not in BACKENDS:
        raise ValueError(f"backend {backend!r} is unknown; choose one of {', '.join(BACKENDS)}.")
    choices = ("auto", "float32", "bfloat16") if backend == "openvino" else ("auto", "float32")
    if precision not in choices:
        raise ValueError(
            f"precision {precision!r} is none that {backend} has here; choose one of "
            f"{', '.join(choices)}."
        )
    if precision != "auto":
        return precision
    return "bfloat16" if backend == "openvino" and may_use_bf16(torch.device("cpu")) else "float32"


def require_library(backend: str) -> None:
    """Raise ModuleNotFoundError, with what to install, if a library is missing."""
    extra = "openvino" if backend == "openvino" else "onnx"
    try:
        __import__(backend)
    except ModuleNotFoundError:
        message = f"the backend {backend} needs {backend}: pip install 'clipnb[{extra}]'"
        raise ModuleNotFoundError(message, name=backend) from None
    require_onnx()


def make_examples(model: nn.Module) -> dict[str, tuple[Tensor, dict[int, str]]]:
    """Make an input for each tower, with the names of those axes that may have any length."""
    size = find_preprocess(model).size
    return {
        "encode_image": (torch.zeros(2, 3, size, size), {0: "batch"}),
        "encode_text": (torch.ones(2, 5, dtype=torch.int64), {0: "batch", 1: "length"}),
    }


# ---- the libraries ---------------------------------------------------------------------------


def open_openvino(path: Path, precision: str) -> Session:
    """Open an ONNX file with OpenVINO, which computes in the given precision."""
    core = start_openvino()
    options = {
        # By default it would choose bfloat16 also where that is slower.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    # Compiled from its text: a model that was read from a file would keep that file open.
    compiled = core.compile_model(core.read_model(path.read_bytes(), b""), "CPU", options)

    def run(inputs: np.ndarray) -> np.ndarray:
        return compiled(inputs)[0]

    return run


@functools.cache
def start_openvino() -> "openvino.Core":
    """Start OpenVINO, once in a process. Returns its `openvino.Core`.

    A Core gives the thread a stack for signals, and puts the former stack back when it is deleted.
    If there are two, the one that is deleted first frees its stack, and the other one puts that
    freed stack back. The next signal, such as Ctrl-C or the end of a child process, would then kill
    the process.
    """
    import openvino

    return openvino.Core()


def open_onnxruntime(path: Path, precision: str = "float32") -> Session:
    """Open an ONNX file with ONNX Runtime, which has float32 alone."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    # A function of its own, which a copy of the model shares: a session cannot be copied.
    def run(inputs: np.ndarray) -> np.ndarray:
        return session.run(None, {name: inputs})[0]

    return run


BACKENDS: dict[str, Callable[[Path, str], Session]] = {
    "openvino": open_openvino,
    "onnxruntime": open_onnxruntime,
}
