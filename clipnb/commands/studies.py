"""The commands download, ladder, bench and report."""

from argparse import Namespace

from clipnb.commands.options import AddCommand, add_seeds_option


def add_commands(add_command: AddCommand) -> None:
    """Add the commands of this module to the parser."""
    download = add_command("download", handle_download, "Fetch a dataset.")
    download.add_argument("name", choices=["flickr8k"])

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
        "Measure the speed of training, of search or of the published models beside that of other "
        "programs. With scale: measure what processes, shards and large batches cost. With card: "
        "measure training on a graphics card. With experiments: time every experiment. The record "
        "goes into results/bench/. Training, scale and card take 15 minutes, search and pretrained "
        "five, experiments some hours.",
    )
    bench.add_argument(
        "what", choices=["train", "card", "search", "pretrained", "scale", "experiments"]
    )
    bench.add_argument(
        "--run",
        help="with search: measure this run, or a published model such as ViT-B-32/openai "
        "(default: quick, and two_minutes on flickr8k if it is trained)",
    )

    add_command(
        "report", handle_report, "Write the tables of README.md and results/README.md anew."
    )


def handle_download(arguments: Namespace) -> None:
    """Fetch a dataset."""
    from clipnb.datasets.download import download_flickr8k
    from clipnb.runtime import data_dir

    download_flickr8k(data_dir() / "flickr8k")


def handle_ladder(arguments: Namespace) -> None:
    """Train the steps from baseline to improved that are not on record yet."""
    from clipnb.experiments.ladder import train_ladder

    train_ladder(arguments.seeds)


def handle_bench(arguments: Namespace) -> None:
    """Measure the speed of training, of search or of the published models, or the cost of scale."""
    if arguments.what == "search":
        from clipnb.bench.search import run_search_benchmark

        print(f"wrote {run_search_benchmark(arguments.run)}")
        return
    if arguments.run:
        raise ValueError("--run belongs to `clipnb bench search`; leave it out.")
    if arguments.what == "train":
        from clipnb.bench import run_benchmark as measure
    elif arguments.what == "card":
        from clipnb.bench.card import run_card_benchmark as measure
    elif arguments.what == "scale":
        from clipnb.bench.scale import run_scale_benchmark as measure
    elif arguments.what == "experiments":
        from clipnb.bench.experiments import run_experiments_benchmark as measure
    else:
        from clipnb.bench.pretrained import run_pretrained_benchmark as measure
    print(f"wrote {measure()}")


def handle_report(arguments: Namespace) -> None:
    """Write the tables of README.md and results/README.md anew."""
    from clipnb.report import update_readmes

    update_readmes()
