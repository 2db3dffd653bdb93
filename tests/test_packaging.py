"""What pip installs, and that the files that repeat it agree."""

import re
import tomllib

from clipnb.runtime import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_lines(name):
    """Return the lines of a file that are neither empty nor comments."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def find_lower_bounds():
    """Return {library: lower bound} of all that the course needs."""
    extras = PROJECT["optional-dependencies"]
    needed = PROJECT["dependencies"] + extras["experiments"] + extras["widgets"] + extras["course"]
    needed += extras["shards"]
    matches = [re.match(r"([\w-]+)>=([\d.]+)", line) for line in needed]
    return {match[1]: match[2] for match in matches if match}


def test_requirements_install_the_course():
    assert read_lines("requirements.txt") == ["-e .[course]"]


def test_constraints_are_the_lower_bounds():
    pinned = dict(line.split("==") for line in read_lines("constraints-lowest.txt"))
    bounds = find_lower_bounds()
    assert sorted(pinned) == sorted(bounds)
    for library, version in pinned.items():
        assert version == bounds[library] or version.startswith(f"{bounds[library]}."), library


def test_every_dependency_has_an_upper_bound():
    for extra in [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]:
        for line in extra:
            assert "<" in line or "==" in line or line.startswith("clipnb["), line


def test_the_command_and_the_version_are_the_packages_own():
    import clipnb

    assert PROJECT["scripts"] == {"clipnb": "clipnb.cli:main"}
    assert f"version: {clipnb.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {clipnb.__version__} " in (ROOT / "CHANGELOG.md").read_text()
