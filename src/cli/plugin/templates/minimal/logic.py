"""What the plugin does, in one sentence."""


async def execute(data: dict) -> dict:
    """Answer one call: `data` is the request's body and who asks."""
    if data.get("action") == "greet":
        name = data["_context"]["username"] or data["user_id"]
        return {"message": f"Hello, {name}!"}
    return {"error": "Unknown action", "error_code": "VALIDATION_ERROR"}
