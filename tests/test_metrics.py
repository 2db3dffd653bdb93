"""Retrieval metrics against brute force, and on cases that are small enough to do by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipnb import bootstrap_intervals, chance, retrieval_metrics, retrieval_ranks
from clipnb.metrics import summarize_ranks

# ---- ranks -----------------------------------------------------------------------------------


def rank_of_first_right(answers):
    """Return the rank of the best right answer. answers: list of (score, is_right).

    Among equal scores the wrong answers come first.
    """
    ranked = sorted((-score, is_right) for score, is_right in answers)
    return 1 + [is_right for _, is_right in ranked].index(True)


def rank_by_brute_force(images, texts):
    """Return what `retrieval_ranks` does, by loops over all pairs, as two lists."""
    N, K, _ = texts.shape
    captions = [(owner, texts[owner, k]) for owner in range(N) for k in range(K)]
    image_to_text = []
    for i in range(N):
        answers = [(float(images[i] @ text), owner == i) for owner, text in captions]
        image_to_text.append(rank_of_first_right(answers))
    text_to_image = []
    for owner, text in captions:
        answers = [(float(images[i] @ text), owner == i) for i in range(N)]
        text_to_image.append(rank_of_first_right(answers))
    return image_to_text, text_to_image


@pytest.mark.parametrize("K", [1, 5])
@pytest.mark.parametrize("ties", [False, True])
def test_ranks_equal_brute_force(K, ties):
    torch.manual_seed(0)
    images = torch.randn(17, 6)
    texts = torch.randn(17, K, 6)
    if ties:  # whole numbers: many scores are equal, and exactly so
        images = images.round()
        texts = texts.round()
    image_to_text, text_to_image = retrieval_ranks(images, texts)
    expected_image_to_text, expected_text_to_image = rank_by_brute_force(images, texts)
    assert image_to_text.tolist() == expected_image_to_text
    assert text_to_image.tolist() == expected_text_to_image


def test_ranks_equal_those_by_hand():
    """Three images with two captions each.

    The best caption of image 0 is its second one, and one wrong caption beats it.
    """
    images = torch.eye(3)
    texts = torch.tensor(
        [
            [[0.1, 0.9, 0.0], [0.5, 0.0, 0.2]],
            [[0.8, 0.6, 0.0], [0.0, 1.0, 0.0]],
            [[0.0, 0.0, 1.0], [0.3, 0.0, 0.4]],
        ]
    )
    image_to_text, text_to_image = retrieval_ranks(images, texts)
    assert image_to_text.tolist() == [2, 1, 1]
    assert text_to_image.tolist() == [2, 1, 2, 1, 1, 1]
    metrics = retrieval_metrics(images, texts)
    assert metrics["image_to_text_R@1"] == pytest.approx(200 / 3)
    assert metrics["text_to_image_R@1"] == pytest.approx(400 / 6)


# ---- metrics ---------------------------------------------------------------------------------


def test_a_perfect_model_scores_100():
    x = torch.eye(12)
    metrics = retrieval_metrics(x, x[:, None].repeat(1, 5, 1))
    assert metrics["mean_recall"] == 100
    assert metrics["image_to_text_median_rank"] == 1
    assert metrics["text_to_image_median_rank"] == 1


def test_equal_scores_for_all_are_no_hits():
    metrics = retrieval_metrics(torch.ones(12, 3), torch.ones(12, 5, 3))
    assert metrics["mean_recall"] == 0
    assert metrics["text_to_image_median_rank"] == 12


def test_the_mean_recall_is_the_mean_of_six_recalls():
    torch.manual_seed(0)
    metrics = retrieval_metrics(torch.randn(40, 8), torch.randn(40, 5, 8))
    recalls = [value for name, value in metrics.items() if "R@" in name]
    assert metrics["mean_recall"] == pytest.approx(sum(recalls) / 6)
    assert len({metrics[f"image_to_text_R@{k}"] for k in (1, 5, 10)}) > 1


# ---- chance ----------------------------------------------------------------------------------


def test_chance_is_what_random_features_score():
    torch.manual_seed(0)
    samples = []
    for _ in range(20):
        images = F.normalize(torch.randn(200, 32), dim=-1)
        texts = F.normalize(torch.randn(200, 5, 32), dim=-1)
        samples.append(retrieval_metrics(images, texts))
    mean = {name: np.mean([sample[name] for sample in samples]) for name in samples[0]}
    expected = chance(200)
    name = "text_to_image_R@10"
    assert mean[name] == pytest.approx(expected[name], abs=1)
    name = "image_to_text_R@10"
    assert mean[name] == pytest.approx(expected[name], abs=1.5)
    name = "image_to_text_median_rank"
    assert mean[name] == pytest.approx(expected[name], rel=0.15)


def test_chance_on_flickr8k_is_the_published_one():
    expected = chance(1000)
    assert expected["image_to_text_R@1"] == pytest.approx(0.1)
    assert expected["text_to_image_R@10"] == 1.0
    assert expected["image_to_text_median_rank"] == 647
    assert expected["text_to_image_median_rank"] == 500.5


@pytest.mark.parametrize("N, K", [(1, 1), (2, 1), (2, 5)])
def test_chance_is_100_percent_on_tiny_collections(N, K):
    expected = chance(N, K)
    assert expected["image_to_text_R@10"] == 100
    assert expected["text_to_image_R@10"] == 100
    assert 1 <= expected["image_to_text_median_rank"] <= N * K


# ---- intervals -------------------------------------------------------------------------------


def test_an_interval_holds_the_value_and_is_narrower_with_more_images():
    torch.manual_seed(0)
    few = torch.randint(1, 40, (50,))
    many = torch.randint(1, 40, (2000,))
    intervals_of_few = bootstrap_intervals(few, few.repeat_interleave(5), n_resamples=200)
    intervals_of_many = bootstrap_intervals(many, many.repeat_interleave(5), n_resamples=200)
    low, high = intervals_of_few["image_to_text_R@10"]
    narrow_low, narrow_high = intervals_of_many["image_to_text_R@10"]
    assert low <= 100 * (few <= 10).float().mean() <= high
    assert narrow_high - narrow_low < (high - low) / 3


def test_the_bootstrap_resamples_images_with_their_captions():
    torch.manual_seed(0)
    ranks = torch.randint(1, 40, (2000,))
    intervals = bootstrap_intervals(ranks, ranks.repeat_interleave(5))
    for k in (1, 5, 10):
        assert intervals[f"text_to_image_R@{k}"] == intervals[f"image_to_text_R@{k}"]


def test_the_bootstrap_intervals_have_95_percent():
    torch.manual_seed(0)
    ranks = torch.randint(1, 40, (2000,))
    low, high = bootstrap_intervals(ranks, ranks.repeat_interleave(5))["image_to_text_R@10"]
    share = (ranks <= 10).float().mean().item()
    standard_error = (share * (1 - share) / 2000) ** 0.5
    assert high - low == pytest.approx(2 * 1.96 * 100 * standard_error, rel=0.1)


def test_the_bootstrap_equals_a_loop_over_resamples():
    torch.manual_seed(0)
    image_ranks = torch.randint(1, 30, (40,))
    text_ranks = torch.randint(1, 30, (200,))
    rng = np.random.default_rng(7)
    samples = []
    for _ in range(60):
        rows = rng.integers(40, size=40)
        resampled_texts = text_ranks.view(40, 5)[rows].flatten()
        samples.append(summarize_ranks(image_ranks[rows], resampled_texts))
    intervals = bootstrap_intervals(image_ranks, text_ranks, n_resamples=60, seed=7)
    for name, interval in intervals.items():
        values = [sample[name] for sample in samples]
        assert interval == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_features_that_are_not_numbers_rank_last():
    images, texts = torch.eye(12), torch.eye(12)[:, None].repeat(1, 5, 1)
    broken = torch.full_like(images, torch.nan)
    for metrics in (retrieval_metrics(broken, texts), retrieval_metrics(images, texts * torch.nan)):
        assert metrics["mean_recall"] == 0
    half_broken = images.clone()
    half_broken[:6] = torch.nan
    assert retrieval_metrics(half_broken, texts)["image_to_text_R@1"] == 50


@pytest.mark.parametrize("n_images, n_texts, K", [(0, 0, 1), (2, 2, 0), (3, 2, 1)])
def test_features_that_cannot_be_ranked_are_refused(n_images, n_texts, K):
    with pytest.raises(ValueError, match=f"there are {n_images} images"):
        retrieval_metrics(torch.zeros(n_images, 4), torch.zeros(n_texts, K, 4))


def test_nobody_guesses_among_nothing():
    for counts in ((0, 5), (5, 0)):
        with pytest.raises(ValueError, match="at least one image and one caption"):
            chance(*counts)


def test_features_without_a_place_for_the_number_of_the_caption_are_refused():
    features = torch.eye(4)
    with pytest.raises(ValueError, match=r"\(N, K, D\).*\(4, 4\).*text_features\[:, None\]"):
        retrieval_metrics(features, features)
    assert retrieval_metrics(features, features[:, None])["mean_recall"] == 100
