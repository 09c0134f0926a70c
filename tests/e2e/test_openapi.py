# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.yaml, held against a running netproxy: every operation is called with the file's examples."""

import http.client
import json
import os
import re
import socket
import urllib.parse

import yaml

from bed import wait
from bed.cases import STREAM, case

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
METHODS = ("get", "post", "put", "delete")
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}


def load():
    with open(f"{ROOT}/docs/openapi.yaml", encoding="utf-8") as file:
        return yaml.safe_load(file)


class Spec:
    def __init__(self):
        self.root = load()

    def follow(self, node):
        while isinstance(node, dict) and "$ref" in node:
            node, path = self.root, node["$ref"]
            for key in path.removeprefix("#/").split("/"):
                node = node[key]
        return node

    def operations(self):
        for path, item in self.root["paths"].items():
            for method, operation in item.items():
                if method in METHODS:
                    yield method.upper(), path, operation, item.get("parameters", []) + operation.get("parameters", [])

    def check(self, value, schema, where):
        """What is not in a schema is wrong, unless it says otherwise."""
        schema = self.follow(schema)
        if "enum" in schema:
            assert value in schema["enum"], f"{where}: {value!r} is none of {schema['enum']}"
            return
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(type(value) is TYPES[name] for name in names), f"{where}: {value!r} is no {names}"
        if isinstance(value, list):
            for number, item in enumerate(value):
                self.check(item, schema["items"], f"{where}[{number}]")
        if isinstance(value, dict):
            self.check_object(value, schema, where)

    def check_object(self, value, schema, where):
        others = schema.get("additionalProperties", False)
        for key in schema.get("required", []):
            assert key in value, f"{where} lacks {key!r}: {value}"
        for key, item in value.items():
            if key in schema.get("properties", {}):
                self.check(item, schema["properties"][key], f"{where}.{key}")
            else:
                assert others, f"{where}: {key!r} is not documented"
                if others is not True:
                    self.check(item, others, f"{where}.{key}")


def target(path, parameters):
    query = []
    for one in parameters:
        if "example" in one and one["in"] == "path":
            path = path.replace("{%s}" % one["name"], urllib.parse.quote(one["example"]))
        elif "example" in one:
            query.append((one["name"], one["example"]))
    return path + ("?" + urllib.parse.urlencode(query) if query else "")


def connect(t):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10 * wait.slowness)
    sock.connect(t.proxy.api)
    return sock


def call(t, spec, method, path, operation, body):
    """One request, whose answer must be a documented one; returns its status."""
    where = f"{method} {path}"
    connection = http.client.HTTPConnection("netproxy")
    connection.sock = connect(t)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None)
        reply = connection.getresponse()
        assert str(reply.status) in operation["responses"], f"{where}: {reply.status} is not documented: {reply.read()}"
        content = spec.follow(operation["responses"][str(reply.status)]).get("content")
        if operation.get("x-endless") and reply.status == 200:
            kind = reply.headers["Content-Type"]
            assert kind in content, f"{where}: {kind}"
            text = reply.fp.readline() if "json" in kind else reply.fp.read(4)
        else:
            text = reply.read()
    finally:
        connection.close()
    if not content:
        assert text == b"", f"{where}: a body that is not documented: {text}"
        return reply.status
    kind = reply.headers["Content-Type"].split(";")[0]
    assert kind in content, f"{where}: {kind} is none of {list(content)}"
    if "json" in kind:
        spec.check(json.loads(text), content[kind]["schema"], where)
    return reply.status


@case(links=STREAM)
def test_every_operation(t):
    spec = Spec()
    for method, path, operation, parameters in spec.operations():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        where = target(path, parameters)
        if "x-leaves-http" in operation:
            with connect(t) as sock:
                expected = operation["x-leaves-http"].encode()
                sock.sendall(f"{method} {where} HTTP/1.1\r\nHost: netproxy\r\n\r\n".encode())
                assert sock.recv(len(expected)) == expected if expected else True, where
            continue
        assert call(t, spec, method, where, operation, body) == 200, where


@case(links=STREAM)
def test_errors(t):
    """Nonsense gets an answer that is documented, too."""
    spec = Spec()
    for method, path, operation, parameters in spec.operations():
        where = target(path, [one for one in parameters if one["in"] == "path"])
        if method in ("POST", "PUT") and "x-leaves-http" not in operation:
            for body in ({"nonsense": [1]}, [], 7, {"local": 1, "remote": 2, "records": 3, "Name": 4}):
                assert call(t, spec, method, where, operation, body) >= 400, (where, body)
        if path == "/tunnel":
            assert call(t, spec, method, where, operation, None) == 500
    for path in ("/v1/forwards?local=127.0.0.1:1&protocol=tcp", "/v1/forwards?x=1", "/v1/dns/zones/no.such"):
        item = spec.root["paths"]["/v1/forwards" if "forwards" in path else "/v1/dns/zones/{name}"]
        assert call(t, spec, "DELETE", path, item["delete"], None) in (400, 404)
    for path in ("/v1/flows?limit=x", "/v1/flows?guest=x", "/v1/pcap?guest=no", "/v1/pcap?snaplen=x"):
        item = spec.root["paths"][path.split("?", maxsplit=1)[0]]
        assert call(t, spec, "GET", path, item["get"], None) in (400, 404)


@case()
def test_complete(t):
    """The file has what the server has, and no more."""
    del t
    with open(f"{ROOT}/api/api.c", encoding="utf-8") as file:
        routes = set(re.findall(r'\{"([A-Z]+)", *"([^"]+)", *HOST', file.read()))
    documented = {(method, re.sub(r"\{.*\}", "*", path)) for method, path, _, _ in Spec().operations()}
    assert len(routes) > 20 and routes == documented, routes ^ documented
