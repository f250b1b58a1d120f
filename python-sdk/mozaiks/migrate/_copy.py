"""Goes through the original's collections and writes what is not there yet."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from mozaiks import _json
from mozaiks.migrate import _shapes
from mozaiks.migrate._shapes import Left

Documents = Database[dict[str, Any]]

_BATCH = 500
# What is not copied at all, and why.
_NOT_COPIED = {
    "push_subscriptions": "browsers subscribe anew, with the gateway's key",
    "scheduled_notifications": "schedule them again with digest_scheduler",
    "notification_broadcasts": "they are history",
}


@dataclass
class Tally:
    """What became of one kind of things.

    Attributes:
        copied: How many were (or would be) written.
        there: How many were in the gateway's database already.
        left: How many were not taken, by reason.
    """

    copied: int = 0
    there: int = 0
    left: Counter[str] = field(default_factory=Counter)


@dataclass
class Report:
    """What a run has done.

    Attributes:
        settings: Settings of one plugin for one user each.
        preferences: Preferences of one user each.
        notifications: Notifications.
        others: Documents of collections that are not copied, with the reason.
    """

    settings: Tally = field(default_factory=Tally)
    preferences: Tally = field(default_factory=Tally)
    notifications: Tally = field(default_factory=Tally)
    others: dict[str, tuple[int, str]] = field(default_factory=dict)


class Migration:
    """One run from a database of the original into a control database of the gateway."""

    def __init__(
        self,
        source: Documents,
        control: Documents,
        *,
        app_id: str = "default",
        user_id_field: str = "_id",
        digest_hour: int = 8,
        dry_run: bool = False,
    ) -> None:
        """Prepares a run.

        Args:
            source: The original's database.
            control: The gateway's own database.
            app_id: The app that it all belongs to.
            user_id_field: The field of `users` that the users' tokens name.
            digest_hour: As the gateway's `digest_hour`.
            dry_run: Look and count, and write nothing.
        """
        self._source = source
        self._control = control
        self._app_id = app_id
        self._user_id_field = user_id_field
        self._digest_hour = digest_hour
        self._dry_run = dry_run
        self._now = dt.datetime.now(dt.timezone.utc)
        self._batch: dict[Any, dict[str, Any]] = {}
        self._users: dict[str, str] = {}
        self.report = Report()

    def run(self) -> Report:
        """Copies.

        Returns:
            What was done and left.
        """
        self._users = dict(self._known_users())
        own = {str(user["_id"]): user for user in self._all("users", "notification_preferences")}
        for found in self._all("settings"):
            self._settings_of(found)
            theirs = own.pop(str(found.get("user_id")), {})
            said = (theirs.get("notification_preferences"), found.get("notification_preferences"))
            self._preferences_of(str(found.get("user_id")), *said)
        for user_id, user in own.items():
            self._preferences_of(user_id, user.get("notification_preferences"))
        for user in self._all("users", "notifications"):
            for found in user.get("notifications") or ():
                self._notification_of(str(user["_id"]), found)
        for found in self._all("notifications"):
            self._notification_of(str(found.get("user_id")), found)
        self._flush()
        for name, reason in _NOT_COPIED.items():
            if count := self._source[name].count_documents({}):
                self.report.others[name] = (count, reason)
        return self.report

    def _all(self, collection: str, *fields: str) -> Iterator[dict[str, Any]]:
        projection = dict.fromkeys(fields, 1) or None
        wanted = {name: {"$exists": True} for name in fields}
        yield from self._source[collection].find(wanted, projection, batch_size=_BATCH)

    def _known_users(self) -> Iterator[tuple[str, str]]:
        if self._user_id_field == "_id":
            return
        for user in self._all("users", self._user_id_field):
            named = user[self._user_id_field]
            if isinstance(named, (str, int)) and str(named):
                yield str(user["_id"]), str(named)

    def _user(self, user_id: str) -> str:
        if self._user_id_field == "_id":
            if user_id in ("", "None"):
                raise Left("it is no user's")
            return user_id
        if user_id not in self._users:
            raise Left(f"its user has no {self._user_id_field}")
        return self._users[user_id]

    def _settings_of(self, found: dict[str, Any]) -> None:
        by_plugin = found.get("plugin_settings")
        if "plugin_name" in found:
            by_plugin = {found["plugin_name"]: found.get("settings")}
        if not isinstance(by_plugin, dict):
            return
        tally = self.report.settings
        for plugin, settings in by_plugin.items():
            try:
                user_id = self._user(str(found.get("user_id")))
                text = _shapes.settings_text(plugin, settings)
            except Left as left:
                tally.left[str(left)] += 1
                continue
            whose = {"app_id": self._app_id, "user_id": user_id}
            name = f"plugins.{plugin}"
            collection = self._control["settings"]
            if collection.count_documents({**whose, name: {"$exists": True}}, limit=1):
                tally.there += 1
                continue
            tally.copied += 1
            if not self._dry_run:
                change = {
                    "$set": {name: text, "updated_at": self._now},
                    "$setOnInsert": {"created_at": self._now},
                }
                collection.update_one(whose, change, upsert=True)

    def _preferences_of(self, old_id: str, *said: Any) -> None:
        kept = _shapes.preferences(*said)
        if kept is None:
            return
        tally = self.report.preferences
        try:
            whose = {"app_id": self._app_id, "user_id": self._user(old_id)}
        except Left as left:
            tally.left[str(left)] += 1
            return
        collection = self._control["notification_preferences"]
        if collection.count_documents(whose, limit=1):
            tally.there += 1
            return
        document = {
            **whose,
            "preferences": _json.dumps(kept).decode(),
            "updated_at": self._now,
            "revision": 1,
        }
        if at := _shapes.digest_at(kept["digest"], self._digest_hour, self._now):
            document["digest_at"] = at
        if not self._dry_run:
            try:
                collection.insert_one(document)
            except DuplicateKeyError:
                # The user has been quicker.
                tally.there += 1
                return
        tally.copied += 1

    def _notification_of(self, old_id: str, found: Any) -> None:
        try:
            if not isinstance(found, dict):
                raise Left("it is no object")
            user_id = self._user(old_id)
            document = _shapes.notification(found, self._app_id, user_id, self._now)
        except Left as left:
            self.report.notifications.left[str(left)] += 1
            return
        if document["_id"] in self._batch:
            self.report.notifications.there += 1
            return
        self._batch[document["_id"]] = document
        if len(self._batch) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self._batch:
            return
        collection = self._control["notifications"]
        there = {
            one["_id"] for one in collection.find({"_id": {"$in": [*self._batch]}}, {"_id": 1})
        }
        missing = [document for id_, document in self._batch.items() if id_ not in there]
        self.report.notifications.there += len(there)
        self.report.notifications.copied += len(missing)
        if missing and not self._dry_run:
            collection.insert_many(missing, ordered=False)
        self._batch.clear()
