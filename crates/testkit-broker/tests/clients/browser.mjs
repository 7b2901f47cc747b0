// Drives a real Chromium with a virtual authenticator: what to do comes as JSON in argv[2], what came of it goes to
// stdout as JSON, one result per step and at the end what the pages complained about. Without "steps" they come as lines
// on stdin, and each is answered by a line with its result and what the pages complained about so far.
//
// {"puppeteer": FILE, "steps": [["goto", URL], ["fill", SELECTOR, TEXT], ["send", SELECTOR], ["press", KEY...],
//  ["text"], ["url"], ["status"], ["cookies"], ["overflow", WIDTH], ["verify", BOOLEAN], ["wait", SELECTOR],
//  ["credentials"], ["restore", CREDENTIALS], ["unlabelled"], ["script", BOOLEAN]]}

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const plan = JSON.parse(process.argv[2]);
const { default: puppeteer } = await import(pathToFileURL(plan.puppeteer).href);
const browser = await puppeteer.launch({
  executablePath: "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const complaints = [];
const results = [];
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(20000);
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (line) => {
    // A refused form is an answer of ours, and Chromium reports each 4xx.
    if (line.type() === "error" && !line.text().includes("the server responded with a status")) {
      complaints.push(`console: ${line.text()}`);
    }
  });
  const cdp = await page.createCDPSession();
  await cdp.send("WebAuthn.enable");
  const options = {
    protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
    automaticPresenceSimulation: true,
  };
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", { options });
  let status = 0;
  page.on("response", (response) => {
    if (response.request().isNavigationRequest()) status = response.status();
  });
  const does = {
    goto: async (url) => (await page.goto(url)).status(),
    fill: async (selector, text) => { await page.$eval(selector, (field) => { field.value = ""; }); await page.type(selector, text); },
    send: async (selector) => { await Promise.all([page.waitForNavigation(), page.click(selector)]); return status; },
    click: (selector) => page.click(selector),
    press: async (...keys) => {
      for (const key of keys) {
        if (key === "Enter") await Promise.all([page.waitForNavigation(), page.keyboard.press(key)]);
        else await page.keyboard.press(key);
      }
      return status;
    },
    text: () => page.$eval("main", (main) => main.innerText),
    url: () => page.url(),
    cookies: async () => (await page.cookies()).map(({ name, value, httpOnly, sameSite }) => ({ name, value, httpOnly, sameSite })),
    overflow: async (width) => {
      await page.setViewport({ width, height: 640 });
      return page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
    },
    verify: (isUserVerified) => cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified }),
    wait: async (selector, text) => {
      // Not `waitForFunction`: it makes code of text in the page, which the page's own policy forbids.
      for (let tries = 0; tries < 200; tries += 1) {
        if ((await page.$eval(selector, (element) => element.textContent)).includes(text)) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(`no ${text} in ${selector}`);
    },
    credentials: async () => (await cdp.send("WebAuthn.getCredentials", { authenticatorId })).credentials,
    // A copy of the device, as it was before.
    restore: async (index) => {
      await cdp.send("WebAuthn.clearCredentials", { authenticatorId });
      for (const credential of results[index]) {
        await cdp.send("WebAuthn.addCredential", { authenticatorId, credential });
      }
    },
    unlabelled: () => page.evaluate(() => [...document.querySelectorAll("input:not([type=hidden]), button, a")]
      .filter((element) => !(element.labels?.length || element.textContent.trim() || element.ariaLabel))
      .map((element) => element.outerHTML)),
    script: (on) => page.setJavaScriptEnabled(on),
    // What an injected script could do: nothing, and the page complains, which is expected here.
    inject: async () => {
      const before = complaints.length;
      const ran = await page.evaluate(() => {
        const script = document.createElement("script");
        let refused = false;
        try { script.textContent = "window.injected = true"; } catch { refused = true; }
        if (!refused) document.body.append(script);
        return window.injected === true;
      });
      complaints.length = before;
      return ran;
    },
  };
  const lines = async function* () {
    for await (const line of createInterface({ input: process.stdin })) yield JSON.parse(line);
  };
  for await (const [name, ...rest] of plan.steps ?? lines()) {
    try {
      results.push((await does[name](...rest)) ?? null);
      if (!plan.steps) process.stdout.write(`${JSON.stringify({ result: results.at(-1), complaints })}\n`);
    } catch (error) {
      const text = await page.$eval("body", (body) => body.innerText).catch(() => "");
      throw new Error(`step ${results.length} ${name} ${JSON.stringify(rest)}: ${error.message}\n${page.url()}\n${text}\n${complaints.join("\n")}`);
    }
  }
} finally {
  await browser.close();
}
if (plan.steps) process.stdout.write(JSON.stringify({ results, complaints }));
