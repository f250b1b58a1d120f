/** The notifications of the client on the routes of a real gateway. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import WebSocket from "ws";

import { MozaiksClient } from "../dist/index.js";
import { sign, startGateway, until, withoutGateway } from "./gateway.mjs";

test("notifications, on a real gateway", { skip: withoutGateway }, async (t) => {
  let gateway;
  before(async () => (gateway = await startGateway()));
  after(() => gateway.stop());

  /** A user of the test's own with so many notifications, each of a task. */
  async function userWith(user, ...titles) {
    const client = new MozaiksClient(gateway.url, { getToken: () => sign(user), WebSocket });
    for (const title of titles) await client.execute("tasks", { action: "create", title });
    return { client, notifications: client.notifications };
  }
  const messages = (page) => page.notifications.map((one) => one.message);

  await t.test("list gives the newest first, in pages", async () => {
    const { notifications } = await userWith("lister", "one", "two", "three");
    const page = await notifications.list();
    assert.deepEqual(messages(page), ["three", "two", "one"]);
    assert.deepEqual([page.count, page.unread_count, page.next_cursor], [3, 3, null]);
    const [newest] = page.notifications;
    assert.deepEqual(
      { ...newest, id: "", created_at: "", metadata: Object.keys(newest.metadata) },
      {
        id: "",
        type: "tasks_created",
        title: "Task added",
        message: "three",
        metadata: ["task_id"],
        read: false,
        created_at: "",
      },
    );
    assert.ok(Math.abs(Date.now() - Date.parse(newest.created_at)) < 60_000);

    assert.deepEqual(messages(await notifications.list({ limit: 1, offset: 1 })), ["two"]);
    const first = await notifications.list({ limit: 2 });
    const rest = await notifications.list({ limit: 2, cursor: first.next_cursor });
    assert.deepEqual([messages(first), messages(rest)], [["three", "two"], ["one"]]);
    assert.equal(rest.next_cursor, null);
    const nobody = await userWith("nobody");
    assert.deepEqual(messages(await nobody.notifications.list()), []);
  });

  await t.test("markRead and markUnread change one, and the count", async () => {
    const { notifications } = await userWith("reader", "one", "two");
    assert.equal((await notifications.count()).unread_count, 2);
    const [two, one] = (await notifications.list()).notifications;
    assert.equal((await notifications.markRead(one.id)).success, true);
    assert.equal((await notifications.count()).unread_count, 1);
    assert.deepEqual(messages(await notifications.list({ unreadOnly: true })), ["two"]);
    const read = (await notifications.list()).notifications.map(({ id, read }) => [id, read]);
    assert.deepEqual(read, [[two.id, false], [one.id, true]]);
    assert.equal((await notifications.markUnread(one.id)).success, true);
    assert.equal((await notifications.count()).unread_count, 2);

    const thief = await userWith("thief");
    for (const id of [one.id, "65f000000000000000000000", "no/id"]) {
      const refused = { status: 404, errorCode: "NOT_FOUND" };
      await assert.rejects(thief.notifications.markRead(id), refused, id);
    }
  });

  await t.test("markAllRead changes all and says how many", async () => {
    const { notifications } = await userWith("sweeper", "one", "two", "three");
    const [newest] = (await notifications.list()).notifications;
    await notifications.markRead(newest.id);
    assert.deepEqual(await notifications.markAllRead(), { success: true, count: 2 });
    assert.equal((await notifications.count()).unread_count, 0);
    assert.deepEqual(messages(await notifications.list({ unreadOnly: true })), []);
    assert.equal((await notifications.markAllRead()).count, 0);
  });

  await t.test("delete takes one away, once", async () => {
    const { notifications } = await userWith("deleter", "one", "two");
    const [two] = (await notifications.list()).notifications;
    assert.equal((await notifications.delete(two.id)).success, true);
    assert.deepEqual(messages(await notifications.list()), ["one"]);
    assert.equal((await notifications.count()).unread_count, 1);
    const gone = { status: 404, errorCode: "NOT_FOUND" };
    await assert.rejects(notifications.delete(two.id), gone);
  });

  await t.test("preferences are kept, and decide what is created", async () => {
    const { client, notifications } = await userWith("picky");
    const before = await notifications.preferences();
    assert.deepEqual([before.digest, before.types, before.email], ["off", {}, null]);
    assert.equal(before.channels.email, true);

    const changed = await notifications.preferences({
      channels: { sms: false },
      types: { tasks_created: false },
      email: "picky@example.org",
    });
    assert.equal(changed.channels.sms, false);
    assert.equal(changed.channels.email, true);
    assert.equal(changed.types.tasks_created.enabled, false);
    assert.equal(changed.email, "picky@example.org");
    assert.deepEqual(await notifications.preferences(), changed);

    const { task } = await client.execute("tasks", { action: "create", title: "quiet" });
    await client.execute("tasks", { action: "complete", task_id: task.id });
    const told = (await notifications.list()).notifications.map((one) => one.type);
    assert.deepEqual(told, ["tasks_completed"]);

    await assert.rejects(notifications.preferences({ digest: "hourly" }), {
      status: 422,
      errorCode: "VALIDATION_ERROR",
    });
    assert.deepEqual(await notifications.preferences(), changed);
  });

  await t.test("config names the types of the plugins and the channels", async () => {
    const { notifications } = await userWith("looker");
    const config = await notifications.config();
    const own = config.types.filter((type) => type.source === "tasks");
    assert.deepEqual(own.map((type) => type.id), ["tasks_created", "tasks_completed"]);
    assert.deepEqual(own[0].channels, ["in_app"]);
    assert.deepEqual(
      config.channels.find((channel) => channel.id === "in_app"),
      { id: "in_app", configured: true },
    );
    assert.deepEqual(config.digests, ["off", "daily", "weekly"]);
  });

  await t.test("a new one arrives over the socket as the list has it", async () => {
    const { client, notifications } = await userWith("hearer");
    const arrived = [];
    client.on("notification", ({ data }) => arrived.push(data));
    client.connect();
    await until("open", () => client.state === "open");
    await client.execute("tasks", { action: "create", title: "live" });
    await until("a notification", () => arrived.length === 1);
    client.close();
    assert.deepEqual(arrived, (await notifications.list()).notifications);
  });
});
