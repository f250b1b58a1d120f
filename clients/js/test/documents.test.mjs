/** The pages that the documentation offers for copying work as they are. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { launchBrowser, servePages, withoutBrowser } from "./chromium.mjs";
import { execute, sign, startGateway, until, withoutGateway } from "./gateway.mjs";

/** One of the pages that a document shows, with what the reader fills in. */
async function shownPage(document, values, { at = 0, of = 1 } = {}) {
  const text = await readFile(new URL(`../../../docs/${document}`, import.meta.url), "utf8");
  const shown = [...text.matchAll(/```html\n([^]*?)```/g)];
  assert.equal(shown.length, of, `${document} shows ${of}`);
  let page = shown[at][1];
  for (const [placeholder, value] of values) {
    assert.ok(page.includes(placeholder), `${document} has ${placeholder}`);
    page = page.replaceAll(placeholder, value);
  }
  return page;
}

test("pages of the documentation", { skip: withoutGateway ?? withoutBrowser }, async (t) => {
  const gateway = await startGateway({ dev: true });
  const pages = await servePages();
  const browser = await launchBrowser();
  t.after(async () => {
    await browser.close();
    pages.server.close();
    await gateway.stop();
  });

  async function open(address) {
    const page = await browser.openPage();
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(pages.url + address);
    return { page, complaints };
  }

  await t.test("live messages", async () => {
    const shown = await shownPage("realtime.md", [
      ["PUT THE TOKEN HERE", sign("ada")],
      ["ws://localhost:8000", gateway.url.replace("http:", "ws:")],
    ]);
    pages.documents.set("/live.html", shown);
    const { page, complaints } = await open("/live.html");
    await page.waitForSelector("#state:text-is('open')");
    const message = { type: "hello", text: "<b>from bob</b>" };
    await execute(gateway, "bob", "live", { do: "send", to: "ada", message });
    await page.waitForSelector("#messages li:has-text('<b>from bob</b>')");
    assert.equal(await page.locator("#messages b").count(), 0);
    assert.deepEqual(complaints, []);
  });

  await t.test("notifications", async () => {
    const values = [["http://127.0.0.1:8000", gateway.url]];
    const shown = await shownPage("notifications.md", values, { of: 2 });
    pages.documents.set("/notifications.html", shown);
    await execute(gateway, "grace", "tasks", { action: "create", title: "Before" });
    const { page, complaints } = await open(`/notifications.html#token=${sign("grace")}`);
    await page.waitForSelector("#list li:has-text('Task added: Before')");
    await page.waitForSelector("#state:text-is('open')");
    await execute(gateway, "grace", "tasks", { action: "create", title: "<i>Meanwhile</i>" });
    await page.waitForSelector("#list li:has-text('Task added: <i>Meanwhile</i>')");
    assert.equal(await page.locator("#list i").count(), 0);
    const unread = () => page.textContent("#unread");
    assert.equal(await unread(), "2");
    await page.click("#list button:has-text('Before')");
    await until("that one is read", async () => (await unread()) === "1");
    await page.click("#all");
    await until("that all are read", async () => (await unread()) === "0");
    assert.deepEqual(complaints, []);
  });

  await t.test("the inbox", async () => {
    const values = [
      ["http://127.0.0.1:8000", gateway.url],
      ["./mozaiks-client/", "/"],
    ];
    const shown = await shownPage("notifications.md", values, { at: 1, of: 2 });
    pages.documents.set("/inbox.html", shown);
    await execute(gateway, "hedy", "tasks", { action: "create", title: "Before" });
    const { page, complaints } = await open(`/inbox.html#token=${sign("hedy")}`);
    const inbox = page.locator("mozaiks-inbox");
    await until("the title", async () => (await page.title()) === "(1) Inbox");
    await inbox.getByRole("button", { name: "Meldungen, 1 neu" }).click();
    await inbox.locator('[part~="message"]:has-text("Before")').click();
    await page.waitForSelector("#chosen:text-is('Task added')");
    await until("that it is read", async () => (await page.title()) === "Inbox");
    assert.deepEqual(complaints, []);
  });
});
