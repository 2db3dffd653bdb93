"""The command line: `python -m clipnb train | evaluate | search | download | bench | ladder | report`."""

import argparse
import dataclasses
import os
import sys

from clipnb.recipes import RECIPES


def positive(text):
    """A whole number of at least 1, as argparse wants it checked."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def parser():
    """All commands and their options."""
    main = argparse.ArgumentParser(
        "python -m clipnb",
        description="CLIP from scratch: train it, judge it, search with it.",
        epilog="A first try, no download needed: python -m clipnb train --recipe quick",
    )
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, help, run=True):
        sub = commands.add_parser(name, help=help, description=help)
        sub.add_argument(
            "--data-dir",
            metavar="DIR",
            help="folder that contains the dataset's folder (otherwise CLIPNB_DATA, otherwise data/)",
        )
        if run:
            sub.add_argument(
                "--recipe",
                default="quick",
                help=f"what to train and how: {', '.join(RECIPES)} (default: quick)",
            )
            sub.add_argument(
                "--dataset",
                help="scenes, flickr8k, or the name of your own folder in the data dir (otherwise the recipe's)",
            )
            sub.add_argument(
                "--set",
                action="append",
                default=[],
                metavar="FIELD=VALUE",
                help="change a field of the recipe, for example epochs=200; as often as you like, and the same for train, evaluate and search",
            )
            sub.add_argument(
                "--seed", type=int, default=0, help="another seed, another run (default: 0)"
            )
        return sub

    train = command("train", "Train a recipe and say how well it retrieves on dev.")
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on with an interrupted run of this recipe and seed",
    )
    train.add_argument(
        "--trial",
        action="store_true",
        help="also add recipe and dev result as a line to results/trials/: a search keeps its losers too",
    )
    evaluate = command("evaluate", "Recall of a trained run, both ways, beside chance.")
    evaluate.add_argument(
        "--split",
        default="dev",
        help="which images: dev while you try things out, test once at the end (default: dev)",
    )
    evaluate.add_argument(
        "--record",
        action="store_true",
        help="also write dev and test into results/runs/, where the README's tables come from, and where it errs into results/errors/",
    )
    search = command("search", "Find images by words, with a trained run.")
    search.add_argument("query", help='for example "black kites over the beach"')
    search.add_argument("-k", type=positive, default=5, help="how many images (default: 5)")
    search.add_argument("--split", default="test", help="which images to search (default: test)")
    download = command("download", "Fetch a dataset.", run=False)
    download.add_argument("name", choices=["flickr8k"])
    bench = command(
        "bench",
        "Measure the speed of training against others' and write it into results/bench/ (takes about 15 minutes).",
        run=False,
    )
    bench.add_argument("what", choices=["train"])
    ladder = command(
        "ladder",
        "Train the rungs from baseline to improved on Flickr8k, into results/trials/ (two minutes each, the last ones longer; goes on where it stopped).",
        run=False,
    )
    ladder.add_argument("--seeds", type=positive, default=3, help="how often each (default: 3)")
    experiment = command(
        "experiment",
        "Put a claim of the paper to the test with full settings, into results/claims/ (minutes; goes on seed by seed where it stopped).",
        run=False,
    )
    experiment.add_argument("name", help="which one, or `all`")
    experiment.add_argument("--seeds", type=positive, default=3, help="how often (default: 3)")
    command("report", "Write the tables of README.md anew from results/.", run=False)
    return main


def read_recipe_options(arguments):
    """The recipe the options name, on the dataset they name, with the fields they change. Raises ValueError for what there is not."""
    if arguments.recipe not in RECIPES:
        raise ValueError(f"no recipe {arguments.recipe!r}; there are {', '.join(RECIPES)}.")
    recipe = RECIPES[arguments.recipe]
    changes = {"dataset": arguments.dataset} if arguments.dataset else {}
    for name, _, text in (change.partition("=") for change in arguments.set):
        value = getattr(recipe, name, None)
        if not isinstance(value, (str, bool, int, float)):
            raise ValueError(
                f"a recipe has no field {name!r}; there are {', '.join(dataclasses.asdict(recipe))}."
            )
        try:
            changes[name] = (
                {"true": True, "false": False}[text.lower()]
                if isinstance(value, bool)
                else type(value)(text)
            )
        except (KeyError, ValueError):
            raise ValueError(
                f"{name}={text}: expected {'true or false' if isinstance(value, bool) else f'something like {value!r}'}."
            ) from None
    return dataclasses.replace(recipe, **changes)


def show_metrics(metrics, chance):
    """Recalls both ways as a small table, chance beside them."""
    print(f"{'':16}{'R@1':>7}{'R@5':>7}{'R@10':>7}{'median rank':>13}")
    for direction in "image_to_text", "text_to_image":
        for label, values in (direction.replace("_", " "), metrics), ("  chance", chance):
            recalls = "".join(f"{values[f'{direction}_R@{k}']:7.1f}" for k in (1, 5, 10))
            print(f"{label:16}{recalls}{values[f'{direction}_median_rank']:13.0f}")
    print(f"mean recall {metrics['mean_recall']:.1f} (chance {chance['mean_recall']:.1f})")


def run_command(arguments):
    """Carry out one parsed command."""
    if arguments.data_dir:
        os.environ["CLIPNB_DATA"] = arguments.data_dir
    if arguments.command == "download":
        from clipnb.datasets.download import download_flickr8k
        from clipnb.runtime import data_dir

        return download_flickr8k(data_dir() / "flickr8k")
    if arguments.command == "report":
        from clipnb.report import update_readme

        return update_readme()
    if arguments.command == "ladder":
        from clipnb.experiments.ladder import train_ladder

        return train_ladder(arguments.seeds)
    if arguments.command == "experiment":
        return run_experiments(arguments.name, arguments.seeds)
    if arguments.command == "bench":
        from clipnb.bench import run_benchmark

        return print(f"wrote {run_benchmark()}")

    from clipnb import chance, evaluate, load_dataset, load_run, run_folder, train

    recipe = read_recipe_options(arguments)
    if arguments.command == "train":
        run = train(recipe, arguments.seed, resume=arguments.resume)
        print(
            f"{run} kept in {run.folder}; on dev, epoch {run.metrics['best_epoch']}, after {run.metrics['train_seconds']:.0f} s of training:"
        )
        if arguments.trial:
            from clipnb.records import record_trial

            print(f"added a line to {record_trial(run)}")
        dev = load_dataset(recipe.dataset, "dev", recipe.image_size)
        return show_metrics(run.metrics["dev"], chance(len(dev), len(dev.captions[0])))
    run = load_run(run_folder(recipe, arguments.seed), recipe, arguments.seed)
    if arguments.command == "evaluate" and arguments.record:
        from clipnb.records import record_errors, record_run

        return print(f"wrote {record_run(run)} and {record_errors(run)}")
    dataset = load_dataset(recipe.dataset, arguments.split, recipe.image_size)
    if arguments.command == "evaluate":
        print(f"{run} on {dataset}:")
        return show_metrics(
            evaluate(run.model, run.tokenizer, dataset),
            chance(len(dataset), len(dataset.captions[0])),
        )
    from clipnb import ImageIndex

    hits = ImageIndex.build(run.model, run.tokenizer, dataset).search(arguments.query, arguments.k)
    for hit in hits:
        print(f"{hit.score:6.3f}  {hit.image_id:28}  {hit.caption}")
    if not hits:
        print(
            "Nothing to search for: the query is empty, or the model's captions never held a word of it."
        )


def run_experiments(name, seeds):
    """Record one experiment, or `all` of them; of all, those whose dataset is not there are left out and named."""
    from clipnb.experiments import EXPERIMENTS, record_experiment

    for each in EXPERIMENTS if name == "all" else [name]:
        try:
            print(f"wrote {record_experiment(each, seeds)}", flush=True)
        except FileNotFoundError as error:
            if name != "all":
                raise
            print(f"left out {each}: {error}", flush=True)


def main():
    """Run a command; errors a person can mend are told in one line, Ctrl-C is no error."""
    try:
        run_command(parser().parse_args())
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"clipnb: {error}")


if __name__ == "__main__":
    main()
