"""A hundred thousand tiny pictures: indexed in bounded memory, killed once, resumed."""

import json
import signal
import sys

import pytest
from doomed import start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells own memory")

N_PICTURES = 100_000
MOST_LOST = 400  # pictures that were read ahead, or of a batch that was not kept yet
MOST_PER_PICTURE = 2000  # bytes; the name, size, date and digest of each stay in memory


def write_pictures(folder, n):
    """Write n pictures of 8 x 8 pixels as BMP files. Each has bytes of its own."""
    side = 8
    size = 54 + 3 * side * side
    header = b"BM" + size.to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    header += (40).to_bytes(4, "little") + 2 * side.to_bytes(4, "little")
    header += b"\1\0\x18\0" + bytes(24)
    for i in range(n):
        if i % 1000 == 0:
            part = folder / f"{i // 1000:03d}"
            part.mkdir(parents=True)
        pixels = i.to_bytes(8, "little") + bytes((i * k) % 256 for k in range(3, 187))
        (part / f"{i:06d}.bmp").write_bytes(header + pixels)


def test_many_pictures_are_indexed_in_bounded_memory(tmp_path, record_property):
    folder, home = tmp_path / "pictures", tmp_path / "home"
    write_pictures(folder, N_PICTURES)
    answer = tmp_path / "answer.json"
    words = ["index_pictures", str(folder), str(answer)]
    killed = start(words, str(home), reads=True, at=N_PICTURES // 2, signal=signal.SIGKILL)
    assert killed == -signal.SIGKILL
    assert not answer.exists()
    assert start(words, str(home)) == 0
    found = json.loads(answer.read_text())
    assert found["images"] == N_PICTURES
    assert found["encoded"] == found["added"]
    assert N_PICTURES // 2 <= found["encoded"] <= N_PICTURES // 2 + MOST_LOST
    growth = found["most"] - found["first"]
    assert growth < MOST_PER_PICTURE * found["encoded"], f"{growth / 1e6:.0f} MB"
    record_property("pictures", N_PICTURES)
