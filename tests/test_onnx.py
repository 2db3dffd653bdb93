"""The ONNX export: the same features as ours, in files that are whole or not there."""

import re
import shutil
import sys

import numpy as np
import open_clip
import pytest
import torch
from twins import create_ours, randomize, tiny_sizes

from clipnb.datasets import read_image
from clipnb.encoders import BagOfWords, ResidualCNN, TextTransformer, TinyCNN, ViT
from clipnb.model import CLIP
from clipnb.preprocess import Preprocess
from clipnb.search import onnx
from clipnb.search.onnx import FILES, export_onnx, round_to_int8, store_weights_in_int8
from clipnb.tokenizer import clip_tokenizer, train_tokenizer
from clipnb.towers.published import parse_architecture

TEXTS = ["a red car", "two dogs and a tree beside a house", ""]


@pytest.fixture(scope="module")
def tokenizer():
    captions = ["a red car", "two dogs and a tree", "a house beside a tree"]
    return train_tokenizer(captions, 200, context_length=12)


def make_model(tokenizer, image_encoder, text_encoder):
    torch.manual_seed(0)
    model = CLIP(image_encoder, text_encoder, 32)
    model.preprocess = Preprocess(32)
    for _ in range(3):  # batch norm needs statistics that differ from 0 and 1
        model.encode_image(torch.randn(8, 3, 32, 32) + 0.5)
    return model


def make_models(tokenizer):
    transformer = TextTransformer(tokenizer.vocab_size, 12, width=32, layers=1, heads=4)
    residual = ResidualCNN((8, 16, 32, 64))
    return {
        "cnn_bag": (TinyCNN(), BagOfWords(tokenizer.vocab_size, 64)),
        "residual_transformer": (residual, transformer),
        "vit_bag": (ViT(32, width=32, layers=1), BagOfWords(tokenizer.vocab_size, 64)),
    }


@pytest.fixture(scope="module")
def exported(tokenizer, tmp_path_factory):
    """A function that exports one of our models once: (model, float32 folder, int8 folder)."""
    pytest.importorskip("onnxscript")
    done = {}

    def export(name):
        if name not in done:
            model = make_model(tokenizer, *make_models(tokenizer)[name]).train()
            folder = tmp_path_factory.mktemp(name)
            exact = export_onnx(model, tokenizer, folder / "float32")
            assert all(module.training for module in model.modules())
            small = shutil.copytree(exact, folder / "int8")  # another export takes seconds
            for path in small.glob("*.onnx"):
                store_weights_in_int8(path)
            done[name] = model.eval(), exact, small
        return done[name]

    return export


def run_session(path, name, batch):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {name: np.asarray(batch)})[0]


def make_batches(tokenizer):
    """Batches of other sizes and lengths than those of the export's example."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return [images, images[:1]], [tokenizer(TEXTS), tokenizer(TEXTS[:1]), tokenizer([""])]


@pytest.mark.parametrize("name", ["cnn_bag", "residual_transformer", "vit_bag"])
def test_features_are_ours(exported, tokenizer, name):
    model, exact, small = exported(name)
    assert {path.name for path in exact.iterdir()} == set(FILES)
    image_batches, token_batches = make_batches(tokenizer)
    cases = [("image", "images", model.encode_image, batch) for batch in image_batches]
    cases += [("text", "tokens", model.encode_text, batch) for batch in token_batches]
    for tower, argument, encode, batch in cases:
        with torch.no_grad():
            expected = encode(batch, normalize=True).numpy()
        found = run_session(exact / f"{tower}_encoder.onnx", argument, batch)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        rounded = run_session(small / f"{tower}_encoder.onnx", argument, batch)
        assert (rounded * expected).sum(axis=1).min() >= 0.999
        assert not np.array_equal(rounded, found)


def test_int8_takes_a_third_of_the_space_or_less(exported):
    _, exact, small = exported("cnn_bag")
    sizes = [(folder / "image_encoder.onnx").stat().st_size for folder in (exact, small)]
    assert 3 * sizes[1] < sizes[0]


def read_program(folder):
    """The Python program of an export's README.txt, with the score in `score`."""
    readme = (folder / "README.txt").read_text(encoding="utf-8")
    program = re.search(r"    import numpy.*?\n(?=\S)", readme, re.DOTALL)[0]
    program = "\n".join(line[4:] for line in program.splitlines())
    return program.replace("print(", "score = (").replace("photo.jpg", "photo.png")


def test_the_readme_in_the_folder_works(exported, tokenizer, monkeypatch):
    """Its Python program runs as it stands there, and finds what the model finds."""
    from PIL import Image

    model, exact, _ = exported("cnn_bag")
    monkeypatch.chdir(exact)
    program = read_program(exact)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned, and half of the image is transparent
    pixels = torch.randint(0, 256, (40, 30, 4), dtype=torch.uint8)
    pixels[20:, :, 3] = 0
    Image.fromarray(pixels.numpy()).save("photo.png", exif=exif)
    expected_pixels = torch.tensor(read_image("photo.png", 32))  # (32, 32, 3)
    try:
        names = {}
        exec(program, names)  # noqa: S102 (our own text)
    finally:
        (exact / "photo.png").unlink()
    tokens = tokenizer(["a dog in the snow"])
    image_features, text_features, _ = model(expected_pixels.permute(2, 0, 1)[None], tokens)
    expected = (image_features @ text_features.T).item()
    assert names["score"] == pytest.approx(expected, abs=1e-5)


# ---- the published models' towers ------------------------------------------------------------


def make_published(resnet):
    """A small random model with the towers, the mean and the crop of a published one."""
    torch.manual_seed(0)
    sizes = tiny_sizes(resnet=resnet)
    weights = randomize(open_clip.CLIP(**sizes)).state_dict()
    return create_ours(parse_architecture("tiny", sizes), weights)


@torch.no_grad()
def test_a_published_vit_and_its_readme(tmp_path, monkeypatch):
    """Class token, causal mask, [EOS] and QuickGELU; mean and deviation are inside the tower."""
    from PIL import Image

    pytest.importorskip("onnxscript")
    model, tokenizer = make_published(resnet=False), clip_tokenizer()
    folder = export_onnx(model, tokenizer, tmp_path / "out")
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    for batch in (images, images[:1]):
        found = run_session(folder / "image_encoder.onnx", "images", batch)
        expected = model.encode_image(batch, normalize=True).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    for texts in (TEXTS, [""], ["word " * 100]):
        tokens = tokenizer(texts)
        found = run_session(folder / "text_encoder.onnx", "tokens", tokens)
        expected = model.encode_text(tokens, normalize=True).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)

    monkeypatch.chdir(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 71, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")
    names = {}
    exec(read_program(folder), names)  # noqa: S102 (our own text)
    image = model.preprocess(Image.fromarray(pixels))[None]
    image_features, text_features, _ = model(image, tokenizer(["a dog in the snow"]))
    assert names["score"] == pytest.approx((image_features @ text_features.T).item(), abs=1e-5)


@torch.no_grad()
def test_a_published_resnet(tmp_path):
    pytest.importorskip("onnxscript")
    model = make_published(resnet=True)
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    path = tmp_path / "image_encoder.onnx"
    onnx.export_tower(
        onnx.Tower(model, "encode_image", normalize=True),
        images[:2],
        {0: "batch"},
        path,
        int8=False,
    )
    for batch in (images, images[:1]):
        expected = model.encode_image(batch, normalize=True).numpy()
        np.testing.assert_allclose(run_session(path, "images", batch), expected, rtol=0, atol=1e-5)


# ---- the folder ------------------------------------------------------------------------------


@pytest.fixture
def no_towers(monkeypatch):
    """Write a file in place of a tower that says only whether it would be int8."""

    def write(tower, example, axes, path, int8):
        path.write_text(f"int8: {int8}")

    monkeypatch.setattr(onnx, "require_onnx", lambda: None)
    monkeypatch.setattr(onnx, "export_tower", write)


@pytest.fixture
def model(tokenizer):
    return make_model(tokenizer, *make_models(tokenizer)["cnn_bag"])


def test_an_earlier_export_is_replaced(model, tokenizer, tmp_path, no_towers):
    (tmp_path / "out").mkdir()
    export_onnx(model, tokenizer, tmp_path / "out")  # an empty folder is taken
    (tmp_path / "out" / "README.txt").write_text("old")
    export_onnx(model, tokenizer, tmp_path / "out", int8=True)
    for tower in ("image", "text"):
        assert (tmp_path / "out" / f"{tower}_encoder.onnx").read_text() == "int8: True"
    assert "stored as int8" in (tmp_path / "out" / "README.txt").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_anything_else_is_refused(model, tokenizer, tmp_path, no_towers):
    (tmp_path / "README.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds other files than an ONNX export"):
        export_onnx(model, tokenizer, tmp_path)
    assert (tmp_path / "README.txt").read_text() == "mine"
    with pytest.raises(FileExistsError, match=r"README.txt is a file; name a folder"):
        export_onnx(model, tokenizer, tmp_path / "README.txt")


def test_an_export_that_fails_leaves_nothing(model, tokenizer, tmp_path, no_towers, monkeypatch):
    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(tokenizer, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        export_onnx(model, tokenizer, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_without_the_libraries_it_says_what_to_install(model, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs onnx: pip install 'clipnb\[onnx\]'"):
        export_onnx(model, tokenizer, tmp_path / "out")


# ---- int8 ------------------------------------------------------------------------------------


def test_weights_are_rounded_row_by_row():
    weight = np.array([[127.0, -63.5, 1.2], [0.0, 0.0, 0.0], [0.5, 1.0, -1.0]], np.float32)
    steps, scale = round_to_int8(weight)
    assert steps.dtype == np.int8
    assert steps.tolist() == [[127, -64, 1], [0, 0, 0], [64, 127, -127]]
    assert scale.tolist() == pytest.approx([1, 0, 1 / 127])
