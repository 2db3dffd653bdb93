"""Does "nothing here matches" say the truth? Questions whose subject was left out of a collection.

A question has a right answer in a split of a dataset, and none in what is left of the split without
all images of its subject. `measure_abstention` tries several statistics on dev and test: a
threshold from dev finds 80 % of the right answers, and on test its false alarms are counted. Then
it judges the thresholds of a `CaptionBank`. `record_abstention` writes the record.
"""

import dataclasses
import datetime
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clipnb.datasets import CaptionDataset
from clipnb.experiments.questions import Question, ask_about_photos, ask_about_scenes
from clipnb.features import encode_images, encode_texts
from clipnb.records import read_json, write_record
from clipnb.run_lock import lock_path
from clipnb.runs import Run, load_run_dataset
from clipnb.runtime import display_path, list_versions, results_dir
from clipnb.search.bank import (
    BANK_SIZE,
    BEST_SHARE,
    N_CONTEXTS,
    CaptionBank,
    calibrate,
    draw_texts,
    fit_bank,
    is_short,
    score_texts,
)

FOUND = 0.8  # the share of right answers found at which false alarms are counted
SMALL = 300  # images of a small collection
N_SMALL = 4  # small collections for each question
SHARES = (0.0, 0.01, 0.03, 0.1)  # of right images, in collections with a rare subject
N_REPEATS = 20  # new halves of dev and test, on which the coverage is counted

UNKNOWN = (  # texts about nothing that either dataset shows
    *("quantum chromodynamics", "giraffe", "an invoice", "democracy", "philosophy of language"),
    *("xylophone", "wifi password", "a receipt", "screenshot", "passport", "microscope"),
    *("constitutional amendment", "asdfgh", "photosynthesis", "a volcano erupting", "penguin"),
    *("lasagna", "neural network", "spreadsheet", "typewriter"),
)


# ---- the statistics --------------------------------------------------------------------------


@dataclass
class Statistic:
    """One number for a question and a collection.

    scores: (N, C), of images with C texts. columns: for each question its columns of `scores`; the
    least of their numbers counts. share: the best share of the images is averaged; 0 for the best
    image alone. bank_scores: (M, C), with which the number is compared, or None. own: whether it is
    counted in standard deviations of the collection's own scores.
    """

    scores: Tensor
    columns: list[list[int]]
    share: float = 0.0
    bank_scores: Tensor | None = None
    own: bool = False

    def value(self, question: int, rows: Tensor) -> float:
        """Return the number for a question and the collection of the images `rows`."""
        columns = self.columns[question]
        if not columns:  # too many words were never seen
            return float("-inf")
        scores = self.scores[:, columns][rows]  # (n, c)
        k = max(1, round(self.share * len(scores)))
        best = scores.topk(k, dim=0).values.mean(dim=0)
        if self.own:
            best = (best - scores.mean(dim=0)) / scores.std(dim=0)
        if self.bank_scores is not None:
            there = self.bank_scores[:, columns]
            k = max(1, round(k / len(scores) * len(there)))
            best = (best - there.topk(k, dim=0).values.mean(dim=0)) / there.std(dim=0)
        return best.min().item()


def make_statistics(
    bank: CaptionBank, image_features: Tensor, questions: Sequence[Question]
) -> dict[str, Statistic]:
    """Make all statistics that are compared, from the simplest to that of the bank."""
    texts = [question.text for question in questions]
    plain = encode_texts(bank.model, bank.tokenizer(texts))  # (Q, D)
    moved = bank.find_directions(texts)
    short = torch.tensor([is_short(text) for text in texts])
    expanded = torch.where(short[:, None], moved, plain)
    chosen = [bank.choose_words(text) for text in texts]
    words = sorted(set().union(*chosen))
    directions = bank.find_directions(words)
    whole = [[j] for j in range(len(texts))]
    by_word = [[words.index(word) for word in own] for own in chosen]
    scale = bank.model.logit_scale.exp().item()
    rivals = image_features @ bank.features.T  # (N, M)
    log_sum = torch.logsumexp(scale * rivals, dim=1, keepdim=True)
    cosines = image_features @ plain.T
    competing = scale * cosines - log_sum
    by_image = (cosines - rivals.mean(dim=1, keepdim=True)) / rivals.std(dim=1, keepdim=True)
    longer = image_features @ expanded.T
    here = bank.image_features
    return {
        "cosine, best image": Statistic(cosines, whole),
        "cosine, z in the collection": Statistic(cosines, whole, own=True),
        "cosine, z among captions": Statistic(by_image, whole),
        "competing captions, best image": Statistic(competing, whole),
        "competing captions, best 3 %": Statistic(competing, whole, BEST_SHARE),
        "expanded, best 3 %": Statistic(longer, whole, BEST_SHARE),
        "cosine, against the bank": Statistic(cosines, whole, BEST_SHARE, here @ plain.T),
        "expanded, against the bank": Statistic(longer, whole, BEST_SHARE, here @ expanded.T),
        "each word against the bank": Statistic(
            image_features @ directions.T, by_word, BEST_SHARE, here @ directions.T
        ),
    }


def compare_collections(
    statistic: Statistic, questions: Sequence[Question], size: int | None, seed: int = 0
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return for each kind of question the numbers with a right answer, and those without.

    size: None for all images of the split and what is left of them without the subject, else random
    collections of so many images and what is left of those.
    """
    generator = torch.Generator().manual_seed(seed)
    numbers = {}
    for j, question in enumerate(questions):
        n = len(question.right)
        for _ in range(N_SMALL if size else 1):
            rows = torch.randperm(n, generator=generator)[: size or n]
            if not question.right[rows].any():
                rows[0] = question.right.nonzero()[0, 0]
            rest = rows[question.absent[rows]]
            if len(rest) < 30:
                continue
            own = numbers.setdefault(question.kind, ([], []))
            own[0].append(statistic.value(j, rows))
            own[1].append(statistic.value(j, rest))
    return {kind: (torch.tensor(a), torch.tensor(b)) for kind, (a, b) in numbers.items()}


# ---- the numbers -----------------------------------------------------------------------------


def area_under_curve(right: Tensor, wrong: Tensor) -> float:
    """Return the share of pairs in which the right number is the higher one; a tie is half."""
    ordered = wrong.sort().values
    below = torch.searchsorted(ordered, right)
    below_or_equal = torch.searchsorted(ordered, right, right=True)
    return (below + below_or_equal).double().mean().item() / (2 * len(wrong))


def trace_curve(right: Tensor, wrong: Tensor, n_points: int = 20) -> list[list[float]]:
    """Return [found, false alarms] for thresholds that find 5 %, 10 % and so on, in percent."""
    curve = []
    for i in range(1, n_points + 1):
        threshold = torch.quantile(right, 1 - i / n_points, interpolation="lower")
        found, false_alarms = (right >= threshold), (wrong >= threshold)
        curve.append([100 * each.double().mean().item() for each in (found, false_alarms)])
    return curve


def summarize_statistic(
    dev: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], curve: bool
) -> dict:
    """Summarize one statistic: AUROC on test, and found and false alarms by dev's threshold."""
    threshold = torch.quantile(dev[0], 1 - FOUND, interpolation="lower")
    summary = {
        "auroc": area_under_curve(*test),
        "found": 100 * (test[0] >= threshold).double().mean().item(),
        "false alarms": 100 * (test[1] >= threshold).double().mean().item(),
        "n": len(test[0]),
    }
    if curve:
        summary["curve"] = trace_curve(*test)
    return summary


def measure_abstention(
    bank: CaptionBank,
    dev_set: CaptionDataset,
    test_set: CaptionDataset,
    ask: Callable[[CaptionDataset], list[Question]],
) -> dict:
    """Measure all statistics, and the thresholds of a bank, on dev and test.

    ask: `ask_about_scenes` or `ask_about_photos`. Shares are in percent. Of the images as such,
    "image, auroc" tells how well the statistic's scores separate right images from images without
    the subject.
    """
    sets = {"dev": dev_set, "test": test_set}
    features = {name: encode_images(bank.model, each.images) for name, each in sets.items()}
    questions = {name: ask(each) for name, each in sets.items()}
    made = {name: make_statistics(bank, features[name], questions[name]) for name in sets}
    statistics = {}
    for name in made["test"]:
        by_size = {}
        for label, size in (("all images", None), (f"{SMALL} images", SMALL)):
            numbers = [compare_collections(made[s][name], questions[s], size) for s in sets]
            by_size[label] = {
                kind: summarize_statistic(numbers[0][kind], numbers[1][kind], size is None)
                for kind in numbers[1]
            }
        statistics[name] = by_size
    return {
        "questions": {name: count_kinds(each) for name, each in questions.items()},
        "statistics": statistics,
        "images": separate_images(made["test"], questions["test"]),
        "bank": judge_bank(bank, made["test"], features, sets, questions["test"]),
    }


def count_kinds(questions: Sequence[Question]) -> dict[str, int]:
    """Count the questions of each kind."""
    kinds = [question.kind for question in questions]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def separate_images(
    statistics: dict[str, Statistic], questions: Sequence[Question]
) -> dict[str, dict[str, float]]:
    """Return the AUROC of single images: right ones against those without the subject."""
    areas = {}
    for name in (
        "cosine, best image",
        "cosine, z among captions",
        "competing captions, best image",
        "expanded, best 3 %",
    ):
        parts = {}
        for j, question in enumerate(questions):
            scores = statistics[name].scores[:, statistics[name].columns[j][0]]
            own = parts.setdefault(question.kind, ([], []))
            own[0].append(scores[question.right])
            own[1].append(scores[question.absent])
        areas[name] = {
            kind: area_under_curve(torch.cat(a), torch.cat(b)) for kind, (a, b) in parts.items()
        }
    return areas


def judge_bank(
    bank: CaptionBank,
    statistics: dict[str, Statistic],
    features: dict[str, Tensor],
    sets: dict[str, CaptionDataset],
    questions: Sequence[Question],
) -> dict:
    """Judge the thresholds of a bank on test: what they refuse, rightly and wrongly."""
    chosen = statistics["each word against the bank"]
    by_kind = {}
    for kind, (right, wrong) in compare_collections(chosen, questions, None).items():
        own = [question for question in questions if question.kind == kind]
        threshold = bank.thresholds["short" if is_short(own[0].text) else "long"]
        by_kind[kind] = {
            "found": 100 * (right >= threshold).double().mean().item(),
            "false alarms": 100 * (wrong >= threshold).double().mean().item(),
        }
    answers = [bank.has_match(features["test"], text) for text in UNKNOWN]
    generator = random.Random(1)
    texts = draw_texts(sets["test"].captions, generator)
    return {
        "thresholds": bank.thresholds,
        "error rate": 100 * bank.error_rate,
        "by kind": by_kind,
        "refused on test": {
            kind: 100 * count_refused(bank, features["test"], own, bank.thresholds[kind])
            for kind, own in texts.items()
        },
        "refused over new splits": measure_coverage(bank, features, sets),
        "subject found, by its share": find_rare_subjects(bank, chosen, questions),
        "unknown words refused": 100 * sum(each is False for each in answers) / len(answers),
    }


def find_rare_subjects(
    bank: CaptionBank, chosen: Statistic, questions: Sequence[Question]
) -> dict[str, float]:
    """Return how often a subject is said to be there, by its share of the images, in percent.

    The images are `SMALL` ones without the subject, of which a share is replaced by right ones. The
    promise of the threshold holds for shares as in the dataset, and not for rarer subjects.
    """
    generator = torch.Generator().manual_seed(0)
    found = {}
    for j, question in enumerate(questions):
        right, absent = (each.nonzero()[:, 0] for each in (question.right, question.absent))
        if question.kind != "subject" or len(absent) < SMALL or len(right) < max(SHARES) * SMALL:
            continue
        for share in SHARES:
            n_right = round(share * SMALL)
            rows = [
                right[torch.randperm(len(right), generator=generator)[:n_right]],
                absent[torch.randperm(len(absent), generator=generator)[: SMALL - n_right]],
            ]
            value = chosen.value(j, torch.cat(rows))
            found.setdefault(f"{share:.0%}", []).append(value >= bank.thresholds["short"])
    return {share: 100 * sum(each) / len(each) for share, each in found.items()}


def count_refused(
    bank: CaptionBank, image_features: Tensor, texts: Sequence[str], threshold: float
) -> float:
    """Return the share of texts whose score lies below a threshold."""
    return (score_texts(bank, image_features, texts) < threshold).double().mean().item()


def measure_coverage(
    bank: CaptionBank, features: dict[str, Tensor], sets: dict[str, CaptionDataset]
) -> dict[str, float]:
    """Return the share of right answers refused, in percent, over many splits of dev and test.

    Each time dev and test are mixed, one half calibrates the thresholds, and the other asks.
    """
    pool = torch.cat([features["dev"], features["test"]])
    captions = [*sets["dev"].captions, *sets["test"].captions]
    generator = random.Random(2)
    refused = {"short": [], "long": []}
    for _ in range(N_REPEATS):
        order = generator.sample(range(len(pool)), len(pool))
        first, second = order[: len(pool) // 2], order[len(pool) // 2 :]
        thresholds = calibrate(bank, pool[first], [captions[i] for i in first], generator)
        texts = draw_texts([captions[i] for i in second], generator)
        for kind, own in texts.items():
            refused[kind].append(count_refused(bank, pool[second], own, thresholds[kind]))
    return {kind: 100 * sum(each) / len(each) for kind, each in refused.items()}


# ---- the record ------------------------------------------------------------------------------


def record_abstention(run: Run) -> str:
    """Measure a run on its dataset, and write the numbers. Return the path as text.

    The record is `results/search/abstention.json`, with an entry for each dataset, recipe and seed.
    """
    splits = ("train", "dev", "test")
    train_set, dev_set, test_set = (load_run_dataset(run, split) for split in splits)
    ask = ask_about_scenes if test_set.labels else ask_about_photos
    bank = fit_bank(run.model, run.tokenizer, train_set, dev_set)
    return add_entry("abstention", run, measure_abstention(bank, dev_set, test_set, ask))


def add_entry(name: str, run: Run, numbers: dict) -> str:
    """Write the numbers of one run into `results/search/<name>.json`. Return the path as text."""
    path = results_dir() / "search" / f"{name}.json"
    entry = {
        "dataset": run.recipe.dataset,
        "recipe": dataclasses.asdict(run.recipe),
        "seed": run.seed,
        "settings": {
            "bank_size": BANK_SIZE,
            "contexts": N_CONTEXTS,
            "best_share": BEST_SHARE,
            "found": FOUND,
        },
        **numbers,
        "versions": list_versions(),
        "date": datetime.date.today().isoformat(),
    }
    key = f"{run.recipe.dataset}-{run.recipe.name}-{run.seed}"
    with lock_path(path, f"adding an entry to {display_path(path)}"):
        entries = read_json(path) if path.exists() else {}
        return write_record(path, dict(sorted((entries | {key: entry}).items())))
