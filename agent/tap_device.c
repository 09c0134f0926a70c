/* SPDX-License-Identifier: Apache-2.0 */
/* The tap interface; see tap_device.h. */
#include "agent/tap_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/if_arp.h>
#include <linux/if_tun.h>

#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("tap");

#define TUN_PATH "/dev/net/tun"
/* The interface's queue drops what doesn't fit; a large TCP window has more than the usual 1000. */
#define QUEUE_PACKETS 4096

/* "WHAT NAME: the errno's words" */
static int fail(char error[static TAP_ERROR_MAX], int r, const char *what, const char *name)
{
	snprintf(error, TAP_ERROR_MAX, "%s %s: %s", what, name, strerror(-r));
	return r;
}

static struct ifreq request(const struct tap_conf *conf)
{
	struct ifreq ifr = {0};

	memcpy(ifr.ifr_name, conf->ifname, sizeof(ifr.ifr_name));
	return ifr;
}

static int set_mac(int sock, const struct tap_conf *conf, char error[static TAP_ERROR_MAX])
{
	struct ifreq ifr = request(conf);

	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, conf->mac.bytes, MAC_SIZE);
	if (ioctl(sock, SIOCSIFHWADDR, &ifr) < 0)
		return fail(error, -errno, "can't set the MAC address of", conf->ifname);
	return 0;
}

static int set_mtu(int sock, const struct tap_conf *conf, char error[static TAP_ERROR_MAX])
{
	struct ifreq ifr = request(conf);

	ifr.ifr_mtu = (int)conf->mtu;
	if (ioctl(sock, SIOCSIFMTU, &ifr) < 0)
		return fail(error, -errno, "can't set the MTU of", conf->ifname);
	return 0;
}

static int set_up(const struct tap_conf *conf, char error[static TAP_ERROR_MAX])
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = request(conf);
	int r = 0;

	if (sock < 0)
		return fail(error, -errno, "no socket to set up", conf->ifname);
	ifr.ifr_qlen = QUEUE_PACKETS;
	if (ioctl(sock, SIOCSIFTXQLEN, &ifr) < 0)
		log_info("the queue of %s stays as it is: %s", conf->ifname, strerror(errno));
	if (conf->has_mac)
		r = set_mac(sock, conf, error);
	if (r == 0 && conf->mtu)
		r = set_mtu(sock, conf, error);
	if (r == 0) {
		ifr = request(conf);
		if (ioctl(sock, SIOCGIFFLAGS, &ifr) == 0) {
			ifr.ifr_flags |= IFF_UP;
			r = ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
		} else {
			r = -errno;
		}
		if (r < 0)
			fail(error, r, "can't bring up", conf->ifname);
	}
	fd_close(&sock);
	return r;
}

int tap_device_open(const struct tap_conf *conf, int *ret_fd, char error[static TAP_ERROR_MAX])
{
	struct ifreq ifr = request(conf);
	int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int r;

	if (fd < 0)
		return fail(error, -errno, "can't make a tap (is the module tun loaded?) by",
			    TUN_PATH);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI;
	if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
		r = -errno;
		fail(error, r,
		     r == -EBUSY ? "there is one already of the name" : "can't make the interface",
		     conf->ifname);
	} else {
		r = set_up(conf, error);
	}
	if (r < 0)
		fd_close(&fd);
	else
		*ret_fd = fd;
	return r;
}

void tap_device_set_carrier(int fd, bool is_on)
{
	int value = is_on;

	if (ioctl(fd, TUNSETCARRIER, &value) < 0)
		log_debug("the carrier can't be set: %s", strerror(errno));
}
