/*
 * redis_link.h: the inside of a link, shared by its files.
 *
 *   redis_link.c          what callers call: hand items over, wait for one, stop
 *   redis_link_write.c    … and write them at once, while the owner sleeps
 *   redis_link_read.c     … and read the reply that they wait for, when no other is owed
 *   redis_link_item.c     items and lists of them
 *   redis_link_owner.c    the owner thread: news, outages, waiting, the end
 *   redis_link_pump.c     … writes and reads its connection, completes items
 *   redis_link_connect.c  the connector thread: makes a new connection, as often as it takes
 *
 *   submit ─▶ queue ─▶ work ─┬─ written, reply owed ─▶ done(replies)
 *                            └─ to be written        ─▶ done(error): connection lost without KEEP,
 * stopped
 *
 * The owner has the connection but while it sleeps: whoever hands over an item then writes it for
 * it, which saves waking it. Whoever waits for the only reply that is owed then reads that too. All
 * else, callbacks and failures, is the owner's.
 *
 * The connector is a thread of its own so that the owner can refuse work at once while a connect or
 * a name lookup takes its time. `lock` is held for list operations only, never during I/O or a
 * callback.
 */
#ifndef CELERIAC_REDIS_LINK_H
#define CELERIAC_REDIS_LINK_H

#include <stdatomic.h>

#include "redis_conn.h"
#include "thread.h"

#define LINK_RETRY_MAX (1 * USEC_PER_SEC) /* between connects: an outage's end is noticed soon */
#define LINK_HOLD                                                                                  \
	(1 * USEC_PER_MSEC) /* a batch waits at most so long for the answer of the one before */
#define LINK_SETTLED_AFTER                                                                         \
	(10 * USEC_PER_SEC) /* a connection that lived this long forgets the pauses before it */

enum link_item_state { ITEM_PENDING, ITEM_FINISHED, ITEM_ABANDONED };

/* Commands on their way. Owned by the list it is in; one that is waited for by its caller too, see
 * redis_link.c. */
struct link_item {
	struct link_item *next;
	struct buf commands;
	size_t sent;	/* bytes written on this connection */
	size_t counted; /* bytes of the backlog */
	size_t count, got;
	unsigned flags; /* enum redis_link_flag */
	bool internal;	/* ours: ping or script loading; dies with its connection */
	bool reloaded;	/* has been sent again after NOSCRIPT */
	const struct redis_link_batch *batch; /* writes `commands`; or NULL */
	bool is_written;		      /* and counts among `batches` */
	redis_link_fn *done;
	void *arg;
	struct err *fault;	    /* refused before it was queued, or how it failed; or NULL */
	struct link_waiter *waiter; /* or NULL */
	struct redis_reply *replies[];
};

struct link_waiter {
	int fd; /* whoever waits reads the reply, from here; -1: the owner does. [who waits] */
	struct mutex lock;
	struct cond changed;
	/* guarded by lock */
	enum link_item_state state;
};

struct link_list {
	struct link_item *head, *last;
};

struct redis_link {
	struct redis_address address;
	char *name;
	int wake_fd;   /* eventfd: there is news for the owner */
	int watch_fd;  /* epoll: what the owner sleeps on, wake_fd and the connection */
	int reader_fd; /* eventfd: who reads its own reply is to look again */
	int cancel_fd; /* eventfd: the connector must give up */
	pthread_t owner, connector;
	bool has_owner, has_connector;
	atomic_bool up;	       /* relaxed: a hint that may be old at once */
	atomic_size_t backlog; /* bytes of all items not finished; relaxed: a counter */

	struct mutex lock;
	struct cond connector_news;
	/* guarded by lock */
	struct link_list queue;
	bool sleeping; /* the owner waits and wants to be woken … */
	bool holding;  /* … but not for a batch that is alone: it waits for the one before */
	bool untimed;  /* … though the owner does not know for how long */
	bool awake;    /* the owner has work_lock, or waits for it */
	bool stopping;
	usec_t stop_at;
	char **scripts;
	size_t script_count;
	bool connect_wanted, connect_at_once, connect_quit;
	struct redis *made;	/* by the connector, for the owner */
	struct err *made_error; /* or why not */

	/* The owner's, but while it sleeps. Who writes only tries it, who reads waits for it; it
	 * comes before `lock`. */
	struct mutex work_lock;
	/* guarded by work_lock */
	struct redis *conn;
	uint32_t watched;	  /* EPOLL events of the connection that the owner sleeps on */
	struct err *fault;	  /* why the owner is to give conn up, found by a reader; or NULL */
	struct link_item *reader; /* whoever waits for it reads its reply; or NULL */
	bool reader_leaves;	  /* one was told that it no longer is, and does not know yet … */
	struct cond reader_left;  /* … until here */
	struct link_list work;
	struct link_item *next_send; /* first in work that is not completely written */
	usec_t opened_at;
	usec_t alive_at; /* last sign of life, or since when a reply is owed */
	bool attempted;	 /* until the first attempt to connect has ended, commands wait for its
			    outcome */
	bool told, told_transient; /* the trouble that was logged and is not yet logged as over */
	bool reloading;		   /* scripts are on their way again */
	size_t batches;		   /* written and not answered */
	usec_t hold_until;	   /* the next waits for them */
};

/* ---- lists ---- */
void link_list_append(struct link_list *list, struct link_item *item);
struct link_item *link_list_pop(struct link_list *list);

/* ---- items ---- */
/* Takes `commands` (emptied). */
struct link_item *link_item_new(struct buf *commands, size_t count, unsigned flags);
/* Frees the replies so far: it will be sent from its beginning. */
void link_item_rewind(struct link_item *item);
void link_item_free(struct link_item *item);
/* Completes it with its replies, or with `err` if not NULL, and frees it. `lock` is not held.
 * [owner; a reader, its own item, and then it is no reader any more] */
void link_item_finish(struct redis_link *l, struct link_item *item, const struct err *err);

/* Writes what is queued for an owner that sleeps, if that can be done without waiting, and leaves
 * the rest to it. The caller has taken `sleeping` away. `own`, which the caller waits for, may have
 * it as its reader afterwards; or NULL. [any but the owner] */
void link_write_at_once(struct redis_link *l, struct link_item *own);

/* A batch that comes while another is on its way grows until that one is answered. Alone, or of a
 * server that is far away, it goes at once. */
bool link_holds(const struct redis_link *l);
/* Marks news for the owner; true when the caller must call link_wake after unlocking. */
bool link_news_locked(struct redis_link *l) REQUIRES(l->lock);
void link_wake(struct redis_link *l);
/* Appends SCRIPT LOAD of each script; their number. */
size_t link_scripts_locked(struct redis_link *l, struct buf *out) REQUIRES(l->lock);

/* ---- who reads (redis_link_read.c) ---- */
/* Has the owner sleep on what it has to do with the connection, if there is one. [work_lock] */
void link_watch(struct redis_link *l);
/* Makes the caller the reader of `item`, which it has written and waits for, if no other reply is
 * owed. [work_lock] */
void link_become_reader(struct redis_link *l, struct link_item *item);
/* Reads until `item` has its reply, another is to read it, or `deadline`. [reader of `item`] */
void link_read_own(struct redis_link *l, struct link_item *item, usec_t deadline);
/* The reader, if there is one, no longer is: it waits for the owner instead. [owner] */
void link_dismiss_reader(struct redis_link *l);
/* … and has heard of it, so that it no longer waits on the connection, which is not the link's any
 * more. [owner] */
void link_end_reading(struct redis_link *l) REQUIRES(l->work_lock);

/* ---- work on a live connection (redis_link_pump.c) ---- */
/* Makes the commands of a batch, or its fault. */
void link_write_batch(struct redis_link *l, struct link_item *item);
/* To be written and answered; replies are owed from now on. */
void link_take_work(struct redis_link *l, struct link_item *item);
/* Writes what is possible without waiting. */
int link_send_work(struct redis_link *l, struct err *err) must_check;
/* Logs that the trouble is over, if any was logged. */
void link_tell_over(struct redis_link *l);
/* How long the connection may be silent: until a reply that is owed, or until it is asked for one.
 */
usec_t link_patience(const struct redis_link *l);
/* How long it may owe a reply. */
usec_t link_owed_patience(const struct redis_link *l);
/* Reads what has come and completes items; of a reader (`own`, else NULL) no more than that item,
 * and what nobody waits for, which is an error. An error means that the connection is lost. */
int link_read_replies(struct redis_link *l, const struct link_item *own,
		      struct err *err) must_check;
/* Writes and reads what is possible without waiting. An error means that the connection is lost.
 * [owner] */
int link_pump(struct redis_link *l, struct err *err) must_check;

void *link_owner_main(void *arg);
void *link_connector_main(void *arg);

#endif
