"""Runs the plugin as the gateway does: `mozaiks plugin test PATH`."""

from pathlib import Path

from mozaiks.testing import start_plugin

PLUGIN = Path(__file__).parent.parent


async def test_each_run_is_counted(gateway):
    async with start_plugin(PLUGIN) as plugin:
        before = await plugin.request("GET", "/status", user_id="ann")
        assert before.body == {"runs": 0, "last_run": None}
        await plugin.run_job("tick")
        await plugin.run_job("tick")
        after = await plugin.request("GET", "/status", user_id="ann")
    assert after.body["runs"] == 2
    assert after.body["last_run"].endswith("+00:00")


async def test_the_job_runs_every_five_minutes(gateway):
    async with start_plugin(PLUGIN):
        (spec, _), = gateway.registered["job"]
    assert (spec["name"], spec["cron"]) == ("tick", "*/5 * * * *")
