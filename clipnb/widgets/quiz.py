"""A quiz in which the reader is the subject: how much does one example teach you, and CLIP?

It tests the paper's Table 2 with animals that nobody has seen. It works by setting traits alone.
"""

import base64
import html

import ipywidgets

from clipnb.disk import explain_write_errors
from clipnb.runs import Run
from clipnb.runtime import display_path
from clipnb.widgets.accessible import LIVE, OWN_KEYS, make_helper
from clipnb.widgets.checks import check_run
from clipnb.widgets.closing import WholeWidget
from clipnb.widgets.images import format_image
from clipnb.widgets.quiz_answers import (
    NO_IDEA,
    READER,
    Question,
    Tally,
    answer_by_clip,
    count_answers,
    count_examples,
    draw_answers,
    make_quiz,
    tell_tally,
)
from clipnb.widgets.quiz_file import (
    answers_file,
    load_answers,
    open_answers,
    save_answers,
)

STYLE = """
.clipnb-quiz         { padding: 4px 2px; overflow: visible; }
.clipnb-quiz .widget-html-content
                     { line-height: 1.4; white-space: normal; overflow-wrap: anywhere;
                       color: var(--jp-ui-font-color1, #222); }
.clipnb-quiz > .widget-html, .clipnb-quiz > .widget-html > .widget-html-content
                     { width: 100%; min-width: 0; box-sizing: border-box; margin: 2px 0; }
.clipnb-quiz img     { max-width: 100%; height: auto; border-radius: 6px; }
.clipnb-species      { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr));
                       gap: 8px; }
.clipnb-species > div
                     { padding: 6px 8px; border: 1px solid var(--jp-border-color2, #ccc);
                       border-radius: 8px; }
.clipnb-species img  { margin: 4px 4px 0 0; }
.clipnb-asked        { display: flex; flex-flow: row wrap; gap: 6px 16px; overflow: visible;
                       align-items: flex-start; }
.clipnb-names        { display: flex; flex-flow: column; overflow: visible; }
.clipnb-names .jupyter-button
                     { width: 180px; }
.clipnb-quiz :focus-visible
                     { outline: 3px solid #e69f00; outline-offset: 1px; }
"""
ASKED_SIZE = 256  # pixels a side at which the picture in question is shown
EXAMPLE_SIZE = 84
DELETE, SURE = "Delete my answers", "Delete them: click once more"


class QuizWidget(WholeWidget):
    """Name animals of six invented species, and compare yourself with a CLIP.

    First there are only descriptions, then one example of each species as well, then two. Whether
    an answer was right is told at the end alone, because otherwise every answer would teach too.
    An interrupted quiz goes on where it was. The answers are in a file of the reader's own.

    All of it can be done from code: click `choices[i]`, or call `answer` with a name. run: the CLIP
    that gets the same pictures and descriptions. seed: decides species and pictures. reader: a name
    for the file, so that several readers can use one machine. `tally` holds the counts at the end.
    A file that is damaged, or of another quiz, is renamed, and the status says so. Raises TypeError
    for a run, a seed or a reader of another type.
    """

    def __init__(self, run: Run, seed: int = 0, reader: str = READER):
        super().__init__()
        check_run(run)
        self.quiz = make_quiz(seed)
        self.file = answers_file(reader, self.quiz.seed)
        self.clips = answer_by_clip(run, self.quiz)
        self.answers, note = open_answers(self.file, self.quiz.seed)
        self.tally: Tally = {}
        self.status, self.guide = ipywidgets.HTML(), ipywidgets.HTML()
        self.picture, self.result = ipywidgets.HTML(), ipywidgets.HTML()
        names = [*(each.name for each in self.quiz.species), NO_IDEA]
        self.choices = [ipywidgets.Button(description=name) for name in names]
        for button in self.choices:
            button.on_click(self._choose)
        self.forget = ipywidgets.Button(
            description=DELETE, layout={"width": "auto", "align_self": "flex-start"}
        )
        self.forget.on_click(self._forget)
        self.buttons = ipywidgets.Box(self.choices)
        self.asked = ipywidgets.Box([self.picture, self.buttons])
        self.buttons.add_class("clipnb-names")
        self.asked.add_class("clipnb-asked")
        self.status.add_class(LIVE)
        self.add_class("clipnb-quiz")
        self.add_class(OWN_KEYS)
        self.children = [
            make_helper(STYLE), self.status, self.asked, self.result, self.guide, self.forget
        ]  # fmt: skip
        self._show(note)

    def __repr__(self) -> str:  # the default one prints the children, pictures and all
        return f"QuizWidget({len(self.answers)} of {len(self.quiz.questions)} answers)"

    def answer(self, name: str) -> None:
        """Answer the question that is shown, save it, and show the next one.

        Raises ValueError for a name that is none of the choices, if the quiz is over, and if
        another widget has answered the question meanwhile; OSError if the answer cannot be saved.
        An answer that is refused does not count, and the widget shows the question that is due.
        """
        names = [button.description for button in self.choices]
        if name not in names:
            raise ValueError(f"no answer {name!r}; choose one of {', '.join(names)}.")
        number = len(self.answers)
        if number == len(self.quiz.questions):
            raise ValueError("the quiz is over; delete the answers to begin again.")
        self._check_file()
        question = self.quiz.questions[number]
        known = {"shots": question.shots, "truth": question.truth}
        answers = [*self.answers, known | {READER: name} | self.clips[number]]
        save_answers(self.file, self.quiz.seed, answers)
        self.answers = answers
        self._show()

    def _check_file(self) -> None:
        """Raise ValueError if the file has changed, and go on from the answers that it holds."""
        stored = load_answers(self.file, self.quiz.seed)
        if stored == self.answers:
            return
        self.answers = stored
        self._show()
        raise ValueError(
            f"{display_path(self.file)} was changed by another widget, so this click does not "
            "count; go on with what is shown now."
        )

    def _choose(self, button: ipywidgets.Button) -> None:
        try:
            self.answer(button.description)
        except (ValueError, OSError) as error:
            self._show(str(error))

    def _forget(self, button: ipywidgets.Button) -> None:
        """Delete the file and begin again, at the second click."""
        if self.forget.description == DELETE:
            self.forget.description = SURE
            return
        try:
            self._check_file()
            with explain_write_errors(self.file):
                self.file.unlink(missing_ok=True)
        except (ValueError, OSError) as error:
            self._show(str(error))
            return
        self.answers = []
        self._show()

    def _show(self, note: str = "") -> None:
        """Show the next question, or the result. note: a sentence that the status adds."""
        self.forget.description = DELETE
        self.forget.layout.display = None if self.answers else "none"
        number = len(self.answers)
        is_over = number == len(self.quiz.questions)
        self.asked.layout.display = "none" if is_over else None
        self.result.value = ""
        self.tally = {}
        if is_over:
            self._show_result()
        else:
            self._show_question(number)
        if note:
            self.status.value += f"<br>⚠ {html.escape(note)}"

    def _show_question(self, number: int) -> None:
        """Show a question, by its number from 0."""
        question = self.quiz.questions[number]
        self.picture.value = format_image(question.image, "an animal to be named", ASKED_SIZE)
        self.guide.value = self._format_guide(question)
        self.status.value = (
            f"<b>Question {number + 1} of {len(self.quiz.questions)}, with "
            f"{count_examples(question.shots)}: which species is it?</b><br>Your answers stay on "
            f"this machine, in {html.escape(str(display_path(self.file)))}; nothing is sent."
        )

    def _show_result(self) -> None:
        """Show the figure and the counts of this reader and of CLIP."""
        self.tally = count_answers([(self.quiz.seed, self.answers)])
        lines = [html.escape(line) for line in tell_tally(self.tally)]
        encoded = base64.b64encode(draw_answers(self.tally).encode()).decode()
        text = html.escape("; ".join(tell_tally(self.tally)), quote=True)
        self.status.value = "<b>The quiz is over.</b> Below is what you and CLIP knew."
        self.result.value = (
            f'<img src="data:image/svg+xml;base64,{encoded}" alt="{text}" width="560">'
            f"<p>{'<br>'.join(lines)}</p>"
        )
        self.guide.value = self._format_guide(self.quiz.questions[-1])

    def _format_guide(self, question: Question) -> str:
        """Format what is known of the species: descriptions, and as many examples as are due."""
        cards = []
        for species in self.quiz.species:
            seen = self.quiz.examples[species.name][: question.shots]
            pictures = [format_image(each, f"a {species.name}", EXAMPLE_SIZE) for each in seen]
            cards.append(
                f"<div><b>{species.name}</b><br>often {species.description}<br>"
                f"{''.join(pictures)}</div>"
            )
        return f'<div class="clipnb-species">{"".join(cards)}</div>'
