/* SPDX-License-Identifier: Apache-2.0 */
/* See machine.h. */
#include "launcher/machine.h"

#include <stdlib.h>
#include <string.h>

void machine_init(struct machine *machine)
{
	*machine = (struct machine){
		.name = "netproxy-vm",
		.mem_bytes = UINT64_C(512) << 20,
		.cpus = 1,
		.network = MACHINE_NETWORK_USERSPACE,
	};
}

void machine_clear(struct machine *machine)
{
	free(machine->kernel);
	free(machine->initrd);
	free(machine->cmdline);
	free(machine->network_socket);
	for (size_t i = 0; i < machine->disk_count; i++)
		free(machine->disks[i].path);
	for (size_t i = 0; i < machine->publish_count; i++)
		free(machine->publish[i].text);
	memset(machine, 0, sizeof(*machine));
}
