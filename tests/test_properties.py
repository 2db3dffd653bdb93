"""What holds for all inputs, on inputs that hypothesis makes up; brute force is the judge."""

import csv
import io
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clipnb import clip_loss, clip_tokenizer, retrieval_ranks, siglip_loss, train_tokenizer
from clipnb.datasets.caption_files import read_captions
from clipnb.datasets.folders import is_junk
from clipnb.datasets.pixels import convert_to_rgb
from clipnb.datasets.splits import make_seeded_splits
from clipnb.metrics import summarize_ranks
from clipnb.recipe_checks import RANGES
from clipnb.recipes import RECIPES, fit_to_dataset
from clipnb.tokenizer import padding_mask, trim_padding

# The same inputs in every run, so that no test fails by chance alone.
settings.register_profile(
    "clipnb",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("clipnb")

SCORES = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0, math.nan, math.inf, -math.inf])
SEEDS = st.integers(0, 10_000)


def make_features(seed, n, d=4):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=1)


# ---- losses ----------------------------------------------------------------------------------


@given(SEEDS, st.integers(2, 7), st.floats(1, 100), st.floats(0, 0.9))
def test_the_loss_is_that_of_the_loops(seed, N, scale, smoothing):
    images, texts = make_features(seed, N), make_features(seed + 1, N)

    def row_loss(one, others, right):
        logits = [scale * float(one @ other) for other in others]
        total = math.log(sum(math.exp(logit - max(logits)) for logit in logits)) + max(logits)
        target = [smoothing / N + (1 - smoothing) * (i == right) for i in range(N)]
        return sum(t * (total - logit) for t, logit in zip(target, logits, strict=True))

    by_image = sum(row_loss(images[i], texts, i) for i in range(N)) / N
    by_text = sum(row_loss(texts[i], images, i) for i in range(N)) / N
    loss = clip_loss(images, texts, scale, smoothing)
    assert loss.item() == pytest.approx((by_image + by_text) / 2, rel=1e-9, abs=1e-9)


@given(SEEDS, st.integers(2, 7), st.floats(1, 20), st.floats(-5, 5))
def test_the_sigmoid_loss_is_that_of_the_loops(seed, N, scale, bias):
    images, texts = make_features(seed, N), make_features(seed + 1, N)
    total = 0.0
    for i in range(N):
        for j in range(N):
            logit = scale * float(images[i] @ texts[j]) + bias
            total += math.log1p(math.exp(-logit if i == j else logit))
    assert siglip_loss(images, texts, scale, bias).item() == pytest.approx(total / N, rel=1e-9)


@given(SEEDS, st.integers(2, 7))
def test_the_loss_does_not_depend_on_the_order_of_the_pairs(seed, N):
    images, texts = make_features(seed, N), make_features(seed + 1, N)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
    loss = clip_loss(images, texts, 10.0)
    assert torch.allclose(loss, clip_loss(images[order], texts[order], 10.0))
    assert torch.allclose(loss, clip_loss(texts, images, 10.0))


# ---- metrics ---------------------------------------------------------------------------------


def is_better(wrong, right):
    """Tell whether a wrong answer counts as at least as good; what is not finite counts as bad."""
    if not math.isfinite(wrong) or not math.isfinite(right):
        return True
    return wrong >= right


@given(st.integers(1, 4), st.integers(1, 3), st.data())
def test_ranks_are_those_of_the_loops(N, K, data):
    """Scores may be tied, NaN or infinite."""
    scores = [[data.draw(SCORES) for _ in range(N * K)] for _ in range(N)]
    features = torch.tensor(scores, dtype=torch.float64).T.reshape(N, K, N)
    # With one image a product with the identity is the score. With more, 0 * NaN spreads NaN over
    # a caption's whole column, so the judge is given what the product gives.
    products = (torch.eye(N, dtype=torch.float64) @ features.reshape(N * K, N).T).tolist()
    image_ranks, text_ranks = retrieval_ranks(torch.eye(N, dtype=torch.float64), features)
    for caption in range(N * K):
        own = products[caption // K][caption]
        worse = [i for i in range(N) if i != caption // K and is_better(products[i][caption], own)]
        assert text_ranks[caption] == 1 + len(worse)
    for image in range(N):
        own = [products[image][c] for c in range(N * K) if c // K == image]
        best = max(own) if all(map(math.isfinite, own)) else math.nan
        others = [products[image][c] for c in range(N * K) if c // K != image]
        assert image_ranks[image] == 1 + sum(is_better(other, best) for other in others)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@given(N=st.integers(11, 14), K=st.integers(1, 2))
def test_features_that_are_not_finite_find_nothing(bad, N, K):
    metrics = summarize_ranks(*retrieval_ranks(torch.full((N, 3), bad), torch.full((N, K, 3), bad)))
    assert metrics["mean_recall"] == 0
    assert metrics["text_to_image_median_rank"] == N


# ---- tokenizer -------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_tokens_have_their_form_whatever_the_text(texts):
    tokens = clip_tokenizer()(texts)
    assert tokens.dtype == torch.int64
    assert len(tokens) == len(texts) and 2 <= tokens.shape[1] <= 77
    for row, length in zip(tokens.tolist(), padding_mask(tokens).sum(-1).tolist(), strict=True):
        assert row[0] == 49406 and row[length - 1] == 49407
        assert not any(row[length:])
    assert torch.equal(trim_padding(tokens), tokens[:, : int(padding_mask(tokens).sum(-1).max())])


@given(st.text("abcdefgh '!?.,é", min_size=1, max_size=60), SEEDS)
def test_a_learned_vocabulary_gives_back_what_it_has_learned(text, seed):
    tokenizer = train_tokenizer([text, "abcdefgh é ' ! ? . ,"], 100)
    spaceless = "".join(text.lower().split())
    decoded = tokenizer.decode(
        tokenizer(
            [text],
        )[0]
    )
    assert "".join(decoded.split()) == spaceless


@given(TEXTS, TEXTS)
def test_a_row_does_not_depend_on_the_other_rows(one, other):
    tokenizer = clip_tokenizer()
    alone, together = tokenizer([one])[0], tokenizer([one, other])[0]
    assert torch.equal(together[: len(alone)], alone)
    assert not together[len(alone) :].any()


# ---- splits ----------------------------------------------------------------------------------

NAMES = st.lists(st.text("abcdé0123/._-", min_size=1, max_size=8), unique=True, max_size=60)


@given(NAMES, SEEDS)
def test_every_image_is_in_one_split(names, seed):
    splits = make_seeded_splits(names, seed)
    assert sorted(splits["train"] + splits["dev"] + splits["test"]) == sorted(names)
    assert all(splits.values()) or len(names) < 3


@given(st.integers(100, 400), st.lists(st.integers(0, 10_000), max_size=30), SEEDS)
def test_images_that_come_and_go_move_no_other_one(n, changes, seed):
    before = {f"{i}.jpg" for i in range(n)}
    after = before ^ {f"{i}.jpg" for i in changes}
    of_before, of_after = (
        {name: split for split, own in make_seeded_splits(names, seed).items() for name in own}
        for names in (before, after)
    )
    assert all(of_before[name] == of_after[name] for name in before & after)


def test_the_shares_are_about_80_10_10():
    splits = make_seeded_splits([f"{i}.jpg" for i in range(20_000)])
    shares = {split: len(names) / 20_000 for split, names in splits.items()}
    assert shares == pytest.approx({"train": 0.8, "dev": 0.1, "test": 0.1}, abs=0.01)


def test_the_two_ways_to_write_an_accent_are_one_name():
    many = [f"é{i}.jpg" for i in range(200)]
    other = [name.replace("é", "e\u0301") for name in many]
    for split, names in make_seeded_splits(many).items():
        assert [name.replace("é", "e\u0301") for name in names] == make_seeded_splits(other)[split]


# ---- readers ---------------------------------------------------------------------------------

WORDS = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=20)


@given(captions=st.lists(WORDS, min_size=1, max_size=6))
def test_captions_that_csv_wrote_are_read_back(tmp_path, captions):
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["image", "caption"])
    rows.writerows([f"{i}.jpg", caption] for i, caption in enumerate(captions))
    path = tmp_path / "captions.csv"
    path.write_text(table.getvalue(), encoding="utf-8", newline="")
    expected = [(f"{i}.jpg", " ".join(caption.split())) for i, caption in enumerate(captions)]
    assert read_captions(path) == expected


@given(
    captions=st.lists(WORDS, min_size=1, max_size=6),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_encodings_and_line_ends_make_no_difference(tmp_path, captions, encoding, newline):
    lines = [f"{i}.jpg#0\t{caption}" for i, caption in enumerate(captions)]
    path = tmp_path / "Flickr8k.token.txt"
    path.write_bytes((newline.join(lines) + newline).encode(encoding))
    expected = [(f"{i}.jpg", " ".join(caption.split())) for i, caption in enumerate(captions)]
    assert read_captions(path) == expected


@given(st.binary(max_size=60), st.sampled_from(["captions.txt", "a.jsonl", "x.token.txt"]))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, content, name):
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(content)
    try:
        pairs = read_captions(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(caption, str) for _, caption in pairs)


@given(TEXTS)
def test_a_caption_with_two_words_is_never_junk(text):
    assert not is_junk(f"dogs run {text}")


@given(st.integers(1, 6), st.integers(1, 6), SEEDS)
def test_grey_of_16_bits_is_scaled_and_transparency_is_white(width, height, seed):
    from PIL import Image

    values = np.random.default_rng(seed).integers(0, 2**16, (height, width)).astype(np.uint16)
    grey = np.asarray(convert_to_rgb(Image.fromarray(values)))
    assert np.abs(grey[..., 0] - values / 257).max() < 1.01
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4)).astype(np.uint8)
    shown = np.asarray(convert_to_rgb(Image.fromarray(pixels))).astype(float)
    alpha = pixels[..., 3:] / 255
    assert np.abs(shown - (alpha * pixels[..., :3] + (1 - alpha) * 255)).max() <= 1


# ---- recipes ---------------------------------------------------------------------------------


@given(st.integers(2, 10_000), st.sampled_from(["quick", "two_minutes", "improved"]))
def test_a_fitted_recipe_is_valid_and_has_a_batch(n_images, name):
    recipe = fit_to_dataset(RECIPES[name], n_images, quiet=True)
    assert RANGES["batch_size"][0] <= recipe.batch_size <= max(n_images, 2)
    assert recipe.epochs >= RECIPES[name].epochs
