"""Authlib, unchanged, through every flow that it has: `private_key_jwt`, code with PKCE, refresh, token exchange,
introspection, revocation. It knows neither DPoP nor pushed requests, so its agents may use bearer tokens.

Its one argument is a plan as JSON: issuer, resource, scope, cookie, redirect, and the parties agent, peer, watcher as
{ name, key }. Prints what came of each step.
"""

import json
import sys
import urllib.request

from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc7523.assertion import private_key_jwt_sign
from joserfc.jwk import ECKey

import user

plan = json.loads(sys.argv[1])
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def read(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


server = read(plan["issuer"] + "/.well-known/oauth-authorization-server")


class ShortAssertion(PrivateKeyJWT):
    """As Authlib makes them, but for one minute instead of an hour."""

    def sign(self, auth, token_endpoint):
        return private_key_jwt_sign(
            auth.client_secret, auth.client_id, token_endpoint, alg=self.alg, expires_in=60
        )


def party(name, key, **_):
    with open(key) as file:
        own = ECKey.import_key(file.read())
    session = OAuth2Session(
        name,
        own,
        token_endpoint_auth_method="private_key_jwt",
        revocation_endpoint_auth_method="private_key_jwt",
        redirect_uri=plan["redirect"],
        code_challenge_method="S256",
    )
    # The audience is the issuer (RFC 7523bis), not the endpoint that Authlib takes unless told otherwise.
    session.register_client_auth_method(ShortAssertion(server["issuer"], alg="ES256"))
    return session


agent, peer, watcher = (party(**plan[name]) for name in ("agent", "peer", "watcher"))


def known(token):
    return watcher.introspect_token(server["introspection_endpoint"], token=token).json()


def fetch(session, **parameters):
    token = dict(session.fetch_token(server["token_endpoint"], **parameters))
    return {**token, "known": known(token["access_token"])}


told = {}

# For itself.
told["issued"] = fetch(agent, grant_type="client_credentials", resource=plan["resource"])

# For a user.
verifier = generate_token(48)
url, state = agent.create_authorization_url(
    server["authorization_endpoint"], code_verifier=verifier, scope=plan["scope"], resource=plan["resource"]
)
told["asked"], sent = user.answer(url, plan)
told["user"] = fetch(
    agent, authorization_response=sent, state=state, code_verifier=verifier, resource=plan["resource"],
    grant_type="authorization_code",
)
first = told["user"]["refresh_token"]
renewed = dict(agent.refresh_token(server["token_endpoint"], refresh_token=first, resource=plan["resource"]))
told["renewed"] = {**renewed, "known": known(renewed["access_token"])}
try:
    agent.refresh_token(server["token_endpoint"], refresh_token=first)
    told["copy"] = "taken"
except AuthlibBaseError as error:
    told["copy"] = error.error
told["ended"] = known(renewed["access_token"])

# For another agent.
handed = fetch(
    agent,
    grant_type="client_credentials",
    resource=f"{plan['issuer']}/agents/{plan['peer']['name']}",
    scope=plan["scope"],
)
told["exchanged"] = fetch(
    peer,
    grant_type=EXCHANGE,
    subject_token=handed["access_token"],
    subject_token_type=ACCESS_TOKEN,
    resource=plan["resource"],
)

# And no longer.
own = told["issued"]["access_token"]
agent.revoke_token(server["revocation_endpoint"], token=own).raise_for_status()
told["revoked"] = known(own)
json.dump(told, sys.stdout)
