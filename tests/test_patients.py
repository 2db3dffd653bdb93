"""The patients by sliders, driven by their traits as a browser would drive them."""

import math

import pytest

from clipnb.widgets.patients import PatientLab, ShortRun


def make_run(last):
    """Make a run of three steps that ends at a loss."""
    return ShortRun([4.2, 4.0, last], [14.3, 14.1, 14.0], 25.4)


@pytest.fixture
def calls():
    return []


@pytest.fixture
def lab(calls):
    def train(rate, warmup):
        calls.append((rate, warmup))
        return make_run(2.0 + 100 * rate)

    return PatientLab(train, math.log(64))


def test_it_starts_with_a_run(lab, calls):
    assert calls == [(2e-3, 0.25)]
    assert "First loss 4.20, highest 4.20" in lab.status.value
    assert "Recall on dev 25 %" in lab.status.value
    assert lab.curve.value.count("<polyline") == 2, "the run and ln N"


def test_a_known_run_is_not_trained_again(calls):
    known = {(2e-3, 0.25): make_run(2.5)}
    lab = PatientLab(lambda rate, warmup: calls.append((rate, warmup)), math.log(64), known)
    assert calls == []
    assert lab.run == known[2e-3, 0.25]


def test_a_slider_starts_a_run_once(lab, calls):
    lab.rate.value = 2e-2
    assert calls[-1] == (2e-2, 0.25)
    assert lab.run == make_run(4.0)
    assert lab.curve.value.count("<polyline") == 3, "the earlier run stays"
    lab.rate.value = 2e-3
    lab.warmup.value = 0.0
    lab.warmup.value = 0.25
    assert len(calls) == len(lab.runs) == 3


def test_the_curve_has_a_text_for_those_who_cannot_see_it(lab):
    assert 'role="img" aria-label="Loss of 3 steps, from 4.2 to 2.2' in lab.curve.value


def test_a_high_loss_stays_inside_the_plot(lab):
    lab.train = lambda rate, warmup: ShortRun([4.2, 80.0, 4.2], [14.3, 9.0, 8.0], 1.0)
    lab.rate.value = 5e-2
    assert ",-" not in lab.curve.value, "a point lies above the plot"


def test_a_run_that_breaks_is_drawn_up_to_there_and_said(calls):
    broken = ShortRun([4.2, 9.0, math.nan, math.inf], [14.3] * 4, 1.0)
    lab = PatientLab(lambda rate, warmup: broken, math.log(64))
    assert "The loss of step 3 is not a number any more" in lab.status.value
    assert "not a number" in lab.curve.value
    assert "nan" not in lab.curve.value and "inf" not in lab.curve.value


def test_an_error_while_training_is_said_and_the_next_run_works(lab):
    good = lab.train

    def fail(rate, warmup):
        raise RuntimeError("no memory")

    lab.train = fail
    with pytest.raises(RuntimeError):
        lab.rate.value = 5e-2
    assert "stopped with an error" in lab.status.value
    lab.train = good
    lab.rate.value = 1e-2
    assert "First loss" in lab.status.value


def test_a_table_lists_all_runs(lab):
    lab.warmup.value = 0.0
    assert lab.curve.value.count("<tr>") == 1 + 2
    assert "<td>0.002</td><td>0 %</td>" in lab.curve.value


def test_sliders_have_names(lab):
    assert lab.rate.description == "learning rate"
    assert lab.warmup.description == "warm-up"
    assert lab.rate.label == "0.002"
    assert lab.warmup.label == "25 %"


def test_its_repr_is_short(lab):
    assert repr(lab) == "PatientLab(1 runs)"
