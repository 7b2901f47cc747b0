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
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

/**
 * What it keeps, in its memory as by default, but all of it: by itself it forgets beyond a thousand entries, and each
 * assertion is one, so the token that is asked about would be gone.
 */
class Kept {
  static entries = new Map();
  constructor(kind) { this.kind = kind; }
  key(id) { return `${this.kind}:${id}`; }
  async upsert(id, payload) { Kept.entries.set(this.key(id), payload); }
  async find(id) { return Kept.entries.get(this.key(id)); }
  async consume(id) { Kept.entries.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { Kept.entries.delete(this.key(id)); }
  async findByUid() {}
  async findByUserCode() {}
  async revokeByGrantId() {}
}

const provider = new Provider(issuer, {
  adapter: Kept,
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
// Nobody reads further lines, and it would end with the first that it cannot write: it has hints for its operators.
console.info = console.error;
console.warn = console.error;
