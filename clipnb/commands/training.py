"""The commands train and evaluate."""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from clipnb.commands.options import (
    AddCommand,
    add_recipe_options,
    read_recipe_options,
)
from clipnb.commands.runs import (
    add_run_option,
    choose_run,
    is_pretrained,
    load_selected_run,
    move_to_dataset,
)
from clipnb.recipes import KNOWN_DATASETS

FIRST_DATASET = "scenes"  # what a published model is evaluated on if no dataset is named
EXAMPLES = """examples:
  clipnb train --recipe quick
  clipnb train --dataset my_photos --init scenes
  clipnb train --init ViT-B-32/openai --dataset flickr8k
  clipnb train --init ViT-B-32/open_clip_pytorch_model.bin --freeze image --dataset flickr8k
  clipnb train --init torchvision/resnet18 --freeze image

a batch that is larger than the memory, encoded in chunks of 32 pairs, each of them twice:
  clipnb train --recipe baseline --set chunk_size=32 --set cache_gradients=true

several processes, each with a share of every batch, on the cores or the cards of one machine:
  torchrun --nproc-per-node 2 -m clipnb train --recipe baseline
  torchrun --nproc-per-node 8 --max-restarts 3 -m clipnb train --recipe improved
Their number has to divide the batch size. After a failure --max-restarts goes on from the last
whole epoch; with shards it goes on in the middle of an epoch. On CPUs set
OMP_NUM_THREADS to the number of cores of each process. With --nnodes several machines take part, if
all see the same cache folder (CLIPNB_CACHE) and are given the same new --rdzv-id, by which a
restart knows what it has begun itself. Dropout draws other numbers than in one process; all else is
the same but for rounding. With shards each process reads shards of its own, so the batches and what
augmentation draws differ, too."""

if TYPE_CHECKING:
    from torch import Tensor

    from clipnb.datasets import CaptionDataset
    from clipnb.runs import Run


def add_commands(add_command: AddCommand) -> None:
    """Add the commands of this module to the parser."""
    train = add_command(
        "train",
        handle_train,
        "Train a recipe and say how well it retrieves on dev.",
        epilog=EXAMPLES,
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
    add_run_option(
        evaluate,
        "(default: the run of the recipe). With it, --dataset says what it is evaluated on "
        f"(default: the run's own; for a published model {FIRST_DATASET}).",
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


def handle_train(arguments: Namespace) -> None:
    """Train a recipe and print how well it retrieves on dev."""
    from clipnb import chance, train
    from clipnb.distributed import is_first, join_processes, on_first, was_restarted
    from clipnb.records import record_trial
    from clipnb.run_folders import has_no_successor, run_folder
    from clipnb.runs import is_of_this_launch, load_run_dataset

    with join_processes():
        recipe = read_recipe_options(arguments, quiet=not is_first())
        folder = run_folder(recipe, arguments.seed or 0, arguments.init)
        # An earlier launch may have left a run here, which this one has to train anew.
        goes_on = was_restarted() and on_first(lambda: is_of_this_launch(folder))
        resume = goes_on or arguments.resume
        if arguments.resume and is_first() and has_no_successor(folder):
            print("This run is finished: leave --resume out to train it again.", file=sys.stderr)
        run = train(recipe, arguments.seed or 0, resume=resume, init=arguments.init)
        if not is_first():
            return
    print(
        f"{run} kept in {run.folder}; on dev, epoch {run.metrics['best_epoch']}, after "
        f"{run.metrics['train_seconds']:.0f} s of training:"
    )
    if arguments.trial:
        print(f"added a line to {record_trial(run)}")
    dev = load_run_dataset(run, "dev")
    print_metrics(run.metrics["dev"], chance(len(dev), len(dev.captions[0])))


def handle_evaluate(arguments: Namespace) -> None:
    """Print recall and the precision of one-word queries of a trained run, or record them."""
    from clipnb import bootstrap_intervals, chance, encode_dataset, retrieval_ranks
    from clipnb.experiments.abstention import record_abstention
    from clipnb.experiments.word_precision import record_word_precision
    from clipnb.metrics import summarize_ranks
    from clipnb.records import record_errors, record_run
    from clipnb.runs import FEW_DEV_IMAGES, load_run_dataset

    run = choose_evaluated_run(arguments)
    if arguments.record:
        print(f"wrote {record_run(run)} and {record_errors(run)}")
        if run.recipe.dataset in KNOWN_DATASETS:  # where it is known what an image shows
            print(f"wrote {record_word_precision(run)} and {record_abstention(run)}")
        return
    dataset = load_run_dataset(run, arguments.split)
    print(f"{run} on {dataset}:")
    image_features, text_features = encode_dataset(run.model, run.tokenizer, dataset)
    ranks = retrieval_ranks(image_features, text_features)
    print_metrics(summarize_ranks(*ranks), chance(len(dataset), len(dataset.captions[0])))
    print_word_precision(run, dataset, image_features)
    if len(dataset) < FEW_DEV_IMAGES:
        low, high = bootstrap_intervals(*ranks)["mean_recall"]
        print(
            f"These are only {len(dataset)} images: the 95 % interval of the mean recall is "
            f"{low:.1f} to {high:.1f}."
        )


def choose_evaluated_run(arguments: Namespace) -> "Run":
    """Load the run that the options select, with the dataset that it is evaluated on.

    Raises ValueError if another dataset than the run's own is to go on record.
    """
    if arguments.run is None:
        return load_selected_run(arguments)
    dataset, arguments.dataset = arguments.dataset, None  # it selects no run here
    run = choose_run(arguments)
    if is_pretrained(run):
        if dataset is None:
            message = f"{run.recipe.name} is evaluated on {FIRST_DATASET}; --dataset names another."
            print(message, file=sys.stderr)
        return move_to_dataset(run, dataset or FIRST_DATASET)
    if dataset in (None, run.recipe.dataset):
        return run
    if arguments.record:
        raise ValueError(
            f"a record tells what a run reaches on the dataset that it was trained on, which is "
            f"{run.recipe.dataset}; leave --record or --dataset out."
        )
    return move_to_dataset(run, dataset)


def print_metrics(metrics: dict[str, float], chance: dict[str, float]) -> None:
    """Print recalls both ways as a small table, chance beside them."""
    print(f"{'':16}{'R@1':>7}{'R@5':>7}{'R@10':>7}{'median rank':>13}")
    for direction in ("image_to_text", "text_to_image"):
        for label, values in ((direction.replace("_", " "), metrics), ("  chance", chance)):
            recalls = "".join(f"{values[f'{direction}_R@{k}']:7.1f}" for k in (1, 5, 10))
            print(f"{label:16}{recalls}{values[f'{direction}_median_rank']:13.0f}")
    print(f"mean recall {metrics['mean_recall']:.1f} (chance {chance['mean_recall']:.1f})")


def print_word_precision(run: "Run", dataset: "CaptionDataset", image_features: "Tensor") -> None:
    """Print for one-word queries the share of right images among the first ten."""
    from clipnb.features import encode_texts
    from clipnb.search.precision import find_truth, measure_word_precision

    def encode(text: str) -> "Tensor":
        return encode_texts(run.model, run.tokenizer([text]))[0]

    truth = find_truth(dataset)
    for category in ("kinds", "colours", "places", "words"):  # of one word each
        own = {category: truth.get(category, {})}
        for name, found in measure_word_precision(image_features, own, encode).items():
            print(
                f"{len(found['texts'])} queries of one word, {name}: {found['precision']:.0f} % of "
                f"the first 10 are right (chance {found['chance']:.0f})"
            )
