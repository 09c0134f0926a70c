/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dhcpload: many DHCPv4 clients behind one interface, each with a MAC of its own, as a guest full
 * of virtual machines has them. (Kea's perfdhcp can't do that without a relay agent: all its frames
 * come from the interface's MAC.)
 *
 *	dhcpload --interface eth0 --clients 1000 [--window 32] [--first 0] [--tries 4] [--rapid]
 *
 * Every client goes from DISCOVER to ACK, so many at a time as the window says, and gives up after
 * so many tries that nobody answered. Prints one line:
 *
 *	leases 1000 failed 0 distinct 1000 retries 0 seconds 0.123 rate 8130
 *
 * Exit status: 0 when every client has an address of its own.
 */
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/csum.h"
#include "base/wire.h"
#include "dhcp/dhcp_wire.h"

#define CLIENTS_MAX     65536
#define DEFAULT_TRIES   4
#define ANSWER_WAIT_MS  1000
#define FRAME_SIZE_MAX  2048
#define ETHER_SIZE      14
#define IP_SIZE         20
#define UDP_SIZE        8
#define PROTOCOL_UDP    17
#define DEFAULT_CLIENTS 1000
#define DEFAULT_WINDOW  32

enum step {
	STEP_WAITING, /* its turn hasn't come */
	STEP_DISCOVER,
	STEP_REQUEST,
	STEP_BOUND,
	STEP_FAILED,
};

struct client {
	enum step step;
	unsigned tries;
	uint32_t address;   /* offered or granted */
	uint32_t server_id; /* who offers it */
	uint64_t sent_ms;
};

struct load {
	int fd;
	struct sockaddr_ll to;
	struct client *clients;
	unsigned count, window, first, tries;
	bool rapid;
	unsigned begun, under_way, bound, failed, retries;
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("dhcpload: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

static struct mac mac_of(const struct load *load, unsigned index)
{
	uint32_t n = load->first + index;

	return (struct mac){{0x02, 0xdc, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
			     (uint8_t)n}};
}

/* ---- Messages ---- */

static void put_address(struct wire_writer *w, uint8_t code, uint32_t address)
{
	uint8_t bytes[4];
	struct wire_writer value = wire_writer(bytes, sizeof(bytes));

	wire_put_be32(&value, address);
	dhcp_put_option(w, 0, code, bytes, sizeof(bytes));
}

static void put_message(struct wire_writer *w, const struct load *load, unsigned index)
{
	static const uint8_t wanted[] = {1, 3, 6, 12, 15, 26, 28, 42, 51, 58, 59, 119, 121};
	const struct client *client = &load->clients[index];
	uint8_t type = client->step == STEP_DISCOVER ? DHCP_DISCOVER : DHCP_REQUEST;
	const struct dhcp_message m = {.op = DHCP_BOOTREQUEST,
				       .htype = 1,
				       .hlen = MAC_SIZE,
				       .xid = index,
				       .chaddr = mac_of(load, index)};

	dhcp_put_header(w, &m);
	dhcp_put_option(w, 0, DHCP_OPT_TYPE, &type, 1);
	dhcp_put_option(w, 0, DHCP_OPT_PARAMETERS, wanted, sizeof(wanted));
	if (type == DHCP_REQUEST) {
		put_address(w, DHCP_OPT_SERVER_ID, client->server_id);
		put_address(w, DHCP_OPT_REQUESTED, client->address);
	} else if (load->rapid) {
		dhcp_put_option(w, 0, DHCP_OPT_RAPID_COMMIT, NULL, 0);
	}
	wire_put_u8(w, DHCP_OPT_END);
}

/* Ethernet, IPv4 and UDP from 0.0.0.0:68 to 255.255.255.255:67 around the client's message. */
static size_t make_frame(const struct load *load, unsigned index, uint8_t to[static FRAME_SIZE_MAX])
{
	const size_t headers = ETHER_SIZE + IP_SIZE + UDP_SIZE;
	struct wire_writer message = wire_writer(to + headers, FRAME_SIZE_MAX - headers);
	struct wire_writer w = wire_writer(to, headers);
	struct mac mac = mac_of(load, index);
	uint16_t csum;

	put_message(&message, load, index);
	size_t size = wire_written(&message);

	wire_put_be16(&w, 0xffff);
	wire_put_be32(&w, 0xffffffff);
	wire_put_bytes(&w, mac.bytes, MAC_SIZE);
	wire_put_be16(&w, ETHERTYPE_IP);
	wire_put_be16(&w, 0x4500);
	wire_put_be16(&w, (uint16_t)(IP_SIZE + UDP_SIZE + size));
	wire_put_be32(&w, 0);
	wire_put_u8(&w, 64);
	wire_put_u8(&w, PROTOCOL_UDP);
	wire_put_be16(&w, 0);
	wire_put_be32(&w, 0);
	wire_put_be32(&w, INADDR_BROADCAST);
	wire_put_be16(&w, DHCP_CLIENT_PORT);
	wire_put_be16(&w, DHCP_SERVER_PORT);
	wire_put_be16(&w, (uint16_t)(UDP_SIZE + size));
	wire_put_be16(&w, 0); /* no checksum */
	csum = csum_fold(csum_add(0, to + ETHER_SIZE, IP_SIZE));
	memcpy(to + ETHER_SIZE + 10, &csum, sizeof(csum));
	return headers + size;
}

/* Finds the DHCP message in a frame from the server. */
static bool read_frame(const uint8_t *frame, size_t size, struct dhcp_message *ret)
{
	struct wire_reader r = wire_reader(frame, size);

	wire_skip(&r, 2 * MAC_SIZE);
	if (wire_be16(&r) != ETHERTYPE_IP || wire_u8(&r) != 0x45)
		return false;
	wire_skip(&r, 8);
	if (wire_u8(&r) != PROTOCOL_UDP)
		return false;
	wire_skip(&r, 10);
	if (wire_be16(&r) != DHCP_SERVER_PORT || wire_be16(&r) != DHCP_CLIENT_PORT)
		return false;
	size_t udp_size = wire_be16(&r);

	wire_skip(&r, 2);
	if (!wire_ok(&r) || udp_size < UDP_SIZE || udp_size - UDP_SIZE > wire_left(&r))
		return false;
	return dhcp_message_decode(frame + wire_offset(&r), udp_size - UDP_SIZE, ret) == 0;
}

/* ---- Clients ---- */

static void send_message(struct load *load, unsigned index, uint64_t now_ms)
{
	uint8_t frame[FRAME_SIZE_MAX];
	size_t size = make_frame(load, index, frame);

	load->clients[index].sent_ms = now_ms;
	while (sendto(load->fd, frame, size, 0, (struct sockaddr *)&load->to, sizeof(load->to)) < 0)
		if (errno != EINTR && errno != ENOBUFS)
			die("can't send: %s", strerror(errno));
}

static void begin_clients(struct load *load, uint64_t now_ms)
{
	while (load->begun < load->count && load->under_way < load->window) {
		load->clients[load->begun].step = STEP_DISCOVER;
		load->under_way++;
		send_message(load, load->begun++, now_ms);
	}
}

static void end_client(struct load *load, struct client *client, enum step step)
{
	client->step = step;
	load->under_way--;
	if (step == STEP_BOUND)
		load->bound++;
	else
		load->failed++;
}

static void take_answer(struct load *load, const struct dhcp_message *m, uint64_t now_ms)
{
	struct mac mac;

	if (m->op != DHCP_BOOTREPLY || m->xid >= load->count)
		return;
	struct client *client = &load->clients[m->xid];

	mac = mac_of(load, m->xid);
	if (!mac_equal(&m->chaddr, &mac) ||
	    (client->step != STEP_DISCOVER && client->step != STEP_REQUEST))
		return;
	if (m->type == DHCP_OFFER && client->step == STEP_DISCOVER) {
		client->step = STEP_REQUEST;
		client->address = m->yiaddr;
		client->server_id = m->server_id;
		send_message(load, m->xid, now_ms);
	} else if (m->type == DHCP_ACK && (client->step == STEP_REQUEST || load->rapid)) {
		client->address = m->yiaddr;
		end_client(load, client, STEP_BOUND);
	} else if (m->type == DHCP_NAK) {
		end_client(load, client, STEP_FAILED);
	}
}

static void take_answers(struct load *load, uint64_t now_ms)
{
	uint8_t frame[FRAME_SIZE_MAX];
	struct dhcp_message m;
	ssize_t size;

	while ((size = recv(load->fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0)
		if (read_frame(frame, (size_t)size, &m))
			take_answer(load, &m, now_ms);
}

/* Repeats what has had no answer for a while. */
static void repeat(struct load *load, uint64_t now_ms)
{
	for (unsigned i = 0; i < load->begun; i++) {
		struct client *client = &load->clients[i];

		if ((client->step != STEP_DISCOVER && client->step != STEP_REQUEST) ||
		    now_ms < client->sent_ms + ANSWER_WAIT_MS)
			continue;
		if (++client->tries >= load->tries) {
			end_client(load, client, STEP_FAILED);
			continue;
		}
		load->retries++;
		send_message(load, i, now_ms);
	}
}

static void run(struct load *load)
{
	uint64_t repeat_ms = clock_ms() + ANSWER_WAIT_MS / 4;
	struct pollfd poll_fd = {.fd = load->fd, .events = POLLIN};

	while (load->bound + load->failed < load->count) {
		uint64_t now_ms = clock_ms();

		begin_clients(load, now_ms);
		if (poll(&poll_fd, 1, ANSWER_WAIT_MS / 4) < 0 && errno != EINTR)
			die("can't wait: %s", strerror(errno));
		now_ms = clock_ms();
		take_answers(load, now_ms);
		if (now_ms < repeat_ms)
			continue;
		repeat_ms = now_ms + ANSWER_WAIT_MS / 4;
		repeat(load, now_ms);
	}
}

/* ---- The program ---- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static unsigned distinct_addresses(const struct load *load)
{
	uint32_t *addresses = calloc(load->count, sizeof(*addresses));
	unsigned bound = 0, distinct = 0;

	if (!addresses)
		die("out of memory");
	for (unsigned i = 0; i < load->count; i++)
		if (load->clients[i].step == STEP_BOUND)
			addresses[bound++] = load->clients[i].address;
	qsort(addresses, bound, sizeof(*addresses), by_value);
	for (unsigned i = 0; i < bound; i++)
		distinct += i == 0 || addresses[i] != addresses[i - 1];
	free(addresses);
	return distinct;
}

static void open_socket(struct load *load, const char *interface)
{
	int buffer = 8 * 1024 * 1024;

	load->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP));
	load->to = (struct sockaddr_ll){.sll_family = AF_PACKET,
					.sll_protocol = htons(ETH_P_IP),
					.sll_ifindex = (int)if_nametoindex(interface),
					.sll_halen = MAC_SIZE};
	if (load->fd < 0 || !load->to.sll_ifindex ||
	    bind(load->fd, (struct sockaddr *)&load->to, sizeof(load->to)) < 0)
		die("can't open %s: %s", interface, strerror(errno));
	/* Forced past the system's limit where we may; what is lost anyway is asked for again. */
	if (setsockopt(load->fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) < 0)
		setsockopt(load->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
}

static unsigned number(const char *text, unsigned max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > max)
		die("\"%s\": expected a number up to %u", text, max);
	return (unsigned)value;
}

static const char *parse_arguments(struct load *load, int argc, char **argv)
{
	static const struct option options[] = {
		{"interface", required_argument, NULL, 'i'},
		{"clients", required_argument, NULL, 'c'},
		{"window", required_argument, NULL, 'w'},
		{"first", required_argument, NULL, 'f'},
		{"tries", required_argument, NULL, 't'},
		{"rapid", no_argument, NULL, 'r'},
		{0},
	};
	const char *interface = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'i')
			interface = optarg;
		else if (option == 'c')
			load->count = number(optarg, CLIENTS_MAX);
		else if (option == 'w')
			load->window = number(optarg, CLIENTS_MAX);
		else if (option == 'f')
			load->first = number(optarg, UINT32_MAX - CLIENTS_MAX);
		else if (option == 't')
			load->tries = number(optarg, 100);
		else if (option == 'r')
			load->rapid = true;
		else
			die("usage: dhcpload --interface IF [--clients N] [--window N] [--first N] "
			    "[--tries N] [--rapid]");
	}
	if (!interface || !load->count || !load->window)
		die("expected --interface, and at least one client and a window of one");
	return interface;
}

int main(int argc, char **argv)
{
	struct load load = {
		.count = DEFAULT_CLIENTS, .window = DEFAULT_WINDOW, .tries = DEFAULT_TRIES};
	const char *interface = parse_arguments(&load, argc, argv);
	uint64_t start_us;
	double seconds;
	unsigned distinct;

	load.clients = calloc(load.count, sizeof(*load.clients));
	if (!load.clients)
		die("out of memory");
	open_socket(&load, interface);
	start_us = clock_us();
	run(&load);
	seconds = (double)(clock_us() - start_us) / 1e6;
	distinct = distinct_addresses(&load);
	printf("leases %u failed %u distinct %u retries %u seconds %.3f rate %.0f\n", load.bound,
	       load.failed, distinct, load.retries, seconds, load.bound / seconds);
	close(load.fd);
	free(load.clients);
	return distinct == load.count ? 0 : 1;
}
