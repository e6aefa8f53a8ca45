/* All targets under libFuzzer, in one program: FUZZ_TARGET names the one that runs. */
#include <stdio.h>

#include "fuzz.h"
#include "log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static fuzz_fn *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = getenv("FUZZ_TARGET");

	(void)argc, (void)argv;
	for (size_t i = 0; name && i < ARRAY_LEN(fuzz_targets); i++)
		if (strcmp(fuzz_targets[i].name, name) == 0)
			target = fuzz_targets[i].run;
	if (target == NULL) {
		fprintf(stderr, "FUZZ_TARGET names none\n");
		exit(2);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return target(data, size);
}
