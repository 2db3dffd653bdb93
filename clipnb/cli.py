"""The command line: `clipnb`, or `python -m clipnb`, followed by a command.

The commands are train, evaluate, search, download, experiment, ladder, bench and report.
"""

import argparse
import dataclasses
import os
import shlex
import sys
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from clipnb import __version__
from clipnb.recipes import RECIPES, Recipe, find_recipe, fit_to_dataset

if TYPE_CHECKING:
    from clipnb.runs import Run

KNOWN_DATASETS = ("scenes", "flickr8k")  # every recipe is used on them as it is
MOST_RUNS = 8  # so many runs are listed when there is none as asked for


def main() -> None:
    """Run a command.

    Expected errors and warnings are printed in one line, without a traceback. Ctrl-C exits with
    130.
    """
    arguments = build_parser().parse_args()
    if arguments.data_dir:
        os.environ["CLIPNB_DATA"] = arguments.data_dir
    try:
        with warnings.catch_warnings():
            warnings.showwarning = print_warning
            arguments.run(arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        sys.exit(f"clipnb: {error}. Try: pip install 'clipnb[experiments,widgets]'")
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"clipnb: {error}")


def print_warning(message: Warning | str, *details: object) -> None:
    """Print a warning in one line, without the place in the code that it comes from."""
    print(f"clipnb: {message}", file=sys.stderr)


# ---- the parser ------------------------------------------------------------------------------


def build_parser() -> ArgumentParser:
    """Build the parser of all commands and their options."""
    parser = ArgumentParser(
        "clipnb",
        description="CLIP from scratch: train it, judge it, search with it.",
        epilog="A first try, no download needed: clipnb train --recipe quick",
    )
    parser.add_argument("--version", action="version", version=f"clipnb {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add_command(name: str, run: Callable, help: str) -> ArgumentParser:
        command = commands.add_parser(name, help=help, description=help)
        command.set_defaults(run=run)
        command.add_argument(
            "--data-dir",
            metavar="DIR",
            help="the folder that contains the dataset's folder (default: CLIPNB_DATA or data/)",
        )
        return command

    train = add_command(
        "train", handle_train, "Train a recipe and say how well it retrieves on dev."
    )
    add_recipe_options(train)
    train.add_argument(
        "--resume", action="store_true", help="go on with an interrupted run of this recipe"
    )
    train.add_argument(
        "--trial",
        action="store_true",
        help="also add recipe and dev result to results/trials/; a search keeps its losers too",
    )

    evaluate = add_command(
        "evaluate", handle_evaluate, "Print the recall of a trained run, both ways, beside chance."
    )
    add_recipe_options(evaluate)
    evaluate.add_argument(
        "--split",
        default="dev",
        help="which images: dev while you try things out, test once at the end (default: dev)",
    )
    evaluate.add_argument(
        "--record",
        action="store_true",
        help="also write dev and test into results/runs/, and the errors into results/errors/",
    )

    search = add_command("search", handle_search, "Find images by words, with a trained run.")
    add_recipe_options(search)
    search.add_argument("query", help='for example "black kites over the beach"')
    search.add_argument(
        "-k", type=parse_positive, default=5, help="how many images to find (default: 5)"
    )
    search.add_argument("--split", default="test", help="which images to search (default: test)")

    download = add_command("download", handle_download, "Fetch a dataset.")
    download.add_argument("name", choices=["flickr8k"])

    experiment = add_command(
        "experiment",
        handle_experiment,
        "Put a claim of the paper to the test in full, into results/claims/. This takes minutes; "
        "an interrupted run goes on seed by seed.",
    )
    experiment.add_argument("name", help="the name of an experiment, or `all`")
    add_seeds_option(experiment)

    ladder = add_command(
        "ladder",
        handle_ladder,
        "Train the steps from baseline to improved on Flickr8k, into results/trials/. Most take "
        "two minutes, the last ones longer; an interrupted run goes on where it stopped.",
    )
    add_seeds_option(ladder)

    bench = add_command(
        "bench",
        handle_bench,
        "Measure the speed of training against others', into results/bench/ (15 minutes).",
    )
    bench.add_argument("what", choices=["train"])

    add_command("report", handle_report, "Write the tables of results/README.md anew.")
    return parser


def add_recipe_options(command: ArgumentParser) -> None:
    """Add the options that select a recipe and a seed."""
    command.add_argument(
        "--recipe",
        default="quick",
        help=f"what to train and how: {', '.join(RECIPES)} (default: quick)",
    )
    command.add_argument(
        "--dataset",
        help="scenes, flickr8k, or the name of your own folder (default: the recipe's dataset)",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the recipe, such as epochs=200. You can repeat this option. Give "
        "train, evaluate and search the same ones.",
    )
    command.add_argument("--seed", type=int, default=0, help="the seed of the run (default: 0)")
    command.add_argument(
        "--init",
        metavar="RUN",
        help="start from the weights of another run: its folder, or the name of a recipe or of a "
        "dataset with one finished run. Give train, evaluate and search the same one.",
    )


def add_seeds_option(command: ArgumentParser) -> None:
    """Add the option that says with how many seeds something is repeated."""
    command.add_argument(
        "--seeds", type=parse_positive, default=3, help="with how many seeds (default: 3)"
    )


def parse_positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def read_recipe_options(arguments: Namespace, quiet: bool = False) -> Recipe:
    """Build the recipe selected on the command line.

    For a folder of your own it is fitted to the number of images (`fit_to_dataset`), unless
    batch_size or epochs are set. quiet: do not print that. Raises ValueError for an unknown recipe
    or field, and for a value of the wrong type.
    """
    recipe = find_recipe(arguments.recipe)
    changes = {"dataset": arguments.dataset} if arguments.dataset else {}
    for change in arguments.set:
        name, _, text = change.partition("=")
        changes[name] = parse_field(recipe, name, text)
    recipe = dataclasses.replace(recipe, **changes)
    if recipe.dataset in KNOWN_DATASETS or {"batch_size", "epochs"} & set(changes):
        return recipe
    return fit_to_dataset(recipe, count_training_images(recipe.dataset), quiet)


def count_training_images(dataset: str) -> int:
    """Count the images in the training split of a dataset. No image is decoded."""
    from clipnb.datasets import dataset_folder
    from clipnb.datasets.folders import read_dataset_folder

    return len(read_dataset_folder(dataset_folder(dataset)).splits.get("train", []))


def parse_field(recipe: Recipe, name: str, text: str) -> str | bool | int | float:
    """Parse the text of a new value for a field of a recipe, as the type of its present value."""
    fields = dataclasses.asdict(recipe)
    if name not in fields:
        raise ValueError(f"a recipe has no field {name!r}; there are {', '.join(fields)}.")
    value = fields[name]
    if isinstance(value, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{name}={text}: expected true or false.")
        return text.lower() == "true"
    try:
        return type(value)(text)
    except ValueError:
        raise ValueError(f"{name}={text}: expected something like {value!r}.") from None


# ---- the commands ----------------------------------------------------------------------------


def handle_train(arguments: Namespace) -> None:
    """Train a recipe and print how well it retrieves on dev."""
    from clipnb import chance, load_dataset, train
    from clipnb.records import record_trial

    recipe = read_recipe_options(arguments)
    run = train(recipe, arguments.seed, resume=arguments.resume, init=arguments.init)
    print(
        f"{run} kept in {run.folder}; on dev, epoch {run.metrics['best_epoch']}, after "
        f"{run.metrics['train_seconds']:.0f} s of training:"
    )
    if arguments.trial:
        print(f"added a line to {record_trial(run)}")
    dev = load_dataset(recipe.dataset, "dev", recipe.image_size)
    print_metrics(run.metrics["dev"], chance(len(dev), len(dev.captions[0])))


def handle_evaluate(arguments: Namespace) -> None:
    """Print the recall of a trained run, or record it."""
    from clipnb import bootstrap_intervals, chance, encode_dataset, load_dataset, retrieval_ranks
    from clipnb.metrics import summarize_ranks
    from clipnb.records import record_errors, record_run
    from clipnb.runs import FEW_DEV_IMAGES

    run = load_selected_run(arguments)
    if arguments.record:
        print(f"wrote {record_run(run)} and {record_errors(run)}")
        return
    dataset = load_dataset(run.recipe.dataset, arguments.split, run.recipe.image_size)
    print(f"{run} on {dataset}:")
    ranks = retrieval_ranks(*encode_dataset(run.model, run.tokenizer, dataset))
    print_metrics(summarize_ranks(*ranks), chance(len(dataset), len(dataset.captions[0])))
    if len(dataset) < FEW_DEV_IMAGES:
        low, high = bootstrap_intervals(*ranks)["mean_recall"]
        print(
            f"These are only {len(dataset)} images: the 95 % interval of the mean recall is "
            f"{low:.1f} to {high:.1f}."
        )


def load_selected_run(arguments: Namespace) -> "Run":
    """Load the run selected on the command line, or raise an error that lists all runs."""
    from clipnb.runs import list_runs, load_run, run_folder

    recipe = read_recipe_options(arguments, quiet=True)
    folder = run_folder(recipe, arguments.seed, arguments.init)
    if (folder / "recipe.json").exists():
        return load_run(folder, recipe, arguments.seed, arguments.init)
    runs = list_runs()
    runs.sort(key=lambda run: not run.name.startswith(f"{recipe.dataset}-"))  # these come first
    listed = "".join(f"\n  {format_run(run)}" for run in runs[:MOST_RUNS])
    if len(runs) > MOST_RUNS:
        listed += f"\n  and {len(runs) - MOST_RUNS} more"
    wanted = format_options(recipe, arguments.seed, arguments.init)
    raise FileNotFoundError(
        f"no run of {wanted}. Train one with: clipnb train {wanted}"
        + (f"\nThe finished runs are:{listed}" if listed else "\nNo run is finished yet.")
    )


def format_run(folder: Path) -> str:
    """Return the options of the command line that select the run in a folder."""
    from clipnb.runs import read_recipe, read_start

    try:
        recipe, seed = read_recipe(folder)
    except ValueError:
        return f"{folder.name} (of another version of clipnb)"
    return format_options(recipe, seed, read_start(folder).get("init", {}).get("run"))


def format_options(recipe: Recipe, seed: int, init: str | None = None) -> str:
    """Return the options of the command line that select a recipe, a seed and a start."""
    standard = dataclasses.asdict(RECIPES.get(recipe.name, RECIPES["quick"]))
    options = [f"--recipe {recipe.name}"]
    for name, value in dataclasses.asdict(recipe).items():
        if name == "dataset":
            options.append(f"--dataset {shlex.quote(value)}")
        elif name != "name" and value != standard[name]:
            options.append(f"--set {name}={value}")
    start = [f"--init {shlex.quote(init)}"] if init else []
    return " ".join([*options, f"--seed {seed}", *start])


def print_metrics(metrics: dict[str, float], chance: dict[str, float]) -> None:
    """Print recalls both ways as a small table, chance beside them."""
    print(f"{'':16}{'R@1':>7}{'R@5':>7}{'R@10':>7}{'median rank':>13}")
    for direction in ("image_to_text", "text_to_image"):
        for label, values in ((direction.replace("_", " "), metrics), ("  chance", chance)):
            recalls = "".join(f"{values[f'{direction}_R@{k}']:7.1f}" for k in (1, 5, 10))
            print(f"{label:16}{recalls}{values[f'{direction}_median_rank']:13.0f}")
    print(f"mean recall {metrics['mean_recall']:.1f} (chance {chance['mean_recall']:.1f})")


def handle_search(arguments: Namespace) -> None:
    """Print the images that a trained run finds for a query: score, file and caption."""
    from clipnb import ImageIndex, load_dataset
    from clipnb.runs import FEW_DEV_IMAGES
    from clipnb.runtime import display_path

    run = load_selected_run(arguments)
    dataset = load_dataset(run.recipe.dataset, arguments.split, run.recipe.image_size)
    index = ImageIndex.build(run.model, run.tokenizer, dataset)
    hits = index.search(arguments.query, arguments.k)
    if not hits:
        print(
            "There is nothing to search for: the query is empty, or no caption of the training "
            "set held a word of it."
        )
        return
    files = dict(zip(dataset.image_ids, dataset.paths, strict=True))
    for hit in hits:
        print(f"{hit.score:6.3f}  {display_path(files[hit.image_id])}  {hit.caption}")
    print(
        f"These are the best {len(hits)} of the {len(dataset)} images in the split "
        f"{arguments.split} of {dataset.name}."
    )
    if len(dataset) < FEW_DEV_IMAGES:
        print(
            "Among so few images there may be none that fits. A score near 0 means that the model "
            "sees no connection."
        )


def handle_download(arguments: Namespace) -> None:
    """Fetch a dataset."""
    from clipnb.datasets.download import download_flickr8k
    from clipnb.runtime import data_dir

    download_flickr8k(data_dir() / "flickr8k")


def handle_experiment(arguments: Namespace) -> None:
    """Record one experiment, or all of them.

    With `all`, an experiment whose dataset is missing is left out and named.
    """
    from clipnb.experiments import EXPERIMENTS, record_experiment

    if arguments.name != "all":
        print(f"wrote {record_experiment(arguments.name, arguments.seeds)}")
        return
    for name in EXPERIMENTS:
        try:
            print(f"wrote {record_experiment(name, arguments.seeds)}", flush=True)
        except FileNotFoundError as error:
            print(f"left out {name}: {error}", flush=True)


def handle_ladder(arguments: Namespace) -> None:
    """Train the steps from baseline to improved that are not on record yet."""
    from clipnb.experiments.ladder import train_ladder

    train_ladder(arguments.seeds)


def handle_bench(arguments: Namespace) -> None:
    """Measure the speed of training."""
    from clipnb.bench import run_benchmark

    print(f"wrote {run_benchmark()}")


def handle_report(arguments: Namespace) -> None:
    """Write the tables of results/README.md anew."""
    from clipnb.report import update_results_readme

    update_results_readme()
