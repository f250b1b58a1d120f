"""Sessions, change streams and listings: what is asked of the gateway."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import ReadPreference
from pymongo.errors import InvalidOperation, OperationFailure

from core.config.database import db
from mozaiks.errors import DatabaseUnavailable, HostError
from tests.fake_host import FakeHost


def batch(*documents: Any, cursor_id: int = 0, first: bool = True) -> dict[str, Any]:
    name = "firstBatch" if first else "nextBatch"
    return {"ok": 1.0, "cursor": {"id": cursor_id, "ns": "d.items", name: list(documents)}}


async def test_a_transaction_begins_with_its_first_command(host: FakeHost) -> None:
    host.replies.append({"ok": 1.0, "session": 7})
    async with db.client.start_session() as session, session.start_transaction():
        assert session.in_transaction
        await db.items.insert_one({"_id": 1}, session=session)
        await db.items.delete_one({"_id": 2}, session=session)
    assert not session.in_transaction
    names = [next(iter(command)) for command in host.commands]
    assert names == ["startSession", "insert", "delete", "commitTransaction", "endSessions"]
    assert host.commands[1]["$gateway"] == {"session": 7, "startTransaction": {}}
    assert host.commands[2]["$gateway"] == {"session": 7}
    assert host.commands[3]["$gateway"] == {"session": 7}
    assert host.commands[4]["sessions"] == [7]
    with pytest.raises(InvalidOperation):
        await db.items.find_one({}, session=session)


async def test_an_error_aborts_and_an_empty_transaction_says_nothing(host: FakeHost) -> None:
    host.replies.append({"ok": 1.0, "session": 7})
    session = await db.client.start_session()

    async def fail() -> None:
        async with session.start_transaction():
            await db.items.insert_one({}, session=session)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with session.start_transaction():
        pass
    names = [next(iter(command)) for command in host.commands]
    assert names == ["startSession", "insert", "abortTransaction"]
    with pytest.raises(InvalidOperation):
        await session.abort_transaction()


async def test_with_transaction_tries_again_where_that_may_help(host: FakeHost) -> None:
    import bson

    labels = {"ok": 0.0, "errorLabels": ["TransientTransactionError"]}
    host.replies.append({"ok": 1.0, "session": 7})
    host.replies.append(HostError("DATABASE_UNAVAILABLE", "away", bson.encode(labels)))
    session = await db.client.start_session()
    tries = []

    async def insert(within: Any) -> str:
        tries.append(1)
        await db.items.insert_one({}, session=within)
        return "done"

    assert await session.with_transaction(insert) == "done"
    assert len(tries) == 2
    names = [next(iter(command)) for command in host.commands]
    assert names == ["startSession", "insert", "abortTransaction", "insert", "commitTransaction"]


async def test_a_session_of_another_client_is_refused(host: FakeHost) -> None:
    with pytest.raises(TypeError, match="start_session"):
        await db.items.find_one({}, session=object())


async def test_the_client_has_the_apps_database_only(host: FakeHost) -> None:
    host.answer = {"database": "mozaiks_shop"}
    assert db.name == "mozaiks_shop"
    assert db.client["mozaiks_shop"].items.name == "items"
    assert db.client.get_database().items.name == "items"
    for name in ("admin", "mozaiks_control", "local"):
        with pytest.raises(OperationFailure):
            db.client[name]
    for secret in ("address", "_MongoClient__options"):
        with pytest.raises((OperationFailure, AttributeError)):
            getattr(db.client, secret)
    assert {operation for operation, _ in host.asked} == {"db.name"}


async def test_a_read_preference_travels_with_the_command(host: FakeHost) -> None:
    host.replies.append(batch({"_id": 1}))
    await db.items.with_options(read_preference=ReadPreference.SECONDARY).find_one({})
    assert host.commands[0]["$readPreference"]["mode"] == "secondary"


async def test_a_change_stream_goes_on_where_it_was(host: FakeHost) -> None:
    host.replies.append(batch(cursor_id=5))
    host.replies.append(batch({"_id": {"t": 1}, "n": 1}, cursor_id=5, first=False))
    host.replies.append(HostError("DATABASE_UNAVAILABLE", "away", None))
    host.replies.append(batch({"_id": {"t": 2}, "n": 2}, cursor_id=6))
    stream = db.items.watch([{"$match": {}}], max_await_time_ms=250, full_document="updateLookup")
    async with stream:
        assert (await stream.next())["n"] == 1
        assert stream.resume_token == {"t": 1}
        assert (await stream.next())["n"] == 2
    opened, _, _, again, killed = host.commands
    assert opened["pipeline"] == [
        {"$changeStream": {"fullDocument": "updateLookup"}},
        {"$match": {}},
    ]
    assert opened["$gateway"] == {"maxAwaitTimeMS": 250}
    assert again["pipeline"][0]["$changeStream"]["resumeAfter"] == {"t": 1}
    assert killed["cursors"] == [6]


async def test_a_change_stream_that_never_began_does_not_begin_elsewhere(host: FakeHost) -> None:
    host.replies.append(HostError("DATABASE_UNAVAILABLE", "away", None))
    with pytest.raises(DatabaseUnavailable):
        await db.watch()
    assert len(host.commands) == 1
    assert host.commands[0]["aggregate"] == 1


async def test_listings_and_schema_are_commands(host: FakeHost) -> None:
    index = {"v": 2, "key": {"a": 1}, "name": "a_1"}
    host.replies.append({"ok": 1.0})
    host.replies.append(batch(index))
    host.replies.append(HostError("DATABASE_ERROR", "none", None))
    assert await db.items.create_index("a") == "a_1"
    assert await db.items.index_information() == {"a_1": {"v": 2, "key": [("a", 1)]}}
    host.replies.clear()
    await db.items.rename("things", dropTarget=True)
    host.replies.append(batch({"name": "items", "options": {"capped": True}}))
    assert await db.items.options() == {"capped": True}
    names = [next(iter(command)) for command in host.commands]
    assert names == ["createIndexes", "listIndexes", "renameCollection", "listCollections"]
    assert host.commands[2]["to"] == "things"
