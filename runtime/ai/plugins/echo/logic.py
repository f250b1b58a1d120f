"""Gives back what it was sent, with the identity that the gateway put into it."""


async def execute(data: dict) -> dict:
    """Returns the request's data."""
    return data
