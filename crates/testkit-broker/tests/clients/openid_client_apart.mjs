// The client library `openid-client`, unchanged, asks a user apart from itself: from a device (RFC 8628) or by the back
// channel (CIBA, poll mode), with DPoP and its nonces, and verifies the signature of the ID token that comes.
//
// Its one argument is a plan as JSON: library (the package's file), issuer, resource, scope, agent as { name, key, kid },
// and `by`: "device", or "backchannel" with login_hint and binding_message. Prints a line with what the user has to know,
// and when they answered one with what came of it.
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const plan = JSON.parse(process.argv[2]);
const oidc = await import(pathToFileURL(plan.library).href);
const pkcs8 = createPrivateKey(readFileSync(plan.agent.key)).export({ type: "pkcs8", format: "der" });
const key = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const config = await oidc.discovery(
  new URL(plan.issuer), plan.agent.name, { use_mtls_endpoint_aliases: false },
  oidc.PrivateKeyJwt({ key, kid: plan.agent.kid }),
  { algorithm: "oauth2", execute: [oidc.allowInsecureRequests, oidc.enableNonRepudiationChecks] },
);
const options = { DPoP: oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256")) };
const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const wanted = { resource: plan.resource, scope: plan.scope };
const told = (tokens) => tell({ ...tokens, claims: tokens.claims() ?? null });
const refused = (error) => tell({ error: error.error ?? String(error) });

if (plan.by === "device") {
  const waiting = await oidc.initiateDeviceAuthorization(config, wanted);
  tell(waiting);
  await oidc.pollDeviceAuthorizationGrant(config, waiting, undefined, options).then(told, refused);
} else {
  const { login_hint, binding_message } = plan;
  const waiting = await oidc.initiateBackchannelAuthentication(config, { ...wanted, login_hint, binding_message });
  tell(waiting);
  await oidc.pollBackchannelAuthenticationGrant(config, waiting, undefined, options).then(told, refused);
}
