/*
 * fault.h: the places where a worker is killed on purpose, in a build for that (make FAULT=1).
 *
 * A point stands between two steps of which the first has an effect outside of the process. It is
 * called `room.step` after the step that was done last; tests/fault-points lists them all, and
 * tests/integration/test_crash_points.py kills a worker at each. In any other build it is nothing.
 */
#ifndef CELERIAC_FAULT_H
#define CELERIAC_FAULT_H

#ifdef CELERIAC_FAULT_BUILD
/* Ends the process by SIGKILL, saying so on stderr, if the environment's CELERIAC_FAULT is `name`,
 * or "name:n" and this is the n-th time. [any] */
void fault_point(const char *name);
#define FAULT_POINT(name) fault_point(name)
#else
#define FAULT_POINT(name) ((void)0)
#endif

#endif
