// The client library `openid-client`, unchanged, through every flow that it has: `private_key_jwt`, DPoP with nonces, a
// pushed authorization request with PKCE, refresh, token exchange, introspection, revocation.
//
// Its one argument is a plan as JSON: library (the package's file), issuer, resource, scope, cookie, redirect, and the
// parties agent, peer, watcher as { name, key, kid }. Prints what came of each step.
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { answer } from "./user.mjs";

const plan = JSON.parse(process.argv[2]);
const oidc = await import(pathToFileURL(plan.library).href);
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";

async function party({ name, key, kid }) {
  const pkcs8 = createPrivateKey(readFileSync(key)).export({ type: "pkcs8", format: "der" });
  const own = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
  const authentication = oidc.PrivateKeyJwt({ key: own, kid });
  const config = await oidc.discovery(new URL(plan.issuer), name, {}, authentication, {
    algorithm: "oauth2",
    execute: [oidc.allowInsecureRequests],
  });
  return { config, DPoP: oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair("ES256")) };
}

const [agent, peer, watcher] = [await party(plan.agent), await party(plan.peer), await party(plan.watcher)];
const known = (token) => oidc.tokenIntrospection(watcher.config, token);
const refused = (error) => error.error ?? String(error);
const told = {};

// For itself.
const own = await oidc.clientCredentialsGrant(agent.config, { resource: plan.resource }, agent);
told.issued = { ...own, known: await known(own.access_token) };

// For a user.
const verifier = oidc.randomPKCECodeVerifier();
const state = oidc.randomState();
const url = await oidc.buildAuthorizationUrlWithPAR(
  agent.config,
  {
    redirect_uri: plan.redirect,
    scope: plan.scope,
    resource: plan.resource,
    state,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  },
  agent,
);
const { asked, sent } = await answer(url, plan);
told.asked = asked;
const redeem = () =>
  oidc.authorizationCodeGrant(
    agent.config, sent, { pkceCodeVerifier: verifier, expectedState: state }, { resource: plan.resource }, agent,
  );
const user = await redeem();
told.user = { ...user, known: await known(user.access_token) };
const renewed = await oidc.refreshTokenGrant(agent.config, user.refresh_token, { resource: plan.resource }, agent);
told.renewed = { ...renewed, known: await known(renewed.access_token) };
told.copy = await oidc.refreshTokenGrant(agent.config, user.refresh_token, {}, agent).then(() => "taken", refused);
told.ended = await known(renewed.access_token);

// For another agent.
const handed = await oidc.clientCredentialsGrant(
  agent.config, { resource: `${plan.issuer}/agents/${plan.peer.name}`, scope: plan.scope }, agent,
);
const subject = { subject_token: handed.access_token, subject_token_type: ACCESS_TOKEN, resource: plan.resource };
const exchanged = await oidc.genericGrantRequest(peer.config, EXCHANGE, subject, peer);
told.exchanged = { ...exchanged, known: await known(exchanged.access_token) };

// And no longer.
await oidc.tokenRevocation(agent.config, own.access_token);
told.revoked = await known(own.access_token);
console.log(JSON.stringify(told));
