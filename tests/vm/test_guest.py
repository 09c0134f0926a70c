# SPDX-License-Identifier: Apache-2.0
"""One VM under netproxy-vm, and everything that its guest and the host may expect of its network."""

import json
import os
import re
import socket
import subprocess
import threading

from bed import netns, wait, world
from bed.proxy import ALIAS, GATEWAY, _UnixConnection

import machine
from harness import group

GREETING = b"hello from the host's loopback\n"
PUBLISHED = 8088  # by -publish, to the guest's port 80
CNI_PORT = 8080
AT_ONCE = 2.0  # seconds; a connect that is dropped takes 10 times that
CNIRUN = "cnirun {} /etc/cni/net.conflist {} /run/netns/{} eth0 {}"


class GreetingServer:
    """Accepts on the host's loopback and greets."""

    def __init__(self, namespace):
        self._listener = namespace.listen("127.0.0.1")
        self._listener.settimeout(None)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.sendall(GREETING)


@group
class Guest:
    """Set up once; the tests run in the order in which they stand here, on the same machine."""

    def __init__(self, settings, environment, directory):
        self.settings = settings
        self.host = environment.host
        self.world = environment.world
        self.directory = directory
        netns.resolv_conf(self.host, f"nameserver {world.ADDRESS}\nsearch corp.test\n")
        self.machine = machine.launcher(settings, directory, self.host,
                                        "-publish", f"{PUBLISHED}:80/tcp")
        self.console = self.machine.console
        self.address = None

    def diagnostics(self):
        try:
            with open(f"{self.directory}/state/netproxy.log", errors="replace") as file:
                log = "".join(file.readlines()[-40:])
        except OSError as error:
            log = str(error)
        return f"{self.machine.diagnostics()}\nnetproxy's log ends:\n{log}"

    def tear_down(self):
        self.machine.kill()

    # -- what the tests use

    def fetch(self, port):
        """What an HTTP GET at a port of the host's loopback brings; OSError when it is closed."""
        with self.host.connect("127.0.0.1", port) as sock:
            sock.settimeout(10)
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
        return answer.decode()

    def expect_closed(self, port):
        try:
            self.fetch(port)
        except ConnectionRefusedError:
            return
        raise AssertionError(f"port {port} of the host is not closed")

    def is_open(self, port):
        try:
            self.host.connect("127.0.0.1", port).close()
            return True
        except ConnectionRefusedError:
            return False

    def processes(self):
        """What runs in the host's namespace."""
        return subprocess.run(["ip", "netns", "pids", self.host.name], stdout=subprocess.PIPE,
                              check=True).stdout.split()

    def api(self, method, path):
        connection = _UnixConnection(f"{self.directory}/state/api.sock")
        try:
            connection.request(method, path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def timed(self, command):
        """(seconds, exit status, output) of a command, timed by the guest's clock."""
        output = self.console.check(
            f"a=$(cut -d' ' -f1 /proc/uptime); {command}; echo status $?; "
            "b=$(cut -d' ' -f1 /proc/uptime); echo \"$b $a\" | awk '{print $1 - $2}'")
        match = re.fullmatch(r"(.*)status (\d+)\n(\S+)\n", output, re.S)
        return float(match[3]), int(match[2]), match[1]

    def make_container(self, name):
        self.console.check(f"mkdir -p /run/netns; : > /run/netns/{name}; "
                           f"unshare --net=/run/netns/{name} true; "
                           f"nsenter --net=/run/netns/{name} httpd -p 80 -h /srv/www")

    def cnirun(self, command, name, ports):
        return self.console.run(CNIRUN.format(command, name, name, ports))

    # -- the tests

    def test_address_by_dhcp(self):
        self.address = self.machine.boot()
        assert self.address == "192.168.65.2", self.address
        lease = dict(re.findall(r"^(\w+)='(.*)'$", self.console.check("cat /run/lease"), re.M))
        assert lease["mask"] == "24" and lease["router"] == GATEWAY, lease
        assert lease["dns"] == GATEWAY and lease["serverid"] == GATEWAY, lease
        assert lease["mtu"] == "1500", lease
        assert list(self.api("GET", "/services/dhcp/leases")) == [self.address]

    def test_builtin_names(self):
        for name, address in (("host.internal", ALIAS), ("gateway.internal", GATEWAY)):
            output = self.console.check(f"nslookup -type=a {name}")
            assert re.search(rf"^Address.*\b{re.escape(address)}$", output, re.M), output

    def test_name_from_the_hosts_resolver(self):
        output = self.console.check("nslookup -type=a a.test")
        assert re.search(rf"^Address.*\b{re.escape(world.ADDRESS)}$", output, re.M), output
        assert self.console.run("nslookup -type=a nothing.test")[0] != 0

    def test_hosts_loopback(self):
        port = GreetingServer(self.host).port
        output = self.console.check(f"nc {ALIAS} {port} < /dev/null")
        assert output.encode() == GREETING, output
        output = self.console.check(f"nc host.internal {port} < /dev/null")
        assert output.encode() == GREETING, output

    def test_far_server(self):
        with self.world.listen() as listener:
            number = self.console.start(f"nc {world.ADDRESS} {listener.getsockname()[1]}")
            far, _ = listener.accept()
            with far:
                far.sendall(b"from far away\n")
            assert self.console.finish(number) == (0, "from far away\n")

    def test_ping(self):
        for address in (GATEWAY, ALIAS, world.ADDRESS):
            output = self.console.check(f"ping -c 3 -i 0.1 -W 5 {address}")
            assert "3 packets received" in output, output

    def test_refused_at_once(self):
        for address, namespace in ((ALIAS, self.host), (world.ADDRESS, self.world)):
            with namespace.listen("127.0.0.1") as once:
                closed = once.getsockname()[1]
            took, status, output = self.timed(f"nc -w 20 {address} {closed} < /dev/null 2>&1")
            assert status != 0 and "refused" in output, output
            assert took < AT_ONCE, f"refused after {took} s"

    def test_published_by_flag(self):
        self.console.check("httpd -p 80 -h /srv/www")
        assert "Hello from a container" in self.fetch(PUBLISHED)

    def test_cni_status(self):
        """The plugin in the guest reaches the API over vsock."""
        self.console.check("echo '{\"cniVersion\":\"1.1.0\",\"name\":\"x\",\"type\":\"netproxy-cni\"}' | "
                           "CNI_COMMAND=STATUS CNI_PATH=/opt/cni/bin /opt/cni/bin/netproxy-cni")

    def test_cni_publishes(self):
        self.make_container("web")
        status, output = self.cnirun("ADD", "web", f"{CNI_PORT}:80")
        assert status == 0, output
        forward = {"local": f":{CNI_PORT}", "remote": f"{self.address}:{CNI_PORT}", "protocol": "tcp"}
        assert forward in self.api("GET", "/services/forwarder/all")
        assert "Hello from a container" in self.fetch(CNI_PORT)
        status, output = self.cnirun("CHECK", "web", f"{CNI_PORT}:80")
        assert status == 0, output

    def test_cni_conflict(self):
        """A second container wants the port, gets an error, and its DEL leaves the first one's alone."""
        self.make_container("other")
        status, output = self.cnirun("ADD", "other", f"8099:80 {CNI_PORT}:80")
        assert status != 0 and "already" in output, output
        self.expect_closed(8099)
        status, output = self.cnirun("DEL", "other", f"8099:80 {CNI_PORT}:80")
        assert status == 0, output
        assert "Hello from a container" in self.fetch(CNI_PORT)

    def test_cni_deletes(self):
        status, output = self.cnirun("DEL", "web", f"{CNI_PORT}:80")
        assert status == 0, output
        self.expect_closed(CNI_PORT)
        status, output = self.cnirun("DEL", "web", f"{CNI_PORT}:80")
        assert status == 0, output

    def test_cni_port_of_the_host_taken(self):
        """The error names what is wrong, and where."""
        with self.host.socket(socket.SOCK_STREAM) as taken:
            taken.bind(("0.0.0.0", 8077))
            taken.listen()
            status, output = self.cnirun("ADD", "web", "8077:80")
            assert status != 0 and "address already in use" in output, output
        self.cnirun("DEL", "web", "8077:80")

    def test_agent_publishes(self):
        """What listens in the guest is published, by vsock, and goes when the agent is killed."""
        self.console.check("netproxy-agent --interval 100 > /tmp/agent.log & echo $! > /tmp/agent.pid")
        self.console.check("mkdir -p /tmp/www && echo agent > /tmp/www/index.html && "
                           "busybox httpd -p 8090 -h /tmp/www")
        wait.until(lambda: self.is_open(8090), "the guest's server to be published")
        assert "agent" in self.fetch(8090)
        self.console.check("kill -KILL $(cat /tmp/agent.pid)")
        wait.until(lambda: not self.is_open(8090), "the port to go")

    def test_agent_tap(self):
        """A second interface, whose frames go by vsock, gets an address."""
        self.console.check("modprobe tun; netproxy-agent tap 2> /tmp/tap.log & echo $! > /tmp/tap.pid")
        status, output = self.console.run("until ip link show tap0 2> /dev/null | grep -q LOWER_UP; do usleep 50000; "
                                          "done; udhcpc -i tap0 -n -q -t 5 -T 1 -s /bin/true")
        assert status == 0 and re.search(r"lease of 192\.168\.65\.\d+ obtained", output), output
        self.console.check("kill $(cat /tmp/tap.pid)")

    def test_power_button(self):
        """SIGTERM is an ACPI power-off, and nothing stays behind."""
        status = self.machine.terminate()
        assert status == 0, f"netproxy-vm ended with status {status}\n{self.machine.stderr()}"
        self.console.wait_for("guest: power button pressed", 1)
        self.expect_closed(PUBLISHED)
        left = [name for name in os.listdir(f"{self.directory}/state") if name.endswith(".sock")]
        assert not left, left
        wait.until(lambda: not self.processes(), "all processes in the host's namespace to end")
