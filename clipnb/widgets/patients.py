"""Patients by sliders: choose a learning rate and a warm-up, and see the curve of a short run.

It works by setting traits alone.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import ipywidgets

from clipnb.widgets.accessible import LIVE, make_helper
from clipnb.widgets.closing import WholeWidget

RATES = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2]
WARMUPS = [0.0, 0.05, 0.1, 0.25, 0.5]  # shares of the steps
LAST = 6  # the loss at the end is the mean of so many steps
STYLE = """
.clipnb-patients td, .clipnb-patients th { padding: 0 10px; text-align: right; }
.clipnb-patients .widget-html-content { color: var(--jp-ui-font-color1, #222); line-height: 1.4; }
.clipnb-patients svg { max-width: 100%; height: auto; }
"""
# The plot is 480 x 220 pixels, with room for the numbers of the axes around it.
SVG = (
    '<svg viewBox="-45 -15 540 280" width="540" role="img" aria-label="{label}" '
    'font-size="13" fill="none" stroke="currentColor">{lines}'
    '<path d="M0 0V220H480"/><g fill="currentColor" stroke="none">{texts}</g></svg>'
)
LINE = '<polyline points="{points}" stroke="{colour}" stroke-width="{width}" {more}/>'
TEXT = '<text x="{:.0f}" y="{:.0f}" text-anchor="{}">{}</text>'


ROW = "<tr><td>{:g}</td><td>{:.0f} %</td><td>{}</td><td>{:.0f} %</td></tr>"
TABLE = (
    "<table><caption>all runs so far</caption><thead><tr>"
    '<th scope="col">learning rate</th><th scope="col">warm-up</th>'
    '<th scope="col">loss at the end</th><th scope="col">recall on dev</th>'
    "</tr></thead>{}</table>"
)


class ShortRun(NamedTuple):
    """What a short run shows: its losses and scales step by step, its recall on dev in percent."""

    losses: list[float]
    scales: list[float]
    recall: float

    def finite_losses(self) -> list[float]:
        """Return the losses before the first one that is infinite or not a number."""
        for step, loss in enumerate(self.losses):
            if not math.isfinite(loss):
                return self.losses[:step]
        return self.losses

    def last_loss(self) -> str:
        """Format the mean of the last losses, or say that the run broke."""
        if len(self.finite_losses()) < len(self.losses):
            return "not a number"
        return f"{sum(self.losses[-LAST:]) / len(self.losses[-LAST:]):.2f}"


class PatientLab(WholeWidget):
    """A learning rate and a warm-up in, the loss curve of a short run out.

    train: makes the run. It is called with a learning rate and a warm-up, a share of the steps,
    and returns a `ShortRun`. A pair of settings is trained only once. guessing: the loss of a model
    that guesses, ln N, drawn for comparison. runs: those that are known, {(rate, warmup): run}.

    From code, set `rate.value` or `warmup.value`. `run` is the run of these settings, and `runs`
    holds all runs so far. The chosen run is drawn thick, and the others thin.
    """

    def __init__(
        self,
        train: Callable[[float, float], ShortRun],
        guessing: float,
        runs: dict[tuple[float, float], ShortRun] | None = None,
        rate: float = 2e-3,
        warmup: float = 0.25,
    ):
        super().__init__()
        self.train, self.guessing, self.runs = train, guessing, dict(runs or {})
        rates = [(f"{value:g}", value) for value in RATES]
        warmups = [(f"{100 * value:.0f} %", value) for value in WARMUPS]
        self.rate = self._make_slider("learning rate", rates, rate)
        self.warmup = self._make_slider("warm-up", warmups, warmup)
        self.status, self.curve = ipywidgets.HTML(), ipywidgets.HTML()
        self.add_class("clipnb-patients")
        self.status.add_class(LIVE)
        self.children = [make_helper(STYLE), self.rate, self.warmup, self.status, self.curve]
        self.update()

    def __repr__(self) -> str:
        return f"PatientLab({len(self.runs)} runs)"

    def _make_slider(self, name: str, options: list, value: float) -> ipywidgets.SelectionSlider:
        slider = ipywidgets.SelectionSlider(
            options=options,
            value=value,
            description=name,
            continuous_update=False,  # a run starts when the handle is let go
            style={"description_width": "100px"},
            layout={"width": "auto", "max_width": "480px"},
        )
        slider.observe(self.update, "value")
        return slider

    def update(self, change: dict | None = None) -> None:
        """Show the run of the chosen settings. Train it first if there is none."""
        settings = (self.rate.value, self.warmup.value)
        if settings not in self.runs:
            self.status.value = "Training …"
            try:
                self.runs[settings] = self.train(*settings)
            except Exception:
                self.status.value = "The run stopped with an error. Its settings are not kept."
                raise
        self.run = self.runs[settings]
        self.curve.value = self._draw() + self._format_runs()
        self.status.value = self._tell()

    def _tell(self) -> str:
        """Say in words how the chosen run went."""
        losses = self.run.finite_losses()
        if len(losses) < len(self.run.losses):
            return f"The loss of step {len(losses) + 1} is not a number any more: the run broke."
        return (
            f"First loss {losses[0]:.2f}, highest {max(losses):.2f}, mean of the last {LAST} "
            f"{self.run.last_loss()}. Scale at the end {self.run.scales[-1]:.1f}. "
            f"Recall on dev {self.run.recall:.0f} %."
        )

    def _format_runs(self) -> str:
        """Format all runs as a table, by learning rate and warm-up."""
        rows = [
            ROW.format(rate, 100 * warmup, run.last_loss(), run.recall)
            for (rate, warmup), run in sorted(self.runs.items(), key=lambda item: item[0])
        ]
        return TABLE.format("".join(rows))

    def _draw(self) -> str:
        """Draw all runs as SVG: the chosen one thick, and ln N as a dashed line."""
        n_steps = max(len(run.losses) for run in self.runs.values())
        highest = [max(run.finite_losses(), default=0) for run in self.runs.values()]
        top = max(self.guessing + 1, *highest)
        x_step = 480 / max(1, n_steps - 1)

        def height(loss: float) -> float:
            return 220 * (1 - loss / top)

        def draw_line(losses: list[float], colour: str, width: float, more: str = "") -> str:
            points = " ".join(f"{i * x_step:.1f},{height(y):.1f}" for i, y in enumerate(losses))
            return LINE.format(points=points, colour=colour, width=width, more=more)

        others = [run.finite_losses() for run in self.runs.values() if run is not self.run]
        lines = [draw_line(losses, "#888", 1) for losses in others]
        lines.append(
            draw_line([self.guessing] * n_steps, "currentColor", 1, 'stroke-dasharray="6 4"')
        )
        lines.append(draw_line(self.run.finite_losses(), "#0090d0", 3))
        ticks = range(0, int(top) + 1, 1 if top < 10 else 5)
        texts = [TEXT.format(-6, height(tick) + 4, "end", tick) for tick in ticks]
        texts.append(TEXT.format(478, height(self.guessing) - 5, "end", "guessing: ln N"))
        texts.append(TEXT.format(0, 238, "middle", 1) + TEXT.format(480, 238, "middle", n_steps))
        texts.append(TEXT.format(240, 252, "middle", "step") + TEXT.format(6, 0, "start", "loss"))
        ends = [f"{loss:.1f}" for loss in self.run.finite_losses()] or ["nothing"]
        label = f"Loss of {len(ends)} steps, from {ends[0]} to {ends[-1]}; guessing is "
        label += f"{self.guessing:.1f}"
        return SVG.format(label=label, lines="".join(lines), texts="".join(texts))
