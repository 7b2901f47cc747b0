// A system that holds its own users, made of parts of others: the npm package `oidc-provider` as its authorization server
// and the MCP TypeScript SDK as its server, which takes a call only with a token that the first one gave. What to do comes
// as JSON in argv[2]:
//
// {"provider": FILE, "sdk": FOLDER, "client": ID, "jwks": URL, "redirect": URL, "ttl": SECONDS, "log": FILE}
//
// Prints {"issuer", "mcp"} first. Whoever signs in is whom they say. Every message that reaches the MCP server is a line of
// the log: its method, the account and token that it came with, and the account whose session it is in; so is each refresh
// token that is taken back.

import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { pathToFileURL } from "node:url";

// Nobody reads what the provider says of itself, and its first line is all that is read of this.
console.info = console.warn = () => {};

const plan = JSON.parse(process.argv[2]);
const { default: Provider } = await import(pathToFileURL(plan.provider));
const sdk = (part) => import(pathToFileURL(`${plan.sdk}/dist/esm/server/${part}.js`));
const { McpServer } = await sdk("mcp");
const { StreamableHTTPServerTransport } = await sdk("streamableHttp");

async function listening(server) {
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return `http://127.0.0.1:${server.address().port}`;
}

async function read(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

const say = (line) => appendFileSync(plan.log, `${JSON.stringify(line)}\n`);

// ---- the authorization server ----

const login = createServer();
const issuer = await listening(login);
const service = createServer();
const mcp = `${await listening(service)}/mcp`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: plan.client,
    grant_types: ["authorization_code", "refresh_token", "client_credentials"],
    redirect_uris: [plan.redirect],
    response_types: ["code"],
    token_endpoint_auth_method: "private_key_jwt",
    jwks_uri: plan.jwks,
  }],
  clientAuthMethods: ["private_key_jwt"],
  // Its dispatcher refuses loopback, where the broker's keys are in this story.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  scopes: ["contacts.read"],
  rotateRefreshToken: true,
  issueRefreshToken: async (_, client) => client.grantTypeAllowed("refresh_token"),
  ttl: { AccessToken: plan.ttl, RefreshToken: 3600, Interaction: 600, Session: 600, Grant: 3600 },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope("contacts.read");
    grant.addResourceScope(mcp, "contacts.read");
    await grant.save();
    return grant;
  },
  features: {
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, asked) => {
        if (asked !== mcp) throw new Error("no such resource");
        return { scope: "contacts.read", audience: asked, accessTokenTTL: plan.ttl, accessTokenFormat: "opaque" };
      },
    },
  },
});
provider.on("refresh_token.destroyed", (token) => say({ taken_back: token.accountId }));
const oauth = provider.callback();
login.on("request", async (request, response) => {
  if (!request.url.startsWith("/interaction/")) return oauth(request, response);
  try {
    if (request.method === "POST") {
      const account = new URLSearchParams(await read(request)).get("login");
      await provider.interactionDetails(request, response);
      return await provider.interactionFinished(request, response, { login: { accountId: account } });
    }
    response.setHeader("content-type", "text/html");
    response.end(`<!doctype html><title>CRM</title><link rel="icon" href="data:,"><main><form method="post">
      <label>Account <input name="login" id="login"></label><button id="go">Sign in</button></form></main>`);
  } catch (error) {
    response.statusCode = 400;
    response.end(String(error));
  }
});

// ---- the MCP server ----

const contacts = { "ada@crm": ["Ann", "Alan"], "bob@crm": ["Beth"] };
const sessions = new Map();

function serverOf() {
  const server = new McpServer({ name: "crm", version: "1.0.0" });
  const told = (text) => ({ content: [{ type: "text", text }] });
  server.registerTool("my_contacts", { description: "The contacts of whoever asks." }, async ({ authInfo }) =>
    told(JSON.stringify({ account: authInfo.extra.account, contacts: contacts[authInfo.extra.account] ?? [] })));
  server.registerTool("echo_headers", { description: "What was sent." }, async ({ authInfo }) =>
    told(`authorization: Bearer ${authInfo.token}`));
  return server;
}

// Whose token it is; "" is the broker's own, which looks and does not call.
async function accountOf(token) {
  const good = (found) => found && !found.isExpired && [found.aud].flat().includes(mcp);
  if (good(token && (await provider.ClientCredentials.find(token)))) return "";
  const found = token && (await provider.AccessToken.find(token));
  return good(found) ? found.accountId : undefined;
}

service.on("request", async (request, response) => {
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  const account = await accountOf(token);
  const body = request.method === "POST" ? JSON.parse(await read(request)) : undefined;
  const session = sessions.get(request.headers["mcp-session-id"]);
  say({
    method: body?.method ?? request.method, tool: body?.params?.name, account: account ?? null, token,
    url: request.url, session: session?.account ?? null,
  });
  const refuse = (status) => { response.statusCode = status; response.end(); };
  if (account === undefined) return refuse(401);
  if (account === "" && body?.method === "tools/call") return refuse(403);
  if (session && session.account !== account) return refuse(403);
  if (request.headers["mcp-session-id"] && !session) return refuse(404);
  request.auth = { token, clientId: plan.client, scopes: [], extra: { account } };
  let transport = session?.transport;
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, { transport, account }),
    });
    await serverOf().connect(transport);
  }
  await transport.handleRequest(request, response, body);
});

console.log(JSON.stringify({ issuer, mcp }));
