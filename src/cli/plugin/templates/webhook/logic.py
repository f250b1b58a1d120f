"""Takes the webhooks of another service: each once, and only those with its signature."""

import hashlib
import hmac
import json

# Longer than the service goes on sending one that it believes lost.
REMEMBERED_SECONDS = 7 * 24 * 3600
LONGEST_ID = 200


def is_signed(secret: str, body: bytes, signature: str) -> bool:
    """Whether the header is `sha256=` and the HMAC of the body under the shared secret."""
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode())


async def on_load(ctx):
    """Registers the route: public, because the service has no token, so it is limited."""

    async def receive(request, reply):
        secret = ctx.get_config("secret")
        if not secret:
            ctx.logger.error("no secret is configured, so no webhook is taken")
            return reply.status(503).send({"error": "not configured"})
        if not is_signed(secret, request.raw, request.headers.get("x-signature", "")):
            return reply.status(401).send({"error": "the signature is wrong"})
        delivery = request.headers.get("x-delivery-id", "")
        if not 0 < len(delivery) <= LONGEST_ID:
            return {"error": "an id is wanted", "error_code": "VALIDATION_ERROR"}
        # What was signed, byte for byte: `request.body` has the gateway's own fields too.
        try:
            data = json.loads(request.raw)
        except ValueError:
            return {"error": "JSON is wanted", "error_code": "VALIDATION_ERROR"}
        # Counted in one step: of two that come at once one is the first.
        key = f"delivery:{delivery}"
        if await ctx.increment_storage(key) > 1:
            return {"received": True, "again": True}
        await ctx.set_storage(key, 1, ttl=REMEMBERED_SECONDS)
        ctx.emit("{{name}}:received", {"id": delivery, "data": data})
        return {"received": True}

    ctx.register_route(
        "POST", "/hook", receive, requires_auth=False, rate_limit=600, raw_body=True
    )


async def on_enable(ctx):
    """Does what there is to do for a webhook, after the service has its answer."""

    async def handle(event):
        ctx.logger.info("received", delivery=event["id"])
        await ctx.increment_storage("handled")

    ctx.on("{{name}}:received", handle)
