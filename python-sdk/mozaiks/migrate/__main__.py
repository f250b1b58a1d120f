"""The command: `python -m mozaiks.migrate`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from mozaiks.migrate import Migration, Report

_CONTROL = "_control"


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the arguments, copies, and says what was done.

    Args:
        arguments: Those of the command line where none are given.

    Returns:
        The exit code: 0, or 1 where a database could not be used.
    """
    parser = argparse.ArgumentParser(
        prog="python -m mozaiks.migrate",
        description="Copies settings, preferences and notifications of the original platform into "
        "the gateway's control database. Plugins' own collections stay where they are. May be run "
        "again: what is there is not written over.",
    )
    parser.add_argument(
        "--from", dest="source", required=True, metavar="URI/DB", help="the original's database"
    )
    parser.add_argument(
        "--to",
        required=True,
        metavar="URI/DB",
        help=f"the gateway's database; DB{_CONTROL} beside it is written",
    )
    parser.add_argument("--control", metavar="DB", help="where `control_database` is another")
    parser.add_argument("--app", default="default", help="the app id (default: default)")
    parser.add_argument(
        "--user-id-field",
        default="_id",
        metavar="FIELD",
        help="the field of `users` that tokens name, such as platform_user_id (default: _id)",
    )
    parser.add_argument("--digest-hour", type=int, default=8, metavar="HOUR", choices=range(24))
    parser.add_argument("--dry-run", action="store_true", help="count and write nothing")
    given = parser.parse_args(arguments)
    source = _database(parser, "--from", given.source)
    target = _database(parser, "--to", given.to)
    control = given.control or (target if target.endswith(_CONTROL) else target + _CONTROL)
    try:
        there: MongoClient[dict[str, Any]]
        here: MongoClient[dict[str, Any]]
        with MongoClient(given.source, tz_aware=True) as there, MongoClient(given.to) as here:
            migration = Migration(
                there[source],
                here[control],
                app_id=given.app,
                user_id_field=given.user_id_field,
                digest_hour=given.digest_hour,
                dry_run=given.dry_run,
            )
            print(f"from {source} to {control}, app {given.app}")
            _tell(migration.run(), given.dry_run)
    except PyMongoError as error:
        # What it has copied so far stays; the next run goes on.
        print(f"the database could not be used: {error}", file=sys.stderr)
        return 1
    return 0


def _database(parser: argparse.ArgumentParser, flag: str, uri: str) -> str:
    try:
        name = parse_uri(uri, warn=False)["database"]
    except PyMongoError as error:
        parser.error(f"{flag}: {error}")
    if not name:
        parser.error(f"{flag}: the URI must name the database, as in mongodb://HOST/NAME")
    return str(name)


def _tell(report: Report, dry_run: bool) -> None:
    done = "would be copied" if dry_run else "copied"
    kinds = {
        "settings": report.settings,
        "preferences": report.preferences,
        "notifications": report.notifications,
    }
    for name, tally in kinds.items():
        left = sum(tally.left.values())
        print(f"{name}: {tally.copied} {done}, {tally.there} there already, {left} left")
        for reason, count in sorted(tally.left.items()):
            print(f"  {count} left: {reason}")
    for name, (count, reason) in report.others.items():
        print(f"{name}: {count} left: {reason}")


if __name__ == "__main__":
    sys.exit(main())
