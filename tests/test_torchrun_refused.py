"""`clipnb train` under torchrun: what is refused in one line before anything is written."""

import pytest
import torch
from torchrun_parts import DRAWING, check_refused, find_folder, start_torchrun

from clipnb.datasets import load_dataset
from clipnb.datasets.shard_files import write_shards

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* has only 20 dev images"),
    pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed"),
]

OTHER_SHARDS = """
import os
import sys
from clipnb.cli import main

if os.environ["RANK"] == "1":
    sys.argv = [option.replace("shards", "others") for option in sys.argv]
main()
"""


def test_processes_that_see_different_shards_are_refused(sharded, tmp_path):
    others = tmp_path / "others"
    write_shards(load_dataset("small", "train", 32), others, pairs_per_shard=10)
    program = tmp_path / "two_folders.py"
    program.write_text(OTHER_SHARDS)
    launcher = start_torchrun(
        tmp_path / "cache", dataset=sharded, program=[str(program)], **DRAWING
    )
    check_refused(
        launcher,
        "clipnb: process 1 has read other shards than process 0; give every machine the same "
        "dataset.",
    )
    assert find_folder(tmp_path / "cache") is None, "before anything is written"


def test_processes_that_do_not_divide_the_batch_are_refused(small_folder, tmp_path):
    launcher = start_torchrun(tmp_path, processes=2, batch_size=15)
    check_refused(
        launcher,
        "clipnb: batch_size 15 cannot be shared evenly by 2 processes; choose another "
        "--nproc-per-node, or --set batch_size=14.",
    )
    assert find_folder(tmp_path) is None, "before anything is written"


ON_A_DEVICE = """
import torch
from clipnb import distributed
from clipnb.cli import main

distributed.get_device = lambda: torch.device("DEVICE")
torch.cuda.device_count = lambda: 1
main()
"""


@pytest.mark.parametrize(
    "device, line",
    [
        ("mps", "several processes cannot share mps; set CLIPNB_DEVICE=cpu."),
        ("cuda", "each process needs a card of its own; set --nproc-per-node 1 or less."),
    ],
)
def test_a_device_that_the_processes_cannot_share_is_refused_once(
    small_folder, tmp_path, device, line
):
    """No device is needed. Before, every process said it."""
    program = tmp_path / "on_a_device.py"
    program.write_text(ON_A_DEVICE.replace("DEVICE", device))
    launcher = start_torchrun(tmp_path / "cache", program=[str(program)])
    check_refused(launcher, f"clipnb: {line}")
    assert find_folder(tmp_path / "cache") is None, "before anything is written"


OTHER_OPTIONS = """
import os
import sys
from clipnb.cli import main

if os.environ["RANK"] == "1":
    sys.argv += ["--set=epochs=1", "--seed=7", "--resume"]
main()
"""


def test_processes_with_other_options_are_refused(small_folder, tmp_path):
    """Each machine has a command of its own. Before, they trained different models together."""
    program = tmp_path / "two_commands.py"
    program.write_text(OTHER_OPTIONS)
    launcher = start_torchrun(tmp_path / "cache", program=[str(program)])
    check_refused(
        launcher,
        "clipnb: process 1 was started with other options than process 0 (epochs, seed, resume); "
        "give every machine the same command.",
    )
    assert find_folder(tmp_path / "cache") is None, "before anything is written"
