/* SPDX-License-Identifier: Apache-2.0 */
/* See volume.h. */
#include "launcher/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "launcher/options.h"
#include "launcher/process.h"

LOG_MODULE("volume");

struct volume {
	const struct machine_volume *conf;
	volume_ended_fn *ended;
	void *arg;
	struct process *process;
	int listen_fd;
	bool qemus; /* the daemon is QEMU's own */
	char path[SOCK_PATH_MAX];
};

char *volume_daemon_find(void)
{
	static const char *const places[] = {
		"virtiofsd",               /* in $PATH, where somebody put it on purpose */
		"/usr/lib/qemu/virtiofsd", /* QEMU's own, up to 7.2 */
		"/usr/libexec/virtiofsd",
		"/usr/lib/virtiofsd",
	};
	char *path;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (program_find(places[i], false, &path) == 0)
			return path;
	return NULL;
}

/* QEMU's own was written in C, and knows less. */
static bool is_qemus(const char *program)
{
	return strstr(program, "/qemu/") != NULL;
}

int volume_args_build(const char *program, const struct machine_volume *volume, int socket_fd,
		      struct args *ret_args)
{
	args_add(ret_args, program);
	args_addf(ret_args, "--fd=%d", socket_fd);
	if (is_qemus(program)) {
		args_add(ret_args, "-f");
		args_add(ret_args, "-o");
		args_add(ret_args, "log_level=err");
		/* Its parser takes a backslash before what it would cut at. */
		args_add(ret_args, "-o");
		args_add(ret_args, "source=");
		for (const char *c = volume->path; *c; c++) {
			const char text[] = {'\\', *c, '\0'};

			args_append(ret_args, *c == ',' || *c == '\\' ? text : text + 1);
		}
	} else {
		args_add(ret_args, "--log-level=error");
		args_add(ret_args, "--shared-dir");
		args_add(ret_args, volume->path);
		if (volume->read_only)
			args_add(ret_args, "--readonly");
	}
	/* Ours is what prepare_child() set. */
	args_add(ret_args, "--rlimit-nofile=0");
	if (!args_ok(ret_args)) {
		args_clear(ret_args);
		return -ENOMEM;
	}
	return 0;
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
	int r = n < 0 ? -errno : 0;

	fd_close(&fd);
	return r;
}

/* Becomes root of a user namespace in which only this user exists. */
static int enter_user_namespace(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int r;

	if (unshare(CLONE_NEWUSER) < 0)
		return -errno;
	r = write_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", uid);
	if (r == 0)
		r = write_text("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", gid);
	return r < 0 ? r : write_text("/proc/self/gid_map", map);
}

/* virtiofsd gives up its supplementary groups and ends if it can't. In a namespace that a user made
 * nobody can: they stay, as every program of this user has them, and the daemon is told that it
 * was done. */
static int pretend_setgroups(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!filter)
		return -ENOMEM;
	r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), SCMP_SYS(setgroups), 0);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

/* Makes the directory read-only for this process and its children, with all that is mounted in it.
 */
static int mount_read_only(const char *path)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
	    mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0 ||
	    mount_setattr(AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return -errno;
	return 0;
}

/* In the daemon's process, before it is executed. It holds a descriptor for every file that the
 * guest knows. */
static int prepare_child(void *arg)
{
	const struct machine_volume *conf = arg;
	struct rlimit files;
	bool user = geteuid() != 0;
	int r = 0;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (user)
		r = enter_user_namespace();
	if (r == 0 && conf->read_only)
		r = mount_read_only(conf->path);
	return r == 0 && user ? pretend_setgroups() : r;
}

int volume_check_rights(struct problem *problem)
{
	int status = 0;
	pid_t pid;

	if (geteuid() == 0)
		return 0;
	pid = fork();
	if (pid == 0)
		_exit(enter_user_namespace() < 0 || unshare(CLONE_NEWNS) < 0);
	if (pid < 0)
		return problem_set(problem, -errno, "-volume: can't fork: %s", strerror(errno));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0)
		return problem_set(
			problem, -EPERM,
			"-volume: this host doesn't let users make namespaces, which virtiofsd "
			"shuts itself in with: \"sudo sysctl kernel.unprivileged_userns_clone=1\" "
			"allows it (with AppArmor also "
			"kernel.apparmor_restrict_unprivileged_userns=0)");
	return 0;
}

/* Whether it ended because QEMU closed its connection. QEMU's own has status 0 when it was killed,
 * too, but says so only of a connection. */
static bool was_closed(const struct volume *v, int wait_status, const char *words)
{
	return wait_status == 0 && (!v->qemus || strstr(words, "Unexpected poll revents"));
}

static void on_end(void *arg, int wait_status)
{
	struct volume *v = arg;
	char text[PROCESS_END_TEXT_MAX], why[PROCESS_END_TEXT_MAX + 600];
	const char *words = process_last_words(v->process);
	const char *line = strrchr(words, '\n') ? strrchr(words, '\n') + 1 : words;

	snprintf(why, sizeof(why), "virtiofsd of %.200s %s%s%.256s", v->conf->path,
		 process_end_text(wait_status, text), line[0] ? "; its last words: " : "", line);
	v->ended(v->arg, v->conf, !was_closed(v, wait_status, words), why);
}

static int spawn(struct loop *loop, struct volume *v, const char *program, struct problem *problem)
{
	struct args args = {.count = 0};
	struct process_conf process = {
		.name = "virtiofsd",
		.args = &args,
		.fds = &v->listen_fd,
		.fd_count = 1,
		/* SIGTERM shortly before its accept() is lost on QEMU's own.
		 * Once it serves, in a child, that gets SIGTERM by itself. */
		.kill_with_us = true,
		/* It complains whenever QEMU ends. */
		.quiet = true,
		.prepare = prepare_child,
		.prepare_arg = (void *)v->conf};
	char *line;
	int r = volume_args_build(program, v->conf, v->listen_fd, &args);

	if (r == 0) {
		line = args_shell_line(&args);
		log_debug("starting %s", line ? line : "");
		free(line);
		r = process_spawn(loop, &process, on_end, v, &v->process);
		args_clear(&args);
	}
	if (r < 0)
		return problem_set(problem, r, "-volume %s: can't start %s: %s", v->conf->path,
				   program, strerror(-r));
	return 0;
}

int volume_start(struct loop *loop, const char *program, const struct machine_volume *volume,
		 const char *path, volume_ended_fn *ended, void *arg, struct volume **ret_volume,
		 struct problem *problem)
{
	struct volume *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return problem_set(problem, -ENOMEM, "out of memory");
	*v = (struct volume){.conf = volume,
			     .ended = ended,
			     .arg = arg,
			     .listen_fd = -1,
			     .qemus = is_qemus(program)};
	/* Listened on from here: QEMU can come at any time. */
	r = sock_listen_unix(path, SOCK_STREAM, &v->listen_fd);
	if (r < 0) {
		problem_set(problem, r, "-volume %s: can't listen at %s: %s", volume->path, path,
			    strerror(-r));
	} else {
		int flags = fcntl(v->listen_fd, F_GETFL);

		strcpy(v->path, path);
		/* The daemon waits in accept(). */
		fcntl(v->listen_fd, F_SETFL, flags & ~O_NONBLOCK);
		r = spawn(loop, v, program, problem);
	}
	fd_close(&v->listen_fd);
	if (r < 0) {
		volume_free(v);
		return r;
	}
	*ret_volume = v;
	return 0;
}

void volume_free(struct volume *volume)
{
	if (!volume)
		return;
	process_free(volume->process);
	if (volume->path[0])
		unlink(volume->path);
	free(volume);
}
