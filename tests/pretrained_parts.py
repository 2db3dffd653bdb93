"""What the tests of published weights share: tiny architectures, and models of open_clip."""

import copy
import functools
import json
import warnings

import open_clip
import pytest
import torch

from clipnb.pretrained import load_pretrained

SIZES = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 128, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
OTHER_SIZES = copy.deepcopy(SIZES)
OTHER_SIZES["vision_cfg"]["patch_size"] = 8
RESNET_SIZES = copy.deepcopy(SIZES)
RESNET_SIZES["vision_cfg"] = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 32}
ARCHITECTURES = {
    "Tiny-16": SIZES,
    "Tiny-16-quickgelu": SIZES | {"quick_gelu": True},
    "Tiny-8": OTHER_SIZES,
    "TinyRN-quickgelu": RESNET_SIZES | {"quick_gelu": True},
}
TEXTS = ["a photo of a dog", "two cats on a red sofa, asleep!"]


def write_size_files(folder):
    """Write the tiny architectures, and make them known to open_clip. Return {name: path}."""
    for name, sizes in ARCHITECTURES.items():
        (folder / f"{name}.json").write_text(json.dumps(sizes))
        open_clip.add_model_config(folder / f"{name}.json")
    return {path.stem: path for path in folder.glob("*.json")}


@functools.cache
def make_theirs(name):
    """Make open_clip's model with random weights."""
    torch.manual_seed(0)
    model = open_clip.create_model(name).eval()
    with torch.no_grad():
        model.logit_scale.fill_(3.3)
        for parameter in model.parameters():
            parameter.copy_(parameter.half())  # so that half precision holds the same numbers
    return model


@torch.no_grad()
def assert_equal(run, theirs):
    """Assert that a model of ours gives the features and the scale of open_clip's."""
    size = run.model.preprocess.size
    torch.manual_seed(1)
    images = torch.randn(3, 3, size, size)
    torch.testing.assert_close(
        run.model.encode_image(images), theirs.encode_image(images), rtol=1e-5, atol=1e-5
    )
    padded = open_clip.tokenize(TEXTS)
    torch.testing.assert_close(
        run.model.encode_text(run.tokenizer(TEXTS)),
        theirs.encode_text(padded),
        rtol=1e-5,
        atol=1e-5,
    )
    torch.testing.assert_close(run.model.logit_scale, theirs.logit_scale)


def save_openai(name, path):
    """Save a model as OpenAI published theirs: TorchScript, half precision, three scalars."""
    model = copy.deepcopy(make_theirs(name))
    size = ARCHITECTURES[name]["vision_cfg"]["image_size"]
    del model.context_length, model.vocab_size  # plain numbers in open_clip
    for field, number in (
        ("input_resolution", size),
        ("context_length", 77),
        ("vocab_size", 49408),
    ):
        model.register_buffer(field, torch.tensor(number))
    images = torch.randn(1, 3, size, size)
    with warnings.catch_warnings(action="ignore"):
        traced = torch.jit.trace(model, (images, open_clip.tokenize(["a"])), check_trace=False)
        open_clip.model.convert_weights_to_fp16(model)
        traced.save(str(path))
    assert traced.state_dict()["text_projection"].dtype == torch.float16


def save_hugging_face_model(folder):
    """Save a model as CLIPModel.save_pretrained does, whole and in parts. Return the model."""
    transformers = pytest.importorskip("transformers")
    text, image = SIZES["text_cfg"], SIZES["vision_cfg"]
    config = transformers.CLIPConfig(
        projection_dim=SIZES["embed_dim"],
        text_config={
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
        },
        vision_config={
            "hidden_size": image["width"],
            "intermediate_size": 4 * image["width"],
            "num_hidden_layers": image["layers"],
            "num_attention_heads": image["width"] // 64,
            "image_size": image["image_size"],
            "patch_size": image["patch_size"],
        },
    )
    torch.manual_seed(0)
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder / "whole")
    model.save_pretrained(folder / "parts", max_shard_size="1MB")
    return model


def load_quietly(name, tag):
    """Load weights and assert that there is nothing to warn of."""
    with warnings.catch_warnings(action="error"):
        return load_pretrained(name, tag)
