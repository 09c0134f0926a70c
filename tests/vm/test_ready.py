# SPDX-License-Identifier: Apache-2.0
"""When a start is over: when the guest says that it is ready, by virtio-serial or by vsock as systemd does, or when
something in it answers; or when it took too long, with what there is to see. And a machine in the background whose
console is a pseudo-terminal."""

import os
import re
import select
import subprocess
import time

from bed import wait

import image
from harness import group
from managed import CMDLINE, NAME, Managed

TCP_PORT = 8080
TIMEOUT_FACTOR = 5  # of a start under TCG
TALKATIVE = CMDLINE.replace("quiet ", "")

# As systemd: the socket is told in the SMBIOS tables, and each message has a connection of its own. The first two mean
# nothing, so the machine isn't ready yet.
NOTIFY = r"""#!/bin/sh
socket=$(tr '\0' '\n' < /sys/firmware/dmi/tables/DMI | sed -n 's/.*io.systemd.credential:vmm.notify_socket=vsock-stream://p')
notify() { printf "$1" | socat -u - "VSOCK-CONNECT:$socket"; }
notify 'STATUS=Starting up.'
notify 'X_READY=1\n'
sleep 1
echo "guest: told all that isn't it, at $socket"
notify 'STATUS=Done.\nREADY=1'
"""


@group
class Ready(Managed):
    def prepare(self, *flags):
        """The machine, made anew."""
        if os.path.exists(self.machine):
            self.vm("kill", NAME)
            self.vm("rm", NAME)
        self.vm("init", NAME, "-mem", "256", "-accel", "tcg", *flags,
                image.build(self.settings, self.directory))

    def console(self):
        return self.vm("logs", "-of", "console", NAME)[1]

    def test_serial(self):
        self.prepare("-ready", "serial", "-networking", "none")
        _, said = self.vm("start", NAME)
        assert "org.netproxy.ready" in said and "is ready" in said, said
        assert "guest: booted" in self.console()

    def test_vsock(self):
        script = f"{self.directory}/notify"
        with open(script, "w", encoding="ascii") as file:
            file.write(NOTIFY)
        self.prepare("-ready", "vsock:1234", "-data-file", script)
        _, said = self.vm("start", NAME)
        assert "READY=1 at vsock CID 2, port 1234" in said and "is ready" in said, said
        assert "told all that isn't it, at 2:1234" in self.console(), self.console()

    def test_tcp_too_late(self):
        """The start fails with the console's last lines; the machine goes on, and becomes ready."""
        self.prepare("-ready", f"tcp:{TCP_PORT}", "-ready-timeout", "1", "-publish",
                     f"127.0.0.1:18080:{TCP_PORT}", "-cmdline", f"earlyprintk=serial {TALKATIVE}")
        status, said = self.vm("start", NAME, check=False)
        assert status == 3 and f"not ready after {TIMEOUT_FACTOR} s" in said, said
        assert re.search(r"end of the guest's console:\n.*\| .*\S", said), said
        for line in said.splitlines():
            assert line.split(" ", 1)[1] in self.vm("logs", NAME)[1], f"{line!r} isn't in the log"
        assert self.state() == "starting"
        wait.until(lambda: "ready for commands" in self.console(), "the guest to boot", 60)
        self.guest(f"httpd -p {TCP_PORT} -h /etc")
        wait.until(lambda: self.state() == "running", "the machine to be ready", 20, interval=0.2)
        assert self.events()[-2:] == ["not-ready", "ready"], self.events()

    def test_qemu_fails(self):
        """Its own words are shown."""
        program = f"{self.directory}/qemu"
        with open(program, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho 'qemu: could not set up the flux capacitor' >&2\nexit 1\n")
        os.chmod(program, 0o755)
        self.vm("kill", NAME)
        self.vm("set", "-qemu", program, NAME)
        status, said = self.vm("start", NAME, check=False)
        assert status == 3 and "flux capacitor" in said, said
        assert "flux capacitor" in self.vm("logs", NAME)[1]
        assert self.state() == "crashed"


@group
class Detached:
    """netproxy-vm run -detached -console pty"""

    def __init__(self, settings, environment, directory):
        self.settings = settings
        self.host = environment.host
        self.directory = directory
        self.state = f"{directory}/state"
        self.pid = None

    def diagnostics(self):
        try:
            with open(f"{self.state}/netproxy-vm.log", errors="replace") as file:
                return file.read()
        except OSError as error:
            return str(error)

    def tear_down(self):
        if self.pid:
            self.signal("KILL")

    def signal(self, name):
        subprocess.run(["kill", f"-{name}", str(self.pid)], stderr=subprocess.DEVNULL)

    def running(self):
        return os.path.exists(f"/proc/{self.pid}")

    def run(self, *flags):
        guest = self.settings.guest
        return self.host.run(f"{self.settings.bin}/netproxy-vm", "run", "-detached", "-state", self.state,
                             "-accel", "tcg", "-mem", "256", "-kernel", f"{guest}/vmlinuz", "-initrd",
                             f"{guest}/initrd.img", "-cmdline", CMDLINE, *flags, check=False)

    def test_start(self):
        """Comes back once QEMU runs, and tells its process and the terminal."""
        result = self.run("-console", "pty", "-log-level", "info")
        assert result.returncode == 0, result.stderr
        self.pid = int(result.stdout)
        assert self.running()
        terminal = os.readlink(f"{self.state}/console")
        assert f"the console is {terminal}" in result.stderr, result.stderr
        with open(f"{self.state}/netproxy-vm.log") as file:
            log = file.read()
        assert "QEMU runs" in result.stderr and "QEMU runs" in log, (result.stderr, log)

    def test_console(self):
        """Taken by one after the other, the guest running on between them."""
        for number in (1, 2):
            terminal = os.open(f"{self.state}/console", os.O_RDWR | os.O_NOCTTY)
            said = ""
            deadline = time.monotonic() + 60
            while f"@p{number} end 0" not in said:
                left = deadline - time.monotonic()
                assert left > 0, said
                # Who isn't there when the guest says that it takes commands hasn't heard it.
                if "begin" not in said:
                    os.write(terminal, f"p{number} echo at $((number + {number}))\n".encode())
                if select.select([terminal], [], [], 1)[0]:
                    said += os.read(terminal, 4096).decode(errors="replace")
            assert f"at {number}" in said, said
            os.close(terminal)

    def test_end(self):
        result = self.run()
        assert result.returncode == 1 and "in use" in result.stderr, result.stderr
        self.signal("TERM")
        wait.until(lambda: not self.running(), "the machine to end", 30)
        assert not os.path.exists(f"{self.state}/api.sock")
        self.pid = None
