"""Adapting to one style: what is gained there and elsewhere, worked out by hand."""

import dataclasses

import numpy as np
import pytest

from clipnb.claims.shift import adaptation, adaptation_photos, styled, styled_photos
from clipnb.datasets import CaptionDataset
from clipnb.scenes import STYLES

SETTINGS = {"sizes": [32], "epochs": 1, "n_images": 12, "shots": [1, 2], "tuning_epochs": 1}


def make_outcomes(accuracies):
    """Make hits of 100 images. accuracies: {model: (hits on painted, hits on other styles)}."""
    outcomes = {"shots": [1, 8], "sizes": [1, 2]}
    for model, levels in accuracies.items():
        for style in STYLES:
            hits = levels[0] if style == "painted" else levels[1]
            outcomes[f"{model}: {style}"] = np.arange(100) < hits
    return outcomes


OUTCOMES = make_outcomes(
    {
        "zero-shot": (50, 40),
        "1 shots": (45, 38),
        "8 shots": (60, 39),
        "fine-tuned": (58, 44),
        "many styles": (57, 46),
        "line 1": (50, 20),
        "line 2": (50, 20),
    }
)


def test_the_cost_is_what_is_gained_at_home_and_not_elsewhere():
    values = {name: each.compute(OUTCOMES) for name, each in adaptation.EFFECTS.items()}
    assert values["gained on painted"] == pytest.approx(10)
    assert values["gained on other styles"] == pytest.approx(-1)
    assert values["gained on painted beyond other styles"] == pytest.approx(11)
    assert values["one style minus many styles, painted beyond other styles"] == pytest.approx(10)
    assert values["fine-tuned, painted beyond other styles"] == pytest.approx(8 - 4)
    assert values["fine-tuned, gained on other styles"] == pytest.approx(4)
    assert values["probe of many styles, painted beyond other styles"] == pytest.approx(7 - 6)
    assert values["effective robustness lost, most shots"] == pytest.approx(20 - 19)
    assert values["effective robustness lost, fewest shots"] == pytest.approx(20 - 18)
    assert values["zero-shot on painted"] == pytest.approx(50)


@pytest.mark.filterwarnings("ignore:class .* has 1 examples")
def test_measuring_scores_each_way_of_adapting_in_each_style(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    tiny = dataclasses.replace(styled.STYLED_RECIPE, image_width=24, batch_size=16)
    monkeypatch.setattr(styled, "STYLED_RECIPE", tiny)
    monkeypatch.setattr(adaptation, "N_CHECK", 24)
    monkeypatch.setattr(adaptation, "score_line", lambda *settings: {})  # tested elsewhere
    outcomes, numbers = adaptation.measure_adaptation(200, **SETTINGS)
    assert numbers == {"shots": [1, 2], "sizes": [32]}
    models = {name.split(":")[0] for name in outcomes}
    assert models == {"zero-shot", "fine-tuned", "many styles", "1 shots", "2 shots"}
    assert all(hits.shape == (12,) and hits.dtype == bool for hits in outcomes.values())


def test_the_explanation_survives_a_missing_bound():
    effects = dict.fromkeys(adaptation.EFFECTS, {"mean": 1.0, "interval": [None, None]})
    assert adaptation.explain_adaptation(effects).endswith(".")


# ---- photos ----------------------------------------------------------------------------------


def test_gains_on_photos_are_told_in_percent_of_what_zero_shot_finds():
    truth = np.zeros((100, 2), dtype=bool)
    truth[:25, 0] = truth[50:75, 1] = True  # guessing has a precision of 25 %
    right, half = truth.astype(float), np.zeros((100, 2))
    for noun in (0, 1):  # each second place from the top is right, so the precision is 50 %
        places = np.argsort(truth[:, noun], kind="stable")
        half[places[-25:], noun] = np.arange(25, 0, -1)
        half[places[:25], noun] = np.arange(25, 0, -1) + 0.5

    def score(home, elsewhere):
        styles = (*styled_photos.SHIFTED_STYLES, *styled_photos.NEW_STYLES)
        return {"photo": home} | dict.fromkeys(styles, elsewhere)

    models = {
        adaptation_photos.ZERO_SHOT: score(right, half),
        adaptation_photos.ONE: score(right, half),
        adaptation_photos.MANY: score(right, right),
    }
    outcomes = {"_truth": truth} | {
        f"_{model}: {style}": own
        for model, styles in models.items()
        for style, own in styles.items()
    }
    values = {
        name: float(each.compute(outcomes).mean())
        for name, each in adaptation_photos.EFFECTS.items()
    }
    assert values["zero-shot on photos, above chance"] == pytest.approx(75)
    assert values["gained on photos beyond other styles"] == pytest.approx(0)
    gained = 100 * (75 - 25) / 75  # percent
    assert values["probe of many styles, gained on other styles"] == pytest.approx(gained)
    on_trial = "one style minus many styles, photos beyond other styles"
    assert values[on_trial] == pytest.approx(0 - (0 - gained))


def test_the_control_has_the_same_photos_in_four_styles():
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    names = [f"{i}.jpg" for i in range(40)]
    photos = CaptionDataset("flickr8k", "train", images, [["a dog"]] * 40, names)
    mixed = adaptation_photos.mix_styles(photos, seed=0)
    restyled = {s: styled_photos.restyle(images, s) for s in styled_photos.TRAINING_STYLES}
    shown = [
        next(s for s, own in restyled.items() if (own[row] == mixed.images[row]).all())
        for row in range(40)
    ]
    assert set(shown) == set(styled_photos.TRAINING_STYLES)
    assert (adaptation_photos.mix_styles(photos, seed=1).images != mixed.images).any()
    assert mixed.captions == photos.captions
