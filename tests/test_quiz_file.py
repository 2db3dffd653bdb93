"""The file of a reader's answers: no click, no fault and no other reader overwrites an answer."""

import errno
import json
import os
from pathlib import Path

import pytest
from bad_parts import check_message

from clipnb.widgets import quiz
from clipnb.widgets.quiz import QuizWidget
from clipnb.widgets.quiz_answers import (
    EXAMPLES_ALONE,
    N_QUESTIONS,
    NO_IDEA,
    READER,
    TOGETHER,
    make_quiz,
)
from clipnb.widgets.quiz_file import answers_file, merge_answers

pytestmark = pytest.mark.usefixtures("drawn_once", "own_cache")


@pytest.fixture(autouse=True)
def quick_clip(monkeypatch):
    """A CLIP that answers at once. What it says does not matter here."""
    answer = {EXAMPLES_ALONE: NO_IDEA, TOGETHER: NO_IDEA}
    monkeypatch.setattr(quiz, "answer_by_clip", lambda run, drawn: [answer] * N_QUESTIONS)


@pytest.fixture
def content(drawn_once):
    """The content of a whole file of right answers."""
    answers = [
        {"shots": question.shots, "truth": question.truth, READER: question.truth}
        | {EXAMPLES_ALONE: NO_IDEA, TOGETHER: NO_IDEA}
        for question in quiz.make_quiz(0).questions
    ]
    return {"version": 1, "seed": 0, "answers": answers}


@pytest.fixture
def file():
    """The path of the file of answers, in a folder that is there."""
    file = answers_file(READER, 0)
    file.parent.mkdir(parents=True)
    return file


def change_answer(content, place, **changes):
    answers = list(content["answers"])
    answers[place] = answers[place] | changes
    return content | {"answers": answers}


def without(part, name):
    return {key: value for key, value in part.items() if key != name}


# ---- several widgets, and faults of the disk ---------------------------------------------------


def test_two_widgets_of_a_reader_lose_no_answer(quiz_run):
    first, second = QuizWidget(quiz_run), QuizWidget(quiz_run)
    for button in first.choices[:3]:
        button.click()
    second.choices[6].click()
    assert len(json.loads(first.file.read_text())["answers"]) == 3
    assert "Question 4 of 54" in second.status.value
    assert "changed by another widget, so this click does not count" in second.status.value
    second.choices[6].click()
    answers = json.loads(first.file.read_text())["answers"]
    assert [each[READER] for each in answers] == [
        *(button.description for button in first.choices[:3]),
        NO_IDEA,
    ]
    with pytest.raises(ValueError, match="changed by another widget"):
        first.answer(NO_IDEA)
    assert first.answers == answers


def test_answers_of_another_widget_are_not_deleted(quiz_run):
    first, second = QuizWidget(quiz_run), QuizWidget(quiz_run)
    first.answer(NO_IDEA)
    second.forget.click()
    second.forget.click()
    assert first.file.exists()
    assert "does not count" in second.status.value


def test_an_answer_that_cannot_be_saved_does_not_count(quiz_run, monkeypatch):
    def fail(*_):
        raise OSError("the disk <is> full.")

    widget = QuizWidget(quiz_run)
    monkeypatch.setattr(quiz, "save_answers", fail)
    widget.choices[0].click()
    assert widget.answers == []
    assert widget.status.value.startswith("<b>Question 1 of 54")
    assert widget.status.value.endswith("<br>⚠ the disk &lt;is&gt; full.")
    with pytest.raises(OSError, match="full"):
        widget.answer(NO_IDEA)
    monkeypatch.undo()
    widget.choices[0].click()
    assert widget.status.value.startswith("<b>Question 2 of 54")
    assert "⚠" not in widget.status.value


# ---- files that hold something else ------------------------------------------------------------

OTHERS = {
    "another version": (lambda content: content | {"version": 2}, "quiz of version 2, not 1"),
    "another seed": (lambda content: content | {"seed": 5}, "quiz of seed 5, not 0"),
}
DAMAGED = {
    "a list": (lambda content: [1], "it has no version"),
    "no version": (lambda content: without(content, "version"), "it has no version"),
    "no seed": (lambda content: without(content, "seed"), "it has no seed"),
    "a list as seed": (lambda content: content | {"seed": [1]}, "it has no seed"),
    "no answers": (lambda content: content | {"answers": None}, "no list of at most 54"),
    "a text": (lambda content: content | {"answers": "abc"}, "no list of at most 54"),
    "too many": (
        lambda content: content | {"answers": content["answers"] * 2},
        "no list of at most 54 answers",
    ),
    "numbers": (lambda content: content | {"answers": [1]}, "its answer 1 is damaged"),
    "many examples": (lambda content: change_answer(content, 53, shots=7), "its answer 54 is"),
    "a text of examples": (lambda content: change_answer(content, 0, shots="0"), "its answer 1 is"),
    "no reader": (
        lambda content: content | {"answers": [without(content["answers"][0], READER)]},
        "its answer 1 is damaged",
    ),
    "a number for a name": (lambda content: change_answer(content, 2, truth=3), "its answer 3 is"),
}


@pytest.mark.parametrize("case", OTHERS | DAMAGED)
def test_a_file_of_something_else_is_set_aside(quiz_run, content, file, case):
    change, message = (OTHERS | DAMAGED)[case]
    changed = json.dumps(change(content))
    file.write_text(changed)
    widget = QuizWidget(quiz_run)
    assert file.with_name("reader-0.json.aside-1").read_text() == changed
    assert widget.answers == []
    assert message in widget.status.value
    assert "set aside as reader-0.json.aside-1; the quiz begins anew." in widget.status.value
    widget.answer(NO_IDEA)
    assert "⚠" not in widget.status.value
    assert len(json.loads(file.read_text())["answers"]) == 1


def test_a_whole_file_is_kept_and_counted(quiz_run, content, file):
    file.write_text(json.dumps(content))
    widget = QuizWidget(quiz_run)
    assert widget.answers == content["answers"]
    assert widget.tally == merge_answers()
    assert widget.tally[READER] == {0: (18, 18), 1: (18, 18), 2: (18, 18)}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_not_counted(content, file, case):
    change, message = DAMAGED[case]
    file.write_text(json.dumps(change(content)))
    with pytest.raises(ValueError) as error:
        merge_answers()
    check_message(error, "reader-0.json holds no answers of the quiz: ", message)


def test_a_folder_and_a_text_are_set_aside(quiz_run, file):
    file.mkdir()
    with pytest.raises(ValueError, match="reader-0.json is no file, so it holds no answers"):
        merge_answers()
    assert "reader-0.json is no file" in QuizWidget(quiz_run).status.value
    file.write_bytes(b"\xff\xfe\x00")
    assert "is no JSON that can be read" in QuizWidget(quiz_run).status.value
    names = {path.name for path in file.parent.iterdir()}
    assert names == {"reader-0.json.aside-1", "reader-0.json.aside-2"}


def test_a_file_that_changes_under_an_open_quiz_is_not_overwritten(quiz_run, content, file):
    widget = QuizWidget(quiz_run)
    newer = json.dumps(content | {"version": 2})
    widget.file.write_text(newer)
    widget.choices[0].click()
    assert "answers to a quiz of version 2, not 1." in widget.status.value
    assert widget.file.read_text() == newer


# ---- what makes no quiz ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, [1], 1.5, "x"])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(TypeError) as error:
        make_quiz(seed)
    check_message(error, "seed is a whole number, such as 6, not ")


@pytest.mark.parametrize("reader", [None, 3])
def test_a_reader_has_a_name(quiz_run, reader):
    with pytest.raises(TypeError) as error:
        QuizWidget(quiz_run, reader=reader)
    check_message(error, "the reader's name is a string, not ")


def test_a_quiz_needs_a_run():
    with pytest.raises(TypeError) as error:
        QuizWidget(None)
    check_message(error, "run is what load_run or load_pretrained returns, not None")


def test_a_file_that_cannot_be_moved_or_deleted_is_told(quiz_run, file, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(file))

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    widget = QuizWidget(quiz_run)
    widget.answer(NO_IDEA)
    widget.forget.click()
    widget.forget.click()
    assert "read-only" in widget.status.value and "Errno" not in widget.status.value
    file.write_text("damaged")
    with pytest.raises(OSError, match="read-only.*CLIPNB_CACHE"):
        QuizWidget(quiz_run)
