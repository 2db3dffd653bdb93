"""A model of ours for programs that use open_clip or Hugging Face's transformers.

Both can hold what the published CLIPs are made of: a ViT with a class token, or for open_clip a
modified ResNet, and a causal text transformer that is read at [EOS].
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file
from torch import Tensor, nn

from clipnb.disk import errors_of_the_system, list_entries
from clipnb.places import check_path
from clipnb.pretrained.hugging_face_config import create_processor, describe_for_hugging_face
from clipnb.pretrained.names import rename_to_hugging_face, rename_to_open_clip
from clipnb.pretrained.open_clip_config import describe_for_open_clip
from clipnb.pretrained.tables import list_names
from clipnb.runtime import display_path, replace_when_done
from clipnb.tokenizer import Tokenizer, clip_tokenizer
from clipnb.towers.published import Architecture
from clipnb.towers.sizes import find_architecture

if TYPE_CHECKING:
    from transformers import CLIPModel

OPEN_CLIP_FILES = {"README.txt", "open_clip_config.json", "open_clip_model.safetensors"}
HUGGING_FACE_FILES = {
    "README.txt",
    "config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}
OPEN_CLIP_README = """\
A CLIP model for open_clip, made by clipnb. This is how to load it:

    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms("local-dir:FOLDER")
    tokenizer = open_clip.get_tokenizer("local-dir:FOLDER")

FOLDER is the path of this folder.
"""
HUGGING_FACE_README = """\
A CLIP model for Hugging Face's transformers, made by clipnb. This is how to load it:

    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained("FOLDER")
    processor = CLIPProcessor.from_pretrained("FOLDER")

FOLDER is the path of this folder.
"""


# ---- open_clip -------------------------------------------------------------------------------


def to_open_clip(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a model as open_clip names them.

    The tensors are the model's own where nothing but the name differs. Raises ValueError, in one
    line, for a model that open_clip cannot hold.
    """
    sizes = find_architecture(model)
    weights = model.state_dict()
    check_tensors(weights, sizes)
    return rename_to_open_clip(weights, sizes)


def save_open_clip(model: nn.Module, tokenizer: Tokenizer, folder: str | Path) -> Path:
    """Write a folder that open_clip loads: `create_model_and_transforms("local-dir:FOLDER")`.

    It holds open_clip_config.json, open_clip_model.safetensors and README.txt. An earlier export is
    replaced. Returns the folder. Raises ValueError for a model or a vocabulary that open_clip
    cannot hold, and FileExistsError for a folder that holds anything else.
    """
    weights = {name: tensor.cpu().contiguous() for name, tensor in to_open_clip(model).items()}
    check_vocabulary(tokenizer)
    folder = Path(folder).expanduser()
    check_folder(folder, OPEN_CLIP_FILES, OPEN_CLIP_README)
    text = json.dumps(describe_for_open_clip(model), indent=2)
    with replace_when_done(folder, replace_folder=True) as new:
        new.mkdir()
        (new / "open_clip_config.json").write_text(text, encoding="utf-8")
        with errors_of_the_system():
            save_file(weights, new / "open_clip_model.safetensors")
        (new / "README.txt").write_bytes(OPEN_CLIP_README.encode())
    return folder


# ---- Hugging Face ----------------------------------------------------------------------------


def to_hugging_face(model: nn.Module) -> "CLIPModel":
    """Return a copy of a model as a `CLIPModel` of transformers, in evaluation mode, on the CPU.

    Raises ValueError, in one line, for a model that CLIPModel cannot hold, and ModuleNotFoundError
    without the extra `pretrained`.
    """
    sizes = find_architecture(model)
    if not sizes.patch_size:
        raise ValueError(
            "Hugging Face's CLIPModel cannot hold a ResNet. Export this model for open_clip."
        )
    if hasattr(model, "logit_bias"):
        raise ValueError(
            "Hugging Face's CLIPModel has no place for the bias of the sigmoid loss. "
            "Export this model for open_clip."
        )
    weights = model.state_dict()
    check_tensors(weights, sizes)
    require_transformers()
    from transformers import CLIPConfig, CLIPModel

    copy = CLIPModel(CLIPConfig(**describe_for_hugging_face(sizes)))
    copy.load_state_dict(rename_to_hugging_face(weights, sizes))
    return copy.eval()


def save_hugging_face(model: nn.Module, tokenizer: Tokenizer, folder: str | Path) -> Path:
    """Write a folder that transformers loads: `CLIPModel` and `CLIPProcessor.from_pretrained`.

    An earlier export is replaced. Returns the folder. Raises ValueError for a model or a vocabulary
    that transformers cannot hold, FileExistsError for a folder that holds anything else, and
    ModuleNotFoundError without the extra `pretrained`.
    """
    copy = to_hugging_face(model)
    check_vocabulary(tokenizer)
    folder = Path(folder).expanduser()
    check_folder(folder, HUGGING_FACE_FILES, HUGGING_FACE_README)
    with replace_when_done(folder, replace_folder=True) as new:
        new.mkdir()
        with errors_of_the_system():
            copy.save_pretrained(new)
        processor = create_processor(model, tokenizer)
        processor.save_pretrained(new)
        processor.image_processor.save_pretrained(new)  # where transformers before 5 looks
        (new / "README.txt").write_bytes(HUGGING_FACE_README.encode())
    return folder


def require_transformers() -> None:
    """Raise ModuleNotFoundError, with what to install, if transformers is missing."""
    try:
        import transformers  # noqa: F401
    except ModuleNotFoundError as error:
        message = f"the Hugging Face export needs {error.name}: pip install 'clipnb[pretrained]'"
        raise ModuleNotFoundError(message, name=error.name) from None


# ---- both ------------------------------------------------------------------------------------


def check_vocabulary(tokenizer: Tokenizer) -> None:
    """Raise ValueError for a tokenizer whose vocabulary is not CLIP's own."""
    if tokenizer.bpe.get_vocab() != clip_tokenizer().bpe.get_vocab():
        raise ValueError(
            "open_clip and transformers would read texts with CLIP's own vocabulary, and this "
            f"model has another, of {tokenizer.vocab_size:,} ids. Train one with the recipe fields "
            'tokenizer="clip" and vocab_size=49408.'
        )


def check_tensors(weights: dict[str, Tensor], sizes: Architecture) -> None:
    """Raise ValueError if our weights hold other tensors than a published CLIP's."""
    expected = {names.ours for names in list_names(sizes)}
    if strange := sorted(expected ^ (weights.keys() - {"logit_bias"})):
        raise ValueError(
            "the formats of published CLIPs cannot hold this model: it differs in the tensor "
            f"{strange[0]}. If LoRA was added to it, merge that first: clipnb.merge_lora(model)."
        )


def check_folder(folder: Path, files: set[str], readme: str) -> None:
    """Raise FileExistsError for a path that is no folder, or holds more than an earlier export."""
    if not check_path(folder).exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{display_path(folder)} is a file; name a folder.")
    found = list_entries(folder)
    note = folder / "README.txt"
    is_ours = note.is_file() and note.read_bytes() == readme.encode()
    if found and not (is_ours and found <= files):
        raise FileExistsError(
            f"{display_path(folder)} holds other files than such an export; name a new folder."
        )
