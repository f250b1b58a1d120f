"""Does whatever a test asks for, by the name of an operation."""

import asyncio

from core.config.database import db
from core.event_bus import event_bus
from core.notifications import broadcast_service, digest_scheduler
from core.notifications_manager import notifications_manager
from core.settings_manager import settings_manager
from core.websocket_manager import websocket_manager
from mozaiks import PermissionDenied, http
from pymongo import InsertOne, UpdateOne

OTHER = "orders"
LATER = None


async def aggregate(collection, *stages):
    return await db[collection].aggregate(list(stages)).to_list(None)


def into(stage, options):
    return lambda: aggregate("probe_own", {stage: options})


async def in_transaction():
    async with db.client.start_session() as session:
        async with session.start_transaction():
            await db[OTHER].insert_one({"a": 1}, session=session)


async def watched(target):
    async with target.watch() as stream:
        return await stream.try_next()


async def heard():
    event_bus.subscribe("other:*", print)


async def history():
    return event_bus.get_history("other:done")


async def published():
    event_bus.publish("other:done", {})


async def on_message():
    websocket_manager.on_message("other_said", print)


async def on_own_message():
    websocket_manager.on_message("probe_said", print)


async def online():
    return websocket_manager.is_connected("ann")


async def presence():
    return websocket_manager.presence("g")


async def everybody():
    return websocket_manager.connected_users()


READS = {
    "find": lambda: db[OTHER].find({}).to_list(None),
    "find_one": lambda: db[OTHER].find_one({}),
    "count": lambda: db[OTHER].count_documents({}),
    "estimate": lambda: db[OTHER].estimated_document_count(),
    "distinct": lambda: db[OTHER].distinct("a"),
    "aggregate": lambda: aggregate(OTHER, {"$match": {}}),
    "list_indexes": lambda: db[OTHER].list_indexes().to_list(None),
    "explain": lambda: db.command({"explain": {"find": OTHER}}),
    "stats": lambda: db.command({"collStats": OTHER}),
    "lookup": into("$lookup", {"from": OTHER, "as": "o", "localField": "a", "foreignField": "a"}),
    "lookup_with_stages": into("$lookup", {"from": OTHER, "as": "o", "pipeline": []}),
    "lookup_inside": into(
        "$lookup",
        {
            "from": "probe_own",
            "as": "o",
            "pipeline": [{"$lookup": {"from": OTHER, "as": "p", "pipeline": []}}],
        },
    ),
    "lookup_in_facet": into(
        "$facet", {"x": [{"$lookup": {"from": OTHER, "as": "o", "pipeline": []}}]}
    ),
    "union": into("$unionWith", OTHER),
    "union_with_stages": into("$unionWith", {"coll": OTHER, "pipeline": []}),
    "graph": into(
        "$graphLookup",
        {
            "from": OTHER,
            "startWith": "$a",
            "connectFromField": "a",
            "connectToField": "b",
            "as": "g",
        },
    ),
    "view": lambda: db.command({"create": "probe_view", "viewOn": OTHER, "pipeline": []}),
    "view_inside": lambda: db.command(
        {"create": "probe_view_2", "viewOn": "probe_own", "pipeline": [{"$unionWith": OTHER}]}
    ),
}

WRITES = {
    "insert_one": lambda: db[OTHER].insert_one({"a": 1}),
    "insert_many": lambda: db[OTHER].insert_many([{"a": 1}, {"a": 2}]),
    "update_one": lambda: db[OTHER].update_one({}, {"$set": {"b": 1}}),
    "update_many": lambda: db[OTHER].update_many({}, {"$set": {"b": 1}}),
    "replace_one": lambda: db[OTHER].replace_one({}, {"a": 3}),
    "delete_one": lambda: db[OTHER].delete_one({"a": 9}),
    "delete_many": lambda: db[OTHER].delete_many({"a": 9}),
    "find_one_and_update": lambda: db[OTHER].find_one_and_update({}, {"$set": {"c": 1}}),
    "find_one_and_delete": lambda: db[OTHER].find_one_and_delete({"a": 9}),
    "bulk_insert": lambda: db[OTHER].bulk_write([InsertOne({"a": 1})]),
    "bulk_update": lambda: db[OTHER].bulk_write([UpdateOne({}, {"$set": {"d": 1}})]),
    "create_index": lambda: db[OTHER].create_index("a"),
    "drop_index": lambda: db[OTHER].drop_index("a_1"),
    "validator": lambda: db.command({"collMod": OTHER, "validator": {}}),
    "merge": into("$merge", OTHER),
    "merge_with_options": into("$merge", {"into": OTHER, "on": "_id"}),
    "transaction": in_transaction,
    "out": into("$out", OTHER),
    "drop": lambda: db[OTHER].drop(),
    "create": lambda: db.create_collection(OTHER),
    "rename_away": lambda: db[OTHER].rename("probe_stolen"),
    "rename_over": lambda: db["probe_own"].rename(OTHER, dropTarget=True),
}

REST = {
    "watch": lambda: watched(db[OTHER]),
    "watch_all": lambda: watched(db),
    "database_stats": lambda: db.command("dbStats"),
    "publish": published,
    "subscribe": heard,
    "history": history,
    "online": online,
    "everybody": everybody,
    "send": lambda: websocket_manager.send_to_user("ann", {"type": "x"}),
    "on_message": on_message,
    "enter_group": lambda: websocket_manager.subscribe("ann", "g"),
    "leave_group": lambda: websocket_manager.unsubscribe("ann", "g"),
    "send_to_group": lambda: websocket_manager.send_to_group("g", {"type": "x"}),
    "presence": presence,
    "broadcast": lambda: websocket_manager.broadcast({"type": "x"}),
    "notify": lambda: notifications_manager.create_notification("ann", "t", "T", "m"),
    "list_notifications": lambda: notifications_manager.get_user_notifications("ann"),
    "digest": lambda: digest_scheduler.schedule_digest("ann"),
    "broadcast_list": lambda: broadcast_service.list_broadcasts(),
    "settings_of_another": lambda: settings_manager.get_plugin_settings("ann", "other"),
    "save_for_another": lambda: settings_manager.save_plugin_settings("ann", "other", {"a": 1}),
    "all_settings": lambda: settings_manager.get_user_settings("ann"),
    "http": lambda: http.get("https://api.example.com/"),
    "http_port": lambda: http.get("https://api.example.com:8443/"),
    "api": lambda: http.api("weather").get("/today"),
}

OWN = {
    "insert": lambda: db["probe_own"].insert_one({"a": 1}),
    "find": lambda: db["probe_own"].find({}).to_list(None),
    "union": lambda: aggregate("probe_own", {"$unionWith": "probe_more"}),
    "merge": lambda: aggregate("probe_own", {"$merge": "probe_more"}),
    "rename": lambda: db["probe_more"].rename("probe_last"),
    "drop": lambda: db["probe_last"].drop(),
    "own_message": on_own_message,
    "send_to_connection": lambda: websocket_manager.send_to_connection("c", {"type": "x"}),
    "settings": lambda: settings_manager.get_plugin_settings("ann", "probe"),
}

ALL = {"read": READS, "write": WRITES, "rest": REST, "own": OWN}


async def execute(data):
    if data.get("action") == "names":
        return {kind: list(operations) for kind, operations in ALL.items()}
    if data.get("action") == "collections":
        return {"names": sorted(await db.list_collection_names())}
    if data.get("action") == "own_event":
        event_bus.subscribe("probe:*", print)
        event_bus.publish("probe:done", {})
        return {}
    operation = ALL[data["kind"]][data["name"]]
    if not data.get("catch"):
        await operation()
        return {}
    try:
        await operation()
    except PermissionDenied as error:
        return {"denied": error.permission, "code": error.error_code}
    except asyncio.CancelledError:
        raise
    except Exception as error:
        # Of the server or of others: it was allowed to ask.
        return {"failed": repr(error)}
    return {}
