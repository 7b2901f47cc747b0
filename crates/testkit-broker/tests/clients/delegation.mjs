// Two agents with an OAuth client of others, oauth4webapi: one hands work over, the other exchanges it and calls.
// Its one argument is a plan: { issuer, from: {name, key}, to: {name, key}, scope, resource, calls: [[tool, arguments]] }.
// It prints { handed, exchanged, again, stolen, calls }: the answers, as the library reads them.

import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const plan = JSON.parse(process.argv[2]);
const oauth = await import(pathToFileURL(join(plan.modules, 'oauth4webapi/build/index.js')));
const plain = { [oauth.allowInsecureRequests]: true };
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

const issuer = new URL(plan.issuer);
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...plain }),
);
if (!server.grant_types_supported.includes(EXCHANGE)) throw new Error('the exchange is not advertised');

async function agent({ name, key }) {
  const jwk = createPrivateKey(readFileSync(key)).export({ format: 'jwk' });
  const algorithm = jwk.kty === 'OKP' ? { name: 'Ed25519' } : { name: 'ECDSA', namedCurve: jwk.crv };
  const own = await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign']);
  const client = { client_id: name };
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
  const authentication = oauth.PrivateKeyJwt(own);
  return {
    DPoP,
    // The first proof lacks the server's nonce: the library asks to be tried once more.
    async ask(grant, parameters) {
      for (let once = 0; ; once += 1) {
        const body = new URLSearchParams(parameters);
        const response = await oauth.genericTokenEndpointRequest(server, client, authentication, grant, body, {
          DPoP,
          ...plain,
        });
        try {
          return await oauth.processGenericTokenEndpointResponse(server, client, response);
        } catch (error) {
          if (once === 0 && oauth.isDPoPNonceError(error)) continue;
          return { error: error.error ?? String(error), description: error.error_description };
        }
      }
    },
  };
}

const [from, to] = [await agent(plan.from), await agent(plan.to)];
const handed = await from.ask('client_credentials', {
  resource: `${plan.issuer}/agents/${plan.to.name}`,
  scope: plan.scope,
});
const subject = { subject_token: handed.access_token ?? '', subject_token_type: ACCESS_TOKEN, resource: plan.resource };
const stolen = await from.ask(EXCHANGE, subject);
const exchanged = await to.ask(EXCHANGE, subject);
const again = await to.ask(EXCHANGE, subject);

async function call([name, args], id) {
  const message = {
    jsonrpc: '2.0', id, method: 'tools/call',
    params: { name, arguments: args, _meta: plan.meta },
  };
  const headers = new Headers({
    'content-type': 'application/json', accept: 'application/json, text/event-stream',
    'mcp-protocol-version': plan.revision, 'mcp-method': 'tools/call', 'mcp-name': name,
  });
  const send = () =>
    oauth.protectedResourceRequest(
      exchanged.access_token, 'POST', new URL(plan.resource), headers, JSON.stringify(message), { DPoP: to.DPoP, ...plain },
    );
  let response;
  try {
    response = await send();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) return { status: error.response?.status ?? 0, error: String(error) };
    response = await send();
  }
  const text = await response.text();
  const json = text.startsWith('{') ? text : text.split('\n').filter((line) => line.startsWith('data: ')).at(-1)?.slice(6);
  return JSON.parse(json ?? 'null');
}

const calls = [];
for (const [index, one] of (exchanged.access_token ? plan.calls : []).entries()) calls.push(await call(one, index + 1));
process.stdout.write(JSON.stringify({ handed, stolen, exchanged, again, calls }));
