/* SPDX-License-Identifier: Apache-2.0 */
/* Captures; see capture.h. The file's format is in pcapng.c. */
#include "netstack/capture.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/wire.h"
#include "netstack/bytes.h"
#include "netstack/pcapng.h"

/* An interface of the file: a link, by the port that it is on. */
struct seen_link {
	bool in_file;
	uint32_t interface;
	char name[LINK_NAME_MAX];
	uint64_t dropped; /* since the last packet */
};

struct capture {
	struct capture_conf conf;
	struct switch_tap tap;
	uint32_t interfaces; /* so far */
	uint64_t dropped;
	unsigned mac_port; /* where the filter's MAC was seen last; 0: nowhere yet */
	struct seen_link links[SWITCH_PORTS_MAX + 1];
	uint8_t piece[CAPTURE_PIECE_MAX];
};

/* ---- The filter ---- */

static struct addr read_addr(struct wire_reader *r, sa_family_t family)
{
	struct addr addr = {.family = family};

	if (family == AF_INET)
		wire_copy(r, &addr.v4, sizeof(addr.v4));
	else
		wire_copy(r, &addr.v6, sizeof(addr.v6));
	return addr;
}

/* Reads the rest of an IP header, which begins at the reader, up to the ports. Returns the
 * protocol, or 0 where there are no ports. */
static uint8_t read_ip(struct wire_reader *r, bool is_v6, struct addr *ret_src,
		       struct addr *ret_dst)
{
	uint8_t protocol, first;
	uint16_t fragment;

	if (is_v6) {
		wire_skip(r, 6);
		protocol = wire_u8(r);
		wire_skip(r, 1);
		*ret_src = read_addr(r, AF_INET6);
		*ret_dst = read_addr(r, AF_INET6);
		return protocol;
	}
	first = wire_u8(r);
	wire_skip(r, 5);
	fragment = wire_be16(r);
	wire_skip(r, 1);
	protocol = wire_u8(r);
	wire_skip(r, 2);
	*ret_src = read_addr(r, AF_INET);
	*ret_dst = read_addr(r, AF_INET);
	if ((first & 0x0f) < 5 || fragment & IPV4_FRAGMENT_OFFSET)
		return 0;
	wire_skip(r, ((first & 0x0fu) - 5) * 4);
	return protocol;
}

static bool is_endpoint(const struct endpoint *wanted, const struct addr *addr, uint16_t port)
{
	return port == wanted->port &&
	       (wanted->addr.family == AF_UNSPEC || addr_equal(addr, &wanted->addr));
}

bool capture_frame_fits(const struct frame *frame, uint8_t protocol,
			const struct endpoint *endpoint)
{
	struct wire_reader r = wire_reader(frame->iov[0].iov_base, frame->iov[0].iov_len);
	struct addr src, dst;
	uint16_t type, src_port, dst_port;

	wire_skip(&r, 2 * MAC_SIZE);
	type = wire_be16(&r);
	if (type != ETHERTYPE_IPV4 && type != ETHERTYPE_IPV6)
		return false;
	if (read_ip(&r, type == ETHERTYPE_IPV6, &src, &dst) != protocol)
		return false;
	src_port = wire_be16(&r);
	dst_port = wire_be16(&r);
	return wire_ok(&r) &&
	       (is_endpoint(endpoint, &src, src_port) || is_endpoint(endpoint, &dst, dst_port));
}

static bool mac_fits(struct capture *capture, unsigned port, bool to_guest,
		     const struct frame *frame)
{
	const struct mac *wanted = &capture->conf.filter.mac;
	const uint8_t *bytes = frame->iov[0].iov_base;
	bool is_src = memcmp(bytes + MAC_SIZE, wanted->bytes, MAC_SIZE) == 0;

	if (is_src && !to_guest)
		capture->mac_port = port;
	if (is_src || memcmp(bytes, wanted->bytes, MAC_SIZE) == 0)
		return true;
	return to_guest && bytes[0] & 1 && port == capture->mac_port;
}

static bool fits(struct capture *capture, unsigned port, const struct link *link, bool to_guest,
		 const struct frame *frame)
{
	const struct capture_filter *filter = &capture->conf.filter;

	if (filter->link[0] && strcmp(filter->link, link->name) != 0)
		return false;
	if (!filter->has_mac && !filter->protocol)
		return true;
	if (!frame->iov_count || frame->iov[0].iov_len < ETH_HEADER_SIZE)
		return false;
	if (filter->has_mac && !mac_fits(capture, port, to_guest, frame))
		return false;
	return !filter->protocol || capture_frame_fits(frame, filter->protocol, &filter->endpoint);
}

/* ---- The file ---- */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void on_frame(void *arg, unsigned port, const struct link *link, bool to_guest,
		     const struct frame *frame)
{
	struct capture *capture = arg;
	struct seen_link *seen = &capture->links[port];
	bool is_new = !seen->in_file || strcmp(seen->name, link->name) != 0;
	struct pcapng_packet packet = {
		.interface = is_new ? capture->interfaces : seen->interface,
		.iov = frame->iov,
		.iov_count = frame->iov_count,
		.size = frame->size,
		.snaplen = capture->conf.snaplen,
		.to_guest = to_guest,
		.dropped = is_new ? 0 : seen->dropped,
	};
	size_t size = 0;

	if (!fits(capture, port, link, to_guest, frame))
		return;
	packet.time_ns = now_ns();
	if (is_new)
		size = pcapng_interface(link->name, capture->conf.snaplen, capture->piece);
	size += pcapng_packet(&packet, capture->piece + size);
	if (!capture->conf.write(capture->conf.arg, capture->piece, size)) {
		capture->dropped++;
		seen->dropped++;
		return;
	}
	seen->dropped = 0;
	if (is_new) {
		seen->in_file = true;
		seen->interface = capture->interfaces++;
		snprintf(seen->name, sizeof(seen->name), "%s", link->name);
	}
}

int capture_new(struct nswitch *sw, const struct capture_conf *conf, struct capture **ret_capture)
{
	struct capture *capture = calloc(1, sizeof(*capture));
	size_t size;

	if (!capture)
		return -ENOMEM;
	capture->conf = *conf;
	size = pcapng_section(capture->piece);
	if (!conf->write(conf->arg, capture->piece, size)) {
		free(capture);
		return -ENOSPC;
	}
	capture->tap = (struct switch_tap){.fn = on_frame, .arg = capture};
	switch_tap_add(sw, &capture->tap);
	*ret_capture = capture;
	return 0;
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	switch_tap_remove(&capture->tap);
	free(capture);
}

uint64_t capture_dropped(const struct capture *capture)
{
	return capture->dropped;
}
