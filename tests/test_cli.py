"""The command line as a newcomer uses it, on a small dataset of their own."""

import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from clipnb import RECIPES, __version__, cli, create_model, recipes, runtime
from clipnb.commands.options import read_recipe_options
from clipnb.commands.training import EXAMPLES
from clipnb.objective import check_chunks

FOUND_OR_NOT = (0, 1)  # the exit status of a search, in which so small a model may find nothing


@pytest.fixture
def clipnb(small, recipe, monkeypatch, capsys):
    """Run a command line; return its exit status, or its message on stderr after an error.

    Also return what it printed.
    """
    monkeypatch.setitem(RECIPES, "tiny", dataclasses.replace(recipe, epochs=2))
    monkeypatch.setattr(recipes, "ENOUGH_IMAGES", 48)  # the recipe is used as it is

    def run(command):
        monkeypatch.setattr(sys, "argv", ["clipnb", *shlex.split(command)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        failed = stop.value.code == cli.FAILED
        return printed.err.removesuffix("\n") if failed else stop.value.code, printed.out

    return run


def test_train_evaluate_search(clipnb, small_root):
    code, printed = clipnb("train --recipe tiny --seed 1")
    assert code == 0
    assert "mean recall" in printed
    assert "chance" in printed
    code, printed = clipnb("evaluate --recipe tiny --seed 1 --split test")
    assert code == 0
    assert "image to text" in printed
    assert "only 20 images: the 95 % interval of the mean recall is" in printed
    code, printed = clipnb("search 'a red dog' --recipe tiny --seed 1 -k 3")
    assert code in FOUND_OR_NOT
    lines = printed.splitlines()
    assert len(lines) == 3
    for line in lines:
        score, path, caption = line.split("\t")
        assert -1 <= float(score) <= 1
        assert (small_root / "small" / "Images").samefile(os.path.dirname(path))
        assert len(caption.split()) > 1


def test_ctrl_c_then_resume(clipnb, monkeypatch, capsys):
    from clipnb import loop

    train_step, calls = loop.train_step, []

    def count(*arguments):
        calls.append(1)
        return train_step(*arguments)

    def stop_at_the_fifth(*arguments):
        if len(calls) == 4:
            raise KeyboardInterrupt
        return count(*arguments)

    monkeypatch.setattr(loop, "train_step", stop_at_the_fifth)
    code, printed = clipnb("train --recipe tiny")
    assert code == 130
    assert "1 of 2 epochs are kept" in printed
    assert "--resume" in printed
    code, _ = clipnb("evaluate --recipe tiny")
    assert "unfinished. Go on with it: clipnb train --recipe tiny --dataset small" in code
    assert code.endswith("--resume")
    monkeypatch.setattr(loop, "train_step", count)
    assert clipnb("train --recipe tiny --resume")[0] == 0
    assert len(calls) == 4 + 3, "an epoch has three steps: the second epoch again, not the first"
    with pytest.raises(SystemExit):
        cli.main()  # the same command again; `clipnb` would not show what it says on stderr
    assert len(calls) == 4 + 3, "a finished run is loaded"
    assert "This run is finished: leave --resume out" in capsys.readouterr().err


def test_the_command_that_goes_on_repeats_the_data_folder(
    clipnb, small_root, tmp_path, monkeypatch
):
    from clipnb import loop

    shutil.copytree(small_root / "small", tmp_path / "else where" / "copy")
    train_step, calls = loop.train_step, []

    def stop_at_the_fifth(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return train_step(*arguments)

    monkeypatch.setattr(loop, "train_step", stop_at_the_fifth)
    options = f"--recipe tiny --dataset copy --data-dir '{tmp_path / 'else where'}'"
    _, printed = clipnb(f"train {options}")
    (told,) = (line for line in printed.splitlines() if "goes on from there" in line)
    command = told.partition("python -m clipnb ")[2]
    message, _ = clipnb(f"evaluate {options}")
    assert message.endswith(f"Go on with it: clipnb {command}")
    monkeypatch.setenv("CLIPNB_DATA", str(tmp_path / "none"))
    assert clipnb(command)[0] == 0
    assert len(calls) == 8, "an epoch has three steps: the second epoch again, not the first"


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


def test_changed_fields_make_another_run(clipnb):
    for command in ("train", "evaluate"):
        changes = "--set epochs=1 --set flip=false --set learning_rate=2e-3"
        code, printed = clipnb(f"{command} --recipe tiny {changes}")
        assert code == 0
        assert "1 epochs" in printed
    message = clipnb("search 'a dog' --recipe tiny")[0]
    assert message.startswith(
        "clipnb: no run of --recipe tiny --dataset small --set epochs=2 --seed 0."
    )
    assert (
        "Train one with: clipnb train --recipe tiny --dataset small --set epochs=2 --seed 0\n"
        in message
    )
    options = "--recipe tiny --dataset small --set epochs=1 --set learning_rate=0.002"
    assert f"The finished runs are:\n  {options} --set flip=False --seed 0" in message
    assert clipnb(f"search 'a dog' {options} --set flip=False --seed 0")[0] in FOUND_OR_NOT


def test_a_recipe_is_fitted_to_a_small_folder_unless_its_fields_are_set(clipnb, monkeypatch):
    monkeypatch.setattr(recipes, "ENOUGH_IMAGES", 49)
    monkeypatch.setattr(recipes, "MOST_EPOCHS", 3)
    code, printed = clipnb("train --recipe tiny")
    assert code == 0
    assert printed.startswith(
        "small has 48 training images, so tiny takes batches of 12 instead of 16 and 3 epochs "
    )
    code, printed = clipnb("evaluate --recipe tiny")
    assert code == 0
    assert printed.startswith("Run(small, tiny, seed 0, 3 epochs)")
    assert "2 epochs" in clipnb("train --recipe tiny --set batch_size=16")[1]


def test_a_run_may_start_from_another(clipnb):
    assert clipnb("train --recipe tiny")[0] == 0
    for command in ("train", "evaluate", "search 'a dog'"):
        code, printed = clipnb(f"{command} --recipe tiny --seed 1 --init small-tiny-0")
        assert code in FOUND_OR_NOT
        assert "from small-tiny-0-" in printed or command.startswith("search")
    assert (
        "no run of --recipe tiny --dataset small --set epochs=2 --seed 1."
        in clipnb("evaluate --recipe tiny --seed 1")[0]
    )
    assert "no finished run 'nope'" in clipnb("train --recipe tiny --init nope")[0]
    missing = clipnb("evaluate --recipe tiny --seed 2 --init small-tiny-0")[0]
    options = "--recipe tiny --dataset small --set epochs=2"
    assert f"Train one with: clipnb train {options} --seed 2 --init " in missing
    assert f"{options} --seed 1 --init small-tiny-0-" in missing  # among the finished runs


def test_a_run_of_another_version_is_listed_by_its_name(clipnb):
    folder = runtime.cache_dir() / "runs" / "old"
    folder.mkdir(parents=True)
    old = {"seed": 0, "recipe": {"name": "old", "no_such_field": 1}}
    (folder / "recipe.json").write_text(json.dumps(old))
    (folder / "metrics.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    message = clipnb("evaluate --recipe tiny")[0]
    assert message.endswith("The finished runs are:\n  old (of another version of clipnb)")


def test_a_folder_whose_lists_have_no_train_is_refused(clipnb, small_root, tmp_path):
    shutil.copytree(small_root / "small", tmp_path / "own" / "copy")
    for path in (tmp_path / "own" / "copy" / "splits").glob("train*"):
        path.unlink()
    code, _ = clipnb(f"train --recipe tiny --dataset copy --data-dir {tmp_path / 'own'}")
    assert "copy has 0 training images; at least 2 are needed" in code


def test_a_warning_is_printed_in_one_line(clipnb, small_root, tmp_path, monkeypatch, capsys):
    shutil.copytree(small_root / "small", tmp_path / "own" / "copy")
    (tmp_path / "own" / "copy" / "Images" / "b.svg").write_text("")
    monkeypatch.setattr(cli, "print_warning", lambda message, *_: print("warned:", message))
    _, printed = clipnb(f"train --recipe tiny --dataset copy --data-dir {tmp_path / 'own'}")
    warned = [line for line in printed.splitlines() if line.startswith("warned:")]
    assert len(warned) == 2
    assert warned[0].startswith("warned: copy leaves out 1 image in an unreadable format")
    assert warned[1].startswith("warned: copy has only 20 dev images")


def test_a_message_without_stderr_goes_nowhere(monkeypatch, capsys):
    """After 2>&- Python has no stderr, and print would write to stdout."""
    monkeypatch.setattr(sys, "argv", ["clipnb", "search"])
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().out == ""


def test_k_below_one_is_refused(capsys):
    with pytest.raises(SystemExit):
        cli.build_parser().parse_args(["search", "a dog", "-k", "0"])
    assert "argument -k: must be at least 1" in capsys.readouterr().err


MISTAKES = {
    "train --recipe nope": "no recipe 'nope'; there are quick, quick_words, baseline",
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


def test_the_help_tells_how_to_train_a_batch_larger_than_the_memory():
    line = next(line for line in EXAMPLES.splitlines() if "cache_gradients" in line)
    recipe = read_recipe_options(cli.build_parser().parse_args(shlex.split(line)[1:]))
    assert recipe.cache_gradients and 0 < recipe.chunk_size < recipe.batch_size
    check_chunks(create_model(recipe), recipe)  # its encoders can be chunked
