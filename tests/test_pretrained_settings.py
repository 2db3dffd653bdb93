"""The settings beside published weights: they decide the activation and how images are made."""

import json

import pytest
import torch
from pretrained_parts import ARCHITECTURES, assert_equal, load_quietly, make_theirs
from safetensors.torch import save_file

from clipnb.encoders import QuickGELU
from clipnb.preprocess import HALF
from clipnb.pretrained import load_pretrained
from clipnb.pretrained.hugging_face_config import read_hugging_face

pytestmark = pytest.mark.usefixtures("tiny_architectures", "own_home")


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


@pytest.mark.parametrize(
    "making, reason",
    [
        ({"do_normalize": False}, "says do_normalize=False: "),
        ({"rescale_factor": 1.0}, "says rescale_factor=1.0: "),
        ({"size": {"shortest_edge": 256}, "crop_size": 224}, "size=.*, crop_size=224: "),
        ({"size": 224, "crop_size": {"height": 224, "width": 224}}, None),
        ({"size": {"height": 224, "width": 224}, "do_center_crop": False}, None),
    ],
)
def test_images_that_clipnb_cannot_make_are_refused(tmp_path, making, reason):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(making))
    if reason is None:
        read_hugging_face(tmp_path)
        return
    with pytest.raises(ValueError, match=reason):
        read_hugging_face(tmp_path)


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
