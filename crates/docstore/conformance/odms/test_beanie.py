"""The operations that beanie makes; its source distribution carries no tests."""

from __future__ import annotations

import datetime
import os
import typing

import pymongo
import pytest
import pytest_asyncio
from beanie import (
    BulkWriter,
    DeleteRules,
    Document,
    Indexed,
    Link,
    Replace,
    SaveChanges,
    WriteRules,
    before_event,
    init_beanie,
)
from beanie.exceptions import RevisionIdWasChanged
from beanie.operators import (
    AddToSet,
    All,
    And,
    ElemMatch,
    Exists,
    In,
    Inc,
    Max,
    Nor,
    NotIn,
    Or,
    Pull,
    Push,
    RegEx,
    Rename,
    Set,
    Size,
    Type,
    Unset,
)
from pydantic import BaseModel, Field
from pymongo import AsyncMongoClient
from pymongo.errors import DuplicateKeyError


class Owner(Document):
    name: str
    age: int = 0


class Window(Document):
    x: int
    y: int
    owner: Link[Owner] | None = None


class House(Document):
    name: str
    windows: list[Link[Window]] = Field(default_factory=list)
    main: Link[Window] | None = None


class Part(BaseModel):
    name: str
    price: float


class Product(Document):
    name: typing.Annotated[str, Indexed(unique=True)]
    stock: int = 0
    tags: list[str] = Field(default_factory=list)
    parts: list[Part] = Field(default_factory=list)
    made: datetime.datetime = Field(default_factory=lambda: datetime.datetime(2024, 1, 2))
    note: str | None = None

    class Settings:
        use_state_management = True
        indexes: typing.ClassVar = [
            [("stock", pymongo.ASCENDING), ("name", pymongo.DESCENDING)],
            pymongo.IndexModel([("made", pymongo.ASCENDING)], name="by_date"),
        ]

    @before_event(Replace, SaveChanges)
    def mark(self) -> None:
        self.note = "changed"


class Animal(Document):
    name: str

    class Settings:
        is_root = True


class Bird(Animal):
    wings: int = 2


class Owl(Bird):
    hoots: bool = True


class Versioned(Document):
    name: str

    class Settings:
        use_revision = True


class Totals(BaseModel):
    id: int = Field(alias="_id")
    n: int


MODELS = [Owner, Window, House, Product, Animal, Bird, Owl, Versioned]


@pytest_asyncio.fixture
async def database() -> typing.AsyncIterator[typing.Any]:
    client: AsyncMongoClient[typing.Any] = AsyncMongoClient(
        os.environ["DB_IP"], int(os.environ["DB_PORT"]), directConnection=True
    )
    await client.drop_database("beanie")
    await init_beanie(database=client.beanie, document_models=MODELS)
    yield client.beanie
    await client.close()


async def products() -> None:
    await Product.insert_many(
        [
            Product(
                name=f"p{n}", stock=n % 3, tags=["a", "b"][: n % 3], parts=[Part(name="x", price=n)]
            )
            for n in range(9)
        ]
    )


async def names(query: typing.Any) -> list[str]:
    return [product.name for product in await query.to_list()]


@pytest.mark.asyncio
async def test_indexes_are_made(database: typing.Any) -> None:
    found = await database.Product.index_information()
    assert found["by_date"]["key"] == [("made", 1)]
    assert found["stock_1_name_-1"]["key"] == [("stock", 1), ("name", -1)]
    assert found["name_1"]["unique"]


@pytest.mark.asyncio
async def test_insert_get_replace_delete(database: typing.Any) -> None:
    product = await Product(name="one").insert()
    assert (await Product.get(product.id)).made == datetime.datetime(2024, 1, 2)
    with pytest.raises(DuplicateKeyError):
        await Product(name="one").insert()
    product.stock = 5
    await product.replace()
    assert (await Product.get(product.id)).note == "changed"
    await product.delete()
    assert await Product.get(product.id) is None
    assert await Product.find_all().count() == 0


@pytest.mark.asyncio
async def test_saved_changes_alone_are_sent(database: typing.Any) -> None:
    product = await Product(name="one", tags=["a"]).insert()
    await database.Product.update_one({"_id": product.id}, {"$set": {"stock": 9}})
    assert not product.is_changed
    product.tags = ["b"]
    await product.save_changes()
    assert (product.stock, product.tags) == (9, ["b"])
    product.name = "other"
    product.rollback()
    assert product.name == "one"


@pytest.mark.asyncio
async def test_find_operators(database: typing.Any) -> None:
    await products()
    for query, expected in [
        (Product.find(Product.stock == 1), ["p1", "p4", "p7"]),
        (Product.find(Product.stock > 1, Product.name != "p2"), ["p5", "p8"]),
        (Product.find(In(Product.name, ["p1", "p2"])), ["p1", "p2"]),
        (Product.find(NotIn(Product.stock, [0, 1])), ["p2", "p5", "p8"]),
        (Product.find(Or(Product.name == "p0", Product.name == "p1")), ["p0", "p1"]),
        (Product.find(And(Product.stock == 0, Product.name >= "p3")), ["p3", "p6"]),
        (Product.find(Nor(Product.stock == 0, Product.stock == 1)), ["p2", "p5", "p8"]),
        (Product.find(All(Product.tags, ["a", "b"])), ["p2", "p5", "p8"]),
        (Product.find(Size(Product.tags, 0)), ["p0", "p3", "p6"]),
        (Product.find(ElemMatch(Product.parts, {"price": {"$gt": 6}})), ["p7", "p8"]),
        (Product.find(Product.parts.price == 3), ["p3"]),
        (Product.find(RegEx(Product.name, "^P[01]$", "i")), ["p0", "p1"]),
        (Product.find(Exists(Product.note, False)), []),
        (Product.find(Type(Product.note, "null"), Product.stock == 2), ["p2", "p5", "p8"]),
        (Product.find({"tags.1": "b"}), ["p2", "p5", "p8"]),
    ]:
        assert await names(query.sort("+name")) == expected
    assert await names(Product.find().sort("-stock", "+name").skip(1).limit(2)) == ["p5", "p8"]
    assert await Product.find_one(Product.name == "p9") is None
    assert await Product.find(Product.stock == 2).exists()


@pytest.mark.asyncio
async def test_projections(database: typing.Any) -> None:
    await products()

    class Short(BaseModel):
        name: str

    class Renamed(BaseModel):
        total: int

        class Settings:
            projection: typing.ClassVar = {"_id": 0, "total": {"$add": ["$stock", 10]}}

    found = await Product.find(Product.stock == 1).project(Short).sort("name").to_list()
    assert [short.name for short in found] == ["p1", "p4", "p7"]
    assert (await Product.find_one(Product.name == "p2").project(Renamed)).total == 12


@pytest.mark.asyncio
async def test_update_operators(database: typing.Any) -> None:
    await products()
    await Product.find(Product.stock == 2).update(
        Set({Product.note: "two"}), Inc({Product.stock: 5})
    )
    assert await names(Product.find(Product.stock == 7).sort("name")) == ["p2", "p5", "p8"]
    one = Product.find_one(Product.name == "p1")
    await one.update(Push({Product.tags: "z"}), AddToSet({"others": 1}), Max({Product.stock: 40}))
    await one.update(Pull({Product.tags: "a"}), Rename({"others": "more"}))
    await one.update(Unset({Product.note: ""}))
    raw = await database.Product.find_one({"name": "p1"})
    assert (raw["tags"], raw["more"], raw["stock"], "note" in raw) == (["z"], [1], 40, False)
    result = await Product.find_all().update({"$mul": {"stock": 2}})
    assert result.matched_count == 9
    after = await Product.find_one(Product.name == "p1").update(
        Inc({Product.stock: 1}), response_type="NEW_DOCUMENT"
    )
    assert after.stock == 81
    deleted = await Product.find(Product.stock == 0).delete()
    assert deleted.deleted_count == 3


@pytest.mark.asyncio
async def test_upsert(database: typing.Any) -> None:
    for count in (1, 2):
        await Product.find_one(Product.name == "new").upsert(
            Set({Product.stock: 50}), on_insert=Product(name="new", stock=count)
        )
    assert (await Product.find_one(Product.name == "new")).stock == 50


@pytest.mark.asyncio
async def test_aggregations(database: typing.Any) -> None:
    await products()
    stages = [{"$group": {"_id": "$stock", "n": {"$sum": 1}}}, {"$sort": {"_id": 1}}]
    found = (
        await Product.find(Product.name > "p2").aggregate(stages, projection_model=Totals).to_list()
    )
    assert [(total.id, total.n) for total in found] == [(0, 2), (1, 2), (2, 2)]
    assert await Product.find(Product.stock > 0).sum(Product.stock) == 9
    assert await Product.find_all().avg(Product.stock) == 1
    assert await Product.find_all().max(Product.stock) == 2
    assert await Product.find_all().min(Product.stock) == 0
    assert sorted(await Product.distinct("stock")) == [0, 1, 2]


@pytest.mark.asyncio
async def test_links(database: typing.Any) -> None:
    owner = await Owner(name="ann", age=30).insert()
    windows = [Window(x=n, y=n, owner=owner) for n in range(3)]
    house = House(name="h", windows=windows, main=windows[1])
    await house.save(link_rule=WriteRules.WRITE)
    assert await Owner.count() == 1
    lazy = await House.find_one(House.name == "h")
    assert [type(link) for link in lazy.windows] == [Link] * 3
    await lazy.fetch_link(House.main)
    assert lazy.main.x == 1
    full = await House.find_one(House.name == "h", fetch_links=True)
    assert sorted(window.x for window in full.windows) == [0, 1, 2]
    assert full.windows[0].owner.name == "ann"
    found = await House.find(House.windows.x == 2, fetch_links=True).to_list()
    assert len(found) == 1
    assert await House.find(House.main.x == 7, fetch_links=True).to_list() == []
    assert await House.find(House.main.id == windows[1].id).count() == 1
    await full.delete(link_rule=DeleteRules.DELETE_LINKS)
    assert await Window.count() == 0


@pytest.mark.asyncio
async def test_inheritance(database: typing.Any) -> None:
    await Animal(name="any").insert()
    await Bird(name="bird").insert()
    await Owl(name="owl").insert()
    found = await Animal.find_all(with_children=True).to_list()
    assert {type(animal) for animal in found} == {Animal, Bird, Owl}
    assert await Bird.find_all().count() == 1
    assert await Bird.find_all(with_children=True).count() == 2


@pytest.mark.asyncio
async def test_bulk_writer(database: typing.Any) -> None:
    await products()
    async with BulkWriter(ordered=False) as bulk:
        await Product.find_one(Product.name == "p1", bulk_writer=bulk).update(
            {"$set": {"stock": 100}}
        )
        await Product.find(Product.stock == 2, bulk_writer=bulk).delete()
        await Product.insert_one(Product(name="p20"), bulk_writer=bulk)
    assert await names(Product.find(Product.stock >= 100)) == ["p1"]
    assert await Product.count() == 7


@pytest.mark.asyncio
async def test_revisions(database: typing.Any) -> None:
    first = await Versioned(name="a").insert()
    second = await Versioned.get(first.id)
    first.name = "b"
    await first.save()
    second.name = "c"
    with pytest.raises(RevisionIdWasChanged):
        await second.save()
    assert (await Versioned.get(first.id)).name == "b"
