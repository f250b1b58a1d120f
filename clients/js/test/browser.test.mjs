import assert from "node:assert/strict";
import { test } from "node:test";

import { launchBrowser, servePages, withoutBrowser } from "./chromium.mjs";
import { execute, sign, startGateway, withoutGateway } from "./gateway.mjs";

test(
  "in Chromium, against the real gateway",
  { skip: withoutGateway ?? withoutBrowser },
  async () => {
    const pages = await servePages();
    const gateway = await startGateway({ environment: { MOZAIKS_CORS_ORIGINS: pages.url } });
    const browser = await launchBrowser();
    try {
      const page = await browser.openPage();
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
      const numbers = { do: "send_numbers", to: "ada", first: 51, count: 50 };
      await execute(gateway, "bob", "live", numbers);
      await page.evaluate(() => window.state.client.connect());
      await page.waitForFunction(() => window.state.seen.length === 100);
      const seen = await page.evaluate(() => window.state.seen);
      assert.deepEqual(seen, Array.from({ length: 100 }, (_, index) => index + 1));

      // A page of another origin is not let in.
      const stranger = await browser.openPage();
      await stranger.goto(pages.url.replace("127.0.0.1", "localhost"));
      await stranger.evaluate(connect, { url: gateway.url, token: sign("ada") });
      await stranger.evaluate(
        () =>
          new Promise((resolve) => window.state.client.onClose(resolve)),
      );
      assert.ok(!(await stranger.evaluate(() => window.state.states)).includes("open"));
    } finally {
      await browser.close();
      await gateway.stop();
      pages.server.close();
    }
  },
);
