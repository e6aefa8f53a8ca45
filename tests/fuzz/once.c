/* Each input once, as it is. */
#include "replay.h"

void replay_input(const struct fuzz_target *t, const uint8_t *data, size_t size)
{
	t->run(data, size);
}
