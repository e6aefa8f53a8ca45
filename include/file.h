/*
 * file.h: the whole of a small file that an operator named.
 */
#ifndef CELERIAC_FILE_H
#define CELERIAC_FILE_H

#include <stddef.h>

#include "base.h"
#include "err.h"

/* The bytes of the regular file `path`, at most `max`, with a NUL behind them. Given. ERR_INVALID
 * names the path. A pipe or a device is refused and never waited for. [init] */
int file_read(const char *path, size_t max, char **ret, size_t *ret_len,
	      struct err *err) must_check;

#endif
