"""The fixture for pytest."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from mozaiks.testing._docstore import Docstore, find_docstore
from mozaiks.testing._gateway import TestGateway


@pytest.fixture(scope="session")
def mozaiks_database_uri() -> Iterator[str | None]:
    """Where documents of tests go: one `docstore` process for all, unless a URI is set."""
    uri = os.environ.get("TEST_MONGODB_URI")
    program = find_docstore()
    if uri or program is None:
        yield uri
        return
    with Docstore(program) as store:
        yield store.uri


@pytest_asyncio.fixture
async def gateway(mozaiks_database_uri: str | None) -> AsyncIterator[TestGateway]:
    """A `TestGateway` for one test, with a database of its own."""
    async with TestGateway(mozaiks_database_uri) as test_gateway:
        yield test_gateway
