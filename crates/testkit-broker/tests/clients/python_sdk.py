"""Drives the Python SDK as one MCP client: what to do comes as JSON in argv[1], what came of it goes to stdout as JSON.

{"stdio": {"command": ..., "args": [...], "env": {...}} or "http": {"url": ..., "headers": {...}, "oauth": {...}},
 "oauth", if there, is {"issuer": ..., "client": ..., "key": FILE}: the SDK discovers and authenticates by itself,
 "mode": "auto" or "legacy", "steps": [["list_tools"], ["call_tool", NAME, ARGUMENTS], ["read_resource", URI]]}
"""

import json
import sys

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.auth.extensions.client_credentials import PrivateKeyJWTOAuthProvider, SignedJWTParameters
from mcp.client.streamable_http import streamable_http_client


def server(plan):
    if "stdio" in plan:
        return StdioServerParameters(**plan["stdio"])
    http = httpx2.AsyncClient(headers=plan["http"].get("headers", {}), auth=oauth(plan["http"]), timeout=30)
    return streamable_http_client(plan["http"]["url"], http_client=http)


class Memory:
    """Keeps the SDK's tokens for one run."""

    tokens = client = None

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
    issuer, client = http["oauth"]["issuer"], http["oauth"]["client"]
    with open(http["oauth"]["key"]) as file:
        signed = SignedJWTParameters(
            issuer=client, subject=client, signing_key=file.read(), signing_algorithm="ES256"
        )
    return PrivateKeyJWTOAuthProvider(
        server_url=http["url"],
        storage=Memory(),
        client_id=client,
        assertion_provider=signed.create_assertion_provider(),
        issuer=issuer,
    )


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
