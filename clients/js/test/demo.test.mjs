import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";

import { layCable } from "./cable.mjs";
import { launchBrowser, withoutBrowser } from "./chromium.mjs";
import { execute, repository, sign, startGateway, until, withoutGateway } from "./gateway.mjs";

const SIZE = { width: 1200, height: 540 };

/** What a page shows of the tasks and of the notifications, from the top. */
const titles = (page) => page.locator("#tasks label").allTextContents();
const told = (page) => page.locator("#notifications li div").allInnerTexts();
const unread = (page) => page.locator("#unread-count").textContent();

test("the page of the plugin tasks", { skip: withoutGateway ?? withoutBrowser }, async (t) => {
  const gateway = await startGateway({ dev: true });
  const browser = await launchBrowser();
  t.after(async () => {
    await browser.close();
    await gateway.stop();
  });

  /** Opens the page as a user, and keeps what it complained of. */
  async function open(user, options = {}, url = gateway.url) {
    const page = await browser.openPage({
      viewport: SIZE,
      locale: "en-GB",
      colorScheme: "light",
      reducedMotion: "reduce",
      ...options,
    });
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (line) => line.type() === "error" && complaints.push(line.text()));
    const requested = [];
    page.on("request", (request) => requested.push(request.url()));
    await page.goto(`${url}/demo/tasks/#token=${sign(user)}`);
    await page.waitForSelector("#state[data-state=open]");
    return { page, complaints, requested };
  }

  await t.test("shows what others do as it happens, and does things itself", async (t) => {
    const { page, complaints, requested } = await open("ada");
    const marked = await page.evaluate(() => (window.marked = performance.timeOrigin));

    // The token is out of sight: not in the address bar, in no request's address.
    assert.equal(page.url(), `${gateway.url}/demo/tasks/`);
    assert.ok(requested.length >= 5 && requested.every((url) => !url.includes("token")), requested);
    assert.equal(await page.textContent("#who"), "ada");
    assert.equal(await unread(page), "0");

    for (const title of ["Book the train", "Call the plumber", "Water the plants"]) {
      await execute(gateway, "ada", "tasks", { action: "create", title });
    }
    await page.waitForSelector("#tasks li:has-text('Water the plants')");
    await until("its notification", async () => (await unread(page)) === "3");
    assert.deepEqual(await titles(page), ["Water the plants", "Call the plumber", "Book the train"]);
    assert.match((await told(page))[0], /^Task added \d\d:\d\d\s+Water the plants/);

    await page.fill("#title", "Write to Grace");
    await page.keyboard.press("Enter");
    await page.waitForSelector("#tasks li:has-text('Write to Grace')");
    await until("that the field is empty again", async () => (await page.inputValue("#title")) === "");
    await until("the page's own notification", async () => (await unread(page)) === "4");

    await page.getByLabel("Book the train").first().check();
    await page.waitForSelector("#tasks li.done:has-text('Book the train')");
    await until("that it is done", async () => (await unread(page)) === "5");
    assert.equal((await titles(page)).at(-1), "Book the train");
    const focused = await page.evaluate(() => document.activeElement.closest("li")?.textContent);
    assert.match(focused, /Book the train/, "the focus went with it");
    assert.match((await told(page))[0], /^Task completed \d\d:\d\d\s+Book the train/);
    assert.equal(await page.textContent("#open-count"), "3");
    assert.equal(await page.title(), "(5) Tasks");

    const { tasks } = await execute(gateway, "ada", "tasks", { action: "list" });
    assert.deepEqual(
      tasks.map((task) => [task.title, task.done]),
      [
        ["Write to Grace", false],
        ["Water the plants", false],
        ["Call the plumber", false],
        ["Book the train", true],
      ],
    );

    await page.getByRole("button", { name: /Mark as read: Task added, Book the train/ }).click();
    await page.getByRole("button", { name: /Mark as read: Task added, Call the plumber/ }).click();
    await until("that two are read", async () => (await unread(page)) === "3");

    await t.test("and looks like something", () => checkScreenshot(page));

    await page.getByRole("button", { name: "Mark all as read" }).click();
    await until("that all is read", async () => (await unread(page)) === "0");
    await page.getByRole("button", { name: "Delete Call the plumber" }).click();
    await until("that it is gone", async () => (await titles(page)).length === 3);

    assert.equal(await page.evaluate(() => window.marked), marked, "it was never loaded again");
    assert.deepEqual(complaints, []);
    await page.reload();
    await page.waitForSelector("#tasks li:has-text('Write to Grace')");
    assert.equal(await unread(page), "0");
    await page.close();
  });

  /** The picture is a picture: of the size asked for, and not of one colour. */
  async function checkScreenshot(page) {
    const file = path.join(repository, ".build/demo.png");
    await mkdir(path.dirname(file), { recursive: true });
    await page.mouse.move(0, 0);
    await page.evaluate(() => document.activeElement.blur());
    await page.screenshot({ path: file });
    const png = await readFile(file);
    assert.equal(png.subarray(0, 8).toString("latin1"), "\x89PNG\r\n\x1a\n");
    assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [SIZE.width, SIZE.height]);
    const blank = await browser.openPage();
    const colours = await blank.evaluate(async (base64) => {
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      const canvas = new OffscreenCanvas(image.width, image.height);
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, image.width, image.height);
      return new Set(new Uint32Array(data.buffer)).size;
    }, png.toString("base64"));
    await blank.close();
    assert.ok(colours > 50, `${colours} colours`);
  }

  await t.test("goes on after a break without losing or doubling anything", async (t) => {
    const cable = await layCable(gateway.url);
    t.after(() => cable.close());
    const { page } = await open("bob", {}, cable.url);
    await execute(gateway, "bob", "tasks", { action: "create", title: "before" });
    await page.waitForSelector("#tasks li:has-text('before')");
    const loaded = [];
    page.on("request", (request) => loaded.push(new URL(request.url()).pathname));
    const sockets = [];
    page.on("websocket", (socket) => sockets.push(socket.url()));

    cable.pull();
    await page.waitForSelector("#state[data-state=connecting]");
    for (const title of ["one", "two", "three"]) {
      await execute(gateway, "bob", "tasks", { action: "create", title });
    }
    assert.deepEqual(await titles(page), ["before"]);
    cable.plug();
    await page.waitForSelector("#state[data-state=open]");
    await page.waitForSelector("#tasks li:has-text('three')");
    assert.deepEqual(await titles(page), ["three", "two", "one", "before"]);
    await until("all notifications", async () => (await unread(page)) === "4");
    assert.equal((await told(page)).length, 4);
    assert.match(sockets.at(-1), /\?recover=true&since=[^&]+%3A\d+$/);
    assert.ok(!loaded.includes("/api/execute/tasks"), "it was replayed, not loaded");
    await page.close();
  });

  await t.test("shows what is written as it is written", async () => {
    const { page, complaints } = await open("eve");
    const title = `<img src=x onerror="document.title='owned'"><b>bold</b>`;
    await execute(gateway, "eve", "tasks", { action: "create", title });
    await page.waitForSelector("#tasks li");
    await until("its notification", async () => (await unread(page)) === "1");
    assert.deepEqual(await titles(page), [title]);
    assert.ok((await told(page))[0].includes(title));
    assert.equal(await page.locator("main img, main span b").count(), 0);
    assert.equal(await page.title(), "(1) Tasks");
    assert.deepEqual(complaints, []);
    // And what cannot be is said in words.
    await page.evaluate(() => (document.getElementById("title").maxLength = 1000));
    await page.fill("#title", "x".repeat(201));
    await page.keyboard.press("Enter");
    await page.waitForSelector("#problem:has-text('at most 200 characters')");
    await page.close();
  });

  await t.test("fits a phone", async () => {
    const { page } = await open("phone", { viewport: { width: 320, height: 640 } });
    await execute(gateway, "phone", "tasks", { action: "create", title: "W".repeat(200) });
    await page.waitForSelector("#notifications li");
    const { width, smallest } = await page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      smallest: Math.min(
        ...[...document.querySelectorAll("button")]
          .filter((button) => button.checkVisibility())
          .map((button) => Math.min(button.offsetWidth, button.offsetHeight)),
      ),
    }));
    assert.ok(width <= 320, `${width} pixels wide`);
    assert.ok(smallest >= 32, `a button of ${smallest} pixels`);
    await page.close();
  });

  await t.test("asks for a token where it has none, or none that is good", async () => {
    const page = await browser.openPage();
    await page.goto(`${gateway.url}/demo/tasks/`);
    await page.getByLabel("Token").fill("nonsense");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForSelector("#main", { state: "hidden" });
    await page.waitForSelector("#sign-in:not([hidden])");
    await page.getByLabel("Token").fill(sign("ada"));
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForSelector("#state[data-state=open]");
    assert.equal(await page.textContent("#who"), "ada");
    await page.close();
  });

  await t.test("opens from the line that development mode prints", async () => {
    const [, url] = gateway.log().match(/^open it: (\S+)$/m);
    const page = await browser.openPage();
    await page.goto(url);
    await page.waitForSelector("#state[data-state=open]");
    assert.equal(await page.textContent("#who"), "dev");
    await page.close();
  });
});
