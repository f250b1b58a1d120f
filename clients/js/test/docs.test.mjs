import assert from "node:assert/strict";
import { test } from "node:test";

import { launchBrowser, withoutBrowser } from "./chromium.mjs";
import { sign, startGateway, withoutGateway } from "./gateway.mjs";

test("forms of typed actions on /docs", { skip: withoutGateway ?? withoutBrowser }, async (t) => {
  const gateway = await startGateway({ plugins: ["tests/fixtures/plugins/typed"] });
  const browser = await launchBrowser();
  t.after(async () => {
    await browser.close();
    await gateway.stop();
  });

  async function open(action, hash = `#token=${sign("ada")}`) {
    const page = await browser.openPage({ timezoneId: "Europe/Berlin" });
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(`${gateway.url}/docs${hash}`);
    const details = page.locator(`details[id="typed.${action}"]`);
    await details.locator("summary").click();
    const form = details.locator("form");
    const call = async () => {
      const answered = page.waitForResponse(/\/api\/execute\//);
      await form.getByRole("button").click();
      const response = await answered;
      await form.locator("pre", { hasText: String(response.status()) }).waitFor();
      const shown = await form.locator("pre").textContent();
      return { request: response.request(), shown, answer: JSON.parse(shown.replace(/^\d+\n/, "")) };
    };
    return { page, details, form, call, complaints };
  }

  await t.test("are filled in and sent with the token", async () => {
    const { page, details, form, call, complaints } = await open("create");
    assert.equal(page.url(), `${gateway.url}/docs`, "the token is out of sight");
    assert.equal(await details.locator("p").textContent(), "Makes a task. <b>Not bold.</b>");
    const names = form.locator("[name]").evaluateAll((fields) => fields.map((field) => field.name));
    assert.deepEqual((await names).sort(), ["due", "lines", "priority", "title"]);
    assert.equal(await form.locator("[name=user_id], [name=action]").count(), 0);
    await form.locator("[name=title]").fill("Book the train");
    await form.locator("[name=due]").fill("2026-03-01T10:00");
    await form.locator("[name=priority]").selectOption({ label: "high" });
    await form.locator("[name=lines]").fill('[{"item": "ticket", "count": 2}]');
    const { request, answer } = await call();
    assert.deepEqual(JSON.parse(request.postData()), {
      action: "create",
      title: "Book the train",
      due: "2026-03-01T09:00:00.000Z",
      priority: "high",
      lines: [{ item: "ticket", count: 2 }],
    });
    assert.deepEqual(answer, {
      title: "Book the train",
      owner: "ada",
      due: "2026-03-01T09:00:00+00:00",
      priority: "high",
      lines: [{ item: "ticket", count: 2 }],
    });
    assert.deepEqual(complaints, []);
    await page.close();
  });

  await t.test("show where the gateway says something is wrong", async () => {
    const { page, form, call } = await open("create");
    await form.locator("[name=lines]").fill('[{"item": "ticket", "count": 0}]');
    await form.locator("[name=title]").fill("x");
    const { answer } = await call();
    assert.equal(answer.error_code, "VALIDATION_ERROR");
    assert.equal(answer.details.path, "/lines/0/count");
    assert.equal(await form.locator("[aria-invalid=true]").getAttribute("name"), "lines");
    // What is no JSON is not sent.
    await form.locator("[name=lines]").fill("[{");
    await form.getByRole("button").click();
    await form.locator("pre", { hasText: "lines: " }).waitFor();
    await page.close();
  });

  await t.test("leave out what is left open, and keep every digit", async () => {
    const { page, form, call } = await open("count");
    await form.locator("[name=numbers]").fill("[12345678901234567890]");
    const { request, shown } = await call();
    assert.equal(request.postData(), '{"action":"count","numbers":[12345678901234567890]}');
    assert.match(shown, /^200\n/);
    await form.locator("[name=exact]").selectOption("true");
    await form.locator("[name=start]").fill("7");
    await form.locator("[name=numbers]").fill("[1, 2]");
    assert.deepEqual((await call()).answer, { result: 10 });
    await page.close();
  });

  await t.test("hold types that hold themselves, and say what an action refuses", async () => {
    const { page, form, call } = await open("file");
    await form.locator("[name=name]").fill("a");
    await form.locator("[name=folders]").fill('[{"name": "b"}]');
    const inner = { name: "b", folders: [] };
    assert.deepEqual((await call()).answer, { name: "a", folders: [inner] });
    await page.close();
    const other = await open("find");
    await other.form.locator("[name=kind]").selectOption({ label: "one" });
    await other.form.locator("[name=day]").fill("2026-03-01");
    assert.equal((await other.call()).answer.error_code, "NOT_FOUND");
    await other.page.close();
  });

  await t.test("without a token are refused, and take one by hand", async () => {
    const { page, form, call } = await open("find", "");
    await form.locator("[name=kind]").selectOption({ label: "all" });
    assert.equal((await call()).answer.error_code, "AUTH_INVALID");
    await page.getByLabel("Token").fill(sign("bob"));
    assert.deepEqual((await call()).answer, { result: null });
    await page.close();
  });

  await t.test("run under a policy that lets nothing else run", async () => {
    const response = await fetch(`${gateway.url}/docs`);
    const policy = response.headers.get("content-security-policy");
    assert.match(policy, /default-src 'none'; script-src 'self'; connect-src 'self';/);
    const { page } = await open("find");
    const ran = await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      return window.ran === true;
    });
    assert.equal(ran, false);
    await page.close();
  });
});
