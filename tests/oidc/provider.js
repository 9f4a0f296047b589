// A certified OpenID provider with the people of the tests: node provider.js PORT [SECONDS [PORTAL]]
// Whoever says a name is signed in as <name>@example.com; a token is good for SECONDS. Prints `ready`, then a line for each
// grant (`grant refresh_token`), so that a test can count them.
import Provider from "oidc-provider";

const [port, lifetime = "3600", portal] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const RESOURCE = "https://hallpass.test";

const person = (id) => ({
  accountId: id,
  claims: () => ({ sub: id, email: id, email_verified: true, groups: ["developers"] }),
});

const provider = new Provider(issuer, {
  clients: ["hallpass", "elsewhere"].map((client_id) => ({
    client_id,
    application_type: "native",
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    redirect_uris: ["http://127.0.0.1/callback"],
  })).concat(portal ? [{
    client_id: "hallpass-portal",
    application_type: "native",
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: ["http://127.0.0.1/login/callback"],
    post_logout_redirect_uris: [`${portal}/`],
  }] : []),
  scopes: ["openid", "profile", "email", "offline_access"],
  claims: { openid: ["sub"], email: ["email", "email_verified", "groups"], profile: ["name"] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => person(id),
  // What the client asks for is granted.
  async loadExistingGrant(ctx) {
    const { client, session, params } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope);
    grant.addResourceScope(RESOURCE, params.scope);
    await grant.save();
    return grant;
  },
  extraTokenClaims: (_, token) => person(token.accountId).claims(),
  rotateRefreshToken: true,
  ttl: { IdToken: Number(lifetime), AccessToken: Number(lifetime), RefreshToken: 86400, Grant: 86400, Session: 86400 },
  cookies: { keys: ["of the tests"] },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "openid profile email offline_access",
        audience: "hallpass",
        accessTokenFormat: "jwt",
        accessTokenTTL: Number(lifetime),
      }),
    },
  },
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  if (ctx.method === "GET") {
    ctx.type = "html";
    ctx.body = `<!doctype html><title>Sign in</title><form method="post" action="${ctx.path}">
      <input name="login" autofocus><button name="do" value="in">Sign in</button><button name="do" value="no">Refuse</button></form>`;
    return;
  }
  let body = "";
  for await (const piece of ctx.req) body += piece;
  const said = new URLSearchParams(body);
  // A native client's person is asked for consent whatever was granted before.
  const { prompt } = await provider.interactionDetails(ctx.req, ctx.res);
  const answers = { login: { login: { accountId: `${said.get("login")}@example.com` } }, consent: { consent: {} } };
  const refusal = { error: "access_denied", error_description: "Not today" };
  const result = said.get("do") === "no" ? refusal : answers[prompt.name];
  await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: prompt.name === "consent" });
  ctx.respond = false;
});

provider.on("grant.success", (ctx) => console.log(`grant ${ctx.oidc.params.grant_type}`));
provider.on("grant.error", (ctx, error) => console.log(`refused ${ctx.oidc.params?.grant_type} ${error.error_description ?? error}`));
provider.on("server_error", (_, error) => console.log(`broken ${error.stack}`));
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
