/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports over a restart, and the guests that go; in virtual time. */
#include "netproxy/published.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"
#include "netproxy/options_private.h"
#include "unit.h"

static char directory[64], state_path[96];
static struct loop *loop;
static struct forwarder *forwarder;
static struct publish *publish;
static struct state_file *state;
static struct published *published;
static struct options options;
static struct vsock_option vsocks[2];
static char error[OPTIONS_ERROR_MAX];

static const struct publish_owner host = {.kind = PUBLISH_OWNER_HOST};
static const struct publish_owner guest_1 = {.kind = PUBLISH_OWNER_GUEST, .id = 1};
static const struct publish_owner guest_2 = {.kind = PUBLISH_OWNER_GUEST, .id = 2};

/* What published.c asks of the services. */
int services_guest_addr(struct services *services, const char *name, sa_family_t family,
			struct addr *ret)
{
	(void)services;
	(void)name;
	(void)family;
	(void)ret;
	return -ENOENT;
}

/* A netproxy begins, or begins again. Returns what published_new() does. */
static int begin(void)
{
	struct forwarder_conf conf = {.udp_flows_max = 16};

	mac_parse("5a:94:ef:e4:0c:ee", &conf.stack.mac);
	prefix_parse("192.168.65.0/24", &conf.stack.subnet);
	addr_parse("192.168.65.1", &conf.stack.gateway);
	addr_parse("192.168.65.254", &conf.stack.alias);
	conf.stack.mtu = 1500;
	conf.stack.conns_max = 64;
	ck_assert_int_eq(loop_new(&loop), 0);
	loop_use_virtual_time(loop, 1000000);
	ck_assert_int_eq(forwarder_new(loop, &conf, &forwarder), 0);
	ck_assert_int_eq(publish_new(loop, forwarder, &publish), 0);
	ck_assert_int_eq(state_file_new(loop, state_path, &state), 0);
	published = NULL;
	return published_new(loop, &options, publish, NULL, state, error, &published);
}

static void end(void)
{
	published_free(published);
	publish_free(publish);
	forwarder_free(forwarder);
	state_file_free(state);
	loop_free(loop);
}

static void setup(void)
{
	log_set_levels("error");
	strcpy(directory, "/tmp/np-published-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(state_path, sizeof(state_path), "%s/state", directory);
	options = (struct options){.vsocks = vsocks, .vsock_count = 2};
	ck_assert_msg(begin() == 0, "%s", error);
}

static void teardown(void)
{
	end();
	free(options.publish);
	free(options.guest_publish);
	unlink(state_path);
	ck_assert_int_eq(rmdir(directory), 0);
}

/* Publishes a port that the kernel picks; returns it. */
static struct endpoint add(const struct publish_owner *owner)
{
	struct publish_spec spec = {.owner = *owner};

	ck_assert_int_eq(endpoint_parse("127.0.0.1:0", true, &spec.local), 0);
	ck_assert_int_eq(endpoint_parse("192.168.65.2:80", false, &spec.remote), 0);
	ck_assert_int_eq(publish_add(publish, &spec, 1, 0, NULL), 0);
	return spec.local;
}

static void again(void)
{
	end();
	ck_assert_msg(begin() == 0, "%s", error);
}

START_TEST(survives)
{
	struct publish_owner leased = host;
	struct publish_info info;
	char text[ENDPOINT_TEXT_MAX];
	struct endpoint at;

	leased.lease = 1;
	add(&host);
	at = add(&guest_2);
	add(&leased);
	ck_assert_int_eq(options_apply_publish(&options, "127.0.0.1:0:192.168.65.2:80", error), 0);
	again();
	/* The lease hasn't; the configuration's is new. */
	ck_assert_uint_eq(publish_count(publish), 3);
	ck_assert_int_eq(publish_find(publish, endpoint_format(&at, text), PUBLISH_TCP, &info), 0);
	ck_assert_int_eq(info.spec->owner.kind, PUBLISH_OWNER_GUEST);
	ck_assert_uint_eq(info.spec->owner.id, 2);
	again();
	ck_assert_uint_eq(publish_count(publish), 3);
	/* What was taken back stays away. */
	ck_assert_uint_eq(publish_remove_owner(publish, &host), 1);
	again();
	ck_assert_uint_eq(publish_count(publish), 2);
}
END_TEST

/* Gone are only those that stay away. */
START_TEST(detached)
{
	add(&guest_1);
	add(&guest_2);
	add(&host);
	published_guest_event(published, 1, VSOCK_GUEST_DETACHED);
	published_guest_event(published, 2, VSOCK_GUEST_DETACHED);
	loop_advance(loop, PUBLISHED_GRACE_MS - 1);
	published_guest_event(published, 1, VSOCK_GUEST_ATTACHED);
	ck_assert_uint_eq(publish_count(publish), 3);
	loop_advance(loop, 2 * PUBLISHED_GRACE_MS);
	ck_assert_uint_eq(publish_count(publish), 2);
	ck_assert_uint_eq(publish_remove_owner(publish, &guest_1), 1);
	/* Guests that there are none of. */
	published_guest_event(published, 0, VSOCK_GUEST_DETACHED);
	published_guest_event(published, 3, VSOCK_GUEST_DETACHED);
}
END_TEST

START_TEST(rebooted)
{
	add(&guest_1);
	add(&guest_2);
	add(&host);
	published_guest_event(published, 1, VSOCK_GUEST_RESET);
	ck_assert_uint_eq(publish_count(publish), 2);
	ck_assert_uint_eq(publish_remove_owner(publish, &guest_2), 1);
}
END_TEST

/* After a restart a guest has longer to come back. */
START_TEST(restored_guests)
{
	add(&guest_1);
	add(&guest_2);
	again();
	ck_assert_uint_eq(publish_count(publish), 2);
	loop_advance(loop, PUBLISHED_RESTORED_GRACE_MS - 1);
	ck_assert_uint_eq(publish_count(publish), 2);
	published_guest_event(published, 2, VSOCK_GUEST_ATTACHED);
	loop_advance(loop, 1);
	ck_assert_uint_eq(publish_count(publish), 1);
	ck_assert_uint_eq(publish_remove_owner(publish, &guest_2), 1);
}
END_TEST

START_TEST(waits_for_its_port)
{
	struct endpoint at = add(&host);
	int fd;

	end();
	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, NULL), 0);
	ck_assert_int_eq(begin(), 0);
	ck_assert_uint_eq(publish_count(publish), 0);
	/* It isn't forgotten meanwhile. */
	again();
	loop_advance(loop, PUBLISHED_RETRY_MS);
	ck_assert_uint_eq(publish_count(publish), 0);
	close(fd);
	loop_advance(loop, PUBLISHED_RETRY_MS);
	ck_assert_uint_eq(publish_count(publish), 1);
}
END_TEST

START_TEST(waits_in_vain)
{
	struct endpoint at = add(&host);
	int fd;

	log_set_file("/dev/null");
	end();
	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, NULL), 0);
	ck_assert_int_eq(begin(), 0);
	loop_advance(loop, PUBLISHED_RETRY_MS * PUBLISHED_RETRIES_MAX);
	close(fd);
	loop_advance(loop, PUBLISHED_RETRY_MS * 2);
	ck_assert_uint_eq(publish_count(publish), 0);
	again();
	ck_assert_uint_eq(publish_count(publish), 0);
	log_set_file(NULL);
}
END_TEST

START_TEST(guest_rules)
{
	struct publish_spec spec = {.owner = guest_1};

	ck_assert_int_eq(options_apply_guest_publish(&options, "127.0.0.2", error), 0);
	again();
	ck_assert_int_eq(endpoint_parse("127.0.0.1:0", true, &spec.local), 0);
	ck_assert_int_eq(endpoint_parse("192.168.65.2:80", false, &spec.remote), 0);
	ck_assert_int_eq(publish_add(publish, &spec, 1, 0, NULL), -EPERM);
	spec.local_text[0] = '\0';
	ck_assert_int_eq(endpoint_parse("127.0.0.2:0", true, &spec.local), 0);
	ck_assert_int_eq(publish_add(publish, &spec, 1, 0, NULL), 0);
}
END_TEST

START_TEST(options_that_fail)
{
	struct endpoint at = add(&host);
	char text[64];

	end();
	at.port = 0;
	int fd;
	ck_assert_int_eq(sock_listen_tcp(&at, 1, &fd, &at), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u:192.168.65.2:80", at.port);
	ck_assert_int_eq(options_apply_publish(&options, text, error), 0);
	ck_assert_int_eq(begin(), -EADDRINUSE);
	snprintf(text, sizeof(text), "--publish 127.0.0.1:%u: Address already in use: ", at.port);
	ck_assert_msg(strncmp(error, text, strlen(text)) == 0, "%s", error);
	/* Its number isn't found in time where the machine is busy. */
	ck_assert(strstr(error, "(pid ") || strstr(error, "a program of user "));
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("published");
	TCase *tcase = unit_case(suite, "all", setup, teardown);

	tcase_add_test(tcase, survives);
	tcase_add_test(tcase, detached);
	tcase_add_test(tcase, rebooted);
	tcase_add_test(tcase, restored_guests);
	tcase_add_test(tcase, waits_for_its_port);
	tcase_add_test(tcase, waits_in_vain);
	tcase_add_test(tcase, guest_rules);
	tcase_add_test(tcase, options_that_fail);
	return unit_run(suite);
}
