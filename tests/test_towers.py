"""The published towers in our modules, at small sizes, beside open_clip and transformers."""

import dataclasses

import open_clip
import pytest
import torch
from twins import (
    OpenClipFace,
    as_openai_file,
    create_hugging_face,
    create_ours,
    feature_differences,
    gradient_differences,
    make_inputs,
    randomize,
    tiny_sizes,
)

from clipnb.encoders import BagOfWords, TextTransformer, TinyCNN, ViT
from clipnb.model import CLIP, create_model
from clipnb.preprocess import Preprocess
from clipnb.pretrained.names import find_differences
from clipnb.recipes import RECIPES
from clipnb.towers import published
from clipnb.towers.modified_resnet import ModifiedResNet
from clipnb.towers.published import (
    adopt_architecture,
    list_architectures,
    parse_architecture,
    read_architecture,
)
from clipnb.towers.sizes import find_architecture

FAMILIES = {
    "vit": tiny_sizes(quick_gelu=False),
    "vit_quickgelu": tiny_sizes(),
    "resnet": tiny_sizes(quick_gelu=False, resnet=True),
    "resnet_quickgelu": tiny_sizes(resnet=True),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def make_reference(family):
    """A random model of open_clip and its architecture."""
    sizes = FAMILIES[family]
    return randomize(open_clip.CLIP(**sizes)), parse_architecture(family, sizes)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("naming", ["open_clip", "openai"])
def test_features_and_gradients_are_those_of_open_clip(family, naming):
    reference, architecture = make_reference(family)
    file = reference.state_dict()
    if naming == "openai":
        file = as_openai_file(file, architecture)
        reference.load_state_dict(file, strict=False)
    model = create_ours(architecture, file)
    images, tokens = make_inputs(architecture)
    differences = feature_differences(model, reference, images, tokens)
    assert max(differences.values()) < 1e-5, differences
    differences = gradient_differences(model, reference, architecture, images, tokens)
    worst = max(differences, key=differences.get)
    assert differences[worst] < 1e-4, (worst, differences[worst])


@pytest.mark.parametrize("family", ["vit", "vit_quickgelu"])
def test_features_and_gradients_are_those_of_transformers(family):
    pytest.importorskip("transformers")
    reference = OpenClipFace(create_hugging_face(FAMILIES[family]))
    architecture = parse_architecture(family, FAMILIES[family])
    model = create_ours(architecture, reference.model.state_dict())
    images, tokens = make_inputs(architecture)
    differences = feature_differences(model, reference, images, tokens)
    assert max(differences.values()) < 1e-5, differences
    differences = gradient_differences(model, reference, architecture, images, tokens)
    worst = max(differences, key=differences.get)
    assert differences[worst] < 1e-4, (worst, differences[worst])


# ---- these checks can fail -------------------------------------------------------------------


def mean_of_patches(vit, images):
    """What ViT.forward does, but pooled over all places instead of read at the class token."""
    x = vit.patches(images).flatten(2).transpose(1, 2)
    x = torch.cat([vit.class_token.expand(len(x), 1, -1), x], dim=1)
    x = vit.norm_in(x + vit.positions)
    for block in vit.blocks:
        x = block(x)
    return vit.norm_out(x.mean(dim=1))


def see_everything(model, monkeypatch):
    model.text_encoder.causal = False


def pool_wrongly(model, monkeypatch):
    monkeypatch.setattr(ViT, "forward", mean_of_patches)


def exchange_batch_norms(model, monkeypatch):
    block = model.image_encoder.stages[1][0]
    block.conv1[1], block.conv2[1] = block.conv2[1], block.conv1[1]


@pytest.mark.parametrize(
    "family, mistake, wrong",
    [
        ("vit_quickgelu", see_everything, {"text", "trimmed", "logits"}),
        ("vit_quickgelu", pool_wrongly, {"image", "logits"}),
        ("resnet", exchange_batch_norms, {"image", "logits"}),
    ],
)
def test_a_mistake_shows(family, mistake, wrong, monkeypatch):
    reference, architecture = make_reference(family)
    model = create_ours(architecture, reference.state_dict())
    mistake(model, monkeypatch)
    differences = feature_differences(model, reference, *make_inputs(architecture))
    assert {name for name, value in differences.items() if value > 1e-3} == wrong


@pytest.mark.parametrize("family", ["vit_quickgelu", "vit"])
def test_the_other_activation_shows(family):
    reference, architecture = make_reference(family)
    other = dataclasses.replace(architecture, quick_gelu=not architecture.quick_gelu)
    model = create_ours(other, reference.state_dict())
    differences = feature_differences(model, reference, *make_inputs(architecture))
    assert min(differences.values()) > 1e-4, differences


# ---- the sizes -------------------------------------------------------------------------------


# One of each kind: 32, 16 and 14 pixels a patch, 336 pixels a side, odd feed-forward nets, ResNets.
@pytest.mark.parametrize(
    "name",
    ["ViT-B-32", "ViT-B-16-plus-240", "ViT-L-14-336", "ViT-g-14", "ViT-bigG-14", "RN101", "RN50x4"],
)
def test_a_published_size_fits_open_clip(name):
    """Tensor by tensor, without memory: names and shapes are those that open_clip would have."""
    architecture = read_architecture(name)
    recipe = adopt_architecture(RECIPES["quick"], name)
    with torch.device("meta"):
        reference = open_clip.CLIP(**open_clip.get_model_config(name))
        model = create_model(recipe)
    assert find_differences(reference.state_dict(), model) == []
    assert dataclasses.replace(find_architecture(model), name=name) == architecture


def test_the_names_are_those_that_a_reader_looks_for():
    names = set(list_architectures())
    assert {"ViT-B-32", "ViT-B-32-quickgelu", "ViT-B-16", "ViT-L-14", "ViT-H-14"} <= names
    assert {"RN50", "RN101", "RN50x4", "RN50x16", "RN50x64"} <= names


def test_the_resnet_shrinks_by_32_and_pools_with_attention():
    resnet = ModifiedResNet(image_size=64, depths=(1, 2, 1, 1), stem_width=8, heads=4)
    assert resnet(torch.randn(2, 3, 64, 64)).shape == (2, 256)
    assert [len(blocks) for blocks in resnet.stages] == [1, 2, 1, 1]
    assert resnet.pool.positions.shape == (2 * 2 + 1, 256)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"no model 'ViT-B-33'. Names .* are ViT-B-32, "):
        read_architecture("ViT-B-33")


def test_a_model_with_other_parts_is_refused_by_their_names():
    with pytest.raises(ValueError, match=r"coca_ViT-B-32 has parts .*multimodal_cfg"):
        read_architecture("coca_ViT-B-32")
    with pytest.raises(ValueError, match=r"timm_model_name"):
        read_architecture("ViT-B-16-SigLIP")


@pytest.mark.parametrize("resnet", [False, True])
def test_the_image_size_is_the_towers_own(resnet):
    architecture = parse_architecture("tiny", tiny_sizes(resnet=resnet))
    towers = architecture.create_image_encoder(), architecture.create_text_encoder()
    model = CLIP(*towers, architecture.embed_dim)
    assert model.preprocess == Preprocess(architecture.image_size)
    assert find_architecture(model).image_size == architecture.image_size
    model.preprocess = Preprocess(96)
    with pytest.raises(ValueError, match=rf"images of 96 .* takes {architecture.image_size}\."):
        find_architecture(model)


def test_a_recipe_with_another_size_is_refused():
    recipe = adopt_architecture(RECIPES["quick"], "ViT-B-32")
    assert (recipe.image_size, recipe.vocab_size, recipe.context_length) == (224, 49408, 77)
    with pytest.raises(ValueError, match=r"clip/ViT-B-32 needs image_size=224, not 64"):
        published.check_sizes(dataclasses.replace(recipe, image_size=64), "ViT-B-32")
    with pytest.raises(ValueError, match=r"clip/ViT-B-32 needs context_length=77, not 20"):
        published.check_sizes(dataclasses.replace(recipe, context_length=20), "ViT-B-32")


@pytest.mark.parametrize(
    "image_encoder, text_encoder, reason",
    [
        ("cnn", "eos", "its image encoder is a TinyCNN"),
        ("mean_vit", "eos", "takes the mean of the patches and has no class token"),
        ("class_vit", "bag", "its text encoder is a BagOfWords"),
        ("class_vit", "mean", "takes the mean of the tokens"),
        ("class_vit", "wide", "not four times as wide"),
        ("class_vit", "quick", "one tower has GELU and the other has QuickGELU"),
    ],
)
def test_what_no_published_model_has_is_told(image_encoder, text_encoder, reason):
    eos = {"width": 16, "heads": 2, "causal": True, "pooling": "eos", "feedforward": 64}
    encoders = {
        "cnn": TinyCNN,
        "mean_vit": lambda: ViT(16, width=16),
        "class_vit": lambda: ViT(16, width=16, pooling="class"),
        "bag": lambda: BagOfWords(100, 16),
        "mean": lambda: TextTransformer(100, width=16),
        "eos": lambda: TextTransformer(100, **eos),
        "wide": lambda: TextTransformer(100, **eos | {"feedforward": 65}),
        "quick": lambda: TextTransformer(100, **eos, activation=published.QuickGELU),
    }
    model = CLIP(encoders[image_encoder](), encoders[text_encoder](), 8)
    with pytest.raises(ValueError, match=reason) as error:
        find_architecture(model)
    assert 'image_encoder="clip_vit"' in str(error.value)
    assert "\n" not in str(error.value)
