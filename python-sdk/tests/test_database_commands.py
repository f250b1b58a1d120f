"""What `db` sends and how it reads answers; the server is played by the test."""

from __future__ import annotations

import datetime as dt
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId
from bson.errors import InvalidDocument
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteMany, InsertOne, ReplaceOne, ReturnDocument, UpdateOne, WriteConcern
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    CursorNotFound,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidOperation,
    OperationFailure,
    WriteError,
)

from core.config.database import db
from mozaiks import DatabaseUnavailable, HostError, StorageFull
from tests.fake_host import FakeHost


def batch(documents: list[Any], cursor_id: int = 0, more: bool = False) -> dict[str, Any]:
    name = "nextBatch" if more else "firstBatch"
    return {"ok": 1.0, "cursor": {"id": Int64(cursor_id), "ns": "app.notes", name: documents}}


def server_error(code: int, message: str = "no", host_code: str = "DATABASE_ERROR") -> HostError:
    return HostError(host_code, message, bson.encode({"ok": 0.0, "code": code, "errmsg": message}))


async def test_find_sends_what_was_chained(host: FakeHost) -> None:
    host.replies.append(batch([{"a": 1}]))
    cursor = (
        db["notes"]
        .find({"user_id": "ann"}, ["title"])
        .sort([("at", -1), ("title", 1)])
        .skip(5)
        .limit(10)
        .batch_size(3)
        .hint("by_user")
    )
    assert host.commands == []
    assert await cursor.to_list(100) == [{"a": 1}]
    assert host.commands == [
        {
            "find": "notes",
            "filter": {"user_id": "ann"},
            "projection": {"title": 1},
            "sort": {"at": -1, "title": 1},
            "skip": 5,
            "limit": 10,
            "batchSize": 3,
            "hint": "by_user",
        }
    ]
    with pytest.raises(InvalidOperation):
        cursor.limit(1)


async def test_a_cursor_reads_on_until_it_ends(host: FakeHost) -> None:
    host.replies.extend(
        [batch([{"n": 1}, {"n": 2}], 77), batch([{"n": 3}], 77, True), batch([], 0, True)]
    )
    assert [each["n"] async for each in db.notes.find()] == [1, 2, 3]
    assert host.commands[1] == {"getMore": 77, "collection": "notes"}
    assert host.replies == type(host.replies)()


async def test_to_list_takes_no_more_than_it_is_told(host: FakeHost) -> None:
    host.replies.append(batch([{"n": n} for n in range(5)]))
    cursor = db.notes.find()
    assert await cursor.to_list(length=2) == [{"n": 0}, {"n": 1}]
    assert await cursor.to_list() == [{"n": 2}, {"n": 3}, {"n": 4}]
    assert await cursor.to_list(5) == []
    assert len(host.commands) == 1
    with pytest.raises(ValueError, match="length"):
        await cursor.to_list(-1)
    with pytest.raises(TypeError):
        await cursor.to_list("5")  # type: ignore[arg-type]


async def test_closing_an_open_cursor_closes_it_on_the_server(host: FakeHost) -> None:
    host.replies.extend([batch([{}], 9), {"ok": 1.0}])
    async with db.notes.find() as cursor:
        await cursor.next()
    assert host.commands[-1] == {"killCursors": "notes", "cursors": [9]}
    assert not cursor.alive


async def test_find_one(host: FakeHost) -> None:
    object_id = ObjectId()
    host.replies.extend([batch([{"_id": object_id}]), batch([])])
    assert await db.notes.find_one(object_id) == {"_id": object_id}
    assert await db.notes.find_one({"a": 1}, sort=[("b", 1)]) is None
    assert host.commands[0] == {
        "find": "notes",
        "filter": {"_id": object_id},
        "limit": 1,
        "singleBatch": True,
    }
    assert host.commands[1]["sort"] == {"b": 1}


async def test_aggregate_may_be_awaited_or_read_at_once(host: FakeHost) -> None:
    pipeline = [{"$match": {"a": 1}}]
    host.replies.extend([batch([{"n": 1}]), batch([{"n": 2}])])
    assert await (await db.notes.aggregate(pipeline)).to_list() == [{"n": 1}]
    assert [each async for each in db.notes.aggregate(pipeline, allowDiskUse=True)] == [{"n": 2}]
    assert host.commands == [
        {"aggregate": "notes", "pipeline": pipeline, "cursor": {}},
        {"aggregate": "notes", "pipeline": pipeline, "cursor": {}, "allowDiskUse": True},
    ]


async def test_counting(host: FakeHost) -> None:
    host.replies.extend([batch([{"_id": 1, "n": 4}]), batch([]), {"ok": 1.0, "n": 9}])
    assert await db.notes.count_documents({"a": 1}, limit=5) == 4
    assert await db.notes.count_documents({}) == 0
    assert await db.notes.estimated_document_count() == 9
    assert host.commands[0]["pipeline"] == [
        {"$match": {"a": 1}},
        {"$limit": 5},
        {"$group": {"_id": 1, "n": {"$sum": 1}}},
    ]


async def test_insert_one_gives_an_id_as_pymongo_does(host: FakeHost) -> None:
    document: dict[str, Any] = {"title": "x"}
    result = await db.notes.insert_one(document)
    assert result.inserted_id == document["_id"]
    assert isinstance(result.inserted_id, ObjectId)
    sent = host.commands[0]
    assert sent["insert"] == "notes"
    # As stored: the id comes first.
    assert list(sent["documents"][0]) == ["_id", "title"]

    raw = RawBSONDocument(bson.encode({"_id": 7}))
    assert (await db.notes.insert_one(raw)).inserted_id == 7
    with pytest.raises(TypeError):
        await db.notes.insert_one([1])


async def test_insert_many_is_split_by_size(host: FakeHost) -> None:
    half = "x" * (9 * 1024 * 1024)
    result = await db.notes.insert_many([{"_id": n, "text": half} for n in range(3)])
    assert result.inserted_ids == [0, 1, 2]
    assert [len(command["documents"]) for command in host.commands] == [1, 1, 1]
    await db.notes.insert_many({"_id": n} for n in range(3))
    assert len(host.commands[-1]["documents"]) == 3
    nothings: list[Any] = [[], {}, None]
    for nothing in nothings:
        with pytest.raises(TypeError):
            await db.notes.insert_many(nothing)


async def test_errors_say_what_pymongo_says(host: FakeHost) -> None:
    with pytest.raises(DocumentTooLarge):
        await db.notes.insert_one({"text": "x" * (17 * 1024 * 1024)})
    with pytest.raises(InvalidDocument, match=r"a\.1\.b"):
        await db.notes.insert_one({"a": [1, {"b": object()}]})
    with pytest.raises(OverflowError):
        await db.notes.insert_one({"n": 2**70})
    assert host.commands == []

    duplicate = {"index": 0, "code": 11000, "errmsg": "E11000", "keyValue": {"a": 1}}
    host.replies.append({"ok": 1.0, "n": 0, "writeErrors": [duplicate]})
    with pytest.raises(DuplicateKeyError) as raised:
        await db.notes.insert_one({})
    assert raised.value.details is not None
    assert raised.value.details["keyValue"] == {"a": 1}

    host.replies.append({"ok": 1.0, "n": 0, "writeErrors": [{"index": 0, "code": 121}]})
    with pytest.raises(WriteError) as refused:
        await db.notes.update_one({}, {"$set": {"a": 1}})
    assert refused.value.code == 121


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (HostError("DATABASE_UNAVAILABLE", "gone"), DatabaseUnavailable),
        (HostError("DATABASE_UNAVAILABLE", "gone"), AutoReconnect),
        (server_error(14031, host_code="STORAGE_FULL"), StorageFull),
        (server_error(11000, host_code="CONFLICT"), DuplicateKeyError),
        (server_error(43), CursorNotFound),
        (server_error(2), OperationFailure),
        (HostError("VALIDATION_ERROR", "bad"), InvalidOperation),
    ],
)
async def test_refusals_become_pymongo_errors(
    host: FakeHost, error: HostError, expected: type[Exception]
) -> None:
    host.replies.append(error)
    with pytest.raises(expected) as raised:
        await db.notes.find_one({})
    if isinstance(raised.value, OperationFailure) and error.details:
        assert raised.value.code == bson.decode(error.details)["code"]


async def test_updates(host: FakeHost) -> None:
    object_id = ObjectId()
    host.replies.extend(
        [
            {"ok": 1.0, "n": 1, "nModified": 0},
            {"ok": 1.0, "n": 1, "nModified": 0, "upserted": [{"index": 0, "_id": object_id}]},
            {"ok": 1.0, "n": 3, "nModified": 2},
        ]
    )
    result = await db.notes.update_one({"_id": object_id}, {"$set": {"a": 1}})
    assert (result.matched_count, result.modified_count, result.upserted_id) == (1, 0, None)
    result = await db.notes.replace_one({"a": 1}, {"b": 2}, upsert=True)
    assert (result.matched_count, result.upserted_id) == (0, object_id)
    result = await db.notes.update_many(
        {}, {"$inc": {"n": 1}}, array_filters=[{"x": 1}], collation={"locale": "de"}
    )
    assert (result.matched_count, result.modified_count) == (3, 2)
    assert host.commands[1]["updates"] == [{"q": {"a": 1}, "u": {"b": 2}, "upsert": True}]
    assert host.commands[2]["updates"] == [
        {
            "q": {},
            "u": {"$inc": {"n": 1}},
            "multi": True,
            "collation": {"locale": "de"},
            "arrayFilters": [{"x": 1}],
        }
    ]
    with pytest.raises(ValueError, match="only works with"):
        await db.notes.update_one({}, {"a": 1})
    with pytest.raises(ValueError, match="include"):
        await db.notes.replace_one({}, {"$set": {}})
    with pytest.raises(TypeError):
        await db.notes.update_one([], {"$set": {"a": 1}})  # type: ignore[arg-type]


async def test_deletes(host: FakeHost) -> None:
    host.replies.extend([{"ok": 1.0, "n": 1}, {"ok": 1.0, "n": 5}])
    assert (await db.notes.delete_one({"a": 1})).deleted_count == 1
    assert (await db.notes.delete_many({})).deleted_count == 5
    assert [command["deletes"][0]["limit"] for command in host.commands] == [1, 0]


async def test_find_one_and_change(host: FakeHost) -> None:
    host.replies.extend([{"ok": 1.0, "value": {"a": 2}}, {"ok": 1.0, "value": None}])
    found = await db.notes.find_one_and_update(
        {"a": 1},
        {"$set": {"a": 2}},
        projection={"_id": 0},
        sort=[("a", -1)],
        return_document=ReturnDocument.AFTER,
    )
    assert found == {"a": 2}
    assert await db.notes.find_one_and_delete({"a": 9}) is None
    assert host.commands[0] == {
        "findAndModify": "notes",
        "query": {"a": 1},
        "update": {"$set": {"a": 2}},
        "new": True,
        "upsert": False,
        "fields": {"_id": 0},
        "sort": {"a": -1},
    }
    assert host.commands[1] == {"findAndModify": "notes", "query": {"a": 9}, "remove": True}


async def test_bulk_writes_go_in_runs(host: FakeHost) -> None:
    host.replies.extend(
        [
            {"ok": 1.0, "n": 2},
            {"ok": 1.0, "n": 2, "nModified": 1, "upserted": [{"index": 1, "_id": 5}]},
            {"ok": 1.0, "n": 4},
        ]
    )
    result = await db.notes.bulk_write(
        [
            InsertOne({"_id": 1}),
            InsertOne({"_id": 2}),
            UpdateOne({"_id": 1}, {"$set": {"a": 1}}),
            ReplaceOne({"_id": 5}, {"b": 1}, upsert=True),
            DeleteMany({}),
        ]
    )
    assert [next(iter(command)) for command in host.commands] == ["insert", "update", "delete"]
    assert result.inserted_count == 2
    assert result.matched_count == 1
    assert result.modified_count == 1
    assert result.upserted_ids == {3: 5}
    assert result.deleted_count == 4


async def test_an_ordered_bulk_stops_at_the_first_refusal(host: FakeHost) -> None:
    error = {"index": 1, "code": 11000, "errmsg": "dup"}
    host.replies.append({"ok": 1.0, "n": 1, "writeErrors": [error]})
    with pytest.raises(BulkWriteError) as raised:
        await db.notes.insert_many([{"_id": 1}, {"_id": 1}])
    assert raised.value.details["nInserted"] == 1
    assert raised.value.details["writeErrors"][0]["op"] == {"_id": 1}

    host.replies.clear()
    host.commands.clear()
    host.replies.extend(
        [{"ok": 1.0, "n": 0, "writeErrors": [{**error, "index": 0}]}, {"ok": 1.0, "n": 1}]
    )
    with pytest.raises(BulkWriteError) as raised:
        await db.notes.bulk_write([DeleteMany({}), InsertOne({"_id": 1})], ordered=False)
    assert len(host.commands) == 2
    assert raised.value.details["nRemoved"] == 1
    assert raised.value.details["writeErrors"][0]["index"] == 1
    with pytest.raises(InvalidOperation):
        await db.notes.bulk_write([])


async def test_values_come_back_as_with_pymongo(host: FakeHost) -> None:
    at = dt.datetime(2026, 1, 2, 3, 4, 5, 678000)
    host.replies.append(batch([{"at": at, "big": Int64(7), "bytes": b"x"}]))
    found = await db.notes.find_one({})
    assert found["at"] == at
    assert found["at"].tzinfo is None
    assert isinstance(found["big"], Int64)
    aware = db.notes.with_options(codec_options=bson.CodecOptions(tz_aware=True))
    host.replies.append(batch([{"at": at}]))
    assert (await aware.find_one({}))["at"].tzinfo is not None


async def test_options_travel_with_writes(host: FakeHost) -> None:
    careful = db.notes.with_options(write_concern=WriteConcern(w="majority"))
    await careful.insert_one({}, comment="why")
    assert host.commands[0]["writeConcern"] == {"w": "majority"}
    assert host.commands[0]["comment"] == "why"


def test_names() -> None:
    assert db["a"] == db.a == db.get_collection("a")
    assert db.a.b.name == "a.b"
    with pytest.raises(AttributeError):
        _ = db._private
    with pytest.raises(TypeError, match="not callable"):
        db.notes.find_many({})
