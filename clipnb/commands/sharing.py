"""The commands page and export: what is given to others."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from clipnb.commands.galleries import (
    check_place,
    find_bank,
    open_gallery,
    split_place,
)
from clipnb.commands.options import AddCommand
from clipnb.commands.runs import add_run_options, choose_run
from clipnb.disk import list_entries
from clipnb.places import escape

if TYPE_CHECKING:
    from clipnb.runs import Run


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
        "export",
        handle_export,
        "Write the two encoders of a run, or the vectors of images, into a folder for other "
        "programs.",
    )
    formats = export.add_mutually_exclusive_group(required=True)
    formats.add_argument("--onnx", metavar="FOLDER", help="ONNX files, which need no PyTorch")
    formats.add_argument(
        "--open-clip",
        metavar="FOLDER",
        help="what open_clip loads. The recipe needs image_encoder=clip_vit, "
        "text_encoder=clip_transformer, tokenizer=clip and vocab_size=49408, or published encoders",
    )
    formats.add_argument(
        "--hugging-face",
        metavar="FOLDER",
        help="what CLIPModel of transformers loads. The recipe as for --open-clip",
    )
    formats.add_argument(
        "--lancedb",
        metavar="FOLDER",
        help="a table with the vectors, names, captions and files of images, which the database "
        "LanceDB searches on disk",
    )
    export.add_argument(
        "--of",
        metavar="WHERE",
        help="with --lancedb: which images, a folder of photos or the name of a dataset (default: "
        "the dataset of the run)",
    )
    export.add_argument(
        "--split",
        help="with --lancedb: which images of a dataset, train, dev, test or all (default: test)",
    )
    export.add_argument(
        "--int8",
        action="store_true",
        help="with --onnx: the weights as int8 instead of float32, in a quarter of the size",
    )
    add_run_options(export)


def handle_page(arguments: Namespace) -> None:
    """Write the page of a gallery."""
    from clipnb.search.packing import check_encoder
    from clipnb.search.page import check_target, describe_run, save_html

    check_target(arguments.out)  # before anything is indexed
    place, rest = split_place([arguments.where])
    if rest:
        raise FileNotFoundError(f"there is no folder and no dataset {arguments.where!r}.")
    run = choose_run(arguments)
    check_encoder(run.model)  # before anything is indexed
    gallery = open_gallery(place, run, arguments.split, find_bank(run))
    page = save_html(gallery.index, arguments.out, about=describe_run(run))
    print(escape(str(page)))


def handle_export(arguments: Namespace) -> None:
    """Write the encoders of a run in one of three formats, or the vectors of images."""
    from clipnb.pretrained.export import save_hugging_face, save_open_clip
    from clipnb.search.onnx import export_onnx

    if arguments.int8 and not arguments.onnx:
        raise ValueError("--int8 belongs to --onnx; leave it out.")
    if (arguments.of or arguments.split) and not arguments.lancedb:
        raise ValueError("--of and --split belong to --lancedb; leave them out.")
    run = choose_run(arguments)
    if arguments.lancedb:
        folder = export_vectors(run, arguments)
    elif arguments.onnx:
        folder = export_onnx(run.model, run.tokenizer, arguments.onnx, arguments.int8)
    elif arguments.open_clip:
        folder = save_open_clip(run.model, run.tokenizer, arguments.open_clip)
    else:
        folder = save_hugging_face(run.model, run.tokenizer, arguments.hugging_face)
    for name in sorted(list_entries(folder)):
        print(escape(str(folder / name)))


def export_vectors(run: "Run", arguments: Namespace) -> Path:
    """Write the vectors of the images that the options name as a table of LanceDB."""
    from clipnb.search.lance import check_folder, export_lancedb

    check_folder(arguments.lancedb)  # before anything is indexed
    place = None
    if arguments.of:
        place, rest = split_place([arguments.of])
        if rest:
            raise FileNotFoundError(f"there is no folder and no dataset {arguments.of!r}.")
    check_place(place, run)
    gallery = open_gallery(place, run, arguments.split, bank=None)
    return export_lancedb(gallery.index, arguments.lancedb)
