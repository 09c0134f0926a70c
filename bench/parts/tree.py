# SPDX-License-Identifier: Apache-2.0
"""What a process and its children cost: processor time, memory, wake-ups."""

import os


def pids(root):
    """The process and all its descendants."""
    found, left = [], [root]
    while left:
        pid = left.pop()
        found.append(pid)
        for task in _tasks(pid):
            left += [int(child) for child in _read(f"/proc/{pid}/task/{task}/children").split()]
    return found


def cpu_seconds(root):
    """User and system time of the tree, in seconds; its ended children's too, where they were waited for."""
    ticks = 0
    for pid in pids(root):
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_kib(root):
    """Resident memory without what is shared: a vhost-user back-end has the guest's memory mapped."""
    return sum(_status(f"/proc/{pid}/status", "VmRSS") - _status(f"/proc/{pid}/status", "RssShmem")
               for pid in pids(root))


def wakeups(root):
    """How often the tree's threads have gone to sleep of their own will."""
    return sum(_status(f"/proc/{pid}/task/{task}/status", "voluntary_ctxt_switches")
               for pid in pids(root) for task in _tasks(pid))


def fd_count(root):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids(root))


def _tasks(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _status(path, name):
    for line in _read(path).splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0
