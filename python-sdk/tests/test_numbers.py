"""The stand-in refuses the numbers that the gateway refuses."""

import pytest

from core.settings_manager import settings_manager
from mozaiks.errors import HostError
from mozaiks.testing import TestGateway


async def test_numbers_of_more_than_64_bits_are_refused(gateway: TestGateway) -> None:
    kept = {"a": [2**64 - 1, -(2**63), 0.5, True], "b": {"c": -1e15}}
    await settings_manager.save_plugin_settings("ann", "sample", kept)
    for number in (2**64, -(2**63) - 1, 10**30, 1e300, float(-(2**63))):
        with pytest.raises(HostError) as raised:
            await settings_manager.save_plugin_settings("ann", "sample", {"x/y": [{"z": number}]})
        assert raised.value.error_code == "VALIDATION_ERROR"
        assert raised.value.details["problems"][0]["path"] == "/x~1y/0/z"
    assert await settings_manager.get_plugin_settings("ann", "sample") == kept
