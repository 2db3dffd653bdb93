"""Notebooks build the baseline's modules; the package's have options more. Both must do the same.

`notebook_drift` compares definitions word by word. It leaves those in `GROWN` out, because chapter
12 gave their twins options. Here both are run, the package's with its defaults.
"""

import ast
import json

import pytest
import torch
from notebook_drift import GROWN, find_definitions

import clipnb
from clipnb import clip_tokenizer
from clipnb.runtime import ROOT

TOKENS = clip_tokenizer()(["a dog in the snow", "two children on a red bench near the sea"])
IMAGES = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()


def load_definitions(name):
    """Run the imports, functions and classes of a notebook, and nothing else. Returns its names."""
    notebook = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    sources = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    names = {}
    kinds = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    for source in sources:
        lines = [line for line in source.split("\n") if not line.startswith(("%", "!"))]
        for node in ast.parse("\n".join(lines)).body:
            if isinstance(node, kinds):
                module = ast.Module([node], [])
                exec(compile(module, name, "exec"), names)  # noqa: S102  (our own notebook)
    return names


def find_twins():
    """Return (notebook, name) for all definitions in notebooks whose twin has grown."""
    found = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and not source.startswith(("%", "!")):
                names = set(find_definitions(ast.parse(source))) & GROWN
                found += [(path.stem, name) for name in sorted(names)]
    return found


def run(names, name):
    """Build what a name means among `names`, from a fixed seed, and run it.

    Returns its weights and its output.
    """
    torch.manual_seed(0)
    if name == "normalize_images":
        return {}, names[name](IMAGES)
    if name == "CLIP":
        module = names[name](clipnb.TinyCNN(), clipnb.TextTransformer(dropout=0.0))
        inputs = (IMAGES, TOKENS)
    elif name == "TextTransformer":
        module, inputs = names[name](dropout=0.0), (TOKENS,)
    else:
        sizes = {"MultiHeadAttention": (32, 4), "TransformerBlock": (32, 4, 64)}
        module = names[name](*sizes[name])
        inputs = (torch.randn(2, 5, 32), torch.arange(5) < torch.tensor([[3], [5]]))
    if name == "CLIP":
        outputs = module.encode_image(IMAGES), module.encode_text(TOKENS)
        return module.state_dict(), torch.cat(outputs)
    return module.state_dict(), module(*inputs)


def test_every_definition_that_has_grown_is_in_a_notebook():
    assert {name for _, name in find_twins()} == GROWN


@pytest.mark.parametrize(("notebook", "name"), find_twins())
def test_a_notebook_s_module_does_what_the_package_s_does(notebook, name):
    own, packaged = (
        load_definitions(notebook),
        vars(clipnb) | {name: getattr(clipnb, name) for name in GROWN},
    )
    own_weights, own_output = run(own, name)
    weights, output = run(packaged, name)
    assert own_weights.keys() == weights.keys()
    for key, tensor in weights.items():
        assert torch.equal(own_weights[key], tensor), key
    assert torch.equal(own_output, output)
