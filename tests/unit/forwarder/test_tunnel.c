/* SPDX-License-Identifier: Apache-2.0 */
/* Guests' connections by way of an HTTP proxy on the host's loopback. */
#include <netinet/tcp.h>
#include <poll.h>

#include "forwarder/egress.h"
#include "forwarder/flow_tcp_egress.h"
#include "forwarder_test.h"
#include "tls_sample.h"
#include "unit.h"

static struct egress_conf conf;
static int listener;

static void setup_proxy(void)
{
	conf = (struct egress_conf){0};
	listener = host_socket(SOCK_STREAM, &conf.http.port);
	strcpy(conf.http.host, "127.0.0.1");
	conf.http.is_address = true;
	conf.http.addrs[0] = address("127.0.0.1");
	conf.http.addr_count = 1;
	conf.https = conf.http;
	egress = &conf;
	setup();
	tcp.peer = (struct endpoint){.addr = address("203.0.113.1"), .port = 443};
}

/* The forwarder anew, with what the test has changed in `conf`. */
static void restart(void)
{
	struct endpoint peer = tcp.peer;

	teardown();
	setup();
	tcp.peer = peer;
}

static void teardown_proxy(void)
{
	teardown();
	close(listener);
	egress_destroy(&conf);
}

static int connect_by_proxy(void)
{
	int fd = -1;

	sim_tcp_connect(&tcp);
	UNTIL(tcp.established);
	UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	return fd;
}

/* The guest sends bytes that aren't sim_tcp's stream. */
static void guest_says(const void *bytes, size_t size)
{
	sim_tcp_segment(&tcp, SIM_TCP_ACK | SIM_TCP_PSH, tcp.nxt, tcp.rcv_nxt, NULL, 0, bytes,
			size);
	tcp.nxt += (uint32_t)size;
	tcp.nxt_max = tcp.nxt;
}

static void pass(uint64_t ms)
{
	now_ms += ms;
	loop_advance(loop, ms);
}

static void expect(int fd, const void *bytes, size_t size)
{
	uint8_t got[2048];
	size_t have = 0;
	ssize_t r;

	while (have < size) {
		UNTIL((r = recv(fd, got + have, size - have, 0)) > 0);
		have += (size_t)r;
	}
	ck_assert_mem_eq(got, bytes, size);
}

static void expect_text(int fd, const char *text)
{
	expect(fd, text, strlen(text));
}

static void answer(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), 0), (int)strlen(text));
}

static void expect_nothing(int fd)
{
	char byte;

	for (int i = 0; i < 20; i++)
		turn();
	ck_assert(recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN);
}

#define ASK_A_TEST "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n"

START_TEST(name_from_tls)
{
	uint8_t hello[TLS_SAMPLE_MAX];
	size_t size = tls_sample("a.test", 16384, hello);
	char reply[64] = "HTTP/1.1 200 OK\r\nVia: proxy\r\n\r\n";
	size_t reply_size = strlen(reply);
	int fd = connect_by_proxy();

	/* In two segments: the name isn't known before the second. */
	guest_says(hello, 50);
	expect_nothing(fd);
	guest_says(hello + 50, size - 50);
	expect_text(fd, ASK_A_TEST);
	/* What the guest said waits for the answer, and what comes behind that is the guest's. */
	expect_nothing(fd);
	for (int i = 0; i < 10; i++)
		reply[reply_size++] = (char)sim_tcp_byte((uint64_t)i);
	ck_assert_int_eq(send(fd, reply, reply_size, 0), (int)reply_size);
	expect(fd, hello, size);
	UNTIL(tcp.received == 10);
	ck_assert_uint_eq(tcp.wrong, 0);
	ck_assert_uint_eq(forwarder_counters(forwarder).tcp_flows, 1);
	close(fd);
	UNTIL(tcp.fin_received);
}
END_TEST

START_TEST(answer_in_pieces)
{
	static const char reply[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n";
	uint8_t hello[TLS_SAMPLE_MAX];
	size_t size = tls_sample("a.test", 16384, hello);
	int fd = connect_by_proxy();
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	guest_says(hello, size);
	expect_text(fd, ASK_A_TEST);
	for (size_t i = 0; i < strlen(reply); i++) {
		expect_nothing(fd);
		ck_assert_int_eq(send(fd, reply + i, 1, 0), 1);
	}
	expect(fd, hello, size);
	close(fd);
}
END_TEST

START_TEST(host_from_http_and_authorization)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n";
	int fd;

	strcpy(conf.http.auth, "QTpC");
	tcp.peer.port = 80;
	restart();
	fd = connect_by_proxy();
	guest_says(request, strlen(request));
	expect_text(fd, "CONNECT b.test:80 HTTP/1.1\r\nHost: b.test:80\r\n"
			"Proxy-Authorization: Basic QTpC\r\n\r\n");
	answer(fd, "HTTP/1.0 200 OK\r\n\r\n");
	expect_text(fd, request);
	close(fd);
}
END_TEST

START_TEST(silent_guest_goes_by_address)
{
	int fd = connect_by_proxy();

	pass(FLOW_TCP_PEEK_MS - 1);
	expect_nothing(fd);
	pass(1);
	expect_text(fd, "CONNECT 203.0.113.1:443 HTTP/1.1\r\nHost: 203.0.113.1:443\r\n\r\n");
	answer(fd, "HTTP/1.1 200 OK\r\n\r\n");
	guest_says("later", 5);
	expect_text(fd, "later");
	close(fd);
}
END_TEST

START_TEST(other_protocols_go_by_address)
{
	int fd = connect_by_proxy();

	guest_says("SSH-2.0-x\r\n", 11);
	expect_text(fd, "CONNECT 203.0.113.1:443 HTTP/1.1\r\nHost: 203.0.113.1:443\r\n\r\n");
	close(fd);
	UNTIL(tcp.reset);
}
END_TEST

START_TEST(guest_that_closes_at_once)
{
	int fd = connect_by_proxy();

	tcp.to_close = true;
	expect_text(fd, "CONNECT 203.0.113.1:443 HTTP/1.1\r\nHost: 203.0.113.1:443\r\n\r\n");
	answer(fd, "HTTP/1.1 200 OK\r\n\r\n");
	UNTIL(tcp.fin_acked);
	close(fd);
	UNTIL(tcp.fin_received);
	UNTIL(forwarder_counters(forwarder).tcp_flows == 0);
}
END_TEST

START_TEST(refused_by_the_proxy)
{
	static const char *const replies[] = {
		"HTTP/1.1 403 Forbidden\r\n\r\nno",
		"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
		"HTTP/1.1 302 Found\r\n\r\n",
		"+OK hello\r\n",
	};
	int fd;

	log_set_levels("error");
	fd = connect_by_proxy();
	pass(FLOW_TCP_PEEK_MS);
	expect_text(fd, "CONNECT ");
	answer(fd, replies[_i]);
	UNTIL(tcp.reset);
	ck_assert_uint_eq(forwarder_counters(forwarder).tcp_refused, 1);
	UNTIL(forwarder_counters(forwarder).tcp_flows == 0);
	close(fd);
}
END_TEST

START_TEST(proxy_that_never_answers)
{
	int fd = connect_by_proxy();

	pass(FLOW_TCP_PEEK_MS);
	expect_text(fd, "CONNECT ");
	pass(FLOW_TCP_TUNNEL_MS);
	UNTIL(tcp.reset);
	ck_assert_uint_eq(forwarder_counters(forwarder).tcp_flows, 0);
	close(fd);
}
END_TEST

START_TEST(guest_resets_in_between)
{
	int fd = connect_by_proxy();
	char bytes[256];
	ssize_t got = 1;

	if (_i) {
		pass(FLOW_TCP_PEEK_MS);
		expect_text(fd, "CONNECT ");
	}
	sim_tcp_segment(&tcp, SIM_TCP_RST, tcp.nxt, 0, NULL, 0, NULL, 0);
	UNTIL(forwarder_counters(forwarder).tcp_flows == 0);
	while (got > 0)
		UNTIL((got = recv(fd, bytes, sizeof(bytes), 0)) >= 0 || errno == ECONNRESET);
	close(fd);
}
END_TEST

START_TEST(next_address_of_the_proxy)
{
	int fd;

	conf.https.addrs[0] = address("127.0.0.3"); /* nobody */
	conf.https.addrs[1] = address("127.0.0.1");
	conf.https.addr_count = 2;
	restart();
	fd = connect_by_proxy();
	pass(FLOW_TCP_PEEK_MS);
	expect_text(fd, "CONNECT ");
	close(fd);
}
END_TEST

START_TEST(no_proxy_there)
{
	conf.https.addrs[0] = address("127.0.0.3");
	restart();
	sim_tcp_connect(&tcp);
	UNTIL(tcp.reset);
	ck_assert(!tcp.established);
	ck_assert_uint_eq(forwarder_counters(forwarder).tcp_flows, 0);
	ck_assert_uint_eq(forwarder_counters(forwarder).tcp_refused, 1);
}
END_TEST

/* A name is looked up in a process of its own, which takes real time. */
START_TEST(proxy_with_a_name)
{
	int fd = -1;

	strcpy(conf.https.host, "localhost");
	conf.https.is_address = false;
	conf.https.addr_count = 0;
	restart();
	/* Nothing is said before the address is known. */
	sim_tcp_connect(&tcp);
	turn();
	ck_assert(!tcp.established && !tcp.reset);
	ck_assert_uint_eq(forwarder_counters(forwarder).tcp_flows, 0);
	for (int i = 0; i < 3000 && fd < 0; i++) {
		if (!tcp.established)
			sim_tcp_connect(&tcp);
		for (int j = 0; j < 10; j++)
			turn();
		poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, 10);
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	}
	ck_assert_int_ge(fd, 0);
	UNTIL(tcp.established);
	pass(FLOW_TCP_PEEK_MS);
	expect_text(fd, "CONNECT 203.0.113.1:443 ");
	close(fd);
}
END_TEST

START_TEST(end_while_a_name_is_looked_up)
{
	strcpy(conf.https.host, "localhost");
	conf.https.is_address = false;
	conf.https.addr_count = 0;
	restart();
}
END_TEST

START_TEST(host_alias_goes_directly)
{
	/* Whether or not somebody listens at the host's port 443: it isn't the proxy. */
	tcp.peer = (struct endpoint){.addr = address("192.168.65.254"), .port = 443};
	sim_tcp_connect(&tcp);
	UNTIL(tcp.established || tcp.reset);
	ck_assert_int_lt(accept4(listener, NULL, NULL, SOCK_NONBLOCK), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		name_from_tls,
		answer_in_pieces,
		host_from_http_and_authorization,
		silent_guest_goes_by_address,
		other_protocols_go_by_address,
		guest_that_closes_at_once,
		proxy_that_never_answers,
		next_address_of_the_proxy,
		no_proxy_there,
		proxy_with_a_name,
		end_while_a_name_is_looked_up,
		host_alias_goes_directly,
		NULL,
	};
	Suite *suite = suite_create("tunnel");
	TCase *tcase = unit_case(suite, "tunnel", setup_proxy, teardown_proxy);

	tcase_set_timeout(tcase, 60);
	unit_add(tcase, tests);
	tcase_add_loop_test(tcase, refused_by_the_proxy, 0, 4);
	tcase_add_loop_test(tcase, guest_resets_in_between, 0, 2);
	return unit_run(suite);
}
