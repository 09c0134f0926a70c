/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about machines as they are kept: init, set, rm, list, inspect, status, validate and
 * cmdline. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "launcher/cmd.h"
#include "launcher/commands.h"
#include "launcher/disk_image.h"
#include "launcher/machine_args.h"
#include "launcher/snapshot.h"
#include "launcher/proxy.h"
#include "launcher/qemu_args.h"
#include "launcher/state_dir.h"

#define UNSET_MAX        32
#define CLEAN_TIMEOUT_MS 5000

/* What the flags of init and set write to; the settings come first, as their flags want it. */
struct edit {
	struct settings settings;
	const char *dir, *name;
	const char *unset[UNSET_MAX];
	size_t unset_count;
	unsigned words, paths_max;
};

static int set_edit_dir(void *target, const char *value, struct problem *problem)
{
	if (value[0] == '\0')
		return problem_set(problem, -EINVAL, "-dir: the value is empty");
	((struct edit *)target)->dir = value;
	return 0;
}

static int set_unset(void *target, const char *value, struct problem *problem)
{
	struct edit *edit = target;

	if (edit->unset_count == UNSET_MAX)
		return problem_set(problem, -E2BIG, "-unset: at most %d", UNSET_MAX);
	edit->unset[edit->unset_count++] = value;
	return 0;
}

static int add_word(void *target, const char *text, struct problem *problem)
{
	struct edit *edit = target;

	if (edit->words++ == 0)
		edit->name = text;
	else if (edit->words > edit->paths_max + 1)
		return problem_set(problem, -EINVAL,
				   "one NAME%s only: \"%.80s\" is too much (a value with blanks "
				   "needs quotes)",
				   edit->paths_max ? " and one PATH" : "", text);
	return 0;
}

/* The description's flags with -dir, and for set -unset. Returns how many. */
static size_t edit_flags(struct flag *to, bool unset)
{
	size_t count;
	const struct flag *flags = description_flags(&count);

	memcpy(to, flags, count * sizeof(*flags));
	to[count++] = (struct flag){"dir", "DIR",
				    "The machine's directory. Default: NAME in "
				    "$XDG_STATE_HOME/netproxy-vm or ~/.local/state/netproxy-vm.",
				    set_edit_dir};
	if (unset)
		to[count++] = (struct flag){"unset", "KEY",
					    "Takes a key out of the description. May be repeated.",
					    set_unset};
	return count;
}

static int parse_edit(int argc, char *const *argv, struct flag *flags, size_t count,
		      struct edit *edit, struct problem *problem)
{
	int r;

	log_set_levels("warn");
	machine_init(&edit->settings.run.machine);
	r = flags_parse(flags, count, argc, argv, edit, add_word, problem);
	run_options_clear(&edit->settings.run);
	return r;
}

/* Checks a changed description as a whole, and writes it. */
static int check_and_save(const struct store_place *place, struct json_object *object,
			  struct problem *problem)
{
	struct settings settings;
	int r = description_options(object, place, &settings, problem);

	run_options_clear(&settings.run);
	return r < 0 ? r : description_save(place, object, problem);
}

/* Checks the description and what it names on this host, as start does. `running`: its ports and
 * disks are in use, and so the host isn't asked. Changes to the machine's directory. */
static int check_on_host(const struct store_place *place, bool running, struct problem *problem)
{
	struct settings settings;
	int r = cmd_settings(place, &settings, problem);

	if (r == 0 && chdir(place->dir) < 0)
		r = problem_set(problem, -errno, "%s: %s", place->dir, strerror(errno));
	if (r == 0 && !running)
		r = run_options_complete(&settings.run, problem);
	run_options_clear(&settings.run);
	return r;
}

/* What a machine needs may come later, so that it is no error if it isn't there yet. */
static void warn_of_start(const struct store_place *place)
{
	struct problem problem;

	if (check_on_host(place, false, &problem) < 0)
		fprintf(stderr, "netproxy-vm: as things are, %s would not start: %s\n", place->name,
			problem.text);
}

static int init_in(const struct store_place *place, struct json_object *object,
		   struct problem *problem)
{
	struct store_place real = *place;
	char path[PATH_MAX];
	int r, lock;

	r = store_make(place->dir, problem);
	if (r < 0)
		return r;
	if (!realpath(place->dir, real.dir))
		return problem_set(problem, -errno, "%s: %s", place->dir, strerror(errno));
	r = state_dir_check_path(real.dir, problem);
	if (r < 0) {
		rmdir(real.dir);
		return r;
	}
	lock = store_lock_edit(real.dir);
	if (lock < 0)
		return problem_set(problem, lock, "can't make files in %s: %s", real.dir,
				   strerror(-lock));
	if (store_path(real.dir, STORE_DESCRIPTION, path) == 0 && access(path, F_OK) == 0)
		r = problem_set(problem, -EEXIST,
				"there is a machine \"%s\" already: change it with \"set\", or "
				"remove it with \"rm\"",
				place->name);
	else
		r = check_and_save(&real, object, problem);
	if (r < 0 && r != -EEXIST) {
		if (store_path(real.dir, STORE_EDIT_LOCK, path) == 0)
			unlink(path);
		rmdir(real.dir);
	}
	close(lock);
	return r;
}

int command_init(int argc, char *const *argv)
{
	static const char *const skip[] = {"dir", NULL};
	struct flag flags[DESCRIPTION_KEYS_MAX + 2];
	size_t count = edit_flags(flags, false);
	struct edit edit = {.paths_max = 1};
	struct json_object *object;
	struct store_place place;
	struct problem problem;
	int r = parse_edit(argc, argv, flags, count, &edit, &problem);

	if (r == FLAGS_HELP) {
		puts("usage: netproxy-vm init [FLAGS] NAME [PATH]\n\n"
		     "Makes a machine of these flags, which are those of \"run\" and some more. It is\n"
		     "kept as machine.json in its directory, where each flag is a key.\n");
		flags_print_help(flags, count, stdout);
		return 0;
	}
	if (r < 0 || (r = store_locate(edit.name, edit.dir, &place, &problem)) < 0)
		return cmd_refuse(&problem);
	object = description_new();
	r = object ? description_merge(object, argc, argv, flags, count, skip, 1, &problem)
		   : problem_set(&problem, -ENOMEM, "out of memory");
	if (r == 0)
		r = init_in(&place, object, &problem);
	json_object_put(object);
	if (r < 0)
		return cmd_refuse(&problem);
	warn_of_start(&place);
	return 0;
}

static int set_in(const struct store_place *place, const struct edit *edit, int argc,
		  char *const *argv, const struct flag *flags, size_t count,
		  struct problem *problem)
{
	static const char *const skip[] = {"dir", "unset", NULL};
	struct json_object *object;
	int r = description_load(place, &object, problem);

	if (r < 0)
		return r;
	for (size_t i = 0; i < edit->unset_count; i++) {
		if (!json_object_object_get_ex(object, edit->unset[i], NULL) ||
		    strcmp(edit->unset[i], "version") == 0)
			fprintf(stderr, "netproxy-vm: %s has no \"%.80s\" to unset\n", place->name,
				edit->unset[i]);
		else
			json_object_object_del(object, edit->unset[i]);
	}
	r = description_merge(object, argc, argv, flags, count, skip, 1, problem);
	if (r == 0)
		r = check_and_save(place, object, problem);
	json_object_put(object);
	return r;
}

int command_set(int argc, char *const *argv)
{
	struct flag flags[DESCRIPTION_KEYS_MAX + 2];
	size_t count = edit_flags(flags, true);
	struct edit edit = {.paths_max = 1};
	struct store_place place;
	struct problem problem;
	struct cmd_view view;
	int r = parse_edit(argc, argv, flags, count, &edit, &problem), lock;

	if (r == FLAGS_HELP) {
		puts("usage: netproxy-vm set [FLAGS] NAME [PATH]\n\n"
		     "Changes a machine's description, for its next start. A flag that may be repeated\n"
		     "replaces all that there were.\n");
		flags_print_help(flags, count, stdout);
		return 0;
	}
	if (r < 0 || (r = store_find(edit.name, edit.dir, &place, &problem)) < 0)
		return cmd_refuse(&problem);
	lock = store_lock_edit(place.dir);
	if (lock < 0) {
		problem_set(&problem, lock, "can't lock %s: %s", place.dir, strerror(-lock));
		return cmd_refuse(&problem);
	}
	r = set_in(&place, &edit, argc, argv, flags, count, &problem);
	close(lock);
	if (r < 0)
		return cmd_refuse(&problem);
	cmd_look(&place, &view);
	if (view.pid > 0)
		fprintf(stderr, "netproxy-vm: %s is running: this is for its next start\n",
			place.name);
	else
		warn_of_start(&place);
	cmd_view_clear(&view);
	return 0;
}

static int rm_machine(const struct cmd *cmd, const struct store_place *place)
{
	struct problem problem;
	struct state_dir lock;
	int r, edit;

	if (cmd->force && cmd_stop(place, true, 0) != 0)
		return 1;
	r = state_dir_open(&lock, place->dir, &problem);
	if (r == -EBUSY)
		problem_set(&problem, r, "%s: %s", place->name,
			    machine_rule(MACHINE_RUNNING, ACTION_REMOVE));
	if (r < 0)
		return cmd_refuse(&problem);
	/* Else "set" could write the description anew. */
	edit = store_lock_edit(place->dir);
	store_clean(place->dir, CLEAN_TIMEOUT_MS);
	r = store_remove(place->dir, &problem);
	fd_close(&edit);
	state_dir_close(&lock);
	return r < 0 ? cmd_refuse(&problem) : 0;
}

struct listing {
	bool json;
	struct json_object *array;
	unsigned count;
};

static int list_one(void *arg, const struct store_place *place)
{
	struct listing *listing = arg;
	struct settings settings;
	struct problem problem;
	struct cmd_view view;

	cmd_look(place, &view);
	if (listing->json) {
		json_object_array_add(listing->array, cmd_view_json(place, &view));
	} else {
		int r = cmd_settings(place, &settings, &problem);

		if (listing->count++ == 0)
			printf("%-20s %-9s %5s %8s %8s\n", "NAME", "STATE", "CPUS", "MEMORY",
			       "PID");
		printf("%-20s %-9s ", place->name, machine_state_name(view.state));
		if (r < 0)
			printf("%5s %8s ", "?", "?");
		else
			printf("%5u %7" PRIu64 "M ", settings.run.machine.cpus,
			       settings.run.machine.mem_bytes >> 20);
		if (view.pid > 0)
			printf("%8d\n", view.pid);
		else
			printf("%8s\n", "-");
		run_options_clear(&settings.run);
	}
	cmd_view_clear(&view);
	return 0;
}

static int list_machines(const struct cmd *cmd, const struct store_place *place)
{
	struct listing listing = {.json = cmd->json, .array = json_object_new_array()};
	struct problem problem;
	int r = store_each(list_one, &listing, &problem);

	(void)place;
	if (r == 0 && cmd->json)
		cmd_print_json(json_object_get(listing.array));
	json_object_put(listing.array);
	return r < 0 ? cmd_refuse(&problem) : 0;
}

int command_list(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "list [-format json]",
		.help = "Lists the machines in $XDG_STATE_HOME/netproxy-vm or "
			"~/.local/state/netproxy-vm.",
		.flags = CMD_FORMAT,
		.no_machine = true,
	};

	return cmd_run(argc, argv, &spec, list_machines);
}

static int status_machine(const struct cmd *cmd, const struct store_place *place)
{
	struct cmd_view view;

	cmd_look(place, &view);
	if (cmd->json)
		cmd_print_json(cmd_view_json(place, &view));
	else
		printf("%s%s%s\n", machine_state_name(view.state), view.why[0] ? ": " : "",
		       view.why);
	cmd_view_clear(&view);
	if (view.state == MACHINE_RUNNING || view.state == MACHINE_PAUSED ||
	    view.state == MACHINE_SAVING)
		return 0;
	return view.state == MACHINE_STOPPED || view.state == MACHINE_CRASHED ? 3 : 4;
}

static int inspect_machine(const struct cmd *cmd, const struct store_place *place)
{
	static const struct {
		const char *key, *file;
	} files[] = {{"rest", STORE_REST},
		     {"console", STORE_CONSOLE},
		     {"console_log", STORE_CONSOLE_LOG},
		     {"log", STORE_LOG},
		     {"api", PROXY_API_SOCKET},
		     {"vsock", PROXY_VSOCK_SOCKET},
		     {"qmp", QEMU_MONITOR_SOCKET}};
	struct json_object *object, *description, *paths = json_object_new_object();
	struct problem problem;
	struct cmd_view view;
	char path[PATH_MAX];

	(void)cmd;
	if (description_load(place, &description, &problem) < 0)
		return cmd_refuse(&problem);
	cmd_look(place, &view);
	object = cmd_view_json(place, &view);
	cmd_view_clear(&view);
	json_object_object_add(object, "description", description);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (store_path(place->dir, files[i].file, path) == 0)
			json_object_object_add(paths, files[i].key, json_object_new_string(path));
	json_object_object_add(object, "paths", paths);
	json_object_object_add(object, "snapshots", snapshot_list_json(place->dir));
	cmd_print_json(object);
	return 0;
}

static int validate_machine(const struct cmd *cmd, const struct store_place *place)
{
	struct problem problem;
	struct cmd_view view;

	(void)cmd;
	cmd_look(place, &view);
	cmd_view_clear(&view);
	return check_on_host(place, view.pid > 0, &problem) < 0 ? cmd_refuse(&problem) : 0;
}

static int cmdline_machine(const struct cmd *cmd, const struct store_place *place)
{
	struct args args = {.count = 0}, extra = {.count = 0};
	char net[PATH_MAX], vsock[PATH_MAX];
	struct settings settings;
	struct problem problem;
	char *line = NULL;
	int r;

	(void)cmd;
	r = cmd_settings(place, &settings, &problem);
	if (r == 0 && store_path(place->dir, PROXY_NET_SOCKET, net) == 0 &&
	    store_path(place->dir, PROXY_VSOCK_SOCKET, vsock) == 0) {
		const struct machine *m = &settings.run.machine;
		struct qemu_wiring wiring = {
			.qemu = settings.run.qemu ? settings.run.qemu : "qemu-system-x86_64",
			.accel = settings.run.accel == ACCEL_WISH_KVM ? ACCEL_KVM : ACCEL_TCG,
			.dir = place->dir,
			.hotplug = true,
			.net_socket = m->network == MACHINE_NETWORK_USERSPACE_SHARED
					      ? m->network_socket
				      : machine_has_proxy(m) ? net
							     : NULL,
			.net_vhost = machine_has_proxy(m) &&
				     m->net_device == MACHINE_NET_DEVICE_VHOST,
			.vsock_socket = machine_has_proxy(m) ? vsock : NULL,
			.qmp_fd = 3,
			.console_fd = 4,
			.extra = &extra,
		};

		qemu_wiring_way_back(&wiring);
		for (size_t i = 0; i < m->disk_count; i++)
			disk_complete(&settings.run.machine.disks[i]);
		machine_args_add(&extra, place->dir, &settings.ready, false);
		if (qemu_args_build(m, &wiring, &args) == 0)
			line = args_shell_line(&args);
		if (line)
			puts(line);
		free(line);
	}
	args_clear(&args);
	args_clear(&extra);
	run_options_clear(&settings.run);
	return r < 0 ? cmd_refuse(&problem) : 0;
}

int command_rm(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "rm [-force] NAME",
		.help = "Removes a machine with its directory: what it has there, snapshots too. Disks\n"
			"elsewhere stay. -force kills one that runs.",
		.flags = CMD_FORCE,
		.words_min = 1,
		.words_max = 1,
	};

	return cmd_run(argc, argv, &spec, rm_machine);
}

int command_status(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "status [-format json] NAME",
		.help = "Says what a machine is doing. The exit status is 0 when it runs (and is ready,\n"
			"or paused), 3 when it doesn't, 4 when it is on its way.",
		.flags = CMD_FORMAT,
		.words_min = 1,
		.words_max = 1,
	};

	return cmd_run(argc, argv, &spec, status_machine);
}

int command_inspect(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "inspect NAME",
		.help = "Prints all about a machine as JSON: its description, its state, its sockets.",
		.flags = CMD_FORMAT,
		.words_min = 1,
		.words_max = 1,
	};

	return cmd_run(argc, argv, &spec, inspect_machine);
}

int command_validate(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "validate NAME",
		.help = "Checks a machine's description and what it names on this host, as start does.",
		.words_min = 1,
		.words_max = 1,
	};

	return cmd_run(argc, argv, &spec, validate_machine);
}

int command_cmdline(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "cmdline NAME",
		.help = "Prints the QEMU command line that start would use, for a shell. (The numbers of\n"
			"inherited sockets are missing from it, and what is made at the start.)",
		.words_min = 1,
		.words_max = 1,
	};

	return cmd_run(argc, argv, &spec, cmdline_machine);
}
