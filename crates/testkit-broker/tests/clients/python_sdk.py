"""Drives the Python SDK as one MCP client: what to do comes as JSON in argv[1], what came of it goes to stdout as JSON.

{"stdio": {"command": ..., "args": [...], "env": {...}} or "http": {"url": ..., "headers": {...}, "oauth": {...}},
 "oauth", if there, is {"issuer": ..., "client": ..., "key": FILE}: the SDK discovers and authenticates by itself, by
 ES256, or what "algorithm" says (null: what it takes by itself), and for the user of "cookie" if a "redirect" is there,
 "mode": "auto" or "legacy", "steps": [["list_tools"], ["call_tool", NAME, ARGUMENTS], ["read_resource", URI]]}
"""

import json
import sys
import time
import urllib.parse
import uuid

import anyio
import httpx2
import jwt
from mcp import Client, StdioServerParameters
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import PrivateKeyJWTOAuthProvider, SignedJWTParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

import user


def server(plan):
    if "stdio" in plan:
        return StdioServerParameters(**plan["stdio"])
    http = httpx2.AsyncClient(headers=plan["http"].get("headers", {}), auth=oauth(plan["http"]), timeout=30)
    return streamable_http_client(plan["http"]["url"], http_client=http)


class Memory:
    """Keeps the SDK's tokens for one run."""

    tokens = client = None

    def __init__(self, client=None):
        self.client = client

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def oauth(http):
    if "oauth" not in http:
        return None
    if "redirect" in http["oauth"]:
        return for_user(http["url"], http["oauth"])
    issuer, client = http["oauth"]["issuer"], http["oauth"]["client"]
    chosen = http["oauth"].get("algorithm", "ES256")
    with open(http["oauth"]["key"]) as file:
        signed = SignedJWTParameters(
            issuer=client, subject=client, signing_key=file.read(), **({"signing_algorithm": chosen} if chosen else {})
        )
    return PrivateKeyJWTOAuthProvider(
        server_url=http["url"],
        storage=Memory(),
        client_id=client,
        assertion_provider=signed.create_assertion_provider(),
        issuer=issuer,
    )


def for_user(url, oauth):
    """The code flow. The SDK knows clients with a secret or none in it; what this one adds is the signed assertion."""
    client, redirect = oauth["client"], oauth["redirect"]
    with open(oauth["key"]) as file:
        key = file.read()
    known = OAuthClientInformationFull(
        client_id=client, redirect_uris=[redirect], token_endpoint_auth_method="private_key_jwt"
    )
    metadata = OAuthClientMetadata(redirect_uris=[redirect], token_endpoint_auth_method="private_key_jwt")
    came = {}

    async def ask(url):
        _, sent = await anyio.to_thread.run_sync(user.answer, url, oauth)
        came.update(urllib.parse.parse_qsl(urllib.parse.urlsplit(sent).query))

    async def answered():
        return AuthorizationCodeResult(code=came["code"], state=came["state"], iss=came["iss"])

    def sign(data, headers=None):
        now = int(time.time())
        claims = {"iss": client, "sub": client, "aud": oauth["issuer"], "iat": now, "exp": now + 60}
        assertion = jwt.encode({**claims, "jti": str(uuid.uuid4())}, key, algorithm="ES256")
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        return {**data, "client_assertion": assertion, "client_assertion_type": kind}, headers or {}

    provider = OAuthClientProvider(url, metadata, Memory(known), ask, answered)
    provider.context.prepare_token_auth = sign
    return provider


async def main():
    plan = json.loads(sys.argv[1])
    told = []
    async with Client(server(plan), mode=plan.get("mode", "auto")) as client:
        for name, *arguments in plan["steps"]:
            try:
                result = await getattr(client, name)(*arguments)
                told.append(result.model_dump(mode="json", by_alias=True, exclude_none=True))
            except Exception as error:  # what the SDK raises is what its user would see
                told.append({"raised": f"{type(error).__name__}: {error}"})
    json.dump(told, sys.stdout)


anyio.run(main)
