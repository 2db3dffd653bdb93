"""A model that OpenVINO or ONNX Runtime runs gives our features, wherever a model encodes."""

import copy
import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb import accelerate, zero_shot
from clipnb.encoders import BagOfWords, ResidualCNN
from clipnb.features import digest_weights, encode_images, encode_texts
from clipnb.model import CLIP
from clipnb.preprocess import Preprocess
from clipnb.retrieval import ImageIndex
from clipnb.towers.published import read_architecture

BACKENDS = ["openvino", "onnxruntime"]


def make_clip(name="ViT-B-32"):
    """A published CLIP with small sizes, whose preprocessing is not the default."""
    architecture = dataclasses.replace(
        read_architecture(name),
        image_size=64,
        image_width=64,
        image_layers=1,
        image_heads=4,
        image_feedforward=128,
        vocab_size=500,
        text_width=64,
        text_layers=1,
        text_heads=4,
    )
    torch.manual_seed(0)
    model = CLIP(architecture.create_image_encoder(), architecture.create_text_encoder(), 32)
    model.preprocess = Preprocess(64, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), crop=True)
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return make_clip()


@pytest.fixture(scope="module")
def towers(model, tmp_path_factory):
    """The folder with the ONNX files of the model. They are written once."""
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("towers")
    accelerate.write_towers(model, folder)
    return folder


@pytest.fixture(scope="module")
def accelerated(model, towers):
    """A function that opens the model in a backend."""

    def get(backend, precision="float32"):
        pytest.importorskip(backend)
        return accelerate.open_towers(model, towers, backend, precision)

    return get


def make_images(n):
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, 3, 64, 64), dtype=torch.uint8, generator=generator)


def make_tokens(n, length):
    generator = torch.Generator().manual_seed(n)
    tokens = torch.randint(1, 499, (n, length), generator=generator)
    tokens[0, length // 2 + 1 :] = 0  # a shorter text
    tokens[0, length // 2] = 499
    return tokens


@torch.no_grad()
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 5])
def test_images_give_our_features(accelerated, model, backend, n):
    images = make_images(n)
    for inputs in (images, model.preprocess.normalize(images)):
        for normalize in (False, True):
            expected = model.encode_image(inputs, normalize)
            found = accelerated(backend).encode_image(inputs, normalize=normalize)
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n, length", [(1, 3), (3, 11), (4, 77)])
def test_texts_of_any_length_give_our_features(accelerated, model, backend, n, length):
    tokens = make_tokens(n, length)
    for normalize in (False, True):
        found = accelerated(backend).encode_text(tokens, normalize=normalize)
        expected = model.encode_text(tokens, normalize)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_resnet_with_batch_norm_and_a_bag_of_words_work_too():
    pytest.importorskip("openvino")
    torch.manual_seed(0)
    model = CLIP(ResidualCNN((8, 16, 32, 64)), BagOfWords(500, 64), 32).train()
    model.encode_image(torch.randn(8, 3, 64, 64))  # statistics that are not 0 and 1
    found = accelerate.accelerate(model, "openvino", "float32")
    assert model.training, "the model is in its former mode again"
    images, tokens = make_images(3), make_tokens(3, 6)
    expected = encode_images(model, images), encode_texts(model, tokens)
    torch.testing.assert_close(encode_images(found, images), expected[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encode_texts(found, tokens), expected[1], rtol=1e-4, atol=1e-5)


def test_bfloat16_is_close(accelerated, model):
    found = accelerated("openvino", "bfloat16")
    assert found.precision == "bfloat16"
    for features, expected in [
        (encode_images(found, make_images(6)), encode_images(model, make_images(6))),
        (encode_texts(found, make_tokens(6, 9)), encode_texts(model, make_tokens(6, 9))),
    ]:
        assert F.cosine_similarity(features, expected).min() > 0.9998


def test_it_says_which_weights_it_has(accelerated, model):
    found = accelerated("openvino")
    assert digest_weights(found) == digest_weights(model)
    assert found.preprocess == model.preprocess
    assert found.logit_scale.item() == model.logit_scale.item()
    assert not any(parameter.requires_grad for parameter in found.parameters())
    another = make_clip()
    with torch.no_grad():
        another.logit_scale += 1
    assert digest_weights(found) != digest_weights(another)


def test_an_index_of_it_is_an_index_of_the_model(accelerated, model, small, recipe):
    """`ImageIndex` and zero-shot take it where they take a model."""
    from clipnb.loop import make_tokenizer

    dataset = small("test")
    tokenizer = make_tokenizer(dataclasses.replace(recipe, vocab_size=500), dataset.captions)
    dataset.images = make_images(len(dataset)).numpy()
    found = accelerated("onnxruntime")
    ours = ImageIndex.build(model, tokenizer, dataset)
    theirs = ImageIndex.build(found, tokenizer, dataset)
    torch.testing.assert_close(theirs.image_features, ours.image_features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(theirs.encode("a dog"), ours.encode("a dog"), rtol=1e-4, atol=1e-5)
    assert theirs.weights == ours.weights
    arguments = (tokenizer, ["a dog", "a car"], ["{}"])
    expected = zero_shot.build_zero_shot_classifier(model, *arguments)
    classifier = zero_shot.build_zero_shot_classifier(found, *arguments)
    torch.testing.assert_close(classifier, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_copy_of_it_int32_tokens_and_no_inputs_at_all(accelerated, model, backend):
    found = copy.deepcopy(accelerated(backend))
    tokens = make_tokens(3, 7)
    expected = model.encode_text(tokens)
    torch.testing.assert_close(found.encode_text(tokens.int()), expected, rtol=1e-4, atol=1e-5)
    for normalize in (False, True):
        assert found.encode_text(tokens[:0], normalize).shape == (0, 32)
        assert found.encode_image(make_images(0), normalize).shape == (0, 32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_of_a_wrong_shape_are_refused_in_one_line(accelerated, backend):
    """OpenVINO alone would return no features at all for a text that is too long."""
    found = accelerated(backend)
    with pytest.raises(ValueError, match="^a text has at most 77 tokens here, not 78; [^\n]*$"):
        found.encode_text(make_tokens(2, 78))
    for tokens in (make_tokens(2, 5)[0], make_tokens(2, 5)[:, :0]):
        with pytest.raises(
            ValueError, match="^tokens are \\(B, T\\) with T of at least 1, not [^\n]*$"
        ):
            found.encode_text(tokens)
    for images in (make_images(2)[0], make_images(2)[..., 1:], torch.zeros(1, 3, 32, 32)):
        with pytest.raises(ValueError, match="^images are \\(B, 3, 64, 64\\) here; these [^\n]*$"):
            found.encode_image(images)


# ---- precision and errors --------------------------------------------------------------------


@pytest.mark.parametrize("is_faster", [True, False])
def test_openvino_computes_in_bfloat16_only_where_that_is_faster(monkeypatch, is_faster):
    monkeypatch.setattr(accelerate, "may_use_bf16", lambda device: is_faster)
    expected = "bfloat16" if is_faster else "float32"
    assert accelerate.resolve_precision("openvino", "auto") == expected
    assert accelerate.resolve_precision("openvino", "float32") == "float32"
    assert accelerate.resolve_precision("onnxruntime", "auto") == "float32"


@pytest.mark.parametrize(
    "backend, precision, words",
    [
        ("tensorrt", "auto", "'tensorrt' is unknown; choose one of openvino, onnxruntime"),
        ("onnxruntime", "bfloat16", "'bfloat16' is none that onnxruntime has"),
        ("openvino", "int4", "choose one of auto, float32, bfloat16"),
    ],
)
def test_an_unknown_backend_or_precision_is_refused(model, backend, precision, words):
    with pytest.raises(ValueError, match=words):
        accelerate.accelerate(model, backend, precision)


@pytest.mark.parametrize(
    "backend, missing, words",
    [
        ("openvino", "openvino", r"needs openvino: pip install 'clipnb\[openvino\]'"),
        ("onnxruntime", "onnxruntime", r"needs onnxruntime: pip install 'clipnb\[onnx\]'"),
        ("openvino", "onnxscript", r"needs onnxscript: pip install 'clipnb\[onnx\]'"),
    ],
)
def test_without_a_library_it_says_what_to_install(model, monkeypatch, backend, missing, words):
    pytest.importorskip("onnx")
    if missing == "onnxscript":
        pytest.importorskip("openvino")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModuleNotFoundError, match=words):
        accelerate.accelerate(model, backend)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_model_that_is_not_float32_is_refused(model, dtype):
    other = copy.deepcopy(model).to(dtype)
    with pytest.raises(ValueError, match=f"weights in {dtype}; call `model.float\\(\\)` first"):
        accelerate.accelerate(other, "onnxruntime")


def test_a_model_that_is_accelerated_is_refused(accelerated):
    with pytest.raises(ValueError, match="is accelerated already; give the model it was made from"):
        accelerate.accelerate(accelerated("openvino"))


def test_results_stay_when_the_next_batch_comes(accelerated):
    found = accelerated("openvino")
    first = found.encode_image(make_images(2))
    before = first.clone()
    found.encode_image(255 - make_images(2))
    assert np.array_equal(first.numpy(), before.numpy())


DROP_TWO_MODELS = """
import gc, signal, sys
from pathlib import Path
from clipnb.accelerate import open_openvino
signal.signal(signal.SIGTERM, lambda *arguments: None)
sessions = [open_openvino(Path(sys.argv[1]), "float32") for _ in range(2)]
while sessions:
    sessions.pop(0)
    gc.collect()
signal.raise_signal(signal.SIGTERM)
print("still here")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_process_survives_a_signal_after_two_models_are_gone(towers):
    """Two instances of OpenVINO would leave a stack for signals that is freed already."""
    pytest.importorskip("openvino")
    command = [sys.executable, "-c", DROP_TWO_MODELS, towers / "encode_text.onnx"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.split("\n")[0] == "still here", result.stderr
