"""A reader's visit, for real: JupyterLab starts, notebook 05 runs in a browser, a query and a click change the images."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from clipnb.runtime import ROOT

NOTEBOOK = "05_retrieval_demo.ipynb"
MINUTES = 60_000  # Playwright counts in milliseconds
# Every cell stays in the page (JupyterLab takes those out that are not in view), and no question about news covers it.
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
}
# What a reader sees of the hits: each image as drawn, pixel by pixel; null for one that is not there yet.
HITS = """[...document.querySelector('.clipnb-retrieval').querySelectorAll('.clipnb-gallery .clipnb-hit')].map(hit => {
  const img = hit.querySelector('img'), canvas = document.createElement('canvas');
  if (!img || !img.complete || !img.naturalWidth) return null;
  [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
  canvas.getContext('2d').drawImage(img, 0, 0);
  return canvas.toDataURL();
})"""
FAILED = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"


def find_chromium():
    """The path of a Chromium that starts: `CHROMIUM_PATH`, one on the PATH, or Playwright's own; None if there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    with sync_api.sync_playwright() as playwright:
        candidates = [
            os.environ.get("CHROMIUM_PATH"),
            *map(shutil.which, names),
            playwright.chromium.executable_path,
        ]
    for path in filter(None, candidates):
        with contextlib.suppress(
            OSError, subprocess.SubprocessError
        ):  # some are only a hint how to install one
            if subprocess.run([path, "--version"], capture_output=True, timeout=30).returncode == 0:
                return path
    return None


@pytest.fixture
def chromium():
    path = find_chromium()
    if path is None:
        pytest.skip(
            "no Chromium here: install one, run `playwright install chromium`, or set CHROMIUM_PATH"
        )
    return path


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab that serves a copy of notebooks/, with settings of its own."""
    if not (ROOT / "notebooks" / NOTEBOOK).exists():
        pytest.skip(f"there is no {NOTEBOOK}")
    for folder in ("notebooks", "figures"):
        shutil.copytree(
            ROOT / folder, tmp_path / "course" / folder, ignore=shutil.ignore_patterns(".*")
        )
    for name, values in SETTINGS.items():
        path = tmp_path / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    folders = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={tmp_path / 'course'}",
    ]
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(
            command,
            env=os.environ | {key: str(tmp_path / name) for key, name in folders.items()},
            cwd=tmp_path,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api?token={token}", server, tmp_path / "lab.log")
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/{NOTEBOOK}?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_for(address, server, log, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(address, timeout=5).close()
        time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture
def page(chromium, lab):
    from playwright.sync_api import sync_playwright

    switches = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=switches)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(lab, timeout=2 * MINUTES)
        yield page
        browser.close()


def hits_other_than(page, before):
    """The hits, as data URLs, once all are drawn, there is at least one, and they differ from `before`."""
    ready = f"before => {{ const now = {HITS}; return now.length && !now.includes(null) && now.join() != before.join() }}"
    page.wait_for_function(ready, arg=before, timeout=MINUTES)
    return page.evaluate(HITS)


def ask(page, widget, query, before):
    """Type a query; the hits when they have changed."""
    widget.locator(".clipnb-query input").fill(query)
    widget.locator(".clipnb-status", has_text=query).wait_for(timeout=MINUTES)
    return hits_other_than(page, before)


def test_a_reader_searches_in_notebook_05(page):
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(
        timeout=2 * MINUTES
    )  # what is run earlier is lost
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()

    # On a first run the scenes are drawn and the model is trained before there is a widget.
    page.locator(f".clipnb-retrieval, {FAILED}").first.wait_for(timeout=10 * MINUTES)
    assert not page.locator(FAILED).count(), page.locator(FAILED).first.inner_text()
    widget = page.locator(".clipnb-retrieval").first
    widget.scroll_into_view_if_needed()

    cars = ask(page, widget, "a red car on the street", [])
    boats = ask(page, widget, "a boat on the sea at night", cars)
    assert len(set(boats)) > 1, "all hits show the same image"

    last = widget.locator(".clipnb-hit").last
    last.hover()
    last.locator(".clipnb-pick").click()
    widget.locator(".clipnb-status img").wait_for(
        timeout=MINUTES
    )  # the status comes last, when all hits are there
    similar = hits_other_than(page, boats)
    assert len(set(similar)) > 1
    assert "a boat" not in widget.locator(".clipnb-status").inner_text(), (
        "the status still tells of the text"
    )
    assert not page.locator(FAILED).count(), page.locator(FAILED).first.inner_text()
