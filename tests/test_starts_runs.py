"""Runs that start from the weights of another run."""

import dataclasses
import json

import pytest
import torch
from run_parts import flatten_weights, write_recipe

from clipnb import create_model, load_run, run_folder, run_folders, train

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


# ---- weights that fit ------------------------------------------------------------------------


def test_a_run_starts_from_the_weights_and_the_words_of_another(
    train_small, small, recipe, short_run, tmp_path
):
    still = dataclasses.replace(recipe, epochs=1, learning_rate=0.0)
    other_captions = [[f"number {i}"] * 5 for i in range(48)]
    other = dataclasses.replace(small("train", 40), captions=other_captions)
    run = train_small(still, tmp_path / "still", seed=7, init=short_run.folder, train_set=other)
    assert torch.equal(flatten_weights(run), flatten_weights(short_run)), "nothing was learned"
    assert run.tokenizer.encode("a red dog") == short_run.tokenizer.encode("a red dog")


def test_a_run_that_started_from_another_has_a_folder_and_a_name_of_its_own(
    train_small, recipe, short_run, tmp_path
):
    recipe = dataclasses.replace(recipe, epochs=1)
    fresh, started = run_folder(recipe), run_folder(recipe, 0, short_run.folder)
    assert fresh != started
    assert started.name.startswith(f"{fresh.name}-from-")
    run = train_small(recipe, tmp_path / "started", init=short_run.folder)
    assert run.init == run_folders.describe_init(short_run.folder)
    assert run.init["run"] == "short"
    assert repr(run) == "Run(small, tiny, seed 0, 1 epochs, from short)"
    assert json.loads((run.folder / "recipe.json").read_text())["init"] == run.init
    assert "init" not in json.loads((short_run.folder / "recipe.json").read_text())
    with pytest.raises(ValueError, match=r"init: \{'run': 'short'.*\} there, None asked for"):
        train_small(recipe, run.folder, resume=True)
    with pytest.raises(ValueError, match="init: None there"):
        load_run(short_run.folder, recipe, 0, init=short_run.folder)
    assert load_run(run.folder, recipe, 0, init=short_run.folder).init == run.init


def test_the_path_of_a_start_is_not_compared(train_small, recipe, short_run, tmp_path):
    run = train_small(
        dataclasses.replace(recipe, epochs=1), tmp_path / "run", init=short_run.folder
    )
    stored = json.loads((run.folder / "recipe.json").read_text())
    assert stored["init"].pop("path") == str(short_run.folder)
    write_recipe(run.folder, stored)
    assert load_run(run.folder, run.recipe, 0, short_run.folder).init == stored["init"]
    assert run_folders.find_init(run.folder) == "short"


def test_the_bias_of_siglip_starts_anew_but_is_not_dropped(tuned, base, tmp_path):
    run = tuned(tmp_path / "run", loss="siglip", learning_rate=0.0, epochs=1)
    expected = create_model(run.recipe).logit_bias.item()
    assert run.model.logit_bias.item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="with the loss 'siglip'.*; set loss='siglip'"):
        tuned(tmp_path / "other", init=run.folder)


# ---- weights that do not fit, or are missing -------------------------------------------------


def test_weights_of_another_shape_are_refused_by_name(train_small, recipe, short_run, tmp_path):
    message = (
        r"weights of short do not fit the recipe: image_projection.weight is \(512, 128\) there "
        r"and \(64, 128\) here; .*the recipe of that run here too: tiny"
    )
    with pytest.raises(ValueError, match=message):
        train_small(
            dataclasses.replace(recipe, embed_dim=64), tmp_path / "run", init=short_run.folder
        )
    with pytest.raises(ValueError, match="set tokenizer='captions'"):
        train_small(
            dataclasses.replace(recipe, tokenizer="clip", vocab_size=49408),
            tmp_path / "run",
            init=short_run.folder,
        )
    assert not (tmp_path / "run").exists(), "nothing was written"


def test_what_does_not_fit_one_encoder_is_named(tuned, tmp_path):
    message = r"image_encoder.*weight is \(4, 3, 3, 3\) there and \(8, 3, 3, 3\) here"
    with pytest.raises(ValueError, match=message):
        tuned(tmp_path / "run", init_towers="image", image_width=64)
    with pytest.raises(ValueError, match="text_encoder.blocks.* is missing here"):
        tuned(tmp_path / "run", init_towers="text", text_encoder="bag_of_words")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes", [{"freeze": "image"}, {"init_towers": "text"}, {"lora_rank": 2}]
)
def test_a_recipe_that_adapts_needs_an_init(base, tmp_path, changes):
    message = "adapts trained encoders .* so it needs weights to start from: .* ViT-B-32/openai"
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(base, **changes), 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()
