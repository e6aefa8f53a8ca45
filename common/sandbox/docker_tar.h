/*
 * docker_tar.h: the one-file archives of Docker's archive call, both ways. Pure. Not an extractor.
 */
#ifndef CELERIAC_DOCKER_TAR_H
#define CELERIAC_DOCKER_TAR_H

#include "buf.h"

/* Appends an archive (ustar) of one regular file, owned by root, with the date 0. `name` is at most
 * 99 bytes and has no slash. [any] */
void docker_tar_write(const char *name, unsigned mode, const void *data, size_t len,
		      struct buf *out);

/* The same of an empty directory, owned by `owner`. [any] */
void docker_tar_write_directory(const char *name, unsigned mode, unsigned owner, struct buf *out);

/* True if the archive's one member is a regular file of this name, of at least these mode bits,
 * with exactly these bytes. Anything unexpected is false. [any] */
bool docker_tar_holds(const char *tar, size_t tar_len, const char *name, unsigned mode,
		      const void *data, size_t len);

#endif
