"""The operations that odmantic makes; its source distribution carries no tests."""

from __future__ import annotations

import datetime
import decimal
import os
import typing

import pymongo.errors
import pytest
import pytest_asyncio
from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient
from odmantic import AIOEngine, EmbeddedModel, Field, Index, Model, Reference, SyncEngine, query
from odmantic.exceptions import DocumentParsingError, DuplicateKeyError
from pymongo import MongoClient

HOST = (os.environ["DB_IP"], int(os.environ["DB_PORT"]))


class Publisher(Model):
    name: str = Field(unique=True)
    founded: int


class Author(EmbeddedModel):
    name: str
    born: int | None = None


class Book(Model):
    title: str = Field(index=True)
    pages: int
    price: decimal.Decimal = decimal.Decimal("1.50")
    authors: typing.List[Author] = Field(default_factory=list)  # noqa: UP006 - its parser knows these
    at: datetime.datetime = datetime.datetime(2024, 1, 2)
    publisher: Publisher = Reference()

    model_config: typing.ClassVar = {
        "collection": "books",
        "indexes": lambda: [Index(Book.pages, query.desc(Book.title), name="by_pages")],
    }


class Tree(Model):
    name: str = Field(primary_field=True)
    size: float = Field(default=0, key_name="s")


def books() -> list[Book]:
    publishers = [Publisher(name="x", founded=1900), Publisher(name="y", founded=2000)]
    return [
        Book(
            title=f"b{n}",
            pages=100 * n,
            authors=[Author(name="ann"), Author(name="bob", born=n)][: n % 3],
            publisher=publishers[n % 2],
        )
        for n in range(6)
    ]


@pytest_asyncio.fixture
async def engine() -> typing.AsyncIterator[AIOEngine]:
    client: typing.Any = AsyncIOMotorClient(*HOST, directConnection=True)
    await client.drop_database("odmantic")
    engine = AIOEngine(client=client, database="odmantic")
    await engine.configure_database([Book, Publisher, Tree])
    yield engine
    client.close()


@pytest.fixture
def sync_engine() -> typing.Iterator[SyncEngine]:
    with MongoClient(*HOST, directConnection=True) as client:
        client.drop_database("odmantic_sync")
        yield SyncEngine(client=client, database="odmantic_sync")


async def titles(found: typing.Any) -> list[str]:
    return [book.title for book in await found]


@pytest.mark.asyncio
async def test_indexes_are_made(engine: AIOEngine) -> None:
    information = await engine.get_collection(Book).index_information()
    assert information["by_pages"]["key"] == [("pages", 1), ("title", -1)]
    unique = await engine.get_collection(Publisher).index_information()
    assert any(index.get("unique") for index in unique.values())


@pytest.mark.asyncio
async def test_save_and_find_with_references(engine: AIOEngine) -> None:
    await engine.save_all(books())
    assert await engine.count(Publisher) == 2
    found = await engine.find_one(Book, Book.title == "b3")
    assert (found.publisher.name, found.price, found.pages) == ("y", decimal.Decimal("1.50"), 300)
    found.pages = 333
    found.publisher.founded = 2001
    await engine.save(found)
    assert (await engine.find_one(Publisher, Publisher.name == "y")).founded == 2001
    assert await engine.count(Book) == 6
    by_reference = await titles(
        engine.find(Book, Book.publisher == found.publisher.id, sort=Book.title)
    )
    assert by_reference == ["b1", "b3", "b5"]


@pytest.mark.asyncio
async def test_queries(engine: AIOEngine) -> None:
    await engine.save_all(books())
    for condition, expected in [
        (Book.pages > 300, ["b4", "b5"]),
        ((Book.pages >= 100) & (Book.pages <= 200), ["b1", "b2"]),
        ((Book.title == "b0") | (Book.pages == 500), ["b0", "b5"]),
        (Book.title.in_(["b1", "b9"]), ["b1"]),
        (query.not_in(Book.pages, [0, 100, 200, 300]), ["b4", "b5"]),
        (query.nor_(Book.pages < 400, Book.title == "b5"), ["b4"]),
        (Book.title.match("^b[01]$"), ["b0", "b1"]),
        (Book.title != "b0", ["b1", "b2", "b3", "b4", "b5"]),
        ({"authors.name": "bob"}, ["b2", "b5"]),
        ({+Book.authors: {"$size": 1}}, ["b1", "b4"]),
        ({"authors": {"$elemMatch": {"born": 5}}}, ["b5"]),
    ]:
        assert await titles(engine.find(Book, condition, sort=Book.title)) == expected
    ordered = engine.find(Book, sort=(Book.publisher, query.desc(Book.pages)), skip=1, limit=2)
    assert len(await ordered) == 2
    assert await engine.count(Book, Book.pages > 100) == 4
    assert [tree async for tree in engine.find(Tree)] == []


@pytest.mark.asyncio
async def test_own_primary_fields_and_key_names(engine: AIOEngine) -> None:
    await engine.save(Tree(name="oak", size=1.5))
    await engine.save(Tree(name="oak", size=2.5))
    raw = await engine.get_collection(Tree).find_one({})
    assert raw == {"_id": "oak", "s": 2.5}
    assert (await engine.find_one(Tree, Tree.size > 2)).name == "oak"


@pytest.mark.asyncio
async def test_unique_fields(engine: AIOEngine) -> None:
    await engine.save(Publisher(name="x", founded=1))
    with pytest.raises((DuplicateKeyError, pymongo.errors.DuplicateKeyError)):
        await engine.save(Publisher(name="x", founded=2))


@pytest.mark.asyncio
async def test_delete_and_remove(engine: AIOEngine) -> None:
    await engine.save_all(books())
    found = await engine.find_one(Book, Book.title == "b0")
    await engine.delete(found)
    assert await engine.remove(Book, Book.pages > 300) == 2
    assert await engine.remove(Book, Book.pages > 0, just_one=True) == 1
    assert await engine.count(Book) == 2


@pytest.mark.asyncio
async def test_a_document_that_does_not_fit(engine: AIOEngine) -> None:
    await engine.get_collection(Tree).insert_one({"_id": ObjectId(), "s": "no number"})
    with pytest.raises(DocumentParsingError):
        await engine.find_one(Tree)


@pytest.mark.asyncio
async def test_aggregations_on_the_collection(engine: AIOEngine) -> None:
    await engine.save_all(books())
    stages = [
        {"$group": {"_id": f"${+Book.publisher}", "pages": {"$sum": f"${+Book.pages}"}}},
        {"$sort": {"pages": 1}},
    ]
    found = await engine.get_collection(Book).aggregate(stages).to_list(length=None)
    assert [group["pages"] for group in found] == [600, 900]


def test_the_synchronous_engine(sync_engine: SyncEngine) -> None:
    sync_engine.configure_database([Book, Publisher, Tree])
    sync_engine.save_all(books())
    found = list(sync_engine.find(Book, Book.pages >= 400, sort=query.desc(Book.pages)))
    assert [book.title for book in found] == ["b5", "b4"]
    assert found[0].publisher.name == "y"
    sync_engine.delete(found[0])
    assert sync_engine.count(Book) == 5
