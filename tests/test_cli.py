"""The command line as a newcomer uses it, on a small dataset of their own."""

import dataclasses
import os
import subprocess
import sys

import pytest

from clipnb import RECIPES, __main__


@pytest.fixture
def clipnb(small, recipe, monkeypatch, capsys):
    """Run a command, return (exit message or code, what it printed)."""
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(recipe, epochs=2))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["clipnb", *arguments])
        try:
            __main__.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().out

    return run


def test_train_evaluate_search(clipnb):
    code, printed = clipnb("train", "--recipe", "tiny", "--seed", "1")
    assert code == 0 and "mean recall" in printed and "chance" in printed
    code, printed = clipnb("evaluate", "--recipe", "tiny", "--seed", "1", "--split", "test")
    assert code == 0 and "image to text" in printed
    code, printed = clipnb("search", "a red dog", "--recipe", "tiny", "--seed", "1", "-k", "3")
    assert code == 0 and len(printed.splitlines()) == 3 and "test_" in printed
    assert clipnb("search", "", "--recipe", "tiny", "--seed", "1")[1].startswith("Nothing to search for")


def test_ctrl_c_then_resume(clipnb, monkeypatch):
    import clipnb.training as training

    step, calls = training.train_step, []

    def stop_at_the_fifth(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(training, "train_step", stop_at_the_fifth)
    code, printed = clipnb("train", "--recipe", "tiny")
    assert code == 130 and "1 of 2 epochs are kept" in printed and "--resume" in printed
    code, _ = clipnb("evaluate", "--recipe", "tiny")
    assert "unfinished" in code
    monkeypatch.setattr(training, "train_step", step)
    assert clipnb("train", "--recipe", "tiny", "--resume")[0] == 0


@pytest.mark.parametrize("arguments, message", [
    (["train", "--recipe", "nope"], "no recipe 'nope'; there are quick, baseline"),
    (["evaluate", "--recipe", "tiny"], "Train one with"),
    (["train", "--recipe", "baseline"], "download flickr8k"),
])
def test_mistakes_are_answered_in_a_line(clipnb, arguments, message):
    code, _ = clipnb(*arguments)
    assert message in code and "Traceback" not in code


def test_help_from_a_shell():
    for command in [], ["train"], ["evaluate"], ["search"], ["download"]:
        result = subprocess.run([sys.executable, "-m", "clipnb", *command, "--help"], capture_output=True, text=True)
        assert result.returncode == 0 and "usage: python -m clipnb" in result.stdout


def test_importing_clipnb_costs_torch_alone():
    code = "import sys, clipnb; print([m for m in ('torchvision', 'open_clip', 'ipywidgets', 'matplotlib', 'tokenizers', 'PIL') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert result.stdout.strip() == "[]"


def test_every_public_name_exists():
    import clipnb as package

    assert all(getattr(package, name) is not None for name in package.__all__)
