"""From the original's collections into the control database, on the embedded store."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from mozaiks.migrate import Migration, Report, _shapes
from mozaiks.migrate.__main__ import main
from mozaiks.testing._docstore import Docstore, find_docstore

NOW = dt.datetime.now(dt.timezone.utc).replace(microsecond=0)
ANN, BOB = ObjectId(), ObjectId()


@pytest.fixture(scope="module")
def store() -> Iterator[Docstore]:
    program = find_docstore()
    assert program is not None, "set MOZAIKS_DOCSTORE"
    with Docstore(program) as store:
        yield store


@pytest.fixture
def client(store: Docstore) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](store.uri, tz_aware=True) as client:
        for name in ("old", "shop_control"):
            client.drop_database(name)
        yield client


def fill(client: MongoClient[dict[str, Any]]) -> None:
    old = client["old"]
    old["users"].insert_many(
        [
            {
                "_id": ANN,
                "platform_user_id": "oidc|ann",
                "notification_preferences": {
                    "task_due": {"enabled": False, "frequency": "immediate"},
                    "email_notifications": {"enabled": False, "frequency": "immediate"},
                },
                "notifications": [
                    {
                        "id": "9f4c0b7e-one",
                        "user_id": str(ANN),
                        "type": "task_due",
                        "title": "Embedded",
                        "message": "in the user",
                        "created_at": NOW.replace(tzinfo=None).isoformat(),
                        "read": True,
                        "metadata": {"task_id": ObjectId(), "n": 7},
                    },
                    {"title": "no type", "message": "", "created_at": NOW},
                ],
            },
            {"_id": BOB, "notification_preferences": {"digest_frequency": "weekly"}},
        ]
    )
    old["settings"].insert_many(
        [
            {
                "user_id": str(ANN),
                "plugin_settings": {
                    "notes": {"theme": "dark", "since": NOW, "empty": None},
                    "Bad Name": {"a": 1},
                    "text": "no object",
                },
                "notification_preferences": {
                    "push_enabled": True,
                    "types": {"news": {"enabled": True, "channels": ["in_app", "web_push"]}},
                },
            },
            {"user_id": str(BOB), "plugin_name": "hello-world", "settings": {"b": 1}},
        ]
    )
    old["notifications"].insert_many(
        [
            {
                "user_id": str(ANN),
                "type": "news",
                "title": "Stored",
                "message": "in the collection",
                "metadata": {},
                "read": False,
                "created_at": NOW,
                "channel": "in_app",
            },
            {
                "user_id": str(BOB),
                "type": "news",
                "title": "Old",
                "message": "M",
                "created_at": NOW - dt.timedelta(days=31),
            },
        ]
    )
    old["push_subscriptions"].insert_one({"user_id": str(ANN)})


def run(client: MongoClient[dict[str, Any]], **options: Any) -> Report:
    return Migration(client["old"], client["shop_control"], **options).run()


def numbers(report: Report) -> list[tuple[int, int, int]]:
    tallies = (report.settings, report.preferences, report.notifications)
    return [(each.copied, each.there, sum(each.left.values())) for each in tallies]


def test_what_is_copied_has_the_gateways_shape(client: MongoClient[dict[str, Any]]) -> None:
    fill(client)
    before = {name: list(client["old"][name].find()) for name in ("users", "settings")}
    report = run(client)
    assert numbers(report) == [(2, 0, 2), (2, 0, 0), (2, 0, 2)]
    control = client["shop_control"]

    settings = control["settings"].find_one({"app_id": "default", "user_id": str(ANN)})
    assert settings is not None
    assert list(settings["plugins"]) == ["notes"]
    assert json.loads(settings["plugins"]["notes"]) == {
        "theme": "dark",
        "since": NOW.isoformat(),
        "empty": None,
    }
    assert isinstance(settings["created_at"], dt.datetime)
    assert isinstance(settings["updated_at"], dt.datetime)

    stored = control["notifications"].find({"user_id": str(ANN)}).sort("title", 1)
    embedded, kept = stored
    assert embedded["type"] == "task_due"
    assert embedded["read"] is True
    assert embedded["created_at"] == NOW
    assert embedded["metadata"]["n"] == 7
    assert isinstance(embedded["metadata"]["task_id"], str)
    assert (kept["read"], kept["listed"], kept["channels"]) == (False, True, ["in_app"])
    original = client["old"]["notifications"].find_one({"title": "Stored"})
    assert original is not None
    assert kept["_id"] == original["_id"]

    said = control["notification_preferences"].find_one({"user_id": str(ANN)})
    assert said is not None
    assert json.loads(said["preferences"]) == {
        "channels": {"email": False, "push": True},
        "types": {
            "task_due": {"enabled": False, "channels": None},
            "news": {"enabled": True, "channels": ["in_app", "push"]},
        },
        "digest": "off",
    }
    assert "digest_at" not in said
    weekly = control["notification_preferences"].find_one({"user_id": str(BOB)})
    assert weekly is not None
    assert weekly["digest_at"] > NOW
    assert (weekly["digest_at"].weekday(), weekly["digest_at"].hour) == (0, 8)

    assert report.settings.left == {
        "the plugin's name is none here (lower case, digits, _ and -)": 1,
        "the settings are no object": 1,
    }
    assert report.notifications.left == {"it has no type": 1, "it is older than 30 days": 1}
    assert report.others == {
        "push_subscriptions": (1, "browsers subscribe anew, with the gateway's key")
    }
    assert {name: list(client["old"][name].find()) for name in before} == before


def test_a_second_run_changes_nothing(client: MongoClient[dict[str, Any]]) -> None:
    fill(client)
    assert numbers(run(client, dry_run=True)) == [(2, 0, 2), (2, 0, 0), (2, 0, 2)]
    assert client["shop_control"].list_collection_names() == []
    run(client)
    control = client["shop_control"]
    # What users have changed since stays as they want it.
    control["settings"].update_one({"user_id": str(ANN)}, {"$set": {"plugins.notes": "{}"}})
    control["notifications"].update_many({}, {"$set": {"read": True}})
    before = {name: list(control[name].find()) for name in control.list_collection_names()}
    assert numbers(run(client)) == [(0, 2, 2), (0, 2, 0), (0, 2, 2)]
    after = {name: list(control[name].find()) for name in control.list_collection_names()}
    assert after == before
    # Something new in the old place comes too.
    change = {"$set": {"plugin_settings.tasks": {"a": 1}}}
    client["old"]["settings"].update_one({"user_id": str(ANN)}, change)
    assert numbers(run(client))[0] == (1, 2, 2)


def test_users_may_be_known_by_another_field(client: MongoClient[dict[str, Any]]) -> None:
    fill(client)
    report = run(client, user_id_field="platform_user_id", app_id="shop")
    assert numbers(report) == [(1, 0, 3), (1, 0, 1), (2, 0, 2)]
    assert report.settings.left["its user has no platform_user_id"] == 1
    control = client["shop_control"]
    for collection in ("settings", "notifications", "notification_preferences"):
        for found in control[collection].find():
            assert (found["app_id"], found["user_id"]) == ("shop", "oidc|ann")


def test_the_command(
    store: Docstore, client: MongoClient[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    fill(client)
    arguments = ["--from", store.uri + "old", "--to", store.uri + "shop"]
    assert main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "from old to shop_control, app default" in said
    assert "settings: 2 would be copied, 0 there already, 2 left" in said
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "notifications: 2 copied, 0 there already, 2 left" in said
    assert "  1 left: it is older than 30 days" in said
    assert "push_subscriptions: 1 left: browsers subscribe anew" in said
    assert client["shop_control"]["settings"].count_documents({}) == 2
    for bad in (["--from", "x", "--to", store.uri + "a"], ["--from", store.uri, "--to", store.uri]):
        with pytest.raises(SystemExit, match="2"):
            main(bad)
    nowhere = "mongodb://127.0.0.1:9/old?serverSelectionTimeoutMS=1"
    assert main(["--from", nowhere, "--to", store.uri + "shop"]) == 1
    assert "could not be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"created_at": "tomorrow"}, "created"),
        ({"title": " "}, "title"),
        ({"message": 7}, "message"),
        ({"type": "x" * 129}, "128"),
        ({"metadata": {"x": float("nan")}}, "JSON"),
        ({"metadata": []}, None),
        ({"message": "x" * 70_000}, "64 KiB"),
    ],
)
def test_notifications_that_the_gateway_would_not_keep(
    bad: dict[str, Any], reason: str | None
) -> None:
    found = {"type": "t", "title": "T", "message": "", "created_at": NOW, **bad}
    if reason is None:
        assert _shapes.notification(found, "a", "u", NOW)["metadata"] == {}
        return
    with pytest.raises(_shapes.Left, match=reason):
        _shapes.notification(found, "a", "u", NOW)
