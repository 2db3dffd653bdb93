"""The quiz on invented species: its pictures, CLIP's answers, the file of answers, the widget."""

import json
import random
import re

import numpy as np
import pytest
import torch
from quiz_parts import finish
from scipy import stats

from clipnb.runtime import cache_dir
from clipnb.scenes.species import CRESTS, TAILS, draw_animal, invent_species
from clipnb.widgets import quiz_answers
from clipnb.widgets.quiz import DELETE, QuizWidget
from clipnb.widgets.quiz_answers import (
    EXAMPLES_ALONE,
    NO_IDEA,
    READER,
    TOGETHER,
    exact_interval,
    make_quiz,
    plot_quiz,
    tell_tally,
)
from clipnb.widgets.quiz_file import answers_file, merge_answers

pytestmark = pytest.mark.usefixtures("drawn_once", "own_cache")
N_QUESTIONS = 54


# ---- the species -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_species_differ_and_no_trait_tells_one_alone(seed):
    species = invent_species(seed)
    assert len({each.name for each in species}) == len({each.name[0] for each in species}) == 6
    assert len({each.description for each in species}) == 6
    for body in ("round", "long"):
        own = [each for each in species if each.body == body]
        assert len({(each.crest, each.tail) for each in own}) == len(own) == 3
        assert len({each.crest for each in own}) == len({each.tail for each in own}) == 2
        for each in own:
            assert set(each.others) == {other.colour for other in own} - {each.colour}
            assert each.crest in CRESTS
            assert each.tail in TAILS


def test_a_seed_draws_the_same_animals_and_each_animal_differs():
    species = invent_species(0)[0]
    first, again = (np.asarray(draw_animal(species, random.Random(1))) for _ in range(2))
    assert first.shape == (128, 128, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != np.asarray(draw_animal(species, random.Random(2)))).mean() > 0.3


def test_a_quiz_asks_for_each_species_alike_and_shows_no_picture_twice():
    drawn = make_quiz(3)
    assert len(drawn.questions) == N_QUESTIONS
    assert [question.shots for question in drawn.questions] == [0] * 18 + [1] * 18 + [2] * 18
    for shots in range(3):
        asked = [question.truth for question in drawn.questions if question.shots == shots]
        assert all(asked.count(each.name) == 3 for each in drawn.species)
    pictures = [question.image for question in drawn.questions]
    pictures += [image for own in drawn.examples.values() for image in own]
    assert len({image.tobytes() for image in pictures}) == N_QUESTIONS + 12


# ---- CLIP ------------------------------------------------------------------------------------


def test_clip_names_by_words_then_by_the_nearest_examples(quiz_run, monkeypatch):
    drawn = make_quiz(0)
    names = [each.name for each in drawn.species]
    # Each species has a direction of its own, and the words point to the next species.
    words = torch.eye(6).roll(1, dims=0)
    truths = {q.image.tobytes(): q.truth for q in drawn.questions}
    truths |= {image.tobytes(): name for name, own in drawn.examples.items() for image in own}

    def encode(run, images):
        return torch.eye(6)[[names.index(truths[image.tobytes()]) for image in images]]

    monkeypatch.setattr(quiz_answers, "_encode", encode)
    monkeypatch.setattr(quiz_answers, "build_zero_shot_classifier", lambda *_: words.T)
    answers = quiz_answers.answer_by_clip(quiz_run, drawn)
    for question, answer in zip(drawn.questions, answers, strict=True):
        misled = names[(names.index(question.truth) + 1) % 6]
        if question.shots == 0:
            assert answer == {EXAMPLES_ALONE: misled, TOGETHER: misled}
        else:
            assert answer[EXAMPLES_ALONE] == question.truth
        if question.shots == 2:  # two examples against one misleading description
            assert answer[TOGETHER] == question.truth


# ---- the widget ------------------------------------------------------------------------------


def test_a_perfect_reader_scores_all_and_sees_the_figure(quiz_run):
    widget = QuizWidget(quiz_run)
    finish(widget)
    assert widget.tally[READER] == {0: (18, 18), 1: (18, 18), 2: (18, 18)}
    assert set(widget.tally) == {READER, EXAMPLES_ALONE, TOGETHER}
    assert "The quiz is over" in widget.status.value
    assert "data:image/svg+xml" in widget.result.value
    assert "18 of 18 (81 to 100 %) with one example" in widget.result.value
    assert widget.asked.layout.display == "none"
    with pytest.raises(ValueError, match="the quiz is over"):
        widget.answer(NO_IDEA)


def test_examples_appear_when_they_are_due_and_no_answer_is_told(quiz_run):
    widget = QuizWidget(quiz_run)
    counts = []
    for question in widget.quiz.questions:
        counts.append(widget.guide.value.count("<img"))
        shown = widget.status.value + widget.picture.value
        assert question.truth not in shown
        assert "right" not in shown
        widget.answer(NO_IDEA)
    assert counts == [0] * 18 + [6] * 18 + [12] * 18
    assert widget.tally[READER] == {0: (0, 18), 1: (0, 18), 2: (0, 18)}


def test_an_interrupted_quiz_goes_on_and_buttons_answer(quiz_run):
    first = QuizWidget(quiz_run)
    for button in first.choices[:5]:
        button.click()
    again = QuizWidget(quiz_run)
    assert repr(again) == f"QuizWidget(5 of {N_QUESTIONS} answers)"
    assert "Question 6 of 54, with no example" in again.status.value
    assert [each[READER] for each in again.answers] == [b.description for b in first.choices[:5]]
    assert again.file.name in again.status.value
    assert len(QuizWidget(quiz_run, reader="someone else").answers) == 0


def test_answers_are_deleted_at_the_second_click(quiz_run):
    widget = QuizWidget(quiz_run)
    assert widget.forget.layout.display == "none"
    widget.answer(NO_IDEA)
    widget.forget.click()
    assert widget.file.exists()
    widget.forget.click()
    assert not widget.file.exists()
    assert (widget.answers, widget.forget.description) == ([], DELETE)
    assert "Question 1 of 54" in widget.status.value


def test_an_unknown_answer_is_refused(quiz_run):
    with pytest.raises(ValueError, match="no answer 'dog'; choose one of"):
        QuizWidget(quiz_run).answer("dog")


# ---- several readers -------------------------------------------------------------------------


def test_readers_are_merged_and_clip_counts_once(quiz_run):
    finish(QuizWidget(quiz_run, reader="ada"))
    half = QuizWidget(quiz_run, reader="ben")
    for _ in range(20):
        half.answer(NO_IDEA)
    tally = merge_answers()
    assert tally[READER] == {0: (18, 36), 1: (18, 20), 2: (18, 18)}
    assert [n for _, n in tally[EXAMPLES_ALONE].values()] == [18, 18, 18]
    finish(QuizWidget(quiz_run, seed=1, reader="ada"))  # other species are other questions for CLIP
    assert [n for _, n in merge_answers()[EXAMPLES_ALONE].values()] == [36, 36, 36]
    assert merge_answers([answers_file("ben", 0)])[READER] == {0: (0, 18), 1: (0, 2)}


def test_answers_to_another_version_do_not_count(quiz_run):
    widget = QuizWidget(quiz_run)
    widget.answer(NO_IDEA)
    content = json.loads(widget.file.read_text()) | {"version": 0}
    widget.file.write_text(json.dumps(content))
    assert merge_answers() == {}
    assert QuizWidget(quiz_run).answers == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": 1}'])
def test_a_file_without_answers_is_named(content):
    file = answers_file("ada", 0)
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with pytest.raises(
        ValueError, match=r"ada-0\.json (is no JSON that can be read|holds no answers)"
    ):
        merge_answers()


def test_a_readers_name_makes_a_safe_file():
    assert answers_file(" Ada-1 ", 2) == cache_dir() / "quiz" / "Ada-1-2.json"
    assert answers_file("  ", 0).name == "reader-0.json"
    file = answers_file("../Ada Lovelace", 2)
    assert re.fullmatch("-Ada-Lovelace-[0-9a-f]{8}-2.json", file.name)
    assert file.parent == cache_dir() / "quiz"
    assert answers_file("Zoe A", 0) != answers_file("Zoe?A", 0)


def test_intervals_are_exact():
    low, high = exact_interval(9, 18)
    # Clopper-Pearson: 9 right answers or more have 2.5 % at the lower bound.
    assert stats.binom.sf(8, 18, low / 100) == pytest.approx(0.025)
    assert stats.binom.cdf(9, 18, high / 100) == pytest.approx(0.025)
    assert exact_interval(0, 18)[0] == 0


def test_the_figure_shows_what_the_tally_holds():
    from matplotlib.figure import Figure

    tally = {READER: {0: (9, 18), 1: (15, 18)}, TOGETHER: {0: (5, 18)}}
    ax = plot_quiz(tally, Figure().subplots())
    drawn = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    labels = ax.get_legend_handles_labels()[1]
    assert {READER, TOGETHER} <= set(labels)
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), [50, 100 * 15 / 18])
    assert "guessing" in drawn
    assert tell_tally(tally)[0].startswith("reader: 9 of 18 (26 to 74 %) with no example")
