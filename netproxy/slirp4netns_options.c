/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slirp4netns' command line; see slirp4netns_options.h. It is translated into one of netproxy's,
 * which then is read and checked like any other.
 */
#include "netproxy/slirp4netns_options.h"

#include <errno.h>
#include <getopt.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "netstack/stack.h"

/* What we stand in for: tools ask for it before they use an option. */
#define SLIRP4NETNS_VERSION "1.2.0"
#define LIBSLIRP_VERSION    "4.7.0"

#define SLIRP_MTU_MAX     65521
#define SLIRP_CIDR        "10.0.2.0/24"
#define SLIRP_PREFIX6     "fd00::/64"
#define SLIRP_GATEWAY     2
#define SLIRP_DNS         3
#define SLIRP_DHCP_FIRST  15
#define SLIRP_DHCP_LAST   30
#define SLIRP_GUEST       100
#define PREFIX_LENGTH_MAX 25
#define ARGUMENTS_MAX     64
#define ARGUMENT_TEXT_MAX 64

/* What the command line says, before it is translated. */
struct slirp {
	bool configure, enable_ipv6, disable_host_loopback, sandbox, seccomp, disable_dns;
	bool netns_is_path, bess;
	const char *exit_fd, *ready_fd, *mtu, *api_socket, *cidr, *userns_path, *mac;
	const char *outbound, *outbound6;
	const char *target, *ifname;
};

enum long_only {
	OPT_CIDR = 1000,
	OPT_NO_LOOPBACK,
	OPT_NETNS_TYPE,
	OPT_USERNS_PATH,
	OPT_SANDBOX,
	OPT_SECCOMP,
	OPT_OUTBOUND,
	OPT_OUTBOUND6,
	OPT_NO_DNS,
	OPT_MAC,
	OPT_TARGET_TYPE,
};

static const struct option long_options[] = {
	{"configure", no_argument, NULL, 'c'},
	{"exit-fd", required_argument, NULL, 'e'},
	{"ready-fd", required_argument, NULL, 'r'},
	{"mtu", required_argument, NULL, 'm'},
	{"enable-ipv6", no_argument, NULL, '6'},
	{"api-socket", required_argument, NULL, 'a'},
	{"cidr", required_argument, NULL, OPT_CIDR},
	{"disable-host-loopback", no_argument, NULL, OPT_NO_LOOPBACK},
	{"no-host-loopback", no_argument, NULL, OPT_NO_LOOPBACK},
	{"netns-type", required_argument, NULL, OPT_NETNS_TYPE},
	{"userns-path", required_argument, NULL, OPT_USERNS_PATH},
	{"enable-sandbox", no_argument, NULL, OPT_SANDBOX},
	{"create-sandbox", no_argument, NULL, OPT_SANDBOX},
	{"enable-seccomp", no_argument, NULL, OPT_SECCOMP},
	{"outbound-addr", required_argument, NULL, OPT_OUTBOUND},
	{"outbound-addr6", required_argument, NULL, OPT_OUTBOUND6},
	{"disable-dns", no_argument, NULL, OPT_NO_DNS},
	{"macaddress", required_argument, NULL, OPT_MAC},
	{"target-type", required_argument, NULL, OPT_TARGET_TYPE},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'v'},
	{0},
};

/* Tools look for the options' names in this text. */
static void print_help(void)
{
	printf("Usage: slirp4netns [OPTION]... PID|PATH [TAPNAME]\n"
	       "netproxy in slirp4netns' place: a network for unprivileged network namespaces.\n"
	       "\n"
	       "-c, --configure          set the interface up\n"
	       "-e, --exit-fd=FD         end when something happens on that descriptor\n"
	       "-r, --ready-fd=FD        write \"1\" to that descriptor when all is ready\n"
	       "-m, --mtu=MTU            the MTU (default=1500, max=65521)\n"
	       "-6, --enable-ipv6        IPv6 too\n"
	       "-a, --api-socket=PATH    where to serve the API\n"
	       "--cidr=CIDR              the network (default=10.0.2.0/24)\n"
	       "--disable-host-loopback  don't let the namespace reach 127.0.0.1 of the host\n"
	       "--netns-type=TYPE        what names the namespace ([path|pid], default=pid)\n"
	       "--userns-path=PATH       its user namespace; found without, too\n"
	       "--enable-sandbox         see only /etc and /run, and drop capabilities\n"
	       "--enable-seccomp         limit the system calls\n"
	       "--outbound-addr=IPv4     the host's address for connections out\n"
	       "--outbound-addr6=IPv6    the same for IPv6\n"
	       "--disable-dns            don't answer DNS at 10.0.2.3\n"
	       "--macaddress=MAC         the MAC of the interface (only with -c)\n"
	       "--target-type=TYPE       what to serve ([netns|bess], default=netns)\n"
	       "-h, --help               this\n"
	       "-v, --version            the version\n");
}

/* In slirp4netns' form, which is parsed by others; the second line says who it really is. */
static void print_version(void)
{
	const struct scmp_version *seccomp = seccomp_version();

	printf("slirp4netns version " SLIRP4NETNS_VERSION "\n"
	       "commit: netproxy-" NETPROXY_VERSION "\n"
	       "libslirp: " LIBSLIRP_VERSION "\n"
	       "SLIRP_CONFIG_VERSION_MAX: 4\n"
	       "libseccomp: %u.%u.%u\n",
	       seccomp->major, seccomp->minor, seccomp->micro);
}

/* ---- Reading ---- */

static int complain(char error[static OPTIONS_ERROR_MAX], const char *text)
{
	snprintf(error, OPTIONS_ERROR_MAX, "%s: see 'slirp4netns --help'", text);
	return -EINVAL;
}

static int take_types(struct slirp *slirp, int option, char error[static OPTIONS_ERROR_MAX])
{
	if (option == OPT_NETNS_TYPE) {
		slirp->netns_is_path = strcmp(optarg, "path") == 0;
		if (!slirp->netns_is_path && strcmp(optarg, "pid") != 0)
			return complain(error, "--netns-type must be either \"path\" or \"pid\"");
	} else {
		slirp->bess = strcmp(optarg, "bess") == 0;
		if (!slirp->bess && strcmp(optarg, "netns") != 0)
			return complain(error,
					"--target-type must be either \"netns\" or \"bess\"");
	}
	return 0;
}

static void take_switch(struct slirp *slirp, int option)
{
	switch (option) {
	case 'c':
		slirp->configure = true;
		break;
	case '6':
		slirp->enable_ipv6 = true;
		break;
	case OPT_NO_LOOPBACK:
		slirp->disable_host_loopback = true;
		break;
	case OPT_SANDBOX:
		slirp->sandbox = true;
		break;
	case OPT_SECCOMP:
		slirp->seccomp = true;
		break;
	case OPT_NO_DNS:
		slirp->disable_dns = true;
		break;
	}
}

/* Returns NULL for an option without a value. */
static const char **value_of(struct slirp *slirp, int option)
{
	switch (option) {
	case 'e':
		return &slirp->exit_fd;
	case 'r':
		return &slirp->ready_fd;
	case 'm':
		return &slirp->mtu;
	case 'a':
		return &slirp->api_socket;
	case OPT_CIDR:
		return &slirp->cidr;
	case OPT_USERNS_PATH:
		return &slirp->userns_path;
	case OPT_OUTBOUND:
		return &slirp->outbound;
	case OPT_OUTBOUND6:
		return &slirp->outbound6;
	case OPT_MAC:
		return &slirp->mac;
	default:
		return NULL;
	}
}

/* What getopt stopped at, when it did with `c`. */
static void complain_about_flag(const char *flag, int c, char error[static OPTIONS_ERROR_MAX])
{
	const char *name = flag + strspn(flag, "-");
	struct nearest nearest;

	nearest_begin(&nearest, name, strcspn(name, "="));
	for (size_t i = 0; long_options[i].name; i++)
		nearest_offer(&nearest, long_options[i].name, NULL);
	if (c == ':')
		snprintf(error, OPTIONS_ERROR_MAX, "%.100s needs a value: see 'slirp4netns --help'",
			 flag);
	else if (nearest.name)
		snprintf(error, OPTIONS_ERROR_MAX, "%.100s is not an option: did you mean --%s?",
			 flag, nearest.name);
	else
		snprintf(error, OPTIONS_ERROR_MAX,
			 "%.100s is not an option: see 'slirp4netns --help'", flag);
}

static enum options_result read_flags(int argc, char **argv, struct slirp *slirp,
				      char error[static OPTIONS_ERROR_MAX])
{
	int option;

	opterr = 0;
	optind = 0;
	while ((option = getopt_long(argc, argv, ":ce:r:m:a:6hv", long_options, NULL)) != -1) {
		const char **value = value_of(slirp, option);

		if (option == 'h' || option == 'v') {
			if (option == 'h')
				print_help();
			else
				print_version();
			return OPTIONS_DONE;
		}
		if (option == '?' || option == ':') {
			complain_about_flag(argv[optind - 1], option, error);
			return OPTIONS_BAD;
		}
		if ((option == OPT_NETNS_TYPE || option == OPT_TARGET_TYPE) &&
		    take_types(slirp, option, error) < 0)
			return OPTIONS_BAD;
		if (value)
			*value = optarg;
		else
			take_switch(slirp, option);
	}
	slirp->target = argv[optind];
	slirp->ifname = slirp->target ? argv[optind + 1] : NULL;
	return OPTIONS_RUN;
}

static int check_target(const struct slirp *slirp, char error[static OPTIONS_ERROR_MAX])
{
	if (!slirp->target)
		return complain(error, "expected PID|PATH TAPNAME");
	if (slirp->bess) {
		if (slirp->configure || slirp->netns_is_path || slirp->userns_path)
			return complain(error, "--target-type=bess conflicts with --configure, "
					       "--netns-type and --userns-path");
		return 0;
	}
	if (!slirp->ifname)
		return complain(error, "expected TAPNAME behind PID|PATH");
	if (slirp->netns_is_path && access(slirp->target, F_OK) < 0)
		return complain(error, "existing path expected when --netns-type=path");
	if (!slirp->netns_is_path && (slirp->target[0] == '0' ||
				      strspn(slirp->target, "0123456789") != strlen(slirp->target)))
		return complain(error, "PID must be a positive integer");
	/* Which one owns the network namespace is the kernel's to say; see netns_enter(). */
	if (slirp->userns_path && access(slirp->userns_path, F_OK) < 0)
		return complain(error, "userns path doesn't exist");
	if (slirp->mac && !slirp->configure)
		return complain(error, "--macaddress cannot be specified without --configure");
	return 0;
}

/* ---- Translating ---- */

/* netproxy's arguments, and room for the texts that are made for them. */
struct arguments {
	char *argv[ARGUMENTS_MAX + 1];
	int argc;
	char texts[8][ARGUMENT_TEXT_MAX];
	unsigned text_count;
};

static void add(struct arguments *to, const char *flag, const char *value)
{
	if (to->argc + 2 > ARGUMENTS_MAX)
		return; /* there are fewer options than that */
	to->argv[to->argc++] = (char *)flag;
	if (value)
		to->argv[to->argc++] = (char *)value;
	to->argv[to->argc] = NULL;
}

static void add_if(struct arguments *to, const char *flag, const char *value)
{
	if (value)
		add(to, flag, value);
}

static void add_switch(struct arguments *to, const char *flag, bool on)
{
	if (on)
		add(to, flag, NULL);
}

static const char *make_address(struct arguments *to, const struct prefix *cidr, uint32_t number)
{
	struct addr addr = addr_from_v4(addr_v4(&cidr->addr) + number);
	char *text = to->texts[to->text_count++];
	char buffer[ADDR_TEXT_MAX];

	snprintf(text, ARGUMENT_TEXT_MAX, "%s", addr_format(&addr, buffer));
	return text;
}

static int add_network(struct arguments *to, const struct slirp *slirp,
		       char error[static OPTIONS_ERROR_MAX])
{
	const char *text = slirp->cidr ? slirp->cidr : SLIRP_CIDR;
	char *range = to->texts[to->text_count++];
	char first[ADDR_TEXT_MAX], last[ADDR_TEXT_MAX];
	struct addr from, until;
	struct prefix cidr;

	if (prefix_parse(text, &cidr) < 0 || cidr.addr.family != AF_INET ||
	    addr_v4(&cidr.addr) & ~prefix_mask4(&cidr))
		return complain(error, "invalid CIDR: expected a network such as 10.0.2.0/24");
	if (cidr.length > PREFIX_LENGTH_MAX)
		return complain(error, "prefix length needs to be 1-25");
	from = addr_from_v4(addr_v4(&cidr.addr) + SLIRP_DHCP_FIRST);
	until = addr_from_v4(addr_v4(&cidr.addr) + SLIRP_DHCP_LAST);
	snprintf(range, ARGUMENT_TEXT_MAX, "%s-%s", addr_format(&from, first),
		 addr_format(&until, last));
	add(to, "--subnet", text);
	add(to, "--gateway", make_address(to, &cidr, SLIRP_GATEWAY));
	add(to, "--dns-address", make_address(to, &cidr, SLIRP_DNS));
	add(to, "--dhcp-range", range);
	if (!slirp->bess)
		add(to, "--netns-address", make_address(to, &cidr, SLIRP_GUEST));
	add(to, "--prefix6", slirp->enable_ipv6 ? SLIRP_PREFIX6 : "none");
	return 0;
}

static int add_mtu(struct arguments *to, const struct slirp *slirp,
		   char error[static OPTIONS_ERROR_MAX])
{
	char *text = to->texts[to->text_count++];
	unsigned long mtu;
	char *end;

	if (!slirp->mtu)
		return 0;
	errno = 0;
	mtu = strtoul(slirp->mtu, &end, 10);
	if (errno || *end || *slirp->mtu < '0' || *slirp->mtu > '9' || mtu < 1 ||
	    mtu > SLIRP_MTU_MAX)
		return complain(error, "MTU must be a positive integer (< 65522)");
	/* One of the two must have it wrong, and it doesn't matter which. */
	snprintf(text, ARGUMENT_TEXT_MAX, "%lu", mtu > STACK_MTU_MAX ? STACK_MTU_MAX : mtu);
	add(to, "--mtu", text);
	return 0;
}

static void add_target(struct arguments *to, const struct slirp *slirp, char *link,
		       size_t link_room)
{
	if (slirp->bess) {
		snprintf(link, link_room, "bess:%s", slirp->target);
		add(to, "--link", link);
		return;
	}
	add(to, "--netns", slirp->target);
	add(to, "--ifname", slirp->ifname);
	add_switch(to, "--netns-attach", !slirp->configure);
	add_if(to, "--netns-mac", slirp->mac);
}

static void add_rest(struct arguments *to, const struct slirp *slirp)
{
	add_if(to, "--exit-fd", slirp->exit_fd);
	add_if(to, "--ready-fd", slirp->ready_fd);
	add_if(to, "--slirp4netns-api", slirp->api_socket);
	add_if(to, "--outbound-address", slirp->outbound);
	add_if(to, "--outbound-address6", slirp->outbound6);
	add_switch(to, "--no-host-access", slirp->disable_host_loopback);
	add_switch(to, "--no-dns", slirp->disable_dns);
	add_switch(to, "--sandbox", slirp->sandbox);
	add_switch(to, "--seccomp", slirp->seccomp);
	/* A container's engine publishes from outside, and only from there. */
	add(to, "--no-guest-api", NULL);
	add(to, "--guest-publish", "none");
}

bool slirp4netns_is_name(const char *argv0)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

	return argv0 && strcmp(slash ? slash + 1 : argv0, "slirp4netns") == 0;
}

enum options_result slirp4netns_options_parse(int argc, char **argv, struct options *ret_options,
					      char error[static OPTIONS_ERROR_MAX])
{
	static char *const nothing[] = {(char *)"netproxy", NULL};
	struct slirp slirp = {0};
	struct arguments to = {.argv = {nothing[0]}, .argc = 1};
	char link[OPTIONS_PATH_MAX + 8], why[OPTIONS_ERROR_MAX];
	enum options_result result = read_flags(argc, argv, &slirp, error);

	if (result == OPTIONS_RUN &&
	    (check_target(&slirp, error) < 0 || add_network(&to, &slirp, error) < 0 ||
	     add_mtu(&to, &slirp, error) < 0))
		result = OPTIONS_BAD;
	if (result == OPTIONS_RUN) {
		add_target(&to, &slirp, link, sizeof(link));
		add_rest(&to, &slirp);
		return options_parse(to.argc, to.argv, ret_options, error);
	}
	/* The defaults, so that there is something to free. */
	options_parse(1, (char **)nothing, ret_options, why);
	return result;
}
