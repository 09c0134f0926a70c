/* SPDX-License-Identifier: Apache-2.0 */
/* gvproxy's command line and configuration, and what they become as netproxy's options. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netproxy/gvproxy_private.h"
#include "unit.h"

#define ARGS_MAX 24

static char error[OPTIONS_ERROR_MAX];
static struct options options;

/* Reads a command line of words with a space between them. */
static enum options_result parse(const char *line)
{
	char *argv[ARGS_MAX + 1] = {(char *)"/usr/libexec/podman/gvproxy"};
	char *copy = strdup(line), *rest = copy, *word;
	enum options_result result;
	int argc = 1;

	while (*line && (word = strsep(&rest, " ")) && argc < ARGS_MAX)
		argv[argc++] = word;
	error[0] = '\0';
	result = gvproxy_options_parse(argc, argv, &options, error);
	free(copy);
	return result;
}

static void teardown(void)
{
	options_free(&options);
	memset(&options, 0, sizeof(options));
}

START_TEST(names)
{
	ck_assert(gvproxy_is_name("gvproxy"));
	ck_assert(gvproxy_is_name("/usr/libexec/podman/gvproxy"));
	ck_assert(gvproxy_is_name("./gvproxy-linux"));
	ck_assert(!gvproxy_is_name("netproxy"));
	ck_assert(!gvproxy_is_name("/gvproxy/netproxy"));
	ck_assert(!gvproxy_is_name("gvproxyd"));
}
END_TEST

START_TEST(defaults)
{
	char text[PREFIX_TEXT_MAX], address[ADDR_TEXT_MAX], at[ENDPOINT_TEXT_MAX];

	ck_assert_msg(parse("") == OPTIONS_RUN, "%s", error);
	ck_assert_str_eq(prefix_format(&options.subnet, text), "192.168.127.0/24");
	ck_assert_str_eq(addr_format(&options.gateway, address), "192.168.127.1");
	ck_assert_str_eq(addr_format(&options.host_alias, address), "192.168.127.254");
	ck_assert_uint_eq(options.mtu, 1500);
	ck_assert_uint_eq(options.publish_count, 1);
	ck_assert_str_eq(endpoint_format(&options.publish[0].spec.local, at), "127.0.0.1:2222");
	ck_assert_str_eq(endpoint_format(&options.publish[0].spec.remote, at), "192.168.127.2:22");
	ck_assert(options.pid_file_bare);
	ck_assert_ptr_nonnull(options.gvproxy);
	ck_assert_uint_eq(options.gvproxy->ssh.port, 2222);
}
END_TEST

START_TEST(links)
{
	ck_assert_msg(parse("-listen-qemu unix:///tmp/q --listen-vfkit=unixgram:///tmp/v "
			    "-listen-bess=unixpacket:///tmp/b --listen-vpnkit unix:///tmp/k "
			    "-listen unix:///tmp/a --listen tcp://127.0.0.1:1234 -services "
			    "tcp://:1235") == OPTIONS_RUN,
		      "%s", error);
	ck_assert_uint_eq(options.link_count, 4);
	ck_assert_int_eq(options.links[0].kind, LINK_OPTION_QEMU_UNIX);
	ck_assert_str_eq(options.links[0].path, "/tmp/q");
	ck_assert_uint_eq(options.api_count, 3);
	ck_assert_str_eq(options.apis[0].path, "/tmp/a");
	ck_assert_uint_eq(options.apis[2].at.port, 1235);
}
END_TEST

static const struct {
	const char *line;
	bool good;
} lines[] = {
	{"-debug", true},
	{"--debug=false -mtu 1400", true},
	{"-debug=T", true},
	{"-debug false", true}, /* "false" ends the flags */
	{"-debug=yes", false},
	{"-mtu", false},
	{"-mtu=", false},
	{"-mtu big", false},
	{"-no-such-flag", false},
	{"-ssh-port -1", true},
	{"-ssh-port 1023", false},
	{"-ssh-port 65536", false},
	{"-ssh-port=65535", true},
	{"-subnet 10.1.0.0/16 -gatewayIP 10.1.0.1 -hostIP 10.1.0.9 -deviceIP 10.1.0.7", true},
	{"-subnet nonsense", false},
	{"-subnet fd00::/64", false},
	{"-gatewayIP 10.0.0.1", false}, /* not in the subnet */
	{"-listen vsock://:1024", false},
	{"-listen /tmp/x", false},
	{"-listen-qemu tcp://:1234", true},
	{"-listen-qemu unixgram:///tmp/x", false},
	{"-listen-qemu unix://relative", false},
	{"-listen-vfkit unix:///tmp/x", false},
	{"-notification unix:///tmp/x", true},
	{"-notification /tmp/x", false},
	{"-forward-sock /tmp/s", false},
	{"-forward-sock /tmp/s -forward-dest /d -forward-user u -forward-identity /etc/passwd",
	 true},
	{"-forward-sock unix:///tmp/s -forward-dest /d -forward-user u -forward-identity /etc/passwd",
	 true},
	{"-forward-sock /tmp/s -forward-dest /d -forward-user -l -forward-identity /etc/passwd",
	 false},
	{"-forward-sock /tmp/s -forward-dest d -forward-user u -forward-identity /etc/passwd",
	 false},
	{"-forward-sock /tmp/s:x -forward-dest /d -forward-user u -forward-identity /etc/passwd",
	 false},
	{"-forward-sock /tmp/s -forward-dest /d -forward-user u -forward-identity /nowhere", false},
	{"-ssh-port -1 -forward-sock /tmp/s -forward-dest /d -forward-user u -forward-identity "
	 "/etc/passwd",
	 false},
	{"-ec2-metadata-access -pcap /tmp/x -pid-file /tmp/x -log-file /tmp/x", true},
	{"-config /nowhere", false},
};

START_TEST(command_lines)
{
	enum options_result result = parse(lines[_i].line);

	ck_assert_msg((result == OPTIONS_RUN) == lines[_i].good, "\"%s\": %s", lines[_i].line,
		      error);
	ck_assert_msg(lines[_i].good || error[0], "\"%s\" without a message", lines[_i].line);
}
END_TEST

/* ---- YAML ---- */

static struct gvproxy_settings settings;

static int read_yaml(const char *text)
{
	gvproxy_settings_clear(&settings);
	error[0] = '\0';
	return gvproxy_yaml_parse(text, strlen(text), &settings, error);
}

static void clear(void)
{
	gvproxy_settings_clear(&settings);
}

START_TEST(yaml)
{
	ck_assert_msg(read_yaml("listen: [unix:///a, 'tcp://:1']\n"
				"interfaces: {qemu: unix:///q}\n"
				"stack:\n  mtu: 4000\n  ec2MetadataAccess: true\n"
				"  forwards: {':80': '192.168.127.2:80'}\n"
				"  dns:\n  - records: [{name: a, ip: 10.0.0.1}]\n    name: x.\n"
				"  - name: y.\n    records:\n    - {regexp: '.*', ip: 10.0.0.2}\n"
				"forwards:\n- {socket: /s, dest: /d, user: u, identity: /i}\n"
				"later: {key: [1, 2]}\nempty:\n") == 0,
		      "%s", error);
	ck_assert_uint_eq(settings.listen.count, 2);
	ck_assert_str_eq(settings.qemu, "unix:///q");
	ck_assert_str_eq(settings.mtu, "4000");
	ck_assert(settings.ec2);
	ck_assert_str_eq(settings.publish_local.items[0], ":80");
	ck_assert_uint_eq(settings.zones.count, 2);
	ck_assert_uint_eq(settings.record_zone[0], 0);
	ck_assert_uint_eq(settings.record_zone[1], 1);
	ck_assert_str_eq(settings.record_regexps.items[1], ".*");
	ck_assert_str_eq(settings.identities.items[0], "/i");
}
END_TEST

START_TEST(bad_yaml)
{
	static const char *const texts[] = {
		"[",
		"- a",
		"just text",
		"stack: {mtu: \"\\0\"}",
		"? [a]\n: b",
		"ec2-metadata-access: maybe",
		"stack: {forwards: {a: [b]}}",
		"a: &a [*a]", /* an alias within what it stands for */
		"a: &a [&b [&c [&d [&e [&f [&g [&h [&i [&j [&k [&l [&m [1]]]]]]]]]]]]]",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_msg(read_yaml(texts[i]) < 0, "\"%s\" was taken", texts[i]);
		ck_assert_msg(error[0], "\"%s\" without a message", texts[i]);
	}
}
END_TEST

START_TEST(yaml_bounds)
{
	size_t size = 64 * (GVPROXY_LIST_MAX + 1);
	char *text = malloc(size);

	snprintf(text, size, "listen:\n");
	for (int i = 0; i <= GVPROXY_LIST_MAX; i++)
		strcat(text, "- unix:///a\n");
	ck_assert_int_lt(read_yaml(text), 0);
	ck_assert_ptr_nonnull(strstr(error, "too many"));
	free(text);
	/* Ten of ten of ten ...: */
	ck_assert_int_lt(read_yaml("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n"
				   "c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d "
				   "[*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\n"
				   "f: [*e,*e,*e,*e,*e,*e,*e,*e]\n"),
			 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gvproxy_options");
	TCase *options_case = unit_case(suite, "command line", NULL, teardown);
	TCase *yaml_case = unit_case(suite, "yaml", NULL, clear);

	tcase_add_test(options_case, names);
	tcase_add_test(options_case, defaults);
	tcase_add_test(options_case, links);
	tcase_add_loop_test(options_case, command_lines, 0, sizeof(lines) / sizeof(lines[0]));
	tcase_add_test(yaml_case, yaml);
	tcase_add_test(yaml_case, bad_yaml);
	tcase_add_test(yaml_case, yaml_bounds);
	return unit_run(suite);
}
