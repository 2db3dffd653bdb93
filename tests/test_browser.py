"""A reader's visit, for real: notebook 05 runs in JupyterLab, in a browser.

A query and a click change the images.
"""

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

# JupyterLab takes cells that are not in view out of the page, and its question about news may
# cover them. Both are turned off.
LAB_SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
}
LAB_FOLDERS = {
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_RUNTIME_DIR": "runtime",
}
CHROMIUM_NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
CHROMIUM_SWITCHES = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# A function without arguments: the images of the hits as data URLs, as they are on the screen.
# An image that is not there yet is null.
READ_HITS = """
() => {
  const widget = document.querySelector('.clipnb-retrieval');
  const hits = [...widget.querySelectorAll('.clipnb-gallery .clipnb-hit')];
  return hits.map(hit => {
    const img = hit.querySelector('img');
    if (!img || !img.complete || !img.naturalWidth) return null;
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
    canvas.getContext('2d').drawImage(img, 0, 0);
    return canvas.toDataURL();
  });
}
"""
# Tells whether there are hits, all of them are on the screen, and they differ from `before`.
HITS_HAVE_CHANGED = f"""
before => {{
  const hits = ({READ_HITS})();
  return hits.length && !hits.includes(null) && hits.join() != before.join();
}}
"""
ERRORS = (
    "[data-mime-type='application/vnd.jupyter.error'], "
    "[data-mime-type='application/vnd.jupyter.stderr']"
)


# ---- Chromium --------------------------------------------------------------------------------


def find_chromium():
    """Return the path of a Chromium that starts, or None if there is none.

    It is `CHROMIUM_PATH`, or one on the PATH, or Playwright's own.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    candidates = [os.environ.get("CHROMIUM_PATH"), *map(shutil.which, CHROMIUM_NAMES), own]
    return next((path for path in candidates if path and starts(path)), None)


def starts(path):
    """Tell whether a browser starts. Some are only a hint how to install one."""
    try:
        result = subprocess.run([path, "--version"], capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return result.returncode == 0


@pytest.fixture
def chromium():
    path = find_chromium()
    if path is None:
        pytest.skip(
            "no Chromium here: install one, run `playwright install chromium`, or set CHROMIUM_PATH"
        )
    return path


# ---- JupyterLab ------------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path):
    """The address of notebook 05 in a JupyterLab of its own, on a copy of the course."""
    if not (ROOT / "notebooks" / NOTEBOOK).exists():
        pytest.skip(f"there is no {NOTEBOOK}")
    no_hidden_files = shutil.ignore_patterns(".*")
    for folder in ("notebooks", "figures"):
        shutil.copytree(ROOT / folder, tmp_path / "course" / folder, ignore=no_hidden_files)
    write_lab_settings(tmp_path / "settings")
    folders = {variable: str(tmp_path / name) for variable, name in LAB_FOLDERS.items()}
    port = find_free_port()
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
    log_path = tmp_path / "lab.log"
    with log_path.open("w") as log:
        server = subprocess.Popen(
            command, env=os.environ | folders, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_for_server(f"http://127.0.0.1:{port}/api?token={token}", server, log_path)
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/{NOTEBOOK}?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


def write_lab_settings(folder):
    for name, values in LAB_SETTINGS.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def find_free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for_server(address, server, log_path, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 (our own server)
            return
        time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start:\n{log_path.read_text()[-3000:]}")


# ---- the page --------------------------------------------------------------------------------


@pytest.fixture
def page(chromium, lab):
    """A browser's page that shows notebook 05."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_SWITCHES)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(lab, timeout=2 * MINUTES)
        yield page
        browser.close()


def run_all_cells(page):
    # Cells that are run before the kernel is ready are lost.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=2 * MINUTES)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()


def check_no_errors(page):
    errors = page.locator(ERRORS)
    assert not errors.count(), errors.first.inner_text()


def wait_for_other_hits(page, before):
    """Return the hits, as data URLs, once they are complete and differ from `before`."""
    page.wait_for_function(HITS_HAVE_CHANGED, arg=before, timeout=MINUTES)
    return page.evaluate(READ_HITS)


def type_query(page, widget, query, before):
    """Type a query. Returns the hits once they have changed."""
    widget.locator(".clipnb-query input").fill(query)
    widget.locator(".clipnb-status", has_text=query).wait_for(timeout=MINUTES)
    return wait_for_other_hits(page, before)


def test_a_reader_searches_in_notebook_05(page):
    run_all_cells(page)
    # On a first run the scenes are drawn and the model is trained before there is a widget.
    page.locator(f".clipnb-retrieval, {ERRORS}").first.wait_for(timeout=10 * MINUTES)
    check_no_errors(page)
    widget = page.locator(".clipnb-retrieval").first
    widget.scroll_into_view_if_needed()

    cars = type_query(page, widget, "a red car on the street", [])
    boats = type_query(page, widget, "a boat on the sea at night", cars)
    assert len(set(boats)) > 1, "all hits show the same image"

    last = widget.locator(".clipnb-hit").last
    last.hover()
    last.locator(".clipnb-pick").click()
    status = widget.locator(".clipnb-status")
    status.locator("img").wait_for(timeout=MINUTES)  # the status comes last, after all hits
    similar = wait_for_other_hits(page, boats)
    assert len(set(similar)) > 1, "all hits show the same image"
    assert "a boat" not in status.inner_text(), "the status still tells of the text"
    check_no_errors(page)
