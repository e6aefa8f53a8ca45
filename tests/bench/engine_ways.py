#!/usr/bin/env python3
"""What a process of its own for the connection to Docker costs a warm call.

    .run/venv/bin/python tests/bench/engine_ways.py [-n ROUNDS] [-o FILE.json]

Two workers, one with the role that it starts (`CELERIAC_ENGINE=fork`, as without the setting), one that speaks to Docker itself
(`direct`), each with servers and a conversation of its own, and in turn a `print(1)` by each: who is first changes from round to
round. From a message that is sent until its result is published.
"""

import statistics
import sys
import time

from stand import Figure, finish, judge, options, PAUSE, Stand, summary, told

CODE, WAYS, BAR = "print(1)", ("direct", "fork"), 1.05


def main():
    asked = options(__doc__, 100).parse_args()
    figures = {way: [] for way in WAYS}
    with Stand(CELERIAC_ENGINE="direct") as direct, Stand(CELERIAC_ENGINE="fork") as fork:
        stands = {"direct": direct, "fork": fork}
        for _ in range(5):
            for stand in stands.values():
                stand.run(CODE, "bench")
                time.sleep(1)
        for number in range(asked.rounds):
            for way in WAYS[::-1] if number % 2 else WAYS:
                time.sleep(PAUSE)
                figures[way].append(stands[way].sent_until_visible("sandbox.execute_code", conversation_id="bench", code=CODE))
    row = {way: summary(values) for way, values in figures.items()}
    row["p10"] = {way: Figure(sorted(values)[len(values) // 10], 2) for way, values in figures.items()}
    row["of_direct"] = Figure(statistics.median(figures["fork"]) / statistics.median(figures["direct"]), 3)
    row["added_ms"] = Figure(statistics.median(fork - direct for fork, direct in zip(figures["fork"], figures["direct"])), 3)
    judge(row, of_direct=(row["of_direct"], "most", BAR))
    print(f"p50 {row['fork']['p50']} ms by a role, {row['direct']['p50']} without: {row['of_direct']} of it (p10 {row['p10']['fork']} and "
          f"{row['p10']['direct']}); added, median of pairs: {row['added_ms']} ms{told(row)}")
    return finish(asked, {"print": row})


if __name__ == "__main__":
    sys.exit(main())
