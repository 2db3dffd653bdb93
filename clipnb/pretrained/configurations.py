"""The configuration that belongs to a file or a folder of weights, whoever wrote it."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from clipnb.pretrained.hugging_face_config import read_hugging_face
from clipnb.pretrained.open_clip_config import read_open_clip
from clipnb.pretrained.settings import Settings

# OpenAI's own files hold these three beside the weights, and no other program writes them.
OPENAI_SCALARS = {"input_resolution", "context_length", "vocab_size"}


def read_file_settings(path: str | Path, weights: Mapping[str, Tensor], naming: str) -> Settings:
    """Read the settings of a file or a folder, from the JSON files of its folder if it has any.

    naming: as `find_naming` returns it. Raises ValueError for what is no CLIP, or unreadable.
    """
    path = Path(path).expanduser()
    folder = path if path.is_dir() else path.parent
    if weights.keys() >= OPENAI_SCALARS:
        return Settings("OpenAI's own files were trained with QuickGELU", quick_gelu=True)
    if naming == "hugging_face" and (folder / "config.json").exists():
        return read_hugging_face(folder)
    is_theirs = path.is_dir() or path.name.startswith("open_clip")
    if naming == "open_clip" and is_theirs and (folder / "open_clip_config.json").exists():
        return read_open_clip(folder / "open_clip_config.json")
    return Settings()
