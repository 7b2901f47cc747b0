// The npm package `oidc-provider` with one client, as its documentation sets it up for `client_credentials` with
// `private_key_jwt` and access tokens that are ES256 JWTs: `node oidc-provider.mjs CLIENT JWK RESOURCE`. Proofs of
// possession need its nonce. It keeps no JWT, so what it is asked about is an opaque token, for RESOURCE with `-opaque`.
// Prints its URL first. Its packages are in PEER_MODULES.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [client, jwk, resource] = process.argv.slice(2);
const main = `${process.env.PEER_MODULES}/oidc-provider/lib/index.js`;
const { default: Provider } = await import(pathToFileURL(main));

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const signing = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'peer' };

const server = createServer();
// Its connections wait while others are measured; hung up on just then, a question would be lost that nobody measured.
server.keepAliveTimeout = 60_000;
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: client,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: 'ES256',
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [{ ...JSON.parse(jwk), use: 'sig', alg: 'ES256' }] },
  }],
  jwks: { keys: [signing] },
  clientAuthMethods: ['private_key_jwt'],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, asked) => ({
        scope: '',
        audience: asked,
        accessTokenTTL: 900,
        accessTokenFormat: asked === resource ? 'jwt' : 'opaque',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});
server.on('request', provider.callback());
console.log(issuer);
