"""Asks of the database what the tests want to know."""

import asyncio
import contextlib

from bson import ObjectId
from pymongo import ReadPreference
from pymongo.errors import OperationFailure

from core.config.database import db
from core.settings_manager import settings_manager
from mozaiks import StorageFull

items = db["items"]


async def execute(data):
    return await globals()["do_" + data["action"]](data)


async def said(awaitable):
    try:
        await awaitable
    except Exception as error:
        return {"raised": type(error).__name__, "message": str(error)}
    return {"raised": None}


async def do_insert(data):
    await items.insert_one({"_id": data["n"]})
    return {}


async def do_all(data):
    return {"found": [item["_id"] async for item in items.find().sort("_id", 1)]}


async def do_find(data):
    return {"found": await items.find_one({"_id": data["n"]})}


async def do_indexes(data):
    return {"indexes": await items.index_information()}


async def do_together(data):
    if not hasattr(asyncio, "TaskGroup"):
        # Python 3.10, which knows no groups of errors either.
        await asyncio.gather(items.find_one({}), items.count_documents({}))
        return {}
    async with asyncio.TaskGroup() as group:
        group.create_task(items.find_one({}))
        group.create_task(items.count_documents({}))
    return {}


async def do_settings(data):
    return await settings_manager.get_plugin_settings(data["user_id"], "items")


async def do_own_error(data):
    try:
        await items.find_one({})
    except Exception as error:
        raise ValueError("mine") from error
    return {}


async def do_full(data):
    raise StorageFull("no room", {"ok": 0, "code": 14031})


async def do_too_large(data):
    return await said(items.insert_one({"text": "x" * (17 << 20)}))


async def do_unencodable(data):
    return await said(items.insert_one({"a": {"b": [1, object()]}}))


async def do_object_id(data):
    async def find():
        return await items.find_one({"_id": ObjectId(data["id"])})

    return await said(find())


async def do_where(data):
    return await said(items.find({"$where": "this.n > 1"}).to_list())


async def do_half_read(data):
    await items.insert_many([{} for _ in range(10)])
    cursor = items.find({}, batch_size=2)
    await cursor.next()
    if data["close"]:
        await cursor.close()
    return {}


async def do_keep_reading(data):
    global kept
    kept = items.find({}, batch_size=2)
    await kept.next()
    return {}


async def do_transaction(data):
    async with db.client.start_session() as session, session.start_transaction():
        await items.insert_one({"_id": data["n"]}, session=session)
        within = await items.count_documents({}, session=session)
        outside = await items.count_documents({})
        if data["fail"]:
            await session.abort_transaction()
    return {"within": within, "outside": outside, "after": await items.count_documents({})}


async def do_with_transaction(data):
    tries = []

    async def both(session):
        tries.append(1)
        if len(tries) == 1:
            error = OperationFailure("again", 112, {"errorLabels": ["TransientTransactionError"]})
            raise error
        await items.insert_one({"_id": data["n"]}, session=session)
        await items.update_one({"_id": data["n"]}, {"$set": {"x": 1}}, session=session)
        return len(tries)

    async with await db.client.start_session() as session:
        return {"tries": await session.with_transaction(both)}


async def do_watch(data):
    await items.insert_one({"_id": "before"})
    async with items.watch(
        [{"$match": {"operationType": "insert"}}], max_await_time_ms=500
    ) as changes:
        assert await changes.try_next() is None
        # A reader that gives up, and what happens meanwhile.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(changes.next(), 0.05)
        await items.insert_one({"_id": data["n"]})
        await items.insert_one({"_id": data["n"] + 1})
        seen = [(await changes.next())["documentKey"]["_id"] for _ in range(2)]
        token = changes.resume_token
    await items.insert_one({"_id": data["n"] + 2})
    async with db.watch(resume_after=token) as changes:
        seen.append((await changes.next())["documentKey"]["_id"])
    return {"seen": seen}


async def do_admin(data):
    await items.create_index([("a", 1)], sparse=True, name="by_a")
    listed = [index["name"] async for index in items.list_indexes()]
    known = await items.index_information()
    await items.drop_index("by_a")
    await db.create_collection("made", validator={"n": {"$gte": 0}})
    options = await db["made"].options()
    await db["made"].rename("remade")
    names = await db.list_collection_names()
    await db.drop_collection("remade")
    missing = [index async for index in db["missing"].list_indexes()]
    documents = [d async for d in db.aggregate([{"$documents": [{"n": 1}]}])]
    secondary = items.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
    await secondary.find_one({})
    return {
        "listed": listed,
        "known": sorted(known),
        "validator": options.get("validator"),
        "names": sorted(names),
        "missing": missing,
        "name": db.name,
        "documents": documents,
        "valid": (await db.validate_collection("items"))["valid"],
    }


async def do_secrets(data):
    from mozaiks import _host
    from mozaiks.database import _transport

    said = {}
    for operation in ("db.uri", "db.target", "db.url"):
        try:
            said[operation] = repr(_host.query(operation))
        except Exception as error:
            said[operation] = type(error).__name__
    for name in ("client", "target"):
        try:
            said[name] = repr(getattr(_transport, name)())
        except Exception as error:
            said[name] = type(error).__name__
    said["db"] = repr(db) + repr(db.client) + repr(items) + repr(vars(db))
    for command in ("hello", "buildInfo", "dbStats"):
        said[command] = repr(await db.command(command))
    said["explain"] = repr(await items.find({}).explain())
    for command in ("serverStatus", "getCmdLineOpts", "whatsmyuri", "connectionStatus", "hostInfo"):
        said[command] = (await said_of(db.command(command)))["raised"]
    return said


async def said_of(awaitable):
    return await said(awaitable)


async def do_foreign(data):
    tried = {}
    for name in data["databases"]:
        for stage in (
            {"$out": {"db": name, "coll": "items"}},
            {"$merge": {"into": {"db": name, "coll": "items"}}},
            {"$lookup": {"from": {"db": name, "coll": "settings"}, "as": "x"}},
            {"$unionWith": {"db": name, "coll": "settings"}},
        ):
            found = await said(items.aggregate([{"$facet": {"a": [stage]}}]).to_list())
            tried[str(stage)] = found["raised"]
        try:
            db.client[name]
        except Exception as error:
            tried[name] = type(error).__name__
    return {"tried": tried, "settings": await db["settings"].count_documents({})}


async def do_outage(data):
    try:
        await items.find_one({})
    except Exception as error:
        return {"message": str(error)}
    return {}
