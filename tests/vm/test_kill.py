# SPDX-License-Identifier: Apache-2.0
"""Whatever is killed, whenever: QEMU, the supervisor, netproxy or a volume's daemon, while the machine starts, runs, saves
or stops. Afterwards `start` starts it, and nothing of the killed run is left."""

import json
import os
import signal
import threading

from bed import wait

from harness import group
from managed import NAME, START_TIMEOUT, Managed


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").split("\0")
    except OSError:
        return []


@group
class Kill(Managed):
    def __init__(self, settings, environment, directory):
        super().__init__(settings, environment, directory)
        self.shared = f"{directory}/shared"
        os.makedirs(self.shared)

    def processes(self):
        """pid: name of what runs of this machine; the daemons of its volumes are known by what they share."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            words = command_line(pid)
            name = os.path.basename(words[0]) if words else ""
            if (name.startswith("qemu-system") or name in ("netproxy", "virtiofsd")) and any(
                    self.machine in word or self.shared in word for word in words):
                found[int(pid)] = name
        return found

    def pids_of(self, name):
        return [pid for pid, process in self.processes().items() if process.startswith(name)]

    def target(self, who):
        """The process to kill, or None: it isn't there."""
        if who == "supervisor":
            try:
                pid = self.pid("lock")
            except (OSError, ValueError):
                return None
            # That of the last run stands there until the next has written its own.
            return pid if any(word.endswith("netproxy-vm") for word in command_line(pid)) else None
        return min(self.pids_of(who), default=None)

    @staticmethod
    def end(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def wait_processes_end(self):
        try:
            wait.until(lambda: not self.processes(), "all its processes to end", 10)
        except wait.Late as late:
            raise wait.Late(f"{late}; there are still {self.processes()}") from None

    def kill(self, who):
        self.end(wait.until(lambda: self.target(who), f"{who} to be there", 30))

    def check_starts(self):
        """A start works, whatever state the machine is in, and what runs then is of that start."""
        before = set(self.processes())
        if self.state() not in ("stopped", "crashed"):
            self.vm("kill", NAME)
        self.vm("start", NAME)
        # What is left of a snapshot that wasn't saved is deleted first.
        wait.until(lambda: self.state() == "running", "it to run", 10)
        now = self.processes()
        names = sorted(now.values())
        # virtiofsd is two: the daemon, and who waits for it.
        assert names.count("netproxy") == 1 and names.count("virtiofsd") in (1, 2) and \
            len(names) - names.count("virtiofsd") == 2, now
        assert not before & set(now), "left over from before"
        assert self.guest("cat /mnt/file 2> /dev/null || { modprobe virtiofs; mkdir -p /mnt; "
                          "mount -t virtiofs shared /mnt; cat /mnt/file; }") == "shared\n"
        self.use_network()

    def begin(self, *command):
        """Starts a command in the background; returns what to call to wait for it: its status and words."""
        process = self.popen(*command)
        said = []
        thread = threading.Thread(target=lambda: said.extend(process.communicate(timeout=START_TIMEOUT)))
        thread.start()

        def finish():
            thread.join(START_TIMEOUT)
            return process.returncode, "".join(said)
        return finish

    def while_starting(self, who, condition, what):
        """Kills `who` when `condition` has come true after a start was begun. Returns how that start ended."""
        if self.state() not in ("stopped", "crashed"):
            self.vm("kill", NAME)
        finish = self.begin("start", NAME)
        wait.until(condition, what, 30, 0.001)
        self.kill(who)
        return finish()

    def check_netproxy_killed(self, condition, what):
        """When QEMU has not reached it yet, the start fails and says why; else it goes on, and has its network later."""
        backs = self.events().count("network-back")
        status, said = self.while_starting("netproxy", condition, what)
        if status == 0:
            wait.until(lambda: self.events().count("network-back") > backs, "the network is back", 60)
            assert self.state() == "running"
            self.use_network()
        else:
            assert "QEMU" in said or "netproxy" in said, said
            wait.until(lambda: self.state() == "crashed", "it has crashed", 30)

    def test_start(self):
        with open(f"{self.shared}/file", "w", encoding="ascii") as file:
            file.write("shared\n")
        self.vm("disk", "create", f"{self.directory}/disk.qcow2", "64M")
        self.init("-disk", f"{self.directory}/disk.qcow2", "-volume", self.shared)
        self.check_starts()

    def test_supervisor_before_netproxy(self):
        status, said = self.while_starting("supervisor", lambda: self.target("supervisor"), "the supervisor")
        assert status != 0 and "killed" in said, (status, said)
        self.wait_processes_end()

    def test_netproxy_before_qemu(self):
        self.check_netproxy_killed(lambda: self.pids_of("netproxy"), "netproxy")

    def test_supervisor_with_qemu(self):
        status, said = self.while_starting("supervisor", lambda: self.pids_of("qemu"), "QEMU")
        assert status != 0 and "killed" in said, (status, said)
        self.wait_processes_end()
        assert self.state() == "crashed"

    def test_qemu_at_once(self):
        status, said = self.while_starting("qemu", lambda: self.pids_of("qemu"), "QEMU")
        assert status != 0 and "signal 9" in said, (status, said)
        assert self.state() == "crashed"

    def test_netproxy_while_it_boots(self):
        """The guest boots, and gets its network a little later."""
        self.check_netproxy_killed(lambda: os.path.exists(f"{self.machine}/qemu.pid"), "QEMU's pid")
        if self.state() != "running":
            self.check_starts()

    def test_running(self):
        for who in ("supervisor", "qemu"):
            self.kill(who)
            wait.until(lambda: self.state() == "crashed", f"it has crashed without {who}", 30)
            self.wait_processes_end()
            self.check_starts()

    def while_saving(self, who):
        finish = self.begin("snapshot", "save", NAME, "half")
        wait.until(lambda: self.state() == "saving", "it saves", 30, 0.001)
        self.kill(who)
        return finish()

    def test_saving(self):
        for who in ("qemu", "supervisor"):
            status, said = self.while_saving(who)
            assert status == 1 and said, (status, said)
            wait.until(lambda: self.state() == "crashed", "it has crashed", 30)
            self.check_starts()
            assert json.loads(self.vm("snapshot", "list", "-format", "json", NAME)[1]) == []
        # What was left of it is not in the way.
        wait.until(lambda: self.state() == "running", "what was left to be deleted", 30)
        self.vm("snapshot", "save", NAME, "half")
        assert [one["name"] for one in json.loads(self.vm("snapshot", "list", "-format", "json", NAME)[1])] == ["half"]

    def test_saving_without_netproxy(self):
        """That is not part of a snapshot: it is saved, and the network comes back."""
        finish = self.begin("snapshot", "save", NAME, "whole")
        wait.until(lambda: self.state() == "saving", "it saves", 30, 0.001)
        backs = self.events().count("network-back")
        self.kill("netproxy")
        status, said = finish()
        assert status == 0, said
        wait.until(lambda: self.events().count("network-back") > backs, "the network is back", 60)
        assert self.state() == "running"
        self.use_network()

    def test_volume_killed(self):
        """The guest loses the volume, which is said; the machine goes on."""
        for pid in self.pids_of("virtiofsd"):
            self.end(pid)
        wait.until(lambda: "can't use that volume" in self.vm("logs", NAME)[1], "the log to tell", 10)
        assert self.state() == "running"
        self.use_network()

    def test_stopping(self):
        for who in ("qemu", "supervisor", "netproxy"):
            finish = self.begin("stop", NAME)
            wait.until(lambda: self.state() == "stopping", "it stops", 30, 0.001)
            pid = self.target(who)
            if pid:
                self.end(pid)
            status, said = finish()
            assert status == 0, said
            wait.until(lambda: self.state() in ("stopped", "crashed"), "it has stopped", 30)
            self.wait_processes_end()
            self.check_starts()
