"""Muon against the singular value decomposition, the average against sums by hand."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from clipnb import RECIPES, create_model
from clipnb.optimizers import Muon, make_optimizer, orthogonalize
from clipnb.training import update_average


@pytest.mark.parametrize("shape", [(24, 24), (16, 90), (90, 16)])
def test_orthogonalized_keeps_the_directions_and_evens_out_their_lengths(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    U, S, V = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalize(matrix * 100)
    lengths = torch.diagonal(U.T @ result @ V.T)  # in the matrix's own directions
    assert torch.allclose(result, U @ torch.diag(lengths) @ V, atol=1e-3), "no direction was turned"
    inner = lengths[S > 0.1 * S.max()]
    assert 0.6 < inner.min() and inner.max() < 1.3 and S.max() / S.min() > 1.3


def test_muon_steps_by_the_learning_rate_whatever_the_gradients_size():
    steps = []
    for size in 1e-3, 1e3:
        torch.manual_seed(0)
        kernel = nn.Parameter(torch.randn(8, 3, 3, 3))
        before, kernel.grad = kernel.detach().clone(), size * torch.randn(8, 3, 3, 3)
        Muon([{"params": [kernel], "muon": True, "weight_decay": 0.0}], lr=0.01).step()
        steps.append(kernel.detach() - before)
    assert torch.allclose(*steps, rtol=1e-3, atol=1e-6)
    # orthogonal rows of length about 1 in a matrix of 8 x 27, times 0.2 sqrt(27)
    assert torch.linalg.svdvals(steps[0].flatten(1)) == pytest.approx(
        [0.01 * 0.2 * 27**0.5] * 8, rel=0.35
    )


def test_muon_decays_the_weights_and_looks_ahead():
    matrix = nn.Parameter(torch.eye(4))
    optimizer = Muon([{"params": [matrix], "muon": True, "weight_decay": 0.5}], lr=0.1)
    matrix.grad = torch.zeros(4, 4)
    optimizer.step()
    assert torch.allclose(matrix, 0.95 * torch.eye(4)), "no gradient: decay alone, 1 - 0.1 * 0.5"
    matrix.grad = torch.eye(4)
    optimizer.step()
    assert torch.allclose(optimizer.state[matrix]["momentum"], 0.05 * torch.eye(4))


def test_other_groups_are_adamws():
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(5)) for _ in range(2))
    muon, adamw = (
        Muon([{"params": [ours]}], lr=0.1, weight_decay=0.3),
        torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.3),
    )
    for _ in range(3):
        ours.grad = torch.randn(5)
        theirs.grad = ours.grad.clone()
        muon.step(), adamw.step()
    assert torch.equal(ours, theirs)


def test_muon_gets_matrices_and_kernels_but_no_table_and_no_gain():
    recipe = dataclasses.replace(RECIPES["quick"], text_encoder="transformer", optimizer="muon")
    model = create_model(recipe)
    optimizer = make_optimizer(model, recipe)
    names = {id(p): name for name, p in model.named_parameters()}
    muon, tables, free = (
        {names[id(p)] for p in group["params"]} for group in optimizer.param_groups
    )
    assert tables == {"text_encoder.token_embedding.weight", "text_encoder.positional_embedding"}
    assert {
        "image_encoder.stem.0.0.weight",
        "text_encoder.blocks.0.attention.in_proj.weight",
        "image_projection.weight",
    } <= muon
    assert "logit_scale" in free and len(muon) + len(tables) + len(free) == len(names)
    first = optimizer.param_groups[0]
    assert first["lr_scale"] * recipe.learning_rate == pytest.approx(recipe.muon_learning_rate)


def test_the_average_moves_by_its_decay_and_faster_at_first():
    model = nn.BatchNorm1d(1)
    average = copy.deepcopy(model)
    with torch.no_grad():
        model.weight.fill_(11.0)
        model.running_mean.fill_(2.0)
        model.num_batches_tracked.fill_(7)
    update_average(average, model, 0.9, step=10**6)
    assert average.weight.item() == pytest.approx(
        0.9 * 1 + 0.1 * 11
    ) and average.running_mean.item() == pytest.approx(0.2)
    assert average.num_batches_tracked.item() == 7
    update_average(average, model, 0.9, step=0)  # keeps (1 + 0) / (10 + 0) of itself
    assert average.weight.item() == pytest.approx(0.1 * 2 + 0.9 * 11)
