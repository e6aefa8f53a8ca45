/*
 * redis_fixture.h: a real Redis of its own for a test program.
 *
 * In a temporary directory, on a loopback port and a unix socket nobody else has, without
 * persistence unless asked for. It dies with the process that started it. Every function aborts the
 * test when it cannot do its work.
 */
#ifndef CELERIAC_TESTS_REDIS_FIXTURE_H
#define CELERIAC_TESTS_REDIS_FIXTURE_H

#include <sys/types.h>

struct redis_server;

/* Starts one. `password` NULL: none. */
struct redis_server *redis_server_start(const char *password);
/* Ends it and removes its directory. NULL is fine. */
void redis_server_free(struct redis_server *s);

/* An outage: gone at once (SIGKILL), and back, empty, on the same port and socket. */
void redis_server_down(struct redis_server *s);
void redis_server_up(struct redis_server *s);
/* SIGSTOP and SIGCONT: connections stay and nothing answers. */
void redis_server_freeze(struct redis_server *s);
void redis_server_thaw(struct redis_server *s);

/* "redis://[:password@]127.0.0.1:port/db" and "redis+socket://…?virtual_host=db". Given. */
char *redis_server_url(const struct redis_server *s, int db);
char *redis_server_socket_url(const struct redis_server *s, int db);

/* One command by redis-cli's inline protocol on a connection of its own; the first line of the
 * answer. Given. */
char *redis_server_tell(const struct redis_server *s, const char *line);

#endif
