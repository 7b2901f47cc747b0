// Clients of two policy engines, unchanged, asking the broker instead: `node policy_clients.mjs MODULES PLAN`.
// A plan has `url`, `token`, `agent`, and `calls`: pairs of an action and a path. Prints what each client was told.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, plan] = [process.argv[2], JSON.parse(process.argv[3])];
const find = createRequire(pathToFileURL(`${modules}/`));
const load = (name) => import(pathToFileURL(find.resolve(name)));

const headers = { Authorization: `Bearer ${plan.token}` };
const { HTTP } = await load("@cerbos/http");
const { OPAClient } = await load("@open-policy-agent/opa");
const cerbos = new HTTP(plan.url, { headers });
const opa = new OPAClient(plan.url, { headers });

const told = [];
for (const [action, path] of plan.calls) {
  const attr = { arguments: { path } };
  const allowed = await cerbos.isAllowed({
    // What a caller says of a principal is not believed.
    principal: { id: plan.agent, roles: ["clerk"], attr: { role: "clerk" } },
    resource: { kind: "tool", id: action, attr },
    action,
  });
  const input = {
    subject: { type: "agent", id: plan.agent, properties: { role: "clerk" } },
    action: { name: action },
    resource: { type: "tool", id: action },
    context: { arguments: { path } },
  };
  const plain = await opa.evaluate("bailiwick/authz/allow", input);
  const whole = await opa.evaluate("bailiwick/authz", input);
  told.push({ cerbos: allowed, opa: plain, opaDocument: whole.allow, reasons: whole.answer.context.reasons ?? [] });
}
console.log(JSON.stringify(told));
