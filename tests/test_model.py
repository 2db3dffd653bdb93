"""The two towers against their published sizes, against torch and open_clip with the same weights, and against their own promises."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clipnb import (
    CLIP,
    RECIPES,
    BagOfWords,
    MultiHeadAttention,
    ResidualCNN,
    TextTransformer,
    TinyCNN,
    TransformerBlock,
    ViT,
    clip_tokenizer,
    create_model,
    masked_mean,
)
from clipnb.encoders import ResidualBlock
from clipnb.optimizers import make_optimizer


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_baseline_has_the_published_number_of_parameters():
    model = create_model(RECIPES["baseline"])
    image, text = model.image_encoder, model.text_encoder
    assert [count(layer) for layer in (image.conv1, image.conv2, image.conv3)] == [
        896,
        18_496,
        73_856,
    ]
    assert count(text.token_embedding) == 6_324_224
    assert text.positional_embedding.numel() == 9_856
    assert [count(block) for block in text.blocks] == [198_272] * 4
    assert count(model.image_projection) == count(model.text_projection) == 65_536
    assert count(model) == 7_351_489


@pytest.mark.parametrize("image_encoder", [TinyCNN, ResidualCNN, lambda: ViT(32, layers=1)])
@pytest.mark.parametrize(
    "text_encoder", [lambda: TextTransformer(100, layers=1), lambda: BagOfWords(100)]
)
def test_any_pair_of_encoders_makes_a_clip(image_encoder, text_encoder):
    model = CLIP(image_encoder(), text_encoder(), embed_dim=24)
    image_features, text_features, scale = model(
        torch.zeros(3, 3, 32, 32, dtype=torch.uint8),
        torch.tensor([[1, 5, 2], [1, 2, 0], [1, 7, 2]]),
    )
    assert image_features.shape == text_features.shape == (3, 24)
    for features in image_features, text_features:
        torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    assert scale.item() == pytest.approx(1 / 0.07)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("encoder", [TextTransformer(49408, dropout=0.0), BagOfWords(49408)])
def test_extra_padding_changes_nothing(encoder, train):
    tokens = clip_tokenizer()(["wow !% a dog !", "two dogs run through the deep snow"])
    padded = nn.functional.pad(tokens, (0, 77 - tokens.shape[1]))
    encoder.train(train)
    torch.testing.assert_close(encoder(tokens), encoder(padded), rtol=1e-4, atol=1e-5)
    alone = clip_tokenizer()(["wow !% a dog !"])
    torch.testing.assert_close(encoder(alone)[0], encoder(padded)[0], rtol=1e-4, atol=1e-5)


def test_train_and_eval_agree_without_dropout():
    encoder, tokens = (
        TextTransformer(50, dropout=0.0),
        torch.tensor([[1, 4, 2, 0, 0], [1, 4, 5, 6, 2]]),
    )
    torch.testing.assert_close(encoder.train()(tokens), encoder.eval()(tokens))


def test_masked_mean_by_hand():
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    assert masked_mean(x, torch.tensor([[True, True, False]])).tolist() == [[2.0, 3.0]]


def test_attention_equals_torchs():
    ours, theirs = MultiHeadAttention(32, 4), nn.MultiheadAttention(32, 4, batch_first=True)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = (
        ours.in_proj.weight.data,
        ours.in_proj.bias.data,
    )
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())
    x, mask = torch.randn(3, 7, 32), torch.arange(7) < torch.tensor([[7], [4], [1]])
    expected, _ = theirs(x, x, x, key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, mask), expected)


def test_block_equals_torchs_pre_norm_layer():
    ours, theirs = (
        TransformerBlock(32, 4, 64),
        nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True),
    )
    attention = {
        "in_proj_weight": ours.attention.in_proj.weight,
        "in_proj_bias": ours.attention.in_proj.bias,
        "out_proj.weight": ours.attention.out_proj.weight,
        "out_proj.bias": ours.attention.out_proj.bias,
    }
    theirs.self_attn.load_state_dict(attention)
    for mine, other in (
        (ours.norm1, theirs.norm1),
        (ours.norm2, theirs.norm2),
        (ours.feedforward[0], theirs.linear1),
        (ours.feedforward[3], theirs.linear2),
    ):
        other.load_state_dict(mine.state_dict())
    x = torch.randn(3, 7, 32)
    torch.testing.assert_close(ours(x), theirs(x))


def copy_blocks(theirs, ours):
    """open_clip's residual attention blocks take our weights."""
    for other, mine in zip(theirs, ours):
        other.attn.in_proj_weight.data, other.attn.in_proj_bias.data = (
            mine.attention.in_proj.weight.data,
            mine.attention.in_proj.bias.data,
        )
        other.attn.out_proj.load_state_dict(mine.attention.out_proj.state_dict())
        other.ln_1.load_state_dict(mine.norm1.state_dict())
        other.ln_2.load_state_dict(mine.norm2.state_dict())
        other.mlp.c_fc.load_state_dict(mine.feedforward[0].state_dict())
        other.mlp.c_proj.load_state_dict(mine.feedforward[3].state_dict())


def test_text_tower_equals_open_clips():
    """open_clip pools at [EOS]; with one token its transformer, ours and the mean agree on what comes out of the layers."""
    from open_clip.transformer import TextTransformer as Reference

    ours = TextTransformer(
        60, context_length=9, width=32, layers=2, heads=4, feedforward=128, dropout=0.0
    )
    theirs = Reference(
        context_length=9,
        vocab_size=60,
        width=32,
        heads=4,
        layers=2,
        output_dim=32,
        pool_type="none",
        no_causal_mask=True,
    )
    theirs.token_embedding.load_state_dict(ours.token_embedding.state_dict())
    theirs.positional_embedding.data = ours.positional_embedding.data
    copy_blocks(theirs.transformer.resblocks, ours.blocks)
    theirs.ln_final, theirs.text_projection = (
        nn.Identity(),
        None,
    )  # ours has neither a last norm nor a projection of its own
    tokens = torch.randint(1, 60, (4, 9))
    torch.testing.assert_close(ours(tokens), theirs(tokens).mean(dim=1), rtol=1e-4, atol=1e-5)


def test_image_tower_equals_open_clips():
    from open_clip.transformer import VisionTransformer as Reference

    ours = ViT(32, patch_size=8, width=32, layers=2, heads=4)
    theirs = Reference(
        image_size=32,
        patch_size=8,
        width=32,
        layers=2,
        heads=4,
        mlp_ratio=4,
        output_dim=32,
        pool_type="avg",
        final_ln_after_pool=True,
    )
    theirs.conv1.weight.data, ours.patches.bias.data = (
        ours.patches.weight.data,
        torch.zeros(32),
    )  # open_clip's patches have no bias
    copy_blocks(theirs.transformer.resblocks, ours.blocks)
    theirs.ln_pre.load_state_dict(ours.norm_in.state_dict())
    theirs.ln_post.load_state_dict(ours.norm_out.state_dict())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        theirs.class_embedding.zero_()
    # open_clip carries a class token along, which the other tokens attend to: give ours the same one to attend to
    x = ours.patches(images).flatten(2).transpose(1, 2) + ours.positions
    theirs.positional_embedding.data = torch.cat([torch.zeros(1, 32), ours.positions.data])
    x = ours.norm_in(torch.cat([torch.zeros(2, 1, 32), x], dim=1))
    for block in ours.blocks:
        x = block(x)
    expected = (
        theirs(images) if theirs.proj is None else theirs(images) @ torch.linalg.inv(theirs.proj)
    )
    torch.testing.assert_close(ours.norm_out(x[:, 1:].mean(dim=1)), expected, rtol=1e-3, atol=1e-4)


def test_vit_is_its_parts_in_order():
    torch.manual_seed(0)
    ours, images = ViT(32, layers=1), torch.randn(2, 3, 32, 32)
    torch.nn.init.normal_(ours.norm_in.weight)
    x = ours.blocks[0](
        ours.norm_in(ours.patches(images).flatten(2).transpose(1, 2) + ours.positions)
    )
    torch.testing.assert_close(ours(images), ours.norm_out(x.mean(dim=1)))


def test_residual_cnn_takes_any_size():
    encoder = ResidualCNN().eval()
    assert {encoder(torch.zeros(1, 3, side, side)).shape for side in (16, 33, 54, 72)} == {(1, 192)}


def test_residual_block_without_its_residual_is_the_shortcut():
    for block in ResidualBlock(4, 6, stride=2), ResidualBlock(4, 4, stride=1):
        torch.nn.init.zeros_(block.norm2.weight)
        x = torch.randn(2, 4, 8, 8)
        torch.testing.assert_close(block(x), F.relu(block.shortcut(x)))
    assert torch.equal(block(x), F.relu(x)), "same shape in and out: nothing to adapt"


def test_deeper_stages_begin_as_the_shallow_ones_and_add_to_them():
    shallow, deep, images = (
        ResidualCNN().eval(),
        ResidualCNN(depth=3).eval(),
        torch.randn(2, 3, 32, 32),
    )
    assert [block.conv1.stride[0] for block in deep.blocks] == [2, 1, 1, 2, 1, 1], (
        "a stage halves its maps once"
    )
    assert deep(images).shape == shallow(images).shape
    deep.stem.load_state_dict(shallow.stem.state_dict())
    for number, block in enumerate(deep.blocks):
        if number % 3 == 0:
            block.load_state_dict(shallow.blocks[number // 3].state_dict())
        else:
            torch.nn.init.zeros_(block.norm2.weight)  # a block that adds nothing
    torch.testing.assert_close(deep(images), shallow(images))


def test_the_recipes_dropout_is_the_models():
    recipe = dataclasses.replace(RECIPES["baseline"], dropout=0.3)
    assert {m.p for m in create_model(recipe).modules() if isinstance(m, nn.Dropout)} == {0.3}


def test_red_is_the_first_channel_and_uint8_is_scaled():
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    seen = []
    encoder = TinyCNN()
    encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    CLIP(encoder, BagOfWords(9)).encode_image(red)
    assert seen[0][0, :, 0, 0].tolist() == [1.0, -1.0, -1.0]


def test_scale_starts_at_the_papers_value_and_is_clamped():
    model = CLIP(TinyCNN(), BagOfWords(9))
    assert model.logit_scale.item() == pytest.approx(math.log(1 / 0.07))
    for pushed, kept in (9.0, math.log(100)), (-3.0, 0.0), (3.0, 3.0):
        model.logit_scale.data.fill_(pushed)
        model.clamp_logit_scale()
        assert model.logit_scale.item() == pytest.approx(kept)


def test_no_weight_decay_on_scale_gains_and_biases():
    model = create_model(RECIPES["residual_bag"])
    decayed, free = make_optimizer(model, RECIPES["residual_bag"]).param_groups
    assert decayed["weight_decay"] == 0.5 and free["weight_decay"] == 0
    free = {id(p) for p in free["params"]}
    assert {name for name, p in model.named_parameters() if id(p) in free} == {
        name
        for name, p in model.named_parameters()
        if name == "logit_scale" or name.endswith(".bias") or p.ndim == 1
    }


def test_unknown_encoder_is_named():
    with pytest.raises(ValueError, match="'resnet'.*tiny_cnn, residual_cnn, vit"):
        create_model(dataclasses.replace(RECIPES["quick"], image_encoder="resnet"))
