"""What goes wrong during the soak, in an order that its seed gives. The first worker is never killed: its figures are the ones that
must stay flat."""

import collections
import signal
import time

from services import wait_until


class Trouble:
    def __init__(self, house, chance):
        self.house, self.chance = house, chance
        self.counts = collections.Counter()
        # name: (weight, what is done)
        self.kinds = {
            "worker killed": (6, self.kill_worker),
            "worker stopped and started": (2, self.restart_worker),
            "worker stood still for 5 s": (2, self.pause_worker),
            "beat killed": (2, self.kill_beat),
            "connections to Redis cut": (3, self.cut_redis),
            "connections to PostgreSQL cut": (3, self.cut_postgres),
            "connections to the engine cut": (3, self.cut_engine),
            "Redis killed": (1, self.kill_redis),
        }

    def once(self):
        name = self.chance.choices(list(self.kinds), [weight for weight, _ in self.kinds.values()])[0]
        self.kinds[name][1]()
        self.counts[name] += 1

    def victim(self):
        return self.chance.choice(self.house.workers[1:])

    def kill_worker(self):
        victim = self.victim()
        victim.kill()
        victim.spawn()

    def restart_worker(self):
        victim = self.victim()
        status = victim.term(120)
        assert status == 0, f"{victim} ended with {status}"
        victim.spawn()

    def pause_worker(self):
        process = self.victim().process
        process.send_signal(signal.SIGSTOP)
        time.sleep(5)
        process.send_signal(signal.SIGCONT)

    def kill_beat(self):
        beat = self.chance.choice(self.house.beats)
        beat.kill()
        beat.start()

    def cut_redis(self):
        self.house.broker.redis.client_kill_filter(_type="normal", skipme=True)

    def cut_postgres(self):
        self.house.postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'celeriac%%' AND pid <> pg_backend_pid()")

    def cut_engine(self):
        self.house.engine.close()
        time.sleep(self.chance.uniform(0, 2))
        self.house.engine.open()

    def kill_redis(self):
        self.house.redis.kill()
        self.house.redis.start()
        wait_until(self.house.broker.redis.ping, 30)
