"""A reference model beside ours with the same weights, for the tests of parity."""

import torch
from torch import nn

from clipnb.losses import clip_loss
from clipnb.model import CLIP
from clipnb.preprocess import CLIP_MEAN, CLIP_STD, Preprocess
from clipnb.pretrained.names import rename_to_ours
from clipnb.tokenizer import clip_tokenizer

TEXTS = ["a dog in the snow", "", "two red birds sit on a fence beside a very old house! " * 3]


def tiny_sizes(quick_gelu=True, resnet=False):
    """The description of a small model, as open_clip's own files have it."""
    image = {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8}
    if resnet:
        image = {"image_size": 64, "layers": [2, 1, 1, 2], "width": 8, "patch_size": None}
    return {
        "embed_dim": 24,
        "quick_gelu": quick_gelu,
        "vision_cfg": image,
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 32,
            "heads": 4,
            "layers": 2,
        },
    }


@torch.no_grad()
def randomize(model):
    """Give every tensor of a reference model numbers that matter.

    The ResNet's last batch norms start at 0, so its blocks would do nothing. Biases start at 0 and
    norms at 1, so that a test would not see them exchanged.
    """
    norms = (nn.LayerNorm, nn.BatchNorm2d)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, norms) and name == "weight":
                parameter.uniform_(0.5, 1.5)
            elif parameter.ndim == 1 and name.endswith("bias"):
                parameter.normal_(std=0.1)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    model.logit_scale.fill_(3.0)
    return model.eval()


def create_ours(architecture, weights):
    """Our model of an architecture, in evaluation mode, with weights in any of the namings."""
    with torch.device("meta"):  # without the time that an initialisation takes
        towers = architecture.create_image_encoder(), architecture.create_text_encoder()
        preprocess = Preprocess(architecture.image_size, CLIP_MEAN, CLIP_STD, crop=True)
        model = CLIP(*towers, architecture.embed_dim, preprocess)
    model.to_empty(device="cpu")
    model.load_state_dict(rename_to_ours(weights, architecture))
    return model.eval()


def make_inputs(architecture, n=3):
    """Images as `encode_image` takes them, and tokens int64 (2n, 77) padded to the full length.

    The second half of the texts are tokens at random, without [SOS] and [EOS].
    """
    generator = torch.Generator().manual_seed(1)
    size = architecture.image_size
    images = torch.randn(n, 3, size, size, generator=generator)
    tokens = torch.zeros(2 * n, 77, dtype=torch.int64)
    texts = clip_tokenizer()(TEXTS[:n])
    tokens[:n, : texts.shape[1]] = texts
    for row, length in zip(tokens[n:], [77, 5, 30], strict=False):
        row[:length] = torch.randint(1, 49406, (length,), generator=generator)
    return images, tokens


def difference(found, expected):
    """The largest difference, relative to the largest number expected."""
    return ((found - expected).abs().max() / expected.abs().max()).item()


@torch.no_grad()
def feature_differences(model, reference, images, tokens):
    """How far images, texts and logits are from those of open_clip. Ours sees trimmed texts too."""
    expected = reference.encode_image(images), reference.encode_text(tokens)
    found = model.encode_image(images), model.encode_text(tokens)
    short = tokens[1:2, :2]  # the empty text, without padding
    return {
        "image": difference(found[0], expected[0]),
        "text": difference(found[1], expected[1]),
        "trimmed": difference(model.encode_text(short), expected[1][1:2]),
        "logits": difference(
            compute_logits(*found, model.logit_scale),
            compute_logits(*expected, reference.logit_scale),
        ),
    }


def compute_logits(image_features, text_features, logit_scale):
    image_features = nn.functional.normalize(image_features, dim=-1)
    text_features = nn.functional.normalize(text_features, dim=-1)
    return logit_scale.exp() * image_features @ text_features.T


def compute_gradients(model, images, tokens):
    """The gradients of one training step, by the model's own names."""
    model.train()
    model.zero_grad()
    image_features, text_features, scale = model(images, tokens)[:3]
    clip_loss(image_features, text_features, scale).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def gradient_differences(model, reference, architecture, images, tokens):
    """How far our gradients are from the reference's, for every tensor by our names."""
    tokens = tokens[: len(images)]
    expected = rename_to_ours(compute_gradients(reference, images, tokens), architecture)
    found = compute_gradients(model, images, tokens)
    assert found.keys() == expected.keys()
    largest = max(gradient.norm() for gradient in expected.values())
    differences = {}
    for name, gradient in expected.items():
        # A bias of all keys moves all scores alike, so its true gradient is 0.
        size = largest if name == "image_encoder.pool.key.bias" else gradient.norm()
        differences[name] = ((found[name] - gradient).norm() / size).item()
    return differences


def as_openai_file(weights, architecture):
    """Weights of open_clip as in a file of openai/CLIP: half precision, and three scalars."""
    sizes = {
        "input_resolution": architecture.image_size,
        "context_length": architecture.context_length,
        "vocab_size": architecture.vocab_size,
    }
    file = {
        name: tensor.half() if tensor.is_floating_point() and "ln_" not in name else tensor
        for name, tensor in weights.items()
    }
    return file | {name: torch.tensor(size) for name, size in sizes.items()}


def create_hugging_face(sizes):
    """A random CLIPModel of transformers with the sizes of an open_clip description."""
    from transformers import CLIPConfig, CLIPModel

    image, text = sizes["vision_cfg"], sizes["text_cfg"]
    shared = {"hidden_act": "quick_gelu" if sizes.get("quick_gelu") else "gelu"}
    vision_config = {
        "image_size": image["image_size"],
        "patch_size": image["patch_size"],
        "hidden_size": image["width"],
        "intermediate_size": 4 * image["width"],
        "num_hidden_layers": image["layers"],
        "num_attention_heads": image["width"] // image.get("head_width", 64),
    }
    text_config = {
        "vocab_size": text["vocab_size"],
        "max_position_embeddings": text["context_length"],
        "hidden_size": text["width"],
        "intermediate_size": 4 * text["width"],
        "num_hidden_layers": text["layers"],
        "num_attention_heads": text["heads"],
        "eos_token_id": 2,  # as in OpenAI's folders; it means the largest id
    }
    config = CLIPConfig(
        projection_dim=sizes["embed_dim"],
        vision_config=vision_config | shared,
        text_config=text_config | shared,
    )
    return randomize(CLIPModel(config))


class OpenClipFace:
    """A CLIPModel of transformers that is called as open_clip's models are."""

    def __init__(self, model):
        self.model = model
        self.logit_scale = model.logit_scale
        self.train, self.zero_grad = model.train, model.zero_grad
        self.named_parameters = model.named_parameters

    def encode_image(self, images):
        features = self.model.get_image_features(images)
        return getattr(features, "pooler_output", features)

    def encode_text(self, tokens):
        features = self.model.get_text_features(tokens)
        return getattr(features, "pooler_output", features)

    def __call__(self, images, tokens):
        image_features = nn.functional.normalize(self.encode_image(images), dim=-1)
        text_features = nn.functional.normalize(self.encode_text(tokens), dim=-1)
        return image_features, text_features, self.logit_scale.exp()
