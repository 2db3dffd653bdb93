"""The sizes of a CLIP that is built as the published ones are, read back from its modules."""

from torch import nn

from clipnb.encoders import QuickGELU, TextTransformer, TransformerBlock, ViT
from clipnb.preprocess import find_preprocess
from clipnb.towers.modified_resnet import ModifiedResNet
from clipnb.towers.published import Architecture

ADVICE = (
    'The recipe fields image_encoder="clip_vit", text_encoder="clip_transformer", '
    'tokenizer="clip" and vocab_size=49408 make one that they can hold.'
)


def find_architecture(model: nn.Module) -> Architecture:
    """Find the sizes of a CLIP whose towers are those of the published models, at any size.

    Raises ValueError, one line that says what is different and what to do, for any other model.
    """
    image, text = model.image_encoder, model.text_encoder
    is_resnet = isinstance(image, ModifiedResNet)
    if reason := find_reason(image, text):
        raise ValueError(
            f"the formats of published CLIPs cannot hold this model: {reason}. {ADVICE}"
        )
    size = find_preprocess(model).size
    if size != image.image_size:
        raise ValueError(
            f"the preprocessing of this model makes images of {size} pixels a side, and its image "
            f"encoder takes {image.image_size}. Set model.preprocess to one of this size."
        )
    return Architecture(
        name="own",
        embed_dim=model.image_projection.out_features,
        quick_gelu=has_quick_gelu(text.blocks[0]),
        image_size=image.image_size,
        patch_size=0 if is_resnet else image.patches.kernel_size[0],
        image_width=image.width // 32 if is_resnet else image.width,
        image_layers=tuple(map(len, image.stages)) if is_resnet else len(image.blocks),
        image_heads=image.pool.heads if is_resnet else image.blocks[0].attention.heads,
        image_feedforward=0 if is_resnet else find_feedforward(image.blocks[0]),
        context_length=len(text.positional_embedding),
        vocab_size=text.token_embedding.num_embeddings,
        text_width=text.width,
        text_layers=len(text.blocks),
        text_heads=text.blocks[0].attention.heads,
    )


def find_reason(image: nn.Module, text: nn.Module) -> str:
    """Say in words what two towers have that no published CLIP has, or return an empty text."""
    is_vit = isinstance(image, ViT)
    if not is_vit and not isinstance(image, ModifiedResNet):
        return f"its image encoder is a {type(image).__name__}"
    if is_vit and image.class_token is None:
        return "its image encoder takes the mean of the patches and has no class token"
    if not isinstance(text, TextTransformer):
        return f"its text encoder is a {type(text).__name__}"
    if not text.causal or text.norm_out is None:
        return "its text encoder takes the mean of the tokens, or sees those that follow"
    if find_feedforward(text.blocks[0]) != 4 * text.width:
        return "its text encoder's feed-forward nets are not four times as wide as the encoder"
    if is_vit and has_quick_gelu(image.blocks[0]) != has_quick_gelu(text.blocks[0]):
        return "one tower has GELU and the other has QuickGELU"
    return ""


def has_quick_gelu(block: TransformerBlock) -> bool:
    """Tell whether a block's activation is QuickGELU."""
    return isinstance(block.feedforward[1], QuickGELU)


def find_feedforward(block: TransformerBlock) -> int:
    """Return the width of a block's feed-forward net."""
    return block.feedforward[0].out_features
