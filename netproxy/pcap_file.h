/* SPDX-License-Identifier: Apache-2.0 */
/* --pcap: every frame of every link, written to a file that Wireshark and tcpdump read. */
#ifndef NETPROXY_PCAP_FILE_H
#define NETPROXY_PCAP_FILE_H

#include "base/loop.h"
#include "netstack/switch.h"

struct pcap_file;

/* Writes the file anew, readable by its owner only. Frames are in it at the end of each of the
 * loop's rounds. When the disk is full the capture ends, and the network goes on. Returns 0 or
 * -errno. */
int pcap_file_new(struct loop *loop, struct nswitch *sw, const char *path,
		  struct pcap_file **ret_file);
/* NULL is fine. */
void pcap_file_free(struct pcap_file *file);

#endif
