"""The command shards: a dataset as tar files, for more data than memory."""

import os
import sys
from argparse import Namespace
from pathlib import Path

from clipnb.commands.options import AddCommand, parse_positive
from clipnb.places import escape

EXAMPLES = """examples:
  clipnb shards scenes scenes_shards
  clipnb train --dataset scenes_shards
  clipnb train --dataset scenes_shards --resume

A folder of shards stands for its dataset: its pairs are trained on, and dev and test are those
of the dataset. In training the state is saved every 500 steps, and --resume goes on from there."""


def add_commands(add_command: AddCommand) -> None:
    """Add the command of this module to the parser."""
    shards = add_command(
        "shards",
        handle_shards,
        "Write the training pairs of a dataset as WebDataset shards, which training reads piece by "
        "piece. The same command goes on with what was interrupted.",
        epilog=EXAMPLES,
    )
    shards.add_argument("dataset", help="scenes, flickr8k, or the name of your own folder")
    shards.add_argument(
        "out", help="the folder to write: a name in the folder of the datasets, or a path"
    )
    shards.add_argument(
        "--image-size",
        type=parse_positive,
        default=64,
        help="pixels a side of the stored images: stored_size of the recipe (default: 64)",
    )
    shards.add_argument(
        "--crop",
        action="store_true",
        help="keep the square in the middle, as published models want it, instead of squashing",
    )
    shards.add_argument(
        "--pairs",
        type=parse_positive,
        help="the most pairs in a shard (default: 1,024)",
    )


def handle_shards(arguments: Namespace) -> None:
    """Write the shards, and say how to train from them."""
    from clipnb.datasets import load_dataset
    from clipnb.datasets.shard_files import PAIRS_PER_SHARD, write_shards
    from clipnb.places import check_path
    from clipnb.runtime import data_dir

    is_name = os.path.basename(arguments.out) == arguments.out
    folder = data_dir() / arguments.out if is_name else Path(arguments.out).expanduser().absolute()
    check_path(folder)  # before anything is decoded
    dataset = load_dataset(arguments.dataset, "train", arguments.image_size, crop=arguments.crop)
    index = write_shards(dataset, folder, arguments.crop, arguments.pairs or PAIRS_PER_SHARD)
    print(escape(str(folder)))
    place = arguments.out if is_name else folder
    print(
        f"{len(index['shards']):,} shards with {index['pairs']:,} pairs of {index['image_size']} "
        f"px. Train from them: clipnb train --dataset {escape(str(place))}",
        file=sys.stderr,
    )
