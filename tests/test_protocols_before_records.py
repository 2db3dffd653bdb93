"""Every record of the second sitting was made after its protocol had been committed.

For each record in results/claims/ and its earlier/: its protocol is a file that the commit
of the run already held, the commit belongs to the history, and the code is the protocol's.
"""

import hashlib
import json
import subprocess

import pytest
from claim_parts import load_known_experiments

from clipnb.claims.experiment import RECORDS
from clipnb.claims.protocols import check_protocol
from clipnb.runtime import ROOT


def run_git(folder, *arguments):
    """Run git in a folder. Returns (whether it worked, its output as bytes)."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        result = subprocess.run(command, capture_output=True)
    except FileNotFoundError:  # git is not installed
        return False, b""
    return result.returncode == 0, result.stdout


def find_obstacle(folder):
    """Return why the history of a folder cannot be read, or None."""
    is_repository, shallow = run_git(folder, "rev-parse", "--is-shallow-repository")
    if not is_repository:
        return "there is no git, or no repository: the history of the protocols is unknown"
    if shallow.strip() == b"true":
        return "the clone is shallow: fetch the whole history with `git fetch --unshallow`"
    return None


def list_records(results):
    """Return (record's file, file of its protocol) of all records, the earlier ones too."""
    folder = results / RECORDS
    found = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("earlier/*.json")]):
        found.append((path, results / "protocols" / path.relative_to(folder)))
    return found


def list_commits(record):
    """Return the commits at which the seeds of a record were made, as far as it tells them."""
    noted = [record["commit"], *(origin["commit"] for origin in record.get("origins", []))]
    return list(dict.fromkeys(noted))


def find_faults(path, protocol_path, folder=ROOT):
    """Return what is wrong with a record and its protocol, as sentences.

    folder: of the repository. The file of a protocol of an earlier version has moved since then;
    when its record was made it was results/protocols/NAME.json.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    if not protocol_path.exists():
        return [f"{path.name} has no protocol."]
    content = protocol_path.read_bytes()
    faults = []
    if hashlib.sha256(content).hexdigest() != record["protocol"]:
        faults.append(f"{path.name} was made with another protocol than {protocol_path.name}.")
    if json.loads(content)["code"] != record["code"]:
        faults.append(f"{path.name} was made with other code than its protocol names.")
    if not record["commit"]:
        return [*faults, f"{path.name} does not say at which commit it was made."]
    for commit in list_commits(record):
        is_ancestor, _ = run_git(folder, "merge-base", "--is-ancestor", commit, "HEAD")
        if not is_ancestor:
            faults.append(f"{path.name} was made at {commit[:10]}, which is not in the history.")
        then = f"{commit}:results/protocols/{record['experiment']}.json"
        was_there, committed = run_git(folder, "show", then)
        if not was_there or hashlib.sha256(committed).hexdigest() != record["protocol"]:
            faults.append(f"the protocol of {path.name} was not committed before the run.")
    return faults


pytestmark = pytest.mark.usefixtures("parsed_once")
RECORDED = list_records(ROOT / "results")


@pytest.mark.parametrize("path, protocol", RECORDED, ids=[path.stem for path, _ in RECORDED])
def test_the_protocol_is_older_than_the_record(path, protocol):
    obstacle = find_obstacle(ROOT)
    if obstacle:
        pytest.skip(obstacle)
    assert find_faults(path, protocol) == []


def test_every_record_belongs_to_an_experiment():
    recorded = {path.stem for path, _ in RECORDED if path.parent.name == RECORDS}
    assert recorded <= set(load_known_experiments())


@pytest.mark.parametrize(
    "experiment", load_known_experiments().values(), ids=lambda each: each.name
)
def test_an_experiment_is_what_its_protocol_says(experiment):
    assert check_protocol(experiment)  # raises an error that names what differs


# ---- this check can fail ---------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a protocol, committed; a function writes a record and tells its faults."""
    if not run_git(ROOT, "--version")[0]:
        pytest.skip("there is no git")
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "Somebody")
        monkeypatch.setenv(f"{name}_EMAIL", "somebody@example.org")
    folder = tmp_path / "repository"
    protocols, records = folder / "results" / "protocols", folder / "results" / RECORDS
    for each in (protocols / "earlier", records / "earlier"):
        each.mkdir(parents=True)
    run_git(folder, "init", "--quiet")
    (folder / "README.md").write_text("before the protocol")
    commit_all(folder)
    write_json(protocols / "toy.json", {"code": "abc", "margin": 1.0})
    commit_all(folder)
    return folder


def write_json(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


def commit_all(folder):
    assert run_git(folder, "add", "--all")[0]
    assert run_git(folder, "commit", "--quiet", "--message", "a commit")[0]


def read_commit(folder, name="HEAD"):
    return run_git(folder, "rev-parse", name)[1].decode().strip()


def forge(folder, **changes):
    """Write a record of the toy, with what a test changes in it, and return its faults."""
    protocol = folder / "results" / "protocols" / "toy.json"
    digest = hashlib.sha256(protocol.read_bytes()).hexdigest()
    honest = {"experiment": "toy", "protocol": digest, "code": "abc"}
    record = honest | {"commit": read_commit(folder)} | changes
    path = folder / "results" / RECORDS / "toy.json"
    write_json(path, record)
    assert list_records(folder / "results") == [(path, protocol)]
    return find_faults(path, protocol, folder)


def test_an_honest_record_has_no_fault(repository):
    assert forge(repository) == []
    commit_all(repository)
    assert forge(repository) == [], "later commits change nothing"


def test_a_run_before_the_commit_of_the_protocol_is_found(repository):
    first = read_commit(repository, "HEAD~1")
    assert forge(repository, commit=first) == [
        "the protocol of toy.json was not committed before the run."
    ]


def test_a_protocol_that_changed_after_the_run_is_found(repository):
    path = repository / "results" / "protocols" / "toy.json"
    commit, digest = read_commit(repository), hashlib.sha256(path.read_bytes()).hexdigest()
    write_json(path, {"code": "abc", "margin": 0.5})
    commit_all(repository)
    assert forge(repository, commit=commit, protocol=digest) == [
        "toy.json was made with another protocol than toy.json."
    ]
    assert forge(repository, commit=commit) == [
        "the protocol of toy.json was not committed before the run."
    ]


def test_a_protocol_that_was_never_committed_is_found(repository):
    write_json(repository / "results" / "protocols" / "toy.json", {"code": "abc", "margin": 9.0})
    assert forge(repository) == ["the protocol of toy.json was not committed before the run."]


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"code": "def"}, "other code"),
        ({"commit": None}, "does not say at which commit"),
        ({"commit": "0" * 40}, "not in the history"),
        ({"protocol": "0" * 64}, "another protocol"),
    ],
)
def test_a_forged_record_is_found(repository, changes, told):
    assert told in " ".join(forge(repository, **changes))


def test_every_seed_is_asked_for_its_commit(repository):
    first, second = read_commit(repository, "HEAD~1"), read_commit(repository)
    honest, early = [{"seeds": [1], "commit": commit} for commit in (second, first)]
    assert forge(repository, origins=[honest]) == []
    assert forge(repository, origins=[early, honest]) == [
        "the protocol of toy.json was not committed before the run."
    ]


def test_a_commit_of_another_branch_is_found(repository):
    run_git(repository, "checkout", "--quiet", "-b", "aside")
    (repository / "README.md").write_text("aside")
    commit_all(repository)
    aside = read_commit(repository)
    run_git(repository, "checkout", "--quiet", "-")
    assert "not in the history" in " ".join(forge(repository, commit=aside))


def test_an_earlier_version_is_looked_for_where_it_was(repository):
    forge(repository)
    results = repository / "results"
    for folder in (results / "protocols", results / RECORDS):
        (folder / "toy.json").rename(folder / "earlier" / "toy-1.json")
    write_json(results / "protocols" / "toy.json", {"code": "abc", "margin": 2.0})
    commit_all(repository)
    ((path, protocol),) = list_records(results)
    assert path.name == protocol.name == "toy-1.json"
    assert find_faults(path, protocol, repository) == []
    protocol.unlink()
    assert find_faults(path, protocol, repository) == ["toy-1.json has no protocol."]


def test_without_a_whole_history_the_check_is_left_out(repository, tmp_path, monkeypatch):
    assert find_obstacle(repository) is None
    copy = tmp_path / "copy"
    assert run_git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(copy))[0]
    assert "the clone is shallow" in find_obstacle(copy)
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert "no repository" in find_obstacle(nowhere)
    monkeypatch.setenv("PATH", "")
    assert "there is no git" in find_obstacle(repository)
