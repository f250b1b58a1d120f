"""A plain function: runs on the thread pool."""


def execute(data: dict) -> dict:
    return {"ok": True, "user": data["user_id"]}
