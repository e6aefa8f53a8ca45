/*
 * parcel.c: what is sent of one run. It knows no entries: those hold theirs.
 */
#include "parcel.h"

#include <stdlib.h>

void parcel_free(struct parcel *parcel)
{
	if (!parcel)
		return;
	buf_done(&parcel->list);
	buf_done(&parcel->message);
	free(parcel->next);
	free(parcel);
}
