// A platform that signs tokens for its workloads, as GitHub Actions and Kubernetes do: a discovery document, a key set, and
// tokens by RS256, all of it by the library `jose`, unchanged.
//
// Its one argument is a plan as JSON: library (the package's file). Prints `{"issuer": …}` once it listens; after that
// for each line of claims that it reads a line `{"token": …}`.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const plan = JSON.parse(process.argv[2]);
const { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair } = await import(pathToFileURL(plan.library).href);

const { privateKey, publicKey } = await generateKeyPair("RS256");
const jwk = await exportJWK(publicKey);
const kid = await calculateJwkThumbprint(jwk);

const server = createServer((request, response) => {
  const documents = {
    "/.well-known/openid-configuration": { issuer, jwks_uri: `${issuer}/.well-known/jwks` },
    "/.well-known/jwks": { keys: [{ ...jwk, kid, use: "sig", alg: "RS256" }] },
  };
  const found = documents[request.url];
  response.writeHead(found ? 200 : 404, { "content-type": "application/json" });
  response.end(JSON.stringify(found ?? {}));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
console.log(JSON.stringify({ issuer }));

for await (const line of createInterface({ input: process.stdin })) {
  const token = new SignJWT({ iss: issuer, ...JSON.parse(line) }).setProtectedHeader({ alg: "RS256", kid, typ: "JWT" });
  console.log(JSON.stringify({ token: await token.sign(privateKey) }));
}
server.close();
process.exit(0);
