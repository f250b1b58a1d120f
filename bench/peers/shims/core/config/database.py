"""`db` of PyMongo's async client, or of Motor where `BENCH_DRIVER=motor`."""

import os
from typing import Any

_uri = os.environ["MOZAIKS_DATABASE_URI"]
_client: Any
if os.environ.get("BENCH_DRIVER") == "motor":
    from motor.motor_asyncio import AsyncIOMotorClient

    _client = AsyncIOMotorClient(_uri)
else:
    from pymongo import AsyncMongoClient

    _client = AsyncMongoClient(_uri)
db = _client[os.environ["MOZAIKS_DATABASE_NAME"]]
