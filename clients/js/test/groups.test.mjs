import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { MozaiksClient } from "../dist/index.js";
import { FakeNetwork, settle } from "./fake.mjs";

let network;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  network = new FakeNetwork();
});

async function connected(ack) {
  const client = new MozaiksClient("https://gateway.example", {
    getToken: () => "token",
    WebSocket: network.WebSocket,
    random: () => 1,
    minBackoffMs: 10,
  });
  const next = network.next();
  client.connect();
  const socket = await next;
  socket.accept(ack);
  return { client, socket };
}

test("hands a group's messages to who listens to it", async () => {
  const { client, socket } = await connected();
  const seen = [];
  const stop = client.onGroup("room:1", (message) => seen.push(message));
  const presence = { type: "group_presence", joined: ["ann"], left: [], count: 1 };
  socket.say({ ...presence, _group: "room:1" });
  socket.say({ type: "said", text: "here", _group: "room:1", _epoch: "e1", _offset: 1 });
  socket.say({ type: "said", text: "elsewhere", _group: "room:2" });
  socket.say({ type: "said", text: "to nobody in particular" });
  stop();
  socket.say({ type: "said", text: "too late", _group: "room:1" });
  assert.deepEqual(seen, [
    { ...presence, _group: "room:1" },
    { type: "said", text: "here", _group: "room:1" },
  ]);
  client.close();
});

test("comes back in the place of the connection that broke", async () => {
  const { client, socket } = await connected({ connection_id: "c/1" });
  assert.equal(socket.url.searchParams.get("connection"), null);
  socket.drop();
  mock.timers.tick(10);
  await settle();
  const second = network.sockets.at(-1);
  assert.equal(second.url.searchParams.get("since"), "e1:0");
  assert.equal(second.url.searchParams.get("connection"), "c/1");
  second.accept({ connection_id: "c2", recovered: true });
  second.drop();
  mock.timers.tick(20);
  await settle();
  assert.equal(network.sockets.at(-1).url.searchParams.get("connection"), "c2");
  client.close();
});
