"""Words and labels in other styles, on scenes and on photos: effects worked out by hand."""

import dataclasses
import json

import numpy as np
import planted_robustness
import pytest

from clipnb.claims.effects import estimate_effect
from clipnb.claims.shift import robustness, robustness_photos, styled, styled_photos
from clipnb.claims.verdicts import OPPOSITE, reach_verdict
from clipnb.experiments.exams import render_dataset, sample_scenes
from clipnb.experiments.twin import TOLD_CLASSES, label_targets
from clipnb.runtime import ROOT
from clipnb.scenes import STYLES


def make_outcomes(accuracies):
    """Make hits of 100 images. accuracies: {model: (hits on painted, hits on other styles)}."""
    outcomes = {"sizes": [1, 2]}
    for model, levels in accuracies.items():
        for style in STYLES:
            hits = levels[0] if style == "painted" else levels[1]
            outcomes[f"{model}: {style}"] = np.arange(100) < hits
    return outcomes


def test_the_line_goes_through_the_models_that_draw_it():
    outcomes = make_outcomes({"line 1": (30, 10), "line 2": (60, 30)})
    for model in ("line 1", "line 2"):
        assert styled.find_robustness(outcomes, model) == pytest.approx(0, abs=1e-9)


def test_effective_robustness_is_the_distance_above_the_line():
    outcomes = make_outcomes({"line 1": (30, 10), "line 2": (60, 30), "words": (60, 50)})
    assert styled.find_robustness(outcomes, "words") == pytest.approx(20)


def test_equally_good_models_draw_a_level_line():
    outcomes = make_outcomes({"line 1": (50, 20), "line 2": (50, 20), "words": (10, 25)})
    assert styled.find_robustness(outcomes, "words") == pytest.approx(5)


def test_the_shares_of_styles_and_words_are_main_effects():
    outcomes = make_outcomes(
        {
            "line 1": (50, 20),
            "line 2": (50, 20),
            robustness.LABELS_ONE: (50, 20),  # 0 above the line
            robustness.LABELS_MANY: (50, 44),  # 24
            robustness.WORDS_ONE: (50, 18),  # -2
            robustness.WORDS_MANY: (50, 34),  # 14
        }
    )
    assert robustness.share_of_styles(outcomes) == pytest.approx((24 + 16) / 2)
    assert robustness.share_of_words(outcomes) == pytest.approx((-10 - 2) / 2)
    assert robustness.styles_over_words(outcomes) == pytest.approx(20 - 6)
    assert robustness.fall_of_labels(outcomes) == pytest.approx(30)
    fair = robustness.EXPERIMENTS[0].effects["words minus labels, many styles"]
    assert fair.compute(outcomes) == pytest.approx(-10)
    kept = robustness.EXPERIMENTS[0].effects["kept, words minus labels, many styles"]
    assert kept.compute(outcomes) == pytest.approx(100 * (34 - 44) / (50 - 100 / 12))


def test_a_training_set_of_many_styles_shows_the_same_scenes():
    one, many = (styled.draw_styled_set(200, 12, many) for many in (False, True))
    assert one.captions == many.captions
    differ = (one.images != many.images).any(axis=(1, 2, 3))
    assert 0 < differ.sum() < 12  # some of them are painted
    other_seed = styled.draw_styled_set(201, 12, False)
    assert other_seed.captions != one.captions


def test_labels_tell_sizes_and_counts_too():
    dataset = render_dataset(sample_scenes(5, "told"), 16)
    targets = label_targets(dataset, TOLD_CLASSES)
    assert {name: own.shape[1] for name, own in targets.items()} == {
        "kind": 12,
        "colour": 8,
        "place": 8,
        "size": 2,
        "count": 3,
    }
    for row, truth in enumerate(dataset.labels):
        counts = {thing["count"] for thing in truth["objects"]}
        assert set((targets["count"][row].nonzero().flatten() + 1).tolist()) == counts
        assert targets["count"][row].sum() == pytest.approx(1)


def test_measuring_gives_a_row_for_each_image_and_style(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_CACHE", str(tmp_path))
    tiny = dataclasses.replace(styled.STYLED_RECIPE, image_width=24, batch_size=16)
    monkeypatch.setattr(styled, "STYLED_RECIPE", tiny)
    outcomes, numbers = robustness.measure_robustness(200, [32], 1, 12)
    assert numbers == {"sizes": [32]}
    models = ["line 32", robustness.LABELS_ONE, robustness.LABELS_MANY]
    models += [robustness.WORDS_ONE, robustness.WORDS_MANY]
    assert set(outcomes) == {f"{model}: {style}" for model in models for style in STYLES}
    assert all(hits.shape == (12,) and hits.dtype == bool for hits in outcomes.values())
    for style in STYLES:  # the largest model of the line is the one-style model
        same = outcomes[f"line 32: {style}"] == outcomes[f"{robustness.LABELS_ONE}: {style}"]
        assert same.all()


def test_words_that_are_less_accurate_and_lose_as_little_are_not_the_opposite():
    """Version 1 of the protocol could hardly find anything else of such models."""
    experiment = robustness.EXPERIMENTS[0]
    levels = {"labels_many": (0.64, 0.58), "words_many": (0.51, 0.51)}
    runs = [
        planted_robustness.simulate_robustness("planted", seed, **levels)
        for seed in range(experiment.protocol.seeds)
    ]
    effects = {n: estimate_effect(each, runs, 50) for n, each in experiment.effects.items()}
    assert effects["words minus labels, many styles"]["interval"][1] < 0  # points above the line
    assert effects["kept, words minus labels, many styles"]["interval"][1] > 0
    assert reach_verdict(effects, experiment.protocol, len(runs)) != OPPOSITE


def test_labels_that_are_more_robust_are_the_opposite():
    experiment = robustness.EXPERIMENTS[0]
    runs = []
    for seed in range(experiment.protocol.seeds):
        outcomes, numbers = planted_robustness.simulate_robustness("planted", seed)
        words, labels = robustness.WORDS_MANY, robustness.LABELS_MANY
        swapped = {
            name.replace(words, "-").replace(labels, words).replace("-", labels): hits
            for name, hits in outcomes.items()
        }
        runs.append((swapped, numbers))
    effects = {n: estimate_effect(each, runs, 50) for n, each in experiment.effects.items()}
    assert reach_verdict(effects, experiment.protocol, len(runs)) == OPPOSITE


# ---- photos ----------------------------------------------------------------------------------


def test_styles_change_photos_as_their_names_say():
    photos = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    assert (styled_photos.restyle(photos, "photo") == photos).all()
    assert (styled_photos.restyle(photos, "inverted") == 255 - photos).all()
    grey = styled_photos.restyle(photos, "grey")
    assert (grey[:, 0] == grey[:, 1]).all() and (grey[:, 1] == grey[:, 2]).all()
    assert set(np.unique(styled_photos.restyle(photos, "posterised"))) == {0, 128, 255}
    assert styled_photos.restyle(photos, "blurred").std() < photos.std() / 2
    flat = np.full((1, 3, 8, 8), 90, np.uint8)
    assert (styled_photos.restyle(flat, "edges") == 255).all()  # no lines
    with pytest.raises(ValueError, match="no style 'sepia'"):
        styled_photos.restyle(photos, "sepia")


def test_what_is_kept_is_a_share_of_what_was_learned():
    truth = np.zeros((4, 2), bool)
    truth[0] = True  # chance is 25 %
    best = np.array([[4.0], [3.0], [2.0], [1.0]]).repeat(2, axis=1)  # precision 100
    second = best[[1, 0, 2, 3]]  # precision 50
    outcomes = {"_truth": truth, "_m: photo": best}
    outcomes |= {f"_m: {style}": second for style in styled_photos.SHIFTED_STYLES}
    assert robustness_photos.find_learned(outcomes, "m", "photo") == pytest.approx([75, 75])
    assert robustness_photos.find_kept(outcomes, "m") == pytest.approx([100 / 3, 100 / 3])


def test_a_model_that_learned_nothing_keeps_nothing():
    truth = np.eye(4, dtype=bool)
    scores = np.arange(16.0).reshape(4, 4)
    outcomes = {"_truth": truth}
    for style in ("photo", *styled_photos.SHIFTED_STYLES):
        outcomes[f"_m: {style}"] = -scores if style == "photo" else scores
    assert np.isfinite(robustness_photos.find_kept(outcomes, "m")).all()


def test_styles_that_no_model_has_seen_are_told_apart_from_those_of_training():
    truth = np.zeros((4, 2), bool)
    truth[0] = True  # chance is 25 %
    best = np.array([[4.0], [3.0], [2.0], [1.0]]).repeat(2, axis=1)  # precision 100
    second = best[[1, 0, 2, 3]]  # precision 50
    r = robustness_photos
    outcomes = {"_truth": truth}
    for model in (r.WORDS_ONE, r.WORDS_MANY, r.LABELS_ONE, r.LABELS_MANY):
        many = model in (r.WORDS_MANY, r.LABELS_MANY)
        outcomes[f"_{model}: photo"] = best
        for style in styled_photos.SHIFTED_STYLES:  # kept by models that have seen them
            outcomes[f"_{model}: {style}"] = best if many else second
        for style in styled_photos.NEW_STYLES:  # kept by words alone
            words = model in (r.WORDS_ONE, r.WORDS_MANY)
            outcomes[f"_{model}: {style}"] = best if words else second
    computed = {name: own.compute(outcomes) for name, own in r.DIVERSITY_EFFECTS.items()}
    gap = pytest.approx([100 - 100 / 3] * 2)
    assert computed["what styles bring"] == gap
    assert computed["what words bring"] == pytest.approx([0, 0])
    assert computed["what styles bring, styles never shown"] == pytest.approx([0, 0])
    assert computed["what words bring, styles never shown"] == gap


# ---- tuning ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, rates",
    [("robustness", styled.BEST_RATES), ("robustness_flickr8k", styled_photos.BEST_RATES)],
)
def test_the_rates_are_the_best_on_record(name, rates):
    path = ROOT / "results" / "tuning" / f"{name}.json"
    scores = json.loads(path.read_text(encoding="utf-8"))["scores"]
    best = {model: float(max(own, key=own.get)) for model, own in scores.items()}
    assert best == rates
    assert all(len(own) == len(styled.TRIED_RATES) for own in scores.values())


def test_explanations_survive_a_missing_bound():
    for experiment in robustness.EXPERIMENTS:
        effects = dict.fromkeys(experiment.effects, {"mean": 1.0, "interval": [None, None]})
        assert experiment.explain(effects).endswith(".")
