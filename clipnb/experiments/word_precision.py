"""Precision@10 of short queries, and what `CaptionBank.expand` adds to it."""

from collections.abc import Callable

from torch import Tensor

from clipnb.datasets import CaptionDataset
from clipnb.experiments.abstention import add_entry
from clipnb.experiments.nouns import NOUN_CLASSES
from clipnb.features import encode_dataset, encode_texts
from clipnb.metrics import retrieval_ranks, summarize_ranks
from clipnb.runs import Run, load_run_dataset
from clipnb.search.bank import CaptionBank, fit_bank
from clipnb.search.precision import find_truth, measure_word_precision


def record_word_precision(run: Run) -> str:
    """Measure the short queries of a run on dev and test, and write the numbers.

    The record is `results/search/word_precision.json`, with an entry for each dataset, recipe and
    seed. Returns the path as text.
    """
    sets = {split: load_run_dataset(run, split) for split in ("train", "dev", "test")}
    bank = fit_bank(run.model, run.tokenizer, sets["train"], sets["dev"])
    numbers = {split: measure_short_queries(bank, sets[split]) for split in ("dev", "test")}
    return add_entry("word_precision", run, numbers)


def measure_short_queries(bank: CaptionBank, dataset: CaptionDataset) -> dict:
    """Measure precision@10 of "dog", of "a dog" and of the expanded "dog".

    Beside it stands the mean recall of whole captions, all encoded as they are, and with those
    expanded that `expand` takes for short queries.
    """
    image_features, text_features = encode_dataset(bank.model, bank.tokenizer, dataset)
    truth = find_truth(dataset, NOUN_CLASSES)

    def encode(text: str) -> Tensor:
        return encode_texts(bank.model, bank.tokenizer([text]))[0]

    ways: dict[str, Callable[[str], Tensor]] = {
        "word": encode,
        "a word": lambda text: encode(f"a {text}"),
        "expanded": bank.expand,
    }
    expanded = text_features.clone()
    n_expanded = 0
    for i, own in enumerate(dataset.captions):
        for j, caption in enumerate(own):
            feature = bank.expand(caption)
            if feature is not None:
                expanded[i, j] = feature
                n_expanded += 1
    recalls = [
        summarize_ranks(*retrieval_ranks(image_features, each))["mean_recall"]
        for each in (text_features, expanded)
    ]
    return {
        "precision@10": {
            name: measure_word_precision(image_features, truth, way) for name, way in ways.items()
        },
        "mean recall": recalls[0],
        "mean recall, short captions expanded": recalls[1],
        "short captions": n_expanded,
    }
