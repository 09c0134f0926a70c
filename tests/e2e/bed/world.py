# SPDX-License-Identifier: Apache-2.0
"""Host and world: the namespace that netproxy runs in, and the one behind it that plays the Internet.

    HOST 10.77.0.1 --- veth --- 10.77.0.2 WORLD
                                10.78.0.0/16  every address of it answers
                                10.79.0.0/16  black hole: nothing comes back
                                10.80.0.0/16  ICMP host unreachable
                                10.81.0.0/16  ICMP administratively prohibited

and the same in IPv6: fd77::1 and fd77::2, fd78::/16 to fd81::/16. The host has no IPv6 route to anything else.
"""

import threading

from . import netns, process, traffic, wait

HOST_ADDRESS = "10.77.0.1"
ADDRESS = "10.77.0.2"
BROADCAST = "10.77.0.255"
MANY = "10.78.%d.%d"
BLACK_HOLE = "10.79.0.1"
UNREACHABLE = "10.80.0.1"
PROHIBITED = "10.81.0.1"
HOST_ADDRESS6 = "fd77::1"
ADDRESS6 = "fd77::2"
MANY6 = "fd78::%x"
BLACK_HOLE6 = "fd79::1"
UNREACHABLE6 = "fd80::1"
PROHIBITED6 = "fd81::1"
NO_ROUTE6 = "2001:db8::1"

_ZONE = [
    "host-record=a.test,10.77.0.2,77",
    "host-record=wide.a.test,fd77::2,77",
    "cname=alias.test,a.test",
    "local=/test/",
    "txt-record=txt.test,first string,second string",
    "mx-host=mx.test,mail.test,10",
    "srv-host=_http._tcp.test,a.test,8080,1,2",
    "caa-record=a.test,0,issue,ca.test",
    "server=/broken.test/127.0.0.1#5353",
    *(f"txt-record=large.test,{n:03d}{'x' * 240}" for n in range(60)),
]


class World:
    def __init__(self, directory):
        self.host = netns.Namespace("host")
        self.world = netns.Namespace("world")
        self.resolv_conf = f"{directory}/resolv.conf"
        self._directory = directory
        self._dnsmasq = None
        self._wire()
        self._route()
        with open(self.resolv_conf, "w") as file:
            file.write(f"nameserver {ADDRESS}\nsearch corp.test\n")
        self._start_dns()

    def _wire(self):
        self.host.ip("link", "add", "h0", "type", "veth", "peer", "name", "w0",
                     "netns", self.world.name)
        self.host.ip("addr", "add", f"{HOST_ADDRESS}/24", "dev", "h0")
        self.host.ip("-6", "addr", "add", f"{HOST_ADDRESS6}/64", "dev", "h0", "nodad")
        self.host.ip("link", "set", "h0", "up")
        self.world.ip("addr", "add", f"{ADDRESS}/24", "dev", "w0")
        self.world.ip("-6", "addr", "add", f"{ADDRESS6}/64", "dev", "w0", "nodad")
        self.world.ip("link", "set", "w0", "up")

    def _route(self):
        self.host.ip("route", "add", "default", "via", ADDRESS)
        self.host.sysctl(ipv4__ping_group_range="0 2147483647")
        self.world.sysctl(ipv4__ip_forward=1, ipv4__icmp_ratelimit=0)
        self.world.ip("route", "add", "local", "10.78.0.0/16", "dev", "lo")
        self.world.ip("route", "add", "blackhole", "10.79.0.0/16")
        self.world.ip("route", "add", "unreachable", "10.80.0.0/16")
        self.world.ip("route", "add", "prohibit", "10.81.0.0/16")
        self._route6()

    def _route6(self):
        for kind, number in (("local", 78), ("blackhole", 79), ("unreachable", 80), ("prohibit", 81)):
            network = f"fd{number}::/16"
            self.host.ip("-6", "route", "add", network, "via", ADDRESS6)
            self.world.ip("-6", "route", "add", kind, network, "dev", "lo")
        self.world.sysctl(ipv6__conf__all__forwarding=1, ipv6__icmp__ratelimit=0)
        # The kernel takes a moment to have a link's IPv6 ready.
        wait.until(lambda: self.host.run("ping", "-n", "-c", "1", "-W", "1", ADDRESS6,
                                         check=False).returncode == 0, "IPv6 between host and world")

    def _start_dns(self):
        config = f"{self._directory}/dnsmasq.conf"
        with open(config, "w") as file:
            file.write("\n".join(["no-resolv", "no-hosts", "bind-interfaces", "user=root", "group=root",
                                  f"listen-address={ADDRESS}", "local-ttl=77", "cache-size=0",
                                  *_ZONE, ""]))
        for serve, sock in ((_fail_datagrams, self.world.udp("127.0.0.1", 5353)),
                            (_fail_connections, self.world.listen("127.0.0.1", 5353))):
            sock.settimeout(None)
            threading.Thread(target=serve, args=(sock,), daemon=True).start()
        self._dnsmasq = process.Process(["dnsmasq", "-k", "-C", config, "--pid-file"],
                                        f"{self._directory}/dnsmasq.log", self.world)
        wait.until(self._dns_answers, "dnsmasq to answer")

    def _dns_answers(self):
        if not self._dnsmasq.running():
            raise AssertionError(f"dnsmasq ended: {self._dnsmasq.output()}")
        done = self.host.run("dig", "+short", "+time=1", "+tries=1", f"@{ADDRESS}", "a.test",
                             check=False)
        return ADDRESS in done.stdout

    def remove(self):
        if self._dnsmasq:
            self._dnsmasq.kill()
        self.host.remove()
        self.world.remove()


def _servfail(query):
    return query[:2] + b"\x81\x82" + query[4:]


def _fail_datagrams(sock):
    """A name server whose every answer is SERVFAIL."""
    while True:
        query, source = sock.recvfrom(4096)
        if len(query) >= 12:
            sock.sendto(_servfail(query), source)


def _fail_connections(listener):
    """The same over TCP; one question for each connection."""
    while True:
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(5)
            try:
                size = int.from_bytes(traffic.read_exactly(sock, 2), "big")
                answer = _servfail(traffic.read_exactly(sock, size))
                sock.sendall(size.to_bytes(2, "big") + answer)
            except (OSError, AssertionError):
                pass
