/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that reach into a guest that runs: console, vsock, ssh, cp. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/sock.h"
#include "launcher/cmd.h"
#include "launcher/commands.h"
#include "launcher/console.h"
#include "launcher/proxy.h"

#define ANSWER_MAX   64
#define SSH_PORT     22
#define SSH_ARGS_MAX (CMD_WORDS_MAX + 16)

/* Writes all, waiting where need be. */
static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
			struct pollfd room = {.fd = fd, .events = POLLOUT};

			poll(&room, 1, -1);
			continue;
		}
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* From standard input to the socket. Returns false when that is over: the user detached. */
static bool pass_input(int fd, bool terminal, bool *escaped, bool *ended)
{
	char data[4096];
	ssize_t n = read(STDIN_FILENO, data, sizeof(data)), kept = 0;

	if (n <= 0) {
		*ended = !(n < 0 && errno == EINTR);
		if (*ended)
			shutdown(fd, SHUT_WR);
		return true;
	}
	for (ssize_t i = 0; i < n; i++) {
		/* Ctrl-A d detaches; Ctrl-A Ctrl-A is one. */
		if (terminal && *escaped && data[i] == 'd') {
			write_all(fd, data, (size_t)kept);
			return false;
		}
		if (terminal && !*escaped && data[i] == CONSOLE_ESCAPE) {
			*escaped = true;
			continue;
		}
		*escaped = false;
		data[kept++] = data[i];
	}
	return write_all(fd, data, (size_t)kept) == 0;
}

/* Relays between the socket and standard input and output until one ends. With `linger`, the end of
 * input doesn't end it. */
static void relay(int fd, bool terminal, bool linger)
{
	bool escaped = false, ended = false;
	char data[4096];

	for (;;) {
		struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
				       {.fd = ended ? -1 : STDIN_FILENO, .events = POLLIN}};

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return;
		if (fds[1].revents && !pass_input(fd, terminal, &escaped, &ended))
			return;
		if (ended && !linger)
			return;
		if (!fds[0].revents)
			continue;
		ssize_t n = recv(fd, data, sizeof(data), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return;
		if (n > 0 && write_all(STDOUT_FILENO, data, (size_t)n) < 0)
			return;
	}
}

static int connect_in(const struct store_place *place, enum machine_action action, const char *name,
		      int *ret_fd, struct problem *problem)
{
	char path[PATH_MAX];
	int r = cmd_check(place, action, NULL, problem);

	if (r < 0)
		return r;
	r = store_path(place->dir, name, path);
	if (r == 0)
		r = sock_connect_unix(path, SOCK_STREAM, ret_fd);
	if (r < 0)
		return problem_set(problem, r, "%s: nothing answers at %s: %s", place->name, path,
				   strerror(-r));
	return 0;
}

static int attach_console(const struct cmd *cmd, const struct store_place *place)
{
	struct problem problem;
	struct termios before, raw;
	int fd;
	bool terminal = isatty(STDIN_FILENO);

	(void)cmd;
	if (connect_in(place, ACTION_CONSOLE, STORE_CONSOLE, &fd, &problem) < 0)
		return cmd_refuse(&problem);
	if (terminal && tcgetattr(STDIN_FILENO, &before) == 0) {
		raw = before;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
		fprintf(stderr, "(attached to %s: Ctrl-A d detaches)\r\n", place->name);
	}
	relay(fd, terminal, false);
	if (terminal)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	close(fd);
	return 0;
}

/* Connects to a vsock port of the guest by netproxy's socket. */
static int connect_vsock(const struct store_place *place, unsigned long port, int *ret_fd,
			 struct problem *problem)
{
	char text[ANSWER_MAX];
	size_t size = 0;
	int r = connect_in(place, ACTION_REACH, PROXY_VSOCK_SOCKET "_connect", ret_fd, problem);

	if (r < 0)
		return r;
	int n = snprintf(text, sizeof(text), "CONNECT %lu\n", port);

	r = write_all(*ret_fd, text, (size_t)n);
	/* Byte by byte: what follows the line is the guest's. */
	while (r == 0 && size < sizeof(text) - 1 && (size == 0 || text[size - 1] != '\n')) {
		struct pollfd answer = {.fd = *ret_fd, .events = POLLIN};
		ssize_t got;

		poll(&answer, 1, -1);
		got = read(*ret_fd, text + size, 1);
		if (got == 1)
			size++;
		else if (got == 0 || (errno != EINTR && errno != EAGAIN))
			break;
	}
	if (size < 3 || memcmp(text, "OK ", 3) != 0) {
		close(*ret_fd);
		return problem_set(problem, -ECONNREFUSED,
				   "%s: nothing in the guest listens at vsock port %lu",
				   place->name, port);
	}
	return 0;
}

static int connect_port(const struct cmd *cmd, const struct store_place *place)
{
	struct problem problem;
	unsigned long port;
	char *end;
	int fd;

	port = strtoul(cmd->words[1], &end, 10);
	if (*end || port < 1 || port >= UINT32_MAX) {
		problem_set(&problem, -EINVAL, "\"%.40s\" is no vsock port: 1 to 4294967294",
			    cmd->words[1]);
		return cmd_refuse(&problem);
	}
	if (connect_vsock(place, port, &fd, &problem) < 0)
		return cmd_refuse(&problem);
	relay(fd, false, true);
	close(fd);
	return 0;
}

int command_vsock(int argc, char *const *argv)
{
	static const struct cmd_sub subs[] = {
		{"connect",
		 {.usage = "vsock connect NAME PORT",
		  .help = "Connects standard input and output to a vsock port of the guest.",
		  .words_min = 2,
		  .words_max = 2},
		 connect_port},
	};

	return cmd_run_sub(argc, argv, subs, sizeof(subs) / sizeof(subs[0]));
}

/* How the guest's SSH server is reached. */
struct ssh_way {
	struct endpoint at;      /* the host's side of the published port */
	char identity[PATH_MAX]; /* the private key of the file in -ssh-key; empty: ssh's own */
};

/* "KEY.pub" is let in, and KEY beside it opens. */
static void find_identity(const char *ssh_key, char to[static PATH_MAX])
{
	size_t length = ssh_key ? strlen(ssh_key) : 0;

	to[0] = '\0';
	if (length < 5 || length >= PATH_MAX || strcmp(ssh_key + length - 4, ".pub") != 0)
		return;
	memcpy(to, ssh_key, length - 4);
	to[length - 4] = '\0';
	if (access(to, R_OK) < 0)
		to[0] = '\0';
}

static int find_ssh(const struct store_place *place, struct ssh_way *ret, struct problem *problem)
{
	struct settings settings;
	int r = cmd_settings(place, &settings, problem);
	const struct machine *m = &settings.run.machine;
	bool found = false;

	for (size_t i = 0; r == 0 && !found && i < m->publish_count; i++) {
		const struct publish *p = &m->publish[i].parsed;

		found = !p->udp && p->guest_port == SSH_PORT && p->guest.family == AF_UNSPEC;
		if (found)
			ret->at = p->host;
	}
	if (r == 0)
		find_identity(m->ssh_key, ret->identity);
	run_options_clear(&settings.run);
	if (r == 0 && !found)
		r = problem_set(problem, -ENOENT,
				"%s's SSH port isn't published: \"netproxy-vm set %s -publish "
				"127.0.0.1:2222:22\", and restart it",
				place->name, place->name);
	if (r == 0 && ret->at.addr.family == AF_UNSPEC)
		addr_parse("127.0.0.1", &ret->at.addr);
	return r;
}

/* The option for the file of the machine's host keys; ssh expands percent signs. */
static void known_hosts_option(const char *dir, char *to, size_t size)
{
	size_t length = (size_t)snprintf(to, size, "UserKnownHostsFile=\"");

	for (; *dir && length + 2 < size; dir++) {
		to[length++] = *dir;
		if (*dir == '%')
			to[length++] = '%';
	}
	snprintf(to + length, size - length, "/" STORE_KNOWN_HOSTS "\"");
}

/* Becomes ssh or scp. The host's key is the machine's, whatever address it is at: it is kept under
 * its name. */
static int become(const char *program, const struct cmd *cmd, const struct store_place *place,
		  const struct ssh_way *way)
{
	char port[16], address[ADDR_TEXT_MAX], alias[MACHINE_NAME_MAX + 40];
	char known[2 * PATH_MAX + 64], words[CMD_WORDS_MAX][PATH_MAX];
	char host[ADDR_TEXT_MAX + 84], user[80];
	const char *argv[SSH_ARGS_MAX + 1] = {
		program, "-o", alias, "-o", known, "-o", "StrictHostKeyChecking=accept-new"};
	const char *name = cmd->user ? cmd->user : "root";
	bool copy = strcmp(program, "scp") == 0;
	size_t count = 7;

	addr_format(&way->at.addr, address);
	snprintf(port, sizeof(port), "%u", way->at.port);
	snprintf(alias, sizeof(alias), "HostKeyAlias=%s", place->name);
	known_hosts_option(place->dir, known, sizeof(known));
	snprintf(user, sizeof(user), "%.64s", name);
	argv[count++] = copy ? "-P" : "-p";
	argv[count++] = port;
	if (way->identity[0]) {
		argv[count++] = "-i";
		argv[count++] = way->identity;
	}
	if (copy)
		argv[count++] = "-r";
	if (!copy) {
		snprintf(host, sizeof(host), "%s@%s", user, address);
		argv[count++] = host;
	}
	for (unsigned i = 1; i < cmd->count; i++) {
		const char *word = cmd->words[i];

		argv[count++] = word;
		/* ":PATH" is in the guest. */
		if (copy && word[0] == ':') {
			const char *format = way->at.addr.family == AF_INET6 ? "%s@[%s]%s"
									     : "%s@%s%s";

			if (snprintf(words[i], sizeof(words[i]), format, user, address, word) >=
			    (int)sizeof(words[i])) {
				fputs("netproxy-vm: a path is too long\n", stderr);
				return 1;
			}
			argv[count - 1] = words[i];
		}
	}
	argv[count] = NULL;
	signal(SIGPIPE, SIG_DFL);
	execvp(program, (char *const *)argv);
	fprintf(stderr, "netproxy-vm: can't run %s: %s; Debian has it in openssh-client\n", program,
		strerror(errno));
	return 1;
}

static int ssh_or_cp(const struct cmd *cmd, const struct store_place *place, const char *program)
{
	struct problem problem;
	struct ssh_way way;
	int r = cmd_check(place, ACTION_REACH, NULL, &problem);

	if (r == 0)
		r = find_ssh(place, &way, &problem);
	return r < 0 ? cmd_refuse(&problem) : become(program, cmd, place, &way);
}

static int run_ssh(const struct cmd *cmd, const struct store_place *place)
{
	return ssh_or_cp(cmd, place, "ssh");
}

int command_ssh(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "ssh [-user NAME] NAME [SSH-FLAGS] [COMMAND...]",
		.help = "Runs ssh to the guest, by its published port 22.",
		.flags = CMD_USER,
		.words_min = 1,
		.words_max = CMD_WORDS_MAX,
		.rest = true,
	};

	return cmd_run(argc, argv, &spec, run_ssh);
}

static int copy_files(const struct cmd *cmd, const struct store_place *place)
{
	return ssh_or_cp(cmd, place, "scp");
}

int command_cp(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "cp [-user NAME] NAME FROM... TO",
		.help = "Copies files with scp; \":PATH\" is in the guest: cp vm file :/tmp",
		.flags = CMD_USER,
		.words_min = 3,
		.words_max = CMD_WORDS_MAX,
		.rest = true,
	};

	return cmd_run(argc, argv, &spec, copy_files);
}

int command_console(int argc, char *const *argv)
{
	static const struct cmd_spec spec = {
		.usage = "console NAME",
		.help = "Attaches to the guest's serial console, with others if there are. On a terminal\n"
			"Ctrl-A d detaches. What was before is in \"logs -of console\".",
		.words_min = 1,
		.words_max = 1,
	};

	return cmd_run(argc, argv, &spec, attach_console);
}
