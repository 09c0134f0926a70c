/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors from host sockets to guests; see icmp_relay.h. */
#include "forwarder/icmp_relay.h"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/csum.h"
#include "base/wire.h"
#include "forwarder/route.h"

/* Errors taken from one queue at a time; what is beyond waits for the next event. */
#define ERRORS_MAX 32

#define IP4_HEADER_SIZE    20
#define TRANSPORT_SIZE     8
#define QUOTED_PAYLOAD_MAX 512

#define ICMP_ECHO_REQUEST 8

/* Rebuilds the guest's packet, as far as an ICMP error quotes it: the socket only gives its payload
 * back. For echo requests the payload begins with the ICMP header, whose id was ours. */
static size_t rebuild_packet(uint8_t *to, size_t room, const struct endpoint *guest,
			     const struct endpoint *dst, uint8_t protocol, const uint8_t *payload,
			     size_t size)
{
	struct wire_writer w = wire_writer(to, room);
	size_t header = protocol == IPPROTO_UDP ? TRANSPORT_SIZE : 0;
	uint16_t csum;

	wire_put_be16(&w, 0x4500);
	wire_put_be16(&w, (uint16_t)(IP4_HEADER_SIZE + header + size));
	wire_put_be32(&w, 0);
	wire_put_u8(&w, 1); /* TTL: what it had left when somebody complained is not known */
	wire_put_u8(&w, protocol);
	wire_put_be16(&w, 0);
	wire_put_bytes(&w, &guest->addr.v4, 4);
	wire_put_bytes(&w, &dst->addr.v4, 4);
	csum = csum_fold(csum_add(0, to, IP4_HEADER_SIZE));
	memcpy(to + 10, &csum, sizeof(csum));
	if (protocol == IPPROTO_UDP) {
		wire_put_be16(&w, guest->port);
		wire_put_be16(&w, dst->port);
		wire_put_be16(&w, (uint16_t)(TRANSPORT_SIZE + size));
		wire_put_be16(&w, 0);
	}
	wire_put_bytes(&w, payload, size);
	if (protocol == IPPROTO_ICMP && size >= TRANSPORT_SIZE) {
		uint8_t *icmp = to + IP4_HEADER_SIZE;
		uint16_t id_before, id_after = htons(guest->port);
		uint16_t sum;

		memcpy(&id_before, icmp + 4, 2);
		memcpy(&sum, icmp + 2, 2);
		sum = csum_update16(sum, id_before, id_after);
		memcpy(icmp + 2, &sum, 2);
		memcpy(icmp + 4, &id_after, 2);
	}
	return wire_written(&w);
}

static const struct sock_extended_err *find_error(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR)
			return (const struct sock_extended_err *)CMSG_DATA(c);
	}
	return NULL;
}

static void relay_one(struct stack *stack, const struct sock_extended_err *error,
		      const struct sockaddr *to, const struct endpoint *guest, uint8_t protocol,
		      const uint8_t *payload, size_t size)
{
	uint8_t packet[IP4_HEADER_SIZE + TRANSPORT_SIZE + QUOTED_PAYLOAD_MAX];
	struct endpoint host, offender, dst, from;
	bool known;
	size_t packet_size;

	if (error->ee_origin != SO_EE_ORIGIN_ICMP || endpoint_from_sockaddr(to, &host) < 0 ||
	    host.addr.family != AF_INET)
		return;
	dst = route_reverse(stack_conf(stack), &host);
	known = endpoint_from_sockaddr(SO_EE_OFFENDER(error), &offender) == 0;
	from = known ? route_reverse(stack_conf(stack), &offender) : dst;
	packet_size = rebuild_packet(packet, sizeof(packet), guest, &dst, protocol, payload, size);
	stack_send_icmp_error(stack, known ? &from.addr : NULL, error->ee_type, error->ee_code,
			      (uint16_t)error->ee_info, packet, packet_size);
}

void icmp_relay_errors(struct stack *stack, int fd, const struct endpoint *guest, uint8_t protocol)
{
	for (int i = 0; i < ERRORS_MAX; i++) {
		struct sockaddr_storage to = {0};
		uint8_t payload[QUOTED_PAYLOAD_MAX];
		uint8_t control[512];
		struct iovec iov = {.iov_base = payload, .iov_len = sizeof(payload)};
		struct msghdr msg = {
			.msg_name = &to,
			.msg_namelen = sizeof(to),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		const struct sock_extended_err *error;
		ssize_t size = recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT);

		if (size < 0)
			return;
		error = find_error(&msg);
		if (error)
			relay_one(stack, error, (struct sockaddr *)&to, guest, protocol, payload,
				  (size_t)size);
	}
}
