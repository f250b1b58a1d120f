/** What the inbox knows, without a page: races between the list and what arrives. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { InboxModel } from "../dist/inbox/model.js";

const one = (id, read = false) => ({ id, title: `title ${id}`, message: "", read });

/** A client whose pages the test answers, and whose messages the test sends. */
function fakeClient() {
  const handlers = {};
  const pages = [];
  const done = [];
  const call = (name) => async (id) => void done.push([name, id]);
  return {
    state: "closed",
    pages,
    done,
    connect() {
      this.state = "connecting";
    },
    on: (type, handler) => ((handlers[type] = handler), () => delete handlers[type]),
    onState: (handler) => ((handlers.state = handler), () => delete handlers.state),
    onMissed: (handler) => ((handlers.missed = handler), () => delete handlers.missed),
    arrive: (notification) => handlers.notification?.({ type: "notification", data: notification }),
    say: (what, value) => handlers[what]?.(value),
    handlers,
    notifications: {
      list: (options) => new Promise((resolve, reject) => pages.push({ options, resolve, reject })),
      markRead: call("read"),
      markUnread: call("unread"),
      markAllRead: call("all"),
      delete: call("delete"),
    },
  };
}

const page = (notifications, unread_count, next_cursor = null) => ({
  notifications,
  unread_count,
  next_cursor,
});
const settled = () => new Promise((resolve) => setImmediate(resolve));

function begin() {
  const client = fakeClient();
  const seen = { arrived: [], failed: [] };
  const model = new InboxModel(
    client,
    () => {},
    (notification) => seen.arrived.push(notification.id),
    (error) => seen.failed.push(error.message),
  );
  return { client, model, seen, ids: () => model.notifications.map((each) => each.id) };
}

test("what arrives while the list is under way is in it once", async () => {
  const { client, model, seen, ids } = begin();
  assert.equal(client.state, "connecting");
  client.arrive(one("late"));
  client.arrive(one("known"));
  client.pages[0].resolve(page([one("known"), one("old", true)], 1));
  await settled();
  assert.deepEqual(ids(), ["late", "known", "old"]);
  assert.equal(model.unread, 2);
  assert.deepEqual(seen.arrived, ["late", "known"]);
  client.arrive(one("late"));
  assert.equal(model.unread, 2, "a repetition is not another one");
  client.arrive({ nonsense: true });
  client.arrive(undefined);
  assert.equal(model.unread, 2);
});

test("the last list counts, in whatever order they come", async () => {
  const { client, ids, seen } = begin();
  client.say("state", "open");
  client.say("state", "connecting");
  assert.equal(client.pages.length, 2);
  client.pages[1].resolve(page([one("new")], 1));
  await settled();
  client.pages[0].resolve(page([one("stale")], 1));
  await settled();
  assert.deepEqual(ids(), ["new"]);
  client.say("missed");
  client.pages[2].reject(new Error("away"));
  await settled();
  assert.deepEqual(seen.failed, ["away"]);
  assert.deepEqual(ids(), ["new"]);
});

test("older ones come behind, and none twice", async () => {
  const { client, model, ids } = begin();
  client.pages[0].resolve(page([one("3"), one("2")], 3, "cursor"));
  await settled();
  const older = model.loadOlder();
  assert.deepEqual(client.pages[1].options, { limit: 20, cursor: "cursor" });
  client.pages[1].resolve(page([one("2"), one("1")], 3));
  await older;
  assert.deepEqual(ids(), ["3", "2", "1"]);
  assert.equal(model.next, null);
  await model.loadOlder();
  assert.equal(client.pages.length, 2);
});

test("the count follows what is marked and deleted", async () => {
  const { client, model, ids } = begin();
  client.pages[0].resolve(page([one("a"), one("b", true), one("c")], 2));
  await settled();
  await model.mark("a", true);
  await model.mark("a", true);
  assert.equal(model.unread, 1);
  await model.mark("b", false);
  assert.equal(model.unread, 2);
  await model.delete("b");
  await model.delete("b");
  assert.equal(model.unread, 1);
  assert.deepEqual(ids(), ["a", "c"]);
  await model.markAll();
  assert.equal(model.unread, 0);
  assert.deepEqual(client.done.map(([name]) => name), [
    "read", "read", "unread", "delete", "delete", "all",
  ]);
});

test("an inbox that has ended hears nothing", async () => {
  const { client, model, ids } = begin();
  model.end();
  client.pages[0].resolve(page([one("a")], 1));
  await settled();
  client.arrive(one("b"));
  assert.deepEqual(ids(), []);
  assert.deepEqual(Object.keys(client.handlers), []);
});
