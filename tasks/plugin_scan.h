/*
 * plugin_scan.h: the names of tools in the text of a tools.py. Pure.
 */
#ifndef CELERIAC_PLUGIN_SCAN_H
#define CELERIAC_PLUGIN_SCAN_H

#include "err.h"

#define TOOL_NAME_BYTES 128
/* Called for each name in turn; what it returns, unless 0, ends the scan. */
typedef int plugin_found_fn(void *arg, const char *name, struct err *err);
int plugin_scan(const char *text, size_t len, plugin_found_fn *found, void *arg,
		struct err *err) must_check;

#endif
