/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors from host sockets to guests; see icmp_relay.h. */
#include "forwarder/icmp_relay.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/csum.h"
#include "base/wire.h"
#include "forwarder/route.h"
#include "netstack/bytes.h"

/* Errors taken from one queue at a time; what is beyond waits for the next event. */
#define ERRORS_MAX 32

#define IP6_MTU_MIN    1280 /* RFC 8200, section 5 */
#define TRANSPORT_SIZE 8    /* of a UDP header, or that of an echo request */
#define ECHO_AT_ID     4
/* Up to an echo request's sequence number: what stands before it is another one's on our side. */
#define ECHO_OWN_SIZE 6

/* The stack quotes no more than fits 576 bytes in IPv4, 1280 in IPv6. */
#define QUOTED_PAYLOAD_MAX IP6_MTU_MIN
#define PACKET_MAX         (ICMP_RELAY_KEPT_SIZE + QUOTED_PAYLOAD_MAX)

/* An error as the socket has it. `quoted` is what is behind the UDP header, or the echo request
 * from its ICMP header on. */
struct report {
	bool known_from;
	struct addr from; /* as guests know it */
	struct endpoint dst;
	uint8_t type;
	uint8_t code;
	uint16_t mtu;
	bool expired;
	const uint8_t *quoted;
	size_t size;
};

static bool is_echo(const struct icmp_relay *relay)
{
	return relay->protocol != IPPROTO_UDP;
}

/* ---- The guest's packet ---- */

void icmp_relay_keep(struct icmp_relay *relay, const uint8_t *ip, size_t size)
{
	if (size > ICMP_RELAY_KEPT_SIZE)
		size = ICMP_RELAY_KEPT_SIZE;
	memcpy(relay->kept[relay->next].ip, ip, size);
	relay->kept[relay->next].size = (uint8_t)size;
	relay->next = (uint8_t)((relay->next + 1) % ICMP_RELAY_KEPT);
}

/* Where the UDP or ICMP header of a packet begins: 0 where there is none. */
static size_t transport_offset(const uint8_t *ip, size_t size, uint8_t protocol)
{
	size_t at;

	if (size < IPV4_HEADER_SIZE)
		return 0;
	if (ip[0] >> 4 == 4)
		at = ip[IPV4_AT_PROTOCOL] == protocol ? (size_t)(ip[0] & 0x0f) * 4 : 0;
	else
		at = ip[IPV6_AT_NEXT_HEADER] == protocol ? IPV6_HEADER_SIZE : 0;
	return at && at + TRANSPORT_SIZE <= size ? at : 0;
}

/* Whether a packet went there; the port doesn't count where there is none. */
static bool is_to(const struct icmp_relay *relay, const uint8_t *ip, size_t size,
		  const struct endpoint *to)
{
	size_t at = transport_offset(ip, size, relay->protocol);
	struct addr dst = {.family = to->addr.family};

	if (!at)
		return false;
	if (dst.family == AF_INET6)
		memcpy(&dst.v6, ip + IPV6_AT_DST, sizeof(dst.v6));
	else
		memcpy(&dst.v4, ip + IPV4_AT_DST, sizeof(dst.v4));
	return addr_equal(&dst, &to->addr) &&
	       (is_echo(relay) || load_be16(ip + at + 2) == to->port);
}

bool icmp_relay_only_to(const struct icmp_relay *relay, const struct endpoint *dst)
{
	bool any = false;

	for (unsigned i = 0; i < ICMP_RELAY_KEPT; i++) {
		if (!relay->kept[i].size)
			continue;
		if (!is_to(relay, relay->kept[i].ip, relay->kept[i].size, dst))
			return false;
		any = true;
	}
	return any;
}

/* Whether a packet that was kept is the one that a report is about. */
static bool is_reported(const struct icmp_relay *relay, const uint8_t *ip, size_t size,
			const struct report *report)
{
	size_t at = transport_offset(ip, size, relay->protocol);
	size_t skip = is_echo(relay) ? ECHO_OWN_SIZE : TRANSPORT_SIZE;
	const uint8_t *quoted = report->quoted + (is_echo(relay) ? skip : 0);
	size_t quoted_size = report->size - (is_echo(relay) ? skip : 0);

	if (!is_to(relay, ip, size, &report->dst))
		return false;
	at += skip;
	return memcmp(ip + at, quoted, quoted_size < size - at ? quoted_size : size - at) == 0;
}

static void put_ip_header(struct wire_writer *w, const struct icmp_relay *relay,
			  const struct report *report, size_t payload_size)
{
	uint8_t *start = w->pos;

	/* What hop limit it had left when somebody complained is not known. */
	if (report->dst.addr.family == AF_INET6) {
		wire_put_be32(w, 0x60000000);
		wire_put_be16(w, (uint16_t)payload_size);
		wire_put_u8(w, relay->protocol);
		wire_put_u8(w, 1);
		wire_put_bytes(w, &relay->guest.addr.v6, sizeof(relay->guest.addr.v6));
		wire_put_bytes(w, &report->dst.addr.v6, sizeof(report->dst.addr.v6));
		return;
	}
	wire_put_be16(w, 0x4500);
	wire_put_be16(w, (uint16_t)(IPV4_HEADER_SIZE + payload_size));
	wire_put_be32(w, 0);
	wire_put_u8(w, 1);
	wire_put_u8(w, relay->protocol);
	wire_put_be16(w, 0);
	wire_put_bytes(w, &relay->guest.addr.v4, sizeof(relay->guest.addr.v4));
	wire_put_bytes(w, &report->dst.addr.v4, sizeof(report->dst.addr.v4));
	store_csum(start + IPV4_AT_CSUM, csum_fold(csum_add(0, start, IPV4_HEADER_SIZE)));
}

/* The echo request's id was ours. (In ICMPv6 the sum covers our address too, which isn't known
 * here; whoever gets the quotation looks at id and sequence.) */
static void put_echo(struct wire_writer *w, const struct icmp_relay *relay,
		     const struct report *report)
{
	uint8_t *icmp = w->pos;
	uint16_t before, after = htons(relay->guest.port);
	uint16_t sum;

	wire_put_bytes(w, report->quoted, report->size);
	memcpy(&before, icmp + ECHO_AT_ID, sizeof(before));
	memcpy(&sum, icmp + ICMP_AT_CSUM, sizeof(sum));
	store_csum(icmp + ICMP_AT_CSUM, csum_update16(sum, before, after));
	memcpy(icmp + ECHO_AT_ID, &after, sizeof(after));
}

/* Makes up a packet that was not kept. */
static size_t make_packet(uint8_t *to, const struct icmp_relay *relay, const struct report *report)
{
	struct wire_writer w = wire_writer(to, PACKET_MAX);

	if (is_echo(relay)) {
		put_ip_header(&w, relay, report, report->size);
		put_echo(&w, relay, report);
		return wire_written(&w);
	}
	put_ip_header(&w, relay, report, TRANSPORT_SIZE + report->size);
	wire_put_be16(&w, relay->guest.port);
	wire_put_be16(&w, report->dst.port);
	wire_put_be16(&w, (uint16_t)(TRANSPORT_SIZE + report->size));
	wire_put_be16(&w, 0);
	wire_put_bytes(&w, report->quoted, report->size);
	return wire_written(&w);
}

/* A packet dies with nothing left of its hop limit, and that is how the router quotes it. */
static void set_last_hop(uint8_t *ip)
{
	uint16_t before, after, sum;

	if (ip[0] >> 4 == 6) {
		ip[IPV6_AT_HOP_LIMIT] = 1;
		return;
	}
	/* The word that the TTL is in. */
	memcpy(&before, ip + IPV4_AT_TTL, sizeof(before));
	memcpy(&sum, ip + IPV4_AT_CSUM, sizeof(sum));
	ip[IPV4_AT_TTL] = 1;
	memcpy(&after, ip + IPV4_AT_TTL, sizeof(after));
	store_csum(ip + IPV4_AT_CSUM, csum_update16(sum, before, after));
}

/* The packet that the report is about, as far as it is known, as the guest sent it. */
static size_t restore_packet(uint8_t to[static PACKET_MAX], const struct icmp_relay *relay,
			     const struct report *report)
{
	size_t skip = is_echo(relay) ? TRANSPORT_SIZE : 0; /* of what is quoted: header again */

	for (unsigned i = 0; i < ICMP_RELAY_KEPT; i++) {
		const uint8_t *ip = relay->kept[i].ip;
		size_t size = relay->kept[i].size;
		size_t payload;

		if (!size || !is_reported(relay, ip, size, report))
			continue;
		memcpy(to, ip, size);
		payload = transport_offset(ip, size, relay->protocol) + TRANSPORT_SIZE;
		if (payload + report->size - skip > size) {
			memcpy(to + payload, report->quoted + skip, report->size - skip);
			size = payload + report->size - skip;
		}
		if (report->expired)
			set_last_hop(to);
		return size;
	}
	return make_packet(to, relay, report);
}

/* ---- Errors ---- */

static bool set_type(struct report *report, const struct sock_extended_err *error)
{
	uint16_t mtu = error->ee_info > UINT16_MAX ? UINT16_MAX : (uint16_t)error->ee_info;

	report->type = error->ee_type;
	report->code = error->ee_code;
	if (error->ee_origin == SO_EE_ORIGIN_ICMP) {
		report->expired = error->ee_type == ICMP_TIME_EXCEEDED;
		if (error->ee_type == ICMP_DEST_UNREACH && error->ee_code == ICMP_FRAG_NEEDED)
			report->mtu = mtu;
		return error->ee_type == ICMP_DEST_UNREACH || report->expired ||
		       error->ee_type == ICMP_PARAMETERPROB;
	}
	report->expired = error->ee_type == ICMPV6_TIME_EXCEED;
	if (error->ee_type == ICMPV6_PKT_TOOBIG)
		report->mtu = mtu;
	return error->ee_type >= ICMPV6_DEST_UNREACH && error->ee_type <= ICMPV6_PARAMPROB;
}

/* Reads an error of the guest's family that a router or host has reported. */
static bool read_report(const struct icmp_relay *relay, const struct sock_extended_err *error,
			const struct sockaddr *to, const uint8_t *quoted, size_t size,
			struct report *ret)
{
	const struct stack_conf *conf = stack_conf(relay->stack);
	sa_family_t family = relay->guest.addr.family;
	struct endpoint host, offender;

	*ret = (struct report){.quoted = quoted, .size = size};
	if (error->ee_origin != (family == AF_INET6 ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP) ||
	    !set_type(ret, error) || endpoint_from_sockaddr(to, &host) < 0 ||
	    host.addr.family != family)
		return false;
	if (is_echo(relay) && (size < TRANSPORT_SIZE ||
			       (relay->only_id && load_be16(quoted + ECHO_AT_ID) != relay->id)))
		return false;
	ret->dst = route_reverse(conf, &host);
	if (endpoint_from_sockaddr(SO_EE_OFFENDER(error), &offender) < 0 ||
	    offender.addr.family != family)
		return true;
	ret->from = route_reverse(conf, &offender).addr;
	ret->known_from = route_reverse_allowed(conf, &offender.addr);
	return true;
}

static const struct sock_extended_err *find_error(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
		    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			return (const struct sock_extended_err *)CMSG_DATA(c);
	}
	return NULL;
}

unsigned icmp_relay_errors(const struct icmp_relay *relay)
{
	uint8_t quoted[QUOTED_PAYLOAD_MAX];
	uint8_t packet[PACKET_MAX];
	unsigned mtu = 0;

	for (int i = 0; i < ERRORS_MAX; i++) {
		struct sockaddr_storage to = {0};
		_Alignas(struct cmsghdr) uint8_t control[512];
		struct iovec iov = {.iov_base = quoted, .iov_len = sizeof(quoted)};
		struct msghdr msg = {
			.msg_name = &to,
			.msg_namelen = sizeof(to),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		const struct sock_extended_err *error;
		ssize_t size = recvmsg(relay->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);
		struct report report;

		if (size < 0)
			break;
		error = find_error(&msg);
		if (!error)
			continue;
		if (error->ee_origin == SO_EE_ORIGIN_LOCAL && error->ee_errno == EMSGSIZE)
			mtu = error->ee_info;
		if (read_report(relay, error, (struct sockaddr *)&to, quoted, (size_t)size,
				&report))
			stack_send_icmp_error(relay->stack, report.known_from ? &report.from : NULL,
					      report.type, report.code, report.mtu, packet,
					      restore_packet(packet, relay, &report));
	}
	return mtu;
}

static void tell_too_big(struct stack *stack, unsigned mtu, const uint8_t *ip, size_t ip_size)
{
	if (mtu > UINT16_MAX)
		mtu = UINT16_MAX;
	if (ip[0] >> 4 == 4)
		stack_send_icmp_error(stack, NULL, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED,
				      (uint16_t)mtu, ip, ip_size);
	else
		stack_send_icmp_error(stack, NULL, ICMPV6_PKT_TOOBIG, 0,
				      (uint16_t)(mtu < IP6_MTU_MIN ? IP6_MTU_MIN : mtu), ip,
				      ip_size);
}

void icmp_relay_failure(struct stack *stack, int error, unsigned mtu, const uint8_t *ip,
			size_t ip_size)
{
	switch (error) {
	case EMSGSIZE:
		if (mtu)
			tell_too_big(stack, mtu, ip, ip_size);
		break;
	case ENETUNREACH:
	case ENETDOWN:
	case EAFNOSUPPORT:  /* the host has no IPv6 at all, */
	case EADDRNOTAVAIL: /* or no address of it */
		stack_send_unreachable(stack, STACK_UNREACH_NET, ip, ip_size);
		break;
	case EHOSTUNREACH:
		stack_send_unreachable(stack, STACK_UNREACH_HOST, ip, ip_size);
		break;
	case EACCES:
	case EPERM:
		stack_send_unreachable(stack, STACK_UNREACH_ADMIN, ip, ip_size);
		break;
	default:
		break;
	}
}
