"""Targets of broadcasts as existing plugins write them."""

from __future__ import annotations

from typing import Any

# What the gateway takes as a list.
_MOST_USERS = 10_000


def is_old(target: Any) -> bool:
    """Whether a target is written as `{"type": …}`.

    Args:
        target: The target.

    Returns:
        Whether `resolve` is for it.
    """
    return isinstance(target, dict) and "type" in target


async def resolve(target: dict[str, Any]) -> str | dict[str, Any] | None:
    """A target as the gateway takes it.

    Args:
        target: `all`, `role`, `user_ids`; or `subscription`, `plugin` and `query`, which are looked
            for in the collection `users` of the app.

    Returns:
        The target; None where no user fits.

    Raises:
        ValueError: For a target that names nothing, or more users than go into one broadcast.
    """
    kind = target["type"]
    if kind == "all":
        return "all"
    if kind == "role":
        return {"role": _named(target, "role")}
    if kind == "user_ids":
        users = [str(user_id) for user_id in target.get("ids") or ()]
        return {"users": users} if users else None
    if kind == "subscription":
        query: Any = {"subscription.tier": _named(target, "tier")}
    elif kind == "plugin":
        plugin = _named(target, "plugin_name")
        query = {"$or": [{"subscription.plugins_unlocked": plugin}, {"admin": True}]}
    elif kind == "query":
        query = target.get("filter")
        if not isinstance(query, dict):
            raise ValueError("a target of type 'query' needs a dict under 'filter'")
    else:
        raise ValueError(
            f"{kind!r} is no type of target; there are all, role, user_ids, subscription, plugin "
            "and query"
        )
    # Only here: whoever sends notifications need not load what databases take.
    from mozaiks.database import db

    cursor = db["users"].find(query, {"platform_user_id": 1}).limit(_MOST_USERS + 1)
    found = await cursor.to_list(_MOST_USERS + 1)
    if len(found) > _MOST_USERS:
        raise ValueError(f"more than {_MOST_USERS} users: name a role, or several targets")
    # Users of an issuer are known by its id for them.
    users = [str(user.get("platform_user_id") or user["_id"]) for user in found]
    return {"users": users} if users else None


def _named(target: dict[str, Any], field: str) -> str:
    name = target.get(field)
    if not isinstance(name, str) or not name:
        raise ValueError(f"a target of type {target['type']!r} needs a text under {field!r}")
    return name
