"""The experiment of notebook 06 on retrieval, with and without a prefix (paper Table 13)."""

import dataclasses

from clipnb.datasets import CaptionDataset, load_dataset
from clipnb.experiments.experiment import Experiment, Outcomes, Quantities
from clipnb.experiments.fitting import load_or_train_timed
from clipnb.experiments.quantities import accuracy, average, difference
from clipnb.features import encode_dataset
from clipnb.metrics import retrieval_ranks
from clipnb.recipes import TWO_MINUTES


def measure_retrieval(seed: int) -> tuple[Outcomes, dict]:
    """Measure R@1, R@5 and R@10 both ways on the test photos, with plain and prefixed captions."""
    run = load_or_train_timed(TWO_MINUTES, seed)
    test_set = load_dataset("flickr8k", "test", TWO_MINUTES.image_size)
    variants = {"plain": test_set, "prefixed": add_prefix(test_set, "a photo of ")}
    outcomes = {}
    for name, variant in variants.items():
        features = encode_dataset(run.model, run.tokenizer, variant)
        image_to_text, text_to_image = retrieval_ranks(*features)  # (N,) and (N*K,)
        by_caption = text_to_image.view(len(test_set), -1)  # (N, K)
        for k in (1, 5, 10):
            hits = (by_caption <= k).double()
            outcomes[f"{name}, image to text R@{k}"] = (image_to_text <= k).numpy()
            outcomes[f"{name}, text to image R@{k}"] = hits.mean(dim=1).numpy()
    return outcomes, {}


def add_prefix(dataset: CaptionDataset, prefix: str) -> CaptionDataset:
    """Return the dataset with a prefix before every caption."""
    captions = [[prefix + caption for caption in own] for own in dataset.captions]
    return dataclasses.replace(dataset, captions=captions)


QUANTITIES = {
    "prefix, R@1 both ways": average(
        [
            difference("prefixed, image to text R@1", "plain, image to text R@1"),
            difference("prefixed, text to image R@1", "plain, text to image R@1"),
        ]
    ),
    "image to text R@1": accuracy("plain, image to text R@1"),
    "image to text R@10": accuracy("plain, image to text R@10"),
    "text to image R@1": accuracy("plain, text to image R@1"),
    "text to image R@10": accuracy("plain, text to image R@10"),
}


def judge_retrieval(quantities: Quantities) -> tuple[str, str]:
    """Judge by text to image R@10 and by what the prefix adds to R@1.

    Not at this scale: the interval of R@10 reaches below ten times chance (10 %). Otherwise,
    replicated: the interval of what the prefix adds lies above 0. Partly: it does not.
    """
    prefix = quantities["prefix, R@1 both ways"]
    recall_at_10 = quantities["text to image R@10"]
    reason = (
        f"retrieval works (text to image R@10 {recall_at_10['mean']:.0f} %, chance 1 %), and the "
        f"prefix moves R@1 by {prefix['mean']:+.1f} points."
    )
    if recall_at_10["interval"][0] < 10:
        return "not at this scale", reason
    if prefix["interval"][0] > 0:
        return "replicated", reason
    return "partly", reason


EXPERIMENTS = [
    Experiment(
        name="retrieval",
        claim="C11",
        title="It retrieves, and better with “a photo of”",
        where="Table 13",
        paper={
            "Flickr30k text to image R@1": 68.7,
            "image to text R@1": 88.0,
            "the prefix": "+1 to +2",
        },
        dataset="flickr8k",
        measure=measure_retrieval,
        quantities=QUANTITIES,
        unit="points",
        rule=(
            "replicated: text to image R@10 above ten times chance, and the prefix raises R@1 by "
            "the interval; partly: the first alone"
        ),
        judge=judge_retrieval,
        notebook="06_zero_shot_and_prompts",
    ),
]
