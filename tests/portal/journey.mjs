// Through the portal as people go, in Debian's Chromium: node journey.mjs
// Three times: with scripts, without, and by keyboard alone. Ends with 1 where anything is not as it should be.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { byKeyboard } from "./keyboard.mjs";
import { Stage, until } from "./stage.mjs";

const FIRST_VIEW = 60 * 1024;
const stage = await Stage.start();
const { base } = stage;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
browser.on("disconnected", () => process.exit(process.exitCode ?? 0));

const button = (page, name) => page.getByRole("button", { name, exact: true });
const tomorrow = () => new Date(Date.now() + 86_400_000).toISOString().slice(0, 16);

/** Somebody with a browser of their own, signed in. */
const person = async (name, options = {}) => {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  await page.goto(`${base}/access`);
  await page.locator("[name=login]").fill(name);
  await button(page, "Sign in").click();
  await consent(page);
  return page;
};

/** The provider may ask once more whether it is meant. */
const consent = async (page) => {
  await until("the way back", async () => {
    if (page.url().startsWith(base)) return true;
    await button(page, "Sign in").click({ timeout: 500 }).catch(() => {});
  });
  await page.waitForLoadState();
};

/** Somebody who is to change something signs in once more where that is asked for. */
const go = async (page, name, path) => {
  await page.goto(base + path);
  if (page.url().startsWith(base)) return;
  await page.locator("[name=login]").fill(name);
  await button(page, "Sign in").click();
  await consent(page);
  await page.waitForURL(`**${path}`);
};

const exported = (text) => Object.fromEntries([...text.matchAll(/^export (\w+)='([^']*)'$/gm)].map(([, name, value]) => [name, value]));

const isSomebody = async (text, role) => {
  const { Arn } = await stage.cli(exported(text), "sts", "get-caller-identity");
  assert.match(Arn, new RegExp(`assumed-role/${role}/`));
};

/** What is sent for a first view: the page with all that it loads. */
const firstView = async () => {
  const page = await person("alice");
  let bytes = 0;
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  await page.goto(`${base}/access`, { waitUntil: "networkidle" });
  console.log(`first view with 5,000 roles: ${(bytes / 1024).toFixed(1)} KiB transferred`);
  assert(bytes > 1024 && bytes <= FIRST_VIEW, `${bytes} bytes`);
  await page.context().close();
};

const credentials = async (page, scripts) => {
  await button(page, "Credentials").click();
  const shown = page.locator("[data-given] pre").first();
  if (scripts) {
    assert(!(await page.locator("[data-given]").innerText()).includes("export "), "covered until asked for");
    await page.getByRole("button", { name: /^Show: bash/ }).click();
  } else {
    await page.getByText("bash, zsh").click();
  }
  const text = await shown.innerText();
  await isSomebody(text, "ReadOnly");
  return exported(text);
};

const find = async (page, scripts, text, name) => {
  const field = page.getByRole("searchbox");
  if (scripts) await field.pressSequentially(text);
  else {
    await field.fill(text);
    await button(page, "Find").click();
  }
  const found = page.locator("#found .roles a", { hasText: name });
  await until(`${name} to be found`, async () => (await page.locator("#found .roles li").count()) === 1 && (await found.count()) === 1);
  await found.click();
};

/** A file for the allowlist: uploaded, or pasted at once, as ten thousand lines are not typed. */
const give = async (page, scripts, text) => {
  const field = page.getByLabel("The file");
  if (!scripts) return field.evaluate((field, text) => (field.value = text), text);
  await page.getByLabel("From a file").setInputFiles({ name: "allowlist.toml", mimeType: "text/plain", buffer: Buffer.from(text) });
  await until("the file", async () => (await field.inputValue()) === text);
};

const journey = async (scripts) => {
  const options = { javaScriptEnabled: scripts };
  const alice = await person("alice", options);
  await find(alice, scripts, "prod look", "ReadOnly");
  const { AWS_SECRET_ACCESS_KEY } = await credentials(alice, scripts);

  const [console_] = await Promise.all([alice.context().waitForEvent("page"), button(alice, "Open the console").click()]);
  await console_.waitForURL(`${stage.signin}/federation?Action=login*`);
  assert.equal(await console_.getByRole("heading").innerText(), "Signed in to the console");
  assert.equal(await console_.evaluate(() => document.referrer), "", "the portal is not told of");
  await console_.close();
  await alice.goto(`${base}/access`);
  // The page was the answer to a form: the browser does not have it any more.
  await alice.goBack().catch(() => {});
  const left = await until("a page", () => alice.content().catch(() => null));
  assert(!left.includes(AWS_SECRET_ACCESS_KEY), "gone with the page that it was on");

  // Refused: carol blocks the role while alice looks at it.
  await alice.goto(`${base}/access/prod/Deploy`);
  const carol = await person("carol", options);
  await go(carol, "carol", "/allowlist/blocks/new");
  await carol.getByLabel("Or which role").fill("prod/Deploy");
  await carol.getByLabel("Why").fill("frozen");
  await button(carol, "Block").click();
  await carol.getByText("frozen").waitFor();
  await button(alice, "Credentials").click();
  assert.match(await alice.getByRole("alert").innerText(), /not_allowed/);
  await alice.getByRole("link", { name: "My activity" }).click();
  await alice.getByText("the role is blocked").first().waitFor();
  await carol.getByRole("link", { name: /The block on/ }).first().click();
  await carol.getByLabel("Why").fill("thawed");
  await button(carol, "Lift this block").click();
  await carol.getByText("Nobody is blocked").waitFor();

  // Alice is signed in somewhere else, and ends that.
  const elsewhere = await person("alice", options);
  await alice.getByRole("link", { name: "Sessions" }).first().click();
  const others = alice.locator("tbody tr", { hasNotText: "this one" });
  await until("the other session", async () => (await alice.reload(), (await others.count()) > 0));
  while (await others.count()) await others.first().getByRole("button").click();
  const ended = await elsewhere.context().request.get(`${base}/access`, { maxRedirects: 0 });
  assert.equal(ended.status(), 303, "over at the next request");

  // The auditor finds what was refused, and shares the address.
  const dave = await person("dave", options);
  await dave.getByRole("link", { name: "Audit" }).click();
  await dave.getByLabel("Kind").selectOption("credentials.denied");
  await dave.getByLabel("Person").fill("alice@example.com");
  await button(dave, "Filter").click();
  await dave.waitForURL(/kind=credentials.denied/);
  assert.match(dave.url(), /principal=alice/);
  await dave.locator("tbody a").first().click();
  await dave.getByText("allowlist_revision").first().waitFor();
  assert.equal(await dave.getByRole("link", { name: "New grant" }).count(), 0);

  // Bob has nothing until carol grants him one role by itself, and another by the file.
  const bob = await person("bob", options);
  await bob.getByText("There is no role for you yet").waitFor();
  await go(carol, "carol", "/allowlist/grants/new");
  await carol.getByLabel("Who").fill("bob@example.com");
  await carol.getByLabel("Role").fill("prod/Special");
  await carol.getByLabel("Until (UTC)").fill(tomorrow());
  await carol.getByLabel("Why", { exact: true }).fill("INC-42");
  await button(carol, "Make the grant").click();
  await carol.getByText("INC-42").waitFor();
  await bob.reload();
  await bob.getByRole("link", { name: "Special" }).first().click();
  await button(bob, "Credentials").click();
  await bob.getByText("Your credentials").waitFor();
  await go(carol, "carol", "/allowlist/file/change");
  const before = await carol.getByLabel("The file").inputValue();
  await give(carol, scripts, `${before}\n[[grant]]\nto = ["user:bob@example.com"]\nroles = ["prod/Extra"]\n`);
  await button(carol, "Show the plan").click();
  await carol.getByText("user:bob@example.com → prod/Extra").first().waitFor();
  await bob.goto(`${base}/access`);
  assert.equal(await bob.getByRole("link", { name: "Extra" }).count(), 0, "planned, not applied");
  await button(carol, "Apply it").click();
  await carol.waitForURL("**/allowlist/file");
  await bob.reload();
  await bob.getByRole("link", { name: "Extra" }).first().waitFor();
  // As it was, for the next time.
  await go(carol, "carol", "/allowlist/file/change");
  await give(carol, scripts, before);
  await button(carol, "Show the plan").click();
  await button(carol, "Apply it").click();
  await carol.waitForURL("**/allowlist/file");
  await carol.goto(`${base}/allowlist/grants`);
  await carol.getByRole("link", { name: "single grant" }).first().click();
  await carol.getByLabel("Why").fill("the task is done");
  await button(carol, "End this grant").click();
  await carol.getByText("No single grant").waitFor();
  await bob.goto(`${base}/access`);
  await bob.getByText("There is no role for you yet").waitFor();
  for (const page of [alice, carol, elsewhere, dave, bob]) await page.context().close();
};

/** Somebody at a command line with a home of their own. */
const atCommandLine = (...args) => {
  const child = spawn(process.env.HALLPASS, args, {
    env: { HOME: join(stage.folder, "home"), PATH: process.env.PATH, HALLPASS_SERVER: base, BROWSER: "true" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const line = { said: "", code: once(child, "close").then(([code]) => code) };
  for (const out of [child.stdout, child.stderr]) out.on("data", (text) => (line.said += text));
  return line;
};

/** `hallpass login` in a real browser: come back to by its loopback port, and by a code. */
const logins = async () => {
  for (const [how, done] of [["--browser", "Done: go back to the terminal"], ["--device", "Sign-in Success"]]) {
    const login = atCommandLine("login", how);
    const address = await until("where to go", () => login.said.includes("Ctrl-C") && login.said.match(/^ {2}http\S+$/gm)?.at(-1).trim());
    const page = await (await browser.newContext()).newPage();
    await page.goto(address);
    await until(done, async () => {
      if (await page.getByText(done).count()) return true;
      await page.locator("[name=login]").fill("alice", { timeout: 200 }).catch(() => {});
      await page.getByRole("button", { name: /^(Sign in|Continue)$/ }).click({ timeout: 200 }).catch(() => {});
    });
    assert.equal(await login.code, 0, login.said);
    await page.context().close();
    const whoami = atCommandLine("whoami");
    assert.equal(await whoami.code, 0, whoami.said);
    assert.match(whoami.said, /^user:alice@example\.com\n/);
    assert.equal(await atCommandLine("logout").code, 0);
  }
};

const steps = [["the first view", firstView], ["with scripts", () => journey(true)], ["without scripts", () => journey(false)], ["by keyboard alone", () => byKeyboard({ base, browser, person, go, consent, isSomebody })], ["at a command line", logins]];
for (const [name, step] of steps) {
  const began = Date.now();
  try {
    await step();
    console.log(`${name}: ${((Date.now() - began) / 1000).toFixed(1)} s`);
  } catch (error) {
    process.exitCode = 1;
    console.error(`${name}: ${error.stack}`);
    for (const page of browser.contexts().flatMap((context) => context.pages())) {
      console.error(page.url(), (await page.locator("body").innerText().catch(() => "")).slice(0, 600));
    }
    break;
  }
}
await browser.close();
