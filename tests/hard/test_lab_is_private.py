"""`make lab` keeps JupyterLab's defaults: it listens on this machine alone, and wants a token."""

import contextlib
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from lab import find_free_port

from clipnb.runtime import ROOT

PATHS = [
    "api/contents",
    "api/kernels",
    "api/sessions",
    "api/contents/README.md",
    "lab",
    "files/README.md",
]
NO_WIDER = ["--ip", "token", "password", "allow_remote", "allow_origin", "disable_check", "no-auth"]


def read_options():
    """Return the options that `make lab` gives to JupyterLab."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    words = shlex.split(re.search(r"jupyter-lab (.*)", text)[1])
    return [word for word in words if word.startswith("-")]


def test_its_command_opens_nothing():
    options = read_options()
    assert options
    for option in options:
        assert not any(name in option for name in NO_WIDER), option


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a JupyterLab that was started as `make lab` does, but without a browser."""
    folder, port = tmp_path_factory.mktemp("lab"), find_free_port()
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    environment = os.environ | {name: str(folder / name) for name in names}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", *read_options()]
    command += [f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **quiet) as server:
        try:
            wait_for(port, server)
            yield port
        finally:
            server.kill()


def wait_for(port, server):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise AssertionError("JupyterLab does not start")


def ask(port, path):
    """Ask without a token. Returns the status, and where the answer leads."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:  # noqa: S310
            return answer.status, answer.url
    except urllib.error.HTTPError as error:
        return error.code, error.url


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_nothing_is_told(port, path, record_property):
    status, address = ask(port, path)
    assert status == 403 or "/login" in address
    record_property("requests without the token", 1)


def test_it_listens_on_this_machine_alone(port):
    """The tables of Linux give the addresses that are listened on in hexadecimal."""
    own = f":{port:04X}"
    listened = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/net/{name}") as table:
            rows = [line.split() for line in table][1:]
            listened += [row[1] for row in rows if row[1].endswith(own) and row[3] == "0A"]
    if not listened:
        pytest.skip("this system does not tell the addresses")
    loopback = {"0100007F", "00000000000000000000000001000000"}
    assert {address.partition(":")[0] for address in listened} <= loopback
