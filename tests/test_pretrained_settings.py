"""The settings beside published weights: they decide the activation and how images are made."""

import json
import math
from pathlib import Path

import open_clip
import pytest
import torch
from bad_parts import check_message
from pretrained_parts import ARCHITECTURES, assert_equal, load_quietly, make_theirs
from safetensors.torch import save_file

from clipnb.encoders import QuickGELU
from clipnb.preprocess import HALF
from clipnb.pretrained import load_pretrained
from clipnb.pretrained.hugging_face_config import read_hugging_face
from clipnb.pretrained.open_clip_config import describe_sizes, list_sizes, read_open_clip
from clipnb.pretrained.settings import Settings, check_sizes
from clipnb.towers import published

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
    with pytest.raises(ValueError, match="vision_config.num_attention_heads=4, and .* has 2. Not"):
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
        ({"model_cfg": {"text_cfg": 3}}, "its text_cfg is 3, not a dictionary"),
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
        ({"size": {"shortest_edge": 256}, "crop_size": 256}, "crop_size=256: "),
        ({"size": 224, "crop_size": {"height": 224, "width": 224}}, None),
        ({"size": {"height": 224, "width": 224}, "do_center_crop": False}, None),
    ],
)
def test_images_that_clipnb_cannot_make_are_refused(tmp_path, making, reason):
    (tmp_path / "config.json").write_text('{"vision_config": {"image_size": 224}}')
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
    with pytest.raises(ValueError, match="vision_config.num_attention_heads=12, and .* has 2"):
        load_pretrained("Tiny-16-quickgelu", tmp_path)


# ---- settings of another model -----------------------------------------------------------------


def save_open_clip_folder(folder, tower, **fields):
    """Save a model as open_clip does, with other fields in the part of a tower."""
    sizes = ARCHITECTURES["Tiny-16"]
    config = {"model_cfg": sizes | {tower: sizes[tower] | fields}, "preprocess_cfg": {}}
    save_file(make_theirs("Tiny-16").state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "tower, field, value, expected",
    [
        ("text_cfg", "heads", 8, "and Tiny-16 has 1. "),
        ("text_cfg", "vocab_size", 3, "and Tiny-16 has 49408. "),
        ("text_cfg", "no_causal_mask", True, "which the modules of clipnb do not follow. "),
        ("text_cfg", "pool_type", "first", "which the modules of clipnb do not follow. "),
        ("text_cfg", "hf_tokenizer_name", "bert", "which the modules of clipnb do not follow. "),
        ("text_cfg", "norm_kwargs", {"eps": 0.5}, "which the modules of clipnb do not follow. "),
        ("vision_cfg", "head_width", 32, "and Tiny-16 has 64. "),
        ("vision_cfg", "layers", [2, 2], "and Tiny-16 has 2. "),
        ("vision_cfg", "pool_type", "avg", "which the modules of clipnb do not follow. "),
        ("vision_cfg", "a_new_switch", 1, "which the modules of clipnb do not follow. "),
    ],
)
def test_an_open_clip_folder_of_another_model(tmp_path, tower, field, value, expected):
    save_open_clip_folder(tmp_path, tower, **{field: value})
    with pytest.raises(ValueError) as error:
        load_pretrained("Tiny-16", tmp_path)
    said = f"open_clip_config.json says {tower}.{field}={value!r}, "
    check_message(error, said, expected, "Nothing was loaded")


def test_a_silent_configuration_means_open_clips_own_heads(tmp_path):
    save_open_clip_folder(tmp_path, "text_cfg")
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    del config["model_cfg"]["text_cfg"]["heads"]
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="says text_cfg.heads=8, and Tiny-16 has 1"):
        load_pretrained("Tiny-16", tmp_path)


def test_what_published_configurations_say_beside_is_no_obstacle(tmp_path):
    idle = {"ls_init_value": None, "patch_dropout": 0.5, "pool_type": "tok", "norm_kwargs": {}}
    save_open_clip_folder(tmp_path, "vision_cfg", mlp_ratio=4.0, timm_model_name=None, **idle)
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {"pool_type": "argmax", "pad_id": 0, "eos_id": 2}
    config["model_cfg"] |= {"init_logit_bias": -10, "custom_text": False, "quick_gelu": False}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    assert_equal(load_quietly("Tiny-16", tmp_path), make_theirs("Tiny-16"))


def test_the_sizes_of_published_architectures_fit_their_own_files():
    for name in ("ViT-B-32", "ViT-L-14", "ViT-bigG-14", "RN50", "RN50x64"):
        path = Path(open_clip.__file__).parent / "model_configs" / f"{name}.json"
        sizes = json.loads(path.read_text())
        architecture = published.parse_architecture(name, sizes)
        towers = {tower: sizes[tower] for tower in ("vision_cfg", "text_cfg")}
        said = list_sizes(sizes, towers, path.name)
        assert len(said) >= 10
        check_sizes(Settings(file=path.name, sizes=said, describe=describe_sizes), architecture)


@pytest.mark.parametrize(
    "part, field, value, expected",
    [
        ("vision_config", "num_hidden_layers", 99, "and Tiny-16-quickgelu has 2. "),
        ("vision_config", "image_size", "32", "and Tiny-16-quickgelu has 32. "),
        ("text_config", "vocab_size", 3, "and Tiny-16-quickgelu has 49408. "),
        ("text_config", "layer_norm_eps", 0.5, "which the modules of clipnb do not follow. "),
        ("text_config", "eos_token_id", 320, "and Tiny-16-quickgelu has 49407. "),
    ],
)
def test_a_hugging_face_folder_of_another_model(
    hugging_face, tmp_path, part, field, value, expected
):
    folder = hugging_face[0] / "whole"
    config = json.loads((folder / "config.json").read_text())
    copy_folder(folder, tmp_path, **{part: config[part] | {field: value}})
    with pytest.raises(ValueError) as error:
        load_pretrained("Tiny-16-quickgelu", tmp_path)
    said = f"config.json says {part}.{field}={value!r}, "
    check_message(error, said, expected, "Nothing was loaded")
    # What belongs to a part alone is no size of the whole: LAION's files keep a default there.
    copy_folder(folder, tmp_path, **{part: config[part] | {"projection_dim": 512}})
    load_quietly("Tiny-16-quickgelu", tmp_path)


@pytest.mark.parametrize(
    "name, values, expected",
    [
        ("std", [0, 0.5, 0.5], "not three numbers above 0 to 1, as pixels"),
        ("std", [-1, 1, 1], "not three numbers above 0"),
        ("std", [math.nan] * 3, "not three numbers above 0"),
        ("std", [math.inf] * 3, "not three numbers above 0"),
        ("mean", [1e30] * 3, "not three numbers from 0 to 1"),
        ("mean", [math.nan] * 3, "not three numbers from 0 to 1"),
    ],
)
def test_a_mean_and_a_deviation_that_no_pixels_have(tmp_path, name, values, expected):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({f"image_{name}": values}))
    config = {"model_cfg": {}, "preprocess_cfg": {name: values}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError) as error:
        read_hugging_face(tmp_path)
    check_message(error, str(tmp_path), f"its image_{name} is [", expected)
    with pytest.raises(ValueError) as error:
        read_open_clip(tmp_path / "open_clip_config.json")
    check_message(error, "open_clip_config.json", f"its {name} is [", expected)


def test_a_folder_in_the_place_of_a_configuration(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ValueError, match="config.json is no ordinary file"):
        read_hugging_face(tmp_path)
