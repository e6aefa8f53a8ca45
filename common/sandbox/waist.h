/*
 * waist.h: what a worker and an engine role say to one another, version 1.
 *
 * The role alone has the connection to Docker. Over a unix stream socket come frames: four bytes of
 * length, most significant first, and one JSON object of that length, at most WAIST_SMALL bytes
 * from the client (WAIST_REQUEST of a request with `spec` or `keep`), and WAIST_REPLY bytes to it.
 * A connection begins with
 *
 *     {"op": "hello", "version": 1, "instance": "default"}
 *
 * and then carries one request after another, each answered before the next is read:
 *
 *     {"op": "start", "id": "…64 hex digits…"}            → {}
 *     {"op": "create", "spec": {…struct engine_spec…}}    → {"text": "<id>", "warnings": ""}
 *     {"op": "reap", "id": "…", "why": "…"}               → {"flag": true, "container": {…}}
 *
 * A refusal is {"error": "denied", "message": "…", "transient": false}, with the words of
 * err_code_text; the connection goes on. Unknown members, wrong types and texts that are no UTF-8
 * are refused: nothing is guessed. There are these exceptions to one request, one answer:
 *
 *   pull      frames {"progress": "…"} come before the answer; closing the connection gives up
 *   deliver   `size` bytes of the agent follow the request, at most WAIST_AGENT
 *   attach    after the answer the connection is the container's stream, as Docker frames it
 *   attach_fd after the answer come `size` bytes of that stream, at most WAIST_EARLY, and one byte
 *             with the descriptor of the rest; "unsupported" where there is none to hand over
 *   events    after the answer it is lines of Docker's events, of our own containers alone
 *
 * What a container may be is the role's to say: the body for Docker is made from the specification
 * there, by engine_spec.c, and its allow-lists are settings of its own (role_policy.h).
 */
#ifndef CELERIAC_WAIST_H
#define CELERIAC_WAIST_H

#include "engine.h"
#include "json.h"

#define WAIST_VERSION 1
#define WAIST_SMALL   4096u /* of a hello, and of every request but those with a spec or `keep` */
#define WAIST_REQUEST (512u << 10)
#define WAIST_REPLY   (16u << 20)
#define WAIST_AGENT   (4u << 20)
#define WAIST_EARLY   (64u << 10)
#define WAIST_KEEP    4096 /* names in `keep` */
#define WAIST_TEXT    512  /* bytes of an id, an image, a name, a reason */

/* The members of a request beside `op`; strings are borrowed from its JSON. */
struct waist_request {
	const char *op, *id, *image, *name, *why, *instance;
	int64_t version, before, size;
	json_t *keep, *spec; /* list of texts; object */
};
/* Fills `ret`. ERR_INVALID names what is wrong. Pure. */
int waist_request_read(const json_t *json, struct waist_request *ret, struct err *err) must_check;
/* The object for what is not 0 in it; given, or NULL where a text is no UTF-8. Pure. */
json_t *waist_request_write(const struct waist_request *q);

/* A specification as an object and back. The lists of `ret` are the caller's to free
 * (waist_spec_done), texts are borrowed from the JSON. ERR_INVALID. Pure. */
struct waist_spec {
	struct engine_spec spec;
	void *blocks[6]; /* the lists */
};
json_t *waist_spec_write(const struct engine_spec *spec);
int waist_spec_read(const json_t *json, struct waist_spec *ret, struct err *err) must_check;
void waist_spec_done(struct waist_spec *s);

/* The same of what is answered. Texts that do not fit are ERR_PROTOCOL. Pure. */
json_t *waist_container_write(const struct engine_container *c);
int waist_container_read(const json_t *json, struct engine_container *ret,
			 struct err *err) must_check;
json_t *waist_info_write(const struct engine_info *info);
int waist_info_read(const json_t *json, struct engine_info *ret, struct err *err) must_check;
json_t *waist_disk_write(const struct engine_disk *disk);
int waist_disk_read(const json_t *json, struct engine_disk *ret, struct err *err) must_check;
json_t *waist_usage_write(const struct engine_usage *usage);
int waist_usage_read(const json_t *json, struct engine_usage *ret, struct err *err) must_check;

/* {"error": …} and what it says; the latter 0 if it is none. Pure. */
json_t *waist_error_write(const struct err *err);
int waist_error_read(const json_t *json, struct err *err) must_check;

/* "unix:/path" → "/path", given. ERR_INVALID. */
int waist_path(const char *address, char **ret, struct err *err) must_check;

/* ---- on a connection; a monotonic deadline for the whole of it ---- */
int waist_send(int fd, const json_t *json, size_t max, usec_t deadline, struct err *err) must_check;
/* ERR_CLOSED at the end before a frame, ERR_TOOBIG, ERR_PROTOCOL, ERR_TIMEOUT. Given. */
int waist_receive(int fd, size_t max, usec_t deadline, json_t **ret, struct err *err) must_check;
/* The same in two steps: how much is announced, and that. */
int waist_receive_head(int fd, size_t max, usec_t deadline, size_t *ret_len,
		       struct err *err) must_check;
int waist_receive_body(int fd, size_t len, usec_t deadline, json_t **ret,
		       struct err *err) must_check;
int waist_send_bytes(int fd, const void *data, size_t len, usec_t deadline,
		     struct err *err) must_check;
int waist_receive_bytes(int fd, void *data, size_t len, usec_t deadline,
			struct err *err) must_check;
/* Has the other end gone, or said something out of turn? */
bool waist_is_over(int fd);

#endif
