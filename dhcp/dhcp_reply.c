/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of the DHCP server: see dhcp_reply.h. */
#include "dhcp/dhcp_reply.h"

#include <string.h>

#define HTYPE_ETHERNET 1
#define ETHERNET_MTU   1500

/* RFC 4702 section 2.1 */
#define FQDN_S 0x01 /* the server makes the A record */
#define FQDN_O 0x02 /* ... although the client said otherwise */
#define FQDN_E 0x04 /* the name is in DNS wire form */
#define FQDN_N 0x08 /* no updates by the server */

struct own_options {
	const struct dhcp_speaker *speaker;
	const struct dhcp_exchange *exchange;
	const struct dhcp_decision *decision;
};

static const char *name_of(const struct dhcp_lease *lease)
{
	if (lease->reserved && lease->reserved->conf.hostname[0])
		return lease->reserved->conf.hostname;
	return lease->hostname;
}

/* Our DNS serves the name of every lease, so that is what we answer unless the client wants no
 * updates. */
static void put_fqdn(struct dhcp_option_writer *to, const struct own_options *own, const char *host)
{
	uint8_t asked = own->exchange->fqdn_flags;
	uint8_t flags = asked & FQDN_E;
	uint8_t value[3 + DHCP_HOSTNAME_MAX + DHCP_DOMAIN_MAX];
	struct wire_writer w = wire_writer(value, sizeof(value));
	char name[DHCP_HOSTNAME_MAX + DHCP_DOMAIN_MAX];
	struct wire_writer text = wire_writer(name, sizeof(name));

	if (asked & FQDN_N)
		flags |= FQDN_N;
	else
		flags |= asked & FQDN_S ? FQDN_S : FQDN_S | FQDN_O;
	wire_put_bytes(&text, host, strlen(host));
	if (own->speaker->domain[0]) {
		wire_put_u8(&text, '.');
		wire_put_bytes(&text, own->speaker->domain, strlen(own->speaker->domain));
	}
	wire_put_u8(&text, '\0');
	wire_put_u8(&w, flags);
	wire_put_be16(&w, 0xffff); /* the result codes are obsolete */
	if (flags & FQDN_E)
		dhcp_put_domain(&w, name);
	else
		wire_put_bytes(&w, name, strlen(name));
	if (wire_fits(&text) && wire_fits(&w) && wire_written(&w) <= 255)
		dhcp_options_put(to, DHCP_OPT_FQDN, value, wire_written(&w));
}

/* Options that depend on the lease. */
static void put_own(void *arg, struct dhcp_option_writer *to, uint8_t code)
{
	const struct own_options *own = arg;
	const struct dhcp_lease *lease = own->decision->lease;
	uint32_t seconds = own->speaker->lease_seconds;

	if (!lease)
		return;
	const char *host = name_of(lease);

	if (code == DHCP_OPT_HOSTNAME && host[0])
		dhcp_options_put(to, code, host, strlen(host));
	else if (code == DHCP_OPT_FQDN && host[0] && own->exchange->sent_fqdn)
		put_fqdn(to, own, host);
	else if (code == DHCP_OPT_T1 && seconds != DHCP_LEASE_INFINITE)
		dhcp_options_put_u32(to, code, seconds / 2);
	else if (code == DHCP_OPT_T2 && seconds != DHCP_LEASE_INFINITE)
		dhcp_options_put_u32(to, code, (uint32_t)((uint64_t)seconds * 7 / 8));
}

static void put_options(struct dhcp_option_writer *to, struct own_options *own)
{
	const struct dhcp_exchange *x = own->exchange;
	uint8_t wanted[DHCP_OPTION_SIZE_MAX];
	ssize_t count = dhcp_message_option(x->message, DHCP_OPT_PARAMETERS, wanted,
					    sizeof(wanted));

	if (own->decision->lease)
		dhcp_options_put_u32(to, DHCP_OPT_LEASE_TIME, own->speaker->lease_seconds);
	/* In an answer to INFORM these MUST NOT be there, and have no lease to come from. */
	dhcp_options_put_wanted(to, own->speaker->options, wanted, count > 0 ? (size_t)count : 0,
				put_own, own);
	put_own(own, to, DHCP_OPT_T1);
	put_own(own, to, DHCP_OPT_T2);
	put_own(own, to, DHCP_OPT_FQDN);
}

/* How long the reply's UDP payload may be. Option 57 counts the IP datagram. */
static size_t size_limit(const struct dhcp_speaker *speaker, const struct dhcp_message *message)
{
	size_t datagram = message->size_max;
	size_t mtu = speaker->mtu && speaker->mtu < ETHERNET_MTU ? speaker->mtu : ETHERNET_MTU;

	if (datagram < DHCP_DATAGRAM_MIN)
		datagram = DHCP_DATAGRAM_MIN;
	if (datagram > mtu)
		datagram = mtu;
	return datagram - DHCP_IP_UDP_SIZE;
}

/* RFC 2131 section 4.1. */
static void address_reply(const struct dhcp_message *reply, struct dhcp_reply *ret)
{
	uint32_t to = INADDR_BROADCAST;

	ret->to.port = DHCP_CLIENT_PORT;
	ret->destination = DHCP_TO_BROADCAST;
	ret->chaddr = reply->chaddr;
	if (reply->giaddr) {
		ret->destination = DHCP_TO_RELAY;
		to = reply->giaddr;
		ret->to.port = DHCP_SERVER_PORT;
	} else if (reply->type == DHCP_NAK) {
		/* Broadcast: the client's address is what is wrong. */
	} else if (reply->ciaddr) {
		ret->destination = DHCP_TO_CIADDR;
		to = reply->ciaddr;
	} else if (!(reply->flags & DHCP_FLAG_BROADCAST)) {
		ret->destination = DHCP_TO_CHADDR;
		to = reply->yiaddr;
	}
	ret->to.addr = addr_from_v4(to);
}

static struct dhcp_message make_header(const struct dhcp_speaker *speaker,
				       const struct dhcp_message *m,
				       const struct dhcp_decision *decision)
{
	/* What a client says that its address is counts when it is the lease's, or in an INFORM,
	 * where it has been checked: the reply will be sent there. */
	bool may_answer_ciaddr = decision->type == DHCP_ACK &&
				 (!decision->lease || decision->lease->address == m->ciaddr);
	struct dhcp_message reply = {
		.op = DHCP_BOOTREPLY,
		.htype = HTYPE_ETHERNET,
		.hlen = MAC_SIZE,
		.xid = m->xid,
		.flags = m->flags & DHCP_FLAG_BROADCAST,
		.ciaddr = may_answer_ciaddr ? m->ciaddr : 0,
		.yiaddr = decision->lease ? decision->lease->address : 0,
		.siaddr = decision->type == DHCP_NAK ? 0 : speaker->boot_server,
		.giaddr = m->giaddr,
		.file = decision->type == DHCP_NAK ? "" : speaker->boot_file,
		.chaddr = m->chaddr,
		.type = (uint8_t)decision->type,
	};

	/* Section 4.3.2: the relay must not send a NAK to an address that the client hasn't got. */
	if (decision->type == DHCP_NAK && m->giaddr)
		reply.flags |= DHCP_FLAG_BROADCAST;
	return reply;
}

void dhcp_reply_encode(const struct dhcp_speaker *speaker, const struct dhcp_exchange *exchange,
		       const struct dhcp_decision *decision, struct dhcp_reply *ret)
{
	const struct dhcp_message *m = exchange->message;
	struct own_options own = {speaker, exchange, decision};
	struct dhcp_message header = make_header(speaker, m, decision);
	struct wire_writer w = wire_writer(ret->bytes, size_limit(speaker, m));
	struct dhcp_option_writer to = {.w = &w, .reserve = 1};
	uint8_t relay[DHCP_CLIENT_ID_MAX];
	ssize_t relay_size = dhcp_message_option(m, DHCP_OPT_RELAY, relay, sizeof(relay));

	/* Echoed as the last option (RFC 3046 section 2.2). */
	if (relay_size >= 0)
		to.reserve += dhcp_option_room((size_t)relay_size);
	dhcp_put_header(&w, &header);
	dhcp_options_put(&to, DHCP_OPT_TYPE, &header.type, 1);
	dhcp_options_put_u32(&to, DHCP_OPT_SERVER_ID, speaker->server_id);
	if (decision->rapid)
		dhcp_options_put(&to, DHCP_OPT_RAPID_COMMIT, NULL, 0);
	if (exchange->sent_id)
		dhcp_options_put(&to, DHCP_OPT_CLIENT_ID, exchange->client.id,
				 exchange->client.id_size);
	if (decision->reason)
		dhcp_options_put(&to, DHCP_OPT_MESSAGE, decision->reason, strlen(decision->reason));
	if (decision->type != DHCP_NAK)
		put_options(&to, &own);
	if (relay_size >= 0)
		dhcp_put_option(&w, 1, DHCP_OPT_RELAY, relay, (size_t)relay_size);
	wire_put_u8(&w, DHCP_OPT_END);
	if (wire_written(&w) < DHCP_REPLY_SIZE_MIN)
		wire_put_zeros(&w, DHCP_REPLY_SIZE_MIN - wire_written(&w));
	ret->size = wire_written(&w);
	address_reply(&header, ret);
}
