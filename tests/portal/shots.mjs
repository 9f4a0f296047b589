// Looks at every page of the portal, in a demo and where there is very much or nothing at all: node shots.mjs FOLDER
// Writes them to FOLDER in both themes, at 360 and 1440 pixels; says what axe-core finds fault with, what runs over the side,
// and what the browser's console complains of, and ends with 1 where there is any of it.
// Wants what stage.mjs wants. Chromium: the one at $CHROMIUM, else Debian's.
import { readFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { Stage, startDemo } from "./stage.mjs";

const [folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(folder, { recursive: true });

// Name, who looks, where, and what is done there before the picture is taken.
const click = (name) => (page) => page.getByRole("button", { name, exact: true }).click();
const SMALL = `[[account]]
id = "111122223333"
alias = "prod"
  [[account.role]]
  name = "ReadOnly"

[[grant]]
to = ["user:bob@example.com"]
roles = ["prod/*"]
`;
const DEMO = [
  ["sign-in", null, "/access"],
  ["access", "alice", "/access"],
  ["access-typed", "alice", "/access", (page) => page.getByRole("searchbox").pressSequentially("prod")],
  ["access-no-match", "alice", "/access?q=nothing+like+it"],
  ["role", "alice", "/access/prod/ReadOnly"],
  ["role-choice", "alice", "/access/dev/Developer"],
  ["role-refused", "alice", "/access/prod/Deploy"],
  ["credentials", "alice", "/access/dev/Developer", click("Credentials")],
  ["credentials-failed", "alice", "/access/dev/Unfinished", click("Credentials")],
  ["activity", "alice", "/activity"],
  ["access-carol", "carol", "/access"],
  ["access-bob", "bob", "/access"],
  ["sessions", "alice", "/sessions"],
  ["audit", "carol", "/audit"],
  ["audit-wrong", "carol", "/audit?account=nowhere&since=yesterday"],
  ["audit-event", "carol", "/audit?kind=credentials.denied", (page) => page.locator("tbody a").first().click()],
  ["audit-charts", "carol", "/audit/charts"],
  ["audit-streams", "carol", "/audit/streams"],
  ["allowlist", "bob", "/allowlist"],
  ["allowlist-typed", "bob", "/allowlist", (page) => page.getByRole("searchbox").pressSequentially("prod")],
  ["grants", "bob", "/allowlist/grants"],
  ["grants-carol", "carol", "/allowlist/grants"],
  ["grants-file", "bob", "/allowlist/grants?of=file"],
  ["grant", "bob", "/allowlist/grants", (page) => page.locator("td a", { hasText: "single grant" }).first().click()],
  ["grant-new", "bob", "/allowlist/grants/new"],
  ["grant-wrong", "bob", "/allowlist/grants/new?to=alice&role=nowhere/Nothing&source_ips=here", click("Make the grant")],
  ["blocks", "bob", "/allowlist/blocks"],
  ["block-new", "bob", "/allowlist/blocks/new"],
  ["block-wrong", "bob", "/allowlist/blocks/new?principal=alice&role=prod/Deploy", click("Block")],
  ["reach", "bob", "/allowlist/reach"],
  ["reach-person", "bob", "/allowlist/reach?person=alice@example.com&groups=developers"],
  ["reach-role", "bob", "/allowlist/reach?role=prod/ReadOnly"],
  ["reach-wrong", "bob", "/allowlist/reach?role=nowhere/Nothing"],
  ["explain", "bob", "/allowlist/explain"],
  ["explain-not", "bob", "/allowlist/explain?person=alice@example.com&role=prod/Deploy"],
  ["explain-allowed", "bob", "/allowlist/explain?person=alice@example.com&groups=developers&role=prod/ReadOnly&reason=INC-42"],
  ["explain-wrong", "bob", "/allowlist/explain?person=&role=x"],
  ["file", "bob", "/allowlist/file"],
  ["file-change", "bob", "/allowlist/file/change"],
  ["file-wrong", "bob", "/allowlist/file/change", (page) => page.getByLabel("The file").fill("[[grant]]\nto = 1\n").then(() => click("Show the plan")(page))],
  ["file-plan", "bob", "/allowlist/file/change", (page) => page.getByLabel("The file").fill(SMALL).then(() => click("Show the plan")(page))],
  ["history", "bob", "/allowlist/history"],
  ["fault", "alice", "/no/such/page"],
];

// 5,000 roles in 300 accounts, names as long as they get, and nothing at all.
const MUCH = [
  ["much-access", "alice", "/access"],
  ["much-long", "alice", "/access?q=a-name"],
  ["much-typed", "alice", "/access", (page) => page.getByRole("searchbox").pressSequentially("role3")],
  ["nothing-access", "bob", "/access"],
  ["nothing-activity", "bob", "/activity"],
  ["much-allowlist", "carol", "/allowlist"],
  ["much-reach", "carol", "/allowlist/reach?person=alice@example.com"],
  ["much-grants", "carol", "/allowlist/grants?of=file"],
  ["much-file", "carol", "/allowlist/file"],
  ["nothing-charts", "carol", "/audit/charts"],
];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
let faults = 0;
const fault = (...words) => {
  faults += 1;
  console.log(...words);
};

const inDemo = async (page, base, who) => {
  await page.goto(`${base}/access`);
  await page.getByText(who, { exact: false }).first().click();
  await page.waitForURL("**/access");
};
/** Every page of one person's. */
const look = async (base, signIn, who, pages, theme, width) => {
  // Without the portal's policy alone axe-core can be put into its pages.
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: theme, bypassCSP: true });
  const page = await context.newPage();
  let name;
  page.on("console", (message) => {
    const expected = /status of 4\d\d|status of 502/.test(message.text());
    if (message.type() === "error" && !expected) fault(theme, width, name, "console:", message.text());
  });
  page.on("pageerror", (error) => fault(theme, width, name, "script:", error.message));
  if (who) await signIn(page, base, who);
  for (const [own, , path, act] of pages) {
    name = own;
    await page.goto(base + path);
    if (act) {
      await act(page);
      await page.waitForTimeout(600);
    }
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    for (const { id, help, nodes } of violations) fault(theme, width, name, `${id}: ${help}:`, nodes[0].html.slice(0, 160));
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (over > 0) fault(theme, width, name, `runs over the side by ${over} pixels`);
    await page.screenshot({ path: `${folder}/${name}-${theme}-${width}.png`, fullPage: true });
  }
  await context.close();
};

const stage = await Stage.start();
let shown = 0;
for (const [base, signIn, all] of [[await startDemo(), inDemo, DEMO], [stage.base, (page, _, who) => stage.enter(page, who), MUCH]]) {
  for (const theme of ["light", "dark"]) {
    for (const who of new Set(all.map(([, who]) => who))) {
      const pages = all.filter(([, by]) => by === who);
      await Promise.all([360, 1440].map((width) => look(base, signIn, who, pages, theme, width)));
      shown += 2 * pages.length;
    }
  }
}
console.log(`${shown} pictures in ${folder}, ${faults} faults`);
await browser.close();
process.exit(faults ? 1 : 0);
