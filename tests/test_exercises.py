"""`check` tells right from not yet, and every solution in a notebook passes its own exercise."""

import ast
import copy
import math
import re
import zlib

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb.exercises import (
    check,
    data,
    encoders,
    first_steps,
    is_close,
    is_open,
    losses,
    objectives,
    optimizers,
    pretrained,
    probes,
    report,
    training,
    zero_shot,
)
from clipnb.runtime import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def adding(answer):
    yield "It adds.", answer(1, 2) == 3
    yield "It adds negative numbers.", answer(-1, -2) == -3


def test_a_right_answer_is_right(capsys):
    check(adding, lambda a, b: a + b)
    assert capsys.readouterr().out == "Right. All 2 properties hold.\n"


def test_the_first_property_that_fails_is_told(capsys):
    check(adding, lambda a, b: abs(a) + abs(b))
    assert capsys.readouterr().out.endswith("so far: It adds negative numbers.\n")


def test_an_error_of_the_answer_is_told(capsys):
    check(adding, lambda a: a)
    assert "Not yet. Your code stopped with TypeError" in capsys.readouterr().out


def test_an_open_exercise_is_open(capsys):
    def stub(a, b): ...

    def stub_with_docstring(a, b):
        """Add."""
        ...  # Your code.

    class Stub:
        def __init__(self):
            self.width = 3

        def forward(self, x): ...

    for answer in (None, ..., stub, stub_with_docstring, Stub):
        assert is_open(answer)
        check(adding, answer)
        assert capsys.readouterr().out.startswith("Not answered yet.")


def test_close_compares_numbers_and_tensors():
    assert is_close(1.0, 1.00001) and not is_close(1.0, 1.01)
    assert is_close(torch.ones(2), torch.ones(2))
    assert not is_close(torch.ones(2), torch.ones(3))
    assert not is_close(float("nan"), float("nan"))


def test_close_takes_lists_and_arrays_in_place_of_tensors():
    assert is_close([1.0, 2.0], torch.tensor([1.0, 2.0]))
    assert is_close(np.ones((2, 3)), torch.ones(2, 3))
    assert is_close(torch.ones(1), torch.tensor(1.0))
    assert not is_close([1.0, 2.5], torch.tensor([1.0, 2.0]))


# ---- answers in another style, and plausible wrong ones --------------------------------------


def split_by_digest(ids):
    """Split by the digest of each image's name, without any order of the images."""
    parts = [], [], []
    for row, name in enumerate(ids):
        number = zlib.crc32(name.encode()) % 10
        parts[min(number, 2)].append(row)
    return parts[2], parts[0], parts[1]


def split_in_order(ids):
    """Split in the order of the names: test before dev."""
    names = sorted(set(ids))
    cuts = [0, int(0.8 * len(names)), int(0.9 * len(names)), len(names)]
    groups = [set(names[start:end]) for start, end in zip(cuts, cuts[1:], strict=False)]
    train, test, dev = ([i for i, name in enumerate(ids) if name in group] for group in groups)
    return train, dev, test


def fold_without_eps(conv, norm):
    factor = norm.weight / norm.running_var.sqrt()
    folded = copy.deepcopy(conv)
    folded.weight = torch.nn.Parameter(conv.weight * factor[:, None, None, None])
    folded.bias = torch.nn.Parameter(norm.bias - norm.running_mean * factor)
    return folded


def make_classifier(centre=True, unit=True):
    """Make a classifier by prototypes. Without `centre` or `unit` it leaves a step out."""

    def classify(features, labels, queries):
        middle = features.mean(axis=0) if centre else 0
        means = np.stack([(features - middle)[labels == label].mean(axis=0) for label in range(3)])
        if unit:
            means /= np.linalg.norm(means, axis=1, keepdims=True)
        return ((queries - middle) @ means.T).argmax(axis=1).tolist()

    return classify


def siglip_with_one_element(u, v, scale, bias):
    signs = 2 * torch.eye(len(u)) - 1
    return -F.logsigmoid(signs * (scale * u @ v.T + bias)).sum().reshape(1) / len(u)


def mix_arrays(words, probe, share):
    words, probe = np.asarray(words), np.asarray(probe)
    return words + share * probe / np.linalg.norm(probe, axis=0)


def average_arrays(features):
    unit = features.numpy() / np.linalg.norm(features.numpy(), axis=-1, keepdims=True)
    mean = unit.mean(axis=0)
    return (mean / np.linalg.norm(mean, axis=-1, keepdims=True)).T


def correct_each_alone(p_values):
    ordered = sorted(p_values)
    return [min(1.0, p * (len(p_values) - ordered.index(p))) for p in p_values]


def stop_by_the_last_epoch(recalls, patience):
    return len(recalls) > patience and recalls[-1] <= max(recalls[:-patience])


def average_by_hand(first, second, share, keep_whole=True):
    """Average two state dicts. Without `keep_whole`, whole numbers are averaged too."""
    mixed = {}
    for name in first:
        if keep_whole and not first[name].is_floating_point():
            mixed[name] = second[name].clone()
        else:
            mixed[name] = (1 - share) * first[name] + share * second[name]
    return mixed


def average_and_share_the_counter(first, second, share):
    """Average two state dicts, with the second's own tensor as the counter."""
    return average_by_hand(first, second, share) | {"n_batches": second["n_batches"]}


RIGHT = [
    (first_steps.two_sentences, ("a dog, small and brown, runs", "a brown dog, small and, runs")),
    (data.split_three, split_by_digest),
    (losses.siglip, siglip_with_one_element),
    (
        objectives.yes_or_no_loss,
        lambda logits, present: F.binary_cross_entropy_with_logits(logits, present).item(),
    ),
    (
        objectives.add_noise,
        lambda text, words, rng: f"{text.strip(' .')} {' '.join(rng.sample(words, 4))} .",
    ),
    (objectives.average_ratios, lambda ratios: math.prod(ratios) ** (1 / len(ratios))),
    (probes.mix_columns, mix_arrays),
    (probes.classify_by_prototypes, make_classifier()),
    (zero_shot.average_features, average_arrays),
    (
        zero_shot.average_probabilities,
        lambda cosines, scale: F.softmax(scale * cosines, dim=-1).mean(dim=0).numpy(),
    ),
    (
        optimizers.decay_memory,
        lambda rate, decay, steps: -1 / math.log(1 - rate * decay) / steps,
    ),
    (training.first_losses, (10.4, 1e-8)),
    (pretrained.mixed_weights, average_by_hand),
]
WRONG = [
    (data.split_three, split_in_order),
    (encoders.folded_norm, fold_without_eps),
    (objectives.average_ratios, lambda ratios: sum(ratios) / len(ratios)),
    (probes.classify_by_prototypes, make_classifier(centre=False)),
    (probes.classify_by_prototypes, make_classifier(unit=False)),
    (report.holm, correct_each_alone),
    (training.early_stopping, stop_by_the_last_epoch),
    (pretrained.number_of_positions, lambda size, patch: (size // patch) ** 2),
    (pretrained.low_rank_size, lambda shape, rank: rank * (shape[0] + shape[1])),
    (pretrained.reading_at_end, lambda x, tokens: x[:, -1]),
    (pretrained.middle_square, lambda width, height: (0, 0, width, height)),
    (pretrained.mixed_weights, lambda *answer: average_by_hand(*answer, keep_whole=False)),
    (pretrained.mixed_weights, average_and_share_the_counter),
]


def name_case(value):
    return getattr(value, "__name__", "")


@pytest.mark.parametrize("properties, answer", RIGHT, ids=name_case)
def test_a_right_answer_in_another_style_is_right(properties, answer, capsys):
    check(properties, answer)
    assert capsys.readouterr().out.startswith("Right.")


@pytest.mark.parametrize("properties, answer", WRONG, ids=name_case)
def test_a_plausible_wrong_answer_is_wrong(properties, answer, capsys):
    check(properties, answer)
    assert capsys.readouterr().out.startswith("Not yet. This does not hold")


def test_a_loop_that_does_not_learn_the_scale_is_told(monkeypatch, capsys):
    def train_all_but_the_scale(model, train_set, tokens, recipe):
        n_steps = recipe.epochs * (len(train_set) // recipe.batch_size)
        return [math.log(recipe.batch_size)] + [0.1] * (n_steps - 1)

    monkeypatch.setattr(training, "try_two_steps", lambda answer: ([1.0, 0.1], True))
    check(training.training_loop, train_all_but_the_scale)
    assert "The scale has been learned" in capsys.readouterr().out


# ---- the notebooks ---------------------------------------------------------------------------


def find_exercises(notebook):
    """Return [(title, solution or None, source of the cell below)] of a notebook's exercises."""
    exercises = []
    for cell, below in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type != "markdown" or not cell.source.startswith("### Exercise"):
            continue
        title = cell.source.splitlines()[0]
        folded = cell.source.partition("<summary>Solution</summary>")[2]
        solution = re.search(r"```python\n(.*?)```", folded, re.DOTALL)
        exercises.append((title, solution and solution[1], below.source))
    return exercises


def define_names(notebook):
    """Return a namespace with a notebook's imports, functions and classes, before the exercises."""
    namespace = {"__name__": "notebook"}
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## Exercises"):
            break
        if cell.cell_type != "code":
            continue
        kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
        nodes = [node for node in ast.parse(cell.source).body if isinstance(node, kinds)]
        for node in nodes:
            run(ast.unparse(node), namespace)
    return namespace


def run(source, namespace):
    exec(source, namespace)  # noqa: S102 - it is the source of our own notebooks


def find_check(source):
    """Return the source of the call of `check` that ends a cell."""
    last = ast.parse(source).body[-1]
    return ast.unparse(last)


CASES = [
    pytest.param(path, number, id=f"{path.stem}-{number + 1}")
    for path in NOTEBOOKS
    for number in range(len(find_exercises(nbformat.read(path, as_version=4))))
]


@pytest.mark.parametrize("path, number", CASES)
def test_a_solution_is_right_and_the_stub_is_open(path, number, capsys):
    notebook = nbformat.read(path, as_version=4)
    title, solution, stub = find_exercises(notebook)[number]
    assert solution, f"{title} has no solution in Python."
    namespace = define_names(notebook)
    capsys.readouterr()  # what the definitions printed
    run(stub, namespace)
    assert capsys.readouterr().out.startswith("Not answered yet."), title
    run(solution, namespace)
    capsys.readouterr()  # what the solution printed
    run(find_check(stub), namespace)
    answer = capsys.readouterr().out
    assert answer.startswith("Right."), f"{title}: {answer}"
