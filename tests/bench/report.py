"""What a report (build/bench.json) says in short: ratios, bars, and costs as the load grows. For `bench`, which prints it, and `plot`."""

import operator

# How a bar is said, and when it is met.
WAYS = {"most": ("at most", operator.le), "least": ("at least", operator.ge), "below": ("below", operator.lt), "exactly": ("exactly", operator.eq)}


def scripts(report):
    """(the name of a row, the row) of all scripts that wrote a report."""
    for script, written in report.items():
        for name, row in (written or {}).get("rows", {}).items():
            if isinstance(row, dict):
                yield f"{script} {name}", row


def ratios(report):
    """What is named `times…`, how many times it is, and its bar if it has one: an entry of its row's `bars`."""
    for name, row in scripts(report):
        yield from ratios_of(name, row)


def ratios_of(name, row):
    bars = row.get("bars", {})
    for key, value in row.items():
        label = f"{name} {key.removeprefix('times').strip('_')}".strip().replace("_", " ")
        if key.startswith("times") and isinstance(value, dict):
            yield from ((f"{label} {each}", times, bars.get(f"{key}_{each}")) for each, times in value.items())
        elif key.startswith("times"):
            yield label, value, bars.get(key)
        elif isinstance(value, dict) and key not in ("bars", "again"):
            yield from ratios_of(f"{name} {key}", value)


def bars(report):
    """All others that have a bar: (what, the bar's entry)."""
    for name, row in scripts(report):
        for key, bar in row.get("bars", {}).items():
            if not key.startswith("times") and key != "of_the_least":
                yield f"{name} {key}".replace("_", " "), bar


def growth(report):
    """(what, what the load is, {load: what an item costs}, the bar's entry)"""
    for name, row in scripts(report):
        if "by_load" in row:
            yield name, row["load_is"], row["by_load"], row["bars"]["of_the_least"]


def shown(value):
    """Four digits of it."""
    return f"{float(f'{value:.4g}'):g}"


def told(bar):
    """A bar and whether it was met, for people."""
    if not bar:
        return ""
    (way,) = set(WAYS) & set(bar)
    return f"{WAYS[way][0]} {bar[way]}: {'met' if bar['met'] else 'MISSED'}"


def table(report):
    """All of it as lines."""
    rows = [(label, f"{shown(times)} times", told(bar)) for label, times, bar in ratios(report)]
    rows += [(label, shown(bar['is']), told(bar)) for label, bar in bars(report)]
    wide = max([len(label) for label, _, _ in rows], default=0)
    yield from (f"{label:{wide}}  {value:>12}  {said}".rstrip() for label, value, said in rows)
    costs = [(f"{name}, us by {load_is}", by_load, f"{shown(bar['is'])}, {told(bar)}") for name, load_is, by_load, bar in growth(report)]
    if costs:
        wide = max(len(label) for label, _, _ in costs)
        yield f"\n{'processors for one':{wide}}  under the largest load, of the least"
        for label, by_load, said in costs:
            yield f"{label:{wide}}  {said}"
            yield "    " + "   ".join(f"{load}: {shown(cost)}" for load, cost in by_load.items())
