# SPDX-License-Identifier: Apache-2.0
"""An unprivileged user for rootless containers, who exists in mount and pid namespaces of the test's own only: whatever
is started there ends with the test, and the machine keeps nothing of it.

What is needed of the machine and arranged here, as containers and CI machines often differ from a desktop in it:
/dev/net/tun for everybody, /sys/fs/cgroup of one version (crun refuses a mixture), subordinate ids, and a runtime
directory."""

import os
import shutil

from . import process

NAME = "rootless"
UID = 20077
HOME = f"/home/{NAME}"
RUNTIME = f"/run/user/{UID}"
PROGRAMS = ("newuidmap", "newgidmap", "setpriv", "unshare", "busybox")
APPLETS = ("cat", "cp", "echo", "httpd", "ip", "nc", "nslookup", "sh", "sleep", "wget")

# Arguments: the directory of the programs under test, resolv.conf, and what to run.
SETUP = f"""set -e
programs=$1 resolv_conf=$2
shift 2
mount --make-rprivate /
mount -t tmpfs -o mode=755 none /dev/net
mknod -m 666 /dev/net/tun c 10 200
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=755 none /home
mount -t tmpfs -o mode=755 none /run/user
mount --bind "$resolv_conf" "$(readlink -f /etc/resolv.conf)"
add() {{
	(cat "$1"; echo "$2") > /home/etc
	cp /home/etc "/home/$(basename "$1")"
	mount --bind "/home/$(basename "$1")" "$1"
}}
add /etc/passwd "{NAME}:x:{UID}:{UID}::{HOME}:/bin/sh"
add /etc/group "{NAME}:x:{UID}:"
add /etc/subuid "{NAME}:3000000:65536"
add /etc/subgid "{NAME}:3000000:65536"
mkdir -p {HOME}/rootfs/bin {HOME}/rootfs/etc {HOME}/rootfs/proc {HOME}/rootfs/sys {HOME}/rootfs/dev \\
	{HOME}/rootfs/tmp {HOME}/rootfs/run {HOME}/rootfs/www {HOME}/.config/containers {HOME}/bin
cp "$(command -v busybox)" {HOME}/rootfs/bin/busybox
for applet in {' '.join(APPLETS)}; do ln -s busybox {HOME}/rootfs/bin/$applet; done
echo "from the container" > {HOME}/rootfs/www/index.html
ln -s "$programs/netproxy" {HOME}/bin/slirp4netns
cat > {HOME}/.config/containers/containers.conf << END
[engine]
network_cmd_path = "{HOME}/bin/slirp4netns"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
cgroups = "disabled"
log_driver = "k8s-file"
END
printf '[storage]\\ndriver = "vfs"\\n' > {HOME}/.config/containers/storage.conf
install -d -o {UID} -g {UID} -m 700 {RUNTIME}
chown -R {UID}:{UID} {HOME}
cd {HOME}
exec setpriv --reuid {UID} --regid {UID} --clear-groups --inh-caps=-all -- env -i HOME={HOME} USER={NAME} \\
	XDG_RUNTIME_DIR={RUNTIME} PATH={HOME}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "$@"
"""


def missing(*programs):
    """Those of the programs needed that aren't there."""
    return [name for name in (*PROGRAMS, *programs) if not shutil.which(name)]


class User:
    """Runs one command as that user, in the host's network namespace."""

    def __init__(self, t, *argv):
        self.process = process.Process(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
             "bash", "-c", SETUP, "setup", os.path.abspath(t.settings.bin),
             t.environment.resolv_conf, *argv],
            f"{t.directory}/user.log", t.host)
        t.cleanup.callback(self.process.kill)

    def finish(self, timeout=30):
        """Waits for its end and returns what it said."""
        status = self.process.wait(timeout)
        if status:
            raise AssertionError(f"status {status}:\n{self.process.output()}")
        return self.process.output()


def fetch(namespace, url):
    done = namespace.run("curl", "--silent", "--show-error", "--max-time", "10", url, check=False)
    return done.stdout if done.returncode == 0 else None
