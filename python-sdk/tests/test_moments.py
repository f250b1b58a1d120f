"""The stand-ins take the times that the gateway takes: both are held to one table."""

import datetime as dt
import json
from pathlib import Path

import pytest

from mozaiks.testing._moment import read_moment

_TABLE = Path(__file__).parents[2] / "tests/fixtures/times.json"
TIMES: list[tuple[str, str | None]] = json.loads(_TABLE.read_text())["times"]


@pytest.mark.parametrize(("text", "moment"), TIMES)
def test_a_time_of_the_table(text: str, moment: str | None) -> None:
    if moment is None:
        with pytest.raises(ValueError, match=r"\S"):
            read_moment(text)
        return
    stamp = read_moment(text).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert stamp == moment


@pytest.mark.parametrize(
    "timespec", ["hours", "minutes", "seconds", "milliseconds", "microseconds"]
)
@pytest.mark.parametrize("separator", ["T", " "])
def test_whatever_datetime_writes(timespec: str, separator: str) -> None:
    zone = dt.timezone(dt.timedelta(hours=-3, minutes=-30, seconds=-15))
    for at in (
        dt.datetime(2030, 5, 1, 8, 30, 15, 123456, tzinfo=dt.timezone.utc),
        dt.datetime(2030, 5, 1, 8, 30, 15, 123456, tzinfo=zone),
        dt.datetime(2030, 5, 1, 8, 30, 15, 123456),
    ):
        text = at.isoformat(separator, timespec)
        written = dt.datetime.fromisoformat(text)
        if written.tzinfo is None:
            written = written.replace(tzinfo=dt.timezone.utc)
        assert read_moment(text) == written
