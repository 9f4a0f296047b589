// Every action of the portal by keyboard alone: nothing is clicked, and where the focus is must be seen on the way.
import assert from "node:assert/strict";
import { until } from "./stage.mjs";

/** What is pressed; everything else is typed. */
const KEYS = new Set(["Enter", "Space", "ArrowRight", "Control+End"]);

/** Goes on by Tab until the focus is at what has this name (a pattern), and presses or types what follows. */
const keysOn = (page, base) => async (what, name, ...then) => {
  await tabTo(page, base, what, name);
  for (const key of then) await (KEYS.has(key) ? page.keyboard.press(key) : page.keyboard.type(key));
};

const tabTo = async (page, base, what, name) => {
  for (let i = 0; i < 150; i += 1) {
    await page.keyboard.press("Tab");
    const { found, seen } = await page.evaluate((name) => {
      const at = document.activeElement;
      const own = at.getAttribute("aria-label") ?? at.labels?.[0]?.textContent ?? at.textContent;
      const style = getComputedStyle(at);
      return {
        found: new RegExp(name).test(own.trim()),
        seen: at === document.body || (style.outlineStyle !== "none" && style.outlineWidth !== "0px"),
      };
    }, name);
    if (page.url().startsWith(base)) assert(seen, `the focus is not seen on the way to ${what}`);
    if (found) return;
  }
  assert.fail(`${what} cannot be reached by Tab`);
};

/** Tomorrow as it is typed into the parts of a time: month, day, year, and on to the hour. */
const tomorrow = () => {
  const [year, month, day] = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10).split("-");
  return [`${month}${day}${year}`, "ArrowRight", "1159PM"];
};

const withCredentials = async ({ base, browser, consent, isSomebody }) => {
  const context = await browser.newContext({ permissions: ["clipboard-read", "clipboard-write"] });
  const page = await context.newPage();
  const keys = keysOn(page, base);
  await page.goto(`${base}/access`);
  await page.locator("[name=login]").waitFor();
  await page.keyboard.type("keys");
  await page.keyboard.press("Enter");
  await consent(page);
  await keys("the skip link", "Skip to content", "Enter");
  await keys("the search", "Find a role", "prod look");
  await until("one role", async () => (await page.locator("#found .roles li").count()) === 1);
  await keys("its star", "Keep prod/ReadOnly", "Enter");
  await until("the star", async () => (await page.locator(".star", { hasText: "★" }).count()) === 1);
  await page.goto(`${base}/access`);
  await keys("the theme", "theme$", "Enter");
  assert.notEqual(await page.evaluate(() => document.documentElement.dataset.theme), undefined);
  await keys("the role", "ReadOnly", "Enter");
  await page.waitForURL("**/access/prod/ReadOnly");
  await keys("the button", "^Credentials$", "Enter");
  await page.getByText("Your credentials").waitFor();
  await keys("the first tab", "bash, zsh", "ArrowRight");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "fish");
  await page.keyboard.press("ArrowLeft");
  await keys("the copy", "^Copy: bash", "Enter");
  await until("the copy", async () => (await page.evaluate(() => navigator.clipboard.readText())).includes("export "));
  await isSomebody(await page.evaluate(() => navigator.clipboard.readText()), "ReadOnly");
  await keys("the cover", "^Show: bash", "Enter");
  await isSomebody(await page.locator("[data-given] pre").first().innerText(), "ReadOnly");
  const [aws] = await Promise.all([context.waitForEvent("page"), keys("the console", "Open the console", "Enter")]);
  await aws.getByText("Signed in to the console").waitFor();
  await aws.close();
  await page.goto(`${base}/sessions`);
  await keys("the end of this session", "End the session", "Enter");
  await until("the sign-in", () => !page.url().startsWith(base));
  await context.close();
};

const asAdmin = async ({ base, person, go }) => {
  const carol = await person("carol");
  const keys = keysOn(carol, base);
  await go(carol, "carol", "/allowlist/blocks/new");
  await keys("the role", "Or which role", "prod/Special");
  await keys("the reason", "^Why$", "frozen", "Enter");
  await carol.waitForURL("**/allowlist/blocks");
  await keys("the block", "The block on", "Enter");
  await carol.waitForURL("**/allowlist/blocks/*");
  await keys("why it ends", "^Why$", "melted", "Enter");
  await carol.getByText("Nobody is blocked").waitFor();

  await keys("the grants", "^Grants$", "Enter");
  await carol.waitForURL("**/allowlist/grants");
  await keys("a new one", "^New grant$", "Enter");
  await carol.waitForURL("**/allowlist/grants/new");
  await keys("whom", "^Who$", "bob@example.com");
  await keys("what", "^Role$", "prod/Special");
  await keys("until when", "^Until", ...tomorrow());
  await keys("why", "^Why$", "INC-7");
  await keys("the terms", "^Terms$", "Enter");
  await keys("that a reason is wanted", "must say why", "Space");
  await keys("the button", "^Make the grant$", "Enter");
  await carol.waitForURL("**/allowlist/grants");
  assert.match(await carol.locator("tbody tr").innerText(), /Special.*INC-7/s);

  await keys("explain", "^Explain$", "Enter");
  await carol.waitForURL("**/allowlist/explain");
  await keys("the person", "^Person$", "bob@example.com");
  await keys("the role", "^Role$", "prod/Special", "Enter");
  await carol.getByText("not allowed", { exact: true }).waitFor();
  await keys("the reason", "^Reason", "INC-7", "Enter");
  await carol.getByText("allowed", { exact: true }).waitFor();

  await keys("reach", "^Reach$", "Enter");
  await carol.waitForURL("**/allowlist/reach");
  await keys("the person", "^Person$", "bob@example.com", "Enter");
  await carol.waitForURL("**/allowlist/reach?person=*");
  await keys("the role", "^prod/Special$", "Enter");
  await carol.getByRole("heading", { name: "prod/Special" }).waitFor();
  await keys("the grant", "^single grant$", "Enter");
  await carol.waitForURL("**/allowlist/grants/*");
  await keys("why it ends", "^Why$", "done");
  await keys("the end", "^End this grant$", "Enter");
  await carol.getByText("No single grant").waitFor();

  await keys("the file", "^File$", "Enter");
  await carol.waitForURL("**/allowlist/file");
  await keys("another", "^Change it$", "Enter");
  await carol.waitForURL("**/allowlist/file/change");
  await keys("the text", "^The file$", "Control+End", '\n[[grant]]\nto = ["user:bob@example.com"]\nroles = ["prod/Extra"]\n');
  await keys("the plan", "^Show the plan$", "Enter");
  await carol.getByText("user:bob@example.com → prod/Extra").first().waitFor();
  await keys("its use", "^Apply it$", "Enter");
  await carol.waitForURL("**/allowlist/file");
  await carol.getByText("prod/Extra").first().waitFor({ state: "attached" });
  await keys("the history", "^History$", "Enter");
  await carol.waitForURL("**/allowlist/history");
  await carol.getByText("File applied").first().waitFor();
  await asAuditor(carol, keys);
  const isIn = async () => (await carol.context().cookies()).some(({ name }) => name === "__Host-hallpass");
  assert(await isIn());
  await keys("the way out", "^Sign out$", "Enter");
  await until("being out", async () => !(await isIn()));
  await carol.context().close();
};

const asAuditor = async (page, keys) => {
  await keys("the audit", "^Audit$", "Enter");
  await page.waitForURL("**/audit");
  await keys("the kind", "^Kind$", "block.removed");
  await keys("the text to look for", "^Text$", "melted", "Enter");
  await until("the one event", async () => (await page.locator("tbody tr").count()) === 1);
  const [file] = await Promise.all([page.waitForEvent("download"), keys("the export", "^CSV$", "Enter")]);
  assert.equal(file.suggestedFilename(), "audit.csv");
  await keys("the event", `^${new Date().getUTCFullYear()}-`, "Enter");
  await page.getByText("end_reason").first().waitFor();
  await keys("the charts", "^Charts$", "Enter");
  await page.waitForURL("**/audit/charts");
  await keys("the figures", "The figures as a table", "Enter");
  await page.locator("details[open] table").first().waitFor();
  await keys("the streams", "^Streams$", "Enter");
  await page.waitForURL("**/audit/streams");
};

/** `people` is how a journey signs people in. */
export const byKeyboard = async (people) => {
  await withCredentials(people);
  await asAdmin(people);
};
