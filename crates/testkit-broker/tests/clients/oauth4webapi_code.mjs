// The authorization code flow by `oauth4webapi`, unchanged: PKCE, a pushed request, DPoP, `private_key_jwt`.
//
// Arguments: the package's folder, and a plan as JSON: issuer, client, kid, key (PKCS#8 file), cookie of a user who is
// signed in, resource, redirect, pushed, decision, renew. Prints what came of each step as JSON.
import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

import { answer } from "./user.mjs";

const [folder, text] = process.argv.slice(2);
const plan = JSON.parse(text);
const oauth = await import(pathToFileURL(`${folder}/build/index.js`).href);
const http = { [oauth.allowInsecureRequests]: true };

const pkcs8 = createPrivateKey(readFileSync(plan.key)).export({ type: "pkcs8", format: "der" });
const key = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const authentication = oauth.PrivateKeyJwt({ key, kid: plan.kid });
const client = { client_id: plan.client };
const issuer = new URL(plan.issuer);
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...http }),
);
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));
const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const told = {};

/** Once more with the nonce that came with the answer. */
async function withNonce(send) {
  try {
    return await send();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    told.nonces = (told.nonces ?? 0) + 1;
    return send();
  }
}

const parameters = new URLSearchParams({
  client_id: client.client_id,
  redirect_uri: plan.redirect,
  response_type: "code",
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: "S256",
  resource: plan.resource,
  state,
});
const authorize = new URL(server.authorization_endpoint);
if (plan.pushed) {
  const pushed = await withNonce(async () =>
    oauth.processPushedAuthorizationResponse(
      server,
      client,
      await oauth.pushedAuthorizationRequest(server, client, authentication, parameters, { DPoP, ...http }),
    ),
  );
  told.request_uri = pushed.request_uri;
  authorize.search = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri });
} else {
  authorize.search = parameters;
}

const came = await answer(authorize, plan);
told.asked = came.asked;

try {
  const sent = oauth.validateAuthResponse(server, client, came.sent, state);
  const redeem = async () =>
    oauth.processAuthorizationCodeResponse(
      server,
      client,
      await oauth.authorizationCodeGrantRequest(server, client, authentication, sent, plan.redirect, verifier, {
        DPoP,
        ...http,
      }),
    );
  told.token = await withNonce(redeem);
  if (plan.renew) {
    const renew = async (token) =>
      oauth.processRefreshTokenResponse(
        server,
        client,
        await oauth.refreshTokenGrantRequest(server, client, authentication, token, { DPoP, ...http }),
      );
    told.renewed = await renew(told.token.refresh_token);
    told.renewed_again = await renew(told.renewed.refresh_token);
    const refused = (error) => error.error;
    told.copy = await renew(told.token.refresh_token).then(() => "taken", refused);
    told.held = await renew(told.renewed_again.refresh_token).then(() => "taken", refused);
  }
  const mixed = { ...server, issuer: "https://other.example" };
  told.mixed_up = await Promise.resolve()
    .then(() => oauth.validateAuthResponse(mixed, client, came.sent, state))
    .then(() => "taken", () => "refused");
  told.again = await redeem().then(() => "taken", (error) => error.error);
} catch (error) {
  told.error = error.error ?? String(error);
}
console.log(JSON.stringify(told));
