/* SPDX-License-Identifier: Apache-2.0 */
/* Relaying to resolvers that answer, fail, lie and stay silent, played on loopback sockets. */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "dns/dns_upstream.h"
#include "dns_test.h"
#include "unit.h"

/* Short times: a silent resolver costs a test TRY_MS. */
#define TRY_MS      30
#define DEADLINE_MS 90

static struct loop *loop;
static struct dns_upstream *upstream;
static struct addr client;

/* How a relayed query ended. */
struct outcome {
	unsigned count;
	int error;
	size_t size;
	uint8_t reply[2048];
};

static void setup(void)
{
	ck_assert_int_eq(loop_new(&loop), 0);
	ck_assert_int_eq(dns_upstream_new(loop, TRY_MS, DEADLINE_MS, &upstream), 0);
	client = test_addr("192.168.65.2");
}

static void teardown(void)
{
	dns_upstream_free(upstream);
	loop_free(loop);
}

static void on_end(void *arg, int error, const void *reply, size_t size)
{
	struct outcome *outcome = arg;

	outcome->count++;
	outcome->error = error;
	outcome->size = size;
	if (reply) {
		ck_assert_int_eq(error, 0);
		memcpy(outcome->reply, reply, size < sizeof(outcome->reply) ? size : 2048);
	}
}

static int relay_for(const struct addr *whose, enum dns_transport transport,
		     const struct dns_resolver *resolvers, size_t count, struct outcome *outcome,
		     struct dns_relay **ret_relay)
{
	uint8_t message[512];
	struct dns_query query;
	size_t size = test_query(7, "example.com", DNS_TYPE_A, 0, message);

	*outcome = (struct outcome){0};
	ck_assert_int_eq(dns_query_parse(message, size, &query), 0);
	return dns_upstream_relay(upstream, transport, whose, resolvers, count, &query, message,
				  size, on_end, outcome, ret_relay);
}

static int relay(const struct dns_resolver *resolvers, size_t count, struct outcome *outcome)
{
	struct dns_relay *unused;

	return relay_for(&client, DNS_UDP, resolvers, count, outcome, &unused);
}

static void wait_for(const struct outcome *outcome)
{
	while (outcome->count == 0)
		loop_run_once(loop, true);
	ck_assert_uint_eq(outcome->count, 1);
}

/* Receives the query at a resolver and answers it with a code. */
static void serve(const struct test_resolver *resolver, int rcode)
{
	struct sockaddr_storage from;
	uint8_t message[512];
	size_t size = test_resolver_receive(loop, resolver, message, &from);

	size = test_make_reply(message, size, rcode, 0);
	test_resolver_send(resolver, &from, message, size);
}

START_TEST(reply_is_relayed)
{
	struct test_resolver a = test_resolver_open();
	struct outcome outcome;

	ck_assert_int_eq(relay(&a.address, 1, &outcome), 0);
	ck_assert_uint_eq(dns_upstream_pending(upstream), 1);
	serve(&a, DNS_RCODE_NXDOMAIN);
	wait_for(&outcome);
	ck_assert_int_eq(outcome.error, 0);
	ck_assert_int_eq(dns_reply_rcode(outcome.reply), DNS_RCODE_NXDOMAIN);
	ck_assert_uint_eq(dns_upstream_pending(upstream), 0);
	test_resolver_close(&a);
}
END_TEST

START_TEST(ids_and_ports_differ)
{
	struct test_resolver a = test_resolver_open();
	struct outcome outcomes[8];
	struct sockaddr_storage from;
	unsigned same_ids = 0, same_ports = 0;
	uint16_t ids[8], ports[8];
	uint8_t message[512];

	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(relay(&a.address, 1, &outcomes[i]), 0);
		test_resolver_receive(loop, &a, message, &from);
		ids[i] = (uint16_t)(message[0] << 8 | message[1]);
		ports[i] = ((struct sockaddr_in *)&from)->sin_port;
		for (int j = 0; j < i; j++) {
			same_ids += ids[i] == ids[j];
			same_ports += ports[i] == ports[j];
		}
	}
	ck_assert_uint_lt(same_ids, 3);
	ck_assert_uint_eq(same_ports, 0);
	test_resolver_close(&a);
}
END_TEST

START_TEST(forged_replies_are_ignored)
{
	struct test_resolver a = test_resolver_open();
	struct sockaddr_storage from;
	struct outcome outcome;
	uint8_t message[512];

	ck_assert_int_eq(relay(&a.address, 1, &outcome), 0);
	size_t size = test_resolver_receive(loop, &a, message, &from);
	test_make_reply(message, size, DNS_RCODE_NOERROR, 0);
	message[0] ^= 1;
	test_resolver_send(&a, &from, message, size);
	message[0] ^= 1;
	message[14] ^= 1; /* the name */
	test_resolver_send(&a, &from, message, size);
	message[14] ^= 1;
	test_resolver_send(&a, &from, message, 5);
	message[3] |= DNS_RCODE_NXDOMAIN;
	test_resolver_send(&a, &from, message, size);
	wait_for(&outcome);
	ck_assert_int_eq(dns_reply_rcode(outcome.reply), DNS_RCODE_NXDOMAIN);
	ck_assert_uint_eq(dns_upstream_stats(upstream)->mismatches, 3);
	test_resolver_close(&a);
}
END_TEST

START_TEST(a_lost_query_is_sent_again)
{
	struct test_resolver a = test_resolver_open();
	struct sockaddr_storage from, again;
	uint8_t message[512], copy[512];
	struct outcome outcome;

	ck_assert_int_eq(relay(&a.address, 1, &outcome), 0);
	size_t size = test_resolver_receive(loop, &a, message, &from);
	ck_assert_uint_eq(test_resolver_receive(loop, &a, copy, &again), size);
	ck_assert_mem_eq(message, copy, size);
	test_make_reply(copy, size, DNS_RCODE_NOERROR, 0);
	test_resolver_send(&a, &again, copy, size);
	wait_for(&outcome);
	ck_assert_int_eq(outcome.error, 0);
	ck_assert_uint_ge(dns_upstream_stats(upstream)->retries, 1);
	test_resolver_close(&a);
}
END_TEST

START_TEST(silent_resolvers_end_in_a_timeout)
{
	struct test_resolver a = test_resolver_open();
	struct outcome outcome;

	ck_assert_int_eq(relay(&a.address, 1, &outcome), 0);
	wait_for(&outcome);
	ck_assert_int_eq(outcome.error, -ETIMEDOUT);
	ck_assert_uint_eq(dns_upstream_stats(upstream)->timeouts, 1);
	test_resolver_close(&a);
}
END_TEST

START_TEST(silence_leads_to_the_next_resolver)
{
	struct test_resolver a = test_resolver_open(), b = test_resolver_open();
	struct dns_resolver both[] = {a.address, b.address};
	struct sockaddr_storage from;
	struct outcome outcome;
	uint8_t message[512];

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(relay(both, 2, &outcome), 0);
		test_resolver_receive(loop, &a, message, &from);
		serve(&b, DNS_RCODE_NOERROR);
		wait_for(&outcome);
		ck_assert_int_eq(outcome.error, 0);
	}
	/* After two failures the second one is asked first; the first would not be served here. */
	ck_assert_uint_eq(dns_upstream_stats(upstream)->resolvers_down, 1);
	uint64_t retries = dns_upstream_stats(upstream)->retries;
	ck_assert_int_eq(relay(both, 2, &outcome), 0);
	serve(&b, DNS_RCODE_NOERROR);
	wait_for(&outcome);
	ck_assert_uint_eq(dns_upstream_stats(upstream)->retries, retries);
	test_resolver_close(&a);
	test_resolver_close(&b);
}
END_TEST

START_TEST(a_late_reply_still_counts)
{
	struct test_resolver a = test_resolver_open(), b = test_resolver_open();
	struct dns_resolver both[] = {a.address, b.address};
	struct sockaddr_storage from_a, from_b;
	uint8_t to_a[512], to_b[512];
	struct outcome outcome;

	ck_assert_int_eq(relay(both, 2, &outcome), 0);
	size_t size = test_resolver_receive(loop, &a, to_a, &from_a);
	test_resolver_receive(loop, &b, to_b, &from_b);
	test_make_reply(to_a, size, DNS_RCODE_NOERROR, 0);
	test_resolver_send(&a, &from_a, to_a, size);
	wait_for(&outcome);
	ck_assert_int_eq(outcome.error, 0);
	ck_assert_mem_eq(outcome.reply, to_a, size);
	test_resolver_close(&a);
	test_resolver_close(&b);
}
END_TEST

START_TEST(a_closed_port_leads_to_the_next_resolver_at_once)
{
	struct test_resolver a = test_resolver_open(), b = test_resolver_open();
	struct dns_resolver both[] = {a.address, b.address};
	struct outcome outcome;

	test_resolver_close(&a);
	ck_assert_int_eq(relay(both, 2, &outcome), 0);
	serve(&b, DNS_RCODE_NOERROR);
	wait_for(&outcome);
	ck_assert_int_eq(outcome.error, 0);
	test_resolver_close(&b);
	ck_assert_int_eq(relay(both, 2, &outcome), 0);
	wait_for(&outcome);
	ck_assert_int_eq(outcome.error, -ECONNREFUSED);
	ck_assert_uint_eq(dns_upstream_stats(upstream)->timeouts, 0);
	ck_assert_uint_eq(dns_upstream_stats(upstream)->unreachable, 1);
}
END_TEST

START_TEST(refusal_is_passed_on_when_nobody_does_better)
{
	struct test_resolver a = test_resolver_open(), b = test_resolver_open();
	struct dns_resolver both[] = {a.address, b.address};
	struct outcome outcome;

	ck_assert_int_eq(relay(both, 2, &outcome), 0);
	serve(&a, DNS_RCODE_REFUSED);
	serve(&b, DNS_RCODE_SERVFAIL);
	wait_for(&outcome);
	ck_assert_int_eq(outcome.error, 0);
	ck_assert_int_eq(dns_reply_rcode(outcome.reply), DNS_RCODE_REFUSED);
	ck_assert_int_eq(relay(both, 2, &outcome), 0);
	serve(&a, DNS_RCODE_SERVFAIL);
	serve(&b, DNS_RCODE_NOERROR);
	wait_for(&outcome);
	ck_assert_int_eq(dns_reply_rcode(outcome.reply), DNS_RCODE_NOERROR);
	test_resolver_close(&a);
	test_resolver_close(&b);
}
END_TEST

/* Accepts the connection of a TCP query and reads it, length and all. */
static size_t tcp_receive(const struct test_resolver *resolver, uint8_t to[static 512], int *ret_fd)
{
	size_t got = 0;

	while (sock_accept(resolver->tcp_fd, ret_fd, NULL) == -EAGAIN)
		loop_run_once(loop, false);
	while (got < 2 || got < 2u + (size_t)(to[0] << 8 | to[1])) {
		ssize_t n = read(*ret_fd, to + got, 512 - got);

		ck_assert(n > 0 || (n < 0 && errno == EAGAIN));
		got += n > 0 ? (size_t)n : 0;
		loop_run_once(loop, false);
	}
	return got - 2;
}

START_TEST(tcp_is_relayed_over_tcp)
{
	struct test_resolver a = test_resolver_open();
	static uint8_t message[65537];
	struct dns_relay *unused;
	struct outcome outcome;
	size_t size, sent = 0;
	int fd;

	ck_assert_int_eq(relay_for(&client, DNS_TCP, &a.address, 1, &outcome, &unused), 0);
	size = tcp_receive(&a, message, &fd);
	/* As large as a message gets. */
	test_make_reply(message + 2, size, DNS_RCODE_NOERROR, DNS_MESSAGE_MAX - size);
	message[0] = message[1] = 0xff;
	while (sent < sizeof(message)) {
		ssize_t n = write(fd, message + sent, sizeof(message) - sent);

		ck_assert(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		loop_run_once(loop, false);
	}
	wait_for(&outcome);
	ck_assert_uint_eq(outcome.size, DNS_MESSAGE_MAX);
	ck_assert_mem_eq(outcome.reply, message + 2, sizeof(outcome.reply));
	fd_close(&fd);
	test_resolver_close(&a);
}
END_TEST

START_TEST(tcp_that_breaks_off_leads_to_the_next_resolver)
{
	struct test_resolver a = test_resolver_open(), b = test_resolver_open();
	struct dns_resolver both[] = {a.address, b.address};
	struct dns_relay *unused;
	struct outcome outcome;
	uint8_t message[514];
	int fd;

	ck_assert_int_eq(relay_for(&client, DNS_TCP, both, 2, &outcome, &unused), 0);
	tcp_receive(&a, message, &fd);
	ck_assert_int_eq(write(fd, "\0\100abc", 5), 5);
	fd_close(&fd);
	size_t size = tcp_receive(&b, message, &fd);
	test_make_reply(message + 2, size, DNS_RCODE_NOERROR, 0);
	ck_assert_int_eq(write(fd, message, size + 2), (int)size + 2);
	wait_for(&outcome);
	ck_assert_int_eq(outcome.error, 0);
	ck_assert_uint_eq(outcome.size, size);
	fd_close(&fd);
	test_resolver_close(&a);
	test_resolver_close(&b);
}
END_TEST

START_TEST(cancelled_queries_are_silent)
{
	struct test_resolver a = test_resolver_open();
	struct dns_relay *first;
	struct outcome outcome, other;

	ck_assert_int_eq(relay_for(&client, DNS_UDP, &a.address, 1, &outcome, &first), 0);
	ck_assert_int_eq(relay(&a.address, 1, &other), 0);
	dns_upstream_cancel(first);
	ck_assert_uint_eq(dns_upstream_pending(upstream), 1);
	wait_for(&other);
	ck_assert_uint_eq(outcome.count, 0);
	test_resolver_close(&a);
}
END_TEST

START_TEST(without_resolvers_it_fails_at_once)
{
	struct outcome outcome;

	ck_assert_int_eq(relay(NULL, 0, &outcome), -ENOENT);
	ck_assert_uint_eq(dns_upstream_pending(upstream), 0);
	ck_assert_uint_eq(outcome.count, 0);
}
END_TEST

START_TEST(the_table_is_shared_fairly)
{
	struct test_resolver a = test_resolver_open();
	struct rlimit limit;
	static struct outcome outcomes[DNS_PENDING_MAX + 1];
	struct dns_relay *unused;
	unsigned ended = 0;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < DNS_PENDING_MAX + 64) {
		fprintf(stderr, "skipped: too few file descriptors are allowed\n");
		test_resolver_close(&a);
		return;
	}
	/* Four clients fill it; none gets more than its share, and none's young queries are given
	 * up. */
	for (unsigned i = 0; i < DNS_PENDING_MAX; i++) {
		struct addr whose = addr_from_v4(0x0a000000 + i / DNS_PENDING_PER_CLIENT_MAX);

		ck_assert_int_eq(relay_for(&whose, DNS_UDP, &a.address, 1, &outcomes[i], &unused),
				 0);
	}
	struct addr flooder = addr_from_v4(0x0a000000);
	ck_assert_int_eq(
		relay_for(&flooder, DNS_UDP, &a.address, 1, &outcomes[DNS_PENDING_MAX], &unused),
		-EBUSY);
	ck_assert_uint_eq(dns_upstream_stats(upstream)->rejected, 1);
	/* A fifth is served at once, at the cost of one who has plenty. */
	ck_assert_int_eq(
		relay_for(&client, DNS_UDP, &a.address, 1, &outcomes[DNS_PENDING_MAX], &unused), 0);
	ck_assert_uint_eq(dns_upstream_stats(upstream)->evicted, 1);
	for (unsigned i = 0; i < DNS_PENDING_MAX; i++) {
		ended += outcomes[i].count;
		if (outcomes[i].count)
			ck_assert_int_eq(outcomes[i].error, -EBUSY);
	}
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(dns_upstream_pending(upstream), DNS_PENDING_MAX);
	test_resolver_close(&a);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns_upstream");
	TCase *tc = unit_case(suite, "dns_upstream", setup, teardown);

	tcase_add_test(tc, reply_is_relayed);
	tcase_add_test(tc, ids_and_ports_differ);
	tcase_add_test(tc, forged_replies_are_ignored);
	tcase_add_test(tc, a_lost_query_is_sent_again);
	tcase_add_test(tc, silent_resolvers_end_in_a_timeout);
	tcase_add_test(tc, silence_leads_to_the_next_resolver);
	tcase_add_test(tc, a_late_reply_still_counts);
	tcase_add_test(tc, a_closed_port_leads_to_the_next_resolver_at_once);
	tcase_add_test(tc, refusal_is_passed_on_when_nobody_does_better);
	tcase_add_test(tc, tcp_is_relayed_over_tcp);
	tcase_add_test(tc, tcp_that_breaks_off_leads_to_the_next_resolver);
	tcase_add_test(tc, cancelled_queries_are_silent);
	tcase_add_test(tc, without_resolvers_it_fails_at_once);
	tcase_add_test(tc, the_table_is_shared_fairly);
	return unit_run(suite);
}
