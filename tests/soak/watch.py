"""Samples of the processes under soak; as a table, as a picture, and whether they stay flat."""

import json
import os
import pathlib
import statistics
import subprocess
import time

# name: (unit, what the last third may be above the first after warming up: a share, and so much beside)
FIGURES = {
    "memory": ("KiB anonymous, first worker", 0.15, 2048),
    "descriptors": ("first worker", 0, 12),
    "threads": ("first worker", 0, 2),
    "beat": ("KiB anonymous, all beats", 0.15, 512),
    "redis": ("connections", 0.2, 8),
    "postgres": ("connections", 0.2, 6),
    "containers": ("of the deployment", 0.25, 4),
    "held": ("messages unacked", None, None),
    "queued": ("messages", None, None),
}


def process(pid):
    place = pathlib.Path(f"/proc/{pid}")
    fields = dict(line.split(":", 1) for line in (place / "smaps_rollup").read_text().splitlines()[1:])
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return int(fields["Anonymous"].split()[0]), len(os.listdir(place / "fd")), int(status["Threads"])


def listed(instance):
    done = subprocess.run(["docker", "ps", "-aq", "--filter", f"label=celeriac.instance={instance}"], capture_output=True, text=True, check=True)
    return len(done.stdout.split())


class Watch:
    def __init__(self, house):
        self.house, self.began, self.rows = house, time.monotonic(), []

    def sample(self):
        """None of what cannot be asked at this moment counts."""
        house, row = self.house, {"at": round(time.monotonic() - self.began, 1)}
        try:
            row["memory"], row["descriptors"], row["threads"] = process(house.workers[0].process.pid)
            row["beat"] = sum(process(beat.process.pid)[0] for beat in house.beats)
            row["redis"] = len(house.broker.redis.client_list())
            row["postgres"] = house.postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'celeriac%%'")[0][0]
            row["containers"] = listed(house.broker.instance)
            row["held"] = house.broker.unacked()[0]
            row["queued"] = house.broker.redis.llen("celery")
        except Exception as error:  # a server that is just being killed
            print(f"{row['at']} s: no sample: {type(error).__name__}")
            return
        self.rows.append(row)

    def column(self, name, rows=None):
        return [row[name] for row in (self.rows if rows is None else rows)]

    def verdict(self, name):
        """(median after warming up, median at the end, may it be so)"""
        quarter = max(1, len(self.rows) // 4)
        first = statistics.median(self.column(name, self.rows[quarter:2 * quarter] or self.rows))
        last = statistics.median(self.column(name, self.rows[-quarter:]))
        _, share, beside = FIGURES[name]
        return first, last, share is None or last <= first * (1 + share) + beside

    def table(self):
        yield f"{'figure':12} {'min':>8} {'2nd quarter':>12} {'last':>8} {'max':>8}"
        for name, (unit, *_) in FIGURES.items():
            values, (first, last, flat) = self.column(name), self.verdict(name)
            yield f"{name:12} {min(values):8} {first:12g} {last:8g} {max(values):8}  {'' if flat else 'GROWS: '}{unit}"

    def is_flat(self):
        return all(self.verdict(name)[2] for name in FIGURES)

    def write(self, directory):
        (directory / "samples.json").write_text(json.dumps(self.rows))
        (directory / "soak.svg").write_text(self.picture())

    def picture(self, width=900, height=90):
        """Each figure as a line over time, from 0 to its most."""
        end = self.rows[-1]["at"] or 1
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12" width="{width + 40}" '
                 f'height="{len(FIGURES) * (height + 34) + 20}"><rect width="100%" height="100%" fill="white"/>']
        for i, (name, (unit, *_)) in enumerate(FIGURES.items()):
            top, most = i * (height + 34) + 24, max(self.column(name)) or 1
            points = " ".join(f"{20 + row['at'] / end * width:.1f},{top + height - row[name] / most * height:.1f}" for row in self.rows)
            parts.append(f'<text x="20" y="{top - 6}">{name} ({unit}), 0 to {most}, over {end / 60:.0f} min</text>'
                         f'<rect x="20" y="{top}" width="{width}" height="{height}" fill="none" stroke="#bbb"/>'
                         f'<polyline points="{points}" fill="none" stroke="#246" stroke-width="1.5"/>')
        return "\n".join([*parts, "</svg>\n"])
