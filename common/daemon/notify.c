/*
 * notify.c: what a service manager wants to hear, as one datagram to NOTIFY_SOCKET (sd_notify(3)).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon.h"
#include "mem.h"

void daemon_notify(const char *what)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	_cleanup_fd_ int fd = -1;

	/* a path, or "@" and a name that is in no directory */
	if (len < 2 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* nobody there is nobody to tell */
	(void)!sendto(fd, what, strlen(what), MSG_NOSIGNAL | MSG_DONTWAIT,
		      (struct sockaddr *)&address,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}

usec_t daemon_watchdog(void)
{
	const char *text = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char *end = NULL;
	unsigned long long span;

	if (!text || (pid && strtoll(pid, NULL, 10) != getpid()))
		return 0;
	span = strtoull(text, &end, 10);
	return *end == '\0' && span <= (unsigned long long)INT64_MAX ? (usec_t)span / 2 : 0;
}
