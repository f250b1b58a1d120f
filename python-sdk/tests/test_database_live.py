"""`db` on a real server: a `docstore` process, or the one of `TEST_MONGODB_URI`."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from bson import ObjectId
from pymongo import InsertOne, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

from core.config.database import db
from mozaiks.testing import TestGateway


async def test_documents_through_their_life(gateway: TestGateway) -> None:
    items = db["items"]
    at = dt.datetime(2026, 1, 2, 3, 4, 5, 678000)
    document: dict[str, Any] = {
        "user_id": "ann",
        "title": "x",
        "at": at,
        "deep": {"list": [1, None]},
    }
    result = await items.insert_one(document)
    found = await items.find_one({"_id": result.inserted_id})
    assert found == document

    updated = await items.update_one({"_id": result.inserted_id}, {"$set": {"title": "y"}})
    assert (updated.matched_count, updated.modified_count) == (1, 1)
    after = await items.find_one_and_update(
        {"title": "y"}, {"$inc": {"n": 1}}, return_document=ReturnDocument.AFTER
    )
    assert after["n"] == 1
    upserted = await items.update_one({"title": "z"}, {"$set": {"n": 5}}, upsert=True)
    assert isinstance(upserted.upserted_id, ObjectId)
    assert await items.count_documents({}) == 2
    assert sorted(await items.distinct("n")) == [1, 5]
    assert (await items.delete_many({})).deleted_count == 2


async def test_cursors_read_on_and_close(gateway: TestGateway) -> None:
    await db.numbers.insert_many([{"n": n} for n in range(250)])
    cursor = db.numbers.find({}, {"_id": 0}).sort("n").batch_size(20)
    assert [each["n"] async for each in cursor] == list(range(250))
    page = await db.numbers.find().sort("n", -1).skip(10).limit(5).to_list(100)
    assert [each["n"] for each in page] == [239, 238, 237, 236, 235]
    async with db.numbers.find().batch_size(2) as open_cursor:
        await open_cursor.next()
    assert not open_cursor.alive
    grouped = db.numbers.aggregate(
        [{"$group": {"_id": {"$mod": ["$n", 2]}, "sum": {"$sum": "$n"}}}, {"$sort": {"_id": 1}}]
    )
    assert [each["sum"] async for each in grouped] == [15500, 15625]
    assert len(await (await db.numbers.aggregate([{"$limit": 3}])).to_list()) == 3


async def test_unique_indexes_are_kept(gateway: TestGateway) -> None:
    name = await db.people.create_index([("mail", 1)], unique=True)
    assert name in await db.people.index_information()
    assert name in {index["name"] for index in await db.people.list_indexes().to_list()}
    await db.people.insert_one({"mail": "a"})
    with pytest.raises(DuplicateKeyError):
        await db.people.insert_one({"mail": "a"})
    with pytest.raises(BulkWriteError) as raised:
        await db.people.bulk_write(
            [InsertOne({"mail": "b"}), InsertOne({"mail": "a"}), InsertOne({"mail": "c"})],
            ordered=False,
        )
    assert raised.value.details["nInserted"] == 2
    done = await db.people.bulk_write([UpdateOne({"mail": "c"}, {"$set": {"mail": "d"}})])
    assert done.modified_count == 1
    await db.people.drop_index(name)
    await db.people.insert_one({"mail": "a"})


async def test_collections(gateway: TestGateway) -> None:
    await db.create_collection("first")
    await db.second.insert_one({})
    assert {"first", "second"} <= set(await db.list_collection_names())
    await db.first.drop()
    assert "first" not in await db.list_collection_names()
    assert (await db.command("ping"))["ok"] == 1


async def test_a_refused_query_says_why(gateway: TestGateway) -> None:
    with pytest.raises(OperationFailure) as raised:
        await db.items.find({"$nonsense": 1}).to_list()
    assert raised.value.code == 2


async def test_many_at_once(gateway: TestGateway) -> None:
    await asyncio.gather(*(db.items.insert_one({"n": n}) for n in range(50)))
    assert await db.items.count_documents({}) == 50
