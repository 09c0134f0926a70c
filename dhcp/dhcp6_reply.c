/* SPDX-License-Identifier: Apache-2.0 */
/* DHCPv6 replies as bytes (RFC 8415, sections 18.3 and 21); see dhcp6_reply.h. */
#include "dhcp/dhcp6_reply.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define STATUS_TEXT_MAX 48 /* of status_text() */

/* An IA at its largest: header, times, addresses and status, so that what is required always fits:
 * four of them and the identifiers are well below DHCP6_REPLY_SIZE_MAX. */
#define IA_SIZE_MAX (4 + 12 + (1 + DHCP6_IA_ADDRS_MAX) * 28 + 4 + 2 + STATUS_TEXT_MAX)
static_assert(4 + (4 + DHCP6_DUID_MAX) + (4 + DHCP6_SERVER_ID_SIZE) + 5 + 4 + 6 + STATUS_TEXT_MAX +
			      DHCP6_IAS_MAX * IA_SIZE_MAX <=
		      DHCP6_REPLY_SIZE_MAX,
	      "a reply might not fit");

/* RFC 5908, 4.1. */
#define NTP_SUBOPTION_SERVER 1

/* RFC 4704, 4.1. */
#define FQDN_S 0x01 /* the server updates the AAAA record */
#define FQDN_O 0x02 /* ... though the client didn't ask it to */
#define FQDN_N 0x04 /* the server updates nothing */

static const char *status_text(enum dhcp6_status status)
{
	switch (status) {
	case DHCP6_SUCCESS:
		return "";
	case DHCP6_NO_ADDRS_AVAIL:
		return "no address is free";
	case DHCP6_NO_BINDING:
		return "no such lease";
	case DHCP6_NOT_ON_LINK:
		return "address isn't of this network";
	case DHCP6_USE_MULTICAST:
		return "send to ff02::1:2";
	case DHCP6_NO_PREFIX_AVAIL:
		return "no prefixes here";
	}
	return "";
}

static void put_status(struct wire_writer *w, enum dhcp6_status status)
{
	const char *text = status_text(status);
	uint8_t *length = dhcp6_begin_option(w, DHCP6_OPT_STATUS);

	wire_put_be16(w, (uint16_t)status);
	wire_put_bytes(w, text, strlen(text));
	dhcp6_end_option(w, length);
}

static void put_address(struct wire_writer *w, const struct addr *addr, uint32_t seconds)
{
	uint8_t *length = dhcp6_begin_option(w, DHCP6_OPT_IA_ADDR);

	wire_put_bytes(w, &addr->v6, sizeof(addr->v6));
	wire_put_be32(w, seconds); /* preferred: nobody shall move away from it before it ends */
	wire_put_be32(w, seconds); /* valid */
	dhcp6_end_option(w, length);
}

/* Half of a time, and four fifths: when to renew and to rebind (RFC 8415, 21.4). */
static void put_renewal(struct wire_writer *w, uint32_t seconds)
{
	bool ever = seconds == DHCP_LEASE_INFINITE;

	wire_put_be32(w, ever ? DHCP_LEASE_INFINITE : seconds / 2);
	wire_put_be32(w, ever ? DHCP_LEASE_INFINITE : (uint32_t)((uint64_t)seconds * 4 / 5));
}

static void put_ia(struct wire_writer *w, const struct dhcp6_speaker *speaker,
		   const struct dhcp6_ia *ia, const struct dhcp6_ia_answer *answer)
{
	uint8_t *length = dhcp6_begin_option(w, ia->kind);

	wire_put_be32(w, ia->id);
	if (ia->kind != DHCP6_OPT_IA_TA)
		put_renewal(w, answer->granted.family ? speaker->lease_seconds : 0);
	if (answer->granted.family)
		put_address(w, &answer->granted, speaker->lease_seconds);
	for (unsigned i = 0; i < answer->ended_count; i++)
		put_address(w, &answer->ended[i], 0);
	if (answer->has_status)
		put_status(w, answer->status);
	dhcp6_end_option(w, length);
}

/* Options of addresses behind each other, RFC 3646 and RFC 4075. */
static void put_addresses(struct wire_writer *w, uint16_t code, const struct addr *addrs,
			  size_t count)
{
	uint8_t bytes[DHCP_ADDRESSES_MAX * sizeof(struct in6_addr)];
	struct wire_writer value = wire_writer(bytes, sizeof(bytes));

	for (size_t i = 0; i < count; i++)
		wire_put_bytes(&value, &addrs[i].v6, sizeof(addrs[i].v6));
	if (count)
		dhcp6_put_option(w, 0, code, bytes, wire_written(&value));
}

static void put_ntp(struct wire_writer *w, const struct dhcp6_speaker *speaker)
{
	uint8_t bytes[DHCP_ADDRESSES_MAX * (4 + sizeof(struct in6_addr))];
	struct wire_writer value = wire_writer(bytes, sizeof(bytes));

	for (size_t i = 0; i < speaker->ntp_count; i++)
		dhcp6_put_option(&value, 0, NTP_SUBOPTION_SERVER, &speaker->ntp[i].v6,
				 sizeof(speaker->ntp[i].v6));
	if (speaker->ntp_count)
		dhcp6_put_option(w, 0, DHCP6_OPT_NTP, bytes, wire_written(&value));
}

/* Tells the client what name it goes by: RFC 4704, 6. Names are ours to make, whatever it says, but
 * a client that wants none made is not told of one. */
static void put_fqdn(struct wire_writer *w, const struct dhcp6_speaker *speaker,
		     const struct dhcp6_message *m, const char *hostname)
{
	uint8_t bytes[1 + DHCP_DOMAIN_MAX + 1];
	struct wire_writer value = wire_writer(bytes, sizeof(bytes));
	char name[DHCP_HOSTNAME_MAX + DHCP_DOMAIN_MAX];

	if (m->fqdn_flags & FQDN_N)
		wire_put_u8(&value, FQDN_N);
	else
		wire_put_u8(&value, m->fqdn_flags & FQDN_S ? FQDN_S : FQDN_S | FQDN_O);
	snprintf(name, sizeof(name), "%s%s%s", hostname, speaker->domain[0] ? "." : "",
		 speaker->domain);
	dhcp_put_domain(&value, name);
	if (wire_fits(&value))
		dhcp6_put_option(w, 0, DHCP6_OPT_FQDN, bytes, wire_written(&value));
}

static void put_conf(struct wire_writer *w, const struct dhcp6_speaker *speaker,
		     const struct dhcp6_message *m, const struct dhcp6_decision *decision)
{
	if (m->type == DHCP6_INFORMATION_REQUEST) {
		uint32_t seconds = speaker->lease_seconds;
		uint8_t bytes[4];
		struct wire_writer value = wire_writer(bytes, sizeof(bytes));

		wire_put_be32(&value,
			      seconds < DHCP6_REFRESH_MIN_S ? DHCP6_REFRESH_MIN_S : seconds);
		dhcp6_put_option(w, 0, DHCP6_OPT_REFRESH_TIME, bytes, sizeof(bytes));
	}
	if (dhcp6_wants(m, DHCP6_OPT_DNS))
		put_addresses(w, DHCP6_OPT_DNS, speaker->dns, speaker->dns_count);
	if (m->has_fqdn && decision->hostname && decision->hostname[0])
		put_fqdn(w, speaker, m, decision->hostname);
	if (dhcp6_wants(m, DHCP6_OPT_DOMAINS) && speaker->search_size)
		dhcp6_put_option(w, 0, DHCP6_OPT_DOMAINS, speaker->search, speaker->search_size);
	if (dhcp6_wants(m, DHCP6_OPT_NTP))
		put_ntp(w, speaker);
	if (dhcp6_wants(m, DHCP6_OPT_SNTP))
		put_addresses(w, DHCP6_OPT_SNTP, speaker->ntp, speaker->ntp_count);
}

void dhcp6_reply_encode(const struct dhcp6_speaker *speaker, const struct dhcp6_message *message,
			const struct dhcp6_decision *decision, struct dhcp6_reply *ret)
{
	/* 255: there is no better server to wait for (RFC 8415, 18.2.1). */
	static const uint8_t preference = 255;
	struct wire_writer w = wire_writer(ret->bytes, sizeof(ret->bytes));

	wire_put_be32(&w, (uint32_t)decision->type << 24 | message->xid);
	if (message->client.size)
		dhcp6_put_option(&w, 0, DHCP6_OPT_CLIENT_ID, message->client.bytes,
				 message->client.size);
	dhcp6_put_option(&w, 0, DHCP6_OPT_SERVER_ID, speaker->server_id,
			 sizeof(speaker->server_id));
	if (decision->type == DHCP6_ADVERTISE)
		dhcp6_put_option(&w, 0, DHCP6_OPT_PREFERENCE, &preference, 1);
	if (decision->rapid)
		dhcp6_put_option(&w, 0, DHCP6_OPT_RAPID_COMMIT, NULL, 0);
	if (decision->has_status)
		put_status(&w, decision->status);
	for (unsigned i = 0; i < message->ia_count; i++) {
		if (decision->answers[i].present)
			put_ia(&w, speaker, &message->ias[i], &decision->answers[i]);
	}
	assert(wire_fits(&w));
	if (decision->with_conf)
		put_conf(&w, speaker, message, decision);
	ret->size = wire_written(&w);
}
