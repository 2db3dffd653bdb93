"""Where the weights of a name and a tag are published: the table of open_clip."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clipnb.preprocess import CLIP_MEAN, CLIP_STD
from clipnb.pretrained.files import OPEN_CLIP_NAMES
from clipnb.runtime import cache_dir
from clipnb.towers import published


@dataclass(frozen=True)
class Source:
    """Where the weights of a name and a tag are published.

    url: of a single file, or "". repository, hub_names: on the Hugging Face Hub, or "". megabytes:
    of the file, about. entry: the tag's entry in open_clip's table.
    """

    name: str
    tag: str
    url: str
    repository: str
    hub_names: tuple[str, ...]
    megabytes: int
    entry: dict[str, Any]

    @property
    def url_name(self) -> str:
        """The name of the file at `url`, or ""."""
        return self.url.rpartition("/")[2]

    @property
    def url_checksum(self) -> str:
        """The beginning of the SHA-256 of the file at `url` as far as it is known, or ""."""
        if "openaipublic" in self.url:
            return self.url.split("/")[-2]  # OpenAI's addresses hold all of it
        found = re.search(r"-([0-9a-f]{8})\.pth?$", self.url)  # LAION's hold its beginning
        return found[1] if found else ""

    @property
    def has_usual_images(self) -> bool:
        """Whether images are made as for OpenAI's own weights, which is what a file alone means."""
        usual = CLIP_MEAN, CLIP_STD, "shortest"
        entry = self.entry
        return (tuple(entry["mean"]), tuple(entry["std"]), entry["resize_mode"]) == usual

    @property
    def folder(self) -> Path:
        """Where a copy is looked for first, and put if it is downloaded from `url`."""
        return find_folder(self.name, self.tag)


def find_folder(name: str, label: str) -> Path:
    """Return the folder in the cache that belongs to a published model."""
    return cache_dir() / "pretrained" / f"{name}-{label}"


def is_tag(name: str, tag: str) -> bool:
    """Tell whether open_clip has a tag for a name."""
    from open_clip.pretrained import is_pretrained_cfg

    return is_pretrained_cfg(name, tag)


def find_source(name: str, tag: str) -> Source:
    """Find where the weights of a tag are published, in the table of open_clip.

    tag: also in capitals or with "-", as open_clip takes it. Raises ValueError, with the tags that
    there are for this name, for an unknown tag.
    """
    from open_clip import pretrained as table

    architecture = published.read_architecture(name)
    entry = table.get_pretrained_cfg(name, tag)
    if not entry:
        tags = table.list_pretrained_tags_by_model(name)
        known = f"Its tags are {', '.join(tags)}" if tags else "It has no tag at all"
        raise ValueError(
            f"open_clip has no weights {tag!r} for {name}, and there is no file of this name. "
            f"{known}. A file is named by its path."
        )
    repository, file_name = os.path.split(entry.get("hf_hub", ""))
    return Source(
        name=name,
        tag=tag.lower().replace("-", "_"),  # as open_clip's table spells it
        url=entry.get("url", ""),
        repository=repository,
        hub_names=(file_name,) if file_name else OPEN_CLIP_NAMES,
        megabytes=estimate_megabytes(architecture, half="openaipublic" in entry.get("url", "")),
        entry=entry,
    )


def estimate_megabytes(architecture: published.Architecture, half: bool) -> int:
    """Estimate the size of a file from the number of parameters.

    half: OpenAI's own files keep all numbers but the token embeddings in half precision.
    """
    with torch.device("meta"):  # without any numbers
        towers = [architecture.create_image_encoder(), architecture.create_text_encoder()]
    n_numbers = sum(tensor.numel() for tower in towers for tensor in tower.parameters())
    n_numbers += architecture.embed_dim * sum(tower.width for tower in towers)  # the projections
    n_embeddings = architecture.vocab_size * architecture.text_width
    n_bytes = 2 * (n_numbers + n_embeddings) if half else 4 * n_numbers
    return round(n_bytes / 1e6)
