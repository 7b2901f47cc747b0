// The client library `oauth4webapi`, unchanged, on a plan from the command line: an agent gets a token by a signed
// assertion, bound to a key by DPoP; another client asks about it, plain and signed; the agent revokes it; it is asked
// about again. Prints what each step told.
import { createPrivateKey, webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const plan = JSON.parse(process.argv[2]);
const oauth = await import(pathToFileURL(plan.library).href);
const plain = { [oauth.allowInsecureRequests]: true };

async function party({ name, key_file }) {
  const pkcs8 = createPrivateKey(readFileSync(key_file)).export({ type: "pkcs8", format: "der" });
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const key = await webcrypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]);
  return { client: { client_id: name }, auth: oauth.PrivateKeyJwt(key) };
}

const issuer = new URL(plan.issuer);
const discovered = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...plain });
const as = await oauth.processDiscoveryResponse(issuer, discovered);
const agent = await party(plan.agent);
const watcher = await party(plan.watcher);
const proofs = oauth.DPoP(agent.client, await oauth.generateKeyPair("ES256"));

async function token() {
  const ask = () =>
    oauth.clientCredentialsGrantRequest(as, agent.client, agent.auth, { resource: plan.resource }, { DPoP: proofs, ...plain });
  const process = async () => oauth.processClientCredentialsResponse(as, agent.client, await ask());
  try {
    return await process();
  } catch (error) {
    // The first proof has no nonce yet.
    if (!oauth.isDPoPNonceError(error)) throw error;
    return await process();
  }
}

async function introspect(text, requestJwtResponse) {
  const answer = await oauth.introspectionRequest(as, watcher.client, watcher.auth, text, { requestJwtResponse, ...plain });
  const told = await oauth.processIntrospectionResponse(as, watcher.client, answer);
  if (requestJwtResponse) await oauth.validateApplicationLevelSignature(as, answer, plain);
  return told;
}

const issued = await token();
const told = { as, issued, plain: await introspect(issued.access_token, false) };
told.signed = await introspect(issued.access_token, true);
await oauth.processRevocationResponse(
  await oauth.revocationRequest(as, agent.client, agent.auth, issued.access_token, plain),
);
told.revoked = await introspect(issued.access_token, true);
await oauth.processRevocationResponse(await oauth.revocationRequest(as, agent.client, agent.auth, "unknown", plain));
console.log(JSON.stringify(told));
