"""The command line as a newcomer uses it, on a small dataset of their own."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import pytest

from clipnb import RECIPES, cli, report


@pytest.fixture
def clipnb(small, recipe, monkeypatch, capsys):
    """Run a command, return (exit message or code, what it printed)."""
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(recipe, epochs=2))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["clipnb", *arguments])
        try:
            cli.main()
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
    assert clipnb("search", "", "--recipe", "tiny", "--seed", "1")[1].startswith(
        "Nothing to search for"
    )


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
    monkeypatch.setattr(
        training, "train_step", lambda *arguments: calls.append(1) or step(*arguments)
    )
    assert clipnb("train", "--recipe", "tiny", "--resume")[0] == 0
    assert len(calls) == 5 + 3, "three steps an epoch: the second one again, not the first"


def test_dataset_folder_and_record(clipnb, small_root, tmp_path, monkeypatch):
    shutil.copytree(small_root / "small", tmp_path / "elsewhere" / "copy")
    monkeypatch.delenv("CLIPNB_DATA")
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    options = ["--recipe", "tiny", "--dataset", "copy", "--data-dir", str(tmp_path / "elsewhere")]
    assert clipnb("train", *options)[0] == 0
    monkeypatch.delenv("CLIPNB_DATA")  # set by --data-dir, which must be enough
    code, printed = clipnb("evaluate", *options, "--record")
    assert (
        code == 0
        and (tmp_path / "results" / "runs" / "copy-tiny-0.json").exists()
        and "copy-tiny-0.json" in printed
    )


def test_arms_of_a_search_are_kept_with_their_dev_result_alone(clipnb, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPNB_RESULTS", str(tmp_path / "results"))
    for rate in "1e-3", "2e-3":
        code, printed = clipnb(
            "train",
            "--recipe",
            "tiny",
            "--set",
            "epochs=1",
            "--set",
            f"learning_rate={rate}",
            "--trial",
        )
        assert code == 0 and "small.jsonl" in printed
    arms = [
        json.loads(line)
        for line in (tmp_path / "results" / "trials" / "small.jsonl").read_text().splitlines()
    ]
    assert [arm["recipe"]["learning_rate"] for arm in arms] == [1e-3, 2e-3]
    assert all(
        arm["dev"]["mean_recall"] >= 0 and len(arm["history"]) == 1 and "test" not in arm
        for arm in arms
    )


def test_all_experiments_but_those_without_data(clipnb, monkeypatch):
    from clipnb import experiments

    def record(name, seeds):
        if name == "two":
            raise FileNotFoundError("there is no flickr8k; download it")
        return f"results/claims/{name}.json of {seeds} seeds"

    monkeypatch.setattr(experiments, "record_experiment", record)
    monkeypatch.setattr(experiments, "EXPERIMENTS", dict.fromkeys(["one", "two", "three"]))
    code, printed = clipnb("experiment", "all", "--seeds", "5")
    assert code == 0 and [line.split(":")[0] for line in printed.splitlines()] == [
        "wrote results/claims/one.json of 5 seeds",
        "left out two",
        "wrote results/claims/three.json of 5 seeds",
    ]
    assert "download it" in clipnb("experiment", "two")[0]


def test_changed_fields_make_another_run(clipnb):
    for command in "train", "evaluate":
        code, printed = clipnb(
            command,
            "--recipe",
            "tiny",
            "--set",
            "epochs=1",
            "--set",
            "flip=false",
            "--set",
            "learning_rate=2e-3",
        )
        assert code == 0 and "1 epochs" in printed
    assert "Train one with" in clipnb("evaluate", "--recipe", "tiny")[0]


def test_k_below_one_is_refused(clipnb, capsys):
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["search", "a dog", "-k", "0"])
    assert "argument -k: must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "--recipe", "nope"], "no recipe 'nope'; there are quick, baseline"),
        (["evaluate", "--recipe", "tiny"], "Train one with"),
        (["train", "--recipe", "baseline"], "download flickr8k"),
        (["experiment", "zero-shot"], "no experiment 'zero-shot'; there are zero_shot"),
        (
            ["train", "--recipe", "tiny", "--set", "epoch=3"],
            "no field 'epoch'; there are name, dataset",
        ),
        (
            ["train", "--recipe", "tiny", "--set", "epochs=many"],
            "epochs=many: expected something like 2",
        ),
        (
            ["train", "--recipe", "tiny", "--set", "loss=hinge"],
            "loss 'hinge' is unknown; choose one of clip, siglip",
        ),
        (
            ["train", "--recipe", "tiny", "--set", "batch_size=500"],
            "batch_size 500 is larger than the 48 training images of small; choose 2 to 48",
        ),
    ],
)
def test_mistakes_are_answered_in_a_line(clipnb, arguments, message):
    code, _ = clipnb(*arguments)
    assert message in code and "Traceback" not in code


def test_help_from_a_shell():
    for command in [], ["train"], ["evaluate"], ["search"], ["download"], ["experiment"]:
        result = subprocess.run(
            [sys.executable, "-m", "clipnb", *command, "--help"], capture_output=True, text=True
        )
        assert result.returncode == 0 and "usage: python -m clipnb" in result.stdout


def test_importing_clipnb_costs_torch_alone():
    code = "import sys, clipnb; print([m for m in ('torchvision', 'open_clip', 'ipywidgets', 'matplotlib', 'tokenizers', 'PIL') if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert result.stdout.strip() == "[]"


def test_every_public_name_exists():
    import clipnb as package

    assert all(getattr(package, name) is not None for name in package.__all__)
