"""Frozen encoders, LoRA against W + B A by hand, and the mean of two models' weights."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clipnb import CLIP, BagOfWords, ResidualCNN, TextTransformer, ViT, seed_everything
from clipnb.features import digest_weights
from clipnb.optimizers import make_optimizer
from clipnb.preprocess import Preprocess
from clipnb.steps import train_step
from clipnb.tuning import (
    add_lora,
    count_learned,
    find_matrices,
    freeze_towers,
    hold_still,
    interpolate_weights,
    merge_lora,
)

IMAGES = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
TOKENS = torch.randint(1, 40, (2, 4, 6))


def make_transformers(seed=0):
    seed_everything(seed)
    image = ViT(32, patch_size=16, width=16, layers=2, heads=2)
    text = TextTransformer(40, 8, width=16, layers=1, heads=2, feedforward=32)
    return CLIP(image, text, embed_dim=8)


def make_quick(seed=0):
    """A model with the parts of `quick`: batch norm, and no attention anywhere."""
    seed_everything(seed)
    return CLIP(ResidualCNN((4, 8, 16)), BagOfWords(40, width=8), embed_dim=8)


MODELS = pytest.mark.parametrize("make", [make_transformers, make_quick])


def encode(model):
    model.eval()
    with torch.no_grad():
        return model.encode_image(IMAGES), model.encode_text(TOKENS[0])


def draw_changes(model):
    """Give every B random numbers, so that the changes are no longer zero."""
    for name, parameter in model.named_parameters():
        if name.endswith(".B"):
            nn.init.normal_(parameter, std=0.5)


def take_steps(model, recipe, n=3):
    optimizer = make_optimizer(model, recipe)
    for _ in range(n):
        model.train()
        hold_still(model, recipe)
        train_step(model, optimizer, IMAGES.float() / 127.5 - 1, TOKENS, recipe)


# ---- frozen encoders -------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("freeze", ["image", "text", "both"])
def test_a_frozen_encoder_does_not_change_by_a_bit(recipe, freeze, optimizer):
    plain = {"min_crop_area": 1, "flip": False, "colour": 0, "weight_decay": 0.5}
    recipe = dataclasses.replace(recipe, freeze=freeze, optimizer=optimizer, **plain)
    model = make_quick()
    freeze_towers(model, recipe, set(model.state_dict()))
    before = copy.deepcopy(model)
    take_steps(model, recipe)
    changed = {
        name
        for name, part in model.named_children()
        if digest_weights(part) != digest_weights(getattr(before, name))
    }
    learning = {
        "image": {"text_encoder", "text_projection"},
        "text": {"image_encoder", "image_projection"},
        "both": {"image_projection", "text_projection"},
    }
    assert changed == learning[freeze]
    assert model.logit_scale != before.logit_scale


def test_a_new_projection_of_a_frozen_encoder_learns(recipe):
    recipe = dataclasses.replace(recipe, freeze="text")
    model = make_quick()
    freeze_towers(model, recipe, {name for name in model.state_dict() if "encoder" in name})
    assert model.text_projection.weight.requires_grad
    assert not model.text_encoder.token_embedding.weight.requires_grad


def test_nothing_is_dropped_out_in_a_frozen_encoder(recipe):
    model = make_transformers().train()
    recipe = dataclasses.replace(recipe, freeze="text")
    first, second = (model.encode_text(TOKENS[0]) for _ in range(2))
    assert not torch.equal(first, second)
    hold_still(model, recipe)
    assert torch.equal(model.encode_text(TOKENS[0]), model.encode_text(TOKENS[0]))
    assert model.image_encoder.training


# ---- LoRA ------------------------------------------------------------------------------------


@MODELS
def test_lora_changes_nothing_at_first_and_is_merged_without_a_trace(make):
    model = make()
    plain = encode(model)
    names = set(model.state_dict())
    add_lora(model, rank=2)
    for ours, theirs in zip(encode(model), plain, strict=True):
        assert torch.equal(ours, theirs)
    draw_changes(model)
    changed = encode(model)
    assert not torch.allclose(changed[0], plain[0], atol=1e-3)
    assert not torch.allclose(changed[1], plain[1], atol=1e-3)
    merged = merge_lora(copy.deepcopy(model))
    assert set(merged.state_dict()) == names
    assert {type(m) for m in merged.modules()} == {type(m) for m in make().modules()}
    for model_of in (merged, model):  # the model that was copied is as it was
        for ours, theirs in zip(encode(model_of), changed, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-6)
    fresh = make(seed=1)
    fresh.load_state_dict(merged.state_dict())
    assert torch.equal(encode(fresh)[0], encode(merged)[0])


def test_lora_of_a_linear_layer_and_of_a_kernel_are_w_plus_b_a_by_hand():
    model = add_lora(make_transformers(), rank=2)
    draw_changes(model)
    layer = model.image_encoder.blocks[0].attention.in_proj
    change = layer.parametrizations.weight[0]
    assert change.B.shape == (48, 2) and change.A.shape == (2, 16)
    x = torch.randn(5, 16)
    by_hand = x @ layer.parametrizations.weight.original.T + x @ change.A.T @ change.B.T
    assert torch.allclose(layer(x), by_hand + layer.bias, atol=1e-5)

    model = add_lora(make_quick(), rank=2)
    draw_changes(model)
    layer = model.image_encoder.stem[1][0]  # 4 to 8 channels, 3 x 3
    change = layer.parametrizations.weight[0]
    assert change.B.shape == (8, 2) and change.A.shape == (2, 4 * 9)
    x = torch.randn(1, 4, 6, 6)
    # First the kernels in A, then B mixes their two outputs.
    low = F.conv2d(x, change.A.view(2, 4, 3, 3), stride=2, padding=1)
    by_hand = F.conv2d(low, change.B[:, :, None, None])
    by_hand += F.conv2d(x, layer.parametrizations.weight.original, stride=2, padding=1)
    assert torch.allclose(layer(x), by_hand, atol=1e-5)


def test_lora_changes_the_projections_of_attention_and_nothing_else_of_a_transformer():
    model = add_lora(make_transformers(), rank=2)
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    outside = {"image_projection.weight", "text_projection.weight", "logit_scale"}
    inside = learned - outside
    assert outside < learned
    assert all(".attention." in name and name[-1] in "AB" for name in inside)
    per_layer = 2 * (16 + 48) + 2 * (16 + 16)  # in_proj and out_proj
    assert count_learned(model) == 3 * per_layer + 2 * 16 * 8 + 1


def test_lora_finds_the_attention_of_pytorch():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.feedforward = nn.Linear(8, 8)

        def forward(self, x):
            return self.feedforward(self.attention(x, x, x)[0])

    block = Block().eval()
    matrices = find_matrices(block)
    out = block.attention.out_proj
    assert matrices == [(block.attention, "in_proj_weight"), (out, "weight")]
    model = make_quick()
    model.image_encoder = block
    x = torch.randn(2, 3, 8)
    plain = block(x)
    add_lora(model, 2, towers=["image"])
    assert torch.allclose(block(x), plain, atol=1e-6)  # PyTorch takes another path
    draw_changes(model)
    changed = block(x)
    assert not torch.allclose(changed, plain, atol=1e-3)
    merge_lora(model)
    assert torch.allclose(block(x), changed, atol=1e-6)


@MODELS
def test_steps_with_lora_change_only_what_learns(make, recipe):
    recipe = dataclasses.replace(recipe, lora_rank=2, weight_decay=0.5)
    model = add_lora(make(), rank=2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    take_steps(model, recipe)
    for name, tensor in model.state_dict().items():
        learns = name[-2:] in (".A", ".B") or "projection" in name or name == "logit_scale"
        learns &= "in_proj.bias" not in name
        assert torch.equal(tensor, before[name]) != learns, name


def test_lora_is_refused_where_it_makes_no_sense():
    model = make_quick()
    with pytest.raises(ValueError, match="at least 1, not 0"):
        add_lora(model, 0)
    add_lora(model, 1)
    with pytest.raises(ValueError, match="call `merge_lora` first"):
        add_lora(model, 1)
    with pytest.raises(ValueError, match="Linear has no matrices"):
        find_matrices(nn.Linear(2, 2))


@pytest.mark.parametrize(
    "rank, towers, words",
    [
        (2.5, ["image"], "an integer of at least 1, not 2.5"),
        (2, ["image", "texts"], "tower 'texts' is unknown; choose from image, text"),
        (2, "images", "tower 'images' is unknown"),
        (2, ["image", "text"], "Linear has no matrices"),
    ],
)
def test_lora_that_is_refused_has_changed_nothing(rank, towers, words):
    model = make_transformers()
    model.text_encoder = nn.Linear(2, 2)
    names = set(model.state_dict())
    with pytest.raises(ValueError, match=words):
        add_lora(model, rank, towers)
    assert set(model.state_dict()) == names
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_lora_of_one_tower_by_its_name():
    model = add_lora(make_transformers(), 2, "image")
    changed = {name.split(".")[0] for name in model.state_dict() if name[-2:] in (".A", ".B")}
    assert changed == {"image_encoder"}
    assert all(parameter.requires_grad for parameter in model.text_encoder.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_lora_has_the_dtype_of_the_weights(dtype):
    model = add_lora(make_transformers().to(dtype), 2)
    draw_changes(model)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {dtype}
    assert {tensor.dtype for tensor in merge_lora(model).state_dict().values()} == {dtype}


def test_a_rank_larger_than_a_matrix_is_cut_to_its_smaller_side():
    attention = add_lora(make_transformers(), 500).image_encoder.blocks[0].attention
    change = attention.in_proj.parametrizations.weight[0]
    assert change.B.shape == (48, 16) and change.A.shape == (16, 16)


# ---- a mean of two models --------------------------------------------------------------------


def test_a_share_of_0_is_the_first_model_and_of_1_the_second():
    first, second = make_quick(0), make_quick(1)
    norm = "image_encoder.stem.0.1"
    first.get_submodule(norm).running_mean.fill_(1.0)
    second.get_submodule(norm).running_mean.fill_(3.0)
    second.get_submodule(norm).num_batches_tracked.fill_(7)
    digests = digest_weights(first), digest_weights(second)
    start, end = interpolate_weights(first, second, 0), interpolate_weights(first, second, 1)
    start.get_submodule(norm).num_batches_tracked.fill_(0)  # integers are the second's
    assert (digest_weights(start), digest_weights(end)) == digests
    between = interpolate_weights(first, second, 0.25)
    assert between.get_submodule(norm).running_mean.eq(1.5).all()
    assert between.get_submodule(norm).num_batches_tracked == 7
    weights = [model.image_projection.weight for model in (first, second, between)]
    assert torch.allclose(weights[2], 0.75 * weights[0] + 0.25 * weights[1], atol=1e-7)
    assert (digest_weights(first), digest_weights(second)) == digests, "neither has changed"


def test_models_that_are_built_otherwise_are_refused_by_name():
    model = make_quick()
    with pytest.raises(ValueError, match="image_encoder is ResidualCNN in the first and ViT in"):
        interpolate_weights(model, make_transformers(), 0.5)
    wider = CLIP(ResidualCNN((4, 8, 16)), BagOfWords(50, width=8), embed_dim=8)
    message = r"token_embedding.weight is \(40, 8\) in the first and \(50, 8\) in the second"
    with pytest.raises(ValueError, match=message):
        interpolate_weights(model, wider, 0.5)
    other = make_quick(1)
    other.preprocess = Preprocess(32)
    with pytest.raises(
        ValueError, match=r"preprocess is Preprocess\(size=64, .* in the second. We"
    ):
        interpolate_weights(model, other, 0.5)
    with pytest.raises(ValueError, match="share is 1.5; choose a number from 0 to 1"):
        interpolate_weights(model, make_quick(), 1.5)
