"""The file of some published weights: a copy that is on this machine, or else a download."""

import hashlib
import os
import re
import urllib.error
import urllib.request
from pathlib import Path

from clipnb.datasets.download import fetch
from clipnb.disk import explain_write_errors
from clipnb.pretrained.sources import Source
from clipnb.run_lock import lock_path
from clipnb.runtime import display_path

TIMEOUT = 3.0  # seconds in which a server must answer at all


def fetch_weights(source: Source) -> Path:
    """Return the file of some published weights: a copy that is here already, else a download.

    Raises FileNotFoundError if there is neither, saying which file to fetch, how large it is and
    where to put it. Raises ValueError if a file has another checksum than the published one.
    """
    found = find_copy(source)
    return found or download(source)


def find_copy(source: Source) -> Path | None:
    """Find a copy of some published weights on this machine, and check it.

    It is looked for in the cache of clipnb, in that of openai/CLIP and open_clip, and in that of
    the Hugging Face Hub. Raises ValueError if it has another checksum than the published one.
    """
    from huggingface_hub import try_to_load_from_cache

    for name in filter(None, (source.url_name, *source.hub_names)):
        if (source.folder / name).is_file():
            expected = source.url_checksum if name == source.url_name else ""
            return check_file(source.folder / name, expected)
    if source.url:
        path = Path("~/.cache/clip").expanduser() / source.url_name
        if path.is_file():
            return check_file(path, source.url_checksum)
    if source.repository:
        for name in source.hub_names:
            path = try_to_load_from_cache(source.repository, name)
            if isinstance(path, str):
                return check_hub_file(Path(path))
    return None


def download(source: Source) -> Path:
    """Download some published weights, from the Hugging Face Hub or else from their own address.

    A file gets its name only when it is complete and its checksum is right. Raises
    FileNotFoundError as `fetch_weights`.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise FileNotFoundError(explain_missing(source, "HF_HUB_OFFLINE forbids a download"))
    problems = []
    if source.repository:
        problem = find_problem(constants.ENDPOINT)
        if not problem:
            path, problem = download_from_hub(source)
            if path:
                return check_hub_file(path)
        problems.append(problem)
    if source.url:
        problem = find_problem(source.url)
        if not problem:
            return download_from_url(source)
        problems.append(problem)
    raise FileNotFoundError(explain_missing(source, ", ".join(problems)))


def find_problem(url: str) -> str:
    """Ask a server whether it has a file. Returns what is wrong, "" if nothing is.

    It asks once, and waits a few seconds at most: huggingface_hub alone would ask for half a
    minute.
    """
    host = url.split("/")[2]
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "clipnb"})  # noqa: S310
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT).close()  # noqa: S310 (open_clip's own URL)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404, 410):
            return f"{host} answers {error.code} {error.reason}"
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        return f"{host} cannot be reached ({getattr(reason, 'strerror', None) or reason})"
    return ""


def download_from_hub(source: Source) -> tuple[Path | None, str]:
    """Download from the Hugging Face Hub into its own cache. Returns the file, or a problem."""
    from huggingface_hub import errors, hf_hub_download

    host_and_repository = f"huggingface.co/{source.repository}"
    for name in source.hub_names:
        try:
            return Path(hf_hub_download(source.repository, name, etag_timeout=TIMEOUT)), ""
        except errors.LocalEntryNotFoundError:
            return None, f"{host_and_repository} cannot be reached"
        except errors.EntryNotFoundError:
            continue  # older repositories have no safetensors
        except (errors.HfHubHTTPError, OSError) as error:
            reason = str(error).strip().split("\n")[0]
            return None, f"{host_and_repository} could not be downloaded ({reason})"
    return None, f"{host_and_repository} has no {' and no '.join(source.hub_names)}"


def download_from_url(source: Source) -> Path:
    """Download from the address of a single file into the cache of clipnb.

    Raises DownloadError if the connection fails; then the next call goes on where it ended.
    """
    path = source.folder / source.url_name
    with lock_path(path, f"downloading {display_path(path)}"), explain_write_errors(path):
        if path.exists():  # another process has just brought it
            return path
        unchecked = source.folder / f"{source.url_name}.unchecked"
        fetch(source.url, unchecked)
        check_file(unchecked, source.url_checksum)
        os.replace(unchecked, path)
    return path


# ---- checks and messages ---------------------------------------------------------------------


def check_hub_file(path: Path) -> Path:
    """Check a file in the cache of the Hub, where the real file has its SHA-256 as a name."""
    name = path.resolve().name
    return check_file(path, name if re.fullmatch("[0-9a-f]{64}", name) else "")


def check_file(path: Path, checksum: str) -> Path:
    """Return a file if its SHA-256 begins with `checksum`; "" means that none is known.

    Raises ValueError if it does not. The file stays as it is.
    """
    if not checksum:
        return path
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(checksum):
        raise ValueError(
            f"{display_path(path)} is not the published file: its SHA-256 begins with {found[:8]}, "
            f"that of the published file with {checksum[:8]}. It may be cut or changed. Nothing "
            "was loaded; delete or rename it, and try again."
        )
    return path


def explain_missing(source: Source, problem: str) -> str:
    """Say which file to fetch, how large it is, and where to put it."""
    if source.url:
        file = f"{source.url} (about {source.megabytes:,} MB)"
        name = source.url_name
    else:
        name = source.hub_names[0]
        file = (
            f"{name} (about {source.megabytes:,} MB) from "
            f"https://huggingface.co/{source.repository}/tree/main"
        )
    message = (
        f"there is no copy of {source.name}/{source.tag} here, and it cannot be downloaded: "
        f"{problem}. Fetch {file} and put it into {display_path(source.folder)}/"
    )
    if not source.has_usual_images:  # a file alone does not say how its images are made
        return f"{message}."
    return (
        f"{message}; or keep it anywhere and name it: "
        f'load_pretrained("{source.name}", "FOLDER/{name}"), or on the command line '
        f"{source.name}/FOLDER/{name}."
    )
