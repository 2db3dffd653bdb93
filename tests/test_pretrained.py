"""Published weights in our own modules: files of every naming, tags, downloads, and refusals."""

import copy
import dataclasses
import functools
import hashlib
import json
import re
import socket
import threading
import warnings
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip import pretrained as table
from safetensors.torch import save_file

from clipnb import pretrained
from clipnb.datasets import download
from clipnb.encoders import QuickGELU
from clipnb.preprocess import CLIP_MEAN, CLIP_STD, HALF
from clipnb.pretrained import Pretrained, fetch, load_pretrained, open_run
from clipnb.pretrained.export import save_open_clip
from clipnb.pretrained.sources import Source, find_source
from clipnb.runs import Run, save_start
from clipnb.runtime import cache_dir
from clipnb.towers import published

SIZES = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 128, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
OTHER_SIZES = copy.deepcopy(SIZES)
OTHER_SIZES["vision_cfg"]["patch_size"] = 8
RESNET_SIZES = copy.deepcopy(SIZES)
RESNET_SIZES["vision_cfg"] = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 32}
ARCHITECTURES = {
    "Tiny-16": SIZES,
    "Tiny-16-quickgelu": SIZES | {"quick_gelu": True},
    "Tiny-8": OTHER_SIZES,
    "TinyRN-quickgelu": RESNET_SIZES | {"quick_gelu": True},
}
TEXTS = ["a photo of a dog", "two cats on a red sofa, asleep!"]


@pytest.fixture(scope="module", autouse=True)
def architectures(tmp_path_factory):
    """Tiny architectures, known to open_clip and to us as the published ones are."""
    folder = tmp_path_factory.mktemp("sizes")
    for name, sizes in ARCHITECTURES.items():
        (folder / f"{name}.json").write_text(json.dumps(sizes))
        open_clip.add_model_config(folder / f"{name}.json")
    files = {path.stem: path for path in folder.glob("*.json")}
    for name in ("ViT-B-32", "ViT-B-32-quickgelu"):
        files[name] = published.find_size_files()[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "find_size_files", lambda: files)
        yield
    published.read_architecture.cache_clear()


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A home and caches of their own, and no network."""
    from huggingface_hub import constants

    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPNB_DEVICE", "cpu")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    find_address = socket.getaddrinfo

    def block(host, *arguments, **options):
        if host != "127.0.0.1":
            raise socket.gaierror(-2, "Name or service not known")
        return find_address(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", block)


@functools.cache
def make_theirs(name):
    """Make open_clip's model with random weights."""
    torch.manual_seed(0)
    model = open_clip.create_model(name).eval()
    with torch.no_grad():
        model.logit_scale.fill_(3.3)
        for parameter in model.parameters():
            parameter.copy_(parameter.half())  # so that half precision holds the same numbers
    return model


@torch.no_grad()
def assert_equal(run, theirs):
    """Assert that a model of ours gives the features and the scale of open_clip's."""
    size = run.model.preprocess.size
    torch.manual_seed(1)
    images = torch.randn(3, 3, size, size)
    torch.testing.assert_close(
        run.model.encode_image(images), theirs.encode_image(images), rtol=1e-5, atol=1e-5
    )
    padded = open_clip.tokenize(TEXTS)
    torch.testing.assert_close(
        run.model.encode_text(run.tokenizer(TEXTS)),
        theirs.encode_text(padded),
        rtol=1e-5,
        atol=1e-5,
    )
    torch.testing.assert_close(run.model.logit_scale, theirs.logit_scale)


def save_openai(name, path):
    """Save a model as OpenAI published theirs: TorchScript, half precision, three scalars."""
    model = copy.deepcopy(make_theirs(name))
    size = ARCHITECTURES[name]["vision_cfg"]["image_size"]
    del model.context_length, model.vocab_size  # plain numbers in open_clip
    for field, number in (
        ("input_resolution", size),
        ("context_length", 77),
        ("vocab_size", 49408),
    ):
        model.register_buffer(field, torch.tensor(number))
    images = torch.randn(1, 3, size, size)
    with warnings.catch_warnings(action="ignore"):
        traced = torch.jit.trace(model, (images, open_clip.tokenize(["a"])), check_trace=False)
        open_clip.model.convert_weights_to_fp16(model)
        traced.save(str(path))
    assert traced.state_dict()["text_projection"].dtype == torch.float16


def load_quietly(name, tag):
    """Load weights and assert that there is nothing to warn of."""
    with warnings.catch_warnings(action="error"):
        return load_pretrained(name, tag)


# ---- files that people have ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Tiny-16", "Tiny-16-quickgelu", "TinyRN-quickgelu"])
def test_open_clip_file(tmp_path, name):
    theirs = make_theirs(name)
    torch.save(theirs.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    run = load_quietly(name, tmp_path / "open_clip_pytorch_model.bin")
    assert_equal(run, theirs)
    assert not run.model.training
    assert all(parameter.requires_grad for parameter in run.model.parameters())
    assert all(parameter.is_contiguous() for parameter in run.model.parameters())
    assert not any(tensor.is_meta for tensor in run.model.state_dict().values())


def test_the_result_is_a_run(tmp_path):
    torch.save(make_theirs("Tiny-16").state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    run = load_pretrained("Tiny-16", str(tmp_path / "open_clip_pytorch_model.bin"))
    assert isinstance(run, Run)
    assert repr(run) == "Pretrained(Tiny-16/open_clip_pytorch_model.bin)"
    assert (run.name, run.tag) == ("Tiny-16", "open_clip_pytorch_model.bin")
    assert run.preprocess is run.model.preprocess
    assert (run.preprocess.mean, run.preprocess.std) == (CLIP_MEAN, CLIP_STD)
    assert (run.preprocess.size, run.preprocess.crop) == (32, True)
    assert run.tokenizer.context_length == 77
    assert run.recipe.name == "Tiny-16/open_clip_pytorch_model.bin"
    assert run.recipe.image_encoder == run.recipe.text_encoder == "clip/Tiny-16"
    assert (run.recipe.image_size, run.recipe.tokenizer) == (32, "clip")
    assert (run.seed, run.history, run.metrics, run.init) == (0, [], {}, None)
    assert run.folder.parent == cache_dir() / "pretrained"
    assert not run.folder.exists()


def test_the_weights_do_not_hang_on_the_file(tmp_path):
    theirs = make_theirs("Tiny-16")
    path = tmp_path / "open_clip_model.safetensors"
    save_file(theirs.state_dict(), path)
    run = load_pretrained("Tiny-16", path)
    path.write_bytes(b"\0" * path.stat().st_size)  # another download into the same file
    assert_equal(run, theirs)


def test_a_checkpoint_of_open_clips_training(tmp_path):
    theirs = make_theirs("Tiny-16")
    weights = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save({"epoch": 32, "name": "x", "state_dict": weights}, tmp_path / "epoch_32.pt")
    assert_equal(load_quietly("Tiny-16", tmp_path / "epoch_32.pt"), theirs)


@pytest.mark.parametrize("name", ["Tiny-16-quickgelu", "TinyRN-quickgelu"])
def test_openai_archive(tmp_path, name):
    save_openai(name, tmp_path / "ViT-B-32.pt")
    assert_equal(load_quietly(name, tmp_path / "ViT-B-32.pt"), make_theirs(name))


def test_openai_archive_is_always_quickgelu(tmp_path):
    save_openai("Tiny-16-quickgelu", tmp_path / "ViT-B-32.pt")
    with pytest.warns(UserWarning, match="QuickGELU.*is Tiny-16-quickgelu, not Tiny-16") as caught:
        run = load_pretrained("Tiny-16", tmp_path / "ViT-B-32.pt")
    assert caught[0].filename == __file__
    assert_equal(run, make_theirs("Tiny-16-quickgelu"))
    assert run.recipe.image_encoder == "clip/Tiny-16-quickgelu"
    assert run.recipe.name == "Tiny-16/ViT-B-32.pt"


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """A folder as CLIPModel.save_pretrained writes it, whole and in parts, and the model."""
    transformers = pytest.importorskip("transformers")
    text, image = SIZES["text_cfg"], SIZES["vision_cfg"]
    config = transformers.CLIPConfig(
        projection_dim=SIZES["embed_dim"],
        text_config={
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
        },
        vision_config={
            "hidden_size": image["width"],
            "intermediate_size": 4 * image["width"],
            "num_hidden_layers": image["layers"],
            "num_attention_heads": image["width"] // 64,
            "image_size": image["image_size"],
            "patch_size": image["patch_size"],
        },
    )
    torch.manual_seed(0)
    model = transformers.CLIPModel(config).eval()
    folder = tmp_path_factory.mktemp("hugging_face")
    model.save_pretrained(folder / "whole")
    model.save_pretrained(folder / "parts", max_shard_size="1MB")
    return folder, model


@torch.no_grad()
@pytest.mark.parametrize("kind", ["whole", "parts", "bin"])
def test_hugging_face_folder(hugging_face, tmp_path, kind):
    parent, theirs = hugging_face
    folder = parent / kind
    if kind == "bin":
        folder = tmp_path
        torch.save(theirs.state_dict(), folder / "pytorch_model.bin")
        (folder / "config.json").write_text((parent / "whole" / "config.json").read_text())
    run = load_quietly("Tiny-16-quickgelu", folder)
    images = torch.randn(2, 3, 32, 32)
    expected = theirs(pixel_values=images, input_ids=open_clip.tokenize(TEXTS))
    image_features, text_features, scale = run.model(images, run.tokenizer(TEXTS))
    torch.testing.assert_close(image_features, expected.image_embeds, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(text_features, expected.text_embeds, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scale, theirs.logit_scale.exp())


def copy_folder(source, target, **changes):
    """Copy a Hugging Face folder, with changes in its config.json."""
    config = json.loads((source / "config.json").read_text()) | changes
    (target / "config.json").write_text(json.dumps(config))
    (target / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())


def test_config_json_decides_the_activation(hugging_face, tmp_path):
    folder = hugging_face[0] / "whole"
    with pytest.warns(UserWarning, match="hidden_act='quick_gelu', so .* not Tiny-16"):
        run = load_pretrained("Tiny-16", folder)
    assert isinstance(run.model.image_encoder.blocks[0].feedforward[1], QuickGELU)
    with pytest.warns(UserWarning, match="hidden_act='quick_gelu'"):  # the file in the folder
        load_pretrained("Tiny-16", folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    text, image = config["text_config"], config["vision_config"]
    gelu = {"text_config": text | {"hidden_act": "gelu"}}
    copy_folder(folder, tmp_path, **gelu)
    with pytest.raises(ValueError, match="the activations .*quick_gelu.* the same one in both"):
        load_pretrained("Tiny-16", tmp_path)
    copy_folder(folder, tmp_path, **gelu, vision_config=image | {"hidden_act": "gelu"})
    run = load_quietly("Tiny-16", tmp_path)
    assert isinstance(run.model.image_encoder.blocks[0].feedforward[1], torch.nn.GELU)
    with pytest.warns(UserWarning, match="so the model is Tiny-16, not Tiny-16-quickgelu"):
        load_pretrained("Tiny-16-quickgelu", tmp_path)


def test_config_json_of_another_model(hugging_face, tmp_path):
    folder = hugging_face[0] / "whole"
    config = json.loads((folder / "config.json").read_text())
    copy_folder(folder, tmp_path, model_type="siglip")
    with pytest.raises(ValueError, match="a model of type 'siglip', not a CLIP"):
        load_pretrained("Tiny-16", tmp_path)
    image = config["vision_config"] | {"num_attention_heads": 4}
    copy_folder(folder, tmp_path, vision_config=image)
    with pytest.raises(ValueError, match=r"num_attention_heads=\(4, 1\).* has \(2, 1\)"):
        load_pretrained("Tiny-16-quickgelu", tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json is no JSON file"):
        load_pretrained("Tiny-16", tmp_path)


def test_the_folders_say_how_images_are_made(hugging_face, tmp_path):
    copy_folder(hugging_face[0] / "whole", tmp_path)
    making = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "resample": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(making))
    preprocess = load_pretrained("Tiny-16-quickgelu", tmp_path).preprocess
    assert (preprocess.mean, preprocess.std, preprocess.crop) == (HALF, (0.25,) * 3, True)
    making |= {"resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(making))
    with pytest.raises(ValueError, match="interpolation='bilinear'.*clipnb has 'bicubic'"):
        load_pretrained("Tiny-16-quickgelu", tmp_path)


def test_open_clip_folder(tmp_path):
    theirs = make_theirs("Tiny-16-quickgelu")
    save_file(theirs.state_dict(), tmp_path / "open_clip_model.safetensors")
    config = {
        "model_cfg": ARCHITECTURES["Tiny-16-quickgelu"],
        "preprocess_cfg": {"mean": HALF, "std": HALF, "resize_mode": "squash"},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    run = load_quietly("Tiny-16-quickgelu", tmp_path)
    assert_equal(run, theirs)
    assert (run.preprocess.mean, run.preprocess.crop) == (HALF, False)
    with pytest.warns(UserWarning, match="open_clip_config.json says quick_gelu=True, so"):
        load_pretrained("Tiny-16", tmp_path / "open_clip_model.safetensors")


def test_malformed_settings_of_open_clip(tmp_path):
    save_file(make_theirs("Tiny-16").state_dict(), tmp_path / "open_clip_model.safetensors")
    for config, reason in (
        ({}, "its model_cfg is None, not a dictionary"),
        ({"model_cfg": None}, "its model_cfg is None"),
        ({"model_cfg": {"quick_gelu": "yes"}}, "its quick_gelu is 'yes'"),
        ({"model_cfg": {}, "preprocess_cfg": None}, "its preprocess_cfg is None"),
        ({"model_cfg": {}, "preprocess_cfg": {"mean": 0.5}}, "its mean is 0.5, not three"),
        ({"model_cfg": {}, "preprocess_cfg": {"std": [0.5]}}, r"its std is \[0.5\]"),
        ({"model_cfg": {}, "preprocess_cfg": {"std": ["a"] * 3}}, "its std is"),
    ):
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=f"is no configuration of open_clip's: {reason}"):
            load_pretrained("Tiny-16", tmp_path)


def test_malformed_settings_of_hugging_face(hugging_face, tmp_path):
    folder = hugging_face[0] / "whole"
    making = tmp_path / "preprocessor_config.json"
    for changes, made, reason in (
        ({"vision_config": []}, {}, r"Hugging Face's: its vision_config is \[\]"),
        ({"text_config": {"hidden_act": ["gelu"]}}, {}, "names the activations"),
        ({}, {"image_mean": 0.5}, "Hugging Face's: its image_mean is 0.5"),
        ({}, {"resample": [3]}, "interpolation='another'"),
    ):
        copy_folder(folder, tmp_path, **changes)
        making.write_text(json.dumps(made))
        with pytest.raises(ValueError, match=reason):
            load_pretrained("Tiny-16-quickgelu", tmp_path)
    copy_folder(folder, tmp_path, vision_config=None)  # 12 heads, as in transformers' CLIPConfig
    making.write_text("{}")
    with pytest.raises(ValueError, match=r"num_attention_heads=\(12, 1\)"):
        load_pretrained("Tiny-16-quickgelu", tmp_path)


def test_a_model_of_the_sigmoid_loss_there_and_back(tmp_path):
    weights = make_theirs("Tiny-16").state_dict() | {"logit_bias": torch.tensor([-9.5])}
    torch.save(weights, tmp_path / "a.pt")
    run = load_quietly("Tiny-16", tmp_path / "a.pt")
    assert run.recipe.loss == "siglip"
    save_open_clip(run.model, run.tokenizer, tmp_path / "out")
    again = load_quietly("Tiny-16", tmp_path / "out").model
    assert again.logit_bias.item() == -9.5
    assert_equal(run, make_theirs("Tiny-16"))


def test_a_run_of_ours(tmp_path):
    torch.save(make_theirs("Tiny-16").state_dict(), tmp_path / "a.pt")
    run = load_pretrained("Tiny-16", tmp_path / "a.pt")
    torch.save(run.model.state_dict(), tmp_path / "ours.pt")
    assert_equal(load_quietly("Tiny-16", tmp_path / "ours.pt"), make_theirs("Tiny-16"))


# ---- files that are refused ------------------------------------------------------------------


def test_another_architecture_is_named(tmp_path):
    torch.save(make_theirs("Tiny-16").state_dict(), tmp_path / "x.bin")
    with pytest.raises(ValueError) as caught:
        load_pretrained("Tiny-8", tmp_path / "x.bin")
    message = str(caught.value)
    assert "x.bin does not fit Tiny-8" in message
    assert "visual.conv1.weight is (128, 3, 16, 16) and should be (128, 3, 8, 8)" in message
    assert "visual.positional_embedding is (5, 128) and should be (17, 128)" in message
    assert "Nothing was loaded. It looks like Tiny-16; load it by that name." in message
    assert "\n" not in message


def test_the_guess_has_the_activation_that_was_asked_for(tmp_path):
    torch.save(make_theirs("Tiny-16").state_dict(), tmp_path / "x.bin")
    with pytest.raises(ValueError, match="It looks like Tiny-16-quickgelu; load"):
        load_pretrained("TinyRN-quickgelu", tmp_path / "x.bin")


def test_tensors_of_another_kind_are_refused(tmp_path):
    weights = make_theirs("Tiny-16").state_dict()
    weights["text_projection"] = weights["text_projection"].to_sparse()
    torch.save(weights, tmp_path / "x.bin")
    with pytest.raises(ValueError, match="fit Tiny-16: text_projection is sparse and .* Nothing"):
        load_pretrained("Tiny-16", tmp_path / "x.bin")


def test_many_differences_are_counted(tmp_path, hugging_face):
    with pytest.raises(ValueError, match=r"should be .*; and \d+ more\. Nothing was"):
        load_pretrained("ViT-B-32-quickgelu", hugging_face[0] / "whole")
    with pytest.raises(
        ValueError, match="fit TinyRN-quickgelu: .* no ResNet.*like Tiny-16-quickgelu;"
    ):
        load_pretrained("TinyRN-quickgelu", hugging_face[0] / "whole")
    weights = make_theirs("Tiny-16").state_dict()
    del weights["visual.proj"]
    torch.save(weights, tmp_path / "x.bin")
    with pytest.raises(ValueError, match=r"visual.proj \(128, 16\) is missing. Nothing was loaded"):
        load_pretrained("Tiny-16", tmp_path / "x.bin")


def test_weights_of_something_else(tmp_path):
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "resnet50.pth")
    with pytest.raises(ValueError, match="resnet50.pth: these are not the weights of a CLIP"):
        load_pretrained("Tiny-16", tmp_path / "resnet50.pth")


def test_a_file_that_does_not_exist():
    with pytest.raises(FileNotFoundError, match="there is no file /nowhere/ViT-B-32.pt"):
        load_pretrained("Tiny-16", "/nowhere/ViT-B-32.pt")


@pytest.mark.parametrize("tag", ["", None, 5])
def test_what_is_no_tag_at_all(tag):
    with pytest.raises(ValueError, match="names no weights; give a tag such as 'openai', or"):
        load_pretrained("Tiny-16", tag)


def test_unknown_names_and_tags():
    with pytest.raises(ValueError, match="open_clip has no model 'Tiny-61'.* are Tiny-16, "):
        load_pretrained("Tiny-61", "openai")
    with pytest.raises(ValueError, match="no weights 'opnai' for Tiny-16.*no tag at all"):
        load_pretrained("Tiny-16", "opnai")


# ---- tags ------------------------------------------------------------------------------------


class Handler(SimpleHTTPRequestHandler):
    """A server of a folder, without a log."""

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path):
    """A server of the folder `served`. Its address."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(Handler, directory=tmp_path / "served")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def publish(tmp_path, server, monkeypatch):
    """A function that publishes weights at an address, as OpenAI does, and enters them as a tag."""

    def publish(model, tag, name="Tiny-16", checksum=None, **fields):
        path = tmp_path / "served" / "weights.pt"
        torch.save(model.state_dict(), path)
        checksum = checksum or hashlib.sha256(path.read_bytes()).hexdigest()
        folder = path.parent / "openaipublic" / checksum
        folder.mkdir(parents=True)
        path.rename(folder / "weights.pt")
        entry = table._pcfg(f"{server}/openaipublic/{checksum}/weights.pt", **fields)
        monkeypatch.setitem(table._PRETRAINED, name, {tag: entry})
        return folder / "weights.pt"

    return publish


def list_cache():
    files = [path for path in (cache_dir() / "pretrained").rglob("*") if path.is_file()]
    return sorted(path.relative_to(cache_dir() / "pretrained").as_posix() for path in files)


def test_a_tag_is_downloaded_once(publish):
    theirs = make_theirs("Tiny-16-quickgelu")
    served = publish(theirs, "openai", quick_gelu=True)
    run = load_quietly("Tiny-16", "openai")
    assert_equal(run, theirs)
    assert repr(run) == "Pretrained(Tiny-16/openai)"
    assert run.recipe.name == "Tiny-16/openai"
    assert run.recipe.image_encoder == "clip/Tiny-16-quickgelu"  # OpenAI's always are
    assert run.folder == cache_dir() / "pretrained" / "Tiny-16-openai"
    assert list_cache() == ["Tiny-16-openai/weights.pt"]
    served.unlink()
    assert_equal(load_quietly("Tiny-16", "openai"), theirs)


def test_a_tag_has_one_folder_however_it_is_written(publish):
    publish(make_theirs("Tiny-16"), "laion2b_e16")
    for tag in ("laion2b_e16", "LAION2B-e16"):
        run = load_quietly("Tiny-16", tag)
        assert repr(run) == "Pretrained(Tiny-16/laion2b_e16)"
    assert list_cache() == ["Tiny-16-laion2b_e16/weights.pt"]


def test_a_tag_says_how_images_are_made(publish):
    publish(make_theirs("Tiny-16"), "half", mean=HALF, std=HALF, resize_mode="squash")
    preprocess = load_quietly("Tiny-16", "half").preprocess
    assert (preprocess.mean, preprocess.std, preprocess.crop) == (HALF, HALF, False)
    publish(make_theirs("Tiny-16"), "other", checksum="0" * 64, interpolation="bilinear")
    with pytest.raises(ValueError, match="begins with"):
        load_pretrained("Tiny-16", "other")


def test_images_that_cannot_be_made_are_refused(publish):
    publish(make_theirs("Tiny-16"), "other", resize_mode="longest")
    with pytest.raises(ValueError, match="resize_mode='longest'; clipnb has 'bicubic'"):
        load_pretrained("Tiny-16", "other")


def test_another_tag_keeps_the_activation_of_the_name(publish):
    publish(make_theirs("Tiny-16"), "laion", quick_gelu=True)
    with pytest.warns(UserWarning, match="with QuickGELU, and Tiny-16 has GELU; Tiny-16-quickgelu"):
        run = load_pretrained("Tiny-16", "laion")
    assert_equal(run, make_theirs("Tiny-16"))  # as open_clip, which warns too


def test_a_wrong_download_never_gets_its_name(publish):
    publish(make_theirs("Tiny-16"), "openai", checksum="ab" * 32)
    with pytest.raises(ValueError, match=r"weights.pt.unchecked is not the published file.*abab"):
        load_pretrained("Tiny-16", "openai")
    assert list_cache() == ["Tiny-16-openai/weights.pt.unchecked"]


def test_a_broken_download_leaves_no_file(publish, monkeypatch):
    served = publish(make_theirs("Tiny-16"), "openai", quick_gelu=True)
    receive = download.receive

    def receive_half(url, part):
        part.write_bytes(served.read_bytes()[:1000])
        raise ConnectionResetError("the connection was reset")

    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "receive", receive_half)
    with pytest.raises(download.DownloadError, match="was reset.*run the same command again"):
        load_pretrained("Tiny-16", "openai")
    assert list_cache() == ["Tiny-16-openai/weights.pt.unchecked.part"]
    monkeypatch.setattr(download, "receive", receive)
    assert_equal(load_pretrained("Tiny-16", "openai"), make_theirs("Tiny-16-quickgelu"))
    assert list_cache() == ["Tiny-16-openai/weights.pt"]


@pytest.mark.parametrize("place", ["cache/pretrained/Tiny-16-openai", "home/.cache/clip"])
def test_a_copy_is_found_and_checked(publish, tmp_path, place):
    served = publish(make_theirs("Tiny-16-quickgelu"), "openai", quick_gelu=True)
    copied = tmp_path / place / "weights.pt"
    copied.parent.mkdir(parents=True)
    served.rename(copied)
    assert_equal(load_quietly("Tiny-16", "openai"), make_theirs("Tiny-16-quickgelu"))
    content = copied.read_bytes()
    copied.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=rf"{place}/weights.pt is not the published .*delete"):
        load_pretrained("Tiny-16", "openai")
    assert copied.read_bytes() == content[:-100]


def test_checksums_in_the_addresses():
    url = "https://github.com/x/vit_b_32-quickgelu-laion400m_e32-46683a32.pt"
    source = Source("a", "b", url, "", (), 1, table._pcfg())
    assert source.url_checksum == "46683a32"
    assert source.url_name == "vit_b_32-quickgelu-laion400m_e32-46683a32.pt"
    assert dataclasses.replace(source, url="https://x.com/b32_400m.pt").url_checksum == ""


# ---- the Hugging Face Hub --------------------------------------------------------------------


def fill_hub(tmp_path, model, name="open_clip_model.safetensors"):
    """Put a model into the cache of the Hub as huggingface_hub does. Returns the real file."""
    repository = tmp_path / "hub" / "models--org--tiny"
    for folder in ("blobs", "refs", "snapshots/abc"):
        (repository / folder).mkdir(parents=True)
    save_file(model.state_dict(), repository / "blobs" / "new")
    digest = hashlib.sha256((repository / "blobs" / "new").read_bytes()).hexdigest()
    blob = (repository / "blobs" / "new").rename(repository / "blobs" / digest)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc" / name).symlink_to(blob)
    return blob


@pytest.fixture
def hub_tag(monkeypatch):
    """A tag whose weights are on the Hub alone."""
    entry = table._pcfg(hf_hub="org/tiny/")
    monkeypatch.setitem(table._PRETRAINED, "Tiny-16", {"laion": entry})


def test_the_cache_of_the_hub(hub_tag, tmp_path, monkeypatch):
    from huggingface_hub import constants

    theirs = make_theirs("Tiny-16")
    blob = fill_hub(tmp_path, theirs)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_equal(load_quietly("Tiny-16", "laion"), theirs)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(ValueError, match=rf"not the published file.*{blob.name[:8]}"):
        load_pretrained("Tiny-16", "laion")


def test_an_older_repository_has_no_safetensors(hub_tag, tmp_path, monkeypatch):
    import huggingface_hub

    path = tmp_path / "open_clip_pytorch_model.bin"
    torch.save(make_theirs("Tiny-16").state_dict(), path)
    asked = []

    def hf_hub_download(repository, name, **options):
        asked.append((repository, name))
        if name.endswith("safetensors"):
            raise huggingface_hub.errors.EntryNotFoundError("404")
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.setattr(fetch, "find_problem", lambda url: "")
    assert_equal(load_quietly("Tiny-16", "laion"), make_theirs("Tiny-16"))
    assert asked == [("org/tiny", "open_clip_model.safetensors"), ("org/tiny", path.name)]


def test_the_hub_refuses(hub_tag, monkeypatch):
    import huggingface_hub

    def hf_hub_download(repository, name, **options):
        raise OSError("the disk is full\nand more lines")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.setattr(fetch, "find_problem", lambda url: "")
    message = r"huggingface.co/org/tiny could not be downloaded \(the disk is full\)\. Fetch"
    with pytest.raises(FileNotFoundError, match=message):
        load_pretrained("Tiny-16", "laion")


# ---- no network ------------------------------------------------------------------------------


def test_offline_says_what_to_fetch_and_where_to_put_it(hub_tag, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load_pretrained("Tiny-16", "laion")
    message = str(caught.value)
    assert "\n" not in message
    assert "huggingface.co cannot be reached (Name or service not known)" in message
    assert "Fetch open_clip_model.safetensors (about 15 MB) from https://huggingface.co" in message
    assert 'load_pretrained("Tiny-16", "FOLDER/open_clip_model.safetensors")' in message
    # A reader does what it says.
    folder = Path(re.search(r"put it into (.*)/;", message)[1])
    folder.mkdir(parents=True)
    save_file(make_theirs("Tiny-16").state_dict(), folder / "open_clip_model.safetensors")
    assert_equal(load_quietly("Tiny-16", "laion"), make_theirs("Tiny-16"))


def test_offline_without_what_a_file_does_not_say(monkeypatch):
    entry = table._pcfg(hf_hub="org/tiny/", mean=HALF, std=HALF)
    monkeypatch.setitem(table._PRETRAINED, "Tiny-16", {"laion": entry})
    with pytest.raises(FileNotFoundError, match=r"put it into .*/Tiny-16-laion/\.$"):
        load_pretrained("Tiny-16", "laion")


def test_offline_by_wish(hub_tag, monkeypatch):
    from huggingface_hub import constants

    def refuse(url):
        raise AssertionError("it asked the network")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(fetch, "find_problem", refuse)
    with pytest.raises(FileNotFoundError, match="HF_HUB_OFFLINE forbids a download. Fetch"):
        load_pretrained("Tiny-16", "laion")


def test_a_file_that_was_moved(publish):
    publish(make_theirs("Tiny-16"), "openai", quick_gelu=True).unlink()
    with pytest.raises(FileNotFoundError, match="127.0.0.1.* answers 404 .*Fetch http"):
        load_pretrained("Tiny-16", "openai")


@pytest.mark.parametrize(
    "name, tag, file, megabytes",
    [  # the sizes of the published files
        ("RN50", "openai", "RN50.pt", 256),
        ("ViT-B-32", "openai", "ViT-B-32.pt", 354),
        ("ViT-B-16", "openai", "ViT-B-16.pt", 351),
        ("ViT-L-14", "openai", "ViT-L-14.pt", 933),
        ("ViT-B-32", "laion2b_s34b_b79k", "", 605),
    ],
)
def test_the_published_files(monkeypatch, name, tag, file, megabytes):
    folder = Path(open_clip.__file__).parent / "model_configs"
    files = {path.stem: path for path in folder.glob("*.json")}
    monkeypatch.setattr(published, "find_size_files", lambda: files)
    source = find_source(name, tag)
    assert source.url_name == file
    assert source.megabytes == pytest.approx(megabytes, rel=0.01)
    assert len(source.url_checksum) == (64 if file else 0)


# ---- what the command line calls a run ---------------------------------------------------------


def test_open_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(make_theirs("Tiny-16").state_dict(), "weights.bin")
    for name in ("Tiny-16/weights.bin", f"Tiny-16/{tmp_path}/weights.bin"):
        assert isinstance(open_run(name), Pretrained)
    with pytest.raises(FileNotFoundError, match=r"Name its weights too.*: Tiny-16/openai\."):
        open_run("Tiny-16")
    with pytest.raises(ValueError, match="open_clip has no model 'Tiny-61'.* are Tiny-16"):
        open_run("Tiny-61/openai")
    with pytest.raises(FileNotFoundError, match="there is no finished run 'quick/openai'"):
        open_run("quick/openai")


def test_a_run_of_ones_own_comes_first(recipe, tmp_path, monkeypatch):
    folder = tmp_path / "Tiny-16" / "weights.bin"
    save_start(
        Run(None, None, dataclasses.replace(recipe, tokenizer="clip", vocab_size=49408), 0, folder)
    )
    for name in ("metrics.json", "model.safetensors"):
        (folder / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "load_run", lambda folder: folder)
    assert open_run("Tiny-16/weights.bin") == Path("Tiny-16/weights.bin")
