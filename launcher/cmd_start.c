/* SPDX-License-Identifier: Apache-2.0 */
/* "netproxy-vm start": forks the machine's supervisor, and waits until it says that the guest is
 * ready or why not. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "launcher/cmd.h"
#include "launcher/commands.h"
#include "launcher/machine_args.h"
#include "launcher/machine_control.h"
#include "launcher/run_managed.h"
#include "launcher/state_dir.h"
#include "launcher/supervisor.h"

LOG_MODULE("netproxy-vm");

#define CLEAN_TIMEOUT_MS 5000
/* How long a netproxy keeps the connections of a guest that has gone, and some. */
#define SHARED_FORGETS_MS 6000

static int take_lock(const struct store_place *place, struct state_dir *dir,
		     struct problem *problem)
{
	pid_t pid;
	int r = state_dir_open(dir, place->dir, problem);

	if (r == -EBUSY && store_owner(place->dir, &pid) == 0)
		return problem_set(problem, r,
				   "%s is running already, or being started, by process %d",
				   place->name, pid);
	return r;
}

/* A guest that keeps nothing makes new SSH host keys at each start. */
static void forget_host_keys(const struct store_place *place, const struct machine *m)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < m->disk_count; i++)
		if (!m->disks[i].read_only)
			return;
	if (store_path(place->dir, STORE_KNOWN_HOSTS, path) == 0 && unlink(path) < 0 &&
	    errno != ENOENT)
		log_debug("%s: %s", path, strerror(errno));
}

/* A netproxy that others use, too, has gone on with the guest's connections since the snapshot: as
 * the guest knows them they would only be silent. When it has forgotten them, it resets them. */
static void wait_until_forgotten(const struct store_place *place, bool was_killed)
{
	int64_t left_ms = SHARED_FORGETS_MS;
	char path[PATH_MAX];
	struct timespec now;
	struct stat st;

	clock_gettime(CLOCK_REALTIME, &now);
	if (!was_killed && store_path(place->dir, STORE_END, path) == 0 && stat(path, &st) == 0) {
		int64_t since_ms = (now.tv_sec - st.st_mtim.tv_sec) * INT64_C(1000) +
				   (now.tv_nsec - st.st_mtim.tv_nsec) / 1000000;

		if (since_ms >= 0)
			left_ms -= since_ms;
	}
	if (left_ms <= 0)
		return;
	log_info("waiting until the shared netproxy has forgotten the guest's connections");
	usleep((useconds_t)left_ms * 1000);
}

/* With the lock: cleans up what a killed one left, checks everything, and runs. */
static int run_locked(const struct store_place *place, const char *restore, struct daemon *daemon,
		      struct settings *settings)
{
	struct snapshot snapshot;
	struct control_conf control = {.place = place, .settings = settings, .daemon = daemon};
	struct managed_run managed = {.hooks = &control_hooks, .unplugged = restore != NULL};
	struct args extra = {.count = 0};
	struct problem problem;
	const bool was_killed = store_stale(place->dir) != 0;
	int pair[2], status;

	if (was_killed)
		log_info("cleaning up what a run that was killed has left");
	if (store_clean(place->dir, CLEAN_TIMEOUT_MS) < 0)
		log_warn("processes of a run that was killed don't end; going on");
	if ((restore && snapshot_find(place->dir, restore, &snapshot, &problem) < 0) ||
	    run_options_complete(&settings->run, &problem) < 0 ||
	    snapshot_prepare(place->dir, &problem) < 0)
		return cmd_refuse(&problem);
	if (restore && settings->run.machine.network == MACHINE_NETWORK_USERSPACE_SHARED)
		wait_until_forgotten(place, was_killed);
	forget_host_keys(place, &settings->run.machine);
	machine_args_add(&extra, place->dir, &settings->ready, restore != NULL);
	if (!args_ok(&extra) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		args_clear(&extra);
		problem_set(&problem, -errno, "can't start: %s", strerror(errno));
		return cmd_refuse(&problem);
	}
	control.restore = restore ? &snapshot : NULL;
	control.console_fd = pair[0];
	managed.console_fd = pair[1];
	managed.extra = &extra;
	managed.arg = control_new(&control);
	status = managed.arg ? run_managed(&settings->run, place->dir, &managed) : 1;
	control_free(managed.arg);
	close(pair[1]);
	args_clear(&extra);
	return status;
}

static int supervise(const struct store_place *place, const char *restore, struct daemon *daemon)
{
	struct settings settings;
	struct problem problem;
	struct state_dir dir;
	char log_path[PATH_MAX];
	int status;

	log_set_levels("info");
	if (chdir(place->dir) < 0) {
		problem_set(&problem, -errno, "%s: %s", place->dir, strerror(errno));
		return cmd_refuse(&problem);
	}
	supervisor_hold_signals();
	if (take_lock(place, &dir, &problem) < 0)
		return cmd_refuse(&problem);
	if (store_path(place->dir, STORE_LOG, log_path) == 0)
		daemon_log(daemon, log_path);
	if (cmd_settings(place, &settings, &problem) < 0)
		status = cmd_refuse(&problem);
	else
		status = run_locked(place, restore, daemon, &settings);
	run_options_clear(&settings.run);
	/* With no stale files left, an end in order is told from another. */
	store_clean(place->dir, 0);
	state_dir_close(&dir);
	return status;
}

int cmd_start(const struct store_place *place, const char *restore)
{
	struct daemon daemon;
	struct problem problem;
	int status, r;

	if (cmd_check(place, restore ? ACTION_SNAPSHOT_RESTORE : ACTION_START, NULL, &problem) < 0)
		return cmd_refuse(&problem);
	r = daemon_fork(&daemon, &status, &problem);
	if (r < 0)
		return cmd_refuse(&problem);
	if (r > 0)
		return status;
	_exit(supervise(place, restore, &daemon));
}

static int start_machine(const struct cmd *cmd, const struct store_place *place)
{

	return cmd_start(place, cmd->restore);
}

int command_start(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "start [FLAGS] NAME",
		.help = "Starts a machine in the background, and comes back when its guest is ready\n"
			"(-ready of its description), or with what went wrong.",
		.flags = CMD_RESTORE,
		.words_min = 1,
		.words_max = 1,
	};

	return cmd_run(argc, argv, &spec, start_machine);
}
