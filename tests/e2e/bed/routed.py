# SPDX-License-Identifier: Apache-2.0
"""A routed world: two more namespaces behind the host, so that there is a router on the way and a path that is narrow.

    HOST 10.88.1.1 --- veth --- 10.88.1.2 ROUTER 10.88.2.1 --- veth, narrow --- 10.88.2.2 FAR
       fd88:1::1                fd88:1::2        fd88:2::1                      fd88:2::2
"""

from . import netns, wait

ROUTER = "10.88.1.2"
FAR = "10.88.2.2"
ROUTER6 = "fd88:1::2"
FAR6 = "fd88:2::2"
NARROW_MTU = 1400


class Routed:
    """Made for one test: `with Routed(t.host, mtu) as routed`. `mtu` is that of the link to FAR."""

    def __init__(self, host, mtu=1500):
        self.host = host
        self.router = netns.Namespace("router")
        self.far = netns.Namespace("far")
        try:
            self._wire(host, "r-host", self.router, "r-near", "10.88.1.%d/24", "fd88:1::%d/64")
            self._wire(self.router, "r-far", self.far, "r-end", "10.88.2.%d/24", "fd88:2::%d/64")
            self._route(mtu)
        except BaseException:
            self.remove()
            raise

    @staticmethod
    def _wire(near, near_name, far, far_name, network, network6):
        near.ip("link", "add", near_name, "type", "veth", "peer", "name", far_name,
                "netns", far.name)
        for number, namespace, name in ((1, near, near_name), (2, far, far_name)):
            namespace.ip("addr", "add", network % number, "dev", name)
            namespace.ip("-6", "addr", "add", network6 % number, "dev", name, "nodad")
            namespace.sysctl(**{f"ipv6__conf__{name}__accept_dad": 0})
            namespace.ip("link", "set", name, "up")

    def _route(self, mtu):
        self.router.ip("link", "set", "r-far", "mtu", str(mtu))
        self.far.ip("link", "set", "r-end", "mtu", str(mtu))
        self.router.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1,
                           ipv4__icmp_ratelimit=0, ipv6__icmp__ratelimit=0)
        self.far.sysctl(ipv4__icmp_ratelimit=0, ipv6__icmp__ratelimit=0)
        self.host.ip("route", "add", "10.88.2.0/24", "via", ROUTER)
        self.host.ip("-6", "route", "add", "fd88:2::/64", "via", ROUTER6)
        self.far.ip("route", "add", "default", "via", "10.88.2.1")
        self.far.ip("-6", "route", "add", "default", "via", "fd88:2::1")
        # The kernel takes a moment to have a link's IPv6 ready.
        wait.until(lambda: self.host.run("ping", "-n", "-c", "1", "-W", "1", FAR6,
                                         check=False).returncode == 0, "IPv6 from host to far end")

    def remove(self):
        self.host.ip("link", "del", "r-host", check=False)  # and the routes with it
        self.router.remove()
        self.far.remove()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()
