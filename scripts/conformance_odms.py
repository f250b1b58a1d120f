"""Runs tests of object mappers for Python against `docstore`; the lists work as PyMongo's do.

umongo and mongoengine carry tests in their source distributions (mongoengine some of them), which
are fetched by package name and version; nothing of them is kept in this repository. odmantic and
beanie carry none: what they ask of a server is written down in `crates/docstore/conformance/odms`.
The Node driver and mongoose are no part of it: npm's packages carry no tests.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import tarfile
import venv

from conformance import LISTS, ROOT, Case, Files, compare, run_pytest

ODMS = LISTS / "odms"
BASE = ROOT / ".build/conformance"
# By suite: the tests in its folder. Those left out need files that the distribution leaves out.
SUITES = {
    "umongo": ["tests"],
    "mongoengine": [
        "tests/test_common.py",
        "tests/test_connection.py",
        "tests/test_datastructures.py",
        "tests/test_dereference.py",
        "tests/test_signals.py",
        "tests/test_utils.py",
    ],
    "written": ["."],
}


def interpreter() -> pathlib.Path:
    """A Python of its own with the packages as pinned: they want other versions than the SDK."""
    requirements = ODMS / "requirements.txt"
    folder = BASE / "odms"
    python, ready = folder / "bin/python", folder / ".ready"
    if not ready.exists() or ready.read_text() != requirements.read_text():
        venv.create(folder, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "-r", requirements], check=True)
        ready.write_text(requirements.read_text())
    return python


def fetch_suite(package: str) -> pathlib.Path:
    """The tests of a package's source distribution, in the pinned version."""
    pins = dict(line.split("==") for line in (ODMS / "requirements.txt").read_text().split())
    name = f"{package}-{pins[package]}"
    if not (BASE / name / ".ready").exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary"]
        command += [package, "--dest", str(BASE), f"{package}=={pins[package]}"]
        subprocess.run(command, check=True)
        with tarfile.open(BASE / f"{name}.tar.gz") as archive:
            tests = [item for item in archive if item.name.startswith(f"{name}/tests/")]
            archive.extractall(BASE, members=tests, filter="data")
        (BASE / name / ".ready").touch()
    return BASE / name


def run_suite(
    suite: str, folder: pathlib.Path, python: pathlib.Path, binary: pathlib.Path
) -> dict[str, Case]:
    """Runs a suite's tests against a server of its own; gives what came of each."""
    files = Files(BASE / f"report-{suite}.xml", BASE / f"pytest-{suite}.log", cwd=folder)
    arguments = ["-p", "redirect_mongodb", *SUITES[suite]]
    arguments += ["-o", "asyncio_default_fixture_loop_scope=function"]
    plugin = str(ROOT / "scripts/redirected")
    cases = run_pytest(str(python), arguments, files, plugin, binary)
    return {f"{suite}.{name}": case for name, case in cases.items()}


def main() -> None:
    """Parses the arguments and runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docstore", type=pathlib.Path, required=True)
    parser.add_argument("--update", action="store_true", help="add newly passing tests to the list")
    arguments = parser.parse_args()
    BASE.mkdir(parents=True, exist_ok=True)
    python = interpreter()
    cases = {}
    for suite in SUITES:
        folder = ODMS if suite == "written" else fetch_suite(suite)
        cases |= run_suite(suite, folder, python, arguments.docstore)
    if not compare("The mappers' tests", cases, arguments.update, ODMS):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
