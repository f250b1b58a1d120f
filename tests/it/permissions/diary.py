"""Keeps what each user writes, and tries to reach what others wrote."""

from core.config.database import db
from mozaiks import PermissionDenied
from pymongo import DeleteMany, InsertOne, UpdateMany
from pymongo.errors import PyMongoError

DIARY = "diary"
KEPT = {}


async def stages(collection, *pipeline):
    return await db[collection].aggregate(list(pipeline)).to_list(None)


async def in_transaction(other):
    async with db.client.start_session() as session:
        async with session.start_transaction():
            await db[DIARY].update_many({}, {"$set": {"seen": 1}}, session=session)
            return await db[DIARY].find({}, session=session).to_list(None)


async def upserted(other):
    await db[DIARY].update_one({"text": "fresh"}, {"$set": {"n": 1}}, upsert=True)
    found = await db[DIARY].find_one_and_update(
        {"text": "fresher"}, {"$inc": {"n": 1}}, upsert=True, return_document=True
    )
    await db[DIARY].replace_one({"text": "freshest"}, {"text": "freshest"}, upsert=True)
    mine = await db[DIARY].find({"text": {"$regex": "^fresh"}}).to_list(None)
    await db[DIARY].delete_many({"text": {"$regex": "^fresh"}})
    return [found, *mine]


# What gives documents: none of others' may be among them.
LOOKS = {
    "find": lambda other: db[DIARY].find({}).to_list(None),
    "find_theirs": lambda other: db[DIARY].find({"user_id": other}).to_list(None),
    "find_or": lambda other: db[DIARY].find({"$or": [{"user_id": other}, {}]}).to_list(None),
    "find_expr": lambda other: (
        db[DIARY].find({"$expr": {"$ne": ["$user_id", "x"]}}).to_list(None)
    ),
    "find_one": lambda other: db[DIARY].find_one({"user_id": other}),
    "count": lambda other: db[DIARY].count_documents({"user_id": other}),
    "distinct": lambda other: db[DIARY].distinct("text"),
    "match": lambda other: stages(DIARY, {"$match": {"user_id": other}}),
    "group": lambda other: stages(DIARY, {"$group": {"_id": "$text"}}),
    "project": lambda other: stages(DIARY, {"$set": {"user_id": other}}),
    "facet": lambda other: stages(DIARY, {"$facet": {"x": [{"$match": {}}]}}),
    "lookup": lambda other: stages(
        "diary_seed",
        {"$lookup": {"from": DIARY, "localField": "one", "foreignField": "one", "as": "d"}},
    ),
    "lookup_with_stages": lambda other: stages(
        "diary_seed",
        {"$lookup": {"from": DIARY, "pipeline": [{"$match": {"user_id": other}}], "as": "d"}},
    ),
    "lookup_deep": lambda other: stages(
        "diary_seed",
        {
            "$lookup": {
                "from": "diary_seed",
                "pipeline": [{"$facet": {"x": [{"$unionWith": DIARY}]}}],
                "as": "d",
            }
        },
    ),
    "union": lambda other: stages("diary_seed", {"$unionWith": DIARY}),
    "union_with_stages": lambda other: stages(
        "diary_seed", {"$unionWith": {"coll": DIARY, "pipeline": [{"$match": {"one": 1}}]}}
    ),
    "union_of_itself": lambda other: stages(DIARY, {"$unionWith": DIARY}),
    "graph": lambda other: stages(
        "diary_seed",
        {
            "$graphLookup": {
                "from": DIARY,
                "startWith": "$one",
                "connectFromField": "one",
                "connectToField": "one",
                "as": "g",
            }
        },
    ),
    "modify": lambda other: db[DIARY].find_one_and_update(
        {"user_id": other}, {"$set": {"stolen": 1}}
    ),
    "take": lambda other: db[DIARY].find_one_and_delete({"user_id": other}),
    "transaction": in_transaction,
    "upsert": upserted,
}

# What changes: nothing of others may have changed afterwards.
CHANGES = {
    "update": lambda other: db[DIARY].update_many({}, {"$set": {"seen": 1}}),
    "update_theirs": lambda other: db[DIARY].update_many(
        {"user_id": other}, {"$set": {"stolen": 1}}
    ),
    "update_by_stages": lambda other: db[DIARY].update_many({}, [{"$set": {"user_id": other}}]),
    "replace_theirs": lambda other: db[DIARY].replace_one({"user_id": other}, {"stolen": 1}),
    "delete_theirs": lambda other: db[DIARY].delete_many({"user_id": other}),
    "bulk": lambda other: db[DIARY].bulk_write(
        [
            InsertOne({"text": "bulk", "one": 2}),
            UpdateMany({"user_id": other}, {"$set": {"stolen": 1}}),
            DeleteMany({"user_id": other}),
            DeleteMany({"text": "bulk"}),
        ]
    ),
}

# What is refused whoever asks.
REFUSED = {
    "insert_for_them": lambda other: db[DIARY].insert_one({"user_id": other}),
    "give_away": lambda other: db[DIARY].update_many({}, {"$set": {"user_id": other}}),
    "unset": lambda other: db[DIARY].update_many({}, {"$unset": {"user_id": ""}}),
    "rename_field": lambda other: db[DIARY].update_many({}, {"$rename": {"user_id": "u"}}),
    "replace_for_them": lambda other: db[DIARY].replace_one({}, {"user_id": other}),
    "modify_for_them": lambda other: db[DIARY].find_one_and_update(
        {}, {"$set": {"user_id": other}}
    ),
    "drop": lambda other: db[DIARY].drop(),
    "rename": lambda other: db[DIARY].rename("diary_stolen"),
    "out": lambda other: stages("diary_seed", {"$out": DIARY}),
    "merge": lambda other: stages("diary_seed", {"$merge": {"into": DIARY, "on": "_id"}}),
    "view": lambda other: db.command({"create": "diary_v", "viewOn": DIARY, "pipeline": []}),
    "view_inside": lambda other: db.command(
        {"create": "diary_w", "viewOn": "diary_seed", "pipeline": [{"$unionWith": DIARY}]}
    ),
    "stats": lambda other: db.command({"collStats": DIARY}),
    "explain": lambda other: db.command({"explain": {"find": DIARY}}),
    "expiring": lambda other: db[DIARY].create_index("at", expireAfterSeconds=1),
    "unique": lambda other: db[DIARY].create_index("text", unique=True),
    "watch": lambda other: watched(db[DIARY]),
    "watch_all": lambda other: watched(db),
}

ALL = {"looks": LOOKS, "changes": CHANGES, "refused": REFUSED}


async def watched(target):
    async with target.watch() as stream:
        return await stream.try_next()


async def write(data):
    text = f"{data['app_id']}/{data['user_id']}"
    await db[DIARY].insert_many([{"text": f"{text}/{n}", "one": 1} for n in range(3)])
    await db["diary_seed"].update_one({"_id": 1}, {"$set": {"one": 1}}, upsert=True)


async def mine(data):
    found = await db[DIARY].find({}).sort("text", 1).to_list(None)
    return {"texts": [each["text"] for each in found], "owners": {each["user_id"] for each in found}}


async def open_cursor(data):
    cursor = db[DIARY].find({}).batch_size(1)
    KEPT["cursor"] = cursor
    first = await anext(aiter(cursor))
    return {"text": first["text"]}


async def read_cursor(data):
    try:
        return {"text": (await anext(aiter(KEPT["cursor"])))["text"]}
    except PyMongoError as error:
        return {"refused": type(error).__name__}


async def execute(data):
    action = data.get("action")
    if action == "names":
        return {kind: list(operations) for kind, operations in ALL.items()}
    if action in ("write", "mine", "open_cursor", "read_cursor"):
        return await globals()[action](data) or {}
    try:
        found = await ALL[data["kind"]][data["name"]](data["other"])
    except PermissionDenied as error:
        return {"denied": error.permission}
    return {"found": repr(found)}


async def on_load(ctx):
    ctx.register_route("GET", "/nobody", nobody, requires_auth=False)


async def nobody(request):
    try:
        await db[DIARY].find_one({})
    except PermissionDenied as error:
        return {"denied": error.permission}
    return {}
