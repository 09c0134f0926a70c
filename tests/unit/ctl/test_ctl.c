/* SPDX-License-Identifier: Apache-2.0 */
/* netproxyctl against the real API, which runs in a child process: what it prints, and how it
 * exits. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/api.h"
#include "base/log.h"
#include "base/sock.h"
#include "ctl/ctl.h"
#include "unit.h"

static char directory[] = "/tmp/netproxy-test-XXXXXX";
static char host_path[64], guest_path[64];
static struct endpoint tcp_at; /* the third door */
static pid_t server;
static char *out_text, *err_text;

/* ---- The server ---- */

static void leases(void *arg, api_lease_fn *fn, void *visitor)
{
	struct api_lease lease = {.hostname = "one\x1b", .expires_s = 3720};

	(void)arg;
	addr_parse("192.168.65.2", &lease.address);
	mac_parse("52:54:00:00:00:02", &lease.mac);
	fn(visitor, &lease);
	addr_parse("192.168.65.3", &lease.address);
	lease.hostname = "";
	lease.expires_s = API_LEASE_NEVER_ENDS;
	fn(visitor, &lease);
}

static int guest_addr(void *arg, uint32_t guest_id, struct addr *ret)
{
	(void)arg;
	(void)guest_id;
	return addr_parse("192.168.65.2", ret);
}

static void on_term(void *arg)
{
	loop_stop(arg, 0);
}

static int must(int r)
{
	if (r < 0)
		_exit(100);
	return r;
}

/* Says on `ready_fd` that its doors are open, and serves until SIGTERM. */
static void serve(int ready_fd)
{
	struct forwarder_conf conf = {.udp_flows_max = 16};
	struct api_backend backend = {.leases = leases, .guest_addr = guest_addr};
	struct loop *loop;
	struct loop_signal *term;
	struct api *api;
	char error[API_LISTEN_ERROR_MAX];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_set_levels("warn");
	mac_parse("5a:94:ef:e4:0c:ee", &conf.stack.mac);
	prefix_parse("192.168.65.0/24", &conf.stack.subnet);
	addr_parse("192.168.65.1", &conf.stack.gateway);
	addr_parse("192.168.65.254", &conf.stack.alias);
	conf.stack.mtu = 1500;
	conf.stack.conns_max = 64;
	must(loop_new(&loop));
	must(loop_signal_new(loop, SIGTERM, on_term, loop, &term));
	must(forwarder_new(loop, &conf, &backend.forwarder));
	must(publish_new(loop, backend.forwarder, &backend.publish));
	must(api_new(loop, &backend, &api));
	must(api_listen_unix(api, host_path,
			     &(struct api_door){.kind = API_DOOR_HOST, .guest_id = 0}, error));
	must(api_listen_unix(api, guest_path,
			     &(struct api_door){.kind = API_DOOR_GUEST, .guest_id = 1}, error));
	addr_parse("127.0.0.1", &tcp_at.addr);
	must(api_listen_tcp(api, &tcp_at, &(struct api_door){.kind = API_DOOR_HOST, .guest_id = 0},
			    &tcp_at, error));
	must((int)write(ready_fd, &tcp_at, sizeof(tcp_at)));
	must(loop_run(loop));
	api_free(api);
	publish_free(backend.publish);
	forwarder_free(backend.forwarder);
	loop_signal_free(term);
	loop_free(loop);
	exit(0);
}

static void setup(void)
{
	int fds[2];

	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(host_path, sizeof(host_path), "%s/host", directory);
	snprintf(guest_path, sizeof(guest_path), "%s/guest", directory);
	ck_assert_int_eq(pipe(fds), 0);
	server = fork();
	ck_assert_int_ge(server, 0);
	if (server == 0)
		serve(fds[1]);
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], &tcp_at, sizeof(tcp_at)), sizeof(tcp_at));
	close(fds[0]);
}

static void teardown(void)
{
	int status;

	free(out_text);
	free(err_text);
	kill(server, SIGTERM);
	ck_assert_int_eq(waitpid(server, &status, 0), server);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(rmdir(directory), 0);
}

/* ---- The client ---- */

/* Runs "netproxyctl LINE"; what it printed is in out_text and err_text. */
static enum ctl_status run_at(const char *api, const char *line)
{
	const struct ctl_env env = {.api = api};
	char copy[256], *argv[16] = {"netproxyctl"};
	int argc = 1;
	size_t out_size, err_size;
	enum ctl_status status;
	FILE *out, *err;

	free(out_text);
	free(err_text);
	out = open_memstream(&out_text, &out_size);
	err = open_memstream(&err_text, &err_size);
	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	status = ctl_run(argc, argv, &env, out, err);
	fclose(out);
	fclose(err);
	return status;
}

static enum ctl_status run(const char *line)
{
	return run_at(host_path, line);
}

static void check_has(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part), "\"%s\" lacks \"%s\"", text, part);
}

static void check_out(const char *line, const char *part)
{
	ck_assert_msg(run(line) == CTL_OK, "%s: %s", line, err_text);
	check_has(out_text, part);
}

static void check_err(const char *line, enum ctl_status status, const char *part)
{
	ck_assert_msg(run(line) == status, "%s: %s%s", line, out_text, err_text);
	check_has(err_text, part);
	ck_assert_str_eq(out_text, "");
}

START_TEST(publishing)
{
	char unexpose[128], bound[64];

	ck_assert_int_eq(run("ports"), CTL_OK);
	check_has(err_text, "Nothing is published.");
	check_out("expose 127.0.0.1:0 80", "published 127.0.0.1:");
	check_has(out_text, " -> 192.168.65.2:80 (tcp)\n");
	ck_assert_int_eq(sscanf(out_text, "published %63s", bound), 1);
	check_out("ports", "LOCAL");
	check_has(out_text, bound);
	check_has(out_text, "192.168.65.2:80  tcp");
	snprintf(unexpose, sizeof(unexpose), "expose %s 80", bound);
	check_out(unexpose, "published 127.0.0.1:"); /* the same again */
	snprintf(unexpose, sizeof(unexpose), "expose %s 81", bound);
	check_err(unexpose, CTL_FAILED, "is published already: it belongs to the host's API");
	check_out("expose --udp 127.0.0.1:0 192.168.65.3:53", "192.168.65.3:53 (udp)");
	check_out("ports --json", "\"protocol\": \"udp\"");
	/* By what it listens at, too. */
	snprintf(unexpose, sizeof(unexpose), "unexpose %s", bound);
	check_out(unexpose, "no longer published: 127.0.0.1:");
	check_err(unexpose, CTL_FAILED, "is not published; \"netproxyctl ports\" lists what is");
	check_out("expose 127.0.0.1:0 web:80 --name x --for y --source gateway --proxy=v2",
		  "-> web:80");
	check_out("ports", "host, y");
	check_out("expose 127.0.0.1:0 10.88.0.5:80 --via box --name z",
		  "-> 10.88.0.5:80 via box (tcp)");
	check_out("ports", "10.88.0.5:80 via box  tcp");
	check_out("unexpose --name z", "no longer published: z\n");
	check_err("guests --via box", CTL_USAGE, "--via means nothing to guests");
	check_out("unexpose --name x", "no longer published: x\n");
	check_err("unexpose --for y", CTL_FAILED, "nothing like that is published");
	check_out("ports", "ACTIVE");
	ck_assert_int_eq(sscanf(strstr(out_text, "127.0.0.1:"), "%63s", bound), 1);
	snprintf(unexpose, sizeof(unexpose), "unexpose %s -udp", bound);
	check_out(unexpose, "(udp)");
	check_out("ports --json", "[");
	ck_assert_ptr_null(strstr(out_text, "local"));
}
END_TEST

/* ":P", "P" and "0.0.0.0:P" are the same to a user. */
START_TEST(unexpose_by_meaning)
{
	struct endpoint at = {.port = 0};
	char line[128];
	int fd;

	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, &at), 0);
	close(fd);
	snprintf(line, sizeof(line), "expose 0.0.0.0:%u 80 --json", at.port);
	check_out(line, "\"remote\": \"192.168.65.2:80\"");
	snprintf(line, sizeof(line), "unexpose %u", at.port);
	check_out(line, "no longer published: 0.0.0.0:");
}
END_TEST

/* Of both protocols, all or none; and back one by one. On an address that nobody else has. */
START_TEST(ranges)
{
	struct endpoint at = {
		.addr = addr_from_v4(0x7f4d0000u | ((uint32_t)getpid() & 0xffffu) | 1)};
	char line[128], host[ADDR_TEXT_MAX];
	int fd;

	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, &at), 0);
	addr_format(&at.addr, host);
	snprintf(line, sizeof(line), "expose %s:%u-%u 80", host, at.port - 1, at.port);
	check_err(line, CTL_FAILED, "address already in use");
	close(fd);
	snprintf(line, sizeof(line), "expose %s:%u-%u 80-81 --both", host, at.port - 1, at.port);
	check_out(line, "192.168.65.2:81 (udp)");
	snprintf(line, sizeof(line), "unexpose %s:%u-%u --udp", host, at.port - 1, at.port);
	check_out(line, "(udp)");
	check_err(line, CTL_FAILED, "is not published");
	snprintf(line, sizeof(line), "unexpose %s:%u-%u", host, at.port - 1, at.port);
	check_out(line, "(tcp)");
	ck_assert_int_eq(run("ports"), CTL_OK);
	check_has(err_text, "Nothing is published.");
}
END_TEST

START_TEST(refusals)
{
	check_err("expose 198.51.100.77:8080 80", CTL_FAILED,
		  "bind: cannot assign requested address");
	check_err("expose 8080 10.1.1.1:80", CTL_FAILED, "an address of a guest");
	ck_assert_int_eq(run_at(guest_path, "leases"), CTL_FAILED);
	check_has(err_text, "netproxyctl: this is for the host, not for guests\n");
	ck_assert_int_eq(run_at(guest_path, "version"), CTL_OK);
}
END_TEST

START_TEST(over_tcp)
{
	char at[ENDPOINT_TEXT_MAX], api[ENDPOINT_TEXT_MAX + 4];

	snprintf(api, sizeof(api), "tcp:%s", endpoint_format(&tcp_at, at));
	ck_assert_msg(run_at(api, "expose 127.0.0.1:0 80") == CTL_OK, "%s", err_text);
	ck_assert_msg(run_at(api, "unexpose 127.0.0.1:0") == CTL_FAILED, "%s", err_text);
	ck_assert_msg(run_at(api, "expose 127.0.0.1:0 80 --name n") == CTL_OK, "%s", err_text);
	ck_assert_msg(run_at(api, "unexpose --name n") == CTL_OK, "%s", err_text);
}
END_TEST

START_TEST(showing)
{
	check_out("leases", "ADDRESS       MAC                NAME  ENDS IN\n"
			    "192.168.65.2  52:54:00:00:00:02  one?  1h 2m\n"
			    "192.168.65.3  52:54:00:00:00:02  -     never\n");
	check_out("guests", "192.168.65.2  52:54:00:00:00:02  one?  -\n");
	check_out("guests --json", "\"link\": \"\"");
	ck_assert_int_eq(run("links"), CTL_OK);
	check_has(err_text, "No guest is attached.");
	check_out("policy", "deny 169.254.0.0/16");
	check_has(out_text, "built-in");
	check_out("policy --json", "\"rule\": \"allow any\"");
	check_out("stats", "BytesSent ");
	check_has(out_text, "Policy.Denied ");
	check_has(out_text, "TCP.Flows ");
	check_out("stats --json", "\"BytesSent\": 0");
	check_out("version", "netproxyctl " NETPROXY_VERSION "\nnetproxy " NETPROXY_VERSION
			     ", network 192.168.65.0/24");
}
END_TEST

START_TEST(usage)
{
	check_err("", CTL_USAGE, "usage: netproxyctl");
	check_err("expose 8080", CTL_USAGE, "usage: netproxyctl expose LOCAL REMOTE [--udp]");
	check_err("ports x", CTL_USAGE, "usage: netproxyctl ports (\"netproxyctl ports --help\"");
	check_err("ports --udp", CTL_USAGE, "it is for expose and unexpose");
	check_err("ports --name x", CTL_USAGE, "--name means nothing to ports");
	check_err("unexpose --name x 80", CTL_USAGE, "usage: netproxyctl unexpose");
	check_err("expose 80 81 --source", CTL_USAGE, "--source needs to be told");
	check_err("expose 80-70 81", CTL_USAGE, "is not where the host can listen");
	check_err("expose 80 1.2.3:81", CTL_USAGE, "is not a port of a guest");
	check_err("expose x 80", CTL_USAGE, "is not where the host can listen");
	check_err("expose 80 x", CTL_USAGE, "is not a port of a guest");
	check_err("reserve 192.168.65.9", CTL_USAGE,
		  "usage: netproxyctl reserve ADDRESS MAC [--name NAME]");
	check_err("reserve fd00::1 52:54:00:00:00:01", CTL_USAGE, "is no IPv4 address");
	check_err("reserve 192.168.65.9 web", CTL_USAGE, "is no MAC");
	check_err("reserve 192.168.65.9 52:54:00:00:00:01 --udp", CTL_USAGE, "--udp means nothing");
	check_err("reserve 192.168.65.9 52:54:00:00:00:01 --name x", CTL_FAILED,
		  "this network gives no addresses");
	check_err("unreserve web", CTL_USAGE, "is no IPv4 address");
	check_err("unreserve 192.168.65.9", CTL_FAILED, "is reserved for no MAC");
	check_err("reservations", CTL_OK, "No address is reserved.");
	check_err("publish", CTL_USAGE, "there is no command \"publish\": did you mean expose?");
	check_err("zzzz", CTL_USAGE, "there is no command \"zzzz\"; netproxyctl --help lists");
	check_err("--nope", CTL_USAGE, "there is no flag --nope; netproxyctl --help lists");
	check_err("ports --jsno", CTL_USAGE, "there is no flag --jsno: did you mean --json?");
	check_err("--tiemout=3 ports", CTL_USAGE, "did you mean --timeout?");
	check_err("expose 127.0.0.1:8080:80", CTL_USAGE, "two words: expose 127.0.0.1:8080 80");
	check_out("--help", "To start:");
	check_out("help", "Exit status:");
	check_out("help expose", "netproxyctl expose 8080 80");
	check_out("unexpose -h", "Take a published port back.");
	check_out("--version", "netproxyctl " NETPROXY_VERSION "\n");
}
END_TEST

START_TEST(nobody_there)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "unix:%s/none", directory);
	ck_assert_int_eq(run_at(path, "ports"), CTL_UNREACHABLE);
	check_has(err_text, "no such file: is it running? Start it with\n    netproxy --api unix:");
	/* A file that a dead one left. */
	ck_assert_int_eq(sock_listen_unix(path + 5, SOCK_STREAM, &fd), 0);
	close(fd);
	ck_assert_int_eq(run_at(path, "ports"), CTL_UNREACHABLE);
	check_has(err_text, "nobody listens there");
	ck_assert_int_eq(unlink(path + 5), 0);
	/* One that takes the connection and says nothing. */
	ck_assert_int_eq(sock_listen_unix(path + 5, SOCK_STREAM, &fd), 0);
	ck_assert_int_eq(run_at(path, "ports --timeout 1"), CTL_UNREACHABLE);
	check_has(err_text, "no answer of unix socket");
	close(fd);
	ck_assert_int_eq(unlink(path + 5), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl");
	TCase *tcase = unit_case(suite, "all", setup, teardown);

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, publishing);
	tcase_add_test(tcase, unexpose_by_meaning);
	tcase_add_test(tcase, ranges);
	tcase_add_test(tcase, refusals);
	tcase_add_test(tcase, over_tcp);
	tcase_add_test(tcase, showing);
	tcase_add_test(tcase, usage);
	tcase_add_test(tcase, nobody_there);
	return unit_run(suite);
}
