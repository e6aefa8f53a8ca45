/*
 * plugins.h: which plugin has which tool, by what the files of PLUGIN_DIR say.
 *
 * Names are read from the text of each tools.py, and nothing of it is run: a class that derives
 * from BaseTool, directly or by classes of the same file, says name = "…" on a line of its own.
 * Built once; what is there later is known after the next start. Then read only. [any]
 */
#ifndef CELERIAC_PLUGINS_H
#define CELERIAC_PLUGINS_H

#include "base.h"
#include "err.h"

struct plugin_index;
/*
 * A directory that is not there has no plugins. One plugin that cannot be read is logged and passed
 * over. ERR_CONFLICT names a tool that is there twice, or whose name belongs to other kinds of
 * tools (tools.call), and where. [init]
 */
int plugin_index_open(const char *root, struct plugin_index **ret, struct err *err) must_check;
void plugin_index_close(struct plugin_index *index);
/* The plugin that has the tool; NULL. `index` may be NULL. */
const char *plugin_index_find(const struct plugin_index *index, const char *tool);
size_t plugin_index_count(const struct plugin_index *index);

#endif
