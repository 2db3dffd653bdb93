"""The sizes of the published CLIP models, and their towers built from our own modules.

The names are open_clip's: `ViT-B-32` has GELU, `ViT-B-32-quickgelu` has QuickGELU. The sizes are
read from the files that the package open_clip brings along.
"""

import dataclasses
import difflib
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import nn

from clipnb.encoders import QuickGELU, TextTransformer, ViT
from clipnb.recipes import Recipe
from clipnb.towers.modified_resnet import ModifiedResNet

# The fields of open_clip's files that our modules can build. All others name what they lack.
VISION_FIELDS = {"image_size", "layers", "width", "patch_size", "head_width", "mlp_ratio"}
TEXT_FIELDS = {"context_length", "vocab_size", "width", "heads", "layers"}
OTHER_FIELDS = {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}


@dataclass(frozen=True)
class Architecture:
    """The sizes of a published CLIP.

    image_layers: the number of a ViT's layers, or the blocks of a ResNet's four stages.
    patch_size, image_feedforward: 0 for a ResNet.
    """

    name: str
    embed_dim: int
    quick_gelu: bool
    image_size: int
    patch_size: int
    image_width: int
    image_layers: int | tuple[int, ...]
    image_heads: int
    image_feedforward: int
    context_length: int
    vocab_size: int
    text_width: int
    text_layers: int
    text_heads: int

    @property
    def activation(self) -> type[nn.Module]:
        """The activation of both transformers."""
        return QuickGELU if self.quick_gelu else nn.GELU

    def create_image_encoder(self, recipe: Recipe | None = None) -> nn.Module:
        """Create the image encoder, freshly initialised."""
        if not self.patch_size:
            return ModifiedResNet(
                self.image_size, self.image_layers, self.image_width, self.image_heads
            )
        return ViT(
            self.image_size,
            self.patch_size,
            self.image_width,
            self.image_layers,
            self.image_heads,
            self.image_feedforward,
            pooling="class",
            activation=self.activation,
        )

    def create_text_encoder(self, recipe: Recipe | None = None) -> nn.Module:
        """Create the text encoder, freshly initialised."""
        return TextTransformer(
            self.vocab_size,
            self.context_length,
            self.text_width,
            self.text_layers,
            self.text_heads,
            feedforward=4 * self.text_width,
            dropout=0.0,
            causal=True,
            pooling="eos",
            activation=self.activation,
        )


@cache
def read_architecture(name: str) -> Architecture:
    """Read the sizes of a published CLIP by its name in open_clip.

    Raises ValueError for an unknown name, and for a model with parts that our modules lack, naming
    them.
    """
    check_name(name)
    text = find_size_files()[name].read_text(encoding="utf-8")
    return parse_architecture(name, json.loads(text))


def check_name(name: str) -> None:
    """Raise ValueError, with names that are near it, if open_clip has no model of a name."""
    if name not in find_size_files():
        near = ", ".join(list_near(name) or ["ViT-B-32", "RN50"])
        raise ValueError(
            f"open_clip has no model {name!r}. Names that these modules can build are {near} and "
            "others."
        )


def list_near(name: str, likeness: float = 0.6) -> list[str]:
    """List the names of published models that are like a name, the most similar first."""
    return difflib.get_close_matches(name, list_architectures(), n=3, cutoff=likeness)


def find_size_files() -> dict[str, Path]:
    """Find open_clip's files of sizes, by the names of the models."""
    package = importlib.util.find_spec("open_clip")  # found, not imported: importing takes seconds
    folder = Path(package.origin).parent / "model_configs"
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def parse_architecture(name: str, sizes: dict) -> Architecture:
    """Parse open_clip's description of a model. Raises ValueError as `read_architecture`."""
    image, text = sizes["vision_cfg"], sizes["text_cfg"]
    strange = set(sizes) - OTHER_FIELDS
    strange |= set(image) - VISION_FIELDS | set(text) - TEXT_FIELDS
    if strange or not isinstance(image["image_size"], int):
        raise ValueError(
            f"{name} has parts that these modules do not build ({', '.join(sorted(strange))}). "
            "The models of openai/CLIP and LAION's ViT models can be built."
        )
    width = image.get("width", 768)
    is_resnet = isinstance(image["layers"], list)
    head_width = image.get("head_width", 64)
    return Architecture(
        name=name,
        embed_dim=sizes["embed_dim"],
        quick_gelu=sizes.get("quick_gelu", False),
        image_size=image["image_size"],
        patch_size=0 if is_resnet else image["patch_size"],
        image_width=width,
        image_layers=tuple(image["layers"]) if is_resnet else image["layers"],
        image_heads=(32 * width if is_resnet else width) // head_width,
        image_feedforward=0 if is_resnet else int(width * image.get("mlp_ratio", 4)),
        context_length=text["context_length"],
        vocab_size=text["vocab_size"],
        text_width=text["width"],
        text_layers=text["layers"],
        text_heads=text["heads"],
    )


def list_architectures() -> list[str]:
    """List the names of the published models that our modules can build."""
    names = []
    for name in find_size_files():
        try:
            read_architecture(name)
        except (ValueError, KeyError):
            continue
        names.append(name)
    return names


def adopt_architecture(recipe: Recipe, name: str, image_only: bool = False) -> Recipe:
    """Return a recipe whose towers are those of a published model, with the sizes that they need.

    image_only: take its image encoder alone; the text encoder and the tokenizer stay.
    """
    architecture = read_architecture(name)
    changes = {
        "image_encoder": f"clip/{name}",
        "image_size": architecture.image_size,
        "stored_size": architecture.image_size,
        "crop_size": 0,
        "embed_dim": architecture.embed_dim,
    }
    if not image_only:
        changes |= {
            "text_encoder": f"clip/{name}",
            "tokenizer": "clip",
            "vocab_size": architecture.vocab_size,
            "context_length": architecture.context_length,
        }
    return dataclasses.replace(recipe, **changes)


def check_sizes(recipe: Recipe, name: str) -> Architecture:
    """Return the architecture of a published model that a recipe takes encoders from.

    Raises ValueError if a size in the recipe is not the one that the encoder needs.
    """
    needed = adopt_architecture(recipe, name, recipe.text_encoder != f"clip/{name}")
    for field in ("image_size", "vocab_size", "context_length"):
        is_text = field != "image_size"
        uses = recipe.text_encoder if is_text else recipe.image_encoder
        if uses == f"clip/{name}" and getattr(recipe, field) != getattr(needed, field):
            raise ValueError(
                f"recipe {recipe.name!r}: clip/{name} needs {field}={getattr(needed, field)}, "
                f"not {getattr(recipe, field)}."
            )
    return read_architecture(name)
