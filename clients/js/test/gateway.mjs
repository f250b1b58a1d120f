/** The real gateway for end-to-end tests: its binary is named by MOZAIKS_BIN. */

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const SECRET = "a-secret-of-the-client-tests-that-is-long-enough";
export const repository = fileURLToPath(new URL("../../../", import.meta.url));

/** Why there is nothing to test against; `undefined` where there is. CI always has a gateway. */
export const withoutGateway =
  process.env.MOZAIKS_BIN || process.env.CI ? undefined : "MOZAIKS_BIN names no gateway";

/** A token of a user, valid for so many seconds. */
export function sign(user, seconds = 3600) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ user_id: user, exp })}`;
  return `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`;
}

/**
 * Starts a gateway with the fixture `live` and the shipped plugin `tasks`, or with other `plugins`, in
 * development mode where `dev` says so; `stop()` ends it.
 */
export async function startGateway({
  environment = {},
  dev = false,
  plugins = ["tests/fixtures/plugins/live", "runtime/ai/plugins/tasks"],
} = {}) {
  const directory = await mkdtemp(path.join(tmpdir(), "mozaiks-client-"));
  for (const plugin of plugins) {
    const copy = path.join(directory, "plugins", path.basename(plugin));
    await cp(path.join(repository, plugin), copy, { recursive: true });
  }
  const python = process.env.MOZAIKS_TEST_PYTHON;
  const child = spawn(
    process.env.MOZAIKS_BIN,
    [
      ...["serve", "--listen", "127.0.0.1:0", "--plugins", "plugins", "--data-dir", "data"],
      ...(dev ? ["--dev"] : []),
    ],
    {
      cwd: directory,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        MOZAIKS_JWT_SECRET: SECRET,
        MOZAIKS_SDK_PATH: path.join(repository, "python-sdk"),
        ...(python ? { MOZAIKS_PYTHON: python } : {}),
        ...environment,
      },
    },
  );
  let log = "";
  child.stderr.on("data", (data) => (log += data));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const [line] = await Promise.race([
    new Promise((resolve) => createInterface(child.stdout).once("line", (line) => resolve([line]))),
    ended.then(() => [undefined]),
  ]);
  if (!line) throw new Error(`the gateway did not start:\n${log}`);
  return {
    url: line.replace("listening on ", ""),
    /** What it has written to stderr. */
    log: () => log,
    async stop() {
      child.kill("SIGTERM");
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Calls a plugin as a program beside the page would; gives its dict. */
export async function execute(gateway, user, plugin, data) {
  const response = await fetch(`${gateway.url}/api/execute/${plugin}`, {
    method: "POST",
    headers: { authorization: `Bearer ${sign(user)}`, "content-type": "application/json" },
    body: JSON.stringify(data),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${plugin}: ${response.status} ${JSON.stringify(answer)}`);
  return answer;
}

/** Waits for something, at most twenty seconds. */
export async function until(what, done) {
  const deadline = Date.now() + 20_000;
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
