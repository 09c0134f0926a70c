/* SPDX-License-Identifier: Apache-2.0 */
/* See supervisor.h. */
#include "launcher/supervisor.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "launcher/proxy.h"
#include "launcher/volume.h"
#include "launcher/vsock_ports.h"

LOG_MODULE("netproxy-vm");

#define POWER_REPEAT_MS    5000 /* a guest that was still booting gets another chance */
#define QUIT_TIMEOUT_MS    3000 /* for QEMU to write its disks' caches */
#define PROGRESS_EVERY_MS  250
#define PROXY_AGAIN_MS     100 /* the first time; then twice as long each */
#define PROXY_AGAIN_MAX_MS 5000
#define PROXY_LIVED_MS     60000 /* one that lived so long begins anew */

enum phase {
	PHASE_PROXY,     /* waiting for netproxy */
	PHASE_GUEST,     /* QEMU runs */
	PHASE_POWER_OFF, /* ... and was asked to end; until stop_deadline_ms */
	PHASE_QUIT,      /* ... and was told to */
	PHASE_END,       /* QEMU has gone; netproxy is going */
};

static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP};

#define STOP_SIGNALS (sizeof(stop_signals) / sizeof(stop_signals[0]))

struct supervisor {
	const struct supervisor_conf *conf;
	struct loop *loop;
	enum phase phase;
	enum run_status status;
	struct loop_signal *signals[STOP_SIGNALS];
	struct loop_timer *stop_timer;
	struct loop_timer *progress_timer; /* running: KVM hasn't proved itself yet */
	uint64_t stop_deadline_ms;
	uint64_t progress_deadline_ms;
	enum accel accel;
	struct console *console;
	struct proxy *proxy; /* NULL: none, or it has ended */
	bool proxy_lost;
	struct loop_timer *proxy_timer; /* until netproxy is started again */
	unsigned proxy_again_ms;
	uint64_t proxy_start_ms;
	bool unplugged; /* the volumes */
	bool overdue;   /* the guest had its time to power off */
	struct vm *vm;
	struct volume *volumes[MACHINE_VOLUMES_MAX]; /* NULL: not started, or it has ended */
	struct vsock_ports *vsock_ports;             /* or NULL */
	char net_socket[PATH_MAX];
	char vsock_socket[PATH_MAX];
};

enum run_status supervisor_status(enum vm_end end, bool proxy_lost)
{
	switch (end) {
	case VM_END_POWERED_OFF:
		return proxy_lost ? RUN_PROXY_DIED : RUN_POWERED_OFF;
	case VM_END_RESET:
		return proxy_lost ? RUN_PROXY_DIED : RUN_RESET;
	case VM_END_PANICKED:
		return RUN_PANICKED;
	case VM_END_QUIT:
		return RUN_KILLED;
	case VM_END_DIED:
		break;
	}
	return RUN_QEMU_FAILED;
}

/* QEMU is gone, or will not be started: what is left is netproxy. */
static void finish(struct supervisor *s, enum run_status status, const char *why)
{
	s->status = status;
	s->phase = PHASE_END;
	if (s->conf->hooks)
		s->conf->hooks->ended(s->conf->hooks_arg, status, why);
	loop_timer_cancel(s->proxy_timer);
	loop_timer_cancel(s->stop_timer);
	loop_timer_cancel(s->progress_timer);
	if (s->proxy)
		proxy_stop(s->proxy);
	else
		loop_stop(s->loop, 0);
}

void supervisor_show_console(struct supervisor *s)
{
	if (!s->conf->console_seen)
		console_log_tail(s->console);
}

static int start_guest(struct supervisor *s);

static void on_vm_ready(void *arg)
{
	struct supervisor *s = arg;

	log_info("QEMU runs, with %s", accel_name(s->accel));
	if (s->conf->running)
		s->conf->running(s->conf->running_arg);
	if (s->conf->hooks)
		s->conf->hooks->guest_up(s->conf->hooks_arg, s->vm);
}

static void on_vm_event(void *arg, const char *name, struct json_object *data)
{
	struct supervisor *s = arg;

	if (s->conf->hooks)
		s->conf->hooks->guest_event(s->conf->hooks_arg, name, data);
}

static void drop_vm(struct supervisor *s)
{
	if (s->conf->hooks)
		s->conf->hooks->guest_gone(s->conf->hooks_arg);
	vm_free(s->vm);
	s->vm = NULL;
}

static void fall_back(struct supervisor *s, const char *why)
{
	log_warn("KVM of this host doesn't work (%s): starting again with -accel tcg", why);
	loop_timer_cancel(s->progress_timer);
	drop_vm(s);
	s->accel = ACCEL_TCG;
	if (start_guest(s) < 0)
		finish(s, RUN_QEMU_FAILED, "QEMU could not be started");
}

static void on_vm_ended(void *arg, enum vm_end end, const char *why)
{
	struct supervisor *s = arg;
	char text[PROBLEM_MAX]; /* `why` goes with the vm */

	if (end == VM_END_DIED && s->phase == PHASE_GUEST && s->conf->accel_may_fall_back &&
	    loop_timer_pending(s->progress_timer)) {
		fall_back(s, why);
		return;
	}
	if (end == VM_END_POWERED_OFF || end == VM_END_RESET) {
		log_info("%s", why);
	} else {
		log_error("%s", why);
		if (end != VM_END_QUIT || s->overdue)
			supervisor_show_console(s);
	}
	snprintf(text, sizeof(text), "%s", why);
	drop_vm(s);
	finish(s, supervisor_status(end, s->proxy_lost), text);
}

static const struct vm_user vm_user = {
	.ready = on_vm_ready, .ended = on_vm_ended, .event = on_vm_event};

static void on_progress(void *arg, bool guest_runs)
{
	struct supervisor *s = arg;

	if (guest_runs)
		loop_timer_cancel(s->progress_timer);
}

/* The watchdog over KVM: a guest that writes to its console, or whose kernel runs, is alive. One
 * that boots from a disk may wait in its boot loader's menu for as long as that likes: then nothing
 * is done, but said. */
static void on_progress_timer(void *arg)
{
	struct supervisor *s = arg;

	if (console_guest_bytes(s->console) > 0 || s->phase != PHASE_GUEST)
		return;
	if (loop_now_ms(s->loop) < s->progress_deadline_ms) {
		loop_timer_set(s->progress_timer, PROGRESS_EVERY_MS);
		vm_check_progress(s->vm, on_progress, s);
		return;
	}
	if (s->conf->accel_may_fall_back && s->conf->machine->kernel)
		fall_back(s, "the guest made no progress");
	else
		log_warn(
			"the guest has made no progress in %d s: KVM of this host may not work; try "
			"-accel tcg",
			ACCEL_PROGRESS_TIMEOUT_MS / 1000);
}

static void on_volume_ended(void *arg, const struct machine_volume *volume, bool failed,
			    const char *why)
{
	struct supervisor *s = arg;
	size_t index = (size_t)(volume - s->conf->machine->volumes);

	/* It ends with QEMU's connection, which is no news; QEMU's own end may be known later. */
	if (failed && s->vm && !s->unplugged &&
	    (s->phase == PHASE_GUEST || s->phase == PHASE_PROXY))
		log_warn("%s; the guest can't use that volume any more", why);
	else
		log_debug("%s", why);
	volume_free(s->volumes[index]);
	s->volumes[index] = NULL;
}

/* Each daemon serves one connection of QEMU's only, so that they are started with each; or only
 * those that have `ended`. */
static int start_volumes(struct supervisor *s, bool ended, struct problem *problem)
{
	const struct machine *m = s->conf->machine;
	int r = 0;

	for (size_t i = 0; i < m->volume_count && r == 0; i++) {
		char path[PATH_MAX];

		if (ended && s->volumes[i])
			continue;
		volume_free(s->volumes[i]);
		s->volumes[i] = NULL;
		snprintf(path, sizeof(path), "%.*s/" VOLUME_SOCKET, PATH_MAX / 2, s->conf->dir, i);
		r = volume_start(s->loop, s->conf->virtiofsd, &m->volumes[i], path, on_volume_ended,
				 s, &s->volumes[i], problem);
	}
	return r;
}

void supervisor_wiring(struct supervisor *s, struct qemu_wiring *ret)
{
	const struct supervisor_conf *conf = s->conf;
	struct qemu_wiring wiring = {.qemu = conf->qemu,
				     .accel = s->accel,
				     .dir = conf->dir,
				     .prepared = conf->prepared,
				     .hotplug = conf->hooks != NULL,
				     .unplugged = conf->unplugged,
				     .extra = conf->qemu_extra};

	if (conf->machine->network == MACHINE_NETWORK_USERSPACE_SHARED)
		wiring.net_socket = conf->machine->network_socket;
	if (conf->machine->network == MACHINE_NETWORK_USERSPACE) {
		wiring.net_socket = s->net_socket;
		wiring.vsock_socket = s->vsock_socket;
		wiring.net_vhost = conf->machine->net_device == MACHINE_NET_DEVICE_VHOST;
		wiring.net_intx = wiring.net_vhost && s->accel == ACCEL_TCG &&
				  conf->qemu_tcg_needs_intx;
	}
	wiring.reconnect_ms = conf->qemu_reconnect_ms;
	qemu_wiring_way_back(&wiring);
	*ret = wiring;
}

static int start_guest(struct supervisor *s)
{
	const struct supervisor_conf *conf = s->conf;
	struct qemu_wiring wiring;
	struct problem problem;
	int r;

	supervisor_wiring(s, &wiring);
	s->unplugged = conf->unplugged;
	r = s->unplugged ? 0 : start_volumes(s, false, &problem);
	if (r == 0)
		r = vm_start(s->loop, conf->machine, &wiring, s->console, &vm_user, s, &s->vm,
			     &problem);
	if (r < 0) {
		log_error("%s", problem.text);
		return r;
	}
	s->phase = PHASE_GUEST;
	if (s->accel == ACCEL_KVM) {
		s->progress_deadline_ms = clock_ms() + ACCEL_PROGRESS_TIMEOUT_MS;
		loop_timer_set(s->progress_timer, PROGRESS_EVERY_MS);
	}
	return 0;
}

static void on_proxy_ready(void *arg)
{
	struct supervisor *s = arg;

	log_debug("netproxy is ready");
	if (s->phase == PHASE_PROXY && start_guest(s) < 0) {
		finish(s, RUN_QEMU_FAILED, "QEMU could not be started");
	} else if (s->proxy_lost && s->phase != PHASE_END) {
		s->proxy_lost = false;
		log_info("netproxy runs again");
		s->conf->hooks->proxy_back(s->conf->hooks_arg);
	}
}

static int start_proxy(struct supervisor *s);

static void start_proxy_later(struct supervisor *s)
{
	if (clock_ms() - s->proxy_start_ms > PROXY_LIVED_MS)
		s->proxy_again_ms = PROXY_AGAIN_MS;
	loop_timer_set(s->proxy_timer, s->proxy_again_ms);
	if (s->proxy_again_ms < PROXY_AGAIN_MAX_MS)
		s->proxy_again_ms *= 2;
}

static void on_proxy_timer(void *arg)
{
	struct supervisor *s = arg;

	if (start_proxy(s) < 0)
		start_proxy_later(s);
}

static void on_proxy_ended(void *arg, const char *why)
{
	struct supervisor *s = arg;
	char text[PROBLEM_MAX]; /* `why` goes with the proxy */

	snprintf(text, sizeof(text), "%s", why);
	proxy_free(s->proxy);
	s->proxy = NULL;
	switch (s->phase) {
	case PHASE_PROXY:
		log_error("%s", text);
		finish(s, RUN_PROXY_FAILED, text);
		break;
	case PHASE_END:
		loop_stop(s->loop, 0);
		break;
	case PHASE_GUEST:
	case PHASE_POWER_OFF:
	case PHASE_QUIT:
		s->proxy_lost = true;
		log_error("%s", text);
		if (s->conf->hooks) {
			log_warn("starting netproxy again");
			start_proxy_later(s);
			break;
		}
		log_error("the guest runs on, but its network, vsock and published ports are gone: "
			  "stop it and start it again to get them back");
		break;
	}
}

static const struct proxy_user proxy_user = {.ready = on_proxy_ready, .ended = on_proxy_ended};

static void quit_guest(struct supervisor *s)
{
	s->phase = PHASE_QUIT;
	vm_quit(s->vm);
	loop_timer_set(s->stop_timer, QUIT_TIMEOUT_MS);
}

static void power_off(struct supervisor *s)
{
	s->phase = PHASE_POWER_OFF;
	s->stop_deadline_ms = clock_ms() + s->conf->stop_timeout_ms;
	loop_timer_cancel(s->progress_timer);
	log_info("powering the guest off; once more to kill it");
	vm_press_power(s->vm);
	loop_timer_set(s->stop_timer, s->conf->stop_timeout_ms < POWER_REPEAT_MS
					      ? s->conf->stop_timeout_ms
					      : POWER_REPEAT_MS);
}

/* Somebody wants the machine to end: each time with more force. */
static void on_stop(void *arg)
{
	struct supervisor *s = arg;

	switch (s->phase) {
	case PHASE_PROXY:
		log_info("stopped before the guest was started");
		finish(s, RUN_KILLED, "stopped before the guest was started");
		break;
	case PHASE_GUEST:
		power_off(s);
		break;
	case PHASE_POWER_OFF:
		log_warn("killing the guest");
		quit_guest(s);
		break;
	case PHASE_QUIT:
		vm_kill(s->vm);
		break;
	case PHASE_END:
		break;
	}
}

static void on_stop_timer(void *arg)
{
	struct supervisor *s = arg;
	uint64_t now_ms = loop_now_ms(s->loop);

	if (s->phase == PHASE_QUIT) {
		log_warn("QEMU doesn't quit: killing it");
		vm_kill(s->vm);
		return;
	}
	if (now_ms < s->stop_deadline_ms) {
		uint64_t left_ms = s->stop_deadline_ms - now_ms;

		vm_press_power(s->vm);
		loop_timer_set(s->stop_timer,
			       left_ms < POWER_REPEAT_MS ? left_ms : POWER_REPEAT_MS);
		return;
	}
	log_warn("the guest did not power off within %u s: killing it",
		 s->conf->stop_timeout_ms / 1000);
	s->overdue = true;
	quit_guest(s);
}

static void on_key(void *arg, enum console_key key)
{
	struct supervisor *s = arg;

	if (key == CONSOLE_KEY_KILL && s->phase == PHASE_GUEST)
		quit_guest(s);
	else
		on_stop(s);
}

static void mask_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < STOP_SIGNALS; i++)
		sigaddset(&set, stop_signals[i]);
	sigprocmask(how, &set, NULL);
}

void supervisor_hold_signals(void)
{
	mask_signals(SIG_BLOCK);
}

/* Under nohup(1) the terminal's end is none of ours. */
static bool is_ignored(int signal_number)
{
	struct sigaction action;

	return signal_number == SIGHUP && sigaction(SIGHUP, NULL, &action) == 0 &&
	       action.sa_handler == SIG_IGN;
}

static int set_up(struct supervisor *s)
{
	const struct supervisor_conf *conf = s->conf;
	struct console_conf console = {.in_fd = conf->console_in_fd,
				       .out_fd = conf->console_out_fd,
				       .is_pty = conf->console_is_pty,
				       .key = on_key,
				       .arg = s};
	int r = loop_new(&s->loop);

	for (size_t i = 0; i < STOP_SIGNALS && r == 0; i++)
		if (!is_ignored(stop_signals[i]))
			r = loop_signal_new(s->loop, stop_signals[i], on_stop, s, &s->signals[i]);
	if (r == 0)
		r = loop_timer_new(s->loop, on_stop_timer, s, &s->stop_timer);
	if (r == 0)
		r = loop_timer_new(s->loop, on_progress_timer, s, &s->progress_timer);
	if (r == 0)
		r = loop_timer_new(s->loop, on_proxy_timer, s, &s->proxy_timer);
	if (r == 0)
		r = console_new(s->loop, &console, &s->console);
	if (r < 0)
		log_error("can't set up the supervisor: %s", strerror(-r));
	else if (conf->hooks)
		r = conf->hooks->begin(conf->hooks_arg, s, s->loop);
	return r;
}

static void tear_down(struct supervisor *s)
{
	vm_free(s->vm);
	if (s->conf->hooks)
		s->conf->hooks->end(s->conf->hooks_arg);
	for (size_t i = 0; i < MACHINE_VOLUMES_MAX; i++)
		volume_free(s->volumes[i]);
	vsock_ports_free(s->vsock_ports);
	proxy_free(s->proxy);
	console_free(s->console);
	loop_timer_free(s->progress_timer);
	loop_timer_free(s->stop_timer);
	loop_timer_free(s->proxy_timer);
	for (size_t i = 0; i < STOP_SIGNALS; i++)
		loop_signal_free(s->signals[i]);
	loop_free(s->loop);
}

static int start_proxy(struct supervisor *s)
{
	const struct supervisor_conf *conf = s->conf;
	struct proxy_conf proxy = {.program = conf->netproxy,
				   .dir = conf->dir,
				   .machine = conf->machine,
				   .keep_state = conf->hooks != NULL};
	struct problem problem;
	int r = proxy_start(s->loop, &proxy, &proxy_user, s, &s->proxy, &problem);

	s->proxy_start_ms = clock_ms();
	if (r < 0)
		log_error("%s", problem.text);
	return r;
}

/* Starts the first part, from which the others follow. Returns 0 or -errno, logged. */
static int start(struct supervisor *s)
{
	const struct supervisor_conf *conf = s->conf;
	struct problem problem;
	int r;

	if (!machine_has_proxy(conf->machine))
		return start_guest(s);
	s->phase = PHASE_PROXY;
	if (conf->machine->vsock_port_count > 0) {
		r = vsock_ports_new(s->loop, conf->dir, PROXY_VSOCK_SOCKET,
				    conf->machine->vsock_ports, conf->machine->vsock_port_count,
				    &s->vsock_ports, &problem);
		if (r < 0) {
			log_error("%s", problem.text);
			return r;
		}
	}
	return start_proxy(s);
}

void supervisor_stop(struct supervisor *s, bool force)
{
	if (force && s->vm && s->phase != PHASE_QUIT)
		quit_guest(s);
	else if (force || s->phase == PHASE_GUEST || s->phase == PHASE_PROXY)
		on_stop(s);
}

bool supervisor_stopping(const struct supervisor *s)
{
	return s->phase == PHASE_POWER_OFF || s->phase == PHASE_QUIT || s->phase == PHASE_END;
}

enum accel supervisor_accel(const struct supervisor *s)
{
	return s->accel;
}

int supervisor_plug_volumes(struct supervisor *s, enum supervisor_volumes volumes,
			    struct problem *problem)
{
	s->unplugged = volumes == UNPLUGGED;
	return s->unplugged ? 0 : start_volumes(s, volumes == PLUGGED_STILL, problem);
}

enum run_status supervisor_run(const struct supervisor_conf *conf)
{
	struct supervisor s = {.conf = conf,
			       .accel = conf->accel,
			       .status = RUN_REFUSED,
			       .proxy_again_ms = PROXY_AGAIN_MS};

	snprintf(s.net_socket, sizeof(s.net_socket), "%.*s/" PROXY_NET_SOCKET, PATH_MAX / 2,
		 conf->dir);
	snprintf(s.vsock_socket, sizeof(s.vsock_socket), "%.*s/" PROXY_VSOCK_SOCKET, PATH_MAX / 2,
		 conf->dir);
	if (set_up(&s) == 0) {
		mask_signals(SIG_UNBLOCK);
		if (start(&s) == 0)
			loop_run(s.loop);
		else
			s.status = s.phase == PHASE_PROXY ? RUN_PROXY_FAILED : RUN_QEMU_FAILED;
	}
	supervisor_hold_signals();
	tear_down(&s);
	return s.status;
}
