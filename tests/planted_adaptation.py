"""Simulated outcomes of the experiments on adapting: without skill, and with a planted cost."""

import numpy as np
import planted_robustness

from clipnb.claims.shift import adaptation_photos, styled

SHOTS = [1, 4, 16, 64]
ZERO_SHOT = (0.50, 0.45)  # on painted, on other styles
ADAPTED = (0.50 + 0.092, 0.45 - 0.010)  # as in Figure 14


def simulate_adaptation(kind, seed):
    """Simulate what the paper gains at home and loses elsewhere, or models without skill."""
    models = ["zero-shot", "fine-tuned", "many styles", *(f"{k} shots" for k in SHOTS)]
    models += [f"line {size}" for size in planted_robustness.SIZES]
    if kind == "blank":
        accuracies = dict.fromkeys(models, (1 / 12, 1 / 12))
        outcomes, numbers = planted_robustness.simulate_scenes(accuracies, seed)
        return outcomes, numbers | {"shots": SHOTS}
    accuracies = {f"line {size}": level for size, level in planted_robustness.LINE.items()}
    outcomes, numbers = planted_robustness.simulate_scenes(accuracies, seed)
    outcomes |= simulate_paired(seed)
    return outcomes, numbers | {"shots": SHOTS}


def simulate_paired(seed):
    """Simulate a model before and after adapting: most images keep their answer."""
    rng = np.random.default_rng(seed + 1000)
    levels = {"fine-tuned": 0.5, "many styles": 0.0}
    levels |= {f"{k} shots": share for k, share in zip(SHOTS, (-0.5, 0, 0.5, 1), strict=True)}
    skill = 0.03 * rng.normal()
    outcomes = {}
    for style in styled.STYLES:
        place = 0 if style == "painted" else 1
        luck = rng.random(planted_robustness.N)
        before = ZERO_SHOT[place] + skill
        outcomes[f"zero-shot: {style}"] = luck < before
        for name, share in levels.items():
            change = share * (ADAPTED[place] - ZERO_SHOT[place])
            own_luck = np.where(rng.random(len(luck)) < 0.3, rng.random(len(luck)), luck)
            outcomes[f"{name}: {style}"] = own_luck < before + change + 0.01 * rng.normal()
    return outcomes


# Signals on plain photos and on other styles. The probe of one style is the better one at home by
# about what the paper's model gains, and the control is as much better everywhere.
PHOTO_SIGNALS = {"zero-shot": (1.0, 0.95), "one": (1.10, 0.94), "many": (1.04, 0.99)}


def simulate_adaptation_photos(kind, seed):
    """Simulate scores of a model and two probes with the paper's gain, or without skill."""
    a = adaptation_photos
    models = {a.ZERO_SHOT: "zero-shot", a.ONE: "one", a.MANY: "many"}
    if kind == "blank":
        return planted_robustness.simulate_photos(dict.fromkeys(models, (0.0, 0.0)), seed)
    signals = {model: PHOTO_SIGNALS[key] for model, key in models.items()}
    return planted_robustness.simulate_photos(signals, seed)


SIMULATIONS = {
    "adaptation": simulate_adaptation,
    "adaptation_flickr8k": simulate_adaptation_photos,
}
