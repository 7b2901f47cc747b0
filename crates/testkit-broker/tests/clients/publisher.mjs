// Somebody who publishes documents over `https`, as whoever makes an MCP client does.
//
// Its one argument is a plan as JSON: certificate and key (files). Prints `{"origin": …}` once it listens. For each line that
// it reads, `{"path", "status", "headers", "body"}`, it serves that from then on, and prints how often it was asked before.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";

const plan = JSON.parse(process.argv[2]);
const served = new Map();
let asked = 0;
const tls = { cert: readFileSync(plan.certificate), key: readFileSync(plan.key) };
const server = createServer(tls, (request, response) => {
  asked += 1;
  const found = served.get(request.url) ?? { status: 404, headers: {}, body: "" };
  response.writeHead(found.status, { "content-type": "application/json", ...found.headers });
  response.end(found.body);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
console.log(JSON.stringify({ origin: `https://localhost:${server.address().port}` }));

for await (const line of createInterface({ input: process.stdin })) {
  const document = JSON.parse(line);
  served.set(document.path, document);
  console.log(JSON.stringify({ asked }));
}
process.exit(0);
