/* SPDX-License-Identifier: Apache-2.0 */
/* See disk_resize.h. */
#include "launcher/disk_resize.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/sock.h"
#include "launcher/option_values.h"
#include "launcher/process.h"
#include "launcher/qemu_args.h"
#include "launcher/qmp.h"

#define NODE "disk0"

/* A QEMU that does nothing else. */
struct resize {
	struct loop *loop;
	struct loop_timer *timer;
	struct process *process;
	struct qmp *qmp;
	bool done;                         /* QEMU said so */
	char error[PROCESS_WORDS_MAX + 1]; /* empty: QEMU said nothing */
};

int disk_size_parse(const char *text, uint64_t now, uint64_t *ret_bytes, struct problem *problem)
{
	const bool more = text[0] == '+';
	uint64_t bytes;

	if (size_parse(text + more, &bytes) < 0)
		return problem_set(problem, -EINVAL,
				   "\"%.40s\" is not a size: write mebibytes, or a suffix: 512M, "
				   "10G; with + in front, so much more",
				   text);
	if (more && bytes > MACHINE_DISK_MAX)
		bytes = MACHINE_DISK_MAX;
	if (more)
		bytes += now;
	if (bytes < MACHINE_DISK_MIN || bytes > MACHINE_DISK_MAX || bytes % 512 != 0)
		return problem_set(problem, -ERANGE,
				   "\"%.40s\": a disk can have from 1M to 16T, in whole sectors of "
				   "512 bytes",
				   text);
	*ret_bytes = bytes;
	return 0;
}

/* "10G", or the bytes where no unit fits. */
static const char *size_text(uint64_t bytes, char to[static 32])
{
	static const char units[] = "KMGT";
	unsigned unit = 0;

	while (unit < sizeof(units) - 1 && bytes > 0 && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	if (unit > 0)
		snprintf(to, 32, "%" PRIu64 "%c", bytes, units[unit - 1]);
	else
		snprintf(to, 32, "%" PRIu64 " bytes", bytes);
	return to;
}

int disk_resize_check(const struct machine_disk *disk, uint64_t now, uint64_t bytes, bool shrink,
		      bool runs, struct problem *problem)
{
	char has[32], wanted[32];

	size_text(now, has);
	size_text(bytes, wanted);
	if (disk->device)
		return problem_set(
			problem, -ENOTSUP,
			"%s is a block device: it is resized where it was made (lvresize "
			"and the like), and the machine sees it at its next start",
			disk->path);
	if (disk->read_only)
		return problem_set(problem, -ENOTSUP,
				   "%s is read-only for this machine (,ro): it can't be resized",
				   disk->path);
	if (bytes == now)
		return problem_set(problem, -EEXIST, "%s has %s already", disk->path, has);
	if (bytes < now && runs)
		return problem_set(
			problem, -EBUSY,
			"%s has %s, and can't shrink to %s under a guest that runs: stop "
			"the machine first",
			disk->path, has, wanted);
	if (bytes < now && !shrink)
		return problem_set(problem, -EINVAL,
				   "%s has %s: with %s, what is behind that would be lost; if its "
				   "file systems and partitions end before, -shrink does it",
				   disk->path, has, wanted);
	return 0;
}

static void on_end(void *arg, int wait_status)
{
	struct resize *r = arg;
	char text[PROCESS_END_TEXT_MAX];

	const char *words = process_last_words(r->process);

	if (!r->done && r->error[0] == '\0' && words[0])
		snprintf(r->error, sizeof(r->error), "%s", words);
	else if (!r->done && r->error[0] == '\0')
		snprintf(r->error, sizeof(r->error), "QEMU %s",
			 process_end_text(wait_status, text));
	loop_stop(r->loop, 0);
}

static void on_resized(void *arg, int status, struct json_object *value, const char *error)
{
	struct resize *r = arg;

	(void)value;
	r->done = status == 0;
	if (status == -EREMOTEIO)
		snprintf(r->error, sizeof(r->error), "%s", error);
	/* It writes out what it has, and ends. */
	qmp_execute(r->qmp, "quit", NULL, NULL, NULL);
}

static void on_timeout(void *arg)
{
	struct resize *r = arg;

	r->done = false;
	snprintf(r->error, sizeof(r->error), "QEMU isn't done after %d s",
		 DISK_RESIZE_TIMEOUT_MS / 1000);
	process_signal(r->process, SIGKILL);
}

static void on_ready(void *arg)
{
	(void)arg;
}

static void on_event(void *arg, const char *name, struct json_object *data)
{
	(void)arg;
	(void)name;
	(void)data;
}

static void on_closed(void *arg, const char *reason)
{
	(void)arg;
	(void)reason;
}

static const struct qmp_user user = {.ready = on_ready, .event = on_event, .closed = on_closed};

static int start_qemu(struct resize *resize, const char *qemu, const struct machine_disk *disk,
		      int fd)
{
	struct args args = {.count = 0};
	const struct process_conf conf = {
		.name = "QEMU", .args = &args, .fds = &fd, .fd_count = 1, .quiet = true};
	int r = -ENOMEM;

	args_add(&args, qemu);
	args_add(&args, "-no-user-config");
	args_add(&args, "-nodefaults");
	args_add(&args, "-machine");
	args_add(&args, "none");
	args_add(&args, "-display");
	args_add(&args, "none");
	args_add(&args, "-chardev");
	args_addf(&args, "socket,id=qmp,fd=%d", fd);
	args_add(&args, "-mon");
	args_add(&args, "chardev=qmp,mode=control");
	qemu_args_disk_nodes(&args, disk, 0);
	if (args_ok(&args))
		r = process_spawn(resize->loop, &conf, on_end, resize, &resize->process);
	args_clear(&args);
	return r;
}

static int run(struct resize *resize, const char *qemu, const struct machine_disk *disk,
	       uint64_t bytes)
{
	struct json_object *arguments = json_object_new_object();
	int pair[2] = {-1, -1}, r;

	json_object_object_add(arguments, "node-name", json_object_new_string(NODE));
	json_object_object_add(arguments, "size", json_object_new_int64((int64_t)bytes));
	r = loop_new(&resize->loop);
	if (r == 0)
		r = loop_timer_new(resize->loop, on_timeout, resize, &resize->timer);
	if (r == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		r = -errno;
	if (r == 0) {
		r = qmp_new(resize->loop, pair[0], &user, resize, &resize->qmp);
		pair[0] = -1;
	}
	if (r == 0)
		r = start_qemu(resize, qemu, disk, pair[1]);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	if (r < 0) {
		json_object_put(arguments);
		return r;
	}
	loop_timer_set(resize->timer, DISK_RESIZE_TIMEOUT_MS);
	r = qmp_execute(resize->qmp, "block_resize", arguments, on_resized, resize);
	if (r == 0)
		loop_run(resize->loop);
	return r;
}

int disk_resize(const char *qemu, const struct machine_disk *disk, uint64_t bytes,
		struct problem *problem)
{
	struct resize resize = {.done = false};
	int r = run(&resize, qemu, disk, bytes);

	process_free(resize.process);
	qmp_free(resize.qmp);
	loop_timer_free(resize.timer);
	loop_free(resize.loop);
	if (r < 0)
		return problem_set(problem, r, "%s can't be resized: can't run %s: %s", disk->path,
				   qemu, strerror(-r));
	if (resize.done)
		return 0;
	if (strstr(resize.error, "lock"))
		return problem_set(problem, -EBUSY,
				   "%s can't be resized: another process uses it (another machine "
				   "that runs?)",
				   disk->path);
	resize.error[strcspn(resize.error, "\n")] = '\0';
	return problem_set(problem, -EIO, "%s can't be resized: %s", disk->path, resize.error);
}
