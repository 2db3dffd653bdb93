"""Renaming tensors between ours, open_clip's and Hugging Face's names, both ways."""

import open_clip
import pytest
import torch
from twins import as_openai_file, create_hugging_face, create_ours, randomize, tiny_sizes

from clipnb.pretrained.names import (
    find_differences,
    find_naming,
    rename_to_hugging_face,
    rename_to_open_clip,
    rename_to_ours,
)
from clipnb.pretrained.tables import list_names
from clipnb.towers.published import parse_architecture

SIZES = {"vit": tiny_sizes(), "resnet": tiny_sizes(resnet=True)}
ARCHITECTURES = {name: parse_architecture(name, sizes) for name, sizes in SIZES.items()}


@pytest.fixture(scope="module", params=SIZES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def weights(family):
    """Random weights in open_clip's naming."""
    torch.manual_seed(0)
    return randomize(open_clip.CLIP(**SIZES[family])).state_dict()


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_there_and_back_changes_no_bit(family, weights):
    architecture = ARCHITECTURES[family]
    ours = rename_to_ours(weights, architecture)
    assert len(ours) == len(weights) == len(list_names(architecture))
    assert_equal(rename_to_open_clip(ours, architecture), weights)
    assert_equal(rename_to_ours(ours, architecture), ours)  # a file of our own is taken as it is
    assert find_naming(weights) == "open_clip"
    assert find_naming(ours) == "clipnb"


def test_hugging_face_there_and_back_changes_no_bit():
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    weights = create_hugging_face(SIZES["vit"]).state_dict()
    assert find_naming(weights) == "hugging_face"
    ours = rename_to_ours(weights, ARCHITECTURES["vit"])
    assert_equal(rename_to_hugging_face(ours, ARCHITECTURES["vit"]), weights)


def test_queries_keys_and_values_come_in_this_order():
    """By hand: three rows of one tensor, against three tensors."""
    names = [each for each in list_names(ARCHITECTURES["vit"]) if len(each.hugging_face) > 1]
    first = names[0]
    assert first.ours == "text_encoder.blocks.0.attention.in_proj.weight"
    assert first.open_clip == "transformer.resblocks.0.attn.in_proj_weight"
    before = "text_model.encoder.layers.0.self_attn."
    parts = [f"{before}{letter}_proj.weight" for letter in "qkv"]
    assert list(first.hugging_face) == parts
    file = {part: torch.full((1, 1), i) for i, part in enumerate(parts)}
    file["vision_model.pre_layrnorm.weight"] = torch.ones(1)
    ours = rename_to_ours(file, ARCHITECTURES["vit"])
    assert ours[first.ours].tolist() == [[0], [1], [2]]


def test_what_others_put_into_their_files_is_no_obstacle(family, weights):
    """Prefixes, scalars, half precision, a scale that is a vector."""
    architecture = ARCHITECTURES[family]
    expected = rename_to_ours(weights, architecture)
    parallel = {f"module.{name}": tensor for name, tensor in weights.items()}
    assert_equal(rename_to_ours(parallel, architecture), expected)
    compiled = {f"_orig_mod.module.{name}": tensor for name, tensor in weights.items()}
    assert_equal(rename_to_ours(compiled, architecture), expected)
    custom = {
        name if name.startswith(("visual.", "logit_scale")) else f"text.{name}": tensor
        for name, tensor in weights.items()
    }
    assert_equal(rename_to_ours(custom, architecture), expected)
    vector = weights | {"logit_scale": weights["logit_scale"].reshape(1)}
    assert_equal(rename_to_ours(vector, architecture), expected)
    assert find_differences(vector, create_ours(architecture, weights)) == []

    openai = rename_to_ours(as_openai_file(weights, architecture), architecture)
    assert openai.keys() == expected.keys()
    name = "text_encoder.blocks.0.feedforward.0.weight"
    assert torch.equal(openai[name], expected[name].half().float())
    floats = [tensor.dtype for tensor in openai.values() if tensor.is_floating_point()]
    assert set(floats) == {torch.float32}


def test_position_ids_of_older_folders_are_left_out():
    pytest.importorskip("transformers")
    weights = create_hugging_face(SIZES["vit"]).state_dict()
    model = create_ours(ARCHITECTURES["vit"], weights)
    for tower in ("text", "vision"):
        weights[f"{tower}_model.embeddings.position_ids"] = torch.arange(77)[None]
    assert find_differences(weights, model) == []
    assert rename_to_ours(weights, ARCHITECTURES["vit"]).keys() == model.state_dict().keys()


# ---- files that do not fit -------------------------------------------------------------------


def test_no_naming_at_all():
    with pytest.raises(ValueError, match="not the weights of a CLIP") as error:
        find_naming({"fc.weight": torch.ones(1), "fc.bias": torch.ones(1)})
    assert "fc.bias, fc.weight" in str(error.value)
    with pytest.raises(ValueError, match="none at all"):
        find_naming({})


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
def test_two_tensors_for_one_place_are_refused(weights, family, prefix):
    file = weights | {f"{prefix}ln_final.bias": torch.zeros(32)}
    for use in (find_naming, lambda file: rename_to_ours(file, ARCHITECTURES[family])):
        with pytest.raises(ValueError, match=rf"ln_final.bias and {prefix}ln_final.bias are"):
            use(file)


@pytest.mark.parametrize("kind", ["int64", "complex64", "sparse"])
def test_tensors_of_another_kind_are_told(weights, family, kind):
    model = create_ours(ARCHITECTURES[family], weights)
    tensor = weights["text_projection"]
    tensor = tensor.to_sparse() if kind == "sparse" else tensor.to(getattr(torch, kind))
    differences = find_differences(weights | {"text_projection": tensor}, model)
    assert differences == [f"text_projection is {kind} and should be dense floating point"]


def test_differences_are_told_by_the_names_of_the_file(weights, family):
    model = create_ours(ARCHITECTURES[family], weights)
    assert find_differences(weights, model) == []
    file = {f"module.{name}": tensor for name, tensor in weights.items()}
    del file["module.ln_final.bias"]
    file["module.visual.extra"] = torch.ones(2, 3)
    file["module.token_embedding.weight"] = torch.ones(10, 32)
    assert find_differences(file, model) == [
        "module.token_embedding.weight is (10, 32) and should be (49408, 32)",
        "ln_final.bias (32,) is missing",
        "module.visual.extra (2, 3) is not in the model",
    ]


def test_differences_of_hugging_face_and_of_ours():
    pytest.importorskip("transformers")
    weights = create_hugging_face(SIZES["vit"]).state_dict()
    model = create_ours(ARCHITECTURES["vit"], weights)
    ours = model.state_dict()
    name = "vision_model.encoder.layers.1.self_attn.k_proj.bias"
    del weights[name]
    assert find_differences(weights, model) == [f"{name} (64,) is missing"]
    ours["image_encoder.class_token"] = torch.ones(3)
    assert find_differences(ours, model) == [
        "image_encoder.class_token is (3,) and should be (64,)"
    ]


def test_what_does_not_fit_is_not_lost(weights, family):
    """A tensor that the model lacks keeps its name, so that loading strictly refuses it."""
    architecture = ARCHITECTURES[family]
    ours = rename_to_ours(weights | {"visual.extra": torch.ones(1)}, architecture)
    assert "visual.extra" in ours
    with pytest.raises(RuntimeError, match=r"Unexpected.*visual.extra"):
        create_ours(architecture, weights).load_state_dict(ours)


def test_a_vit_is_no_resnet():
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    vit, resnet = (open_clip.CLIP(**SIZES[name]).state_dict() for name in ("vit", "resnet"))
    model = create_ours(ARCHITECTURES["resnet"], resnet)
    differences = find_differences(vit, model)
    assert any("visual.class_embedding (64,) is not in the model" in each for each in differences)
    with pytest.raises(ValueError, match="CLIPModel has no ResNet"):
        find_differences(create_hugging_face(SIZES["vit"]).state_dict(), model)
