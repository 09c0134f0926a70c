/* SPDX-License-Identifier: Apache-2.0 */
/* A machine's devices, against this host: volumes and their daemon, the screen, the accelerator.
 * See options_private.h. */
#include "launcher/options_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sock.h"
#include "launcher/option_values.h"
#include "launcher/volume.h"

#define VNC_PORT_FIRST 5900 /* QEMU's display 0 */
#define VNC_PORT_LAST  65535

static int check_volume(struct machine_volume *volume, struct problem *problem)
{
	char *path;
	struct stat st;

	if (stat(volume->path, &st) < 0)
		return problem_set(problem, -errno, "-volume %s: %s", volume->path,
				   strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return problem_set(problem, -ENOTDIR,
				   "-volume %s: that is not a directory; a single file can't be "
				   "shared, the directory that it is in can",
				   volume->path);
	if (access(volume->path, R_OK | X_OK) < 0)
		return problem_set(problem, -errno, "-volume %s: this user may not read it",
				   volume->path);
	/* Its daemon runs elsewhere. */
	path = realpath(volume->path, NULL);
	if (!path)
		return problem_set(problem, -errno, "-volume %s: %s", volume->path,
				   strerror(errno));
	free(volume->path);
	volume->path = path;
	return 0;
}

static int check_volumes(struct run_options *o, struct problem *problem)
{
	struct machine *m = &o->machine;
	int r = 0;

	for (size_t i = 0; i < m->volume_count && r == 0; i++)
		r = check_volume(&m->volumes[i], problem);
	if (r < 0 || m->volume_count == 0)
		return r;
	free(o->virtiofsd);
	o->virtiofsd = volume_daemon_find();
	if (!o->virtiofsd)
		return problem_set(problem, -ENOENT,
				   "-volume: virtiofsd is missing: \"apt-get install "
				   "qemu-system-common\" brings it (on Debian 13: virtiofsd)");
	return volume_check_rights(problem);
}

/* [ADDRESS:]PORT or unix:PATH, rewritten in QEMU's words. */
static int check_vnc(struct machine *m, struct problem *problem)
{
	static const char form[] = "write [ADDRESS:]PORT, the port from 5900 on, such as "
				   "127.0.0.1:5901, or unix:PATH";
	const char *colon = strrchr(m->vnc, ':'), *port = colon ? colon + 1 : m->vnc;
	struct endpoint at = {.addr = {.family = AF_UNSPEC}};
	char address[ADDR_TEXT_MAX + 2] = "127.0.0.1", *words;
	struct problem ignored;
	unsigned number;
	int fd, r;

	if (strncmp(m->vnc, "unix:", 5) == 0) {
		if (m->vnc[5] == '\0' || strlen(m->vnc + 5) >= SOCK_PATH_MAX)
			return problem_set(problem, -EINVAL,
					   "-vnc \"%s\": a socket's path has 1 to %d characters",
					   m->vnc, SOCK_PATH_MAX - 1);
		return 0;
	}
	if (colon && (size_t)(colon - m->vnc) < sizeof(address)) {
		memcpy(address, m->vnc, (size_t)(colon - m->vnc));
		address[colon - m->vnc] = '\0';
	} else if (colon) {
		address[0] = '\0';
	}
	if (option_number(&number, "vnc", port, VNC_PORT_FIRST, VNC_PORT_LAST, &ignored) < 0 ||
	    addr_parse(address, &at.addr) < 0)
		return problem_set(problem, -EINVAL, "-vnc \"%s\": %s", m->vnc, form);
	at.port = (uint16_t)number;
	r = sock_listen_tcp(&at, 1, &fd, NULL);
	if (r < 0)
		return problem_set(problem, r,
				   "-vnc \"%s\": can't listen there (%s): choose another port%s",
				   m->vnc, strerror(-r),
				   r == -EADDRNOTAVAIL ? ", and an address of this host" : "");
	fd_close(&fd);
	if (asprintf(&words, at.addr.family == AF_INET6 ? "[%s]:%u" : "%s:%u", address,
		     number - VNC_PORT_FIRST) < 0)
		return problem_set(problem, -ENOMEM, "out of memory");
	free(m->vnc);
	m->vnc = words;
	return 0;
}

static enum machine_arch host_arch(void)
{
#if defined(__aarch64__)
	return MACHINE_ARCH_AARCH64;
#else
	return MACHINE_ARCH_X86_64;
#endif
}

static int check_accel(struct run_options *o, struct problem *problem)
{
	if (o->machine.arch == host_arch())
		return 0;
	if (o->accel == ACCEL_WISH_KVM)
		return problem_set(problem, -ENOTSUP,
				   "-accel kvm: this host's CPU can't run a guest of -arch %s: use "
				   "-accel tcg",
				   machine_arch_name(o->machine.arch));
	o->accel = ACCEL_WISH_TCG;
	return 0;
}

int options_check_devices(struct run_options *options, struct problem *problem)
{
	struct machine *m = &options->machine;
	int r = check_accel(options, problem);

	if (r == 0)
		r = check_volumes(options, problem);
	if (r == 0 && m->vnc)
		r = check_vnc(m, problem);
	if (r == 0 && m->window && !getenv("DISPLAY") && !getenv("WAYLAND_DISPLAY"))
		r = problem_set(problem, -ENOTTY,
				"-headless=false: there is no desktop here to open a window on "
				"($DISPLAY isn't set): use -vnc 5900 instead");
	return r;
}
