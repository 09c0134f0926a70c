/* SPDX-License-Identifier: Apache-2.0 */
/* What netproxy gives up; see sandbox.h. */
#include "netproxy/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "netstack/netns.h"

LOG_MODULE("sandbox");

/* A directory that is there everywhere, to be covered by our own root. */
#define NEW_ROOT "/tmp"

static int complain(char error[static OPTIONS_ERROR_MAX], const char *what, int r)
{
	snprintf(error, OPTIONS_ERROR_MAX, "%s: %s", what, strerror(-r));
	return r;
}

/* ---- Mounts ---- */

/* A mount namespace of our own: at once where we are privileged, otherwise as whoever owns the
 * guest's network namespace. */
static int new_mount_namespace(const struct options *options)
{
	int netns_fd, user_fd, r;

	if (unshare(CLONE_NEWNS) == 0)
		return 0;
	if (errno != EPERM || !options->netns.netns[0])
		return -errno;
	r = netns_open(options->netns.netns, &netns_fd);
	if (r < 0)
		return r;
	user_fd = ioctl(netns_fd, NS_GET_USERNS);
	if (user_fd < 0 || setns(user_fd, CLONE_NEWUSER) < 0 || unshare(CLONE_NEWNS) < 0)
		r = -errno;
	fd_close(&user_fd);
	fd_close(&netns_fd);
	return r;
}

/* Shows `path` of the old root in the new one, without programs to run or devices to open. */
static int show(const char *path)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	char target[64];

	snprintf(target, sizeof(target), NEW_ROOT "%s", path);
	if (mkdir(target, 0755) < 0 || mount(path, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return -errno;
	/* Flags that were locked elsewhere can't be changed: then they are as strict already, or we
	 * do without. */
	(void)mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL);
	return 0;
}

static int change_root(void)
{
	int r;

	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0 ||
	    mount("tmpfs", NEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1k") < 0)
		return -errno;
	r = show("/etc");
	if (r == 0)
		r = show("/run");
	if (r < 0)
		return r;
	if (mkdir(NEW_ROOT "/old", 0700) < 0 || chdir(NEW_ROOT) < 0 ||
	    syscall(SYS_pivot_root, ".", "old") < 0 || chdir("/") < 0 ||
	    umount2("/old", MNT_DETACH) < 0 || rmdir("/old") < 0)
		return -errno;
	(void)mount(NULL, "/", NULL,
		    MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	return 0;
}

/* ---- Capabilities ---- */

static int drop_capabilities(void)
{
	const uint32_t kept = 1u << CAP_NET_BIND_SERVICE;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	for (int capability = 0; capability <= CAP_LAST_CAP; capability++) {
		/* -EINVAL: this kernel has none of that number; -EPERM: we never had any. */
		if (capability != CAP_NET_BIND_SERVICE &&
		    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EINVAL &&
		    errno != EPERM)
			return -errno;
	}
	data[0].effective &= kept;
	data[0].permitted &= kept;
	data[0].inheritable = 0;
	data[1] = (struct __user_cap_data_struct){0};
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* ---- System calls ---- */

/* What netproxy never does, and somebody who has taken it over might: run programs, look into
 * others, change what is mounted, load code into the kernel, leave its namespaces. */
static const int forbidden[] = {
	SCMP_SYS(acct),
	SCMP_SYS(add_key),
	SCMP_SYS(bpf),
	SCMP_SYS(chroot),
	SCMP_SYS(delete_module),
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(finit_module),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fsmount),
	SCMP_SYS(fsopen),
	SCMP_SYS(fspick),
	SCMP_SYS(init_module),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(kcmp),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(kexec_load),
	SCMP_SYS(keyctl),
	SCMP_SYS(mount),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(move_mount),
	SCMP_SYS(name_to_handle_at),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(open_tree),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(pivot_root),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(ptrace),
	SCMP_SYS(quotactl),
	SCMP_SYS(reboot),
	SCMP_SYS(request_key),
	SCMP_SYS(setdomainname),
	SCMP_SYS(sethostname),
	SCMP_SYS(setns),
	SCMP_SYS(swapoff),
	SCMP_SYS(swapon),
	SCMP_SYS(umount2),
	SCMP_SYS(unshare),
	SCMP_SYS(userfaultfd),
};

static int filter_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r = 0;

	if (!filter)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, forbidden[i], 0);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

int sandbox_enter(const struct options *options, char error[static OPTIONS_ERROR_MAX])
{
	const struct netns_option *netns = &options->netns;
	int r = 0;

	if (netns->sandbox) {
		r = new_mount_namespace(options);
		if (r < 0)
			return complain(error, "--sandbox: making a mount namespace", r);
		r = change_root();
		if (r < 0)
			return complain(error, "--sandbox: leaving the file system", r);
		r = drop_capabilities();
		if (r < 0)
			return complain(error, "--sandbox: dropping capabilities", r);
		log_info("sandboxed: of the file system only /etc and /run are to be seen");
	}
	if ((netns->netns[0] || netns->sandbox || netns->seccomp) &&
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return complain(error, "giving up new privileges", -errno);
	if (netns->seccomp) {
		r = filter_calls();
		if (r < 0)
			return complain(error, "--seccomp: loading the filter", r);
	}
	return 0;
}
