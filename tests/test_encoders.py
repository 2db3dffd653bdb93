"""The encoders against published sizes, against torch and open_clip, and against known results."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clipnb import (
    RECIPES,
    BagOfWords,
    MultiHeadAttention,
    ResidualCNN,
    TextTransformer,
    TransformerBlock,
    ViT,
    clip_tokenizer,
    create_model,
    masked_mean,
)
from clipnb.encoders import ResidualBlock


def count_parameters(module):
    return sum(p.numel() for p in module.parameters())


def copy_attention(ours, theirs):
    """Give torch's attention the weights of ours."""
    weights = {
        "in_proj_weight": ours.in_proj.weight,
        "in_proj_bias": ours.in_proj.bias,
        "out_proj.weight": ours.out_proj.weight,
        "out_proj.bias": ours.out_proj.bias,
    }
    theirs.load_state_dict(weights)


def copy_blocks(ours, theirs):
    """Give open_clip's residual attention blocks the weights of our transformer blocks."""
    for our_block, their_block in zip(ours, theirs, strict=True):
        copy_attention(our_block.attention, their_block.attn)
        their_block.ln_1.load_state_dict(our_block.norm1.state_dict())
        their_block.ln_2.load_state_dict(our_block.norm2.state_dict())
        their_block.mlp.c_fc.load_state_dict(our_block.feedforward[0].state_dict())
        their_block.mlp.c_proj.load_state_dict(our_block.feedforward[3].state_dict())


# ---- sizes -----------------------------------------------------------------------------------


def test_the_baseline_has_the_published_number_of_parameters():
    model = create_model(RECIPES["baseline"])
    image_encoder = model.image_encoder
    text_encoder = model.text_encoder
    assert count_parameters(image_encoder.conv1) == 896
    assert count_parameters(image_encoder.conv2) == 18_496
    assert count_parameters(image_encoder.conv3) == 73_856
    assert count_parameters(text_encoder.token_embedding) == 6_324_224
    assert text_encoder.positional_embedding.numel() == 9_856
    assert [count_parameters(block) for block in text_encoder.blocks] == [198_272] * 4
    assert count_parameters(model.image_projection) == 65_536
    assert count_parameters(model.text_projection) == 65_536
    assert count_parameters(model) == 7_351_489


# ---- image encoders --------------------------------------------------------------------------


@pytest.mark.parametrize("side", [16, 33, 54, 72])
def test_the_residual_cnn_takes_images_of_any_size(side):
    encoder = ResidualCNN().eval()
    assert encoder(torch.zeros(1, 3, side, side)).shape == (1, 192)


@pytest.mark.parametrize("out_width, stride", [(6, 2), (4, 1)])
def test_a_residual_block_without_its_residual_is_the_shortcut(out_width, stride):
    block = ResidualBlock(4, out_width, stride)
    nn.init.zeros_(block.norm2.weight)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(block(x), F.relu(block.shortcut(x)))


def test_a_shortcut_between_equal_shapes_changes_nothing():
    block = ResidualBlock(4, 4, stride=1)
    nn.init.zeros_(block.norm2.weight)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), F.relu(x))


def test_a_stage_halves_its_maps_once():
    blocks = ResidualCNN(depth=3).blocks
    assert [block.conv1.stride[0] for block in blocks] == [2, 1, 1, 2, 1, 1]


def test_a_deep_cnn_whose_further_blocks_add_nothing_equals_the_shallow_one():
    shallow = ResidualCNN().eval()
    deep = ResidualCNN(depth=3).eval()
    deep.stem.load_state_dict(shallow.stem.state_dict())
    for number, block in enumerate(deep.blocks):
        if number % 3 == 0:  # the first block of a stage
            block.load_state_dict(shallow.blocks[number // 3].state_dict())
        else:
            nn.init.zeros_(block.norm2.weight)  # a block that adds nothing
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(deep(images), shallow(images))


def test_the_vit_applies_its_parts_in_order():
    torch.manual_seed(0)
    vit = ViT(32, layers=1)
    nn.init.normal_(vit.norm_in.weight)
    images = torch.randn(2, 3, 32, 32)
    x = vit.patches(images).flatten(2).transpose(1, 2)  # (2, 16, D)
    x = vit.norm_in(x + vit.positions)
    x = vit.blocks[0](x)
    torch.testing.assert_close(vit(images), vit.norm_out(x.mean(dim=1)))


def test_the_vit_equals_open_clips():
    from open_clip.transformer import VisionTransformer

    ours = ViT(32, patch_size=8, width=32, layers=2, heads=4)
    theirs = VisionTransformer(
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
    theirs.conv1.weight.data = ours.patches.weight.data
    ours.patches.bias.data = torch.zeros(32)  # open_clip's patches have no bias
    copy_blocks(ours.blocks, theirs.transformer.resblocks)
    theirs.ln_pre.load_state_dict(ours.norm_in.state_dict())
    theirs.ln_post.load_state_dict(ours.norm_out.state_dict())
    # open_clip has a class token, which the other tokens attend to. Here it is zero.
    theirs.class_embedding.data.zero_()
    theirs.positional_embedding.data = torch.cat([torch.zeros(1, 32), ours.positions.data])
    images = torch.randn(2, 3, 32, 32)

    # Our parts, with the same class token in front of the patches.
    x = ours.patches(images).flatten(2).transpose(1, 2) + ours.positions  # (2, 16, 32)
    x = ours.norm_in(torch.cat([torch.zeros(2, 1, 32), x], dim=1))  # (2, 17, 32)
    for block in ours.blocks:
        x = block(x)
    features = ours.norm_out(x[:, 1:].mean(dim=1))

    expected = theirs(images)
    if theirs.proj is not None:  # ours has no projection of its own, so theirs is undone
        expected = expected @ torch.linalg.inv(theirs.proj)
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)


# ---- attention -------------------------------------------------------------------------------


def test_attention_equals_torchs():
    ours = MultiHeadAttention(32, 4)
    theirs = nn.MultiheadAttention(32, 4, batch_first=True)
    copy_attention(ours, theirs)
    x = torch.randn(3, 7, 32)
    lengths = torch.tensor([[7], [4], [1]])
    mask = torch.arange(7) < lengths  # (3, 7)
    expected, _ = theirs(x, x, x, key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, mask), expected)


def test_a_block_equals_torchs_pre_norm_layer():
    ours = TransformerBlock(32, 4, 64)
    theirs = nn.TransformerEncoderLayer(
        32, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    copy_attention(ours.attention, theirs.self_attn)
    theirs.norm1.load_state_dict(ours.norm1.state_dict())
    theirs.norm2.load_state_dict(ours.norm2.state_dict())
    theirs.linear1.load_state_dict(ours.feedforward[0].state_dict())
    theirs.linear2.load_state_dict(ours.feedforward[3].state_dict())
    x = torch.randn(3, 7, 32)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("encoder, choices", [(ViT, "mean, class"), (TextTransformer, "mean, eos")])
def test_an_unknown_pooling_is_refused(encoder, choices):
    with pytest.raises(ValueError, match=rf"pooling='cls' is unknown; choose one of {choices}\."):
        encoder(pooling="cls")


# ---- text encoders ---------------------------------------------------------------------------


def test_a_masked_mean_equals_one_by_hand():
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    mask = torch.tensor([[True, True, False]])
    assert masked_mean(x, mask).tolist() == [[2.0, 3.0]]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("make_encoder", [partial(TextTransformer, dropout=0.0), BagOfWords])
def test_extra_padding_changes_nothing(make_encoder, train):
    encoder = make_encoder(49408).train(train)
    tokens = clip_tokenizer()(["wow !% a dog !", "two dogs run through the deep snow"])
    padded = F.pad(tokens, (0, 77 - tokens.shape[1]))
    torch.testing.assert_close(encoder(tokens), encoder(padded), rtol=1e-4, atol=1e-5)
    alone = clip_tokenizer()(["wow !% a dog !"])
    torch.testing.assert_close(encoder(alone)[0], encoder(padded)[0], rtol=1e-4, atol=1e-5)


def test_training_and_evaluation_agree_without_dropout():
    encoder = TextTransformer(50, dropout=0.0)
    tokens = torch.tensor([[1, 4, 2, 0, 0], [1, 4, 5, 6, 2]])
    torch.testing.assert_close(encoder.train()(tokens), encoder.eval()(tokens))


def test_the_text_transformer_equals_open_clips():
    """open_clip pools at [EOS]. Here its pooling is off, and the mean of its tokens is ours."""
    from open_clip.transformer import TextTransformer as TheirTransformer

    ours = TextTransformer(
        60, context_length=9, width=32, layers=2, heads=4, feedforward=128, dropout=0.0
    )
    theirs = TheirTransformer(
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
    copy_blocks(ours.blocks, theirs.transformer.resblocks)
    theirs.ln_final = nn.Identity()  # ours has no last norm
    theirs.text_projection = None  # ours has no projection of its own
    tokens = torch.randint(1, 60, (4, 9))
    expected = theirs(tokens).mean(dim=1)
    torch.testing.assert_close(ours(tokens), expected, rtol=1e-4, atol=1e-5)
