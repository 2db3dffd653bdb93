"""Published weights in our own modules: files of every naming, and files that are refused."""

import open_clip
import pytest
import torch
from bad_parts import check_message
from pretrained_parts import TEXTS, assert_equal, load_quietly, make_theirs, save_openai
from safetensors.torch import save_file

from clipnb.preprocess import CLIP_MEAN, CLIP_STD
from clipnb.pretrained import load_pretrained
from clipnb.pretrained.export import save_open_clip
from clipnb.runs import Run
from clipnb.runtime import cache_dir

pytestmark = pytest.mark.usefixtures("tiny_architectures", "own_home")


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


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    weights = make_theirs("Tiny-16").state_dict()
    weights["visual.proj"] = weights["visual.proj"] * float("nan")
    torch.save(weights, tmp_path / "x.bin")
    with pytest.raises(ValueError, match="x.bin: the weights for image_proj.* hold NaN"):
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


@pytest.mark.parametrize(
    "name, tag, kind, message",
    [
        (None, "x", TypeError, "the name of an architecture is a string, not None"),
        (3, "openai", TypeError, "the name of an architecture is a string, not 3"),
        ("Tiny-16", "a\0b.pt", ValueError, "it holds the character 0"),
        ("Tiny-16", "\ud83d.pt", ValueError, "it holds half of a character"),
    ],
)
def test_names_and_paths_that_cannot_be(name, tag, kind, message):
    with pytest.raises(kind) as error:
        load_pretrained(name, tag)
    check_message(error, message)


def test_unknown_names_and_tags():
    with pytest.raises(ValueError, match="open_clip has no model 'Tiny-61'.* are Tiny-16, "):
        load_pretrained("Tiny-61", "openai")
    with pytest.raises(ValueError, match="no weights 'opnai' for Tiny-16.*no tag at all"):
        load_pretrained("Tiny-16", "opnai")
