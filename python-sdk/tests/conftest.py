from __future__ import annotations

from collections.abc import Iterator

import pytest

from mozaiks import _host
from tests.fake_host import FakeHost


@pytest.fixture
def host() -> Iterator[FakeHost]:
    fake = FakeHost()
    before = _host.install(fake)
    yield fake
    _host.install(before)
