import assert from "node:assert/strict";
import { test } from "node:test";

import { MozaiksClient, MozaiksError } from "../dist/index.js";

/** A client whose requests are answered from a list; gives the requests too. */
function makeClient(...answers) {
  const requests = [];
  let tokens = 0;
  const client = new MozaiksClient("https://gateway.example/base", {
    getToken: ({ refresh }) => `token${(tokens += 1)}${refresh ? "-new" : ""}`,
    fetch: async (url, init) => {
      requests.push({ url, ...init });
      const { status = 200, body = {} } = answers.shift();
      const text = typeof body === "string" ? body : JSON.stringify(body);
      return new Response(text, { status, headers: { "x-request-id": "r1" } });
    },
  });
  return { client, requests };
}

test("execute posts the data with the token and gives the dict", async () => {
  const { client, requests } = makeClient({ body: { success: true } });
  assert.deepEqual(await client.execute("my_plugin", { action: "list" }), { success: true });
  const [request] = requests;
  assert.equal(request.url, "https://gateway.example/base/api/execute/my_plugin");
  assert.equal(request.method, "POST");
  assert.equal(request.headers.authorization, "Bearer token1");
  assert.equal(request.body, '{"action":"list"}');
});

test("errors carry status, code, request id and body", async () => {
  const body = { error: "no such item", error_code: "NOT_FOUND", hint: 1 };
  const { client } = makeClient({ status: 404, body });
  const error = await client.execute("p").catch((error) => error);
  assert.ok(error instanceof MozaiksError);
  const { message, status, errorCode, requestId } = error;
  assert.deepEqual([message, status, errorCode, requestId], ["no such item", 404, "NOT_FOUND", "r1"]);
  assert.deepEqual(error.body, body);
});

test("a domain failure answered with 200 is an error as well", async () => {
  const { client } = makeClient({ body: { error: "full", error_code: "LIMIT_EXCEEDED" } });
  await assert.rejects(client.execute("p"), { status: 200, errorCode: "LIMIT_EXCEEDED" });
});

test("an expired token is replaced once", async () => {
  const expired = { status: 401, body: { error: "expired", error_code: "TOKEN_EXPIRED" } };
  const { client, requests } = makeClient(expired, { body: { ok: true } });
  assert.deepEqual(await client.execute("p"), { ok: true });
  assert.deepEqual(
    requests.map((request) => request.headers.authorization),
    ["Bearer token1", "Bearer token2-new"],
  );
  const again = makeClient(expired, expired);
  await assert.rejects(again.client.execute("p"), { errorCode: "TOKEN_EXPIRED" });
});

test("what is no JSON and what never arrives are errors too", async () => {
  const { client } = makeClient({ status: 502, body: "<html>" });
  await assert.rejects(client.execute("p"), { status: 502, errorCode: "INVALID_ANSWER" });
  const offline = new MozaiksClient("http://x", {
    getToken: () => "t",
    fetch: async () => {
      throw new TypeError("fetch failed");
    },
  });
  await assert.rejects(offline.execute("p"), { status: 0, errorCode: "NETWORK_ERROR" });
});

test("notifications have their routes", async () => {
  const { client, requests } = makeClient(...Array.from({ length: 12 }, () => ({})));
  const { notifications } = client;
  await notifications.list();
  await notifications.list({ unreadOnly: true, limit: 5, offset: 10 });
  await notifications.list({ cursor: "a&b" });
  await notifications.count();
  await notifications.markRead("a/b");
  await notifications.markUnread("n1");
  await notifications.markAllRead();
  await notifications.delete("n1");
  await notifications.preferences();
  await notifications.preferences({ email: false });
  await notifications.config();
  assert.deepEqual(
    requests.map(({ method, url }) => `${method} ${url.split("/base/api/notifications")[1]}`),
    [
      "GET ",
      "GET ?unread_only=true&limit=5&offset=10",
      "GET ?cursor=a%26b",
      "GET /count",
      "POST /a%2Fb/read",
      "POST /n1/unread",
      "POST /read-all",
      "DELETE /n1",
      "GET /preferences",
      "PUT /preferences",
      "GET /config",
    ],
  );
  assert.equal(requests.at(-2).body, '{"preferences":{"email":false}}');
});
