"""The commands page and export: what is given to others."""

from argparse import Namespace
from pathlib import Path

from clipnb.commands.galleries import escape, find_bank, open_gallery, split_place
from clipnb.commands.options import AddCommand
from clipnb.commands.runs import add_run_options, choose_run


def add_commands(add_command: AddCommand) -> None:
    """Add the commands of this module to the parser."""
    page = add_command(
        "page",
        handle_page,
        "Write a page that searches images by words, in one file, without a network.",
    )
    page.add_argument("where", help="a folder of photos, or the name of a dataset")
    page.add_argument("out", type=Path, metavar="OUT.html", help="the file to write")
    page.add_argument(
        "--split", help="which images of a dataset: train, dev, test or all (default: test)"
    )
    add_run_options(page)

    export = add_command(
        "export", handle_export, "Write the two encoders of a run for programs without PyTorch."
    )
    export.add_argument(
        "--onnx", metavar="FOLDER", required=True, help="write ONNX files into this folder"
    )
    export.add_argument(
        "--int8",
        action="store_true",
        help="write the weights as int8 instead of float32, in a quarter of the size",
    )
    add_run_options(export)


def handle_page(arguments: Namespace) -> None:
    """Write the page of a gallery."""
    from clipnb.search.page import check_target, describe_run, save_html

    check_target(arguments.out)  # before anything is indexed
    place, rest = split_place([arguments.where])
    if rest:
        raise FileNotFoundError(f"there is no folder and no dataset {arguments.where!r}.")
    run = choose_run(arguments)
    gallery = open_gallery(place, run, arguments.split, find_bank(run))
    page = save_html(gallery.index, arguments.out, about=describe_run(run))
    print(escape(str(page)))


def handle_export(arguments: Namespace) -> None:
    """Write the encoders of a run as ONNX files."""
    from clipnb.search.onnx import export_onnx

    run = choose_run(arguments)
    folder = export_onnx(run.model, run.tokenizer, arguments.onnx, arguments.int8)
    for path in sorted(folder.iterdir()):
        print(escape(str(path)))
