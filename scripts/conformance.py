"""Runs PyMongo's own tests against `docstore` and compares with the list of those that pass.

The test-suite is PyMongo's source distribution, fetched by package name in the version that is
installed; nothing of it is kept in this repository. The rules:

* every test in `crates/docstore/conformance/passing.txt` must pass;
* every test that fails must match a line of `excluded.txt`, which says why;
* a test that passes and is not listed is reported; `--update` adds it. The list only grows.

The BSON corpus of the same distribution is then sent through the server byte for byte, and what
`docstore export` writes of it is compared with the corpus's own Extended JSON.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import fnmatch
import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import typing
from collections.abc import Iterator
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
LISTS = ROOT / "crates/docstore/conformance"
# Each group runs by itself, at the same time as the other and against a server of its own: tests of
# one group share databases and must not meet.
GROUPS = {
    "sync": [
        "test/test_crud_unified.py",
        "test/test_collection.py",
        "test/test_cursor.py",
        "test/test_bulk.py",
        "test/test_database.py",
        "test/test_index_management.py",
        "test/test_run_command.py",
    ],
    "async": [
        "test/asynchronous/test_crud_unified.py",
        "test/asynchronous/test_collection.py",
        "test/asynchronous/test_cursor.py",
    ],
}
LIMIT_SECONDS = 900
SLOW_SECONDS = 3.0


class Case(typing.NamedTuple):
    """What came of one test."""

    outcome: str
    seconds: float


def fetch_suite() -> pathlib.Path:
    """The unpacked source distribution, without the package itself: the installed one is tested."""
    version = importlib.metadata.version("pymongo")
    base = ROOT / ".build/conformance"
    suite = base / f"pymongo-{version}"
    if (suite / ".ready").exists():
        return suite
    base.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", "pymongo", "--dest", str(base), f"pymongo=={version}"]
    subprocess.run(command, check=True)
    shutil.rmtree(suite, ignore_errors=True)
    with tarfile.open(base / f"pymongo-{version}.tar.gz") as archive:
        archive.extractall(base, filter="data")
    for package in ("bson", "pymongo", "gridfs"):
        shutil.rmtree(suite / package)
    (suite / ".ready").touch()
    return suite


@contextlib.contextmanager
def running_docstore(
    binary: pathlib.Path, data: pathlib.Path | None = None
) -> Iterator[tuple[str, int]]:
    """Starts `docstore` on a free port of the loopback; yields host and port."""
    with tempfile.TemporaryDirectory(prefix="docstore-conformance-") as path:
        log_path = pathlib.Path(path) / "log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [
                    binary,
                    "--path",
                    data or f"{path}/data",
                    "--listen",
                    "127.0.0.1:0",
                    "--log",
                    "warn",
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                if "listening on" not in line:
                    raise SystemExit(f"docstore did not start:\n{log_path.read_text()}")
                host, _, port = line.split()[-1].rpartition("/")[2].rpartition(":")
                yield host, int(port)
                if process.poll() is not None:
                    raise SystemExit(f"docstore died:\n{log_path.read_text()[-4000:]}")
            finally:
                process.terminate()
                process.wait(timeout=30)


def run_group(group: str, suite: pathlib.Path, binary: pathlib.Path) -> dict[str, Case]:
    """Runs a group's tests against a server of its own; gives what came of each."""
    files = Files(suite / f"report-{group}.xml", suite / f"pytest-{group}.log", cwd=suite)
    arguments = ["-o", "log_cli=false", "-m", "default or default_async", *GROUPS[group]]
    return run_pytest(sys.executable, arguments, files, str(suite), binary)


class Files(typing.NamedTuple):
    """Where a run of pytest writes and works."""

    report: pathlib.Path
    log: pathlib.Path
    cwd: pathlib.Path


def run_pytest(
    python: str, arguments: list[str], files: Files, path: str, binary: pathlib.Path
) -> dict[str, Case]:
    """Runs pytest with `path` to import from, against a server of its own."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    command += ["--tb=short", f"--junitxml={files.report}", *arguments]
    files.report.unlink(missing_ok=True)
    with running_docstore(binary) as (host, port), files.log.open("w") as log:
        server = {"DB_IP": host, "DB_PORT": str(port)}
        subprocess.run(
            command,
            check=False,
            cwd=files.cwd,
            env={**os.environ, **server, "PYTHONPATH": path},
            stdout=log,
            stderr=log,
            timeout=LIMIT_SECONDS,
        )
    if not files.report.exists():
        raise SystemExit(files.log.read_text()[-4000:])
    return read_report(files.report)


def read_report(report: pathlib.Path) -> dict[str, Case]:
    """What pytest wrote of each test."""
    cases: dict[str, Case] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "passed"
        outcome = "skipped" if "skipped" in kinds else outcome
        name = f"{case.get('classname')}::{case.get('name')}"
        cases[name] = Case(outcome, float(case.get("time", "0")))
    return cases


def read_excluded(lists: pathlib.Path) -> list[tuple[str, str]]:
    """Pattern and reason of each test that may fail."""
    rows = []
    for line in (lists / "excluded.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, _, reason = line.partition("  ")
            if not reason.strip():
                raise SystemExit(f"excluded.txt: no reason given for {pattern}")
            rows.append((pattern.strip(), reason.strip()))
    return rows


def compare(what: str, cases: dict[str, Case], update: bool, lists: pathlib.Path) -> bool:
    """Whether all that must pass by the lists passes; prints what does not."""
    listed = set((lists / "passing.txt").read_text().split("\n")) - {""}
    outcomes = {name: case.outcome for name, case in cases.items()}
    passed = {name for name, outcome in outcomes.items() if outcome == "passed"}
    failed = {name for name, outcome in outcomes.items() if outcome == "failed"}
    excluded = read_excluded(lists)
    lost = sorted(listed - passed)
    unexplained = sorted(
        name
        for name in failed - set(lost)
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern, _ in excluded)
    )
    fresh = sorted(passed - listed)
    for name in lost:
        print(f"LOST         {name}: {outcomes.get(name, 'not run')}")
    for name in unexplained:
        print(f"UNEXPLAINED  {name}")
    for name, case in sorted(cases.items(), key=lambda item: -item[1].seconds):
        if case.seconds > SLOW_SECONDS:
            print(f"SLOW         {name}: {case.seconds:.1f} s")
    if update:
        (lists / "passing.txt").write_text("\n".join(sorted(listed | passed)) + "\n")
    elif fresh:
        print(f"{len(fresh)} tests pass and are not listed yet; add them: make conformance-update")
    skipped = sum(outcome == "skipped" for outcome in outcomes.values())
    print(
        f"{what}: {len(passed)} pass, {len(failed)} fail, {skipped} skipped by the suite, "
        f"{len(listed)} required"
    )
    return not lost and not unexplained


def check_corpus(suite: pathlib.Path, host: str, port: int) -> bool:
    """Sends the BSON corpus through the server: the same bytes come back, bad ones are refused."""
    import bson
    from bson.raw_bson import RawBSONDocument
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    sent = bad = refused = 0
    with MongoClient(host, port, directConnection=True, document_class=RawBSONDocument) as client:
        collection = client.corpus.cases
        for path in sorted((suite / "test/bson_corpus").glob("*.json")):
            corpus = json.loads(path.read_text())
            for case in corpus.get("valid", []):
                for key in ("canonical_bson", "degenerate_bson"):
                    if key not in case:
                        continue
                    inner = bytes.fromhex(case[key])
                    # The case travels as an embedded document: no driver touches its bytes then.
                    body = b"\x10_id\x00" + sent.to_bytes(4, "little") + b"\x03v\x00" + inner
                    whole = (len(body) + 5).to_bytes(4, "little") + body + b"\x00"
                    collection.insert_one(RawBSONDocument(whole))
                    found = collection.find_one({"_id": sent})
                    if found is None or bytes(found.raw) != whole:
                        print(f"CORPUS  {path.name}: {case['description']}: other bytes came back")
                        bad += 1
                    sent += 1
            for case in corpus.get("decodeErrors", []):
                inner = bytes.fromhex(case["bson"])
                body = b"\x10_id\x00\xff\xff\xff\x7f\x03v\x00" + inner
                whole = (len(body) + 5).to_bytes(4, "little") + body + b"\x00"
                try:
                    raw = RawBSONDocument(whole)
                    collection.insert_one(raw)
                    print(f"CORPUS  {path.name}: {case['description']}: was accepted")
                    collection.delete_one({"_id": 0x7FFFFFFF})
                    bad += 1
                except (PyMongoError, bson.errors.BSONError):
                    refused += 1
                if collection.find_one({"_id": 0}) is None:
                    raise SystemExit("the connection did not go on after a bad document")
    print(
        f"BSON corpus: {sent} documents came back unchanged, "
        f"{refused} bad ones were refused, {bad} are wrong"
    )
    return bad == 0


def check_export(suite: pathlib.Path, binary: pathlib.Path, data: pathlib.Path) -> bool:
    """Compares what `docstore export` writes with the Extended JSON that the corpus gives."""
    import bson
    from bson import json_util

    expected: dict[int, str] = {}
    sent = 0
    for path in sorted((suite / "test/bson_corpus").glob("*.json")):
        for case in json.loads(path.read_text()).get("valid", []):
            for key in ("canonical_bson", "degenerate_bson"):
                if key in case:
                    if key == "canonical_bson":
                        expected[sent] = case["canonical_extjson"]
                    sent += 1
    command = [
        binary,
        "export",
        "--path",
        data,
        "--db",
        "corpus",
        "--collection",
        "cases",
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    bad = 0
    for line in output.splitlines():
        document = json.loads(line)
        wanted = expected.pop(int(document["_id"]["$numberInt"]), None)
        if wanted is not None and plain(document["v"]) != plain(json.loads(wanted)):
            print(f"EXPORT  {line} should have {wanted}")
            bad += 1
        try:
            json_util.loads(line)
        except (ValueError, TypeError, bson.errors.BSONError) as error:
            # Python's own types do not hold every valid value.
            if wanted is not None and can_load(wanted):
                print(f"EXPORT  {line}: {error}")
                bad += 1
    print(f"export: {len(output.splitlines())} lines, {len(expected)} missing, {bad} wrong")
    return bad == 0 and not expected


def can_load(text: str) -> bool:
    """Whether `json_util` understands a text of the corpus."""
    import bson
    from bson import json_util

    try:
        json_util.loads(text)
    except (ValueError, TypeError, bson.errors.BSONError):
        return False
    return True


def plain(value: object) -> object:
    """Extended JSON with its doubles as numbers: there are several ways to write the same one."""
    if isinstance(value, dict):
        if set(value) == {"$numberDouble"}:
            return ("double", repr(float(value["$numberDouble"])))
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def main() -> None:
    """Parses the arguments and runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docstore", type=pathlib.Path, required=True)
    parser.add_argument("--update", action="store_true", help="add newly passing tests to the list")
    arguments = parser.parse_args()
    suite = fetch_suite()
    with concurrent.futures.ThreadPoolExecutor(len(GROUPS)) as pool:
        runs = [pool.submit(run_group, group, suite, arguments.docstore) for group in GROUPS]
        cases = {name: case for run in runs for name, case in run.result().items()}
    with tempfile.TemporaryDirectory(prefix="docstore-corpus-") as folder:
        data = pathlib.Path(folder) / "data"
        with running_docstore(arguments.docstore, data) as (host, port):
            corpus_is_right = check_corpus(suite, host, port)
        corpus_is_right &= check_export(suite, arguments.docstore, data)
    if not (compare("PyMongo's tests", cases, arguments.update, LISTS) and corpus_is_right):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
