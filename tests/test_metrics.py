"""Retrieval metrics against brute force and cases small enough to do by hand."""

import pytest
import torch
import torch.nn.functional as F

from clipnb import bootstrap_intervals, chance, retrieval_metrics, retrieval_ranks


def brute_force(images, texts):
    """Ranks by loops over a list of (score, right or wrong); among equal scores the wrong ones come first."""
    N, K, _ = texts.shape
    pairs = [(n, texts[n, k]) for n in range(N) for k in range(K)]
    image_to_text = []
    for i in range(N):
        ranked = sorted((-float(images[i] @ text), owner == i) for owner, text in pairs)
        image_to_text.append(
            1
            + sum(
                not right
                for _, right in ranked[: next(r for r, item in enumerate(ranked) if item[1])]
            )
        )
    text_to_image = []
    for owner, text in pairs:
        ranked = sorted((-float(images[i] @ text), i == owner) for i in range(N))
        text_to_image.append(1 + next(r for r, item in enumerate(ranked) if item[1]))
    return image_to_text, text_to_image


@pytest.mark.parametrize("K", [1, 5])
@pytest.mark.parametrize("ties", [False, True])
def test_equals_brute_force(K, ties):
    torch.manual_seed(0)
    images, texts = torch.randn(17, 6), torch.randn(17, K, 6)
    if ties:  # whole numbers: many scores are equal, and exactly so
        images, texts = images.round(), texts.round()
    assert [ranks.tolist() for ranks in retrieval_ranks(images, texts)] == [
        list(ranks) for ranks in brute_force(images, texts)
    ]


def test_perfect_and_constant_models():
    x = torch.eye(12)
    perfect = retrieval_metrics(x, x[:, None].repeat(1, 5, 1))
    assert (
        perfect["mean_recall"] == 100
        and perfect["image_to_text_median_rank"] == perfect["text_to_image_median_rank"] == 1
    )
    constant = retrieval_metrics(torch.ones(12, 3), torch.ones(12, 5, 3))
    assert constant["mean_recall"] == 0, "equal scores for all must not count as hits"
    assert constant["text_to_image_median_rank"] == 12


def test_by_hand():
    """Three images, two captions each. Image 0's second caption is its best and is beaten by one wrong caption."""
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
    assert metrics["image_to_text_R@1"] == pytest.approx(200 / 3) and metrics[
        "text_to_image_R@1"
    ] == pytest.approx(400 / 6)


def test_chance_is_what_random_features_score():
    torch.manual_seed(0)
    expected, total = chance(200), {}
    for _ in range(20):
        images, texts = (
            F.normalize(torch.randn(200, 32), dim=-1),
            F.normalize(torch.randn(200, 5, 32), dim=-1),
        )
        for key, value in retrieval_metrics(images, texts).items():
            total[key] = total.get(key, 0) + value / 20
    assert total["text_to_image_R@10"] == pytest.approx(expected["text_to_image_R@10"], abs=1)
    assert total["image_to_text_R@10"] == pytest.approx(expected["image_to_text_R@10"], abs=1.5)
    assert total["image_to_text_median_rank"] == pytest.approx(
        expected["image_to_text_median_rank"], rel=0.15
    )


def test_chance_on_flickr8k_is_the_published_one():
    expected = chance(1000)
    assert (
        expected["image_to_text_R@1"] == pytest.approx(0.1)
        and expected["text_to_image_R@10"] == 1.0
    )
    assert expected["image_to_text_median_rank"] == 647


def test_bootstrap_interval_holds_the_value_and_shrinks_with_more_images():
    torch.manual_seed(0)
    small, large = torch.randint(1, 40, (50,)), torch.randint(1, 40, (2000,))
    low, high = bootstrap_intervals(small, small.repeat_interleave(5), n_resamples=200)[
        "image_to_text_R@10"
    ]
    assert low <= 100 * (small <= 10).float().mean() <= high
    narrow = bootstrap_intervals(large, large.repeat_interleave(5), n_resamples=200)[
        "image_to_text_R@10"
    ]
    assert narrow[1] - narrow[0] < (high - low) / 3


def test_bootstrap_redraws_images_with_their_captions_at_95_percent():
    torch.manual_seed(0)
    ranks = torch.randint(1, 40, (2000,))
    intervals = bootstrap_intervals(ranks, ranks.repeat_interleave(5))
    assert all(
        intervals[f"text_to_image_R@{k}"] == intervals[f"image_to_text_R@{k}"] for k in (1, 5, 10)
    )
    low, high = intervals["image_to_text_R@10"]
    p = (ranks <= 10).float().mean().item()
    assert high - low == pytest.approx(2 * 196 * (p * (1 - p) / 2000) ** 0.5, rel=0.1)


def test_mean_recall_is_the_mean_of_six():
    torch.manual_seed(0)
    metrics = retrieval_metrics(torch.randn(40, 8), torch.randn(40, 5, 8))
    assert metrics["mean_recall"] == pytest.approx(
        sum(v for k, v in metrics.items() if "R@" in k) / 6
    )
    assert len({metrics[f"image_to_text_R@{k}"] for k in (1, 5, 10)}) > 1
    assert chance(1000)["text_to_image_median_rank"] == 500.5


@pytest.mark.parametrize("N, K", [(1, 1), (2, 1), (2, 5)])
def test_chance_of_tiny_collections(N, K):
    expected = chance(N, K)
    assert expected["image_to_text_R@10"] == expected["text_to_image_R@10"] == 100
    assert 1 <= expected["image_to_text_median_rank"] <= N * K
