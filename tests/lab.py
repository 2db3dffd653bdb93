"""A JupyterLab of its own on a copy of the course, and a browser that reads in it.

tests/test_browser_*.py look at the course with it, and figures/search.py records the search box.
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
from pathlib import Path

from clipnb.runtime import NOTEBOOK_ENV, ROOT

MINUTES = 60_000  # Playwright counts in milliseconds

# JupyterLab takes cells that are not in view out of the page, and its question about news may
# cover them. Both are turned off. Nothing is saved unless a test saves it.
LAB_SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
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
IDLE = "Python 3 (ipykernel) | Idle"
ERRORS = (
    "[data-mime-type='application/vnd.jupyter.error'], "
    "[data-mime-type='application/vnd.jupyter.stderr']"
)

# ---- Chromium --------------------------------------------------------------------------------


def find_chromium(playwright):
    """Return the path of a Chromium that starts, or None if there is none.

    It is `CHROMIUM_PATH`, or one on the PATH, or Playwright's own.
    """
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


def launch(playwright, path):
    """Start the Chromium at `path`."""
    return playwright.chromium.launch(executable_path=path, args=CHROMIUM_SWITCHES)


# ---- JupyterLab ------------------------------------------------------------------------------


class Lab:
    """A running JupyterLab. folder: the copy of the course that it serves."""

    def __init__(self, folder, port, token):
        self.folder = folder
        self.port = port
        self.token = token

    def address(self, path):
        """Return the address of the server, or of a page of it such as lab/tree/…"""
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def notebook(self, name):
        """Return the path of a notebook in the copy."""
        return self.folder / "notebooks" / f"{name}.ipynb"


@contextlib.contextmanager
def start_lab(folder, app="jupyterlab"):
    """Start a JupyterLab on a copy of notebooks/ and figures/ in `folder`, and stop it at the end.

    app: "notebook" starts the Notebook application in its place. Raises RuntimeError with its log
    if it does not start.
    """
    no_hidden_files = shutil.ignore_patterns(".*")
    for part in ("notebooks", "figures"):
        shutil.copytree(ROOT / part, folder / "course" / part, ignore=no_hidden_files)
    write_lab_settings(folder / "settings")
    folders = {variable: str(folder / name) for variable, name in LAB_FOLDERS.items()}
    paths = [str(ROOT), os.environ.get("PYTHONPATH")]
    python_path = {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    lab = Lab(folder / "course", find_free_port(), secrets.token_hex(16))
    command = [
        sys.executable,
        "-m",
        app,
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={lab.port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={lab.token}",
        f"--ServerApp.root_dir={lab.folder}",
    ]
    log_path = folder / "lab.log"
    with log_path.open("w") as log:
        server = subprocess.Popen(
            command,
            env=os.environ | NOTEBOOK_ENV | folders | python_path,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for_server(lab.address("api"), server, log_path)
        yield lab
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


def write_lab_settings(folder):
    for name, values in LAB_SETTINGS.items():
        path = Path(folder) / "@jupyterlab" / f"{name}.jupyterlab-settings"
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
    raise RuntimeError(f"JupyterLab did not start:\n{log_path.read_text()[-3000:]}")


# ---- a page ----------------------------------------------------------------------------------


def open_notebook(browser, lab, name, width=1400, height=1000):
    """Open a notebook in a new page, and wait until its kernel can be used."""
    page = browser.new_page(viewport={"width": width, "height": height})
    address = lab.address(f"lab/tree/notebooks/{name}.ipynb")
    page.goto(f"{address}&reset", timeout=2 * MINUTES)  # without what was open before
    page.get_by_text(IDLE).wait_for(timeout=2 * MINUTES)  # what runs before is lost
    return page


def close_notebook(page):
    """Stop the page's kernel, so that it does not slow down the next one, and close the page."""
    page.evaluate(
        """async () => {
          const config = JSON.parse(document.getElementById('jupyter-config-data').textContent);
          const api = config.baseUrl + 'api/sessions';
          const headers = {Authorization: 'token ' + config.token};
          const xsrf = document.cookie.match(/_xsrf=([^;]*)/);
          if (xsrf) headers['X-XSRFToken'] = xsrf[1];
          for (const session of await (await fetch(api, {headers})).json())
            await fetch(`${api}/${session.id}`, {method: 'DELETE', headers});
        }"""
    )
    page.close()


def choose(page, menu, command):
    """Choose a command in one of JupyterLab's menus."""
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.locator(f'.lm-Menu-item[data-command="{command}"]').click()


def run_all_cells(page):
    """Start all cells of the notebook; it does not wait for them."""
    choose(page, "Run", "runmenu:run-all")


def wait_until_run(page, minutes=10):
    """Wait until no cell of the notebook is running or waits for its turn."""
    page.wait_for_function(
        "() => ![...document.querySelectorAll('.jp-Notebook .jp-InputPrompt')]"
        ".some(prompt => prompt.textContent.includes('*'))",
        timeout=minutes * MINUTES,
    )
    page.get_by_text(IDLE).wait_for(timeout=MINUTES)
