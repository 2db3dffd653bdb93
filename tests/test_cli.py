"""The command line as a newcomer uses it, on a small dataset of their own."""

import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from clipnb import RECIPES, __version__, cli


@pytest.fixture
def clipnb(small, recipe, monkeypatch, capsys):
    """Run a command line; return its exit message or code, and what it printed."""
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(recipe, epochs=2))

    def run(command):
        monkeypatch.setattr(sys, "argv", ["clipnb", *shlex.split(command)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().out

    return run


def test_train_evaluate_search(clipnb):
    code, printed = clipnb("train --recipe tiny --seed 1")
    assert code == 0
    assert "mean recall" in printed
    assert "chance" in printed
    code, printed = clipnb("evaluate --recipe tiny --seed 1 --split test")
    assert code == 0
    assert "image to text" in printed
    code, printed = clipnb("search 'a red dog' --recipe tiny --seed 1 -k 3")
    assert code == 0
    assert len(printed.splitlines()) == 3
    assert "test_" in printed
    _, printed = clipnb("search '' --recipe tiny --seed 1")
    assert printed.startswith("There is nothing to search for")


def test_ctrl_c_then_resume(clipnb, monkeypatch):
    from clipnb import training

    train_step, calls = training.train_step, []

    def count(*arguments):
        calls.append(1)
        return train_step(*arguments)

    def stop_at_the_fifth(*arguments):
        if len(calls) == 4:
            raise KeyboardInterrupt
        return count(*arguments)

    monkeypatch.setattr(training, "train_step", stop_at_the_fifth)
    code, printed = clipnb("train --recipe tiny")
    assert code == 130
    assert "1 of 2 epochs are kept" in printed
    assert "--resume" in printed
    code, _ = clipnb("evaluate --recipe tiny")
    assert "unfinished" in code
    monkeypatch.setattr(training, "train_step", count)
    assert clipnb("train --recipe tiny --resume")[0] == 0
    assert len(calls) == 4 + 3, "an epoch has three steps: the second epoch again, not the first"


def test_dataset_folder_and_record(clipnb, small_root, tmp_path, monkeypatch):
    shutil.copytree(small_root / "small", tmp_path / "elsewhere" / "copy")
    monkeypatch.delenv("CLIPNB_DATA")
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    options = f"--recipe tiny --dataset copy --data-dir '{tmp_path / 'elsewhere'}'"
    assert clipnb(f"train {options}")[0] == 0
    monkeypatch.delenv("CLIPNB_DATA")  # set by --data-dir, which must be enough
    code, printed = clipnb(f"evaluate {options} --record")
    assert code == 0
    assert (tmp_path / "results" / "runs" / "copy-tiny-0.json").exists()
    assert "copy-tiny-0.json" in printed


def test_trials_of_a_search_are_kept_with_their_dev_result_alone(clipnb, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    for rate in ("1e-3", "2e-3"):
        options = f"--set epochs=1 --set learning_rate={rate} --trial"
        code, printed = clipnb(f"train --recipe tiny {options}")
        assert code == 0
        assert "small.jsonl" in printed
    lines = (tmp_path / "results" / "trials" / "small.jsonl").read_text().splitlines()
    trials = [json.loads(line) for line in lines]
    assert [trial["recipe"]["learning_rate"] for trial in trials] == [1e-3, 2e-3]
    for trial in trials:
        assert trial["dev"]["mean_recall"] >= 0
        assert len(trial["history"]) == 1
        assert "test" not in trial


def test_all_experiments_run_except_those_without_data(clipnb, monkeypatch):
    from clipnb import experiments

    def record(name, seeds):
        if name == "two":
            raise FileNotFoundError("there is no flickr8k; download it")
        return f"results/claims/{name}.json of {seeds} seeds"

    monkeypatch.setattr(experiments, "record_experiment", record)
    monkeypatch.setattr(experiments, "EXPERIMENTS", dict.fromkeys(["one", "two", "three"]))
    code, printed = clipnb("experiment all --seeds 5")
    assert code == 0
    assert printed.splitlines() == [
        "wrote results/claims/one.json of 5 seeds",
        "left out two: there is no flickr8k; download it",
        "wrote results/claims/three.json of 5 seeds",
    ]
    assert "download it" in clipnb("experiment two")[0]


def test_changed_fields_make_another_run(clipnb):
    for command in ("train", "evaluate"):
        changes = "--set epochs=1 --set flip=false --set learning_rate=2e-3"
        code, printed = clipnb(f"{command} --recipe tiny {changes}")
        assert code == 0
        assert "1 epochs" in printed
    assert "Train one with" in clipnb("evaluate --recipe tiny")[0]


def test_k_below_one_is_refused(capsys):
    with pytest.raises(SystemExit):
        cli.build_parser().parse_args(["search", "a dog", "-k", "0"])
    assert "argument -k: must be at least 1" in capsys.readouterr().err


MISTAKES = {
    "train --recipe nope": "no recipe 'nope'; there are quick, baseline",
    "evaluate --recipe tiny": "Train one with",
    "train --recipe baseline": "download flickr8k",
    "experiment zero-shot": "no experiment 'zero-shot'; there are zero_shot",
    "train --recipe tiny --set epoch=3": "no field 'epoch'; there are name, dataset",
    "train --recipe tiny --set epochs=many": "epochs=many: expected something like 2",
    "train --recipe tiny --set flip=2": "flip=2: expected true or false",
    "train --recipe tiny --set loss=hinge": "loss 'hinge' is unknown; choose one of clip, siglip",
    "train --recipe tiny --set batch_size=500": (
        "batch_size 500 is larger than the 48 training images of small; choose 2 to 48"
    ),
}


@pytest.mark.parametrize("command", MISTAKES)
def test_mistakes_are_answered_in_a_line(clipnb, command):
    code, _ = clipnb(command)
    assert MISTAKES[command] in code
    assert "Traceback" not in code


def run_python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=os.environ, check=True
    ).stdout


@pytest.mark.parametrize("command", ["", "train", "evaluate", "search", "download", "experiment"])
def test_help_from_a_shell(command):
    printed = run_python("-m", "clipnb", *command.split(), "--help")
    assert printed.startswith(f"usage: clipnb {command}".strip())


def test_version_from_a_shell():
    assert run_python("-m", "clipnb", "--version").strip() == f"clipnb {__version__}"
