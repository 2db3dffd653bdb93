"""The downloader against a local server that fails as servers and networks do."""

import errno
import io
import random
import shutil
import socket
import struct
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clipnb.datasets import download
from clipnb.datasets.download import DownloadError, download_flickr8k
from clipnb.datasets.folders import read_dataset_folder

NAMES = [f"{i}_x.jpg" for i in range(10)]


def zip_bytes(members):
    """Return a zip archive as bytes. members: list of (name or ZipInfo, content)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in members:
            packed.writestr(name, content)
    return file.getvalue()


def good_archives():
    """Return small archives: photos under their folder, texts flat, both with files of macOS."""
    rng = random.Random(0)
    photos = [  # never decoded here, so any bytes will do
        (f"Flicker8k_Dataset/{name}", rng.randbytes(40_000)) for name in NAMES
    ]
    captions = "".join(f"{name}#{k}\tA dog number {k} .\n" for name in NAMES for k in range(5))
    texts = [("Flickr8k.token.txt", captions)]
    for split, names in (("train", NAMES[:6]), ("dev", NAMES[6:8]), ("test", NAMES[8:])):
        texts.append((f"Flickr_8k.{split}Images.txt", "\n".join(names) + "\n"))
    photo_of_macos = ("__MACOSX/Flicker8k_Dataset/._0_x.jpg", "x")
    text_of_macos = ("__MACOSX/._readme.txt", "x")
    return {
        "/Flickr8k_Dataset.zip": zip_bytes([("Flicker8k_Dataset/", ""), *photos, photo_of_macos]),
        "/Flickr8k_text.zip": zip_bytes([*texts, text_of_macos]),
    }


class Server(ThreadingHTTPServer):
    """A server of `files`, which are bytes by path.

    etag: the version tag of every file.
    cut_after: the numbers of bytes after which the next responses end.
    reset: end them by a TCP reset.
    honour_range: whether requests for a range work.
    wrong_range: answer the first request for a range with another one.
    busy: how many requests to turn away with 503.
    requests: (path, range) of each request so far.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self.files = good_archives()
        self.etag = '"v1"'
        self.cut_after = []
        self.reset = False
        self.honour_range = True
        self.wrong_range = False
        self.busy = 0
        self.requests = []
        self.bytes_sent = 0


class Handler(BaseHTTPRequestHandler):
    """What `Server` does with a request."""

    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append((self.path, wanted))
        if server.busy:
            server.busy -= 1
            return self.send_error(503)
        if self.path not in server.files:
            return self.send_error(404)
        content = server.files[self.path]
        unchanged = self.headers.get("If-Range") in (None, server.etag)
        if not (wanted and server.honour_range and unchanged):
            self.send_response(200)
            return self.send_body(content)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if server.wrong_range:
            start, server.wrong_range = 7, False
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            return self.end_headers()
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        return self.send_body(content[start:])

    def send_body(self, body):
        server = self.server
        self.send_header("Content-Length", len(body))
        self.send_header("ETag", server.etag)
        self.end_headers()
        is_cut = bool(server.cut_after)
        sent = body[: server.cut_after.pop(0)] if is_cut else body
        self.wfile.write(sent)
        server.bytes_sent += len(sent)
        if is_cut and server.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("TQDM_DISABLE", "0")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    server = Server()
    options = {"poll_interval": 0.01}
    thread = threading.Thread(target=server.serve_forever, kwargs=options, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def list_files(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in files)


def assert_complete(target):
    """Assert that exactly the dataset is in `target`: no archive, no .part, no files of macOS."""
    expected = [f"Flicker8k_Dataset/{name}" for name in NAMES]
    expected += [f"Flickr8k_text/Flickr_8k.{split}Images.txt" for split in ("dev", "test", "train")]
    expected += ["Flickr8k_text/Flickr8k.token.txt"]
    assert list_files(target) == sorted(expected)
    assert len(read_dataset_folder(target).image_paths) == 10


# ---- download --------------------------------------------------------------------------------


def test_whole(server, tmp_path, capsys):
    download_flickr8k(tmp_path / "flickr8k", server.url)
    assert_complete(tmp_path / "flickr8k")
    printed = capsys.readouterr().out
    assert "Hodosh" in printed
    assert "research" in printed
    assert "10 images (6 train, 2 dev, 2 test" in printed


def test_second_call_does_nothing(server, tmp_path, capsys):
    download_flickr8k(tmp_path, server.url)
    n_requests = len(server.requests)
    capsys.readouterr()
    download_flickr8k(tmp_path, server.url)
    assert len(server.requests) == n_requests
    assert "already complete" in capsys.readouterr().out


def test_early_end_is_resumed_by_the_same_call(server, tmp_path):
    server.cut_after = [100_000, 150_000]
    download_flickr8k(tmp_path, server.url)
    assert_complete(tmp_path)
    ranges = [wanted for _, wanted in server.requests[:3]]
    assert ranges == [None, "bytes=100000-", "bytes=250000-"]
    assert server.bytes_sent == sum(len(content) for content in server.files.values())  # none twice


def test_connection_reset_in_the_middle(server, tmp_path):
    server.cut_after = [100_000, 100_000]
    server.reset = True
    download_flickr8k(tmp_path, server.url)
    assert_complete(tmp_path)


def test_interrupted_then_resumed_by_the_next_call(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    server.cut_after = [300_000]
    with pytest.raises(DownloadError, match="run the same command again"):
        download_flickr8k(tmp_path, server.url)
    assert (tmp_path / "Flickr8k_Dataset.zip.part").stat().st_size == 300_000
    download_flickr8k(tmp_path, server.url)
    assert server.requests[1] == ("/Flickr8k_Dataset.zip", "bytes=300000-")
    assert server.bytes_sent < 2 * len(server.files["/Flickr8k_Dataset.zip"])
    assert_complete(tmp_path)


class InterruptedFile(io.FileIO):
    """A file during whose first write the reader presses Ctrl-C."""

    def write(self, block):
        super().write(block)
        raise KeyboardInterrupt


def test_ctrl_c_keeps_what_has_arrived(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(download, "open", InterruptedFile, raising=False)
        with pytest.raises(KeyboardInterrupt):
            download_flickr8k(tmp_path, server.url)
    have = (tmp_path / "Flickr8k_Dataset.zip.part").stat().st_size
    download_flickr8k(tmp_path, server.url)
    assert have > 0
    assert server.requests[1][1] == f"bytes={have}-"
    assert_complete(tmp_path)


@pytest.mark.parametrize("change", ["ranges are ignored", "the file has changed"])
def test_starts_anew_when_it_cannot_resume(server, tmp_path, change):
    (tmp_path / "Flickr8k_Dataset.zip.part").write_bytes(b"x" * 50_000)
    (tmp_path / "Flickr8k_Dataset.zip.part.etag").write_text('"v0"')
    server.honour_range = change != "ranges are ignored"
    download_flickr8k(tmp_path, server.url)
    assert server.requests[0][1] == "bytes=50000-"
    assert_complete(tmp_path)


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.busy = 2
    download_flickr8k(tmp_path, server.url)
    assert_complete(tmp_path)


def test_another_range_than_asked_for_is_not_appended(server, tmp_path):
    beginning = server.files["/Flickr8k_Dataset.zip"][:1000]
    (tmp_path / "Flickr8k_Dataset.zip.part").write_bytes(beginning)
    server.wrong_range = True
    download_flickr8k(tmp_path, server.url)
    assert_complete(tmp_path)


def test_part_file_that_was_already_whole(server, tmp_path):
    (tmp_path / "Flickr8k_Dataset.zip.part").write_bytes(server.files["/Flickr8k_Dataset.zip"])
    download_flickr8k(tmp_path, server.url)
    assert_complete(tmp_path)
    assert server.bytes_sent == len(server.files["/Flickr8k_text.zip"])


def test_part_file_longer_than_the_file(server, tmp_path):
    (tmp_path / "Flickr8k_text.zip.part").write_bytes(b"x" * 1_000_000)
    download_flickr8k(tmp_path, server.url)
    assert_complete(tmp_path)


def test_404_is_said_at_once(server, tmp_path):
    server.files = {}
    with pytest.raises(DownloadError, match="404 .* may have moved: look for Flickr8k_Dataset.zip"):
        download_flickr8k(tmp_path, server.url)
    assert len(server.requests) == 1
    assert list_files(tmp_path) == []


def test_404_of_another_file_says_nothing_of_flickr8k(server, tmp_path):
    with pytest.raises(DownloadError) as caught:
        download.fetch(f"{server.url}models/ViT-B-32.pt", tmp_path / "ViT-B-32.pt.unchecked")
    assert f"look for ViT-B-32.pt elsewhere and put it into {tmp_path}," in str(caught.value)
    assert "Flickr8k" not in str(caught.value)


def test_no_server_at_all(server, tmp_path):
    with pytest.raises(DownloadError, match="the connection failed .* run the same command again"):
        download_flickr8k(tmp_path, "http://127.0.0.1:1/")


class FullDisk(io.FileIO):
    """A file on a disk with room for 100,000 bytes."""

    def write(self, block):
        room = 100_000 - self.tell()
        if len(block) > room:
            super().write(block[:room])
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(block)


def test_disk_full_while_downloading(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(download, "open", FullDisk, raising=False)
        with pytest.raises(DownloadError, match="disk is full.*1.1 GB.*make room"):
            download_flickr8k(tmp_path, server.url)
    assert (tmp_path / "Flickr8k_Dataset.zip.part").stat().st_size == 100_000
    download_flickr8k(tmp_path, server.url)
    assert server.requests[1][1] == "bytes=100000-"
    assert_complete(tmp_path)


def test_target_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot write to .*--data-dir"):
        download_flickr8k(tmp_path / "file", server.url)
    with pytest.raises(NotADirectoryError, match="file is a file, not a folder. Choose another"):
        download_flickr8k(tmp_path / "file" / "flickr8k", server.url)


# ---- unpack ----------------------------------------------------------------------------------


def flip_byte(content):
    """Return the archive with one byte changed in the middle of a photo."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def cut_off(content):
    return content[:-5000]


def replace_by_page(content):
    return b"<html>Please log in</html>"


@pytest.mark.parametrize("damage", [flip_byte, cut_off, replace_by_page])
def test_damaged_archive_is_deleted(server, tmp_path, damage):
    server.files["/Flickr8k_Dataset.zip"] = damage(server.files["/Flickr8k_Dataset.zip"])
    with pytest.raises(DownloadError, match="Flickr8k_Dataset.zip is damaged .* deleted"):
        download_flickr8k(tmp_path, server.url)
    assert list_files(tmp_path) == []
    server.files = good_archives()
    download_flickr8k(tmp_path, server.url)
    assert_complete(tmp_path)


def test_disk_full_while_unpacking_keeps_the_archive(server, tmp_path, monkeypatch):
    def full(source, file):
        file.write(b"something")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "copyfileobj", full)
        with pytest.raises(DownloadError, match="disk is full"):
            download_flickr8k(tmp_path, server.url)
    assert list_files(tmp_path) == ["Flickr8k_Dataset.zip"]
    download_flickr8k(tmp_path, server.url)
    fetched = [path for path, _ in server.requests]
    assert fetched == ["/Flickr8k_Dataset.zip", "/Flickr8k_text.zip"]  # neither of them twice
    assert_complete(tmp_path)


def link_member():
    """Make a symbolic link as zip archives store it: its mode says link, its content where to."""
    info = zipfile.ZipInfo("Flicker8k_Dataset/link.jpg")
    info.create_system = 3  # Unix
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    "member",
    [
        "../evil.txt",
        "Flicker8k_Dataset/../../evil.txt",
        "/evil.txt",
        "..\\evil.txt",
        "C:/evil.txt",
        "Flicker8k_Dataset/C:/evil.txt",
        link_member(),
    ],
    ids=str,
)
def test_no_member_may_leave_the_target(server, tmp_path, member):
    members = [("Flicker8k_Dataset/0_x.jpg", "fine"), (member, "/etc/passwd")]
    server.files["/Flickr8k_Dataset.zip"] = zip_bytes(members)
    with pytest.raises(DownloadError, match="outside of its folder|is a link"):
        download_flickr8k(tmp_path / "data" / "flickr8k", server.url)
    assert list_files(tmp_path) == []


def set_in_directory(content, place, value):
    """Change bytes of the first entry in the directory at the end of a zip archive."""
    start = content.index(b"PK\1\2") + place
    return content[:start] + value + content[start + len(value) :]


@pytest.mark.parametrize(
    "place, value, message",
    [
        (8, b"\1\0", "is encrypted"),
        (24, (2**32 - 2).to_bytes(4, "little"), "would take 4 GB"),  # it holds 100 bytes
        (16, b"\0\0\0\0", "is damaged .Bad CRC-32"),
        (24, b"\12\0\0\0", "is damaged"),  # it holds more than it claims
    ],
    ids=["encrypted", "a bomb", "a wrong CRC-32", "a hidden bomb"],
)
def test_an_archive_that_is_not_what_it_should_be(server, tmp_path, place, value, message):
    archive = zip_bytes([("Flicker8k_Dataset/0_x.jpg", "x" * 100)])
    server.files["/Flickr8k_Dataset.zip"] = set_in_directory(archive, place, value)
    with pytest.raises(DownloadError, match=message):
        download_flickr8k(tmp_path / "flickr8k", server.url)
    assert list_files(tmp_path) == []


def test_space_is_checked_before_anything_is_unpacked(server, tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(DownloadError, match="the disk is full"):
        download_flickr8k(tmp_path, server.url)
    assert list_files(tmp_path) == ["Flickr8k_Dataset.zip"]
