"""The protocols in results/protocols/: what was settled before a run, in a file of its own.

A protocol is written from the experiment's definition and committed before the run. A run in full
compares the two and refuses to go on if they differ. Its record holds the file's digest.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

from clipnb.claims.code import digest_code
from clipnb.claims.experiment import RECORDS, Experiment
from clipnb.claims.verdicts import write_rule
from clipnb.runtime import display_path, results_dir, write_file


def protocol_path(name: str) -> Path:
    """Return the file of an experiment's protocol."""
    return results_dir() / "protocols" / f"{name}.json"


def describe_protocol(experiment: Experiment) -> dict:
    """Return the content of an experiment's protocol: all that is settled before the run."""
    on_trial, effect = next(iter(experiment.effects.items()))
    return {
        "experiment": experiment.name,
        "claim": experiment.claim,
        "title": experiment.title,
        "dataset": experiment.dataset,
        **dataclasses.asdict(experiment.protocol),
        "effect": on_trial,
        "unit": effect.unit,
        "scale": effect.scale,
        "over": effect.over,
        "rule": write_rule(experiment.protocol, on_trial, effect.unit),
        "settings": experiment.full,
        "module": experiment.measure.__module__,
        "code": digest_code(experiment),
    }


def write_protocol(experiment: Experiment) -> str:
    """Write an experiment's protocol; an older version and its record move to `earlier/`.

    Returns the path as text. Raises ValueError if another protocol of this version is there and a
    record has been made with it: what changes after a look is a new version, and says what changed.
    """
    if experiment.protocol.version > 1 and not experiment.protocol.changed.strip():
        raise ValueError(f"{experiment.name}: a later version says in `changed` what changed, why.")
    path, content = protocol_path(experiment.name), dump_protocol(experiment)
    record = results_dir() / RECORDS / path.name
    if path.exists() and path.read_text(encoding="utf-8") != content and record.exists():
        before = json.loads(path.read_text(encoding="utf-8"))["version"]
        if before >= experiment.protocol.version:
            raise ValueError(
                f"{display_path(record)} was made with the protocol as it is. What changes after "
                f"a look is a new protocol: set version={before + 1} and say in `changed` what "
                "changed and why."
            )
        for old in (path, record):
            kept = old.parent / "earlier" / f"{experiment.name}-{before}.json"
            kept.parent.mkdir(exist_ok=True)
            old.replace(kept)
    write_file(path, content)
    return display_path(path)


def dump_protocol(experiment: Experiment) -> str:
    """Return an experiment's protocol as the text of its file."""
    return json.dumps(describe_protocol(experiment), indent=1, ensure_ascii=False) + "\n"


def check_protocol(experiment: Experiment) -> str:
    """Return the digest of an experiment's protocol file.

    Raises FileNotFoundError if there is none, and ValueError if the file says something else than
    the experiment's definition, naming what differs.
    """
    path = protocol_path(experiment.name)
    again = f"`clipnb experiment {experiment.name} --protocol`"
    if not path.exists():
        raise FileNotFoundError(
            f"{experiment.name} has no protocol ({display_path(path)}). Write it with {again}, and "
            "commit it before the run."
        )
    written = json.loads(path.read_text(encoding="utf-8"))
    defined = json.loads(dump_protocol(experiment))
    differ = [key for key in {**defined, **written} if defined.get(key) != written.get(key)]
    if differ:
        raise ValueError(
            f"{experiment.name} is not what its protocol says ({display_path(path)}): "
            f"{', '.join(differ)} differ. Undo the change, or give it a name and a protocol of its "
            f"own with {again}."
        )
    return digest_protocol(experiment.name)


def digest_protocol(name: str) -> str:
    """Return the SHA-256 digest of the protocol file of an experiment."""
    return hashlib.sha256(protocol_path(name).read_bytes()).hexdigest()
