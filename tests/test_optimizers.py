"""Muon against the singular value decomposition, and which parameters get which steps."""

import dataclasses

import pytest
import torch
from torch import nn

from clipnb import RECIPES, create_model
from clipnb.optimizers import Muon, make_optimizer, orthogonalize


def list_names(model, group):
    """Return the names of the parameters in one group of an optimizer."""
    ids = {id(p) for p in group["params"]}
    return {name for name, p in model.named_parameters() if id(p) in ids}


# ---- Muon's steps ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(24, 24), (16, 90), (90, 16)])
def test_orthogonalize_keeps_the_directions_and_evens_out_their_lengths(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    U, S, V = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalize(matrix * 100)
    lengths = torch.diagonal(U.T @ result @ V.T)  # in the matrix's own directions
    assert torch.allclose(result, U @ torch.diag(lengths) @ V, atol=1e-3), "no direction was turned"
    long_enough = lengths[S / S.max() > 0.1]
    assert S.max() / S.min() > 1.3, "the lengths were uneven before"
    assert long_enough.min() > 0.6
    assert long_enough.max() < 1.3


def test_muon_steps_by_the_learning_rate_whatever_the_size_of_the_gradient():
    steps = []
    for size in 1e-3, 1e3:
        torch.manual_seed(0)
        kernel = nn.Parameter(torch.randn(8, 3, 3, 3))
        kernel.grad = size * torch.randn(8, 3, 3, 3)
        before = kernel.detach().clone()
        Muon([{"params": [kernel], "muon": True, "weight_decay": 0.0}], lr=0.01).step()
        steps.append(kernel.detach() - before)
    small_step, large_step = steps
    assert torch.allclose(small_step, large_step, rtol=1e-3, atol=1e-6)
    # As a matrix the step is 8 x 27, its rows orthogonal and about 1 long, times 0.2 sqrt(27).
    lengths = torch.linalg.svdvals(small_step.flatten(1))
    assert lengths == pytest.approx([0.01 * 0.2 * 27**0.5] * 8, rel=0.35)


def test_muon_decays_the_weights_and_keeps_a_momentum():
    matrix = nn.Parameter(torch.eye(4))
    optimizer = Muon([{"params": [matrix], "muon": True, "weight_decay": 0.5}], lr=0.1)
    matrix.grad = torch.zeros(4, 4)
    optimizer.step()
    assert torch.allclose(matrix, 0.95 * torch.eye(4)), "no gradient: decay alone, 1 - 0.1 * 0.5"
    matrix.grad = torch.eye(4)
    optimizer.step()
    assert torch.allclose(optimizer.state[matrix]["momentum"], 0.05 * torch.eye(4))


def test_groups_without_muon_take_the_steps_of_adamw():
    torch.manual_seed(0)
    ours = nn.Parameter(torch.ones(5))
    theirs = nn.Parameter(torch.ones(5))
    muon = Muon([{"params": [ours]}], lr=0.1, weight_decay=0.3)
    adamw = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.3)
    for _ in range(3):
        ours.grad = torch.randn(5)
        theirs.grad = ours.grad.clone()
        muon.step()
        adamw.step()
    assert torch.equal(ours, theirs)


def test_muon_takes_a_closure():
    torch.manual_seed(0)
    matrix = nn.Parameter(torch.randn(4, 4))
    bias = nn.Parameter(torch.randn(4))
    optimizer = Muon([{"params": [matrix], "muon": True}, {"params": [bias]}], lr=0.1)
    before = matrix.detach().clone()

    def closure():
        optimizer.zero_grad()
        loss = (matrix.sum() + bias.sum()) ** 2
        loss.backward()
        return loss

    expected = closure().item()
    assert optimizer.step(closure).item() == pytest.approx(expected)
    assert not torch.equal(matrix, before)


# ---- which parameters get which steps --------------------------------------------------------


def test_muon_gets_matrices_and_kernels_but_no_embedding_and_no_gain():
    recipe = dataclasses.replace(RECIPES["quick"], text_encoder="transformer", optimizer="muon")
    model = create_model(recipe)
    groups = make_optimizer(model, recipe).param_groups
    muon, embeddings, others = (list_names(model, group) for group in groups)
    assert muon >= {
        "image_encoder.stem.0.0.weight",
        "text_encoder.blocks.0.attention.in_proj.weight",
        "image_projection.weight",
    }
    assert embeddings == {
        "text_encoder.token_embedding.weight",
        "text_encoder.positional_embedding",
    }
    assert "logit_scale" in others
    assert len(muon) + len(embeddings) + len(others) == len(list(model.parameters()))
    muon_rate = groups[0]["lr_scale"] * recipe.learning_rate
    assert muon_rate == pytest.approx(recipe.muon_learning_rate)


def test_the_scale_and_gains_and_biases_do_not_decay():
    recipe = RECIPES["residual_bag"]
    model = create_model(recipe)
    decaying, others = make_optimizer(model, recipe).param_groups
    assert decaying["weight_decay"] == 0.5
    assert others["weight_decay"] == 0
    expected = {
        name
        for name, p in model.named_parameters()
        if name == "logit_scale" or name.endswith(".bias") or p.ndim == 1
    }
    assert list_names(model, others) == expected


def test_positions_decay():
    """The paper (§2.5) decays "all weights that are not gains or biases", positions too."""
    recipe = RECIPES["baseline"]
    model = create_model(recipe)
    decaying, others = make_optimizer(model, recipe).param_groups
    assert decaying["weight_decay"] == recipe.weight_decay
    assert others["weight_decay"] == 0.0
    assert "text_encoder.positional_embedding" in list_names(model, decaying)
    for name in list_names(model, others):
        assert name == "logit_scale" or name.endswith((".bias", ".weight"))
    for p in others["params"]:
        assert p.ndim < 2


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_parameters_without_gradients_are_not_given_to_the_optimizer(recipe, optimizer):
    recipe = dataclasses.replace(recipe, optimizer=optimizer)
    model = create_model(recipe)
    model.image_encoder.requires_grad_(False)
    groups = make_optimizer(model, recipe).param_groups
    given = {id(p) for group in groups for p in group["params"]}
    assert given == {id(p) for p in model.parameters() if p.requires_grad}
