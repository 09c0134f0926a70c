/* SPDX-License-Identifier: Apache-2.0 */
/* See machine_control.h: what is done to a machine that runs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "launcher/machine_control_private.h"

LOG_MODULE("netproxy-vm");

#define DEVICE_TIMEOUT_MS     10000
#define DEVICE_TIMEOUT_TCG_MS 30000
/* A guest that boots doesn't notice that it is to let go of a device. QEMU asks it again when 5 s
 * have passed. */
#define HEAL_TIMEOUT_MS 6000
#define HEAL_AGAIN_MS   500

unsigned control_device_timeout_ms(const struct control *c)
{
	return supervisor_accel(c->supervisor) == ACCEL_TCG ? DEVICE_TIMEOUT_TCG_MS
							    : DEVICE_TIMEOUT_MS;
}

int control_check_rule(struct control *c, enum machine_action action, struct problem *problem)
{
	const char *why = machine_rule(control_state(c), action);

	if (!why && c->busy == BUSY_HEAL &&
	    (action == ACTION_SNAPSHOT_SAVE || action == ACTION_SNAPSHOT_DELETE ||
	     action == ACTION_PAUSE))
		why = "its netproxy was started again, and it is being connected to that: try "
		      "again in a moment";
	return why ? problem_set(problem, -EBUSY, "%s: %s", c->conf.place->name, why) : 0;
}

int control_stop(struct control *c, bool force, struct problem *problem)
{
	int r = control_check_rule(c, force ? ACTION_KILL : ACTION_STOP, problem);

	if (r == 0)
		supervisor_stop(c->supervisor, force);
	return r;
}

void control_on_command(void *arg, int status, struct json_object *value, const char *error)
{
	(void)value;
	if (status < 0)
		rest_answer_error(arg, 500, error);
	else
		rest_answer(arg, 202, NULL);
}

int control_command(struct control *c, const char *name, struct json_object *arguments,
		    qmp_reply_fn *reply, struct rest_later *later, struct problem *problem)
{
	int r;

	if (!c->vm) {
		json_object_put(arguments);
		return problem_set(problem, -EBUSY, "%s: QEMU doesn't answer yet",
				   c->conf.place->name);
	}
	r = vm_execute(c->vm, name, arguments, reply, later);
	return r < 0 ? problem_set(problem, r, "can't ask QEMU: %s", strerror(-r)) : 0;
}

/* The guest's clock stood still: QEMU is not to make up for lost ticks, and the guest's agent,
 * where there is one, sets the time. */
static void set_clock(struct control *c)
{
	if (c->machine->arch == MACHINE_ARCH_X86_64)
		vm_execute(c->vm, "rtc-reset-reinjection", NULL, NULL, NULL);
	guest_clock_set(c->clock);
}

static void on_resumed(void *arg, int status, struct json_object *value, const char *error)
{
	struct control *c = rest_control(arg);

	if (status == 0) {
		control_event(c, "resumed", NULL);
		set_clock(c);
		control_heal(c);
	}
	control_on_command(arg, status, value, error);
}

static void on_paused(void *arg, int status, struct json_object *value, const char *error)
{
	if (status == 0)
		control_event(rest_control(arg), "paused", NULL);
	control_on_command(arg, status, value, error);
}

int control_pause(struct control *c, bool pause, struct rest_later *later, struct problem *problem)
{
	int r = control_check_rule(c, pause ? ACTION_PAUSE : ACTION_RESUME, problem);

	if (r < 0)
		return r;
	return control_command(c, pause ? "stop" : "cont", NULL, pause ? on_paused : on_resumed,
			       later, problem);
}

static void on_balloon(void *arg, int status, struct json_object *value, const char *error)
{
	struct json_object *actual, *object;

	if (status < 0 || !json_object_object_get_ex(value, "actual", &actual)) {
		rest_answer_error(arg, 500, status < 0 ? error : "QEMU doesn't tell");
		return;
	}
	object = json_object_new_object();
	json_object_object_add(object, "bytes", json_object_get(actual));
	rest_answer(arg, 200, object);
}

static int check_balloon(struct control *c, struct problem *problem)
{
	if (!c->machine->balloon)
		return problem_set(
			problem, -ENOTSUP,
			"%s has no balloon: \"netproxy-vm set %s -balloon SIZE\" gives it "
			"one for the next start",
			c->conf.place->name, c->conf.place->name);
	return control_check_rule(c, ACTION_BALLOON, problem);
}

int control_balloon_get(struct control *c, struct rest_later *later, struct problem *problem)
{
	int r = check_balloon(c, problem);

	return r < 0 ? r : control_command(c, "query-balloon", NULL, on_balloon, later, problem);
}

int control_balloon_set(struct control *c, uint64_t bytes, struct rest_later *later,
			struct problem *problem)
{
	uint64_t min = c->conf.settings->balloon_min_bytes, max = c->machine->mem_bytes;
	struct json_object *arguments;
	int r = check_balloon(c, problem);

	if (r < 0)
		return r;
	if (bytes < min || bytes > max)
		return problem_set(problem, -ERANGE,
				   "%s can be left with %" PRIu64 "M (-balloon-min) to %" PRIu64
				   "M (-mem)",
				   c->conf.place->name, min >> 20, max >> 20);
	arguments = json_object_new_object();
	json_object_object_add(arguments, "value", json_object_new_int64((int64_t)bytes));
	return control_command(c, "balloon", arguments, control_on_command, later, problem);
}

/* What was begun has ended; `failure` says how, where it failed. */
static void finish_op(struct control *c)
{
	struct rest_later *later = c->later;

	c->busy = BUSY_NOT;
	c->later = NULL;
	if (c->failure.text[0])
		log_error("%s", c->failure.text);
	if (later && c->failure.text[0])
		rest_answer_error(later, 500, c->failure.text);
	else if (later)
		rest_answer(later, 200, snapshot_json(&c->snapshot));
	if (c->vm && (c->net_lost || c->plug_wanted))
		loop_timer_set(c->heal_timer, 0);
}

static void healed(struct control *c)
{
	bool net = !c->healing || (c->healing & PLUG_NET), vsock = c->healing & PLUG_VSOCK;

	c->plug_wanted &= ~c->healing;
	c->heal_told = false;
	if (net) {
		c->net_lost = false;
		log_info("the network is back");
		control_event(c, "network-back", NULL);
	}
	if (vsock) {
		log_info("vsock is back");
		control_event(c, "vsock-back", NULL);
	}
}

static void on_healed(void *arg, int status, struct json_object *value, const char *error)
{
	struct control *c = arg;

	(void)value;
	c->busy = BUSY_NOT;
	if (status == 0) {
		healed(c);
		control_heal(c);
	} else if (c->vm) {
		if (!c->heal_told)
			log_warn("%s can't be %s again yet: %s",
				 c->healing & PLUG_NET || !c->healing ? "the network" : "vsock",
				 c->healing ? "plugged in" : "reached", error);
		c->heal_told = true;
		loop_timer_set(c->heal_timer, HEAL_AGAIN_MS);
	}
}

/* The network first: that needs nothing of the guest. */
void control_heal(struct control *c)
{
	bool reach = c->net_lost && !(c->plug_wanted & PLUG_NET);
	struct qemu_wiring wiring;

	if (!c->vm || c->busy != BUSY_NOT || supervisor_stopping(c->supervisor) ||
	    (!reach && (!c->plug_wanted || c->paused)))
		return;
	c->busy = BUSY_HEAL;
	supervisor_wiring(c->supervisor, &wiring);
	c->healing = reach ? 0 : c->plug_wanted;
	if (reach) {
		plug_net_back(c->script, &wiring, !c->paused);
	} else {
		plug_out(c->script, c->machine, &wiring, c->healing);
		plug_in(c->script, c->machine, &wiring, c->healing);
	}
	script_run(c->script, c->vm, HEAL_TIMEOUT_MS, on_healed, c);
}

static void on_replugged(void *arg, int status, struct json_object *value, const char *error)
{
	struct control *c = arg;
	bool restored = c->conf.restore && !c->is_ready;
	struct qemu_wiring wiring;

	(void)value;
	if (status < 0 && !c->failure.text[0])
		problem_set(&c->failure, status, "%s: its devices can't be plugged in again: %s",
			    c->conf.place->name, error);
	if (status < 0 && c->vm) {
		/* The guest goes on without them, and gets them when that is possible. */
		if (!c->was_paused)
			vm_execute(c->vm, "cont", NULL, NULL, NULL);
		supervisor_wiring(c->supervisor, &wiring);
		c->plug_wanted |= (wiring.net_vhost ? PLUG_NET : 0) |
				  (wiring.vsock_socket ? PLUG_VSOCK : 0);
	}
	if (c->vm && !c->was_paused)
		set_clock(c);
	if (!c->failure.text[0])
		control_event(c, restored ? "snapshot-restored" : "snapshot-saved",
			      c->snapshot.name);
	if (!restored && !c->failure.text[0] && snapshot_note(c->conf.place->dir, &c->snapshot) < 0)
		problem_set(&c->failure, -EIO, "%s: the snapshot's note can't be written",
			    c->conf.place->name);
	finish_op(c);
	if (restored && c->vm)
		control_became_ready(c);
	/* What there is of one that failed. */
	control_delete_forgotten(c);
}

/* Gives the guest back what it let go of, and lets it go on. */
static void replug(struct control *c)
{
	struct qemu_wiring wiring;
	struct problem problem;

	supervisor_wiring(c->supervisor, &wiring);
	c->busy = BUSY_REPLUG;
	if (supervisor_plug_volumes(c->supervisor, c->unplugged ? PLUGGED_ANEW : PLUGGED_STILL,
				    &problem) < 0)
		log_error("%s", problem.text);
	plug_in(c->script, c->machine, &wiring, PLUG_ALL);
	if (!c->was_paused)
		script_add(c->script, SCRIPT_ANSWER, NULL, "cont", NULL);
	else
		script_add(c->script, SCRIPT_ANSWER, NULL, "stop", NULL);
	if (c->failure.text[0])
		script_lenient(c->script);
	c->unplugged = false;
	script_run(c->script, c->vm, control_device_timeout_ms(c), on_replugged, c);
}

static void on_saved(void *arg, int status, struct json_object *value, const char *error)
{
	struct control *c = arg;

	c->snapshot.size_bytes = snapshot_size(value, c->snapshot.name);
	/* The guest was stopped only once it had let go. */
	c->unplugged = c->paused;
	if (status < 0)
		problem_set(&c->failure, status, "%s: the snapshot wasn't saved: %s",
			    c->conf.place->name, error);
	if (!c->vm)
		finish_op(c);
	else
		replug(c);
}

int control_save(struct control *c, const char *name, struct rest_later *later,
		 struct problem *problem)
{
	struct snapshot list[SNAPSHOTS_MAX];
	struct qemu_wiring wiring;
	struct timespec now;
	int r = control_check_rule(c, ACTION_SNAPSHOT_SAVE, problem);

	if (r == 0)
		r = snapshot_check(c->machine, problem);
	if (r < 0)
		return r;
	if (!store_name_valid(name))
		return problem_set(problem, -EINVAL,
				   "\"%.80s\" is no name for a snapshot: letters, digits, '-', '_' "
				   "and '.' make one",
				   name);
	if (snapshot_find(c->conf.place->dir, name, &list[0], problem) == 0)
		return problem_set(problem, -EEXIST,
				   "there is a snapshot \"%s\" already: delete it first", name);
	if (snapshot_list(c->conf.place->dir, list) == SNAPSHOTS_MAX)
		return problem_set(problem, -ENOTSUP, "at most %d snapshots: delete one",
				   SNAPSHOTS_MAX);
	r = snapshot_begin(c->conf.place->dir, name);
	if (r < 0)
		return problem_set(problem, r, "%s: the snapshot's note can't be written: %s",
				   c->conf.place->name, strerror(-r));
	c->busy = BUSY_SAVE;
	c->later = later;
	c->was_paused = c->paused;
	c->failure.text[0] = '\0';
	clock_gettime(CLOCK_REALTIME, &now);
	c->snapshot = (struct snapshot){
		.time_ms = now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000, .paused = c->paused};
	snprintf(c->snapshot.name, sizeof(c->snapshot.name), "%s", name);
	supervisor_wiring(c->supervisor, &wiring);
	supervisor_plug_volumes(c->supervisor, UNPLUGGED, problem);
	/* Only a guest that runs lets go of a device. */
	if (c->paused)
		script_add(c->script, SCRIPT_ANSWER, NULL, "cont", NULL);
	plug_out(c->script, c->machine, &wiring, PLUG_ALL);
	script_add(c->script, SCRIPT_ANSWER, NULL, "stop", NULL);
	snapshot_step(c->script, "snapshot-save", name, c->machine,
		      wiring.prepared && wiring.prepared->fw_vars[0]);
	script_add(c->script, SCRIPT_ANSWER, NULL, "query-named-block-nodes", NULL);
	script_run(c->script, c->vm, control_device_timeout_ms(c), on_saved, c);
	return 0;
}

static void on_loaded(void *arg, int status, struct json_object *value, const char *error)
{
	struct control *c = arg;

	(void)value;
	if (status == 0) {
		c->unplugged = true;
		replug(c);
		return;
	}
	problem_set(&c->failure, status, "%s: the snapshot \"%s\" can't be restored: %s",
		    c->conf.place->name, c->snapshot.name, error);
	finish_op(c);
	if (c->vm)
		supervisor_stop(c->supervisor, true);
}

void control_restore(struct control *c)
{
	struct qemu_wiring wiring;

	supervisor_wiring(c->supervisor, &wiring);
	log_info("restoring the snapshot \"%s\"", c->conf.restore->name);
	c->busy = BUSY_RESTORE;
	c->failure.text[0] = '\0';
	c->snapshot = *c->conf.restore;
	c->was_paused = c->conf.restore->paused;
	c->paused = true;
	snapshot_step(c->script, "snapshot-load", c->snapshot.name, c->machine,
		      wiring.prepared && wiring.prepared->fw_vars[0]);
	script_run(c->script, c->vm, control_device_timeout_ms(c), on_loaded, c);
}

static void on_deleted(void *arg, int status, struct json_object *value, const char *error)
{
	struct control *c = arg;

	(void)value;
	if (status < 0)
		problem_set(&c->failure, status, "%s: the snapshot \"%s\" can't be deleted: %s",
			    c->conf.place->name, c->snapshot.name, error);
	else
		snapshot_forget(c->conf.place->dir, c->snapshot.name, false);
	/* One that QEMU doesn't know is gone. */
	if (c->vm)
		snapshot_deleted(c->conf.place->dir, c->snapshot.name);
	finish_op(c);
	if (c->vm)
		control_delete_forgotten(c);
}

static void start_delete(struct control *c, const char *name, struct rest_later *later)
{
	struct qemu_wiring wiring;

	supervisor_wiring(c->supervisor, &wiring);
	c->busy = BUSY_DELETE;
	c->later = later;
	c->failure.text[0] = '\0';
	snprintf(c->snapshot.name, sizeof(c->snapshot.name), "%s", name);
	snapshot_step(c->script, "snapshot-delete", name, c->machine,
		      wiring.prepared && wiring.prepared->fw_vars[0]);
	script_run(c->script, c->vm, control_device_timeout_ms(c), on_deleted, c);
}

int control_delete(struct control *c, const char *name, struct rest_later *later,
		   struct problem *problem)
{
	int r = control_check_rule(c, ACTION_SNAPSHOT_DELETE, problem);
	struct snapshot snapshot;

	if (r == 0)
		r = snapshot_find(c->conf.place->dir, name, &snapshot, problem);
	if (r < 0)
		return r;
	c->snapshot = snapshot;
	start_delete(c, name, later);
	return 0;
}

void control_delete_forgotten(struct control *c)
{
	char name[MACHINE_NAME_MAX];

	if (c->vm && c->busy == BUSY_NOT && snapshot_deletable(c->conf.place->dir, name) == 0)
		start_delete(c, name, NULL);
}
