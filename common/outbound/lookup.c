/*
 * Names to addresses without blocking the caller. libc's resolver cannot be interrupted, so each
 * look-up has a thread that outlives whoever gave up on it; how many there may be is bounded.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mem.h"
#include "outbound.h"
#include "thread.h"

#define LOOKUPS_MAX 32

static atomic_int going;

struct lookup {
	atomic_int users; /* the caller and the thread; the last one frees */
	int fd;
	char name[OUTBOUND_NAME_BYTES + 1];
	/* written by the thread before it says so, and then makes the descriptor readable */
	atomic_bool done;
	int error;
	struct ip_address addresses[OUTBOUND_ADDRESSES];
	size_t count;
};

static void unref(struct lookup *l)
{
	if (atomic_fetch_sub(&l->users, 1) > 1)
		return;
	close(l->fd);
	free(l);
}

static void take_address(struct lookup *l, const struct sockaddr *sa)
{
	struct ip_address a = {0};

	if (sa->sa_family == AF_INET) {
		memcpy(a.bytes, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		a.v6 = true;
		memcpy(a.bytes, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	} else {
		return;
	}
	for (size_t i = 0; i < l->count; i++)
		if (ip_address_equal(&l->addresses[i], &a))
			return;
	if (l->count < OUTBOUND_ADDRESSES)
		l->addresses[l->count++] = a;
	else
		l->error = EAI_OVERFLOW; /* an address that is not judged is not connected to */
}

static void *look_up(void *arg)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	struct lookup *l = arg;
	uint64_t one = 1;

	l->error = getaddrinfo(l->name, NULL, &hints, &list);
	for (const struct addrinfo *a = l->error ? NULL : list; a; a = a->ai_next)
		take_address(l, a->ai_addr);
	if (list)
		freeaddrinfo(list);
	atomic_store_explicit(&l->done, true, memory_order_release);
	if (write(l->fd, &one, sizeof(one)) < 0)
		BUG("look-up: its descriptor");
	atomic_fetch_sub(&going, 1);
	unref(l);
	return NULL;
}

int lookup_begin(const char *name, struct lookup **ret, struct err *err)
{
	struct lookup *l;
	pthread_t thread;
	int rc;

	if (atomic_fetch_add(&going, 1) >= LOOKUPS_MAX) {
		atomic_fetch_sub(&going, 1);
		return err_set(err, ERR_UNAVAILABLE, "more than %d names are being looked up",
			       LOOKUPS_MAX);
	}
	l = xcalloc(1, sizeof(*l));
	l->users = 2;
	memcpy(l->name, name, strnlen(name, OUTBOUND_NAME_BYTES));
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = l->fd < 0 ? err_set(err, ERR_UNAVAILABLE, "no descriptor is left")
		       : thread_start(&thread, "lookup", look_up, l, err);
	if (rc < 0) {
		if (l->fd >= 0)
			close(l->fd);
		free(l);
		atomic_fetch_sub(&going, 1);
		return rc;
	}
	pthread_detach(thread);
	*ret = l;
	return 0;
}

int lookup_fd(const struct lookup *l)
{
	return l->fd;
}

int lookup_result(const struct lookup *l, struct ip_address ret[OUTBOUND_ADDRESSES],
		  size_t *ret_count, struct err *err)
{
	if (!atomic_load_explicit(&l->done, memory_order_acquire))
		return err_set(err, ERR_UNAVAILABLE, "the name is still being looked up");
	if (l->error != 0)
		return err_set(err, ERR_NOTFOUND, "%s", gai_strerror(l->error));
	if (l->count == 0)
		return err_set(err, ERR_NOTFOUND, "the name has no address");
	memcpy(ret, l->addresses, l->count * sizeof(*ret));
	*ret_count = l->count;
	return 0;
}

void lookup_free(struct lookup *l)
{
	if (l)
		unref(l);
}
