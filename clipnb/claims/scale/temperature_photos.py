"""C17b on photos: does a learned temperature do as well as the best fixed one?

The best of seven fixed ones is chosen on the dev photos, for each seed anew, and each has a rate of
its own. The effects are those on scenes.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from clipnb.claims.experiment import Experiment, Gate, Outcomes
from clipnb.claims.scale import temperature
from clipnb.claims.scale.batches import PHOTO_TUNING_EPOCHS
from clipnb.claims.scale.siglip_photos import N_PHOTOS, N_TEST, load_sets, make_loss_recipe
from clipnb.claims.scale.small_models import N_DEV, find_photos, fit_clip, try_rates
from clipnb.claims.scale.temperature import (
    BAD_START,
    BEST_SCORE,
    SPAN,
    TEMPERATURE_EFFECTS,
    explain_temperature,
    fix_scale,
    start_scale,
)
from clipnb.model import CLIP
from clipnb.recipes import Recipe

TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
BATCH_SIZE = 128
# The best of five for each temperature, on dev (results/tuning/temperature_flickr8k.json). The
# learned one has the rate of its batch size in siglip_photos.py, chosen in the same way.
FIXED_RATES = dict.fromkeys(TEMPERATURES, 3e-3) | {1.0: 1e-2}


def make_fixed_recipe(fixed: float, epochs: int, n_photos: int) -> Recipe:
    """Make the recipe of a small CLIP on photos with a fixed temperature and its best rate."""
    return dataclasses.replace(
        make_loss_recipe("softmax", BATCH_SIZE, epochs, n_photos),
        name=f"small_fixed_{fixed:g}_{n_photos}_photos",
        learning_rate=FIXED_RATES[fixed],
    )


def measure_temperature_photos(
    seed: int, temperatures: Sequence[float], epochs: int, n_photos: int, n_images: int
) -> tuple[Outcomes, dict]:
    """Measure how well captions find photos with a learned temperature and with fixed ones.

    The best and the worst fixed one are chosen on the dev photos, for each seed anew.
    """
    train_set, tokenizer, exam = load_sets(n_photos, n_images, "test")
    _, _, dev = load_sets(n_photos, N_DEV, "dev")
    usual = make_loss_recipe("softmax", BATCH_SIZE, epochs, n_photos)
    model = fit_clip(usual, seed, train_set, tokenizer)
    outcomes = {"learned": find_photos(model, tokenizer, exam)}
    scale = model.logit_scale.exp().item()
    from_half = dataclasses.replace(usual, name=f"small_from_2_{n_photos}_photos")
    model = fit_clip(from_half, seed, train_set, tokenizer, start_scale(1 / BAD_START))
    outcomes["learned from 0.5"] = find_photos(model, tokenizer, exam)
    on_dev = {}
    for fixed in temperatures:
        recipe = make_fixed_recipe(fixed, epochs, n_photos)
        model = fit_clip(recipe, seed, train_set, tokenizer, fix_scale(fixed))
        outcomes[f"fixed at {fixed:g}"] = find_photos(model, tokenizer, exam)
        on_dev[fixed] = float(find_photos(model, tokenizer, dev).mean())
    best, worst = max(on_dev, key=on_dev.get), min(on_dev, key=on_dev.get)
    return outcomes, {"best": best, "worst": worst, "scale": scale}


def tune_temperature_photos() -> dict[str, dict[str, float]]:
    """Try five learning rates for the learned temperature and for each fixed one."""
    train_set, tokenizer, dev = load_sets(N_PHOTOS, N_DEV, "dev")

    def score(model: CLIP) -> np.ndarray:
        return find_photos(model, tokenizer, dev)

    usual = make_loss_recipe("softmax", BATCH_SIZE, PHOTO_TUNING_EPOCHS, N_PHOTOS)
    scores = {"learned": try_rates(usual, train_set, tokenizer, score)}
    for fixed in TEMPERATURES:
        recipe = make_fixed_recipe(fixed, PHOTO_TUNING_EPOCHS, N_PHOTOS)
        scores[f"fixed at {fixed:g}"] = try_rates(
            recipe, train_set, tokenizer, score, prepare=fix_scale(fixed)
        )
    return scores


# ---- the experiment --------------------------------------------------------------------------

POWER_TEMPERATURE_PHOTOS = (
    "5 seeds and the 1,000 test photos: in a pilot with seed 200 on the dev photos the learned "
    "temperature reached 41.7 percent and a fixed one of 0.02 reached 41.6, and the photos' share "
    "of the noise of the difference was 0.28 points; with 0.8 points between seeds the interval is "
    "about 1.1 points either way; so a difference of less than 0.9 is shown to lie within 2"
)
ON_SCENES = temperature.EXPERIMENTS[0].protocol
EXPERIMENTS = [
    Experiment(
        name="temperature_flickr8k",
        claim="C17b",
        title="A learned temperature does as well as the best fixed one, on photos",
        dataset="flickr8k",
        protocol=dataclasses.replace(  # the quote, its source and the kind are those on scenes
            ON_SCENES,
            match_reason="the paper gives no comparison with fixed temperatures; ours is on 6,000 "
            "photos, with 8 epochs; on scenes the learned one was 0.5 points below the best of "
            "eight fixed ones",
            hypothesis="with a learned temperature captions find photos as well as with the best "
            "of seven fixed ones",
            conditions={
                "learned": "the temperature starts at 0.07 and is learned",
                "learned from 0.5": "it starts at 0.5, and its learning rate is that of the other",
                "fixed": "at 0.01, 0.02, 0.05, 0.1, 0.2, 0.5 or 1; for each seed the best is "
                "chosen on the dev photos and read on the test photos",
                "8 epochs": "of the 6,000 training photos in batches of 128; the seed draws "
                "weights and order alone, because the split is given",
            },
            equal="photos, first weights, order, captions, images seen, batch size, test photos",
            tuning="five learning rates for the learned temperature and for each fixed one, with "
            "4 epochs, on the dev photos; so the fixed ones have seven times as many trials in "
            "all; the temperature of 1 was added after a look at the others on dev, where the "
            "worst was 4 points below the best, so that a clearly wrong one is among them",
            power=POWER_TEMPERATURE_PHOTOS,
            margin=2.0,
            margin_reason="more than twice the standard deviation of 0.4 to 0.8 points between "
            "seeds in `batches_flickr8k`, as on scenes, where seeds differ more: who trains once "
            "would not notice less; 3 points, the margin there, are most of what a temperature of "
            "0.5 costs on photos",
            gates=(
                Gate(
                    effect=SPAN,
                    above=4,
                    why="a wrong temperature costs less than twice the margin",
                ),
                Gate(effect=BEST_SCORE, above=30, why="the models learned too little to compare"),
            ),
            opposite="the best fixed temperature, or the learned one, is more than 2 points better",
        ),
        measure=measure_temperature_photos,
        effects=TEMPERATURE_EFFECTS,
        explain=explain_temperature,
        tune=tune_temperature_photos,
        notebook="10_scaling",
        small={"temperatures": [0.02, 0.1, 0.5], "epochs": 2, "n_photos": 1024, "n_images": 500},
        full={
            "temperatures": list(TEMPERATURES),
            "epochs": 8,
            "n_photos": N_PHOTOS,
            "n_images": N_TEST,
        },
    ),
]
