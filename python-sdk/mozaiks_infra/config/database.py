"""The app's database."""

from mozaiks.database import db, get_collection, get_database, get_db

__all__ = ["db", "get_collection", "get_database", "get_db"]
