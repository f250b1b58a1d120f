/** `<mozaiks-inbox>` in Chromium, against the real gateway, under a policy that allows next to nothing. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { launchBrowser, servePages, withoutBrowser } from "./chromium.mjs";
import { execute, sign, startGateway, until, withoutGateway } from "./gateway.mjs";

/** What the page runs: the token is in the address, as nothing else is secret here. */
const SCRIPT = `
import { MozaiksClient } from "/index.js";
import "/inbox.js";
const given = new URLSearchParams(location.hash.slice(1));
const inbox = document.querySelector("mozaiks-inbox");
window.events = [];
inbox.addEventListener("mozaiks-unread", (event) => (document.title = "(" + event.detail.count + ")"));
inbox.addEventListener("mozaiks-notification-open", (event) => window.events.push(event.detail.title));
inbox.client = new MozaiksClient(given.get("gateway"), {
  getToken: () => given.get("token"),
  minBackoffMs: 20,
});
`;
const PAGE = `<!doctype html><html lang="en"><title>page</title>
<button id="before">before</button><mozaiks-inbox></mozaiks-inbox>
<script type="module" src="/page.js"></script>`;

test("the inbox", { skip: withoutGateway ?? withoutBrowser }, async (t) => {
  const pages = await servePages();
  const gateway = await startGateway({
    environment: {
      MOZAIKS_CORS_ORIGINS: pages.url,
      // Mail is configured, so that there is something to choose; nobody listens there.
      MOZAIKS_EMAIL_HTTP_URL: "http://127.0.0.1:9/",
      MOZAIKS_EMAIL_FROM: "tests@example.com",
    },
  });
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    `connect-src ${gateway.url} ${gateway.url.replace("http", "ws")}`,
    "require-trusted-types-for 'script'",
  ].join("; ");
  const headers = { "content-security-policy": policy };
  pages.documents.set("/page", { body: PAGE, headers });
  pages.documents.set("/page.js", { body: SCRIPT, type: "text/javascript" });
  const browser = await launchBrowser();
  t.after(async () => {
    await browser.close();
    await gateway.stop();
    pages.server.close();
  });

  async function open(user) {
    const page = await browser.openPage({ locale: "en-GB" });
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (line) => line.type() === "error" && complaints.push(line.text()));
    const hash = new URLSearchParams({ gateway: gateway.url, token: sign(user) });
    await page.goto(`${pages.url}/page#${hash}`);
    // `waitForFunction` would be refused by the policy.
    const state = () => page.evaluate(() => document.querySelector("mozaiks-inbox").client?.state);
    await until("a connection", async () => (await state()) === "open");
    const inbox = page.locator("mozaiks-inbox");
    const part = (name) => inbox.locator(`[part~="${name}"]`);
    const bell = part("bell");
    return { page, inbox, part, bell, complaints, items: () => part("title").allTextContents() };
  }
  const add = (user, title) => execute(gateway, user, "tasks", { action: "create", title });
  const label = (bell) => bell.getAttribute("aria-label");
  /** What has the focus, seen through the shadow. */
  const focused = (page) =>
    page.evaluate(() => {
      let at = document.activeElement;
      while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
      return at?.getAttribute("aria-label") ?? at?.getAttribute("part") ?? at?.id;
    });

  await t.test("tells what comes as it comes, as text", async () => {
    const { page, part, bell, complaints, items } = await open("ada");
    assert.equal(await label(bell), "Notifications");
    assert.equal(await part("badge").isVisible(), false);
    const title = `<img src=x onerror="document.title='owned'"><b>bold</b>`;
    await add("ada", title);
    await until("the count", async () => (await label(bell)) === "Notifications, 1 unread");
    assert.equal(await part("badge").textContent(), "1");
    assert.equal(await part("status").textContent(), "New: Task added");
    await add("bob", "not Ada's");
    await bell.click();
    await part("message").waitFor();
    assert.deepEqual(await items(), ["Task added"]);
    assert.ok((await part("message").textContent()).includes(title));
    assert.equal(await page.locator("mozaiks-inbox img, mozaiks-inbox b").count(), 0);
    assert.equal(await page.title(), "(1)");
    // The look is there although the policy forbids styles in the page.
    const position = await part("badge").evaluate((badge) => getComputedStyle(badge).position);
    assert.equal(position, "absolute");
    assert.deepEqual(complaints, []);
    await page.close();
  });

  await t.test("marks and deletes, here and at the gateway", async () => {
    const { page, inbox, part, bell, complaints } = await open("grace");
    for (const title of ["one", "two", "three"]) await add("grace", title);
    const count = (text) => until(text, async () => (await label(bell)) === text);
    await count("Notifications, 3 unread");
    await bell.click();
    const item = (text) => part("item").filter({ hasText: text });
    await item("two").locator('[part="toggle"]').click();
    await count("Notifications, 2 unread");
    assert.equal(await item("two").getAttribute("part"), "item");
    assert.equal(await item("two").locator('[part="toggle"]').textContent(), "Mark as unread");
    await item("two").locator('[part="toggle"]').click();
    await count("Notifications, 3 unread");
    await item("one").locator('[part="open"]').click();
    await count("Notifications, 2 unread");
    assert.deepEqual(await page.evaluate(() => window.events), ["Task added"]);
    await item("three").locator('[part="delete"]').click();
    await count("Notifications, 1 unread");
    await until("that it is gone", async () => (await part("item").count()) === 2);
    await part("mark-all").click();
    await count("Notifications");
    assert.equal(await part("mark-all").isDisabled(), true);
    await page.reload();
    const again = page.locator("mozaiks-inbox");
    await again.locator('[part~="bell"]').click();
    await until("the list", async () => (await again.locator('[part~="item"]').count()) === 2);
    assert.equal(await inbox.locator('[part~="unread"]').count(), 0);
    assert.deepEqual(complaints, []);
    await page.close();
  });

  await t.test("is used without a mouse", async () => {
    const { page, part, bell, complaints } = await open("kay");
    for (const title of ["first", "second", "third"]) await add("kay", title);
    await until("all", async () => (await label(bell)) === "Notifications, 3 unread");
    await page.focus("#before");
    await page.keyboard.press("Tab");
    assert.equal(await focused(page), "Notifications, 3 unread");
    assert.equal(await bell.getAttribute("aria-expanded"), "false");
    await page.keyboard.press("Enter");
    assert.equal(await bell.getAttribute("aria-expanded"), "true");
    assert.equal(await part("panel").getAttribute("role"), "dialog");
    assert.equal(await focused(page), "Notifications");
    await until("the list", async () => (await part("item").count()) === 3);
    // Mark all, settings, close, then the items.
    for (let press = 0; press < 4; press += 1) await page.keyboard.press("Tab");
    assert.equal(await focused(page), "open");
    const shown = () =>
      page.evaluate(() => {
        const root = document.querySelector("mozaiks-inbox").shadowRoot;
        const rows = [...root.querySelectorAll("li")];
        return rows.findIndex((row) => row.contains(root.activeElement));
      });
    assert.equal(await shown(), 0);
    await page.keyboard.press("ArrowDown");
    assert.equal(await shown(), 1);
    await page.keyboard.press("End");
    assert.equal(await shown(), 2);
    await page.keyboard.press("Home");
    await page.keyboard.press("Delete");
    await until("that it is gone", async () => (await part("item").count()) === 2);
    assert.equal(await shown(), 0, "the focus is with its neighbour");
    await page.keyboard.press("Tab");
    assert.match(await focused(page), /^Mark as read: /);
    await page.keyboard.press("Space");
    await until("one read", async () => (await label(bell)) === "Notifications, 1 unread");
    assert.match(await focused(page), /^Mark as unread: /);
    await page.keyboard.press("Escape");
    assert.equal(await part("panel").isVisible(), false);
    assert.equal(await focused(page), "Notifications, 1 unread");
    // A click elsewhere closes it too.
    await bell.click();
    await page.click("#before");
    await until("closed", async () => !(await part("panel").isVisible()));
    assert.deepEqual(complaints, []);
    await page.close();
  });

  await t.test("changes preferences by channel and type", async () => {
    const { page, part, bell, complaints } = await open("pat");
    await bell.click();
    await part("settings").click();
    const preferences = part("preferences");
    await preferences.getByLabel("A task was added", { exact: true }).waitFor();
    const stored = async () => {
      const response = await fetch(`${gateway.url}/api/notifications/preferences`, {
        headers: { authorization: `Bearer ${sign("pat")}` },
      });
      return (await response.json()).preferences;
    };
    await preferences.getByLabel("Mail", { exact: true }).first().uncheck();
    await until("no mail", async () => (await stored()).channels.email === false);
    await preferences.getByLabel("A task was added", { exact: true }).uncheck();
    await until("no tasks", async () => (await stored()).types.tasks_created?.enabled === false);
    await preferences.getByLabel("A task was completed: Mail").check();
    await until("mail of tasks", async () =>
      (await stored()).types.tasks_completed?.channels?.includes("email"),
    );
    await preferences.locator("select").selectOption("daily");
    await until("digests", async () => (await stored()).digest === "daily");
    assert.equal(await part("status").textContent(), "Saved.");
    await add("pat", "silent");
    await part("settings").click();
    await part("empty").waitFor();
    assert.deepEqual(complaints, []);
    await page.close();
  });

  await t.test("says it in other words, shows older ones and what went wrong", async () => {
    const { page, inbox, part, bell } = await open("uma");
    for (let n = 0; n < 22; n += 1) await add("uma", `task ${n}`);
    await until("all", async () => (await label(bell)) === "Notifications, 22 unread");
    await inbox.evaluate((inbox) => {
      inbox.texts = { heading: "Meldungen", bell: (n) => `${n} neu`, failed: () => "Ging nicht." };
    });
    await until("the words", async () => (await label(bell)) === "22 neu");
    await bell.click();
    assert.equal(await part("heading").textContent(), "Meldungen");
    await until("a page", async () => (await part("item").count()) === 20);
    await part("older").click();
    await until("the rest", async () => (await part("item").count()) === 22);
    assert.equal(await part("older").isVisible(), false);
    await page.route("**/api/notifications/*/read", (route) => route.abort());
    await part("toggle").first().click();
    await part("problem").waitFor();
    assert.equal(await part("problem").textContent(), "Ging nicht.");
    assert.equal(await part("problem").getAttribute("role"), "alert");
    assert.equal(await label(bell), "22 neu");
    await page.close();
  });

  await t.test("a client set before the element is defined is taken, and taken away", async () => {
    const page = await browser.openPage();
    await page.goto(pages.url);
    await add("zoe", "early");
    const state = await page.evaluate(
      async ({ url, token }) => {
        const inbox = document.createElement("mozaiks-inbox");
        const { MozaiksClient } = await import("/index.js");
        inbox.client = new MozaiksClient(url, { getToken: () => token });
        document.body.append(inbox);
        await import("/inbox.js");
        await new Promise((resolve) => inbox.addEventListener("mozaiks-unread", (event) => {
          if (event.detail.count === 1) resolve();
        }));
        const counted = inbox.unread;
        inbox.client.close();
        inbox.client = undefined;
        return { counted, after: inbox.unread, rows: inbox.shadowRoot.querySelectorAll("li").length };
      },
      { url: gateway.url, token: sign("zoe") },
    );
    assert.deepEqual(state, { counted: 1, after: 0, rows: 0 });
    await page.close();
  });
});
