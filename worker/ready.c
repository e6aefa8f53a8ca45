/*
 * May messages be claimed? Everything a task needs must answer; what is away is said once by
 * whoever keeps it.
 */
#include "worker.h"

bool worker_readiness(struct worker *w, struct readiness *ret)
{
	*ret = (struct readiness){
		.broker = broker_ready(w->broker),
		.shared = shared_state_ready(w->shared),
		.backend = backend_ready(w->backend),
		.store = w->store == NULL ||
			 (atomic_load(&w->store_usable) && store_ready(w->store) &&
			  policy_watch_ready(&w->policy)),
		.engine = w->fleet == NULL || fleet_ready(w->fleet),
		.consumer = atomic_load(&w->consuming),
	};
	return ret->broker && ret->shared && ret->backend && ret->store && ret->engine;
}
