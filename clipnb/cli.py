"""The command line: `clipnb`, or `python -m clipnb`, followed by a command.

The commands are in clipnb/commands, one module a family. A command prints its results on stdout,
and what it says about them on stderr. This module is imported before Ctrl-C can be told in a line,
so it imports nothing that takes time: the commands import that when they are asked for.
"""

import os
import sys
import warnings
from argparse import ArgumentParser, HelpFormatter, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable

from clipnb import __version__
from clipnb.places import escape, options_given

ALL_LIBRARIES = ". Try: pip install 'clipnb[experiments,widgets]'"
FAILED = 2  # the exit status of an error. As with grep, 1 means that nothing was found.
STOPPED = 130  # the exit status after Ctrl-C, as shells have it


def main() -> None:
    """Run a command.

    Expected errors, warnings and Ctrl-C are printed in one line on stderr, without a traceback. The
    exit status is 0, or what the command returned; 2 after an error, 130 after Ctrl-C.
    """
    if sys.stderr is None:  # after 2>&-, where print would write to stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (it stays open)
    if hasattr(sys.stdout, "reconfigure"):  # a notebook's cannot
        sys.stdout.reconfigure(errors="backslashreplace")  # not every terminal knows every letter
    try:
        with warnings.catch_warnings():
            warnings.showwarning = print_warning
            check_working_folder()
            arguments = parse_arguments()
            if arguments.data_dir:
                os.environ["CLIPNB_DATA"] = arguments.data_dir
                options_given["--data-dir"] = arguments.data_dir
            status = arguments.run_command(arguments)
            print(end="", flush=True)  # now, where it may fail; there may be no stdout at all
    except KeyboardInterrupt:
        say("stopped by Ctrl-C.")
        sys.exit(STOPPED)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except ModuleNotFoundError as error:
        hint = "" if "pip install" in str(error) else ALL_LIBRARIES
        fail(f"{error}{hint}")
    except ImportError as error:
        fail(
            f"a library cannot be loaded: {error}. End other programs if there is little memory; "
            "else install the library again."
        )
    except MemoryError:
        fail("there is too little memory; end other programs, or take fewer or smaller images.")
    except (OSError, ValueError, RuntimeError, Warning) as error:
        fail(describe_error(error))
    finally:
        options_given.clear()
    sys.exit(status or 0)


def check_working_folder() -> None:
    """Raise FileNotFoundError, in a sentence, if the folder of the terminal is gone."""
    try:
        os.getcwd()
    except FileNotFoundError:
        message = "the folder that you are in was deleted or moved; go to another one with cd."
        raise FileNotFoundError(message) from None


def fail(message: str) -> None:
    """Print an error on stderr and exit. A name in it must not act on the terminal."""
    lines = [escape(line) for line in message.split("\n")]
    say("\n".join(lines))
    sys.exit(FAILED)


def say(message: str) -> None:
    """Print a message on stderr in one piece: under torchrun other processes write there, too."""
    print(f"clipnb: {message}\n", end="", file=sys.stderr)


def describe_error(error: Exception) -> str:
    """Describe an error in words: those of the system without Python's number in front."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""  # none if stdout is a full disk
        return f"{place}{error.strerror}."
    return str(error)


def print_warning(message: Warning | str, *details: object) -> None:
    """Print a warning in one line, without the place in the code that it comes from."""
    say(escape(str(message)))


# ---- the parser ------------------------------------------------------------------------------


def parse_arguments() -> Namespace:
    """Parse the command line.

    The words of a search may stand before and after its options, which argparse alone does not
    allow: it returns the later ones as unknown arguments.
    """
    parser = build_parser()
    arguments, rest = parser.parse_known_args()
    unknown = [word for word in rest if word.startswith("-") and word != "-"]
    if rest and (unknown or not hasattr(arguments, "words")):
        hint = "; a - between spaces subtracts" if hasattr(arguments, "words") else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown or rest)}{hint}")
    if rest:
        arguments.words += rest
    if empty := [name for name, value in vars(arguments).items() if value == ""]:
        # As after `--dataset "$NAME"` without such a variable. It must not mean the default.
        parser.error(f"{empty[0].replace('_', '-')} is empty; give it a value, or leave it out")
    return arguments


def build_parser() -> ArgumentParser:
    """Build the parser of all commands and their options."""
    from clipnb.commands import galleries, runs, search, shards, sharing, studies, training, trials

    parser = ArgumentParser(
        "clipnb",
        description="CLIP from scratch: train it, judge it, search with it.",
        epilog="A first try, no download needed: clipnb train --recipe quick",
    )
    parser.add_argument("--version", action="version", version=f"clipnb {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add_command(name: str, run: Callable, help: str, **options: str) -> ArgumentParser:
        command = commands.add_parser(
            name,
            help=help,
            description=help,
            formatter_class=RawDescriptionHelpFormatter if "epilog" in options else HelpFormatter,
            **options,
        )
        command.set_defaults(run_command=run)
        command.add_argument(
            "--data-dir",
            metavar="DIR",
            help="the folder that contains the dataset's folder (default: CLIPNB_DATA or data/)",
        )
        return command

    for family in (training, shards, search, galleries, sharing, runs, studies, trials):
        family.add_commands(add_command)
    return parser
