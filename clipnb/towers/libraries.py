"""Image encoders of torchvision and timm, without the layer that names ImageNet's classes."""

from collections.abc import Callable

from torch import Tensor, nn

from clipnb.recipes import Recipe

HALVED_FIVE_TIMES = 32  # pixels a side; most networks halve an image so often


class Backbone(nn.Module):
    """An image encoder of a library. It maps (B, 3, S, S) to (B, width).

    name: what an error calls it, such as "torchvision/resnet18".
    """

    def __init__(self, name: str, network: nn.Module, width: int):
        super().__init__()
        self.name = name
        self.network = network
        self.width = width

    def forward(self, images: Tensor) -> Tensor:
        """Encode images (B, 3, S, S) as (B, width). Raises ValueError for a size it cannot take."""
        try:
            return self.network(images)
        except (AssertionError, RuntimeError) as error:
            size = images.shape[-1]
            if isinstance(error, RuntimeError) and size >= HALVED_FIVE_TIMES:
                raise  # it is about something else, such as memory
            raise ValueError(
                f"{self.name} takes no images of {size} px ({error}). Set image_size (and "
                "stored_size) to the size that it was made for, most often 224."
            ) from error


def create_torchvision_encoder(
    name: str, recipe: Recipe | None = None, pretrained: bool = False
) -> Backbone:
    """Create an image encoder of torchvision, such as "resnet18".

    pretrained: with ImageNet's weights, which torchvision downloads once. Raises ValueError for an
    unknown name, and for a model that cannot be an image encoder: one that does not classify
    images, that has outputs beside the classes, or whose last layer is no `nn.Linear`.
    """
    from torchvision import models

    refusal = ValueError(
        f"torchvision's {name} cannot be an image encoder. That has to be a classifier of images "
        "with one output, whose last layer is linear, such as resnet18 or vit_b_16."
    )
    if name.lower() not in models.list_models(module=models):
        raise refusal
    network = models.get_model(name, weights=None)
    layers = [pair for pair in network.named_modules() if isinstance(pair[1], nn.Linear)]
    if not layers or hasattr(network, "aux_logits"):
        raise refusal
    place, classifier = layers[-1]
    if pretrained:  # only now, so that nothing is downloaded in vain
        network = models.get_model(name, weights="DEFAULT")
    network.set_submodule(place, nn.Identity())
    return Backbone(f"torchvision/{name}", network, classifier.in_features)


def create_timm_encoder(
    name: str, recipe: Recipe | None = None, pretrained: bool = False
) -> Backbone:
    """Create an image encoder of timm, such as "vit_small_patch16_224.dino".

    recipe: its `image_size` is that of an encoder with a position for each part of the image.
    pretrained: with the published weights, which timm downloads once. Raises ValueError for an
    unknown name, and for such an encoder without an image size that it can take.
    """
    import timm

    published = timm.get_pretrained_cfg(name)
    has_positions = recipe is not None and published is not None and published.fixed_input_size
    size = {"img_size": recipe.image_size} if has_positions else {}
    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=0, **size)
    except RuntimeError as error:  # timm's way to say that it does not know a name
        raise ValueError(f"timm cannot make {name!r}: {error}.") from None
    return Backbone(f"timm/{name}", network, network.num_features)


LIBRARIES: dict[str, Callable[..., Backbone]] = {
    "torchvision": create_torchvision_encoder,
    "timm": create_timm_encoder,
}


def load_library_weights(name: str, recipe: Recipe | None = None) -> dict[str, Tensor]:
    """Load the published weights of a library's image encoder, such as "torchvision/resnet18".

    The library downloads them once. recipe: of the model that gets them, for its image size. Raises
    ValueError, one line, for an unknown name, and if they cannot be downloaded.
    """
    library, _, own_name = name.partition("/")
    try:
        encoder = LIBRARIES[library](own_name, recipe, pretrained=True)
    except ImportError:
        raise ValueError(f"{name} needs the package {library}: `pip install {library}`.") from None
    except ValueError:
        raise  # it says what is wrong with the name
    except Exception as error:  # each library has its own kinds, also for a missing network
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"the weights of {name} cannot be loaded ({reason}). {library} downloads them once, "
            "which needs a network; check the name as well."
        ) from error
    return encoder.state_dict()


def find_image_size(name: str) -> int:
    """Return the pixels a side for which a library's image encoder was trained."""
    library, _, own_name = name.partition("/")
    if library != "timm":
        return 224
    try:
        import timm
    except ImportError:
        return 224  # `load_library_weights` says what to install
    published = timm.get_pretrained_cfg(own_name)
    return published.input_size[-1] if published else 224
