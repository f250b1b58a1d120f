/** What `npm pack` makes: whatever package.json promises is in it and can be imported. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { access, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const client = fileURLToPath(new URL("../", import.meta.url));

test("the pack holds what it promises", async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), "mozaiks-pack-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  // What `prepack` builds is there already: `npm test` has built it.
  const { stdout } = await run(
    "npm",
    ["pack", "--ignore-scripts", "--json", "--pack-destination", directory],
    { cwd: client },
  );
  const [{ filename }] = JSON.parse(stdout);
  await run("tar", ["-xzf", path.join(directory, filename), "-C", directory]);
  const root = path.join(directory, "package");
  const about = JSON.parse(await readFile(path.join(root, "package.json"), "utf8"));
  assert.equal(about.scripts.prepack, "npm run build");

  const promised = Object.values(about.exports).flatMap(Object.values);
  assert.ok(promised.includes("./dist/index.js") && promised.includes("./dist/inbox.js"));
  for (const file of [...promised, "README.md"]) await access(path.join(root, file));

  const imported = (file) => import(pathToFileURL(path.join(root, file)).href);
  const { MozaiksClient } = await imported("dist/index.js");
  assert.equal(typeof new MozaiksClient("http://x", { getToken: () => "" }).execute, "function");
  // Rendered on a server there are no elements; importing it is harmless.
  const { MozaiksInbox, ENGLISH } = await imported("dist/inbox.js");
  assert.equal(typeof MozaiksInbox, "function");
  assert.equal(ENGLISH.bell(2), "Notifications, 2 unread");
});
