"""What a thief makes of a copied SQLite database: every text in it that could be presented somewhere, and every binary
value in the spellings that credentials have. Its one argument is the file; prints a list of strings as JSON."""

import base64
import json
import re
import sqlite3
import sys

database = sqlite3.connect(sys.argv[1])
database.text_factory = bytes
found = set()
tables = [name.decode() for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
for table in tables:
    for row in database.execute(f'SELECT * FROM "{table}"'):
        for value in row:
            if not isinstance(value, bytes):
                continue
            for run in re.findall(rb"[A-Za-z0-9._~+/=:-]{16,}", value):
                found.update({run.decode(), *re.split("[=:/]", run.decode())})
            if 16 <= len(value) <= 128:
                spelled = base64.urlsafe_b64encode(value).decode()
                found.update({value.hex(), spelled, spelled.rstrip("="), base64.b64encode(value).decode()})
json.dump(sorted(one for one in found if 16 <= len(one) <= 4096), sys.stdout)
