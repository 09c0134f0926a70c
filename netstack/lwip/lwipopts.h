/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How lwIP is compiled for us. It is a TCP endpoint for thousands of connections on a link that
 * does not lose, fed with segments of up to 64 KiB; IP in, UDP, ICMP and ARP are ours
 * (ip4_input.c, arp.c), so nearly everything is off.
 */
#ifndef NETSTACK_LWIPOPTS_H
#define NETSTACK_LWIPOPTS_H

#define NO_SYS               1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS          0 /* conn_timer.c calls tcp_slowtmr() for those that need it */
#define LWIP_NETCONN         0
#define LWIP_SOCKET          0
#define LWIP_STATS           0
#define LWIP_NETIF_API       0
#define LWIP_SINGLE_NETIF    1

/* Memory is malloc's; what bounds it is the windows and conns_max. */
#define MEM_LIBC_MALLOC          1
#define MEMP_MEM_MALLOC          1
#define MEM_ALIGNMENT            8
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define MEM_SIZE                 (64 * 1024)

#define LWIP_ETHERNET                 0
#define LWIP_ARP                      0
#define LWIP_UDP                      0
#define LWIP_RAW                      0
#define LWIP_DHCP                     0
#define LWIP_AUTOIP                   0
#define LWIP_DNS                      0
#define LWIP_ICMP                     0
#define LWIP_IPV4                     1
#define LWIP_IPV6                     1
#define LWIP_ICMP6                    1 /* lwIP's IPv6 does not build without */
#define LWIP_IPV6_MLD                 0
#define LWIP_IPV6_AUTOCONFIG          0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_IPV6_FRAG                0
#define LWIP_IPV6_REASS               0
#define LWIP_ND6_QUEUEING             0
/* Neighbours are ours. */
#define LWIP_ND6_TCP_REACHABILITY_HINTS 0

/* Fragments are ours: reass.c puts together what comes in, packet.c cuts what is sent. */
#define IP_REASSEMBLY 0
#define IP_FRAG       0

/* Segments as large as a 16-bit length allows beside IPv6 and TCP headers with options: 65535 - 40
 * - 60 and something to spare. What is told to the guest is the link's own MSS: packet.c writes it
 * into the SYN. */
#define LWIP_TCP                   1
#define TCP_MSS                    65400
#define TCP_CALCULATE_EFF_SEND_MSS 0
#define LWIP_WND_SCALE             1
#define TCP_RCV_SCALE              8
#define TCP_WND                    (4 * 1024 * 1024)
#define TCP_SND_BUF                (4 * 1024 * 1024)
#define TCP_SND_QUEUELEN           65000
#define TCP_SNDLOWAT               1
#define TCP_SNDQUEUELOWAT          1
#define TCP_OVERSIZE               0
#define TCP_QUEUE_OOSEQ            1
#define TCP_OOSEQ_MAX_BYTES        (4 * 1024 * 1024)
#define TCP_OOSEQ_MAX_PBUFS        4096
#define LWIP_TCP_SACK_OUT          1
#define LWIP_TCP_TIMESTAMPS        0
#define TCP_LISTEN_BACKLOG         0
#define LWIP_TCP_KEEPALIVE         1
/* TIME_WAIT lasts twice this. A guest's network is short. */
#define TCP_MSL 2000
/* The retransmission timer ticks every 2 * 25 ms. */
#define TCP_TMR_INTERVAL  25
#define LWIP_TCP_RTO_TIME 1000
/* lwIP's most; conn_timer.c adds to it. */
#define TCP_MAXRTX    12
#define TCP_SYNMAXRTX 6

/* Checksums are ours: offload.c verifies what comes in, links complete what goes out. */
#define CHECKSUM_GEN_IP       1
#define CHECKSUM_GEN_TCP      0
#define CHECKSUM_GEN_UDP      0
#define CHECKSUM_GEN_ICMP     0
#define CHECKSUM_GEN_ICMP6    0
#define CHECKSUM_CHECK_IP     0
#define CHECKSUM_CHECK_TCP    0
#define CHECKSUM_CHECK_UDP    0
#define CHECKSUM_CHECK_ICMP   0
#define CHECKSUM_CHECK_ICMP6  0
#define LWIP_CHECKSUM_ON_COPY 0

/* Room for an Ethernet header before each IP header; the L2 header never counts in a pbuf's length.
 */
#define PBUF_LINK_HLEN               14
#define PBUF_LINK_ENCAPSULATION_HLEN 2

/* The checks assume small segments (TCP_SND_BUF < 64 KiB); assertions stay on. */
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1

#include <stdint.h>
#include <stdlib.h>
#define LWIP_RAND() ((u32_t)random())

/* Initial sequence numbers by a keyed hash of the 4-tuple and the clock (RFC 6528). */
struct ip_addr;
uint32_t conn_lwip_isn(const struct ip_addr *local_ip, uint16_t local_port,
		       const struct ip_addr *remote_ip, uint16_t remote_port);
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) \
	conn_lwip_isn(local_ip, local_port, remote_ip, remote_port)

#endif
