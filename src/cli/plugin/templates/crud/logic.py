"""Items of each user: listed, made, read, changed and deleted over HTTP."""

from bson import ObjectId
from bson.errors import InvalidId

TITLE = {"type": "string", "minLength": 1, "maxLength": 200}
ITEM = {"type": "object", "required": ["title"], "properties": {"title": TITLE}}
WITH_ITEM = {"type": "object", "required": ["body"], "properties": {"body": ITEM}}
NOT_FOUND = {"error": "There is no such item", "error_code": "NOT_FOUND"}
PAGE = 50


def items(ctx):
    """Where they are: a collection of the caller's app."""
    return ctx.db["{{name}}_items"]


def own(request):
    """What finds one item, and only the caller's own."""
    try:
        return {"_id": ObjectId(request.params["id"]), "user_id": request.user.user_id}
    except InvalidId:
        return None


def shown(item):
    """An item as clients see it."""
    return {"id": str(item["_id"]), "title": item["title"]}


async def on_load(ctx):
    """Registers the routes, all below `/api/plugins/{{name}}`."""

    @ctx.route("/items")
    async def list_items(request):
        mine = items(ctx).find({"user_id": request.user.user_id}).sort("_id", -1).limit(PAGE)
        found = [shown(item) for item in await mine.to_list(PAGE)]
        return {"items": found, "count": len(found)}

    @ctx.route("/items", methods=["POST"], request_schema=WITH_ITEM)
    async def create_item(request, reply):
        item = {"user_id": request.user.user_id, "title": request.body["title"]}
        item["_id"] = (await items(ctx).insert_one(item)).inserted_id
        return reply.status(201).send(shown(item))

    @ctx.route("/items/{id}")
    async def get_item(request):
        query = own(request)
        item = query and await items(ctx).find_one(query)
        return shown(item) if item else NOT_FOUND

    @ctx.route("/items/{id}", methods=["PUT"], request_schema=WITH_ITEM)
    async def update_item(request):
        query = own(request)
        change = {"$set": {"title": request.body["title"]}}
        item = query and await items(ctx).find_one_and_update(query, change, return_document=True)
        return shown(item) if item else NOT_FOUND

    @ctx.route("/items/{id}", methods=["DELETE"])
    async def delete_item(request):
        query = own(request)
        if query is None or not (await items(ctx).delete_one(query)).deleted_count:
            return NOT_FOUND
        return None


async def on_enable(ctx):
    """Makes the index that every query needs."""
    await items(ctx).create_index([("user_id", 1), ("_id", -1)])
