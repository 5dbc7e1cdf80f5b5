"""Reads {"schema": text, "bodies": [hex, ...]} and prints the bodies as fastavro reads them, a JSON array."""

import io
import json
import sys

import fastavro

asked = json.load(sys.stdin)
schema = fastavro.parse_schema(json.loads(asked["schema"]))
bodies = [fastavro.schemaless_reader(io.BytesIO(bytes.fromhex(body)), schema) for body in asked["bodies"]]
json.dump(bodies, sys.stdout)
