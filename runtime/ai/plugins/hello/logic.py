"""Greets whoever calls: the smallest useful plugin."""


async def execute(data: dict) -> dict:
    """Answers with a greeting for the signed-in user."""
    user = data["_context"]["username"] or data["user_id"]
    return {"message": f"Hello, {user}!", "plugin": "hello"}
