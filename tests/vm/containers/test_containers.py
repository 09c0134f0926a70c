# SPDX-License-Identifier: Apache-2.0
"""podman and dockerd, as Debian has them, publish ports of containers on the host."""

import re

from bed import proxy, wait, world

import machine
from harness import group

BOOT_TIMEOUT = 240
COMMAND_TIMEOUT = 240  # a container's start takes 10 s emulated, and other tests may run beside
PAGE = "a page from a container"
CONTAINER = "/bin/busybox httpd -f -p 80 -h /www"


def _qemu(settings, directory, namespace, net_socket, vsock_socket):
    """A machine on the image, to which nothing is written: what it changes goes with it."""
    argv = ["qemu-system-x86_64", "-machine", "q35,memory-backend=mem", "-accel", "tcg", "-m", "1536",
            "-object", "memory-backend-memfd,id=mem,size=1536M,share=on", "-smp", "2",
            "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-drive", f"file={settings.guest}/root.img,if=virtio,format=raw,snapshot=on",
            "-netdev", f"stream,id=net0,server=off,addr.type=unix,addr.path={net_socket}",
            "-device", "virtio-net-pci,netdev=net0,mac=52:54:00:00:65:02,romfile=",
            "-chardev", f"socket,id=vsock0,path={vsock_socket}",
            "-device", "vhost-user-vsock-pci,chardev=vsock0",
            "-kernel", f"{settings.guest}/vmlinuz", "-initrd", f"{settings.guest}/initrd.img",
            "-append", "console=ttyS0 quiet"]
    return machine.Machine(argv, directory, namespace)


@group
class Containers(machine.OnNetproxy):
    """The tests run in this order, on the same machine; each removes its containers."""

    # -- what the tests use

    def check(self, command):
        return self.machine.console.check(command, COMMAND_TIMEOUT)

    def fetch(self, port, address="127.0.0.1"):
        """What an HTTP GET at a port of the host brings; OSError when it is closed."""
        with self.host.connect(address, port) as sock:
            sock.settimeout(60)
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
        return answer.decode()

    def expect_page(self, port, address="127.0.0.1"):
        """The container's server may take a moment to listen."""
        def there():
            try:
                return PAGE in self.fetch(port, address)
            except OSError:
                return False
        wait.until(there, f"the page at port {port} of the host", timeout=60)

    def expect_closed(self, port):
        try:
            answer = self.fetch(port)
        except ConnectionRefusedError:
            return
        raise AssertionError(f"port {port} of the host is not closed: {answer!r}")

    def expect_nothing_published(self):
        assert self.proxy.forwards() == [], self.proxy.forwards()

    def owners(self):
        return [forward.get("for", "") for forward in self.proxy.get("/v1/forwards")]

    def podman(self, backend, arguments):
        return self.check(f"CONTAINERS_CONF=/etc/containers/{backend}.conf podman {arguments}")

    # -- the tests

    def test_boot(self):
        self.proxy.start("--link", f"qemu:{self.net_socket}", "--vsock", f"{self.vsock_socket},cid=3")
        self.machine = _qemu(self.settings, self.directory, self.host, self.net_socket, self.vsock_socket)
        machine.BOOT_TIMEOUT = BOOT_TIMEOUT
        assert self.machine.boot() == proxy.FIRST_GUEST
        print("     " + self.check("podman --version; dockerd --version; echo $(uname -r)")
              .strip().replace("\n", "; "), flush=True)

    def test_podman_import(self):
        self.podman("cni", "import --change 'CMD " + CONTAINER + "' /srv/web.tar web:latest")

    def test_podman_cni(self):
        container = self.podman("cni", "run -d --network containers -p 8080:80 web:latest")
        self.expect_page(8080)
        assert container.strip().splitlines()[-1][:12] in self.owners()[0], self.owners()
        self.podman("cni", "rm -f -t 1 -a")
        self.expect_closed(8080)
        self.expect_nothing_published()

    def test_podman_cni_ranges(self):
        self.podman("cni", "run -d --network containers -p 8082-8083:80-81 -p 5300:53/udp web:latest")
        self.expect_page(8082)
        published = {(forward["local"], forward["protocol"]) for forward in self.proxy.forwards()}
        assert published == {(":8082", "tcp"), (":8083", "tcp"), (":5300", "udp")}, published
        self.podman("cni", "rm -f -t 1 -a")
        self.expect_nothing_published()

    def test_podman_cni_one_address(self):
        """Of the host's loopback only; another has the same port on another address."""
        self.podman("cni", "run -d --network containers -p 127.0.0.1:8085:80 web:latest")
        self.expect_page(8085)
        with self.host.listen(world.HOST_ADDRESS, 8085):
            self.expect_page(8085)
        self.podman("cni", "rm -f -t 1 -a")
        self.expect_closed(8085)
        self.expect_nothing_published()

    def test_podman_cni_target_container(self):
        """Without portmap."""
        self.check("sed -i -e 's/\"type\": \"portmap\"/\"type\": \"tuning\"/' "
                   "-e 's/\"netproxy-cni\"/\"netproxy-cni\", \"target\": \"container\"/' "
                   "/etc/cni/net.d/netproxy-cni.conflist")
        self.podman("cni", "run -d --network containers -p 8091:80 web:latest")
        self.expect_page(8091)
        self.podman("cni", "rm -f -t 1 -a")
        self.expect_closed(8091)
        self.expect_nothing_published()
        self.check("sed -i -e 's/\"type\": \"tuning\"/\"type\": \"portmap\"/' "
                   "-e 's/, \"target\": \"container\"//' /etc/cni/net.d/netproxy-cni.conflist")

    def test_podman_cni_conflict(self):
        """A port that the host has taken: the container doesn't start, and says why."""
        with self.host.listen("0.0.0.0", 8084):
            status, output = self.machine.console.run(
                "CONTAINERS_CONF=/etc/containers/cni.conf "
                "podman run -d --network containers -p 8086:80 -p 8084:80 web:latest", COMMAND_TIMEOUT)
        assert status and re.search(r"can't publish tcp port :8084 .*address already in use", output), \
            (status, output)
        self.expect_nothing_published()
        self.podman("cni", "rm -f -t 1 -a")

    def test_podman_gvproxy_requests(self):
        """Podman's own requests to gateway.containers.internal, which it makes in what it takes for its machine."""
        # The default networks of the two backends are the same.
        self.check("ip link del cni0 2> /dev/null; echo qemu > /etc/containers/podman-machine")
        self.podman("netavark", "run -d -p 8087:80 web:latest")
        self.expect_page(8087)
        self.podman("netavark", "rm -f -t 1 -a")
        self.expect_closed(8087)
        self.expect_nothing_published()
        self.check("rm /etc/containers/podman-machine")

    def test_dockerd(self):
        self.check("dockerd --userland-proxy-path=/usr/local/bin/netproxy-docker-proxy "
                   "> /var/log/dockerd.log 2>&1 & "
                   "for i in $(seq 200); do docker info > /dev/null 2>&1 && exit 0; sleep 1; done; "
                   "cat /var/log/dockerd.log; exit 1")
        self.check("docker import --change 'CMD " + CONTAINER + "' /srv/web.tar web:latest")

    def test_docker_run(self):
        self.check("docker run -d --name web -p 8081:80 web:latest")
        self.expect_page(8081)
        output = self.check("curl -s http://127.0.0.1:8081/")
        assert PAGE in output, output
        self.check("docker rm -f web")
        self.expect_closed(8081)
        self.expect_nothing_published()

    def test_docker_host_ip(self):
        """Published on the host's loopback only."""
        self.check("docker run -d --name web -p 127.0.0.1:8088:80 web:latest")
        self.expect_page(8088)
        assert [forward["local"] for forward in self.proxy.forwards()] == ["127.0.0.1:8088"]
        self.check("docker rm -f web")
        self.expect_closed(8088)
        self.expect_nothing_published()

    def test_docker_conflict(self):
        with self.host.listen("0.0.0.0", 8089):
            status, output = self.machine.console.run("docker run -d --name web -p 8089:80 web:latest",
                                                      COMMAND_TIMEOUT)
        assert status and "address already in use" in output, (status, output)
        self.check("docker rm -f web")
        self.expect_nothing_published()

    def test_docker_proxy_killed(self):
        """What the daemon can't clean up any more ends with the connection that it was published by."""
        self.check("docker run -d --name web -p 8090:80 web:latest")
        self.expect_page(8090)
        self.check("kill -KILL $(grep -la ^/usr/local/bin/netproxy-docker-proxy /proc/[0-9]*/cmdline | cut -d/ -f3)")
        wait.until(lambda: not self.proxy.forwards(), "the forward to go", timeout=30)
        self.expect_closed(8090)
        self.check("docker rm -f web")

    def test_netproxy_ends(self):
        self.proxy.finish()
