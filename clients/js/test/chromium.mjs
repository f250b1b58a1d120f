/** A headless Chromium for the tests, and web pages of another origin than the gateway's. */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const executablePath = [process.env.CHROMIUM, "/usr/bin/chromium"].find(
  (candidate) => candidate && existsSync(candidate),
);

/** Why there is no browser; `undefined` where there is. CI always has one. */
export const withoutBrowser =
  executablePath || process.env.CI ? undefined : "chromium is not installed";

/** A browser, and what opens a window of its own in it: nothing there is waited for too long. */
export async function launchBrowser() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  return {
    async openPage(options = {}) {
      const page = await browser.newPage(options);
      page.setDefaultTimeout(20_000);
      return page;
    },
    close: () => browser.close(),
  };
}

/**
 * Serves the built client and whatever is put into `documents` to pages of their own origin: a text is a
 * page, else `{ body, type, headers }`.
 */
export async function servePages() {
  const documents = new Map([["/", "<!doctype html><title>client</title>"]]);
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://pages");
    const file = path.join(dist, path.normalize(pathname));
    const document = documents.get(pathname);
    if (document !== undefined) {
      const { body = document, type = "text/html", headers = {} } = document;
      response.writeHead(200, { "content-type": type, ...headers });
      response.end(body);
    } else if (file.startsWith(dist) && file.endsWith(".js") && existsSync(file)) {
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
