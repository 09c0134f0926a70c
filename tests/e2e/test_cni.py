# SPDX-License-Identifier: Apache-2.0
"""netproxy-cni in a chain with Debian's own plugins, run as a container runtime runs them: in the guest's namespace, for
a container that is a namespace behind it."""

import contextlib
import json
import os
import subprocess
import threading

from bed import netns, wait
from bed.cases import STREAM, Skip, case
from bed.proxy import FIRST_GUEST

DIRECTORY = "/usr/lib/cni"
VERSIONS = ("0.3.1", "0.4.0", "1.0.0")  # Debian 12's plugins know no 1.1.0
IDENTITY = "0123456789abcdef"
PAGE = b"a page from a container\n"
SUBNETS = [[{"subnet": "10.99.0.0/24"}]]
SUBNETS6 = [[{"subnet": "fd99::/64"}]]
DEFAULT_ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


class Refused(Exception):
    """A plugin failed: its error, decoded."""

    @property
    def error(self):
        return self.args[0]


class Chain:
    """A runtime with one container; bridge, portmap and ours, whose entry has `ours` besides."""

    def __init__(self, t, version, ours=(), portmap=True, dual_stack=False):
        if not os.access(f"{DIRECTORY}/portmap", os.X_OK):
            raise Skip("containernetworking-plugins is not installed")
        self.t = t
        self.version = version
        self.container = netns.Namespace("container" + version.replace(".", ""))
        t.cleanup.callback(self.container.remove)
        subnets = SUBNETS + SUBNETS6 if dual_stack else SUBNETS
        bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
                  "ipam": {"type": "host-local", "ranges": subnets, "routes": DEFAULT_ROUTES[:len(subnets)],
                           "dataDir": f"{t.directory}/ipam"}}
        mine = {"type": "netproxy-cni", "api": f"unix:{t.directory}/vsock_6565",
                "stateDir": f"{t.directory}/state", **dict(ours)}
        self.plugins = [bridge, *([{"type": "portmap"}] if portmap else []), mine]
        self.result = None
        self.ports = []
        self._serve()

    def _serve(self):
        self.listener = self.container.listen("::", 80)
        self.listener.settimeout(None)
        self.t.cleanup.callback(self.listener.close)
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        with contextlib.suppress(OSError):
            while True:
                with self.listener.accept()[0] as client:
                    client.sendall(PAGE)

    def run(self, command, plugin, result=None, version=None, **keys):
        """One plugin; returns what it printed, decoded, or None."""
        conf = {"cniVersion": version or self.version, "name": "net", **plugin, **keys}
        if plugin["type"] != "bridge" and command not in ("GC", "STATUS"):
            conf["runtimeConfig"] = {"portMappings": self.ports}
        if result:
            conf["prevResult"] = result
        environment = {**os.environ, "CNI_COMMAND": command, "CNI_CONTAINERID": IDENTITY,
                       "CNI_NETNS": self.container.path, "CNI_IFNAME": "eth0", "CNI_PATH": DIRECTORY}
        directory = self.t.settings.bin if plugin["type"] == "netproxy-cni" else DIRECTORY
        with self.t.guest.ns:
            done = subprocess.run([f"{directory}/{plugin['type']}"], input=json.dumps(conf), text=True,
                                  stdout=subprocess.PIPE, env=environment, timeout=30, check=False)
        answer = json.loads(done.stdout) if done.stdout else None
        if done.returncode:
            raise Refused(answer)
        return answer

    def add(self, *ports):
        self.ports = list(ports)
        self.result = None
        for plugin in self.plugins:
            self.result = self.run("ADD", plugin, self.result)
        return self.result

    def check(self):
        """Of all but portmap: Debian 12's looks for its IPv4 rules in IPv6, too."""
        for plugin in self.plugins:
            if plugin["type"] != "portmap":
                assert self.run("CHECK", plugin, self.result) is None

    def delete(self):
        for plugin in reversed(self.plugins):
            assert self.run("DEL", plugin, self.result if self.version != "0.3.1" else None) is None


def start(t):
    t.start("--vsock", f"{t.directory}/vsock")


def port(host_port, **more):
    return {"hostPort": host_port, "containerPort": 80, "protocol": "tcp", **more}


def fetch(t, address, number):
    with t.host.connect(address, number) as sock:
        return sock.recv(100)


def expect_closed(t, number):
    try:
        fetch(t, "127.0.0.1", number)
    except ConnectionRefusedError:
        return
    raise AssertionError(f"port {number} of the host is not closed")


def listed(t):
    return [(one["local"], one["remote"]) for one in t.proxy.forwards()]


@case(links=STREAM, start=False)
def test_versions(t):
    """ADD, CHECK and DEL as each version of the specification has them."""
    start(t)
    for version in VERSIONS:
        chain = Chain(t, version)
        result = chain.add(port(8080))
        assert result["cniVersion"] == version, result
        assert result["ips"][0]["address"].startswith("10.99.0."), result
        assert ("version" in result["ips"][0]) == (version < "1.0.0"), result
        assert fetch(t, "127.0.0.1", 8080) == PAGE, version
        if version != "0.3.1":
            chain.check()
        chain.delete()
        expect_closed(t, 8080)
        # A runtime may say DEL as often as it likes.
        assert chain.run("DEL", chain.plugins[-1]) is None


@case(links=STREAM, start=False)
def test_host_ip(t):
    """A port of one address of the host, of both families, goes to the container itself: portmap has no way for it."""
    start(t)
    t.guest.configure6()
    chain = Chain(t, "1.0.0", dual_stack=True)
    chain.add(port(8080, hostIP="127.0.0.1"), port(8081, hostIP="::1"), port(8082, hostIP="0.0.0.0"))
    forwards = dict(listed(t))
    assert forwards["127.0.0.1:8080"].startswith("10.99.0."), forwards
    assert forwards["[::1]:8081"].startswith("[fd99::"), forwards
    assert forwards["0.0.0.0:8082"] == f"{FIRST_GUEST}:8082", forwards
    assert fetch(t, "127.0.0.1", 8080) == PAGE
    assert fetch(t, "::1", 8081) == PAGE
    assert fetch(t, "127.0.0.1", 8082) == PAGE
    chain.check()
    chain.delete()
    assert listed(t) == []


@case(links=STREAM, start=False)
def test_target_container(t):
    """No portmap at all."""
    start(t)
    chain = Chain(t, "1.0.0", {"target": "container"}, portmap=False)
    chain.add(port(8080))
    assert fetch(t, "127.0.0.1", 8080) == PAGE
    chain.check()
    chain.delete()
    expect_closed(t, 8080)


@case(links=STREAM, start=False)
def test_conflict_is_rolled_back(t):
    start(t)
    chain = Chain(t, "1.0.0")
    with t.host.listen("0.0.0.0", 8081):
        try:
            chain.add(port(8080), port(8081))
        except Refused as refused:
            assert refused.error["code"] == 100 and "address already in use" in refused.error["msg"], \
                refused.error
        else:
            raise AssertionError("ADD took a port that the host has taken")
    assert listed(t) == []
    chain.delete()


@case(links=STREAM, start=False)
def test_newest_version(t):
    """1.1.0 has STATUS and GC, and its results are made of older ones."""
    start(t)
    chain = Chain(t, "1.0.0")
    chain.add(port(8080))
    ours = chain.plugins[-1]
    result = chain.run("ADD", ours, chain.result, version="1.1.0")
    assert result["cniVersion"] == "1.1.0", result
    assert chain.run("STATUS", ours, version="1.1.0") is None
    valid = {"cni.dev/valid-attachments": [{"containerID": IDENTITY, "ifname": "eth0"}]}
    assert chain.run("GC", ours, version="1.1.0", **valid) is None
    assert len(listed(t)) == 1
    valid["cni.dev/valid-attachments"][0]["ifname"] = "eth1"
    assert chain.run("GC", ours, version="1.1.0", **valid) is None
    assert listed(t) == []
    t.proxy.finish()
    try:
        chain.run("STATUS", ours, version="1.1.0")
    except Refused as refused:
        assert refused.error["code"] == 50, refused.error
    else:
        raise AssertionError("STATUS without netproxy")
    t.proxy.process = None


@case(links=STREAM, start=False)
def test_by_the_gateway(t):
    """Without vsock the plugin asks the gateway of its default route."""
    start(t)
    chain = Chain(t, "1.0.0", {"api": ["unix:/nobody", "gateway"]})
    chain.add(port(8080))
    assert fetch(t, "127.0.0.1", 8080) == PAGE
    chain.delete()
    wait.until(lambda: listed(t) == [], "the forward to go")
