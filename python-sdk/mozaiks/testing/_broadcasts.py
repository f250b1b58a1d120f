"""Recording stand-ins for broadcasts and for notifications of a later time.

What the gateway would do by itself, when there is time for it or when the time has come, the test
says: nothing here waits.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import Any

from mozaiks.errors import HostError
from mozaiks.testing._moment import read_moment
from mozaiks.testing._services import RecordingNotifications

_LISTED = 100
_MOST_USERS = 10_000


def _stamp(at: dt.datetime) -> str:
    return at.astimezone(dt.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _now() -> str:
    return _stamp(dt.datetime.now(dt.timezone.utc))


def _invalid(path: str, message: str) -> HostError:
    return HostError("VALIDATION_ERROR", f"{path}: {message}")


def _moment(value: Any, path: str) -> str:
    wrong = _invalid(path, "must be a time in ISO 8601")
    if not isinstance(value, str):
        raise wrong
    try:
        return _stamp(read_moment(value))
    except ValueError:
        raise wrong from None


def _draft(payload: dict[str, Any]) -> dict[str, Any]:
    """What is to be said, if it can be."""
    for name in ("notification_type", "title"):
        text = payload.get(name)
        if not isinstance(text, str) or not text.strip():
            raise _invalid(name, "must not be empty")
    names = ("notification_type", "title", "message", "metadata", "channels")
    return {name: payload.get(name) for name in names}


def _target(target: Any) -> Any:
    """A target as a record names it."""
    if target is None or target == "all":
        return "all"
    if isinstance(target, str) and target.removeprefix("role:") not in ("", target):
        return {"role": target.removeprefix("role:")}
    fields = target if isinstance(target, dict) else {"users": target}
    role, users = fields.get("role"), fields.get("users")
    if isinstance(role, str) and users is None:
        return {"role": role}
    if role is None and isinstance(users, list) and all(isinstance(user, str) for user in users):
        if not 1 <= len(users) <= _MOST_USERS:
            raise _invalid("target.users", f"must hold 1 to {_MOST_USERS} users")
        return {"users": sorted(set(users))}
    raise _invalid("target", 'must be "all", {"role": "…"} or {"users": ["…"]}')


class RecordingBroadcasts:
    """Keeps broadcasts; the test says when one goes out.

    Attributes:
        all: The records in the order of their creation, as `broadcast` gives them.
    """

    def __init__(self, notifications: RecordingNotifications) -> None:
        self.all: list[dict[str, Any]] = []
        self._notifications = notifications
        self._apps: dict[str, str] = {}

    def run(self, broadcast_id: str, users: Iterable[str] = ()) -> dict[str, Any]:
        """Sends a broadcast out, as the gateway does by itself.

        Args:
            broadcast_id: The broadcast.
            users: Whom the gateway would find: all users, or those of the role. A target that names
                its users needs none.

        Returns:
            The record afterwards. What the users were told is in `notifications`.
        """
        record = self._find(broadcast_id)
        _must_wait(record)
        target = record["target"]
        named = target.get("users") if isinstance(target, dict) else None
        for user_id in named if named is not None else users:
            self._notifications.create({**record, "user_id": user_id})
            record["sent"] += 1
        record["status"], record["ended_at"] = "done", _now()
        return record

    def create(self, app_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Records a broadcast.

        Args:
            app_id: The app.
            payload: As `broadcast` and `schedule` send it.

        Returns:
            The record.

        Raises:
            HostError: If it makes no sense.
        """
        send_at = payload.get("send_at")
        record = {
            **_draft(payload),
            "id": uuid.uuid4().hex,
            "target": _target(payload.get("target")),
            "status": "queued",
            "send_at": _now() if send_at is None else _moment(send_at, "send_at"),
            "sent": 0,
            "suppressed": 0,
            "failed": 0,
            "created_by": None,
            "created_at": _now(),
            "ended_at": None,
        }
        self.all.append(record)
        self._apps[record["id"]] = app_id
        return record

    def get(self, app_id: str, broadcast_id: str) -> dict[str, Any]:
        """A broadcast of an app.

        Args:
            app_id: The app.
            broadcast_id: The broadcast.

        Returns:
            The record.

        Raises:
            HostError: If there is none.
        """
        if self._apps.get(broadcast_id) != app_id:
            raise HostError("NOT_FOUND", "there is no such broadcast")
        return self._find(broadcast_id)

    def cancel(self, app_id: str, broadcast_id: str) -> bool:
        """Cancels a broadcast of an app.

        Args:
            app_id: The app.
            broadcast_id: The broadcast.

        Returns:
            Whether there was one.

        Raises:
            HostError: If it is past that.
        """
        if self._apps.get(broadcast_id) != app_id:
            return False
        return _cancel(self._find(broadcast_id))

    def latest(self, app_id: str) -> list[dict[str, Any]]:
        """The broadcasts of an app.

        Args:
            app_id: The app.

        Returns:
            The latest hundred records, newest first.
        """
        own = [record for record in reversed(self.all) if self._apps[record["id"]] == app_id]
        return own[:_LISTED]

    def _find(self, broadcast_id: str) -> dict[str, Any]:
        return next(record for record in self.all if record["id"] == broadcast_id)


class RecordingSchedule:
    """Keeps notifications for later; the test says when the time of one has come.

    Attributes:
        all: What was scheduled, in order: `id`, `user_id`, `scheduled_for`, `status`, and what is
            to be said.
    """

    def __init__(self, notifications: RecordingNotifications) -> None:
        self.all: list[dict[str, Any]] = []
        self._notifications = notifications
        self._apps: dict[str, str] = {}

    def of(self, user_id: str) -> list[dict[str, Any]]:
        """What was scheduled for a user.

        Args:
            user_id: The user.

        Returns:
            As in `all`.
        """
        return [each for each in self.all if each["user_id"] == user_id]

    def run(self, scheduled_id: str) -> dict[str, Any]:
        """Lets the time of a notification come.

        Args:
            scheduled_id: What `schedule_notification` gave under `id`.

        Returns:
            The notification, which is also in `notifications`.
        """
        scheduled = next(each for each in self.all if each["id"] == scheduled_id)
        _must_wait(scheduled)
        scheduled["status"], scheduled["ended_at"] = "sent", _now()
        return self._notifications.create(scheduled)

    def schedule(self, app_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Records a notification for later.

        Args:
            app_id: The app.
            payload: As `schedule_notification` sends it.

        Returns:
            What the gateway gives.

        Raises:
            HostError: If it makes no sense.
        """
        scheduled = {
            **_draft(payload),
            "id": uuid.uuid4().hex,
            "user_id": payload["user_id"],
            "scheduled_for": _moment(payload.get("scheduled_for"), "scheduled_for"),
            "status": "queued",
            "created_at": _now(),
            "ended_at": None,
        }
        self.all.append(scheduled)
        self._apps[scheduled["id"]] = app_id
        return {name: scheduled[name] for name in ("id", "user_id", "scheduled_for", "status")}

    def cancel(self, app_id: str, scheduled_id: str) -> bool:
        """Cancels a notification for later of an app.

        Args:
            app_id: The app.
            scheduled_id: Its id.

        Returns:
            Whether there was one.

        Raises:
            HostError: If it has gone out.
        """
        if self._apps.get(scheduled_id) != app_id:
            return False
        return _cancel(next(each for each in self.all if each["id"] == scheduled_id))

    def latest(self, app_id: str) -> list[dict[str, Any]]:
        """The notifications for later of an app.

        Args:
            app_id: The app.

        Returns:
            The latest hundred as the gateway gives them, newest first.
        """
        own = [each for each in reversed(self.all) if self._apps[each["id"]] == app_id]
        return [
            {
                "id": each["id"],
                "channel": "scheduled",
                "user_id": each["user_id"],
                "notification_id": None,
                "status": each["status"],
                "attempts": int(each["status"] == "sent"),
                "reason": None,
                "created_at": each["created_at"],
                "ended_at": each["ended_at"],
                "run_at": each["scheduled_for"] if each["status"] == "queued" else None,
            }
            for each in own[:_LISTED]
        ]


def _must_wait(record: dict[str, Any]) -> None:
    if record["status"] != "queued":
        raise ValueError(f"it does not wait any more: it is {record['status']}")


def _cancel(record: dict[str, Any]) -> bool:
    if record["status"] != "queued":
        message = f"it cannot be cancelled any more: it is {record['status']}"
        raise HostError("CONFLICT", message)
    record["status"], record["ended_at"] = "cancelled", _now()
    return True
