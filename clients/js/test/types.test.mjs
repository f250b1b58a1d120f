import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { MozaiksClient } from "../dist/index.js";
import { sign, startGateway, withoutGateway } from "./gateway.mjs";

const run = promisify(execFile);
const client = fileURLToPath(new URL("../", import.meta.url));
const tsc = path.join(client, "node_modules/typescript/bin/tsc");

/** Compiles a program; gives what the compiler says. */
async function compile(directory, files) {
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(directory, name), text);
  const options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "ES2022"];
  const modules = ["--module", "NodeNext", "--moduleResolution", "NodeNext"];
  const sources = Object.keys(files).filter((name) => name.endsWith(".ts"));
  const compiled = run(process.execPath, [tsc, ...options, ...modules, ...sources], { cwd: directory });
  return compiled.then(
    () => "",
    (error) => error.stdout,
  );
}

const imports = `
import { MozaiksClient } from ${JSON.stringify(path.join(client, "dist/index.js"))};
import type { Plugins } from "./types.js";
const client = new MozaiksClient<Plugins>("http://127.0.0.1", { getToken: () => "" });
`;

const GOOD = `${imports}
export async function good(): Promise<void> {
  const task = await client.execute("typed", { action: "create", title: "x", due: null, lines: [{ item: "a" }] });
  const title: string = task.title;
  const due: string | null = task.due;
  const priority: "low" | "high" = task.priority;
  const sum: number = (await client.execute("typed", { action: "count", numbers: [1] })).result;
  const folder = await client.execute("typed", { action: "file", name: "a", folders: [{ name: "b" }] });
  const inner: string | undefined = folder.folders[0]?.folders[0]?.name;
  const found = (await client.execute("typed", { action: "find", kind: "all" })).result;
  const owner: string | undefined = found?.[0]?.owner;
  const other: { [key: string]: unknown } = await client.execute("live", { action: "x" });
  const given = await client.execute<{ n: number }>("live", {});
  const n: number = given.n;
  const escaped = await client.execute<{ n: number }>("typed", { anything: 1 });
  void [title, due, priority, sum, inner, owner, other, n, escaped];
}
`;

const BAD = [
  `client.execute("typed", { action: "creat", title: "x" })`,
  `client.execute("typed", { action: "create" })`,
  `client.execute("typed", { action: "create", title: 7 })`,
  `client.execute("typed", { action: "create", title: "x", lines: [{ count: 1 }] })`,
  `client.execute("typed", { action: "count", numbers: ["1"] })`,
  `client.execute("typed", { action: "find", kind: "some" })`,
  `client.execute("typed", { action: "create", title: "x", titel: "y" })`,
  `client.execute("typed")`,
  `client.execute("typed", {})`,
];

test("types of actions", { skip: withoutGateway }, async (t) => {
  const gateway = await startGateway({ plugins: ["tests/fixtures/plugins/typed"] });
  const directory = await mkdtemp(path.join(tmpdir(), "mozaiks-types-"));
  t.after(async () => {
    await gateway.stop();
    await rm(directory, { recursive: true, force: true });
  });
  await writeFile(path.join(directory, "package.json"), '{"type": "module"}');
  const out = path.join(directory, "types.ts");
  const args = ["plugin", "types", "--url", gateway.url, "--out", out];
  const { stdout } = await run(process.env.MOZAIKS_BIN, args);
  assert.equal(stdout, `wrote ${out}\n`);

  await t.test("let through what the gateway takes", async () => {
    assert.equal(await compile(directory, { "good.ts": GOOD }), "");
  });

  await t.test("stop what it would refuse", async () => {
    const lines = BAD.map((line) => `// @ts-expect-error\nvoid ${line};\n`);
    assert.equal(await compile(directory, { "bad.ts": imports + lines.join("") }), "");
    const one = await compile(directory, { "one.ts": `${imports}void ${BAD[0]};\n` });
    assert.match(one, /one\.ts.*error TS/);
  });

  await t.test("say what the answers are", async () => {
    const connected = new MozaiksClient(gateway.url, { getToken: () => sign("ada") });
    const task = await connected.execute("typed", { action: "create", title: "x" });
    assert.deepEqual(Object.keys(task).sort(), ["due", "lines", "owner", "priority", "title"]);
    const refused = connected.execute("typed", { action: "creat" });
    await assert.rejects(refused, { errorCode: "VALIDATION_ERROR" });
    const text = await readFile(out, "utf8");
    assert.match(text, /\/\*\* Adds numbers up\. \*\/\n {4}"count": \{ input: /);
  });

  await t.test("of one plugin that there is not are not written", async () => {
    const failed = run(process.env.MOZAIKS_BIN, [...args, "lve"]);
    await assert.rejects(failed, (error) => /no plugin "lve".*typed/.test(error.stderr));
  });
});
