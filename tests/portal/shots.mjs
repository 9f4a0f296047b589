// Looks at the portal of a running demo: node shots.mjs BASE FOLDER
// Writes every page to FOLDER in both themes, at 360 and 1440 pixels; says what axe-core finds fault with, what runs over
// the side, and what the browser's console complains of, and ends with 1 where there is any of it.
// Chromium: the one at $CHROMIUM, else Debian's.
import { readFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [base, folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
mkdirSync(folder, { recursive: true });

// Name, who looks, where, and what is done there before the picture is taken.
const click = (name) => (page) => page.getByRole("button", { name, exact: true }).click();
const PAGES = [
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
  ["fault", "alice", "/no/such/page"],
];

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
let faults = 0;
const fault = (...words) => {
  faults += 1;
  console.log(...words);
};

for (const theme of ["light", "dark"]) {
  for (const width of [360, 1440]) {
    for (const who of new Set(PAGES.map(([, who]) => who))) {
      // Without the portal's policy alone axe-core can be put into its pages.
      const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: theme, bypassCSP: true });
      const page = await context.newPage();
      let name;
      page.on("console", (message) => {
        const expected = /status of 4\d\d|status of 502/.test(message.text());
        if (message.type() === "error" && !expected) fault(theme, width, name, "console:", message.text());
      });
      page.on("pageerror", (error) => fault(theme, width, name, "script:", error.message));
      if (who) {
        await page.goto(`${base}/access`);
        await page.getByText(who, { exact: false }).first().click();
        await page.waitForURL("**/access");
      }
      for (const [own, , path, act] of PAGES.filter(([, by]) => by === who)) {
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
    }
  }
}
await browser.close();
process.exitCode = faults ? 1 : 0;
