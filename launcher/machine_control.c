/* SPDX-License-Identifier: Apache-2.0 */
/* See machine_control.h: the run, from its begin to its end. */
#include "launcher/machine_control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sock.h"
#include "launcher/machine_args.h"
#include "launcher/machine_control_private.h"

LOG_MODULE("netproxy-vm");

/* How long a guest may boot that doesn't say when it's ready. */
#define BOOT_MS 60000

static void now_text(char to[static 32])
{
	time_t now = time(NULL);
	struct tm tm;

	strftime(to, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
}

/* Appends a line to a log that is started anew when it has grown. */
static void append_line(const char *dir, const char *name, const char *line)
{
	char path[PATH_MAX], before[PATH_MAX + 3];
	struct stat st;
	int fd;

	if (store_path(dir, name, path) < 0)
		return;
	snprintf(before, sizeof(before), "%s.1", path);
	if (stat(path, &st) == 0 && st.st_size > CONTROL_EVENTS_MAX && rename(path, before) < 0)
		log_debug("can't keep %s: %s", before, strerror(errno));
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || dprintf(fd, "%s\n", line) < 0)
		log_debug("can't write %s: %s", path, strerror(errno));
	fd_close(&fd);
}

void control_event(struct control *c, const char *event, const char *detail)
{
	struct json_object *object;
	char now[32];

	now_text(now);
	object = plug_object("time", now, "event", event, NULL);
	if (detail)
		json_object_object_add(object, "detail", json_object_new_string(detail));
	append_line(c->conf.place->dir, STORE_EVENTS,
		    json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
	json_object_put(object);
}

void control_became_ready(struct control *c)
{
	if (c->is_ready)
		return;
	c->is_ready = true;
	loop_timer_cancel(c->ready_timer);
	log_info("%s is ready, after %.1f s", c->conf.place->name,
		 (double)(clock_ms() - c->start_ms) / 1000);
	control_event(c, "ready", NULL);
	daemon_report(c->conf.daemon, 0);
	control_delete_forgotten(c);
}

static void on_ready(void *arg)
{
	control_became_ready(arg);
}

static void on_ready_timer(void *arg)
{
	struct control *c = arg;
	char text[READY_TEXT_MAX + 64];

	log_error(
		"%s runs, but is not ready after %u s: there was not %s. It goes on; \"netproxy-vm "
		"console %s\" shows more, \"netproxy-vm stop %s\" ends it",
		c->conf.place->name,
		(unsigned)(ready_timeout_ms(c->conf.settings->ready_timeout_s,
					    supervisor_accel(c->supervisor) == ACCEL_TCG) /
			   1000),
		ready_describe(&c->conf.settings->ready, text, sizeof(text)), c->conf.place->name,
		c->conf.place->name);
	supervisor_show_console(c->supervisor);
	control_event(c, "not-ready", text);
	daemon_report(c->conf.daemon, RUN_QEMU_FAILED);
}

static void on_console(void *arg, const char *data, size_t size)
{
	struct control *c = arg;

	ready_console(c->ready, data, size);
}

static void on_heal_timer(void *arg)
{
	control_heal(arg);
}

static int begin(void *arg, struct supervisor *supervisor, struct loop *loop)
{
	struct control *c = arg;
	const char *dir = c->conf.place->dir;
	struct problem problem;
	char path[PATH_MAX];
	int r;

	c->supervisor = supervisor;
	c->loop = loop;
	r = store_path(dir, MACHINE_QGA_SOCKET, path);
	if (r == 0)
		r = guest_clock_new(loop, path, &c->clock);
	if (r == 0)
		r = store_path(dir, STORE_REST, path);
	if (r == 0)
		r = loop_timer_new(loop, on_ready_timer, c, &c->ready_timer);
	if (r == 0)
		r = loop_timer_new(loop, on_heal_timer, c, &c->heal_timer);
	if (r == 0)
		r = script_new(loop, &c->script);
	if (r < 0)
		problem_set(&problem, r, "can't set up the machine's supervisor: %s", strerror(-r));
	if (r == 0)
		r = ready_new(loop, &c->conf.settings->ready, c->machine, dir, on_ready, c,
			      &c->ready, &problem);
	if (r == 0) {
		r = machine_console_new(loop, c->conf.console_fd, dir, on_console, c, &c->console,
					&problem);
		c->conf.console_fd = -1;
	}
	if (r == 0)
		r = rest_new(loop, path, c, &c->rest, &problem);
	if (r < 0)
		log_error("%s", problem.text);
	else
		control_event(c, "starting", NULL);
	return r;
}

static void guest_up(void *arg, struct vm *vm)
{
	struct control *c = arg;
	char text[READY_TEXT_MAX + 64];
	bool emulated = supervisor_accel(c->supervisor) == ACCEL_TCG;

	c->vm = vm;
	if (c->conf.restore) {
		control_restore(c);
		return;
	}
	if (c->conf.settings->ready.kind != READY_NONE)
		log_info("waiting for %s",
			 ready_describe(&c->conf.settings->ready, text, sizeof(text)));
	loop_timer_set(c->ready_timer,
		       ready_timeout_ms(c->conf.settings->ready_timeout_s, emulated));
	ready_guest_up(c->ready);
	control_heal(c);
}

/* A netproxy that others run has gone; of our own the supervisor knows. */
static void shared_proxy_gone(struct control *c)
{
	control_event(c, "network-lost", NULL);
	log_warn("the shared netproxy hung up: trying to reach it again");
	c->net_lost = true;
	c->heal_told = false;
	control_heal(c);
}

/* The guest was asked to let go of a device for a snapshot, and does so only now that the snapshot
 * has failed; or has thrown it out by itself. */
static void device_gone(struct control *c, struct json_object *data)
{
	struct json_object *value = NULL;
	const char *id = json_object_object_get_ex(data, "device", &value)
				 ? json_object_get_string(value)
				 : NULL;
	unsigned device = !id                                  ? 0
			  : strcmp(id, QEMU_NET_DEVICE) == 0   ? PLUG_NET
			  : strcmp(id, QEMU_VSOCK_DEVICE) == 0 ? PLUG_VSOCK
							       : 0;

	/* What is being plugged in anew was to go. */
	if (!device || (c->busy == BUSY_HEAL && (c->healing & device)))
		return;
	log_warn("the guest let go of %s: plugging it in again",
		 device == PLUG_NET ? "its network device" : "vsock");
	c->plug_wanted |= device;
	c->heal_told = false;
	control_heal(c);
}

static void guest_event(void *arg, const char *name, struct json_object *data)
{
	struct control *c = arg;

	script_event(c->script, name, data);
	/* Healing stops the guest for a moment. */
	if (strcmp(name, "STOP") == 0)
		c->paused = c->busy != BUSY_HEAL;
	else if (strcmp(name, "RESUME") == 0)
		c->paused = false;
	else if (strcmp(name, "NETDEV_STREAM_DISCONNECTED") == 0 &&
		 !machine_has_proxy(c->machine) && !c->net_lost)
		shared_proxy_gone(c);
	else if (strcmp(name, "DEVICE_DELETED") == 0 && c->busy != BUSY_SAVE)
		device_gone(c, data);
}

static void guest_gone(void *arg)
{
	struct control *c = arg;

	c->vm = NULL;
	c->paused = c->resizing = c->net_lost = false;
	c->plug_wanted = 0;
	script_gone(c->script);
}

/* Whether the guest's driver may have started while netproxy was away. */
static bool booting(const struct control *c)
{
	return !c->is_ready ||
	       (c->conf.settings->ready.kind == READY_NONE && clock_ms() - c->start_ms < BOOT_MS);
}

static void proxy_back(void *arg)
{
	struct control *c = arg;
	struct qemu_wiring wiring;

	supervisor_wiring(c->supervisor, &wiring);
	control_event(c, "netproxy-restarted", NULL);
	c->net_lost = true;
	c->plug_wanted |= PLUG_VSOCK;
	/* QEMU 7.2 tells the one that it connects to again which features the driver had when the
	 * one before went: of a driver that came later it knows none, and nothing but a new device
	 * helps. */
	if (wiring.net_vhost && !wiring.reconnect_ms && booting(c))
		c->plug_wanted |= PLUG_NET;
	c->heal_told = false;
	control_heal(c);
}

static void ended(void *arg, enum run_status status, const char *why)
{
	struct control *c = arg;
	char path[PATH_MAX], now[32];
	struct json_object *object;
	const char *text;

	now_text(now);
	object = plug_object("time", now, "why", why, NULL);
	json_object_object_add(object, "status", json_object_new_int(status));
	text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
	if (store_path(c->conf.place->dir, STORE_END, path) == 0 &&
	    store_write(path, text, strlen(text)) < 0)
		log_warn("can't write %s", path);
	json_object_put(object);
	control_event(c, "stopped", why);
}

static void end(void *arg)
{
	struct control *c = arg;

	rest_free(c->rest);
	machine_console_free(c->console);
	ready_free(c->ready);
	guest_clock_free(c->clock);
	script_free(c->script);
	loop_timer_free(c->heal_timer);
	loop_timer_free(c->ready_timer);
	c->rest = NULL;
	c->console = NULL;
	c->ready = NULL;
	c->clock = NULL;
	c->script = NULL;
	c->heal_timer = c->ready_timer = NULL;
}

const struct supervisor_hooks control_hooks = {.begin = begin,
					       .guest_up = guest_up,
					       .guest_event = guest_event,
					       .guest_gone = guest_gone,
					       .proxy_back = proxy_back,
					       .ended = ended,
					       .end = end};

struct control *control_new(const struct control_conf *conf)
{
	struct control *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->conf = *conf;
	c->machine = &conf->settings->run.machine;
	c->start_ms = clock_ms();
	return c;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	fd_close(&control->conf.console_fd);
	free(control);
}

enum machine_state control_state(const struct control *c)
{
	return machine_state_of(&(struct machine_facts){
		.locked = true,
		.answers = true,
		.guest_runs = c->vm != NULL,
		.ready = c->is_ready,
		.paused = c->paused,
		.stopping = supervisor_stopping(c->supervisor),
		.busy = c->busy != BUSY_NOT && c->busy != BUSY_HEAL,
	});
}

const struct machine *control_machine(const struct control *control)
{
	return control->machine;
}

const char *control_dir(const struct control *control)
{
	return control->conf.place->dir;
}

struct json_object *control_status(struct control *c)
{
	struct json_object *object = plug_object("name", c->conf.place->name, "dir",
						 c->conf.place->dir, "state",
						 machine_state_name(control_state(c)), NULL);

	json_object_object_add(object, "pid", json_object_new_int(getpid()));
	json_object_object_add(object, "ready", json_object_new_boolean(c->is_ready));
	json_object_object_add(object, "accel",
			       json_object_new_string(accel_name(supervisor_accel(c->supervisor))));
	json_object_object_add(object, "seconds",
			       json_object_new_int64((int64_t)((clock_ms() - c->start_ms) / 1000)));
	json_object_object_add(object, "cpus", json_object_new_int((int)c->machine->cpus));
	json_object_object_add(object, "memory_bytes",
			       json_object_new_int64((int64_t)c->machine->mem_bytes));
	json_object_object_add(object, "network",
			       json_object_new_string(c->machine->network == MACHINE_NETWORK_NONE
							      ? "none"
						      : control_net_lost(c) ? "lost"
									    : "up"));
	return object;
}
