"""What `make test-hard` has tried: kept in results/hard.json, told in tests/README.md."""

import json
import time
from pathlib import Path

import clipnb
from clipnb.runtime import ROOT, describe_machine, list_versions

RECORD = ROOT / "results" / "hard.json"
README = ROOT / "tests" / "README.md"

# What a test says that it has tried, by `record_property`, in the words of the table.
TRIED = {
    "kill points": "moments at which a process was killed; the same command then went on to the "
    "same bytes, with no temporary file and no worker left",
    "bad inputs": "inputs that are wrong, each refused in one line that says what and where",
    "failed writes": "writes that failed as on a full disk; the state loaded, and the command "
    "finished when there was space again",
    "made-up inputs": "properties that held for inputs that hypothesis made up",
    "hostile files": "archives, weights and pictures that are damaged or made to do harm",
    "damaged indexes": "ways in which an index of photos was damaged, interrupted or blocked",
    "searches": "searches on one index, of words, images, sums and differences",
    "loaded runs": "times a run was loaded",
    "closed widgets": "retrieval widgets that were opened and closed",
    "pictures": "pictures in one index; the indexing was killed once and went on",
    "equal outcomes": "outcomes that had to be the same bytes: another process, another hash seed, "
    "no `os.fork`",
    "shuffled tests": "fast tests run in a random order, all rounds together",
    "other consoles": "commands on a console that cannot print every letter",
    "requests without the token": "requests that JupyterLab refused, because they had no token",
}
# Each test of these files tries one thing, and knows nothing of this record.
ONE_EACH = {
    "test_bad_recipes": "bad inputs",
    "test_bad_folders": "bad inputs",
    "test_bad_runs": "bad inputs",
    "test_bad_indexes": "bad inputs",
    "test_bad_paths": "bad inputs",
    "test_bad_widgets": "bad inputs",
    "test_bad_arguments": "bad inputs",
    "test_properties": "made-up inputs",
    "test_weight_files": "hostile files",
    "test_download": "hostile files",
    "test_unpack": "hostile files",
    "test_store_damage": "damaged indexes",
    "test_store_failures": "damaged indexes",
    "test_store_interruptions": "damaged indexes",
}
START = """# What was tried to break clipnb

`make test-hard` runs everything below and writes this file and results/hard.json. Nothing here is
written by hand. The tests themselves lie in this folder; those that take longer lie in
[hard/](hard), and `make test` leaves them out.
"""


class Recorder:
    """A plugin of pytest that counts what the tests of a session have tried, file by file."""

    def __init__(self):
        self.parts, self.seconds = {}, {}

    def pytest_runtest_logreport(self, report):
        name = Path(report.fspath).stem
        part = self.parts.setdefault(name, {"passed": 0, "skipped": 0, "failed": [], "tried": {}})
        self.seconds[name] = self.seconds.get(name, 0) + report.duration
        if report.failed:
            if report.nodeid not in part["failed"]:  # its end may fail too
                part["failed"].append(report.nodeid)
        elif report.skipped:
            part["skipped"] += 1
        elif report.when == "call":
            part["passed"] += 1
            tried = [(what, n) for what, n in report.user_properties if what in TRIED]
            tried += [(ONE_EACH[name], 1)] if name in ONE_EACH else []
            for what, n in tried:
                part["tried"][what] = part["tried"].get(what, 0) + n

    def pytest_sessionfinish(self, session, exitstatus):
        if exitstatus not in (0, 1):  # interrupted, or nothing was collected
            return
        about = {"version": clipnb.__version__, "date": time.strftime("%Y-%m-%d")}
        machine = describe_machine() | {"python": list_versions()["python"]}
        record = leave_out_gone(read_record())
        for name, part in self.parts.items():
            minutes = round(self.seconds[name] / 60, 1)
            record[name] = about | {"minutes": minutes, "machine": machine} | part
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        README.write_text(render(record), encoding="utf-8")


def read_record():
    """Read what was tried so far: {test file: part}."""
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def leave_out_gone(record):
    """Leave out the test files that are there no more: they were renamed or removed."""
    there = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    return {name: part for name, part in record.items() if name in there}


def render(record):
    """Tell a record as Markdown. A part that failed is told first, and nothing is said to hold."""
    failed = sorted(name for part in record.values() for name in part["failed"])
    n_passed = sum(part["passed"] for part in record.values())
    lines = [START]
    if failed:
        lines += [f"**{len(failed)} of {n_passed + len(failed)} tests failed.** They are:\n"]
        lines += [f"- `{name}`" for name in failed]
        lines += ["\nWhat the other tests tried:\n"]
    else:
        lines += [f"All {n_passed:,} tests passed.\n"]
    if missing := [what for what in TRIED if count_tried(record, what) == 0]:
        lines += [f"Not tried in this record: {', '.join(missing)}.\n"]
    lines += ["| how many | what |", "|---:|---|"]
    for what, words in TRIED.items():
        n = count_tried(record, what)
        lines += [f"| {n:,} | {words} |"] if n else []
    lines += ["\nThe test files, and when each was last run:\n"]
    lines += ["| tests | passed | failed | skipped | minutes | version, date |"]
    lines += ["|---|---:|---:|---:|---:|---|"]
    for name, part in sorted(record.items()):
        lines += [
            f"| {name} | {part['passed']:,} | {len(part['failed'])} | {part['skipped']} | "
            f"{part['minutes']} | {part['version']}, {part['date']} |"
        ]
    machines = sorted({name_machine(part["machine"]) for part in record.values()})
    lines += ["\nThe machine: " + "; ".join(machines) + "."]
    return "\n".join(lines) + "\n"


def count_tried(record, what):
    return sum(part["tried"].get(what, 0) for part in record.values())


def name_machine(machine):
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}"
    )
