/*
 * ledger.c: which kind of ledger it is.
 */
#include "ledger.h"

int ledger_kind(const struct settings *s, const struct ledger_driver **ret, struct err *err)
{
	if (shared_state_said(s))
		*ret = &ledger_redis;
	else if (s->database_url && *s->database_url)
		*ret = &ledger_postgres;
	else
		return err_set(err, ERR_INVALID,
			       "neither a Redis is named (CELERIAC_STATE_URL, CELERY_BROKER_URL, "
			       "CELERY_RESULT_BACKEND) nor DATABASE_URL: beat has nowhere to write "
			       "what ran");
	return 0;
}
