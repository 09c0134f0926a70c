/* SPDX-License-Identifier: Apache-2.0 */
/* Flags of "run": what it is made of, and how it is run. See options_private.h. */
#include "launcher/options_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "launcher/option_values.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
int set_accel(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	if (accel_wish_parse(value, &o->accel) < 0)
		return problem_set(
			problem, -EINVAL,
			"-accel \"%s\": write auto, kvm (fast, needs the CPU's help) or tcg "
			"(works everywhere)",
			value);
	return 0;
}

int set_name(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;
	size_t length = strlen(value);

	if (length == 0 || length >= MACHINE_NAME_MAX || strspn(value, NAME_CHARS) != length ||
	    value[0] == '-' || value[0] == '.')
		return problem_set(
			problem, -EINVAL,
			"-name \"%s\": letters, digits, '-', '_' and '.' make a name, up to %d "
			"of them, the first a letter, digit or '_'",
			value, MACHINE_NAME_MAX - 1);
	strcpy(o->machine.name, value);
	return 0;
}

int set_state(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->state_dir, "state", value, problem);
}

int set_qemu(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->qemu, "qemu", value, problem);
}

int set_netproxy(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->netproxy, "netproxy", value, problem);
}

int set_stop_timeout(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_number(&o->stop_timeout_s, "stop-timeout", value, 1, STOP_TIMEOUT_MAX_S,
			     problem);
}

int set_no_reboot(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	(void)problem;
	o->machine.reboot_ends = strcmp(value, "true") == 0;
	return 0;
}

int set_log_level(void *target, const char *value, struct problem *problem)
{
	(void)target;

	/* Effective at once: nothing has been logged before. */
	if (log_set_levels(value) < 0)
		return problem_set(problem, -EINVAL,
				   "-log-level \"%s\": write error, warn, info or debug", value);
	return 0;
}

int set_mem(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_memory(&o->machine.mem_bytes, "mem", value, problem);
}

int set_balloon(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	o->machine.balloon = true;
	return option_memory(&o->machine.balloon_bytes, "balloon", value, problem);
}

int set_cpus(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_number(&o->machine.cpus, "cpus", value, 1, MACHINE_CPUS_MAX, problem);
}

int set_arch(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	if (strcmp(value, "x86_64") == 0 || strcmp(value, "amd64") == 0)
		o->machine.arch = MACHINE_ARCH_X86_64;
	else if (strcmp(value, "aarch64") == 0 || strcmp(value, "arm64") == 0)
		o->machine.arch = MACHINE_ARCH_AARCH64;
	else
		return problem_set(problem, -EINVAL, "-arch \"%s\": write x86_64 or aarch64",
				   value);
	return 0;
}

/* The tag where none is given: the directory's own name. */
static int default_tag(struct machine_volume *volume, const char *value, struct problem *problem)
{
	size_t end = strlen(volume->path), start;

	while (end > 1 && volume->path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && volume->path[start - 1] != '/';)
		start--;
	if (end == start || end - start >= MACHINE_TAG_MAX)
		return problem_set(problem, -EINVAL,
				   "-volume \"%s\": give it a tag of at most %d characters to be "
				   "mounted by, %s:TAG",
				   value, MACHINE_TAG_MAX - 1, volume->path);
	memcpy(volume->tag, volume->path + start, end - start);
	volume->tag[end - start] = '\0';
	return 0;
}

/* Cuts PATH[:TAG][:ro|rw], from its end, as a path may have colons when a tag follows. */
static int cut_volume(struct machine_volume *volume, const char *value, struct problem *problem)
{
	char *colon = strrchr(volume->path, ':');

	if (colon && (strcmp(colon, ":ro") == 0 || strcmp(colon, ":rw") == 0)) {
		volume->read_only = colon[2] == 'o';
		*colon = '\0';
		colon = strrchr(volume->path, ':');
	}
	if (colon) {
		size_t length = strlen(colon + 1);

		if (length == 0 || length >= MACHINE_TAG_MAX || strchr(colon + 1, '/'))
			return problem_set(problem, -EINVAL,
					   "-volume \"%s\": write PATH, PATH:TAG or PATH:TAG:ro, "
					   "the tag of 1 to %d characters without a slash",
					   value, MACHINE_TAG_MAX - 1);
		strcpy(volume->tag, colon + 1);
		*colon = '\0';
	}
	if (volume->path[0] == '\0')
		return problem_set(problem, -EINVAL, "-volume \"%s\": the path is missing", value);
	return volume->tag[0] ? 0 : default_tag(volume, value, problem);
}

int set_volume(void *target, const char *value, struct problem *problem)
{
	struct machine *m = &((struct run_options *)target)->machine;
	struct machine_volume volume = {.path = NULL};
	int r;

	if (m->volume_count == MACHINE_VOLUMES_MAX)
		return problem_set(problem, -E2BIG,
				   "-volume \"%s\": at most %d volumes are possible", value,
				   MACHINE_VOLUMES_MAX);
	r = option_text(&volume.path, "volume", value, problem);
	if (r == 0)
		r = cut_volume(&volume, value, problem);
	for (size_t i = 0; i < m->volume_count && r == 0; i++)
		if (strcmp(m->volumes[i].tag, volume.tag) == 0)
			r = problem_set(problem, -EEXIST,
					"-volume \"%s\": the tag \"%s\" is %s's already: give "
					"another, PATH:TAG",
					value, volume.tag, m->volumes[i].path);
	if (r < 0) {
		free(volume.path);
		return r;
	}
	m->volumes[m->volume_count++] = volume;
	return 0;
}

static const struct display_name {
	const char *name;
	struct machine_display display;
} display_names[] = {
	{"4k", {3840, 2160, 0}},
	{"1080p", {1920, 1080, 0}},
	{"720p", {1280, 720, 0}},
	{"retina", {2560, 1600, 227}},
};

/* A number of at most five digits up to a character of `ends`; moves *text behind it. */
static bool display_number(const char **text, const char *ends, unsigned *ret)
{
	size_t digits = strspn(*text, DIGITS);
	char end = (*text)[digits];

	if (digits == 0 || digits > 5 || (end != '\0' && !strchr(ends, end)))
		return false;
	*ret = (unsigned)strtoul(*text, NULL, 10);
	*text += digits + (end != '\0');
	return true;
}

int set_display(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;
	struct machine_display display = {0};
	const char *text = value;
	bool good;

	for (size_t i = 0; i < sizeof(display_names) / sizeof(display_names[0]); i++)
		if (strcmp(value, display_names[i].name) == 0) {
			o->machine.display = display_names[i].display;
			return 0;
		}
	good = display_number(&text, "x", &display.width) && text[-1] == 'x' &&
	       display_number(&text, "@", &display.height);
	if (good && text[-1] == '@')
		good = display_number(&text, "", &display.ppi) && display.ppi > 0;
	if (!good || *text != '\0')
		return problem_set(problem, -EINVAL,
				   "-display \"%s\": write WIDTHxHEIGHT, such as 1920x1080 or "
				   "2560x1600@227 (pixels per inch), or 4k, 1080p, 720p, retina",
				   value);
	if (display.width < MACHINE_DISPLAY_MIN || display.width > MACHINE_DISPLAY_MAX ||
	    display.height < MACHINE_DISPLAY_MIN * 3 / 4 || display.height > MACHINE_DISPLAY_MAX)
		return problem_set(problem, -ERANGE,
				   "-display \"%s\": from %dx%d to %dx%d pixels are possible",
				   value, MACHINE_DISPLAY_MIN, MACHINE_DISPLAY_MIN * 3 / 4,
				   MACHINE_DISPLAY_MAX, MACHINE_DISPLAY_MAX);
	o->machine.display = display;
	return 0;
}

int set_headless(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	(void)problem;
	o->machine.window = strcmp(value, "false") == 0;
	return 0;
}

int set_vnc(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	return option_text(&o->machine.vnc, "vnc", value, problem);
}

int set_console(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	o->console_given = true;
	if (strcmp(value, "stdio") == 0)
		o->console = RUN_CONSOLE_STDIO;
	else if (strcmp(value, "pty") == 0)
		o->console = RUN_CONSOLE_PTY;
	else if (strcmp(value, "none") == 0)
		o->console = RUN_CONSOLE_NONE;
	else if (strncmp(value, "file:", 5) != 0 || value[5] == '\0')
		return problem_set(problem, -EINVAL,
				   "-console \"%s\": write stdio, file:PATH, pty or none", value);
	else {
		o->console = RUN_CONSOLE_FILE;
		return option_text(&o->console_file, "console", value + 5, problem);
	}
	return 0;
}

int set_detached(void *target, const char *value, struct problem *problem)
{
	struct run_options *o = target;

	(void)problem;
	o->detached = strcmp(value, "true") == 0;
	return 0;
}
