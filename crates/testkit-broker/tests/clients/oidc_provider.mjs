// The npm package `oidc-provider` as a company's sign-in: one client, the broker, with `private_key_jwt` by the keys that the
// broker publishes. `node oidc_provider.mjs MODULE CLIENT REDIRECT JWKS_URI`. Prints its URL first. It asks for a name, which
// becomes the account, and whether the client may know; its own development pages would fetch fonts from elsewhere.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [module, client, redirect, jwksUri] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(module));

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const signing = { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: "company" };

const server = createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: client,
    redirect_uris: [redirect],
    response_types: ["code"],
    grant_types: ["authorization_code"],
    token_endpoint_auth_method: "private_key_jwt",
    token_endpoint_auth_signing_alg: "ES256",
    jwks_uri: jwksUri,
  }],
  jwks: { keys: [signing] },
  cookies: { keys: ["a story's"] },
  clientAuthMethods: ["private_key_jwt"],
  enabledJWA: { clientAuthSigningAlgValues: ["ES256"] },
  pkce: { required: () => true },
  // The broker's keys are on a loopback address here, from which it would not fetch.
  fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
  conformIdTokenClaims: false,
  claims: { email: ["email", "email_verified"], profile: ["name", "preferred_username"] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, { uid }) => `/interaction/${uid}` },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id, email: `${id}@example.com`, email_verified: true, name: `${id} of the company`, preferred_username: id,
    }),
  }),
});

const page = (prompt) => `<!doctype html><html lang="en"><title>The company</title><link rel="icon" href="data:,"><main>
<form method="post">${prompt === "login" ? '<label>Name <input name="login"></label>' : "<p>May it know who you are?</p>"}
<button type="submit">Go on</button></form></main></html>`;

async function interact(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (request.method === "GET") {
    response.setHeader("content-type", "text/html");
    return response.end(page(prompt.name));
  }
  let body = "";
  for await (const part of request) body += part;
  if (prompt.name === "login") {
    const accountId = new URLSearchParams(body).get("login");
    return provider.interactionFinished(request, response, { login: { accountId } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

const answer = provider.callback();
server.on("request", (request, response) => {
  if (!request.url.startsWith("/interaction/")) return answer(request, response);
  interact(request, response).catch((error) => response.writeHead(500).end(String(error)));
});
console.log(issuer);
