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
		.ip = {.family = AF_UNSPEC},
	};
}

const char *machine_arch_name(enum machine_arch arch)
{
	return arch == MACHINE_ARCH_AARCH64 ? "aarch64" : "x86_64";
}

void machine_clear(struct machine *machine)
{
	free(machine->kernel);
	free(machine->initrd);
	free(machine->cmdline);
	free(machine->squashfs);
	free(machine->iso);
	free(machine->firmware);
	free(machine->data);
	free(machine->ssh_key);
	free(machine->ignition);
	free(machine->network_socket);
	free(machine->vnc);
	for (size_t i = 0; i < machine->volume_count; i++)
		free(machine->volumes[i].path);
	for (size_t i = 0; i < machine->disk_count; i++)
		free(machine->disks[i].path);
	for (size_t i = 0; i < machine->publish_count; i++)
		free(machine->publish[i].text);
	memset(machine, 0, sizeof(*machine));
}
