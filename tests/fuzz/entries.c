/* Entries of beat: in INI, and as RedBeat keeps them (a line of definition, a line of meta). */
#include "beat/ini.h"
#include "beat/redbeat.h"
#include "fuzz.h"

int fuzz_entries(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	_cleanup_free_ char *text = xmemdup(data, size);
	size_t definition_len, meta_len;
	_cleanup_free_ char *definition = fuzz_piece(&in, '\n', &definition_len);
	_cleanup_free_ char *meta = fuzz_piece(&in, '\n', &meta_len);
	_cleanup_json_ json_t *entries = NULL, *row = NULL;
	struct err err;
	int rc = ini_read(text, &entries, &err);

	if (rc < 0)
		fuzz_failed(rc, &err);
	else
		FUZZ_CHECK(json_is_object(entries));
	fuzz_made_json(entries);
	rc = redbeat_row((struct slice){definition, definition_len}, (struct slice){meta, meta_len},
			 &row, &err);
	if (rc < 0)
		fuzz_failed(rc, &err);
	fuzz_made_json(row);
	if (rc == 0)
		FUZZ_CHECK(json_member_str(row, "name") && json_member_str(row, "task"));
	return 0;
}
