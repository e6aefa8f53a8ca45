/*
 * redis.h: Redis connections and their owner threads.
 *
 * Two ways to talk: `struct redis` is one blocking connection for its owner thread; `struct
 * redis_link` is a connection with a thread of its own to which any thread hands commands, which
 * are pipelined, and which outlives outages.
 */
#ifndef CELERIAC_REDIS_H
#define CELERIAC_REDIS_H

#include "buf.h"
#include "err.h"
#include "tls.h"

/* ---- replies: a tree owned by its root; children are borrowed ---- */
struct redis_reply;
enum redis_type { REDIS_NIL, REDIS_STRING, REDIS_STATUS, REDIS_ERROR, REDIS_INTEGER, REDIS_ARRAY };
enum redis_type redis_reply_type(const struct redis_reply *r);
struct slice redis_reply_str(const struct redis_reply *r); /* STRING, STATUS, ERROR; else empty */
int64_t redis_reply_int(const struct redis_reply *r);  /* INTEGER, or a numeric STRING; else 0 */
size_t redis_reply_count(const struct redis_reply *r); /* ARRAY; else 0 */
/* NIL beyond the last: what a server answers is not ours to be sure of. Never NULL. */
const struct redis_reply *redis_reply_at(const struct redis_reply *r, size_t i);
/* Gives the text of one of its STRINGs, with a NUL behind it (free), and leaves none there; NULL:
 * it is no STRING. */
char *redis_reply_take_str(struct redis_reply *array, size_t i, size_t *ret_len);
void redis_reply_free(struct redis_reply *r);
static inline void cleanup_redis_reply_p(struct redis_reply **r)
{
	redis_reply_free(*r);
}
#define _cleanup_reply_ _cleanup_(cleanup_redis_reply_p)

/* ---- commands as wire bytes, so that they are formatted in the caller's thread ---- */
/* Appends one command: words of the format are arguments, whatever the values hold. %s string, %b
 * bytes (pointer, size_t), %d %i %u with l, ll, z, %g %f %.17g and %%; no other conversion. [any]
 */
void redis_command(struct buf *out, const char *fmt, ...);
/* The same from a vector. */
void redis_command_argv(struct buf *out, const struct slice *argv, size_t argc);

/* ---- a script: EVALSHA with its text at hand ---- */
struct redis_script {
	const char *text;
	char sha[41]; /* filled by redis_script_init */
};
void redis_script_init(struct redis_script *s, const char *text);
/* EVALSHA of it; `args` are keys, then arguments. */
void redis_command_evalsha(struct buf *out, const struct redis_script *s, size_t keys,
			   const struct slice *args, size_t count);

/* ---- how connections are made and kept: transport options and settings. Zero is the default ----
 */
struct redis_tuning {
	usec_t socket_timeout;	      /* for a reply that is owed; 0 = 5 s */
	usec_t connect_timeout;	      /* 0 = whatever the caller has */
	usec_t health_check_interval; /* PING after so much silence; 0 = 2 s, USEC_NEVER = none */
	bool no_keepalive;	      /* socket_keepalive=false */
	int keepalive[3];	      /* TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT; 0 = ours */
	char *client_name;	      /* CLIENT SETNAME, instead of the caller's; or NULL */
	char *user, *password;	      /* where the URL has none; or NULL */
	struct tls_options tls;	      /* broker_use_ssl, redis_backend_use_ssl */
	bool shuffle;		      /* failover_strategy: the further URLs in any order */
	bool is_backend; /* Celery's rules of result_backend: rediss:// must say ssl_cert_reqs,
			    redis:// has no ssl_* parameters */
	/* sentinel:// */
	char *master_name; /* or NULL */
	int64_t min_other_sentinels;
	char *sentinel_user, *sentinel_password; /* or NULL */
	struct tls_options sentinel_tls;
	usec_t sentinel_timeout; /* 0 = socket_timeout */
};
void redis_tuning_done(struct redis_tuning *t);

/* ---- where it is ---- */
/* One server, or one sentinel. */
struct redis_endpoint {
	char *host; /* or NULL */
	char *path; /* unix socket, or NULL */
	int port;
	char *user, *password;
	int db;
	struct tls_options tls;
};
/* Several servers, of which all connections use the same one (failover), or the sentinels that know
 * the master. Shared by all copies of an address. */
struct redis_site;
struct redis_address {
	struct redis_site *site;
	const struct redis_endpoint *first; /* of the site: what the URL says first */
	const char *safe;		    /* for messages; of the site */
	char *key_prefix;		    /* global_keyprefix, "" if none: whoever builds a key
					       prepends it */
};
/*
 * redis://[user[:password]@]host[:port][/db], rediss:// for TLS with ssl_cert_reqs, ssl_ca_certs,
 * ssl_certfile, ssl_keyfile, ssl_check_hostname … in the query,
 * redis+socket:///path?virtual_host=db, sentinel://[user[:password]@]sentinel[:port][/db] with
 * tuning->master_name (user, password and db are the master's). Several after each other, separated
 * by ';', are tried in turn. `tuning` is copied; NULL is the default. ERR_INVALID says what is
 * wrong, and for TLS also which file. [init]
 */
int redis_address_parse_tuned(const char *url, const struct redis_tuning *tuning,
			      struct redis_address *ret, struct err *err) must_check;
/* Whether the (first) scheme is one of these. Pure. */
bool redis_is_url(const char *url);
int redis_address_parse(const char *url, struct redis_address *ret, struct err *err) must_check;
/* Another one of the same site. Given. [any] */
void redis_address_copy(const struct redis_address *a, struct redis_address *ret);
void redis_address_done(struct redis_address *a);
/* The same servers and database: results and acks can share a transaction. */
bool redis_address_equal(const struct redis_address *a, const struct redis_address *b);
/* What a reader should know: certificates that are not verified. NULL if nothing. */
const char *redis_address_warning(const struct redis_address *a);

/* ---- one connection [owner] ---- */
struct redis;
/* Connects, authenticates, selects, names itself; asks the sentinels first where there are any, and
 * tries one server after the other. Takes at most `timeout`, which every later call obeys too: a
 * command that is taken in pieces, and an answer that comes in them, have as long for each, as long
 * as they go with BOUND_LEAST_RATE. */
int redis_open(const struct redis_address *a, const char *client_name, usec_t timeout,
	       struct redis **ret, struct err *err) must_check;
void redis_close(struct redis *r);
/* False when the site has gone on to another of its servers: this connection is to be made anew. */
bool redis_is_current(const struct redis *r);
/* Sends what `commands` holds (emptied) and reads `count` replies into ret[]; on failure the
 * connection is unusable and must be closed. An error reply is a reply, not a failure. */
int redis_exchange(struct redis *r, struct buf *commands, size_t count, struct redis_reply **ret,
		   struct err *err) must_check;
/* One command, one reply; an error reply is ERR_FAILED with its text. */
int redis_do(struct redis *r, struct redis_reply **ret, struct err *err, const char *fmt,
	     ...) must_check;
/* Runs a script (EVALSHA, loading it once on NOSCRIPT). `args`: keys then arguments. Not to be used
 * between redis_send and redis_receive. */
int redis_run_script(struct redis *r, const struct redis_script *s, size_t keys,
		     const struct slice *args, size_t count, struct redis_reply **ret,
		     struct err *err) must_check;
/* The halves of redis_run_script, for what is done between them; nothing else may be on its way
 * then. Of a server that has forgotten the script the answer is ERR_NOTFOUND: nothing of it has
 * run, and the next redis_run_script loads it. */
int redis_send_script(struct redis *r, const struct redis_script *s, size_t keys,
		      const struct slice *args, size_t count, struct err *err) must_check;
int redis_receive_script(struct redis *r, struct redis_reply **ret, struct err *err) must_check;
/* Non-blocking halves for a thread that polls: send without waiting, then receive when the fd is
 * readable. */
int redis_send(struct redis *r, struct buf *commands, struct err *err) must_check;
int redis_fd(const struct redis *r);
/* 1 and a reply, 0 when none is complete yet, or an error. Several may have come at once: to be
 * called until it says 0 before the fd is polled again. */
int redis_receive(struct redis *r, struct redis_reply **ret, struct err *err) must_check;

/* ---- an owned, pipelined link [any] ---- */
struct redis_link;
enum redis_link_flag {
	REDIS_LINK_KEEP = 1u << 0, /* survives an outage: sent again until it is answered. Only for
				      what may run twice. */
};
/* Called by the owner thread, must not block nor call back into the link except redis_link_submit.
 * `replies` are borrowed; `count` 0 and `err` set when it failed. */
typedef void redis_link_fn(void *arg, struct redis_reply *const *replies, size_t count,
			   const struct err *err);

/* Starts the thread; connects in the background, with capped and jittered backoff, for ever. */
int redis_link_new(const struct redis_address *a, const char *name, struct redis_link **ret,
		   struct err *err) must_check;
/* Waits until what was submitted is done or `deadline`, then stops the thread; what is left fails
 * as CANCELLED. */
void redis_link_free(struct redis_link *l, usec_t deadline);
bool redis_link_up(const struct redis_link *l);

/* Hands over `commands` (taken: emptied) with `count` replies, exactly as many as there are
 * commands. Without KEEP it fails at once while the link is down, but waits for the outcome of the
 * very first attempt to connect. With KEEP, a reply that says "not this server, or not now"
 * (-LOADING, -READONLY, -OOM, -MISCONF …) is an outage too. `done` may be NULL. */
void redis_link_submit(struct redis_link *l, struct buf *commands, size_t count, unsigned flags,
		       redis_link_fn *done, void *arg);
/* One command that is written when its turn comes, so that until then more may join it. */
struct redis_link_batch {
	/* Takes `entry` in, or not; under the link's lock: no more than a few pointers. */
	bool (*add)(void *arg, void *entry);
	void (*write)(void *arg, struct buf *out); /* once; nothing joins any more [owner, or who
						      submits while it sleeps] */
	redis_link_fn *done;
};
/* Adds `entry` of `bytes` to the batch that was submitted last, if that is of this kind, takes it,
 * and has not been written. Nothing overtakes anything: what was submitted since would come before.
 */
bool redis_link_join(struct redis_link *l, const struct redis_link_batch *kind, void *entry,
		     size_t bytes);
/* Submits a batch of `bytes`; as redis_link_submit with `done` and `arg`. */
void redis_link_submit_batch(struct redis_link *l, const struct redis_link_batch *kind,
			     size_t bytes, unsigned flags, void *arg);
/* Submits and waits, at most until the monotonic `deadline` (then ERR_TIMEOUT, the commands may
 * still run). Replies are given to the caller, who reads them when no others are owed. */
int redis_link_exchange(struct redis_link *l, struct buf *commands, size_t count, unsigned flags,
			usec_t deadline, struct redis_reply **ret, struct err *err) must_check;
/* One command; an error reply is ERR_FAILED. */
int redis_link_do(struct redis_link *l, usec_t deadline, struct redis_reply **ret, struct err *err,
		  const char *fmt, ...) must_check;
/* Loads the script on every new connection, so that EVALSHA in submitted commands is always known.
 * After a SCRIPT FLUSH they are loaded and sent once more: with KEEP always, without it only if
 * nothing of them has run. `s` is not kept. */
void redis_link_add_script(struct redis_link *l, struct redis_script *s);

#endif
