// A user's browser: it is signed in by the cookie of a plan, follows redirects, and answers the form that it is shown.

async function visit(url, plan, init = {}) {
  for (let steps = 0; steps < 5; steps += 1) {
    const response = await fetch(url, { redirect: "manual", ...init, headers: { cookie: plan.cookie, ...init.headers } });
    const location = response.headers.get("location");
    if (location === null) return { url: new URL(url), page: await response.text(), status: response.status };
    if (response.status !== 303) throw new Error(`redirected by ${response.status}`);
    if (location.startsWith(plan.redirect)) return { sent: new URL(location) };
    [url, init] = [new URL(location, url), {}];
  }
  throw new Error("redirected in circles");
}

/** Opens a client's request: `{ asked, sent }`, the status of the question, if there was one, and the way back. */
export async function answer(url, plan) {
  let came = await visit(url, plan);
  const asked = came.status;
  if (came.page !== undefined) {
    const field = (name) => came.page.match(new RegExp(`name="${name}" value="([^"]*)"`))?.[1] ?? "";
    const body = new URLSearchParams({
      request: field("request"),
      form_token: field("form_token"),
      lasting: "session",
      decision: plan.decision ?? "allow",
    });
    came = await visit(new URL("/oauth/consent", came.url), plan, {
      method: "POST", body, headers: { origin: came.url.origin },
    });
  }
  if (came.sent === undefined) throw new Error(`not sent back: ${came.status} ${came.page}`);
  return { asked, sent: came.sent };
}
