"""The names of a CLIP's tensors, side by side: ours, open_clip's and Hugging Face's.

open_clip kept the names of openai/CLIP. Beside the names two things differ: Hugging Face has
queries, keys and values in three tensors, and open_clip keeps its projections transposed.
"""

from dataclasses import dataclass

from clipnb.towers.published import Architecture

# Each row holds our name, open_clip's and Hugging Face's. A name with an open end stands for two
# tensors, its weight and its bias. {qkv} stands for q, k and v: what are three tensors there are
# one tensor in the other namings, in this order.
SHARED = [
    ("logit_scale", "logit_scale", "logit_scale"),
    ("text_projection.weight", "text_projection", "text_projection.weight"),
]
TEXT = [
    ("token_embedding.weight", "token_embedding.weight", "embeddings.token_embedding.weight"),
    ("positional_embedding", "positional_embedding", "embeddings.position_embedding.weight"),
    ("norm_out.", "ln_final.", "final_layer_norm."),
]
VIT_PROJECTION = [
    ("image_projection.weight", "visual.proj", "visual_projection.weight"),
]
VIT = [
    ("class_token", "class_embedding", "embeddings.class_embedding"),
    ("positions", "positional_embedding", "embeddings.position_embedding.weight"),
    ("patches.weight", "conv1.weight", "embeddings.patch_embedding.weight"),
    ("norm_in.", "ln_pre.", "pre_layrnorm."),  # the spelling is Hugging Face's
    ("norm_out.", "ln_post.", "post_layernorm."),
]
BLOCK = [
    ("norm1.", "ln_1.", "layer_norm1."),
    ("attention.in_proj.", "attn.in_proj_", "self_attn.{qkv}_proj."),
    ("attention.out_proj.", "attn.out_proj.", "self_attn.out_proj."),
    ("norm2.", "ln_2.", "layer_norm2."),
    ("feedforward.0.", "mlp.c_fc.", "mlp.fc1."),
    ("feedforward.3.", "mlp.c_proj.", "mlp.fc2."),
]
# The ResNets, which Hugging Face does not have.
POOL = [
    ("image_encoder.pool.positions", "visual.attnpool.positional_embedding", ""),
    ("image_encoder.pool.query.", "visual.attnpool.q_proj.", ""),
    ("image_encoder.pool.key.", "visual.attnpool.k_proj.", ""),
    ("image_encoder.pool.value.", "visual.attnpool.v_proj.", ""),
    ("image_projection.", "visual.attnpool.c_proj.", ""),
]
# Each row holds our convolution, open_clip's, our batch norm and open_clip's.
STEM = [
    ("stem.0.0.", "conv1.", "stem.0.1.", "bn1."),
    ("stem.1.0.", "conv2.", "stem.1.1.", "bn2."),
    ("stem.2.0.", "conv3.", "stem.2.1.", "bn3."),
]
BOTTLENECK = [
    ("conv1.0.", "conv1.", "conv1.1.", "bn1."),
    ("conv2.0.", "conv2.", "conv2.1.", "bn2."),
    ("conv3.0.", "conv3.", "conv3.1.", "bn3."),
]
SHORTCUT = [
    ("shortcut.1.", "downsample.0.", "shortcut.2.", "downsample.1."),
]
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Names:
    """The names of one of our tensors. hugging_face: of three tensors if it is split there."""

    ours: str
    open_clip: str
    hugging_face: tuple[str, ...]

    @property
    def is_transposed(self) -> bool:
        """Whether open_clip's tensor is the transpose of ours."""
        return self.open_clip in ("visual.proj", "text_projection")


def list_names(architecture: Architecture) -> list[Names]:
    """List the names of all tensors of a published CLIP."""
    names = expand(SHARED) + expand(TEXT, "text_encoder.", "", "text_model.")
    names += list_blocks(
        architecture.text_layers, "text_encoder.", "transformer.", "text_model.encoder."
    )
    if not architecture.patch_size:
        return names + list_resnet(architecture.image_layers)
    names += expand(VIT_PROJECTION) + expand(VIT, "image_encoder.", "visual.", "vision_model.")
    names += list_blocks(
        architecture.image_layers, "image_encoder.", "visual.transformer.", "vision_model.encoder."
    )
    return names


def list_blocks(layers: int, ours: str, open_clip: str, hugging_face: str) -> list[Names]:
    """List the names of a transformer's tensors, given what comes before them."""
    names = []
    for i in range(layers):
        prefixes = f"{ours}blocks.{i}.", f"{open_clip}resblocks.{i}.", f"{hugging_face}layers.{i}."
        names += expand(BLOCK, *prefixes)
    return names


def list_resnet(depths: tuple[int, ...]) -> list[Names]:
    """List the names of the tensors of a modified ResNet and its projection."""
    names = expand(POOL) + expand_convolutions(STEM, "image_encoder.", "visual.")
    for stage, depth in enumerate(depths):
        for i in range(depth):
            rows = BOTTLENECK + SHORTCUT if i == 0 else BOTTLENECK
            prefixes = f"image_encoder.stages.{stage}.{i}.", f"visual.layer{stage + 1}.{i}."
            names += expand_convolutions(rows, *prefixes)
    return names


def expand(
    rows: list[tuple[str, str, str]], ours: str = "", open_clip: str = "", hugging_face: str = ""
) -> list[Names]:
    """Complete the names in a table's rows, given what comes before them."""
    names = []
    for own, other, third in rows:
        for ending in ("weight", "bias") if own.endswith(".") else ("",):
            full = f"{hugging_face}{third}{ending}"
            letters = "qkv" if "{qkv}" in full else ""
            parts = [full.replace("{qkv}", letter) for letter in letters] or [full]
            names.append(Names(f"{ours}{own}{ending}", f"{open_clip}{other}{ending}", tuple(parts)))
    return names


def expand_convolutions(
    rows: list[tuple[str, str, str, str]], ours: str, open_clip: str
) -> list[Names]:
    """Complete the names in a table of convolutions, given what comes before them."""
    names = []
    for convolution, other_convolution, norm, other_norm in rows:
        names.append(
            Names(f"{ours}{convolution}weight", f"{open_clip}{other_convolution}weight", ())
        )
        for ending in BATCH_NORM:
            names.append(Names(f"{ours}{norm}{ending}", f"{open_clip}{other_norm}{ending}", ()))
    return names
