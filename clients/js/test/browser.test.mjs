import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

import { sign, startGateway, withoutGateway } from "./gateway.mjs";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium"].find(
  (candidate) => candidate && existsSync(candidate),
);
// CI has a browser; a developer's machine may not.
const withoutBrowser = executablePath || process.env.CI ? undefined : "chromium is not installed";

/** The page that the documentation offers for copying, filled in for a gateway. */
async function documentedPage(gateway, token) {
  const text = await readFile(new URL("../../../docs/realtime.md", import.meta.url), "utf8");
  const [, page] = text.match(/```html\n([^]*?)```/);
  const filled = page
    .replace("PUT THE TOKEN HERE", token)
    .replace("ws://localhost:8000", gateway.replace("http:", "ws:"));
  assert.ok(filled.includes(token) && !filled.includes(":8000"));
  return filled;
}

/** Serves the built client to a page of its own origin. */
async function serveClient() {
  const documents = new Map([["/", "<!doctype html><title>client</title>"]]);
  const server = createServer(async (request, response) => {
    const file = dist + path.basename(request.url);
    if (documents.has(request.url)) {
      response.setHeader("content-type", "text/html");
      response.end(documents.get(request.url));
    } else if (existsSync(file)) {
      response.setHeader("content-type", "text/javascript");
      response.end(await readFile(file));
    } else {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, server, documents };
}

test(
  "in Chromium, against the real gateway",
  { skip: withoutGateway ?? withoutBrowser },
  async () => {
    const pages = await serveClient();
    const gateway = await startGateway({ MOZAIKS_CORS_ORIGINS: pages.url });
    const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
    try {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.goto(pages.url);
      const connect = async ({ url, token }) => {
        const { MozaiksClient } = await import("/index.js");
        const client = new MozaiksClient(url, { getToken: () => token, minBackoffMs: 20 });
        const state = { client, seen: [], states: [] };
        client.on("number", (message) => state.seen.push(message.n));
        client.onState((name) => state.states.push(name));
        window.state = state;
        client.connect();
      };
      await page.evaluate(connect, { url: gateway.url, token: sign("ada") });
      await page.waitForFunction(() => window.state.client.state === "open");
      const sendNumbers = (first) =>
        page.evaluate(
          (first) =>
            window.state.client.execute("live", {
              do: "send_numbers", to: "ada", first, count: 50,
            }),
          first,
        );
      assert.deepEqual(await sendNumbers(1), { sent: 50 });
      await page.waitForFunction(() => window.state.seen.length === 50);

      // While the page sleeps, messages wait for it; afterwards it goes on where it stopped.
      await page.evaluate(() => window.state.client.close());
      const sent = await fetch(`${gateway.url}/api/execute/live`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${sign("bob")}`,
          "content-type": "application/json",
        },
        body: JSON.stringify({ do: "send_numbers", to: "ada", first: 51, count: 50 }),
      });
      assert.equal(sent.status, 200);
      await page.evaluate(() => window.state.client.connect());
      await page.waitForFunction(() => window.state.seen.length === 100);
      const seen = await page.evaluate(() => window.state.seen);
      assert.deepEqual(seen, Array.from({ length: 100 }, (_, index) => index + 1));

      // A page of another origin is not let in.
      const stranger = await context.newPage();
      await stranger.goto(pages.url.replace("127.0.0.1", "localhost"));
      await stranger.evaluate(connect, { url: gateway.url, token: sign("ada") });
      await stranger.evaluate(
        () =>
          new Promise((resolve) => window.state.client.onClose(resolve)),
      );
      assert.ok(!(await stranger.evaluate(() => window.state.states)).includes("open"));

      const copied = await context.newPage();
      pages.documents.set("/live.html", await documentedPage(gateway.url, sign("grace")));
      await copied.goto(`${pages.url}/live.html`);
      await copied.waitForSelector("#state:text-is('open')");
      await page.evaluate(() =>
        window.state.client.execute("live", {
          do: "send", to: "grace", message: { type: "hello", text: "from ada" },
        }),
      );
      await copied.waitForSelector("#messages li:has-text('from ada')");
    } finally {
      await browser.close();
      await gateway.stop();
      pages.server.close();
    }
  },
);
