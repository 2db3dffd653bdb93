"""Image encoders of torchvision and timm, without the layer that names ImageNet's classes."""

from collections.abc import Callable

from torch import Tensor, nn

from clipnb.recipes import Recipe


class Backbone(nn.Module):
    """An image encoder of a library. It maps (B, 3, S, S) to (B, width)."""

    def __init__(self, network: nn.Module, width: int):
        super().__init__()
        self.network = network
        self.width = width

    def forward(self, images: Tensor) -> Tensor:
        """Encode images (B, 3, S, S) as (B, width)."""
        return self.network(images)


def create_torchvision_encoder(
    name: str, recipe: Recipe | None = None, pretrained: bool = False
) -> Backbone:
    """Create an image encoder of torchvision, such as "resnet18".

    pretrained: with ImageNet's weights, which torchvision downloads once. Raises ValueError for an
    unknown name.
    """
    from torchvision.models import get_model

    network = get_model(name, weights="DEFAULT" if pretrained else None)
    place, classifier = [
        pair for pair in network.named_modules() if isinstance(pair[1], nn.Linear)
    ][-1]
    network.set_submodule(place, nn.Identity())
    return Backbone(network, classifier.in_features)


def create_timm_encoder(
    name: str, recipe: Recipe | None = None, pretrained: bool = False
) -> Backbone:
    """Create an image encoder of timm, such as "vit_small_patch16_224.dino".

    pretrained: with the published weights, which timm downloads once. Raises ValueError for an
    unknown name.
    """
    import timm

    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except RuntimeError as error:  # timm's way to say that it does not know a name
        raise ValueError(str(error)) from None
    return Backbone(network, network.num_features)


LIBRARIES: dict[str, Callable[..., Backbone]] = {
    "torchvision": create_torchvision_encoder,
    "timm": create_timm_encoder,
}


def load_library_weights(name: str) -> dict[str, Tensor]:
    """Load the published weights of a library's image encoder, such as "torchvision/resnet18".

    The library downloads them once. Raises ValueError, one line, for an unknown name, and if they
    cannot be downloaded.
    """
    library, _, own_name = name.partition("/")
    try:
        encoder = LIBRARIES[library](own_name, pretrained=True)
    except ImportError:
        raise ValueError(f"{name} needs the package {library}: `pip install {library}`.") from None
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
    import timm

    published = timm.get_pretrained_cfg(own_name)
    return published.input_size[-1] if published else 224
