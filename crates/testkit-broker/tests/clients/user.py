"""A user's browser: it is signed in by the cookie of a plan, follows redirects, and answers the form that it is shown."""

import re
import urllib.error
import urllib.parse
import urllib.request


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


_BROWSER = urllib.request.build_opener(_Stay)


def _visit(url, plan, form=None, origin=None):
    for _ in range(5):
        body = urllib.parse.urlencode(form).encode() if form else None
        request = urllib.request.Request(url, body, {"cookie": plan["cookie"]})
        if origin:
            request.add_header("origin", origin)
        try:
            answer = _BROWSER.open(request)
        except urllib.error.HTTPError as error:
            answer = error
        location = answer.headers.get("location")
        if location is None:
            return url, answer.status, answer.read().decode()
        if answer.status != 303:
            raise RuntimeError(f"redirected by {answer.status}")
        if location.startswith(plan["redirect"]):
            return location, None, None
        url, form, origin = urllib.parse.urljoin(url, location), None, None
    raise RuntimeError("redirected in circles")


def answer(url, plan):
    """Opens a client's request: the status of the question, if there was one, and the URL of the way back."""
    came, asked, page = _visit(url, plan)
    if page is not None:
        field = {name: value for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)}
        form = {
            "request": field["request"],
            "form_token": field["form_token"],
            "lasting": "session",
            "decision": plan.get("decision", "allow"),
        }
        origin = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(came))
        came, status, page = _visit(urllib.parse.urljoin(came, "/oauth/consent"), plan, form, origin)
        if page is not None:
            raise RuntimeError(f"not sent back: {status} {page}")
    return asked, came
