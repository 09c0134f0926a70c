/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes a client of VPNKit's port control: a stream of 9P messages, whose replies are well formed,
 * and which leaves no forward behind. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/vpnkit_ports.h"
#include "p9/p9_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t started, stopped;

static int start_forward(void *arg, struct publish_spec *spec, uint64_t *ret_number,
			 char error[static VPNKIT_ERROR_MAX])
{
	(void)arg;
	(void)error;
	if (spec->remote.port == 0 || spec->local.addr.family == AF_UNSPEC)
		abort();
	*ret_number = ++started;
	return 0;
}

static void stop_forward(void *arg, uint64_t number)
{
	(void)arg;
	if (number == 0 || number > started)
		abort();
	stopped++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vpnkit_ports_ops ops = {.start = start_forward, .stop = stop_forward};
	static uint8_t reply[VPNKIT_MESSAGE_MAX];
	struct vpnkit_ports *ports;

	started = stopped = 0;
	if (vpnkit_ports_new(&ops, NULL, &ports) < 0)
		abort();
	while (size >= P9_HEADER) {
		size_t message = p9_message_size(data);

		if (message < P9_HEADER || message > size || message > VPNKIT_MESSAGE_MAX)
			break;
		/* A copy of its own, so that reading beyond it is noticed. */
		uint8_t *copy = malloc(message);
		if (!copy)
			abort();
		memcpy(copy, data, message);
		size_t got = vpnkit_ports_serve(ports, copy, message, reply);
		free(copy);
		if (got == 0)
			break;
		if (got < P9_HEADER || got > sizeof(reply) || p9_message_size(reply) != got)
			abort();
		data += message;
		size -= message;
	}
	vpnkit_ports_free(ports);
	if (started != stopped)
		abort();
	return 0;
}
