"""Our modules at the true sizes of the published models, beside open_clip and transformers.

All weights are random, so nothing is downloaded. The sizes take about a minute and 4 GB together;
tests/test_towers.py checks the same on small models in seconds.
"""

import gc

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
)

from clipnb.pretrained.names import find_differences, rename_to_ours
from clipnb.towers.published import read_architecture

PARAMETERS = {
    "ViT-B-32": 151_277_313,
    "ViT-B-32-quickgelu": 151_277_313,
    "ViT-B-16": 149_620_737,
    "RN50": 102_007_137,
}
VITS = [name for name in PARAMETERS if name.startswith("ViT")]


@pytest.fixture(autouse=True)
def free_memory():
    """Free each model before the next one is made."""
    torch.manual_seed(0)
    yield
    gc.collect()


@pytest.mark.parametrize("name", PARAMETERS)
def test_it_computes_what_open_clip_computes(name):
    """Features and logits to 1e-5, gradients of a training step to 1e-4, from both namings."""
    architecture = read_architecture(name)
    reference = randomize(open_clip.create_model(name, pretrained=None))
    file = as_openai_file(reference.state_dict(), architecture)
    reference.load_state_dict(file, strict=False)  # rounded to what the file of halves holds
    model = create_ours(architecture, file)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert find_differences(file, model) == []

    images, tokens = make_inputs(architecture, 2)
    differences = feature_differences(model, reference, images, tokens)
    assert max(differences.values()) < 1e-5, differences
    ours = model.state_dict()
    for key, tensor in rename_to_ours(reference.state_dict(), architecture).items():
        assert torch.equal(ours[key], tensor), key

    differences = gradient_differences(model, reference, architecture, images, tokens)
    worst = max(differences, key=differences.get)
    assert differences[worst] < 1e-4, (worst, differences[worst])


@pytest.mark.parametrize("name", VITS)
def test_it_computes_what_transformers_computes(name):
    pytest.importorskip("transformers")
    architecture = read_architecture(name)
    reference = create_hugging_face(open_clip.get_model_config(name))
    model = create_ours(architecture, reference.state_dict())
    images, tokens = make_inputs(architecture, 2)
    differences = feature_differences(model, OpenClipFace(reference), images, tokens)
    assert max(differences.values()) < 1e-5, differences
