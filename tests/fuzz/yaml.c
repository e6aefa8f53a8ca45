/* Bodies in YAML: what was read can be written, and read again. What YAML can say in several ways,
 * such as dates, is written in one. */
#include "common/wire/content.h"
#include "fuzz.h"

int fuzz_yaml(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *value = NULL, *again = NULL, *third = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(1u << 24), same = BUF_INIT(1u << 24);
	struct err err;
	int rc = yaml_read((const char *)data, size, &value, &err);

	if (rc < 0) {
		fuzz_failed(rc, &err);
		return 0;
	}
	fuzz_made_json(value);
	FUZZ_WORKS(yaml_write(value, &text, &err), &err);
	fuzz_made(&text);
	FUZZ_WORKS(yaml_read(text.data, text.len, &again, &err), &err);
	FUZZ_WORKS(yaml_write(again, &same, &err), &err);
	FUZZ_WORKS(yaml_read(same.data, same.len, &third, &err), &err);
	FUZZ_CHECK(json_equal(again, third));
	return 0;
}
