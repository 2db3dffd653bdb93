"""Encoders that stay frozen while the rest learns, and LoRA."""

import dataclasses

import pytest
import safetensors.torch
import torch
from run_parts import list_kept

import clipnb
from clipnb import RECIPES, BagOfWords, create_model, evaluate, runs, seed_everything
from clipnb.batches import iterate_batches
from clipnb.features import digest_weights, encode_images, tokenize
from clipnb.frozen import encode_frozen

pytestmark = pytest.mark.filterwarnings("ignore:.* has only 20 dev images")


# ---- frozen encoders -------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_locked_image_encoder_stays_and_a_new_text_encoder_learns(
    tuned, first, tmp_path, optimizer
):
    run = tuned(
        tmp_path / "run",
        freeze="image",
        init_towers="image",
        optimizer=optimizer,
        ema=0.5,
        text_encoder="bag_of_words",
        vocab_size=280,
    )
    assert list_kept(run, first) == {"image_encoder", "image_projection"}
    assert isinstance(run.model.text_encoder, BagOfWords)
    assert run.tokenizer.vocab_size != first.tokenizer.vocab_size, "a tokenizer of its own"
    learned = sum(p.numel() for p in run.model.text_encoder.parameters())
    learned += run.model.text_projection.weight.numel() + 1
    assert run.metrics["learned_parameters"] == learned
    assert run.metrics["dev"] == evaluate(run.model, run.tokenizer, load_dev(run))


def load_dev(run):
    return clipnb.load_dataset(run.recipe.dataset, "dev", run.recipe.image_size)


@pytest.mark.parametrize(
    "changes, kept",
    [
        ({"freeze": "image"}, {"image_encoder", "image_projection"}),
        ({"freeze": "text"}, {"text_encoder", "text_projection"}),
        ({"freeze": "both"}, {"image_encoder", "text_encoder"}),
        ({"freeze": "both", "token_dropout": 0.0}, {"image_encoder", "text_encoder"}),
        ({"freeze": "text", "init_towers": "text"}, {"text_encoder", "text_projection"}),
        ({"freeze": "image", "init_towers": "image", "embed_dim": 16}, {"image_encoder"}),
    ],
)
def test_what_is_frozen_is_kept_and_evaluated_as_the_whole_model_is(
    tuned, first, tmp_path, changes, kept
):
    run = tuned(tmp_path / "run", **changes)
    assert list_kept(run, first) == kept
    expected = evaluate(run.model, run.tokenizer, load_dev(run))
    assert run.metrics["dev"] == pytest.approx(expected, abs=1e-4)


def test_images_are_encoded_once_for_all_epochs(tuned, tmp_path, monkeypatch):
    counts, encode = [], clipnb.ResidualCNN.forward

    def count(self, images):
        counts.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(clipnb.ResidualCNN, "forward", count)
    monkeypatch.setattr(runs, "FEW_DEV_IMAGES", 20)
    tuned(tmp_path / "run", freeze="image", epochs=4)
    assert sorted(counts) == [20, 48]


def test_cached_outputs_give_the_batches_of_the_encoders(first, small):
    recipe = dataclasses.replace(first.recipe, freeze="both", token_dropout=0.0)
    dataset = small("train")
    tokens = tokenize(first.tokenizer, dataset.captions)
    encoded = encode_frozen(first.model, dataset, tokens, recipe)
    expected = encode_images(first.model, dataset.images, projected=False)
    assert torch.allclose(torch.from_numpy(encoded.images), expected, atol=1e-6)
    cpu = torch.device("cpu")
    seed_everything(0)
    images, texts = next(iterate_batches(dataset, tokens, recipe, cpu))
    seed_everything(0)
    outputs, text_outputs = next(iterate_batches(encoded, encoded.texts, recipe, cpu))
    with torch.no_grad():
        assert torch.allclose(outputs, first.model.image_encoder(images), atol=1e-5)
        for one, captions in zip(text_outputs, texts, strict=True):
            assert torch.allclose(one, first.model.text_encoder(captions), atol=1e-5)


# ---- LoRA ------------------------------------------------------------------------------------


def test_a_run_with_lora_holds_plain_merged_weights(tuned, first, tmp_path):
    run = tuned(tmp_path / "run", lora_rank=2)
    fields = dataclasses.asdict(run.recipe) | {"lora_rank": 0}
    plain = create_model(clipnb.Recipe(**fields))
    plain.load_state_dict(safetensors.torch.load_file(run.folder / "model.safetensors"))
    assert digest_weights(plain) == digest_weights(run.model)
    change = run.model.state_dict()["image_encoder.stem.1.0.weight"]
    change = change - first.model.state_dict()["image_encoder.stem.1.0.weight"]
    singular = torch.linalg.svdvals(change.flatten(1))
    assert singular[1] > 1e-5 and singular[2] < 1e-6, "the change has rank 2"
    norms = {name for name, _ in run.model.named_buffers()}
    assert norms and all(
        torch.equal(run.model.state_dict()[name], first.model.state_dict()[name]) for name in norms
    )
    assert run.metrics["learned_parameters"] < sum(p.numel() for p in plain.parameters()) / 4
    assert run.metrics["dev"] == pytest.approx(
        evaluate(run.model, run.tokenizer, load_dev(run)), abs=1e-4
    )


# ---- the recipes -----------------------------------------------------------------------------


def test_the_recipes_that_adapt_are_complete():
    locked, finetune = RECIPES["locked_image"], RECIPES["finetune"]
    assert (locked.freeze, locked.init_towers) == ("image", "image")
    assert locked.image_encoder == RECIPES["quick"].image_encoder
    assert finetune.freeze == "none" and finetune.init_towers == "both"
