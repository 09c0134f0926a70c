/* SPDX-License-Identifier: Apache-2.0 */
/* Machines that are kept: their descriptions, states and rules, what a killed supervisor leaves,
 * how a guest says that it is ready, notes of snapshots. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "launcher/machine_args.h"
#include "launcher/machine_rules.h"
#include "launcher/proxy.h"
#include "launcher/snapshot.h"
#include "launcher/store_description.h"
#include "unit.h"

static char dir[64];
static struct store_place place;
static struct problem problem;

static void setup(void)
{
	log_set_levels("error");
	strcpy(dir, "/tmp/np-machines-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	place = (struct store_place){.name = "vm"};
	strcpy(place.dir, dir);
	problem.text[0] = '\0';
}

static void teardown(void)
{
	store_remove(dir, &problem);
}

static void put(const char *name, const char *text)
{
	char path[PATH_MAX];

	ck_assert_int_eq(store_path(dir, name, path), 0);
	ck_assert_int_eq(store_write(path, text, strlen(text)), 0);
}

static bool there(const char *name)
{
	char path[PATH_MAX];

	return store_path(dir, name, path) == 0 && access(path, F_OK) == 0;
}

/* A description, and what its refusal says; NULL: it is good. */
static const struct bad {
	const char *text, *says;
} descriptions[] = {
	{"{\"version\": 1, \"kernel\": \"k\"}", NULL},
	{"{\"version\": 1, \"mem\": 512, \"cpus\": \"2\", \"uefi\": true}", NULL},
	{"{\"version\": 1, \"disk\": [\"a.qcow2\", \"b.raw,ro\"], \"publish\": [\"8080:80\"]}",
	 NULL},
	{"{\"version\": 1, \"ready\": \"tcp:80\", \"ready-timeout\": 5}", NULL},
	{"{\"version\": 1, \"image\": \"linuxkit\"}", NULL},
	{"{\"kernel\": \"k\", \"disk\": \"a.qcow2\"}", NULL},
	{"", "m.json: "},
	{"[]", "an object is wanted"},
	{"{\"version\": 1,\n\"mem\": }", "line 2"},
	{"{\"version\": 2}", "from a newer netproxy-vm"},
	{"{\"version\": \"1\"}", "a whole number is wanted"},
	{"{\"version\": 0}", "a whole number is wanted"},
	{"{\"version\": 1,\n\n\"kernl\": \"k\"}",
	 "m.json:3: \"kernl\": there is no such key: did you mean "
	 "\"kernel\"?"},
	{"{\"version\": 1,\n\"zzzzzz\": 1}", "m.json:2: \"zzzzzz\": there is no such key; "},
	{"{\"version\": 1,\n\"state\": \"x\"}", "m.json:2: \"state\": that is chosen"},
	{"{\"version\": 1,\n\"mem\": \"lots\"}", "m.json:2: \"mem\": -mem \"lots\""},
	{"{\"version\": 1,\n\"mem\": true}", "m.json:2: \"mem\": a string or a whole number"},
	{"{\"version\": 1,\n\"mem\": null}", "m.json:2: \"mem\": a string or a whole number"},
	{"{\"version\": 1,\n\"mem\": 1.5}", "m.json:2: \"mem\": a string or a whole number"},
	{"{\"version\": 1,\n\"cpus\": -1}", "m.json:2: \"cpus\": -cpus \"-1\""},
	{"{\"version\": 1,\n\"uefi\": \"yes\"}", "m.json:2: \"uefi\": true or false"},
	{"{\"version\": 1,\n\"disk\": \"a\"}", "m.json:2: \"disk\": a list is wanted"},
	{"{\"version\": 1,\n\"disk\": [\n\"a.qcow2\",\n\"b,size=x\"]}",
	 "m.json:4: \"disk\": -disk"},
	{"{\"version\": 1,\n\"publish\": [\"80:80\",\n [1]]}",
	 "m.json:3: \"publish\": a list of strings"},
	{"{\"version\": 1,\n\"publish\": [\"80:80\",\n\"80:81\"]}", "want the same port"},
	{"{\"version\": 1,\n\"kernel\": \"a\\u0000b\"}", "a NUL character"},
	{"{\"version\": 1,\n\"ready\": \"soon\"}", "m.json:2: \"ready\": -ready \"soon\""},
	{"{\"version\": 1,\n\"ready-timeout\": 0}", "m.json:2: \"ready-timeout\""},
	{"{\"version\": 1,\n\"balloon-min\": \"1\"}", "m.json:2: \"balloon-min\""},
	{"{\"version\": 1,\n\"mem\": 512, \"mem\": 1024}", "\"mem\" is there twice"},
	{"{\"version\": 1,\n\"image\": 1}", "m.json:2: \"image\": a string"},
	{"{\"version\": 1,\n\"networking\": \"magic\"}", "m.json:2: \"networking\": -networking"},
};

START_TEST(test_description)
{
	const struct bad *one = &descriptions[_i];
	struct json_object *object = NULL;
	int r = description_parse(one->text, strlen(one->text), "m.json", &object, &problem);

	if (!one->says) {
		ck_assert_msg(r == 0, "%s", problem.text);
		ck_assert_int_eq(json_object_put(object), 1);
		return;
	}
	ck_assert_int_eq(r, -EINVAL);
	ck_assert_ptr_null(object);
	ck_assert_msg(strstr(problem.text, one->says) != NULL, "%s", problem.text);
}
END_TEST

START_TEST(test_lines)
{
	static const char text[] = "{\n \"a\": \"x, \\\"b\\\": {\",\n \"c\": {\"a\": [\n1]},\n"
				   " \"b\": [1,\n {\"d\": [2, 3]},\n \"e\"]\n}";

	ck_assert_uint_eq(description_line(text, strlen(text), "a", -1), 2);
	ck_assert_uint_eq(description_line(text, strlen(text), "c", -1), 3);
	ck_assert_uint_eq(description_line(text, strlen(text), "b", -1), 5);
	ck_assert_uint_eq(description_line(text, strlen(text), "b", 0), 5);
	ck_assert_uint_eq(description_line(text, strlen(text), "b", 1), 6);
	ck_assert_uint_eq(description_line(text, strlen(text), "b", 2), 7);
	ck_assert_uint_eq(description_line(text, strlen(text), "b", 3), 5);
	ck_assert_uint_eq(description_line(text, strlen(text), "d", -1), 0);
	ck_assert_uint_eq(description_line("", 0, "a", -1), 0);
	ck_assert_uint_eq(description_line("{\"a", 3, "b", -1), 0);
}
END_TEST

/* An old file is migrated once, and kept as it was. */
START_TEST(test_migration)
{
	static const char old[] = "{\"kernel\": \"k\", \"disk\": \"a.qcow2\"}";
	struct json_object *object, *value;
	char path[PATH_MAX], *text;
	size_t size;

	put(STORE_DESCRIPTION, old);
	for (int i = 0; i < 2; i++) {
		ck_assert_msg(description_load(&place, &object, &problem) == 0, "%s", problem.text);
		ck_assert(json_object_object_get_ex(object, "version", &value));
		ck_assert_int_eq(json_object_get_int(value), 1);
		ck_assert(json_object_object_get_ex(object, "disk", &value));
		ck_assert_uint_eq(json_object_array_length(value), 1);
		json_object_put(object);
	}
	ck_assert_int_eq(store_path(dir, STORE_DESCRIPTION ".v0", path), 0);
	ck_assert_int_eq(store_read(path, 1000, &text, &size), 0);
	ck_assert_str_eq(text, old);
	free(text);
}
END_TEST

static const char *const no_skip[] = {"dir", NULL};

/* Each of the two paths of -networking, whatever the other is. */
START_TEST(test_merge_networking)
{
	static const char *const values[][2] = {
		{"userspace,/run/net,api=api", "userspace,/run/net,api=%s/api"},
		{"userspace,net,api=/run/api", "userspace,%s/net,api=/run/api"},
		{"userspace,net", "userspace,%s/net"},
		{"userspace,/run/net,api=/run/api", "userspace,/run/net,api=/run/api"},
		{"userspace", "userspace"},
		{"tap:a,api=b", "tap:a,api=b"},
	};
	char cwd[512], want[1200];
	size_t count;
	const struct flag *flags = description_flags(&count);

	ck_assert_ptr_nonnull(getcwd(cwd, sizeof(cwd)));
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char *argv[] = {"init", "-networking", (char *)values[i][0]};
		const char *at = strstr(values[i][1], "%s");
		struct json_object *object = description_new(), *value;

		snprintf(want, sizeof(want), "%.*s%s%s", at ? (int)(at - values[i][1]) : 0,
			 values[i][1], at ? cwd : "", at ? at + 2 : values[i][1]);
		ck_assert_int_eq(
			description_merge(object, 3, argv, flags, count, no_skip, 1, &problem), 0);
		json_object_object_get_ex(object, "networking", &value);
		ck_assert_str_eq(json_object_get_string(value), want);
		json_object_put(object);
	}
}
END_TEST

/* Flags become keys; a list given again begins anew; paths become absolute. */
START_TEST(test_merge)
{
	char *argv[] = {"init",
			"vm",
			"-mem=1G",
			"-disk",
			"file=a.qcow2,ro",
			"-disk",
			"/b",
			"-uefi",
			"-qemu",
			"qemu",
			"-networking",
			"userspace,net.sock,api=api.sock"};
	char *again[] = {"set", "-disk=/c", "vm", "image", "-uefi=false"};
	struct json_object *object = description_new(), *value;
	char cwd[512], want[1200];
	size_t count;
	const struct flag *flags = description_flags(&count);

	ck_assert_ptr_nonnull(getcwd(cwd, sizeof(cwd)));
	ck_assert_int_eq(description_merge(object, 12, argv, flags, count, no_skip, 1, &problem),
			 0);
	json_object_object_get_ex(object, "disk", &value);
	ck_assert_uint_eq(json_object_array_length(value), 2);
	snprintf(want, sizeof(want), "file=%s/a.qcow2,ro", cwd);
	ck_assert_str_eq(json_object_get_string(json_object_array_get_idx(value, 0)), want);
	json_object_object_get_ex(object, "uefi", &value);
	ck_assert(json_object_get_boolean(value));
	json_object_object_get_ex(object, "qemu", &value);
	ck_assert_str_eq(json_object_get_string(value), "qemu");
	json_object_object_get_ex(object, "networking", &value);
	snprintf(want, sizeof(want), "userspace,%s/net.sock,api=%s/api.sock", cwd, cwd);
	ck_assert_str_eq(json_object_get_string(value), want);
	ck_assert(!json_object_object_get_ex(object, "image", NULL));

	ck_assert_int_eq(description_merge(object, 5, again, flags, count, no_skip, 1, &problem),
			 0);
	json_object_object_get_ex(object, "disk", &value);
	ck_assert_uint_eq(json_object_array_length(value), 1);
	json_object_object_get_ex(object, "uefi", &value);
	ck_assert(!json_object_get_boolean(value));
	ck_assert(json_object_object_get_ex(object, "image", NULL));
	json_object_put(object);
}
END_TEST

/* A description becomes what "run" would have read; its contradictions are refused. */
START_TEST(test_options)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"{\"version\":1,\"kernel\":\"k\",\"mem\":\"1G\",\"balloon-min\":\"256M\"}", NULL},
		{"{\"version\":1,\"kernel\":\"k\",\"ready\":\"ssh\",\"publish\":[\"2222:22\"]}",
		 NULL},
		{"{\"version\":1}", "nothing to boot"},
		{"{\"version\":1,\"kernel\":\"k\",\"ready\":\"ssh\"}",
		 "add -publish 127.0.0.1:PORT:22"},
		{"{\"version\":1,\"kernel\":\"k\",\"ready\":\"vsock\",\"networking\":\"none\"}",
		 "needs the vsock device"},
		{"{\"version\":1,\"kernel\":\"k\",\"mem\":512,\"balloon-min\":1024}",
		 "-balloon-min"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *object;
		struct settings settings;
		int r;

		ck_assert_int_eq(description_parse(cases[i].text, strlen(cases[i].text), "m",
						   &object, &problem),
				 0);
		r = description_options(object, &place, &settings, &problem);
		if (cases[i].says) {
			ck_assert_int_lt(r, 0);
			ck_assert_msg(strstr(problem.text, cases[i].says) != NULL, "%s",
				      problem.text);
		} else {
			ck_assert_msg(r == 0, "%s", problem.text);
			ck_assert_str_eq(settings.run.machine.name, "vm");
			ck_assert_str_eq(settings.run.state_dir, dir);
		}
		run_options_clear(&settings.run);
		json_object_put(object);
	}
}
END_TEST

START_TEST(test_states)
{
	static const struct {
		struct machine_facts facts;
		enum machine_state state;
	} cases[] = {
		{{.locked = false}, MACHINE_STOPPED},
		{{.stale = true}, MACHINE_CRASHED},
		{{.ended_badly = true}, MACHINE_CRASHED},
		/* What lies around from before says nothing of one that runs. */
		{{.locked = true, .stale = true, .ended_badly = true}, MACHINE_STARTING},
		{{.locked = true, .answers = true}, MACHINE_STARTING},
		{{.locked = true, .answers = true, .guest_runs = true}, MACHINE_STARTING},
		{{.locked = true, .answers = true, .guest_runs = true, .ready = true},
		 MACHINE_RUNNING},
		{{.locked = true,
		  .answers = true,
		  .guest_runs = true,
		  .ready = true,
		  .paused = true},
		 MACHINE_PAUSED},
		{{.locked = true, .answers = true, .guest_runs = true, .ready = true, .busy = true},
		 MACHINE_SAVING},
		{{.locked = true,
		  .answers = true,
		  .guest_runs = true,
		  .ready = true,
		  .stopping = true},
		 MACHINE_STOPPING},
		{{.locked = true, .answers = true, .stopping = true, .busy = true},
		 MACHINE_STOPPING},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(machine_state_of(&cases[i].facts) == cases[i].state, "case %zu", i);
}
END_TEST

/* What may be done in each state, in the order of the enum: start stop kill pause resume save
 * restore delete balloon console remove resize reach. */
START_TEST(test_rules)
{
	static const char *const may[MACHINE_STATE_COUNT] = {
		[MACHINE_STOPPED] = "y.....yy..yy.",  [MACHINE_CRASHED] = "y.....yy..yy.",
		[MACHINE_STARTING] = ".yy......y..y", [MACHINE_RUNNING] = ".yyy.y.yyy.yy",
		[MACHINE_PAUSED] = "..y.yy.y.y.y.",   [MACHINE_SAVING] = "..y......y..y",
		[MACHINE_STOPPING] = ".yy......y..y",
	};

	for (int state = 0; state < MACHINE_STATE_COUNT; state++) {
		ck_assert_ptr_nonnull(machine_state_name((enum machine_state)state));
		ck_assert_ptr_nonnull(machine_state_vfkit((enum machine_state)state));
		for (int action = 0; action < ACTION_COUNT; action++) {
			const char *why = machine_rule((enum machine_state)state,
						       (enum machine_action)action);

			ck_assert_msg((why == NULL) == (may[state][action] == 'y'),
				      "state %d, action %d: %s", state, action, why);
		}
	}
}
END_TEST

START_TEST(test_ready_words)
{
	static const struct {
		const char *text;
		int kind; /* -1: refused */
		uint32_t port;
	} cases[] = {
		{"none", READY_NONE, 0},
		{"serial", READY_SERIAL, 0},
		{"ssh", READY_SSH, 22},
		{"vsock", READY_VSOCK, READY_VSOCK_PORT},
		{"vsock:1", READY_VSOCK, 1},
		{"vsock:4294967294", READY_VSOCK, 4294967294u},
		{"tcp:65535", READY_TCP, 65535},
		{"console:login:", READY_CONSOLE, 0},
		{"", -1, 0},
		{"tcp", -1, 0},
		{"tcp:0", -1, 0},
		{"tcp:65536", -1, 0},
		{"tcp:-1", -1, 0},
		{"vsock:4294967295", -1, 0},
		{"vsock:99999999999", -1, 0},
		{"console:", -1, 0},
		{"vsock:1x", -1, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ready_spec spec = {.kind = READY_NONE};
		int r = ready_parse(cases[i].text, &spec, &problem);

		ck_assert_msg((r < 0) == (cases[i].kind < 0), "%s", cases[i].text);
		if (r == 0) {
			ck_assert_int_eq((int)spec.kind, cases[i].kind);
			ck_assert_uint_eq(spec.port, cases[i].port);
		}
	}
	ck_assert_uint_eq(ready_timeout_ms(60, false), 60000);
	ck_assert_uint_eq(ready_timeout_ms(60, true), 300000);
}
END_TEST

/* A text is found however it is cut, and after false beginnings. */
START_TEST(test_ready_match)
{
	static const char text[] = "aabaac", stream[] = "xaabaabaacx";

	for (size_t cut = 0; cut < strlen(stream); cut++) {
		size_t matched = 0;
		int found = ready_match(text, &matched, stream, cut);

		found += ready_match(text, &matched, stream + cut, strlen(stream) - cut);
		ck_assert_int_eq(found, 1);
	}
	size_t matched = 0;

	ck_assert_int_eq(ready_match(text, &matched, "aabaabaab", 9), 0);
}
END_TEST

START_TEST(test_cmdline_of)
{
	static const char line[] = "qemu\0-pidfile\0/x/vm/qemu.pid\0-name\0/x/vm2";

	ck_assert(store_cmdline_of(line, sizeof(line), "/x/vm"));
	ck_assert(store_cmdline_of(line, sizeof(line), "/x/vm2"));
	ck_assert(!store_cmdline_of(line, sizeof(line), "/x/v"));
	ck_assert(!store_cmdline_of(line, sizeof(line), "/x/vm23"));
	ck_assert(!store_cmdline_of("", 0, "/x/vm"));
}
END_TEST

/* What a killed supervisor leaves is seen, and goes; another's process is left alone. */
/* A netproxy without a pid file, as one is that just starts or ends, has its state file locked. */
START_TEST(test_stale_netproxy)
{
	char path[PATH_MAX];
	int fd;

	ck_assert_int_eq(store_clean(dir, 0), 0);
	put(PROXY_STATE, "{}\n");
	ck_assert_int_eq(store_clean(dir, 0), 0);
	ck_assert_int_eq(store_path(dir, PROXY_STATE, path), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	ck_assert_int_eq(store_clean(dir, 50), -ETIMEDOUT);
	close(fd);
	ck_assert_int_eq(store_clean(dir, 50), 0);
}
END_TEST

START_TEST(test_stale)
{
	char text[32], path[PATH_MAX], script[PATH_MAX + 64];
	pid_t ours, other, pid;
	int fd, status;

	ck_assert_uint_eq(store_stale(dir), 0);
	ck_assert_int_eq(store_path(dir, STORE_REST, path), 0);
	ck_assert_int_eq(sock_listen_unix(path, SOCK_STREAM, &fd), 0);
	close(fd);
	snprintf(script, sizeof(script), ": %s/x; while :; do sleep 1000; done", dir);
	ours = fork();
	if (ours == 0) {
		execl("/bin/sh", "sh", "-c", script, NULL);
		_exit(1);
	}
	other = fork();
	if (other == 0) {
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	snprintf(text, sizeof(text), "%d\n", other);
	put(STORE_QEMU_PID, text);
	ck_assert_uint_eq(store_stale(dir), STORE_STALE_SOCKETS);
	snprintf(text, sizeof(text), "%d\n", ours);
	put(PROXY_PID, text);
	for (int i = 0; i < 1000 && store_stale(dir) == STORE_STALE_SOCKETS; i++)
		usleep(1000); /* until the exec() has happened */
	ck_assert_uint_eq(store_stale(dir), STORE_STALE_SOCKETS | STORE_STALE_PROCESSES);
	/* It is our child, and stays a zombie without a command line. */
	ck_assert_int_eq(store_clean(dir, 5000), 0);
	ck_assert_int_eq(waitpid(ours, &status, 0), ours);
	ck_assert(WIFSIGNALED(status));
	ck_assert_uint_eq(store_stale(dir), 0);
	ck_assert(!there(STORE_REST) && !there(STORE_QEMU_PID) && !there(PROXY_PID));
	ck_assert_int_eq(waitpid(other, &status, WNOHANG), 0);
	kill(other, SIGKILL);
	waitpid(other, &status, 0);

	ck_assert_int_eq(store_owner(dir, &pid), -ESRCH);
	put("lock", "4711\n");
	ck_assert_int_eq(store_owner(dir, &pid), -ESRCH);
	ck_assert_int_eq(store_path(dir, "lock", path), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	ck_assert_int_eq(store_owner(dir, &pid), 0);
	ck_assert_int_eq(pid, 4711);
	close(fd);
}
END_TEST

START_TEST(test_store_names)
{
	static const char *const bad[] = {"", "-x", ".x", "a/b", "a b", "..", "\xc3\xa4"};
	struct store_place found;
	char name[MACHINE_NAME_MAX + 1];

	ck_assert(store_name_valid("a") && store_name_valid("_vm-1.x"));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!store_name_valid(bad[i]), "%s", bad[i]);
	memset(name, 'a', MACHINE_NAME_MAX);
	name[MACHINE_NAME_MAX] = '\0';
	ck_assert(!store_name_valid(name));
	setenv("XDG_STATE_HOME", dir, 1);
	ck_assert_int_eq(store_find("vm", NULL, &found, &problem), -ENOENT);
	ck_assert_ptr_nonnull(strstr(problem.text, "makes one"));
	ck_assert_int_eq(store_locate("vm", NULL, &found, &problem), 0);
	ck_assert_int_eq(store_make(found.dir, &problem), 0);
	put("netproxy-vm/vm/" STORE_DESCRIPTION, "{}");
	ck_assert_int_eq(store_find("vm", NULL, &found, &problem), 0);
	ck_assert_int_eq(store_find("vn", NULL, &found, &problem), -ENOENT);
	ck_assert_ptr_nonnull(strstr(problem.text, "there are vm"));
	ck_assert_int_eq(store_locate(NULL, "/x/y z", &found, &problem), -EINVAL);
	ck_assert_int_eq(store_locate(NULL, "/x/yz/", &found, &problem), 0);
	ck_assert_str_eq(found.name, "yz");
	ck_assert_int_eq(store_locate(NULL, NULL, &found, &problem), -EINVAL);
}
END_TEST

/* Newest first; a broken note is no snapshot; what is to be deleted later is not listed. */
START_TEST(test_snapshots)
{
	struct snapshot list[SNAPSHOTS_MAX], found;
	char name[MACHINE_NAME_MAX];

	ck_assert_uint_eq(snapshot_list(dir, list), 0);
	for (int i = 1; i <= 3; i++) {
		struct snapshot one = {
			.time_ms = i == 2 ? 9 : i, .size_bytes = i * 1000, .paused = i == 3};

		snprintf(one.name, sizeof(one.name), "s%d", i);
		ck_assert_int_eq(snapshot_begin(dir, one.name), 0);
		ck_assert_uint_eq(snapshot_list(dir, list), (size_t)i - 1);
		ck_assert_int_eq(snapshot_deletable(dir, name), 0);
		ck_assert_str_eq(name, one.name);
		ck_assert_int_eq(snapshot_note(dir, &one), 0);
	}
	put(STORE_SNAPSHOTS "/bad.json", "{");
	put(STORE_SNAPSHOTS "/odd.json", "{\"time_ms\": \"x\"}");
	ck_assert_uint_eq(snapshot_list(dir, list), 3);
	ck_assert_str_eq(list[0].name, "s2");
	ck_assert_str_eq(list[1].name, "s3");
	ck_assert(list[1].paused && !list[0].paused);
	ck_assert_int_eq(list[2].size_bytes, 1000);
	ck_assert_int_eq(snapshot_find(dir, "s1", &found, &problem), 0);
	ck_assert_int_eq(snapshot_find(dir, "../s1", &found, &problem), -ENOENT);
	ck_assert_int_eq(snapshot_deletable(dir, name), -ENOENT);
	ck_assert_int_eq(snapshot_forget(dir, "s1", true), 0);
	ck_assert_uint_eq(snapshot_list(dir, list), 2);
	ck_assert_int_eq(snapshot_deletable(dir, name), 0);
	ck_assert_str_eq(name, "s1");
	snapshot_deleted(dir, "s1");
	ck_assert_int_eq(snapshot_deletable(dir, name), -ENOENT);
}
END_TEST

START_TEST(test_snapshot_disks)
{
	struct machine m;

	machine_init(&m);
	m.disk_count = 2;
	m.disks[0] = (struct machine_disk){.path = "/a", .format = "raw", .read_only = true};
	m.disks[1] = (struct machine_disk){.path = "/b", .format = "qcow2"};
	ck_assert_int_eq(snapshot_check(&m, &problem), 0);
	m.disks[1].format = "raw";
	ck_assert_int_eq(snapshot_check(&m, &problem), -ENOTSUP);
	ck_assert_ptr_nonnull(strstr(problem.text, "/b is raw"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launcher_machines");
	TCase *tcase = unit_case(suite, "machines", setup, teardown);

	tcase_set_timeout(tcase, 30);
	tcase_add_loop_test(tcase, test_description, 0,
			    (int)(sizeof(descriptions) / sizeof(descriptions[0])));
	tcase_add_test(tcase, test_lines);
	tcase_add_test(tcase, test_migration);
	tcase_add_test(tcase, test_merge);
	tcase_add_test(tcase, test_merge_networking);
	tcase_add_test(tcase, test_options);
	tcase_add_test(tcase, test_states);
	tcase_add_test(tcase, test_rules);
	tcase_add_test(tcase, test_ready_words);
	tcase_add_test(tcase, test_ready_match);
	tcase_add_test(tcase, test_cmdline_of);
	tcase_add_test(tcase, test_stale);
	tcase_add_test(tcase, test_stale_netproxy);
	tcase_add_test(tcase, test_store_names);
	tcase_add_test(tcase, test_snapshots);
	tcase_add_test(tcase, test_snapshot_disks);
	return unit_run(suite);
}
