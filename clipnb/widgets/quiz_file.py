"""The answers of readers to the quiz, on disk.

They stay on the machine, in `cache_dir()/quiz`. No answer is ever overwritten by others.
"""

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clipnb.disk import explain_write_errors, read_json
from clipnb.places import check_path
from clipnb.runtime import cache_dir, display_path, write_file
from clipnb.tokenizer import check_text
from clipnb.widgets.quiz_answers import (
    EXAMPLES_ALONE,
    N_QUESTIONS,
    READER,
    SHOTS,
    TOGETHER,
    Tally,
    count_answers,
)

VERSION = 1  # of the quiz; answers of another version are not counted


def answers_file(reader: str, seed: int) -> Path:
    """Return the file with a reader's answers to a quiz.

    Letters that a name of a file should not have are replaced. A digest of the reader's name then
    keeps readers apart. Raises TypeError for a name that is no string.
    """
    reader = check_text(reader, "the reader's name").strip() or READER
    name = re.sub(r"[^\w-]+", "-", reader)
    if name != reader:
        name += f"-{hashlib.sha256(reader.encode()).hexdigest()[:8]}"
    return check_path(cache_dir() / "quiz" / f"{name}-{seed}.json")


def open_answers(file: Path, seed: int) -> tuple[list[dict], str]:
    """Load a reader's answers to a quiz. What else stands under this name is set aside, renamed.

    Returns the answers, and a sentence that tells what was set aside, or "".
    """
    try:
        return load_answers(file, seed), ""
    except ValueError as error:
        aside = set_aside(file)
        return [], f"{error} It was set aside as {aside.name}; the quiz begins anew."


def load_answers(file: Path, seed: int) -> list[dict]:
    """Load the answers to the quiz of a seed: none if there is no file.

    Raises ValueError, naming the file, for one that holds something else.
    """
    if not os.path.lexists(file):
        return []
    content = read_answers(file)
    for name, needed in (("version", VERSION), ("seed", seed)):
        if content[name] != needed:
            raise ValueError(
                f"{display_path(file)} holds answers to a quiz of {name} {content[name]}, not "
                f"{needed}."
            )
    return content["answers"]


def read_answers(file: Path) -> dict[str, Any]:
    """Read a file of answers: its "version", and of this version its "seed" and "answers".

    Raises ValueError, naming the file, for one that holds something else.
    """
    if not file.is_file():
        raise ValueError(f"{display_path(file)} is no file, so it holds no answers of the quiz.")
    content = read_json(file)
    if problem := find_problem(content):
        raise ValueError(f"{display_path(file)} holds no answers of the quiz: {problem}.")
    return content


def find_problem(content: Any) -> str:
    """Say why the content of a file is no quiz's answers; "" if it is."""
    if not isinstance(content, dict) or type(content.get("version")) is not int:
        return "it has no version"
    if content["version"] != VERSION:
        return ""  # how another version writes its answers is not known here
    if type(content.get("seed")) is not int:
        return "it has no seed"
    answers = content.get("answers")
    if not isinstance(answers, list) or len(answers) > N_QUESTIONS:
        return f"it has no list of at most {N_QUESTIONS} answers"
    bad = (place for place, answer in enumerate(answers) if not is_answer(answer, place))
    place = next(bad, None)
    return "" if place is None else f"its answer {place + 1} is damaged"


def is_answer(answer: Any, place: int) -> bool:
    """Tell whether something is the answer to the question at a place from 0."""
    if not isinstance(answer, dict):
        return False
    names = [answer.get(key) for key in ("truth", READER, EXAMPLES_ALONE, TOGETHER)]
    shots = SHOTS[place * len(SHOTS) // N_QUESTIONS]
    is_asked_so = type(answer.get("shots")) is int and answer["shots"] == shots
    return is_asked_so and all(isinstance(name, str) for name in names)


def set_aside(file: Path) -> Path:
    """Rename a file, so that its name is free. Returns its new path, which nothing had before."""
    names = (file.with_name(f"{file.name}.aside-{number}") for number in itertools.count(1))
    aside = next(path for path in names if not os.path.lexists(path))
    with explain_write_errors(file):
        return file.rename(aside)


def save_answers(file: Path, seed: int, answers: list[dict]) -> None:
    """Save answers, whole or not at all."""
    content = {"version": VERSION, "seed": seed, "answers": answers}
    write_file(file, json.dumps(content, indent=1))


def merge_answers(files: Iterable[str | Path] | None = None) -> Tally:
    """Count the right answers of several readers together, and those of CLIP.

    files: by default all in `cache_dir()/quiz`. Put the files that other readers send you there.
    Answers of another version do not count. Raises ValueError, naming the file, for one that holds
    something else.
    """
    paths = sorted((cache_dir() / "quiz").glob("*.json")) if files is None else map(Path, files)
    contents = [read_answers(path) for path in paths]
    return count_answers(
        (content["seed"], content["answers"])
        for content in contents
        if content["version"] == VERSION
    )
