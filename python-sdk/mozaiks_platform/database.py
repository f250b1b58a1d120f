"""The app's database."""

from typing import TYPE_CHECKING

from mozaiks import _original
from mozaiks.database import db, get_collection, get_database, get_db

# What the issuer of tokens or an earlier platform has put there: the gateway keeps no users.
users_collection = db["users"]

__all__ = ["db", "get_collection", "get_database", "get_db", "users_collection"]

if not TYPE_CHECKING:
    __getattr__ = _original.guide(__name__, _original.IN_DATABASE)
