import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { MozaiksClient } from "../dist/index.js";
import { FakeNetwork, settle, token } from "./fake.mjs";

let network;
let requests;
let states;
let closes;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  network = new FakeNetwork();
  requests = [];
  states = [];
  closes = [];
});

function makeClient(options = {}) {
  const client = new MozaiksClient("https://gateway.example/base/", {
    getToken: (request) => {
      requests.push(request);
      return `token${requests.length}`;
    },
    WebSocket: network.WebSocket,
    random: () => 1,
    ...options,
  });
  client.onState((state) => states.push(state));
  client.onClose((reason) => closes.push(reason));
  return client;
}

async function connected(client, ack) {
  const next = network.next();
  client.connect();
  const socket = await next;
  socket.accept(ack);
  return socket;
}

async function afterMs(ms) {
  mock.timers.tick(ms);
  await settle();
}

test("connects with the token as a subprotocol, never in the address", async () => {
  const client = makeClient();
  assert.equal(client.state, "closed");
  const socket = await connected(client);
  assert.equal(socket.url.href, "wss://gateway.example/base/ws?recover=true");
  assert.deepEqual(socket.protocols, ["bearer", "token1"]);
  assert.deepEqual(requests, [{ refresh: false }]);
  assert.deepEqual(states, ["connecting", "open"]);
  client.close();
  assert.equal(socket.closedWith, 1000);
  assert.deepEqual(states, ["connecting", "open", "closed"]);
  assert.deepEqual(closes, [{ code: 1000, reason: "", willReconnect: false }]);
  await afterMs(120_000);
  assert.equal(network.sockets.length, 1);
});

test("waits twice as long after each failure, never longer than the limit, and starts over once stable", async () => {
  const client = makeClient({ minBackoffMs: 100, maxBackoffMs: 1000 });
  client.connect();
  await settle();
  for (const wait of [100, 200, 400, 800, 1000, 1000]) {
    const before = network.sockets.length;
    network.sockets.at(-1).drop();
    assert.equal(client.state, "connecting");
    await afterMs(wait - 1);
    assert.equal(network.sockets.length, before, `before ${wait} ms`);
    await afterMs(1);
    assert.equal(network.sockets.length, before + 1, `after ${wait} ms`);
  }
  network.sockets.at(-1).accept();
  await afterMs(9_999);
  network.sockets.at(-1).drop();
  await afterMs(999);
  const before = network.sockets.length;
  await afterMs(1);
  assert.equal(network.sockets.length, before + 1, "not stable yet: the long wait again");
  network.sockets.at(-1).accept();
  await afterMs(10_000);
  network.sockets.at(-1).drop();
  await afterMs(100);
  assert.equal(network.sockets.length, before + 2);
});

test("spreads the waits between half of the step and all of it", async () => {
  for (const [random, wait] of [[0, 50], [0.5, 75], [0.999999, 100]]) {
    const client = makeClient({ minBackoffMs: 100, random: () => random });
    client.connect();
    await settle();
    network.sockets.at(-1).drop();
    const before = network.sockets.length;
    await afterMs(wait - 1);
    assert.equal(network.sockets.length, before);
    await afterMs(1);
    assert.equal(network.sockets.length, before + 1);
    client.close();
  }
});

test("goes on where it stopped, and hands every message over once", async () => {
  const client = makeClient({ minBackoffMs: 10 });
  const seen = [];
  client.on("n", (message) => seen.push(message));
  const first = await connected(client);
  first.say({ type: "n", n: 1, _epoch: "e1", _offset: 1 });
  first.say({ type: "n", n: 2, _epoch: "e1", _offset: 2 });
  assert.deepEqual(client.position, { epoch: "e1", offset: 2 });
  first.drop();
  await afterMs(10);
  const second = network.sockets.at(-1);
  assert.equal(second.url.searchParams.get("since"), "e1:2");
  second.accept({ offset: 2, recovered: true });
  second.say({ type: "n", n: 2, _epoch: "e1", _offset: 2 });
  second.say({ type: "n", n: 3, _epoch: "e1", _offset: 3 });
  second.say({ type: "n", n: "direct" });
  assert.deepEqual(seen, [
    { type: "n", n: 1 },
    { type: "n", n: 2 },
    { type: "n", n: 3 },
    { type: "n", n: "direct" },
  ]);
  first.say({ type: "n", n: "from a dead socket" });
  assert.equal(seen.length, 4);
});

test("says when messages were lost", async () => {
  const client = makeClient({ minBackoffMs: 10 });
  let missed = 0;
  client.onMissed(() => (missed += 1));
  (await connected(client)).drop();
  await afterMs(10);
  network.sockets.at(-1).accept({ epoch: "e2", offset: 70, recovered: false });
  assert.equal(missed, 1);
  assert.deepEqual(client.position, { epoch: "e2", offset: 70 });
});

test("4403 is final, 4401 asks for a new token", async () => {
  const client = makeClient({ minBackoffMs: 10 });
  (await connected(client)).drop(4401, "TOKEN_EXPIRED");
  await afterMs(10);
  assert.deepEqual(requests, [{ refresh: false }, { refresh: true }]);
  assert.deepEqual(network.sockets.at(-1).protocols, ["bearer", "token2"]);
  network.sockets.at(-1).drop(4403, "FORBIDDEN");
  assert.equal(client.state, "closed");
  assert.deepEqual(closes.at(-1), { code: 4403, reason: "FORBIDDEN", willReconnect: false });
});

test("a refused handshake is tried with a new token every third time", async () => {
  const client = makeClient({ minBackoffMs: 10, maxBackoffMs: 10 });
  client.connect();
  await settle();
  for (let attempt = 0; attempt < 6; attempt += 1) {
    network.sockets.at(-1).drop();
    await afterMs(10);
  }
  const refreshed = requests.map((request) => request.refresh);
  assert.deepEqual(refreshed, [false, false, false, true, true, true, true]);
});

test("a token is renewed before it ends, on the same socket", async () => {
  const seconds = () => Math.floor(Date.now() / 1000);
  const client = makeClient({
    getToken: (request) => {
      requests.push(request);
      return token({ exp: seconds() + 600 });
    },
  });
  const socket = await connected(client);
  for (let passed = 0; passed < 540; passed += 10) {
    await afterMs(10_000);
    socket.say({ type: "pong" });
  }
  assert.equal(network.sockets.length, 1);
  assert.deepEqual(requests, [{ refresh: false }, { refresh: true }]);
  const renewals = socket.sent.filter((message) => message.type === "auth");
  assert.equal(renewals.length, 1);
});

test("a source without a token is asked again later", async () => {
  let fail = true;
  const client = makeClient({
    minBackoffMs: 10,
    getToken: async () => {
      if (fail) throw new Error("signed out");
      return "token";
    },
  });
  client.connect();
  await settle();
  assert.equal(network.sockets.length, 0);
  assert.match(closes[0].reason, /signed out/);
  fail = false;
  await afterMs(10);
  assert.equal(network.sockets.length, 1);
});

test("a gateway that has gone silent is left", async () => {
  const client = makeClient({ minBackoffMs: 10, heartbeatMs: 1000, silenceMs: 500 });
  const socket = await connected(client);
  await afterMs(1000);
  assert.deepEqual(socket.sent, [{ type: "ping" }]);
  socket.say({ type: "pong" });
  await afterMs(1000);
  assert.equal(socket.sent.length, 2);
  await afterMs(499);
  assert.equal(client.state, "open");
  await afterMs(1);
  assert.equal(client.state, "connecting");
  await afterMs(10);
  assert.equal(network.sockets.length, 2);
  // One that never acknowledges is given up too.
  await afterMs(500);
  await afterMs(20);
  assert.equal(network.sockets.length, 3);
});

test("messages go to the handlers of their type, until these are taken away", async () => {
  const client = makeClient();
  const seen = [];
  const offA = client.on("a", (message) => seen.push(["a", message.n]));
  client.on("*", (message) => seen.push(["*", message.n]));
  const socket = await connected(client);
  socket.say({ type: "a", n: 1 });
  socket.say({ type: "b", n: 2 });
  offA();
  socket.say({ type: "a", n: 3 });
  socket.onmessage({ data: "no json" });
  assert.deepEqual(seen, [["a", 1], ["*", 1], ["*", 2], ["*", 3]]);
  client.send("chat", { text: "hi" });
  assert.deepEqual(socket.sent, [{ type: "chat", text: "hi" }]);
  client.close();
  assert.throws(() => client.send("chat"), { errorCode: "NOT_CONNECTED" });
});

test("without a WebSocket connecting says what is missing", () => {
  const saved = globalThis.WebSocket;
  delete globalThis.WebSocket;
  try {
    const client = new MozaiksClient("http://x", { getToken: () => "t" });
    assert.throws(() => client.connect(), /WebSocket/);
  } finally {
    if (saved) globalThis.WebSocket = saved;
  }
});

test("a clock that is fast does not make it ask for tokens without pause", async () => {
  const ahead = 7_200;
  const seconds = () => Math.floor(Date.now() / 1000) - ahead;
  const cases = [
    // With the time it was made, what it lasts is known; without, the gateway says when it has ended.
    [{ iat: true, life: 3_600 }, 2],
    [{ iat: false, life: 3_600 }, 61],
    // By our clock a moment is left.
    [{ iat: true, life: ahead + 1 }, 2],
    [{ iat: true, life: 0 }, 61],
  ];
  for (const [{ iat, life }, most] of cases) {
    requests = [];
    const client = makeClient({
      getToken: (request) => {
        requests.push(request);
        const claims = { n: requests.length, exp: seconds() + life };
        return token(iat ? { ...claims, iat: seconds() } : claims);
      },
    });
    const socket = await connected(client);
    for (let passed = 0; passed < 3_600; passed += 1) {
      await afterMs(1_000);
      socket.say({ type: "pong" });
    }
    assert.ok(requests.length > 1, `${iat} ${life}: renewed`);
    assert.ok(requests.length <= most + 1, `${iat} ${life}: ${requests.length} tokens in an hour`);
    client.close();
  }
});
