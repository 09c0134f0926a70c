/* SPDX-License-Identifier: Apache-2.0 */
/* See qemu_args.h. The board, how it is controlled, and its screen; qemu_network.c and qemu_media.c
 * have the rest. */
#include "launcher/qemu_args.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PORT_TYPE "pcie-root-port,"

/* vhost-user devices reach into the guest's memory; in private memory they would be silently dead.
 */
static bool needs_shared_memory(const struct machine *m, const struct qemu_wiring *w)
{
	return w->vsock_socket || (w->net_socket && w->net_vhost) ||
	       (m->volume_count > 0 && w->dir);
}

static void add_machine_type(struct args *args, const struct machine *m,
			     const struct qemu_wiring *w)
{
	const bool kvm = w->accel == ACCEL_KVM;

	args_add(args, "-machine");
	args_addf(args, "%s,accel=%s%s",
		  m->arch == MACHINE_ARCH_X86_64 ? "q35"
		  : kvm                          ? "virt,gic-version=host"
						 : "virt,gic-version=3",
		  accel_name(w->accel), needs_shared_memory(m, w) ? ",memory-backend=mem" : "");
	args_add(args, "-cpu");
	args_add(args, kvm ? "host" : "max");
}

static void add_board(struct args *args, const struct machine *m, const struct qemu_wiring *w)
{
	args_add(args, "-name");
	args_add(args, "guest=");
	args_append_value(args, m->name);
	/* Nothing but what is named here: no configuration of the host's, no default devices. */
	args_add(args, "-no-user-config");
	args_add(args, "-nodefaults");
	add_machine_type(args, m, w);
	args_add(args, "-smp");
	args_addf(args, "cpus=%u", m->cpus);
	args_add(args, "-m");
	args_addf(args, "size=%" PRIu64 "B", m->mem_bytes);
	if (needs_shared_memory(m, w)) {
		args_add(args, "-object");
		args_addf(args, "memory-backend-memfd,id=mem,size=%" PRIu64 "B,share=on",
			  m->mem_bytes);
	}
	if (m->reboot_ends)
		args_add(args, "-no-reboot");
}

static void add_control(struct args *args, const struct machine *m, const struct qemu_wiring *w)
{
	args_add(args, "-chardev");
	args_addf(args, "socket,id=qmp,fd=%d", w->qmp_fd);
	args_add(args, "-mon");
	args_add(args, "chardev=qmp,mode=control");
	if (w->dir) {
		args_add(args, "-chardev");
		args_add(args, "socket,id=qmp-others,server=on,wait=off,path=");
		args_append_value(args, w->dir);
		args_append(args, "/" QEMU_MONITOR_SOCKET);
		args_add(args, "-mon");
		args_add(args, "chardev=qmp-others,mode=control");
	}
	args_add(args, "-chardev");
	args_addf(args, "socket,id=console,fd=%d", w->console_fd);
	args_add(args, "-serial");
	args_add(args, "chardev:console");
	/* How we learn of a panic, in guests that have its driver; and entropy, so that none waits
	 * for it. */
	if (m->arch == MACHINE_ARCH_X86_64) {
		args_add(args, "-device");
		args_add(args, "pvpanic-pci");
	}
	args_add(args, "-device");
	args_add(args, "virtio-rng-pci");
	if (m->balloon) {
		args_add(args, "-device");
		args_add(args, "virtio-balloon-pci,id=" QEMU_BALLOON_ID
			       ",deflate-on-oom=on,free-page-reporting=on");
	}
}

/* The screen, with what belongs in front of it. */
static void add_display(struct args *args, const struct machine *m)
{
	const bool x86 = m->arch == MACHINE_ARCH_X86_64;

	args_add(args, "-display");
	args_add(args, m->window ? "gtk" : "none");
	if (m->display.width == 0)
		return;
	args_add(args, "-device");
	/* What firmware and boot loaders know, too, is a VGA; of QEMU's, UEFI believes only the
	 * plain one about its size. */
	args_addf(args, "%s,edid=on,xres=%u,yres=%u", x86 ? "VGA,vgamem_mb=256" : "virtio-gpu-pci",
		  m->display.width, m->display.height);
	args_add(args, "-device");
	args_add(args, "virtio-keyboard-pci");
	args_add(args, "-device");
	args_add(args, "virtio-tablet-pci");
	if (m->display.ppi > 0) {
		/* No version of QEMU can tell it by EDID. */
		args_add(args, "-fw_cfg");
		args_addf(args, "name=opt/org.netproxy/display-ppi,string=%u", m->display.ppi);
	}
	if (m->vnc) {
		args_add(args, "-vnc");
		args_add(args, "");
		args_append_value(args, m->vnc);
	}
}

void qemu_args_port(struct args *args, const struct qemu_wiring *wiring, const char *id,
		    char to[static 48])
{
	unsigned chassis = 1;

	to[0] = '\0';
	if (!wiring->hotplug)
		return;
	for (size_t i = 0; i < args->count; i++)
		chassis += strncmp(args->items[i], PORT_TYPE, sizeof(PORT_TYPE) - 1) == 0;
	args_add(args, "-device");
	args_addf(args, PORT_TYPE "id=port-%s,chassis=%u", id, chassis);
	snprintf(to, 48, ",bus=port-%.32s", id);
}

int qemu_args_build(const struct machine *machine, const struct qemu_wiring *wiring,
		    struct args *ret_args)
{
	args_add(ret_args, wiring->qemu);
	add_board(ret_args, machine, wiring);
	add_control(ret_args, machine, wiring);
	add_display(ret_args, machine);
	qemu_args_network(ret_args, machine, wiring);
	qemu_args_media(ret_args, machine, wiring);
	for (size_t i = 0; wiring->extra && i < wiring->extra->count; i++)
		args_add(ret_args, wiring->extra->items[i]);
	if (!args_ok(ret_args)) {
		args_clear(ret_args);
		return -ENOMEM;
	}
	return 0;
}
