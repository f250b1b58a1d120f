import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import WebSocket from "ws";

import { MozaiksClient } from "../dist/index.js";
import { sign, startGateway, until, withoutGateway } from "./gateway.mjs";

test("in Node, against the real gateway", { skip: withoutGateway }, async (t) => {
  let gateway;
  const clients = [];
  before(async () => (gateway = await startGateway()));
  after(async () => {
    for (const client of clients) client.close();
    await gateway.stop();
  });

  /** Sockets of one client, so that a test can break them as a network does. */
  function makeClient(user, options = {}) {
    const sockets = [];
    class Recorded extends WebSocket {
      constructor(...args) {
        super(...args);
        sockets.push(this);
      }
    }
    const client = new MozaiksClient(gateway.url, {
      getToken: () => sign(user),
      WebSocket: Recorded,
      minBackoffMs: 5,
      maxBackoffMs: 20,
      ...options,
    });
    clients.push(client);
    return { client, sockets };
  }

  await t.test("calls plugins and says what went wrong", async () => {
    const { client } = makeClient("ada");
    const message = { type: "hello" };
    const sent = await client.execute("live", { do: "send", to: "nobody", message });
    assert.deepEqual(sent, { reached: 0 });
    await assert.rejects(client.execute("missing"), { status: 404, errorCode: "PLUGIN_NOT_FOUND" });
  });

  await t.test("a broken network loses nothing and doubles nothing", async () => {
    const { client, sockets } = makeClient("ada");
    const seen = [];
    let missed = 0;
    client.on("number", (message) => seen.push(message.n));
    client.onMissed(() => (missed += 1));
    client.connect();
    await until("open", () => client.state === "open");
    const sending = makeClient("bob").client.execute("live", {
      do: "send_numbers",
      to: "ada",
      first: 1,
      count: 200,
    });
    for (let breaks = 1; breaks <= 5; breaks += 1) {
      await until("some more", () => seen.length >= breaks * 20);
      sockets.at(-1).terminate();
      await until("open again", () => sockets.length > breaks && client.state === "open");
    }
    await sending;
    await until("all", () => seen.length >= 200);
    assert.deepEqual(seen, Array.from({ length: 200 }, (_, index) => index + 1));
    assert.equal(missed, 0);
    client.close();
  });

  await t.test("talks to plugins over the socket", async () => {
    const { client } = makeClient("ada");
    const answers = [];
    client.on("echoed", (message) => answers.push(message));
    client.on("error", (message) => answers.push(message));
    client.connect();
    await until("open", () => client.state === "open");
    client.send("live.echo", { text: "hi" });
    await until("an answer", () => answers.length === 1);
    assert.equal(answers[0].by, "ada");
    // The plugin was given the message with the sender's identity put over it.
    const { type, text, user_id: sender } = answers[0].data;
    assert.deepEqual([type, text, sender], ["live.echo", "hi", "ada"]);
    client.send("nobody.listens");
    await until("an error", () => answers.length === 2);
    assert.equal(answers[1].error_code, "UNKNOWN_MESSAGE_TYPE");
    client.close();
  });

  await t.test("a token that ends is renewed on the same socket", async () => {
    let given = 0;
    const { client, sockets } = makeClient("ada", {
      getToken: () => sign("ada", (given += 1) === 1 ? 2 : 3600),
    });
    client.connect();
    await until("renewed", () => given === 2);
    const seen = [];
    client.on("echoed", (message) => seen.push(message));
    const expiry = Date.now() + 2500;
    await until("the first token has ended", () => Date.now() > expiry);
    client.send("live.echo");
    await until("an answer", () => seen.length === 1);
    assert.equal(sockets.length, 1);
    client.close();
  });

  await t.test("a refused token is replaced", async () => {
    const requests = [];
    const { client } = makeClient("ada", {
      getToken: (request) => {
        requests.push(request.refresh);
        return request.refresh ? sign("ada") : sign("ada", -3600);
      },
    });
    client.connect();
    await until("open", () => client.state === "open");
    assert.ok(requests.includes(true));
    client.close();
  });
});
