/* Dates: what the strict reader takes the other takes as well, and what was read can be written. */
#include "clock.h"
#include "fuzz.h"

int fuzz_iso8601(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xmemdup(data, size);
	char iso[CLOCK_ISO_SIZE];
	usec_t strict = 0, loose = 0, again = 0;
	struct err err;
	int rc = clock_parse_iso(text, &strict, &err), rc_loose;

	if (rc < 0)
		fuzz_failed(rc, &err);
	rc_loose = clock_isoparse(text, &loose, &err);
	if (rc_loose < 0)
		fuzz_failed(rc_loose, &err);
	if (rc_loose == 0) {
		clock_iso(loose, iso);
		FUZZ_CHECK(strlen(iso) < sizeof(iso));
		if (loose >= 0) {
			FUZZ_CHECK(clock_parse_iso(iso, &again, &err) == 0);
			FUZZ_CHECK(again == loose);
		}
	}
	if (rc == 0 && rc_loose == 0)
		FUZZ_CHECK(strict == loose);
	return 0;
}
