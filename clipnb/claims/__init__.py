"""The paper on trial, second sitting: protocols before runs, one module for each family of claims.

`python -m clipnb experiment NAME` runs an experiment in full, `run_claim` in a notebook.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from clipnb.claims.experiment import RECORDS, Experiment
from clipnb.claims.running import read_claim, record_experiment, run_experiment
from clipnb.claims.verdicts import UNFINISHED
from clipnb.runtime import display_path, results_dir

# The paper's claims and those that came after it: in words, and where they stand.
CLAIMS = {
    "C1a": ("Contrast learns from fewer images than predicting the bag of words", "Fig 2"),
    "C1b": ("Predicting the bag of words needs fewer images than a language model", "Fig 2"),
    "C2": ("A classifier made of words works without a labelled example", "Table 1"),
    "C3a": ("Ensembles of prompts help", "§3.1.4, Fig 4"),
    "C3b": ("A prompt that fits the task helps", "§3.1.4"),
    "C4": ("Zero-shot is worth several examples a class to a probe (four)", "Fig 6"),
    "C5": ("Zero-shot is worth a handful of labels a class, more or fewer by class", "Fig 7"),
    "C6": ("Zero-shot goes along with what supervision reaches", "Fig 8"),
    "C7a": ("Zero-shot rivals a supervised probe on features of another task", "Fig 5"),
    "C7b": ("Zero-shot is weak in counting, against a supervised probe", "Fig 5"),
    "C8": ("Error falls as a power of compute", "Fig 9, §2.4"),
    "C9": ("Its features are the better ones for linear probes", "Fig 10, 11"),
    "C10a": ("Words instead of labels bring robustness, with equal images", "Fig 13"),
    "C10b": ("Adapting to one style gains more there than elsewhere", "Fig 14, 15"),
    "C11a": ("It retrieves images and captions", "Table 13"),
    "C11b": ("A prefix before the captions helps retrieval", "Table 13"),
    "C12": ("It learns to tell printed words apart if captions name them", "Table 14"),
    "C13": ("Where the captions come from matters little", "Table 12"),
    "C14": ("Overlap of training and test does little harm", "§5, Fig 17"),
    "C15": ("People learn from one example, CLIP does not", "Table 2"),
    "C16a": ("It struggles to count", "§6"),
    "C16b": ("It struggles to tell which word belongs to what", "§6; Yuksekgonul et al. 2023"),
    "C17a": (
        "The longer the training, the less the largest batches lose",
        "our question, after §2.5",
    ),
    "C17b": ("A learned temperature does as well as the best fixed one", "§2.5"),
    "C17c": ("The clamp on the temperature is necessary", "§2.5"),
    # L1 is one more of the paper. The others came after it.
    "L1": (
        "It transfers to pictures of another kind than it has seen",
        "Radford et al. 2021, §3.3",
    ),
    "L2": ("Closing the gap between images and texts helps retrieval", "after Liang et al. 2022"),
    "L3": ("It reads a caption as a bag of words", "Yuksekgonul et al. 2023"),
    "L4": ("A sigmoid loss is better than the softmax in small batches", "Zhai et al. 2023"),
    "L5": ("A locked image tower learns faster from captions", "Zhai et al. 2022"),
    "L6": (
        "Styles that were shown bring robustness to them, language does not",
        "Fang et al. 2022",
    ),
    "L7": ("A small run predicts the error of a larger one", "Cherti et al. 2023"),
}
MODULES = (  # one for each family of claims, in a folder for each notebook from 06 to 10
    "words.zero_shot",
    "words.prompts",
    "words.retrieval",
    "words.transfer",
    "words.reading",
    "words.limits",
    "words.gap",
    "learning.objectives",
    "probes.few_shot",
    "probes.tracking",
    "probes.rivals",
    "probes.representations",
    "shift.robustness",
    "shift.adaptation",
    "shift.sources",
    "shift.overlap",
    "scale.scaling",
    "scale.batches",
    "scale.siglip",
    "scale.siglip_photos",
    "scale.temperature",
    "scale.temperature_photos",
    "scale.clamp",
    "scale.locked",
)


def load_experiments() -> dict[str, Experiment]:
    """Return all experiments by name, in the order of their modules."""
    modules = [import_module(f"clipnb.claims.{name}") for name in MODULES]
    return {each.name: each for module in modules for each in module.EXPERIMENTS}


def find_experiment(name: str) -> Experiment:
    """Return the experiment of that name. Raises ValueError, with the list of names, if none."""
    experiments = load_experiments()
    if name not in experiments:
        raise ValueError(f"no experiment {name!r}; there are {', '.join(experiments)}.")
    return experiments[name]


def run_claim(name: str, seeds: Sequence[int] = (0,), small: bool = True) -> dict:
    """Run an experiment by its name, by default with the small settings for a notebook."""
    return run_experiment(find_experiment(name), seeds, small)


def record_claim(name: str, seeds: Sequence[int]) -> str:
    """Run an experiment in full and add the seeds to its record. Returns the path as text."""
    return record_experiment(find_experiment(name), seeds)


def record_path(name: str) -> Path:
    """Return the file of the record of an experiment."""
    return results_dir() / RECORDS / f"{find_experiment(name).name}.json"


def load_claim(name: str) -> dict | None:
    """Load the record of an experiment. If there is none, say how to make it and return None."""
    path = record_path(name)
    if path.exists():
        return read_claim(path)
    print(
        f"The full run of {name} is not on record ({display_path(path)}); what you see is the "
        f"small one alone. To make it: python -m clipnb experiment {name}"
    )
    return None


def load_claims() -> dict[str, list[dict]]:
    """Load all records by claim, for all of CLAIMS in order.

    An experiment that is not on record has a record without seeds and effects, whose `verdict` is
    "not finished". So no claim is judged by a part of its experiments.
    """
    groups = {claim: [] for claim in CLAIMS}
    for name, experiment in load_experiments().items():
        path = record_path(name)
        record = read_claim(path) if path.exists() else describe_missing(experiment)
        groups[experiment.claim].append(record)
    return groups


def describe_missing(experiment: Experiment) -> dict:
    """Return the record of an experiment that has not been run."""
    fields = {field: getattr(experiment, field) for field in ("claim", "title", "dataset")}
    rest = {"notebook": experiment.notebook, "seeds": [], "verdict": UNFINISHED}
    return {"experiment": experiment.name, **fields, **rest}
