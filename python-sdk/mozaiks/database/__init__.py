"""The app's database, with the API on which PyMongo's async client and Motor agree.

What plugins do all the time (finding, inserting, updating, deleting, counting, aggregating) is sent
by the gateway, outside of the interpreter; documents are encoded and decoded here, by PyMongo's own
BSON. What they do rarely (indexes, collections, change streams, sessions) goes through an
`AsyncMongoClient` on the same database, made when it is first needed, one for each event loop.

`db` may be used from every event loop and thread. Its methods return awaitables also where they are
called from a plain function; such a function runs on a thread without an event loop and would use
`asyncio.run(...)` to wait for them.
"""

from mozaiks.database._collection import Collection
from mozaiks.database._cursor import AggregateCursor, DeferredCursor, FindCursor
from mozaiks.database._database import Database

__all__ = [
    "AggregateCursor",
    "Collection",
    "Database",
    "DeferredCursor",
    "FindCursor",
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
