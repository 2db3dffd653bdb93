"""Runs that start from an image encoder of torchvision or timm."""

import dataclasses
from urllib.error import URLError

import pytest
import torch

import clipnb.training
from clipnb import TinyCNN, create_model, starts, train
from clipnb.towers.libraries import LIBRARIES, Backbone

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


def make_backbone(name, recipe=None, pretrained=False):
    """Stand for a creator of a library: "pretrained" weights are all the same number."""
    encoder = Backbone("own", TinyCNN(), 128)
    if pretrained:
        for parameter in encoder.parameters():
            torch.nn.init.constant_(parameter, 0.01)
    return encoder


def test_the_image_encoder_of_a_library_is_locked(base, monkeypatch, tmp_path):
    monkeypatch.setitem(LIBRARIES, "torchvision", make_backbone)
    locked = dataclasses.replace(base, name="locked", freeze="image", init_towers="image")
    adopted = starts.adopt_init(locked, "torchvision/resnet18")
    assert adopted.image_encoder == "torchvision/resnet18"
    assert (adopted.image_size, adopted.stored_size) == (224, 224)
    recipe = dataclasses.replace(adopted, image_size=32, stored_size=32)
    run = train(recipe, 0, tmp_path / "run", init="torchvision/resnet18")
    assert all((p == 0.01).all() for p in run.model.image_encoder.parameters())
    learned = run.metrics["learned_parameters"]
    assert learned > run.model.image_projection.weight.numel(), "the projection is new and learns"
    assert run.init["run"] == "torchvision/resnet18"
    with pytest.raises(ValueError, match="has only an image encoder; set init_towers='image'"):
        train(
            dataclasses.replace(recipe, freeze="none", init_towers="both"),
            0,
            tmp_path / "other",
            init="torchvision/resnet18",
        )
    with pytest.raises(ValueError, match="torchvision/resnet18, not residual_cnn"):
        train(locked, 0, tmp_path / "other", init="torchvision/resnet18")


@pytest.mark.parametrize(
    "error, message",
    [
        (URLError("no network"), "cannot be loaded .*no network.* downloads them once"),
        (ImportError("No module named 'timm'"), "needs the package timm: `pip install timm`"),
    ],
)
def test_weights_that_cannot_be_downloaded_are_told_in_one_line(
    base, monkeypatch, tmp_path, error, message
):
    def fail(name, recipe=None, pretrained=False):
        raise error

    monkeypatch.setitem(LIBRARIES, "timm", fail)

    def decode(*arguments):
        raise AssertionError("the images are decoded in vain")

    monkeypatch.setattr(clipnb.training, "load_dataset", decode)
    recipe = dataclasses.replace(base, image_encoder="timm/tiny", init_towers="image")
    with pytest.raises(ValueError, match=message) as caught:
        train(recipe, 0, tmp_path / "run", init="timm/tiny")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["squeezenet1_1", "fcn_resnet50", "googlenet", "no_such_model"])
def test_what_is_no_classifier_cannot_be_an_image_encoder(base, monkeypatch, name):
    pytest.importorskip("torchvision")

    def download(*arguments, **options):
        raise AssertionError("a download")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", download)
    with pytest.raises(ValueError, match="cannot be an image encoder"):
        starts.open_start(f"torchvision/{name}")
    recipe = dataclasses.replace(base, image_encoder=f"torchvision/{name}")
    with torch.device("meta"), pytest.raises(ValueError, match="cannot be an image encoder"):
        create_model(recipe)


def test_an_encoder_of_timm_takes_the_size_of_the_images(base):
    pytest.importorskip("timm")
    recipe = dataclasses.replace(base, image_encoder="timm/vit_tiny_patch16_224")
    with torch.device("meta"):
        model = create_model(recipe)
        features = model.encode_image(torch.zeros(1, 3, 32, 32))
        assert features.shape == (1, base.embed_dim)
        create_model(dataclasses.replace(base, image_encoder="timm/resnet18"))
