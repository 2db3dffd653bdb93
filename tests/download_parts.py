"""What the tests of the download share: small archives, and a server of them that fails."""

import io
import random
import socket
import struct
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clipnb.datasets import download

NAMES = [f"{i}_x.jpg" for i in range(10)]
# The whole dataset: no archive, no .part, no files of macOS.
WHOLE = sorted(
    [f"Flicker8k_Dataset/{name}" for name in NAMES]
    + [f"Flickr8k_text/Flickr_8k.{split}Images.txt" for split in ("dev", "test", "train")]
    + ["Flickr8k_text/Flickr8k.token.txt"]
)


def zip_bytes(members):
    """Return a zip archive as bytes. members: list of (name or ZipInfo, content)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in members:
            packed.writestr(name, content)
    return file.getvalue()


def make_archives():
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
    bytes_sent: the bytes of the bodies so far.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self.files = make_archives()
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
        server.bytes_sent += len(sent)  # before the client can see the end and read the count
        self.wfile.write(sent)
        if is_cut and server.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.close(self.connection.detach())

    def log_message(self, *args):
        pass


@pytest.fixture
def archive_server(monkeypatch):
    """A running `Server`, which the download asks without a pause."""
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
