"""`scim2-tester`, the compliance tester of the python-scim project, unchanged, against the broker as a directory's
credential sees it.

Its one argument is a plan as JSON: base, token. Prints one object per check: title, status, resource, reason.
"""

import json
import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server

plan = json.loads(sys.argv[1])
http = Client(base_url=plan["base"], headers={"authorization": "Bearer " + plan["token"]})
client = SyncSCIMClient(http)
client.discover()
told = [
    {
        "title": result.title,
        "status": result.status.name,
        "resource": result.resource_type,
        "reason": str(result.reason or ""),
    }
    for result in check_server(client)
]
print(json.dumps(told))
