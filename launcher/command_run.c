/* SPDX-License-Identifier: Apache-2.0 */
/* "netproxy-vm run": a machine in the foreground, from the command line to the exit status. */
#include "launcher/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "launcher/accel.h"
#include "launcher/daemon.h"
#include "launcher/flags.h"
#include "launcher/options.h"
#include "launcher/prepare.h"
#include "launcher/qemu_version.h"
#include "launcher/run_managed.h"
#include "launcher/shared_lease.h"
#include "launcher/state_dir.h"
#include "launcher/supervisor.h"

LOG_MODULE("netproxy-vm");

/* Of /proc/cpuinfo; the first processor's flags are within. */
#define CPUINFO_SIZE 16384

/* Names within the machine's directory. */
#define CONSOLE_LINK "console"
#define DAEMON_LOG   "netproxy-vm.log"

/* Under TCG older ones crash when the guest's driver starts a vhost-user network device that has
 * interrupt vectors (in msix_set_vector_notifiers(); seen with 7.2). */
#define QEMU_MAJOR_WITHOUT_CRASH 8

static int refuse(const struct problem *problem)
{
	fprintf(stderr, "netproxy-vm: %s\n", problem->text);
	return RUN_REFUSED;
}

static int choose_accel(const struct run_options *options, enum accel *ret, struct problem *problem)
{
	char cpuinfo[CPUINFO_SIZE];
	struct accel_facts facts;
	int r;

	accel_probe(cpuinfo, sizeof(cpuinfo), &facts);
	r = accel_choose(options->accel, &facts, ret, problem);
	if (r == 0)
		log_info("running with %s: %s", accel_name(*ret), problem->text);
	return r;
}

/* A pseudo-terminal: its other side is a terminal for screen(1) and the like, told on standard
 * error and found at DIR/console. It stays open here, so that it doesn't hang up between its users.
 */
static int open_pty(struct supervisor_conf *conf, int *ret_file, struct problem *problem)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), slave = -1;
	char name[64], link[PATH_MAX];
	struct termios raw;
	int r = 0;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
	    ptsname_r(master, name, sizeof(name)) != 0 ||
	    (slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 || tcgetattr(slave, &raw) < 0)
		r = problem_set(problem, -errno, "-console pty: no pseudo-terminal: %s",
				strerror(errno));
	if (r < 0) {
		fd_close(&master);
		fd_close(&slave);
		return r;
	}
	/* The guest's terminal does what a terminal does. */
	cfmakeraw(&raw);
	tcsetattr(slave, TCSANOW, &raw);
	conf->console_in_fd = conf->console_out_fd = master;
	conf->console_is_pty = true;
	*ret_file = master;
	snprintf(link, sizeof(link), "%.*s/" CONSOLE_LINK, PATH_MAX / 2, conf->dir);
	unlink(link);
	if (symlink(name, link) < 0)
		log_warn("%s can't be made: %s", link, strerror(errno));
	fprintf(stderr, "netproxy-vm: the console is %s\n", name);
	return 0;
}

/* Opens where the console goes; *ret_file is to be closed. */
static int open_console(const struct run_options *options, struct supervisor_conf *conf,
			int *ret_file, struct problem *problem)
{
	conf->console_in_fd = conf->console_out_fd = -1;
	if (options->console == RUN_CONSOLE_STDIO) {
		conf->console_in_fd = STDIN_FILENO;
		conf->console_out_fd = STDOUT_FILENO;
		conf->console_seen = true;
	} else if (options->console == RUN_CONSOLE_FILE) {
		*ret_file = open(options->console_file,
				 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
		if (*ret_file < 0)
			return problem_set(problem, -errno, "-console file:%s: %s",
					   options->console_file, strerror(errno));
		conf->console_out_fd = *ret_file;
	} else if (options->console == RUN_CONSOLE_PTY) {
		return open_pty(conf, ret_file, problem);
	}
	return 0;
}

/* What this QEMU's version makes a difference to; one that doesn't tell its version counts as old.
 */
static void learn_version(const struct run_options *options, struct supervisor_conf *conf)
{
	const bool own = options->machine.network == MACHINE_NETWORK_USERSPACE;
	const bool vhost = own && options->machine.net_device == MACHINE_NET_DEVICE_VHOST;
	/* Also with KVM, from which a run may fall back. */
	const bool tcg = conf->accel == ACCEL_TCG || conf->accel_may_fall_back;
	struct qemu_version version = {.major = 0};
	int r;

	if (vhost ? !tcg && !conf->hooks
		  : !own && options->machine.network != MACHINE_NETWORK_USERSPACE_SHARED)
		return;
	r = qemu_version_ask(options->qemu, &version);
	if (r < 0)
		log_debug("%s doesn't tell its version: %s", options->qemu, strerror(-r));
	conf->qemu_tcg_needs_intx = vhost && tcg &&
				    !qemu_version_is(&version, QEMU_MAJOR_WITHOUT_CRASH, 0);
	conf->qemu_reconnect_ms = qemu_version_is(&version, 9, 2);
}

/* What the machine is started with, and the way to the terminal that it was started at. */
struct run {
	struct state_dir dir;
	struct prepared prepared;
	struct daemon daemon;
	const struct managed_run *managed; /* or NULL: in the foreground, or -detached */
};

static void on_running(void *arg)
{
	struct run *run = arg;

	if (run->daemon.report_fd >= 0)
		printf("%d\n", getpid());
	fflush(stdout);
	daemon_report(&run->daemon, 0);
}

/* With the machine's directory locked: makes what is missing, and runs. */
static int run_in(const struct run_options *options, struct run *run)
{
	struct problem problem;
	struct supervisor_conf conf = {
		.machine = &options->machine,
		.dir = run->dir.path,
		.qemu = options->qemu,
		.netproxy = options->netproxy,
		.virtiofsd = options->virtiofsd,
		.accel_may_fall_back = options->accel == ACCEL_WISH_AUTO,
		.stop_timeout_ms = options->stop_timeout_s * 1000,
		.prepared = &run->prepared,
		.running = on_running,
		.running_arg = run,
	};
	int console_file = -1, lease = -1, status, r;

	if (run->managed) {
		conf.hooks = run->managed->hooks;
		conf.hooks_arg = run->managed->arg;
		conf.qemu_extra = run->managed->extra;
		conf.unplugged = run->managed->unplugged;
		conf.running = NULL;
	}
	log_info("sockets and netproxy's log are in %s", run->dir.path);
	if (choose_accel(options, &conf.accel, &problem) < 0 ||
	    shared_lease_take(&options->machine, &lease, &problem) < 0)
		return refuse(&problem);
	r = prepare_machine(&options->machine, run->dir.path, &run->prepared, &problem);
	learn_version(options, &conf);
	if (r == 0)
		r = open_console(options, &conf, &console_file, &problem);
	if (run->managed)
		conf.console_in_fd = conf.console_out_fd = run->managed->console_fd;
	if (r < 0)
		status = refuse(&problem);
	else
		status = supervisor_run(&conf);
	fd_close(&lease);
	fd_close(&console_file);
	return status;
}

static int run(const struct run_options *options)
{
	struct run run = {.daemon = {.report_fd = -1, .log_fd = -1}};
	struct problem problem;
	char log_path[PATH_MAX];
	int status;

	if (options->detached) {
		int r = daemon_fork(&run.daemon, &status, &problem);

		if (r != 0)
			return r < 0 ? refuse(&problem) : status;
	}
	supervisor_hold_signals();
	if (state_dir_open(&run.dir, options->state_dir, &problem) < 0)
		return refuse(&problem);
	snprintf(log_path, sizeof(log_path), "%.*s/" DAEMON_LOG, PATH_MAX / 2, run.dir.path);
	if (options->detached)
		daemon_log(&run.daemon, log_path);
	status = run_in(options, &run);
	state_dir_close(&run.dir);
	return status;
}

int run_managed(const struct run_options *options, const char *dir,
		const struct managed_run *managed)
{
	struct run run = {.daemon = {.report_fd = -1, .log_fd = -1}, .managed = managed};

	snprintf(run.dir.path, sizeof(run.dir.path), "%s", dir);
	return run_in(options, &run);
}

int command_run(int argc, char *const *argv)
{
	struct run_options options;
	struct problem problem;
	int r, status = RUN_REFUSED;

	log_set_levels("warn");
	r = run_options_parse(argc, argv, &options, &problem);
	if (r == FLAGS_HELP) {
		run_options_help(stdout);
		status = 0;
	} else if (r < 0) {
		refuse(&problem);
		fputs("\"netproxy-vm run -help\" explains every flag.\n", stderr);
	} else if (run_options_complete(&options, &problem) < 0) {
		refuse(&problem);
	} else {
		status = run(&options);
	}
	run_options_clear(&options);
	return status;
}
