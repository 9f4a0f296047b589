// What the portal's pages cost as what they show grows: node measure.mjs [POSTGRES [only]]; see benches/portal.
// Two of each database are served side by side, with few and with many roles and events, and asked turn about, so that what
// else the machine does meets both alike.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { Stage } from "./stage.mjs";

const ROUNDS = 300;
const FEW = { roles: 50, events: 10_000 };
const MANY = { roles: 5_000, events: 1_000_000 };
const run = promisify(execFile);

const allowlist = (roles) => Array.from({ length: roles / 10 }, (_, account) => `[[account]]
id = "${500000000000 + account}"
alias = "team-${account}"
${Array.from({ length: 10 }, (_, role) => `  [[account.role]]\n  name = "Role${role}"\n`).join("")}
[[grant]]
to = ["user:alice@example.com"]
roles = ["team-${account}/*"]
`).join("");

/** Issuances of the last weeks, in rows as Hallpass writes them but for hashes and signatures, which no list reads. */
const events = (count, postgres) => {
  const padded = (number, width) => (postgres ? `lpad(to_hex(${number}), ${width}, '0')` : `printf('%0${width}x', ${number})`);
  const iso = postgres
    ? "to_char(to_timestamp(at / 1000000), 'YYYY-MM-DD\"T\"HH24:MI:SS\".000000Z\"')"
    : "strftime('%Y-%m-%dT%H:%M:%S.000000Z', at / 1000000, 'unixepoch')";
  const stream = "01900000-0000-7000-8000-000000000000";
  const newest = Math.floor(Date.now() / 1000) * 1_000_000;
  const json = (pieces) => pieces.join(" || ");
  const zeros = (bytes) => (postgres ? `'\\x${"00".repeat(bytes)}'::bytea` : `x'${"00".repeat(bytes)}'`);
  return `
INSERT INTO audit_streams (stream, opened_at, closed_at) VALUES ('${stream}', ${newest - count * 2_000_000}, ${newest});
WITH ${postgres ? "" : "RECURSIVE "}numbers AS (
  ${postgres ? `SELECT n::bigint FROM generate_series(1, ${count}) n` : `SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count}`}
), timed AS (
  SELECT n, ${newest} - (${count} - n) * 2000000 AS at, '01900000-0000-7000-8000-' || ${padded("n", 12)} AS id,
    'user:person' || (n % 500) || '@example.com' AS principal, 500000000000 + n % 5 AS account FROM numbers
)
INSERT INTO audit_events (stream, seq, record, hash, signature, id, at, kind, principal, account_id, role_arn, issuance_id)
SELECT '${stream}', n, ${json([
    `'{"access_key_id":"ASIAIOSFODNN7EXAMPLE","account_id":"' || account || '"'`,
    `',"allowlist_revision":17,"assumed_role_id":"AROAIOSFODNN7EXAMPLE:p","at":"' || ${iso} || '"'`,
    `',"attempts":1,"auth":{"issuer":"corp","method":"jwt","subject":"' || n % 500 || '","token_id":null}'`,
    `',"clamped_by":null,"client":{"ip":"10.0.0.1","peer":"10.0.0.1","user_agent":"aws-cli/2.31.0"},"code":null,"detail":{}'`,
    `',"duration_seconds":3600,"expires_at":"2026-01-02T03:04:05Z","grant_id":null,"id":"' || id || '"'`,
    `',"issuance_id":"' || id || '","kind":"credentials.issued","principal":"' || principal || '","purpose":"api"'`,
    `',"reason":"INC-' || n || '","reasons":[],"request_id":null,"role_arn":"arn:aws:iam::' || account || ':role/Role1"'`,
    `',"session_name":"person=0000000000000000000000000W","session_policy_sha256":null,"session_tags":{}'`,
    `',"shared_from":null,"source_identity":null,"sts_request_id":null,"v":1,"via":null}'`,
  ])}, ${zeros(32)}, CASE WHEN n = ${count} THEN ${zeros(64)} END, id, at, 'credentials.issued', principal, '' || account, 'arn:aws:iam::' || account || ':role/Role1', id
FROM timed;
${postgres ? "ANALYZE;" : ""}`;
};

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

/** Somebody at one Hallpass, who asks for pages with the cookie of a browser. */
class Visitor {
  static async of(stage, who) {
    const context = await browser.newContext();
    await stage.enter(await context.newPage(), who);
    const visitor = new Visitor();
    const cookies = await context.cookies(stage.base);
    visitor.cookie = cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
    visitor.stage = stage;
    await context.close();
    return visitor;
  }

  async get(path) {
    const answer = await fetch(this.stage.base + path, { headers: { cookie: this.cookie, "accept-encoding": "gzip, br" }, redirect: "manual" });
    assert.equal(answer.status, 200, path);
    return await answer.text();
  }

  /** Milliseconds of CPU that this Hallpass has used, in ticks of ten. */
  cpu() {
    const fields = readFileSync(`/proc/${this.stage.server.pid}/stat`, "utf8").split(") ")[1].split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }
}

const middle = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];

/** The same page of few and of many, turn about by tens: the middle of what was waited, and the CPU of each page. */
const compare = async (what, few, many, goal, by) => {
  const sides = [few, many].map(([visitor, path]) => ({ visitor, path, times: [], cpu: 0 }));
  for (const { visitor, path } of sides) for (let warm = 0; warm < 20; warm += 1) await visitor.get(path);
  for (let round = 0; round < ROUNDS / 10; round += 1) {
    for (const side of sides) {
      const before = side.visitor.cpu();
      for (let turn = 0; turn < 10; turn += 1) {
        const began = performance.now();
        await side.visitor.get(side.path);
        side.times.push(performance.now() - began);
      }
      side.cpu += side.visitor.cpu() - before;
    }
  }
  const [low, high] = sides.map(({ times, cpu }) => ({ wall: middle(times), cpu: cpu / ROUNDS }));
  const told = ({ wall, cpu }) => `${wall.toFixed(2)} ms, CPU ${cpu.toFixed(2)} ms`;
  const ratio = high[by] / low[by];
  console.log(`${what.padEnd(34)} ${told(low).padEnd(24)} ${told(high).padEnd(24)} ${by} ${ratio.toFixed(2)}, goal ≤ ${goal}: ${ratio <= goal ? "met" : "MISSED"}`);
};

/** Where the page after this many lies, by its own links. */
const turn = async (visitor, pages) => {
  let path = "/audit";
  for (let page = 1; page < pages; page += 1) {
    const link = (await visitor.get(path)).match(/href="(\/audit\?older=[^"]+)"/);
    assert(link, `page ${page} of ${pages} is the last`);
    path = link[1].replaceAll("&#38;", "&").replaceAll("&amp;", "&");
  }
  return path;
};

const stageWith = async ({ roles, events: count }, name, postgres) => {
  const database = postgres ? postgres.replace(/\/[^/]*$/, `/portal_${count}`) : "sqlite:hallpass.db";
  if (postgres) await run("psql", [postgres, "-qc", `CREATE DATABASE portal_${count}`]);
  const fill = (folder) => {
    const [program, args] = postgres ? ["psql", ["-q", "-v", "ON_ERROR_STOP=1", database]] : ["sqlite3", ["-bail", join(folder, "hallpass.db")]];
    return run(program, [...args, ...(postgres ? ["-c", events(count, true)] : [events(count, false)])]);
  };
  console.error(`${name}: ${roles.toLocaleString("en")} roles, ${count.toLocaleString("en")} events …`);
  // Nobody asks as fast as this.
  const config = "[limits]\nrequests_per_second = 10000\nrequests_burst = 10000\n";
  return await Stage.start({ allowlist: allowlist(roles), database, config, fill });
};

for (const [name, postgres] of [["SQLite", null], ["PostgreSQL", process.argv[2]]]) {
  if (postgres === undefined || (!postgres && process.argv[3])) continue;
  const stages = [await stageWith(FEW, name, postgres), await stageWith(MANY, name, postgres)];
  const alices = await Promise.all(stages.map((stage) => Visitor.of(stage, "alice")));
  const auditors = await Promise.all(stages.map((stage) => Visitor.of(stage, "dave")));
  const deepest = Math.floor(FEW.events / 50);
  const deep = await Promise.all([turn(auditors[0], deepest), turn(auditors[1], 1_000)]);
  console.log(`${name.padEnd(34)} ${"few".padEnd(24)} many`);
  await compare("my access, 5,000 roles ÷ 50", [alices[0], "/access"], [alices[1], "/access"], 3, "cpu");
  const first = (index) => [auditors[index], "/audit"];
  await compare("audit, page 1, 1,000,000 ÷ 10,000", first(0), first(1), 1.5, "wall");
  await compare(`audit, page 1,000 ÷ page ${deepest}`, [auditors[0], deep[0]], [auditors[1], deep[1]], 1.5, "wall");
  const fewest = (await alices[0].get("/access")).length;
  console.log(`my access, without compression: ${(fewest / 1024).toFixed(1)} KiB, ${((await alices[1].get("/access")).length / 1024).toFixed(1)} KiB`);
}
await browser.close();
process.exit(0);
