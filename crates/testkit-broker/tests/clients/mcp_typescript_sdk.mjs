// The TypeScript SDK of MCP, unchanged: from nothing but an endpoint and its own key it discovers the broker, authenticates
// by a signed assertion, takes a token (bound to a key, if `dpop`), and calls.
//
// Its one argument is a plan as JSON: library (the package's file), url, issuer, client, key, algorithm, dpop, calls
// ([[tool, arguments]]), and for a user also cookie and redirect; with `document`, the URL of its own metadata, in the place
// of client and key. For a user of another domain, the assertion that vouches for them: then the proofs are by the client's
// own key, to which the assertion belongs. Prints what came of each step.
import { createHash, createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { answer } from "./user.mjs";

const plan = JSON.parse(process.argv[2]);
const sdk = await import(pathToFileURL(plan.library).href);
const privateKey = plan.key === undefined ? undefined : readFileSync(plan.key, "utf8");
const { client: clientId, issuer, algorithm } = plan;

/** A client that its user sends to the authorization endpoint. */
class ForUser {
  addClientAuthentication = plan.document === undefined
    ? sdk.createPrivateKeyJwtAuth({ issuer: clientId, subject: clientId, privateKey, alg: algorithm })
    : undefined;
  redirectUrl = plan.redirect;
  clientMetadata = {
    client_name: clientId,
    redirect_uris: [plan.redirect],
    grant_types: ["authorization_code", "refresh_token"],
    token_endpoint_auth_method: "private_key_jwt",
  };
  clientInformation = () => ({ client_id: clientId, issuer });
  tokens = () => this.held;
  saveTokens = (tokens) => { this.held = tokens; };
  state = () => (this.sent_state ??= crypto.randomUUID());
  saveCodeVerifier = (verifier) => { this.verifier = verifier; };
  codeVerifier = () => this.verifier;
  discoveryState = () => this.discovered;
  saveDiscoveryState = (discovered) => { this.discovered = discovered; };
  redirectToAuthorization = (url) => { this.asks = url; };
}

/** The same without a key: all that says who it is, is the URL of its document. */
class ByDocument extends ForUser {
  clientMetadataUrl = plan.document;
  clientMetadata = { ...this.clientMetadata, client_name: "by its document", token_endpoint_auth_method: "none" };
  clientInformation = () => this.information;
  saveClientInformation = (information) => { this.information = information; };
}

/** The SDK's provider of enterprise-managed authorization, which by itself knows secrets only. */
function vouchedFor() {
  const provider = new sdk.CrossAppAccessProvider({
    assertion: async () => plan.assertion, clientId, expectedIssuer: issuer,
  });
  provider.addClientAuthentication = sdk.createPrivateKeyJwtAuth({
    issuer: clientId, subject: clientId, privateKey, alg: algorithm,
  });
  return provider;
}

function ownKey() {
  const { kty, crv, x, y } = createPublicKey(privateKey).export({ format: "jwk" });
  const thumbprint = createHash("sha256").update(JSON.stringify({ crv, kty, x, y })).digest("base64url");
  return { privateKey: createPrivateKey(privateKey), publicJwk: { kty, crv, x, y }, thumbprint, alg: algorithm };
}

function chosen() {
  if (plan.assertion !== undefined) return vouchedFor();
  if (plan.document !== undefined) return new ByDocument();
  if (plan.redirect !== undefined) return new ForUser();
  return new sdk.PrivateKeyJwtProvider({ clientId, privateKey, algorithm, expectedIssuer: issuer });
}

const provider = chosen();
if (plan.dpop) {
  const keyPair = plan.assertion === undefined ? undefined : ownKey();
  const session = await sdk.DpopSession.create({ keyPair });
  provider.dpop = () => session;
}

const open = () => new sdk.StreamableHTTPClientTransport(new URL(plan.url), { authProvider: provider });
const client = () => new sdk.Client({ name: "testkit", version: "1" });
const told = {};
let mcp = client();
let transport = open();
try {
  await mcp.connect(transport);
} catch (error) {
  if (!(error instanceof sdk.UnauthorizedError) || provider.asks === undefined) throw error;
  const { asked, sent } = await answer(provider.asks, plan);
  told.asked = asked;
  await transport.finishAuth(sent.searchParams);
  [mcp, transport] = [client(), open()];
  await mcp.connect(transport);
}
told.token_type = (await provider.tokens()).token_type;
told.tools = (await mcp.listTools()).tools.map(({ name }) => name);
const call = ([name, args]) => mcp.callTool({ name, arguments: args });
told.calls = [];
for (const one of plan.calls) told.calls.push(await call(one));
if (plan.redirect !== undefined) {
  const before = (await provider.tokens()).refresh_token;
  told.renewed = await sdk.auth(provider, { serverUrl: plan.url });
  told.rotated = (await provider.tokens()).refresh_token !== before;
  told.again = await call(plan.calls[0]);
}
await mcp.close();
console.log(JSON.stringify(told));
process.exit(0);
