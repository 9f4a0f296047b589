// Everything that a journey through the portal needs, each on a port of its own: moto as AWS, oidc-provider as the identity
// provider, a stand-in for AWS's sign-in service, and Hallpass itself with an allowlist of 5,000 roles.
// Wants HALLPASS (the binary), HALLPASS_TEST_MOTO and HALLPASS_TEST_OIDC, as tests/run sets them.
import { spawn, execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const { HALLPASS, HALLPASS_TEST_MOTO: PROGRAMS, HALLPASS_TEST_OIDC: OIDC } = process.env;
const BROKER = { AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY: "broker", AWS_DEFAULT_REGION: "eu-west-1" };

const freePort = async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
};

/** The simulated world of `hallpass demo`, with its address. */
export const startDemo = async () => {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "hallpass-demo."));
  const child = spawn(HALLPASS, ["demo", "--listen", `127.0.0.1:${port}`, "--data", folder], { stdio: "ignore" });
  process.on("exit", () => (child.kill("SIGKILL"), rmSync(folder, { recursive: true, force: true })));
  const base = `http://127.0.0.1:${port}`;
  await until("the demo", async () => (await fetch(`${base}/readyz`).catch(() => null))?.ok);
  return base;
};

/** Until it is so, or a minute has gone. */
export const until = async (what, holds) => {
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((next) => setTimeout(next, 50))) {
    const found = await holds();
    if (found) return found;
  }
  throw new Error(`waited for ${what} in vain`);
};

const answers = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => (socket.destroy(), resolve(true)));
    socket.on("error", () => resolve(false));
  });

const LONG = "a-name-that-somebody-thought-would-tell-everything-about-it-0";

// prod has what the journey is about; the other accounts are there to be many, 5,000 roles in all, and one to be long.
const ALLOWLIST = `[[account]]
id = "111122223333"
alias = "prod"
name = "Production"
  [[account.role]]
  name = "ReadOnly"
  description = "Look, don't touch"
  max_duration = "4h"
  [[account.role]]
  name = "Deploy"
  [[account.role]]
  name = "Extra"
  [[account.role]]
  name = "Special"
[[account]]
id = "111122224444"
alias = "${LONG}"
name = "${"An account with a name as long as a sentence, which nobody reads to its end. ".repeat(2).trim()}"
  [[account.role]]
  name = "${LONG}x"
  description = "${"Whatever one can think of, and more of it than fits on a line, ".repeat(5).trim()}"
[[grant]]
to = ["user:alice@example.com"]
roles = ["${LONG}/*"]
${Array.from({ length: 300 }, (_, account) => `[[account]]
id = "${500000000000 + account}"
alias = "team-${account}"
${Array.from({ length: account < 195 ? 17 : 16 }, (_, role) => `  [[account.role]]\n  name = "Role${role}"\n`).join("")}
[[grant]]
to = ["user:alice@example.com", "user:keys@example.com"]
roles = ["team-${account}/*"]
`).join("")}
[[grant]]
to = ["user:alice@example.com", "user:keys@example.com"]
roles = ["prod/ReadOnly", "prod/Deploy"]
`;

export class Stage {
  #children = [];
  folder = mkdtempSync(join(tmpdir(), "hallpass-journey."));

  /** Beside another database or allowlist, or configured further, where these are given; `fill` runs before Hallpass does. */
  static async start(its = {}) {
    const stage = new Stage();
    process.on("exit", () => stage.#end());
    const [moto, oidc, api] = [await freePort(), await freePort(), await freePort()];
    stage.base = `http://127.0.0.1:${api}`;
    stage.aws = { AWS_ENDPOINT_URL: `http://127.0.0.1:${moto}`, HOME: stage.folder, PATH: process.env.PATH, AWS_DEFAULT_REGION: "eu-west-1" };
    stage.signin = await stage.#signIn();
    stage.#spawn(join(PROGRAMS, "moto_server"), ["-H", "127.0.0.1", "-p", `${moto}`]);
    stage.#spawn("node", ["provider.js", `${oidc}`, "3600", stage.base], { cwd: OIDC });
    await until("moto", () => answers(moto));
    await until("the identity provider", () => answers(oidc));
    await stage.#serve(api, `http://127.0.0.1:${oidc}`, its);
    return stage;
  }

  /** Signs in where nobody is, and is at My access then. */
  async enter(page, who) {
    await page.goto(`${this.base}/access`);
    await page.locator("[name=login]").fill(who);
    for (let i = 0; i < 2 && !page.url().startsWith(this.base); i += 1) await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL("**/access");
  }

  async #serve(port, issuer, { allowlist = ALLOWLIST, database = "sqlite:hallpass.db", config: more = "", fill = async () => {} }) {
    const config = join(this.folder, "hallpass.toml");
    writeFileSync(join(this.folder, "allowlist.toml"), allowlist);
    writeFileSync(config, `
[server]
listen = "127.0.0.1:${port}"
public_url = "${this.base}"
[database]
url = "${database}"
[audit]
signing_key_file = "audit.key"
[aws]
region = "eu-west-1"
signin_url = "${this.signin}"
[access]
admins = ["user:carol@example.com"]
auditors = ["user:dave@example.com"]
[[issuers]]
name = "corp"
issuer = "${issuer}"
audiences = ["hallpass"]
kind = "people"
principal_claim = "email"
groups_claim = "groups"
prefix = ""
[login]
issuer = "corp"
client_id = "hallpass"
[portal]
issuer = "corp"
client_id = "hallpass-portal"
${more}`);
    const env = { ...this.aws, ...BROKER };
    const run = (...args) => promisify(execFile)(HALLPASS, [...args, "--config", config], { env, maxBuffer: 1 << 26 });
    await run("migrate");
    // Beside SQLite the first start makes one.
    if (!database.startsWith("sqlite:")) await run("audit", "keygen");
    await run("allowlist", "apply", join(this.folder, "allowlist.toml"));
    await fill(this.folder);
    this.server = this.#spawn(HALLPASS, ["serve", "--config", config], { env });
    await until("Hallpass", async () => (await fetch(`${this.base}/readyz`).catch(() => null))?.ok);
  }

  /** AWS's sign-in service, as far as a link goes through it. */
  async #signIn() {
    const server = createServer((request, response) => {
      const login = new URL(request.url, "http://x").searchParams.get("Action") === "login";
      response.setHeader("content-type", login ? "text/html" : "application/json");
      response.end(login ? "<!doctype html><title>Console</title><h1>Signed in to the console</h1>" : '{"SigninToken":"t0ken"}');
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    server.unref();
    return `http://127.0.0.1:${server.address().port}`;
  }

  /** What the real AWS CLI says, with these credentials in its environment and nothing else. */
  async cli(credentials, ...args) {
    const { stdout } = await promisify(execFile)(join(PROGRAMS, "aws"), args, { env: { ...this.aws, ...credentials } });
    return JSON.parse(stdout);
  }

  #spawn(program, args, options = {}) {
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], ...options });
    child.stderr.on("data", (text) => process.env.VERBOSE && process.stderr.write(text));
    this.#children.push(child);
    return child;
  }

  #end() {
    for (const child of this.#children) child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
