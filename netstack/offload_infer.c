/* SPDX-License-Identifier: Apache-2.0 */
/* Offloads that nobody announces: see offload_infer.h. */
#include "netstack/offload_infer.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "base/csum.h"
#include "netstack/bytes.h"
#include "netstack/offload.h"

/* The sum that a checksum field holds until it is completed. */
static uint16_t pseudo_sum(const struct frame *frame, const struct frame_headers *headers)
{
	struct addr src, dst;

	frame_addresses(frame, headers, &src, &dst);
	return (uint16_t)~csum_fold(csum_add_pseudo(0, &src, &dst, headers->protocol,
						    headers->ip_end - headers->transport_offset));
}

static void set_gso(struct frame *frame, const struct frame_headers *headers, uint32_t mtu)
{
	uint32_t before_payload = headers->payload_offset - ETH_HEADER_SIZE;

	if (headers->protocol != IPPROTO_TCP || headers->ip_end != frame->size ||
	    mtu <= before_payload)
		return;
	frame->gso = headers->ip_version == 4 ? FRAME_GSO_TCP4 : FRAME_GSO_TCP6;
	frame->gso_size = (uint16_t)(mtu - before_payload);
	frame->header_size = headers->payload_offset;
}

void offload_infer(struct frame *frame, uint32_t mtu)
{
	struct frame inferred = *frame;
	struct frame_headers headers;
	uint16_t field, sum;
	bool is_large;
	uint8_t *at;

	if (frame_parse_headers(frame, &headers) < 0 ||
	    (headers.protocol != IPPROTO_TCP && headers.protocol != IPPROTO_UDP))
		return;
	inferred.csum = FRAME_CSUM_PARTIAL;
	inferred.csum_start = headers.transport_offset;
	inferred.csum_offset = headers.protocol == IPPROTO_TCP ? TCP_AT_CSUM : UDP_AT_CSUM;
	at = (uint8_t *)frame->iov[0].iov_base + headers.transport_offset + inferred.csum_offset;
	memcpy(&field, at, sizeof(field));
	sum = pseudo_sum(frame, &headers);
	is_large = headers.protocol == IPPROTO_TCP && headers.ip_end - ETH_HEADER_SIZE > mtu;
	if (is_large)
		set_gso(&inferred, &headers, mtu);
	if (field != sum) {
		if (inferred.gso == FRAME_GSO_NONE || !offload_csum_ok(frame, &headers))
			return;
	}
	if (offload_validate(&inferred) < 0)
		return;
	if (field != sum)
		memcpy(at, &sum, sizeof(sum));
	*frame = inferred;
}
