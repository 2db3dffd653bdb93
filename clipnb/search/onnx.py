"""A model as ONNX files: both towers for programs that know no PyTorch."""

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clipnb.disk import list_entries
from clipnb.features import evaluation_mode
from clipnb.places import check_path
from clipnb.preprocess import find_preprocess
from clipnb.runtime import display_path, replace_when_done
from clipnb.tokenizer import Tokenizer

FILES = ("image_encoder.onnx", "text_encoder.onnx", "tokenizer.json", "README.txt")
README = """\
A CLIP model as ONNX files, made by clipnb. This is how to call it from Python:

    pip install numpy onnxruntime pillow tokenizers

    import numpy as np
    import onnxruntime
    from PIL import Image, ImageOps
    from tokenizers import Tokenizer

    image_encoder = onnxruntime.InferenceSession("image_encoder.onnx")
    text_encoder = onnxruntime.InferenceSession("text_encoder.onnx")
    tokenizer = Tokenizer.from_file("tokenizer.json")
    START = tokenizer.token_to_id("<start_of_text>")
    END = tokenizer.token_to_id("<end_of_text>")


    def encode_image(path):
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGBA")  # upright
        white = Image.new("RGBA", image.size, "white")  # where the image is transparent
        image = Image.alpha_composite(white, image).convert("RGB")
{scaling}
        pixels = np.asarray(image).transpose(2, 0, 1)[None]  # uint8 (1, 3, {size}, {size})
        return image_encoder.run(None, {{"images": pixels}})[0][0]


    def encode_text(text):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        tokens = np.array([[START, *ids[:{most}], END]])  # int64 (1, T)
        return text_encoder.run(None, {{"tokens": tokens}})[0][0]


    print(encode_image("photo.jpg") @ encode_text("a dog in the snow"))

image_encoder.onnx maps images uint8 (B, 3, {size}, {size}), 0 to 255, to features float32
(B, {D}). text_encoder.onnx maps tokens int64 (B, T), T at most {length}, to features of the same
size; shorter texts of a batch end with 0. Features have length 1, so a product is a cosine.
Weights are stored as {weights}.
"""

# How the program above scales an image, by `Preprocess.crop`.
SCALING = {
    False: """\
        image = image.resize(({size}, {size}))""",
    True: """\
        shorter = min(image.size)
        width, height = ({size} * side // shorter for side in image.size)
        left, top = round((width - {size}) / 2), round((height - {size}) / 2)
        image = image.resize((width, height)).crop((left, top, left + {size}, top + {size}))""",
}


class Tower(nn.Module):
    """One tower of a model with its projection, as a module of its own.

    method: "encode_image" or "encode_text". normalize: give features of unit length.
    """

    def __init__(self, model: nn.Module, method: str, normalize: bool):
        super().__init__()
        self.model = model
        self.method = method
        self.normalize = normalize

    def forward(self, inputs: Tensor) -> Tensor:
        """Encode a batch of images or texts as features (B, D)."""
        return getattr(self.model, self.method)(inputs, normalize=self.normalize)


def export_onnx(
    model: nn.Module, tokenizer: Tokenizer, folder: str | Path, int8: bool = False
) -> Path:
    """Write both towers of a CLIP as ONNX files, with its vocabulary, into a folder.

    image_encoder.onnx takes "images", uint8 (B, 3, S, S), and text_encoder.onnx takes "tokens",
    int64 (B, T). Both give "features", float32 (B, D) of unit length, for any B and T. README.txt
    shows how to call them. int8: store weights in 8 bits, a quarter of the size. An earlier export
    is replaced. Returns the folder. Raises FileExistsError for a folder that holds anything else,
    ModuleNotFoundError without the extra `onnx`.
    """
    require_onnx()
    folder = check_path(folder)
    check_folder(folder)
    preprocess = find_preprocess(model)
    size = preprocess.size
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    tokens = torch.full((2, 5), tokenizer.eos)
    with replace_when_done(folder, replace_folder=True) as new, evaluation_mode(model):
        new.mkdir()
        # The names of the axes are those whose length is free.
        export_tower(
            Tower(model, "encode_image", normalize=True),
            images,
            {0: "batch"},
            new / "image_encoder.onnx",
            int8,
        )
        axes = {0: "batch", 1: "length"}
        export_tower(
            Tower(model, "encode_text", normalize=True),
            tokens,
            axes,
            new / "text_encoder.onnx",
            int8,
        )
        tokenizer.save(new / "tokenizer.json")
        readme = README.format(
            size=size,
            scaling=SCALING[preprocess.crop].format(size=size),
            D=model.image_projection.out_features,
            length=tokenizer.context_length,
            most=tokenizer.context_length - 2,
            weights="int8" if int8 else "float32",
        )
        (new / "README.txt").write_text(readme, encoding="utf-8")
    return folder


def require_onnx() -> None:
    """Raise ModuleNotFoundError, with what to install, if a library of the extra is missing."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401  (torch.onnx.export uses it)
    except ModuleNotFoundError as error:
        message = f"the ONNX export needs {error.name}: pip install 'clipnb[onnx]'"
        raise ModuleNotFoundError(message, name=error.name) from None


def check_folder(folder: Path) -> None:
    """Raise FileExistsError for a path that is no folder, or holds more than an earlier export."""
    if check_path(folder).exists() and not folder.is_dir():
        raise FileExistsError(f"{display_path(folder)} is a file; name a folder.")
    if folder.exists() and list_entries(folder) not in (set(), set(FILES)):
        raise FileExistsError(
            f"{display_path(folder)} holds other files than an ONNX export; name a new folder."
        )


def export_tower(
    tower: nn.Module, example: Tensor, axes: dict[int, str], path: Path, int8: bool
) -> None:
    """Write one tower as an ONNX file.

    example: an input. axes: the names of its axes that may have any length.
    """
    device = next(tower.parameters()).device
    with silence_exporter():
        torch.onnx.export(
            tower.eval(),
            (example.to(device),),
            path,
            input_names=["tokens" if example.dtype == torch.int64 else "images"],
            output_names=["features"],
            dynamic_shapes=(axes,),
            external_data=False,  # one file
            verbose=False,
        )
    if int8:
        store_weights_in_int8(path)


def store_weights_in_int8(path: Path) -> None:
    """Rewrite an ONNX file so that its large weights are int8, with one scale for each row.

    A DequantizeLinear node turns a weight into float32 when the model runs. Only weights are
    rounded. If activations were too, as `quantize_dynamic` does, then some photos' features would
    have a cosine of 0.992 with the exact ones, and a feature would depend on the rest of its batch.
    """
    import onnx
    from onnx import helper, numpy_helper

    proto = onnx.load(path)
    graph = proto.graph
    weights = [tensor for tensor in graph.initializer if is_large(tensor)]
    for tensor in weights:
        weight = numpy_helper.to_array(tensor)
        steps, scale = round_to_int8(weight)
        names = [f"{tensor.name}_int8", f"{tensor.name}_scale"]
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(steps, names[0]))
        graph.initializer.append(numpy_helper.from_array(scale, names[1]))
        node = helper.make_node("DequantizeLinear", names, [tensor.name], axis=0)
        graph.node.insert(0, node)  # before the node that uses it
    onnx.save(proto, path)


def is_large(tensor: Any) -> bool:
    """Tell whether an ONNX tensor is a float32 matrix, or a kernel, of at least 1,024 numbers."""
    import onnx

    is_float = tensor.data_type == onnx.TensorProto.FLOAT
    return is_float and len(tensor.dims) > 1 and math.prod(tensor.dims) >= 1024


def round_to_int8(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round a weight float32 (N, ...) to int8 (N, ...) times a scale float32 (N,)."""
    rows = weight.reshape(len(weight), -1)
    scale = np.maximum(np.abs(rows).max(axis=1) / 127, np.finfo(np.float32).tiny)
    steps = np.rint(rows / scale[:, None]).astype(np.int8)
    return steps.reshape(weight.shape), scale.astype(np.float32)


@contextlib.contextmanager
def silence_exporter() -> Iterator[None]:
    """Keep the advice to developers of PyTorch and ONNX Runtime from a reader's screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
