# SPDX-License-Identifier: Apache-2.0
"""Virtual machines for tests: the guest of mkguest, started by netproxy-vm or by QEMU itself, and a console through which
a test runs commands in it."""

import os
import re
import signal
import subprocess
import threading
import time

from bed import proxy, wait

BOOT_TIMEOUT = 60
COMMAND_TIMEOUT = 30
CMDLINE = "console=ttyS0 quiet np.run=commands"


class Console:
    """The serial line of a guest that runs `commands`. Everything that was said is kept in `log`."""

    def __init__(self, popen, log):
        self._popen = popen
        self._log = open(log, "wb")
        self._changed = threading.Condition()
        self._text = ""
        self._ended = False
        self._commands = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while piece := os.read(self._popen.stdout.fileno(), 65536):
            self._log.write(piece)
            self._log.flush()
            with self._changed:
                self._text += piece.decode(errors="replace").replace("\r", "")
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def text(self):
        with self._changed:
            return self._text

    def wait_for(self, pattern, timeout):
        """Waits for a match in what was said, and returns it."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (match := re.search(pattern, self._text, re.M | re.S)):
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "the machine ended" if self._ended else f"not within {timeout:g} s"
                    raise wait.Late(f"{why}: the console says {pattern!r}\n" + self._text[-2000:])
                self._changed.wait(left)
        return match

    def start(self, command):
        """Sends a command and returns what to give to finish()."""
        assert "\n" not in command and len(command) < 4000
        self._commands += 1
        self._popen.stdin.write(f"{self._commands} {command}\n".encode())
        self._popen.stdin.flush()
        return self._commands

    def finish(self, number, timeout=COMMAND_TIMEOUT):
        """(exit status, output) of a command."""
        match = self.wait_for(rf"^@{number} begin\n(.*)^@{number} end (\d+)$", timeout)
        return int(match[2]), match[1]

    def run(self, command, timeout=COMMAND_TIMEOUT):
        return self.finish(self.start(command), timeout)

    def check(self, command, timeout=COMMAND_TIMEOUT):
        """The output of a command that must succeed."""
        status, output = self.run(command, timeout)
        if status:
            raise AssertionError(f"in the guest: {command}: exit status {status}\n{output}")
        return output


class Machine:
    """A process with the guest's console on its standard input and output."""

    def __init__(self, argv, directory, namespace, name="vm"):
        self.name = name
        self.stderr_file = f"{directory}/{name}.err"
        with open(self.stderr_file, "wb") as err, namespace:
            self.popen = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *argv],
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err)
        self.console = Console(self.popen, f"{directory}/{name}.console")

    def boot(self):
        """Waits until the guest takes commands; returns its address."""
        try:
            self.console.wait_for(r"^guest: ready for commands$", BOOT_TIMEOUT)
        except wait.Late as late:
            raise AssertionError(f"{late}\n{self.stderr()}") from None
        match = re.search(r"^guest: address (\S+)/\d+ by DHCP$", self.console.text(), re.M)
        if not match:
            raise AssertionError("the guest got no address by DHCP\n" + self.console.text()[-2000:])
        return match[1]

    def stderr(self):
        with open(self.stderr_file, errors="replace") as file:
            return file.read()

    def running(self):
        return self.popen.poll() is None

    def terminate(self, timeout=30):
        """SIGTERM; returns the exit status."""
        self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise wait.Late(f"{self.name} is still running {timeout:g} s after SIGTERM\n"
                            + self.console.text()[-2000:] + self.stderr()) from None

    def kill(self):
        """As a crash: SIGKILL."""
        if self.running():
            self.popen.kill()
        self.popen.wait()

    def diagnostics(self):
        return (f"{self.name}'s console ends:\n{self.console.text()[-3000:]}\n"
                f"its standard error:\n{self.stderr()[-3000:]}")


def launcher(settings, directory, namespace, *args):
    """netproxy-vm, with a netproxy of its own; its sockets and log are in DIRECTORY/state."""
    argv = ["ip", "netns", "exec", namespace.name, f"{settings.bin}/netproxy-vm", "run",
            "-kernel", f"{settings.guest}/vmlinuz", "-initrd", f"{settings.guest}/initrd.img",
            "-cmdline", CMDLINE, "-mem", "512", "-cpus", "1", "-accel", "tcg",
            "-networking", "userspace", "-state", f"{directory}/state", *args]
    return Machine(argv, directory, namespace)


def qemu(settings, directory, namespace, net_socket, vsock_socket, name, vhost=False):
    """QEMU itself, on the sockets of a netproxy that runs: net_socket is of a stream link or, with `vhost`, of a
    vhost-user one, and then the guest may reboot."""
    if vhost:
        # QEMU 7.2 crashes under TCG when it has interrupt vectors to set up for such a device.
        net = ["-chardev", f"socket,id=net0c,path={net_socket}",
               "-netdev", "vhost-user,id=net0,chardev=net0c"]
        device = "virtio-net-pci,netdev=net0,mac=52:54:00:00:65:02,romfile=,vectors=0"
    else:
        net = ["-netdev", f"stream,id=net0,server=off,addr.type=unix,addr.path={net_socket}",
               "-no-reboot"]
        device = "virtio-net-pci,netdev=net0,mac=52:54:00:00:65:02,romfile="
    argv = ["qemu-system-x86_64", "-machine", "q35,memory-backend=mem", "-accel", "tcg", "-m", "512",
            "-object", "memory-backend-memfd,id=mem,size=512M,share=on", "-smp", "1",
            "-nodefaults", "-display", "none", "-serial", "stdio", *net, "-device", device,
            "-chardev", f"socket,id=vsock0,path={vsock_socket}",
            "-device", "vhost-user-vsock-pci,chardev=vsock0",
            "-kernel", f"{settings.guest}/vmlinuz", "-initrd", f"{settings.guest}/initrd.img",
            "-append", CMDLINE]
    return Machine(argv, directory, namespace, name)


class OnNetproxy:
    """A base of groups: one machine at a time, made by the group itself, on a netproxy."""

    def __init__(self, settings, environment, directory):
        self.settings = settings
        self.host = environment.host
        self.directory = directory
        self.net_socket = f"{directory}/net.sock"
        self.vsock_socket = f"{directory}/vsock.sock"
        self.machine = None
        os.makedirs(f"{directory}/proxy")
        self.proxy = proxy.Proxy(f"{settings.bin}/netproxy", self.host, f"{directory}/proxy",
                                 environment.resolv_conf, False)

    def diagnostics(self):
        return ((self.machine.diagnostics() if self.machine else "no machine") + "\n"
                + self.proxy.diagnostics())

    def tear_down(self):
        if self.machine:
            self.machine.kill()
        self.proxy.kill()
