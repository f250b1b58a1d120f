"""The app's database, with the API on which PyMongo's async client and Motor agree.

Everything is sent by the gateway, outside of the interpreter; documents are encoded and decoded
here, by PyMongo's own BSON. No plugin learns where the database is. Outside of the gateway, in
tests, the same commands go through an `AsyncMongoClient`, one for each event loop.

`db` may be used from every event loop and thread. Its methods return awaitables also where they are
called from a plain function; such a function runs on a thread without an event loop and would use
`asyncio.run(...)` to wait for them.
"""

from mozaiks.database._changes import ChangeStream
from mozaiks.database._collection import Collection
from mozaiks.database._cursor import AggregateCursor, CommandCursor, FindCursor
from mozaiks.database._database import Database
from mozaiks.database._session import Client, Session

__all__ = [
    "AggregateCursor",
    "ChangeStream",
    "Client",
    "Collection",
    "CommandCursor",
    "Database",
    "FindCursor",
    "Session",
    "db",
    "get_collection",
    "get_database",
    "get_db",
]

db = Database()


def get_db() -> Database:
    """The app's database.

    Returns:
        `db`.
    """
    return db


def get_database() -> Database:
    """The app's database.

    Returns:
        `db`.
    """
    return db


def get_collection(name: str) -> Collection:
    """A collection of the app's database.

    Args:
        name: The collection's name.

    Returns:
        `db[name]`.
    """
    return db[name]
