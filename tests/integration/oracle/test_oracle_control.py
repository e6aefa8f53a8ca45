"""Remote control: the form of every reply, and what each command does."""

import datetime
import time

import pytest

from places import BACKEND, BROKER, LATER
from services import wait_until
from world import NUMBER, TEXT, Is, World

TRANSPORT = {"redis": "redis", "rabbitmq": "amqp"}[BROKER]
BACKENDS = {"redis": "redis://", "rpc": "rpc://", "database": "db+postgresql"}
ANY = Is(lambda value: True, "anything")
INFO = {"id", "name", "args", "kwargs", "type", "hostname", "time_start", "acknowledged", "delivery_info", "worker_pid"}


@pytest.fixture(scope="module")
def busy_world(side, servers, session_directory):
    """One whose pool, queues and limits may be changed, two tasks running, one waiting, one scheduled."""
    made = World(side, servers, session_directory, ["-E", "--prefetch-multiplier", "4"])
    made.running = [made.send("sleep", 900), made.app.send_task("celeriac.sleep", kwargs={"seconds": 901}, shadow="a nap")]
    made.wait_active(*made.running)
    made.waiting = made.send("echo", "waits")
    made.later = made.send("add", 1, 2, countdown=LATER, priority=6)
    made.wait_scheduled(made.later)
    wait_until(lambda: made.ask("reserved"), 60)
    yield made
    made.kill()


def check_info(world, info, result, name, args, kwargs=None, running=True):
    assert set(info) == INFO
    assert (info["id"], info["name"], info["type"], info["hostname"]) == (result.id, name, "celeriac." + info["type"][9:], world.name)
    assert (info["args"], info["kwargs"]) == (args, kwargs or {})
    assert set(info["delivery_info"]) == {"exchange", "routing_key", "priority", "redelivered"}
    assert (info["delivery_info"]["exchange"], info["delivery_info"]["routing_key"]) == ("", "celery")
    assert isinstance(info["acknowledged"], bool)
    if running:
        assert abs(info["time_start"] - time.time()) < 600 and info["worker_pid"] == NUMBER
    else:
        assert info["time_start"] is None and info["worker_pid"] is None


def test_active(busy_world):
    infos = {info["id"]: info for info in busy_world.ask("active")}
    first, second = busy_world.running
    assert set(infos) == {first.id, second.id}
    check_info(busy_world, infos[first.id], first, "celeriac.sleep", [900])
    check_info(busy_world, infos[second.id], second, "a nap" if busy_world.version >= (5, 1) else ANY, [], {"seconds": 901})


def test_active_safely(busy_world):
    info = next(info for info in busy_world.ask("active", safe=True) if info["id"] == busy_world.running[0].id)
    assert (info["args"], info["kwargs"]) in (("(900,)", "{}"), ([900], {}))


def test_reserved(busy_world):
    infos = busy_world.ask("reserved")
    assert [info["id"] for info in infos] == [busy_world.waiting.id]
    check_info(busy_world, infos[0], busy_world.waiting, "celeriac.echo", ["waits"], running=False)


def test_scheduled(busy_world):
    (entry,) = busy_world.ask("scheduled")
    assert set(entry) == {"eta", "priority", "request"} and entry["priority"] == 6
    check_info(busy_world, entry["request"], busy_world.later, "celeriac.add", [1, 2], running=False)
    assert entry["request"]["delivery_info"]["priority"] == 6
    eta = datetime.datetime.fromisoformat(entry["eta"])
    assert eta.tzinfo and 0 < (eta - datetime.datetime.now(datetime.timezone.utc)).total_seconds() < LATER


def test_query_task(busy_world):
    first = busy_world.running[0]
    reply = busy_world.ask("query_task", ids=[first.id, busy_world.waiting.id, "nobody"])
    assert set(reply) == {first.id, busy_world.waiting.id}
    assert reply[first.id][0] == "active" and reply[busy_world.waiting.id][0] == "reserved"
    check_info(busy_world, reply[first.id][1], first, "celeriac.sleep", [900])


def test_stats(busy_world):
    stats = busy_world.ask("stats")
    assert {"total", "pid", "clock", "uptime", "pool", "broker", "prefetch_count", "rusage"} <= set(stats)
    assert stats["pid"] == NUMBER and stats["uptime"] == NUMBER and stats["clock"].isdigit() and stats["prefetch_count"] == NUMBER
    assert sum(stats["total"].values()) == 2
    pool = stats["pool"]
    assert {"max-concurrency", "processes", "max-tasks-per-child", "put-guarded-by-semaphore", "timeouts"} <= set(pool)
    assert pool["max-concurrency"] == 2 == len(pool["processes"]) and len(pool["timeouts"]) == 2
    broker = stats["broker"]
    assert (broker["hostname"], broker["transport"], broker["port"]) == ("127.0.0.1", TRANSPORT, NUMBER)
    assert {"userid", "virtual_host", "insist", "ssl", "connect_timeout", "transport_options", "login_method", "uri_prefix",
            "heartbeat", "failover_strategy", "alternates"} <= set(broker)
    assert set(stats["rusage"]) == {
        "utime", "stime", "maxrss", "ixrss", "idrss", "isrss", "minflt", "majflt", "nswap", "inblock", "oublock", "msgsnd",
        "msgrcv", "nsignals", "nvcsw", "nivcsw"}


def test_registered(busy_world):
    names = busy_world.ask("registered")
    assert names == sorted(names) and {"celeriac.add", "celeriac.echo", "celeriac.retry"} <= set(names)
    assert not [name for name in names if name.startswith("celery.")]
    assert {"celery.chord_unlock", "celery.map", "celery.accumulate"} <= set(busy_world.ask("registered", builtins=True))


def test_active_queues(busy_world):
    (queue,) = busy_world.ask("active_queues")
    assert queue == {
        "name": "celery", "routing_key": "celery", "queue_arguments": None, "binding_arguments": None, "consumer_arguments": None,
        "durable": True, "exclusive": False, "auto_delete": False, "no_ack": False, "alias": None, "bindings": [],
        "no_declare": None, "expires": None, "message_ttl": None, "max_length": None, "max_length_bytes": None,
        "max_priority": None, "exchange": {
            "name": "celery", "type": "direct", "arguments": None, "durable": True, "passive": False, "auto_delete": False,
            "delivery_mode": queue["exchange"]["delivery_mode"], "no_declare": False}}


def test_conf(busy_world):
    conf = busy_world.ask("conf")
    assert conf["broker_url"].startswith(f"{TRANSPORT}://") and conf["result_backend"].startswith(BACKENDS[BACKEND])
    conf = busy_world.ask("conf", with_defaults=True)
    assert conf["task_default_queue"] == "celery" and conf["result_expires"]


@pytest.mark.parametrize("method, arguments, reply", [
    ("ping", {}, {"ok": "pong"}), ("clock", {}, {"clock": NUMBER}), ("report", {}, {"ok": TEXT}),
    ("hello", {"from_node": "x@y", "revoked": {}}, {"revoked": ANY, "clock": NUMBER}),
    ("heartbeat", {}, None), ("memsample", {}, ANY),
    ("rate_limit", {"task_name": "nobody.knows", "rate_limit": "1/s"}, {"error": TEXT}),
    ("rate_limit", {"task_name": "celeriac.xsum", "rate_limit": "10/m"}, {"ok": "new rate limit set successfully"}),
    ("rate_limit", {"task_name": "celeriac.xsum", "rate_limit": 0}, {"ok": "rate limit disabled successfully"}),
    ("rate_limit", {"task_name": "celeriac.xsum", "rate_limit": "much"}, {"error": TEXT}),
    ("time_limit", {"task_name": "nobody.knows", "hard": 1}, {"error": TEXT}),
    ("time_limit", {"task_name": "celeriac.xsum", "hard": 1, "soft": 1}, {"ok": "time limits set successfully"}),
    ("enable_events", {}, {"ok": "task events already enabled"}), ("autoscale", {"max": 3, "min": 1}, {"error": TEXT}),
    ("pool_restart", {}, {"error": TEXT}), ("nobody_knows", {}, {"error": TEXT}), ("ping", {"surplus": 1}, {"ok": "pong"}),
    ("revoke", {"task_id": []}, {"ok": TEXT}), ("revoke", {}, {"error": TEXT}),
    ("terminate", {"signal": "KILL", "task_id": "nobody"}, {"ok": TEXT}),
    ("add_consumer", {}, {"error": TEXT}), ("cancel_consumer", {"queue": "never"}, {"ok": "no longer consuming from never"}),
])
def test_reply(busy_world, method, arguments, reply):
    assert busy_world.ask(method, **arguments) == reply


def test_the_pool_grows_and_shrinks(make_world):
    mine = make_world("-c", "1")

    def size():
        stats = mine.ask("stats")["pool"]
        return stats["max-concurrency"], len(stats["processes"])

    assert mine.ask("pool_grow", n=2) == {"ok": "pool will grow"}
    wait_until(lambda: size()[1] == 3, 60, size)
    results = [mine.send("sleep", 900) for _ in range(3)]
    mine.wait_active(*results)
    mine.ask("revoke", task_id=[result.id for result in results], terminate=True)
    wait_until(lambda: mine.ask("active") == [], 60)
    # Python's processes are busy a moment longer
    wait_until(lambda: mine.ask("pool_shrink", n=2) == {"ok": "pool will shrink"}, 60)
    wait_until(lambda: size()[1] == 1, 60, size)
    # Python's may have given the next task to a process that was about to go
    if mine.ours:
        assert mine.send("echo", 1).get(timeout=60) == 1


def test_autoscale(make_world):
    mine = make_world("--autoscale=3,1", "--prefetch-multiplier", "4")
    assert mine.ask("stats")["autoscaler"] == {"max": 3, "min": 1, "current": NUMBER, "qty": NUMBER}
    results = [mine.send("sleep", 900) for _ in range(3)]
    mine.wait_active(*results)
    assert mine.ask("autoscale", max=4, min=2) == {"ok": "autoscale now max=4 min=2"}
    assert mine.ask("stats")["autoscaler"]["max"] == 4


def test_queues_come_and_go(make_world):
    mine = make_world()

    def queues():
        return {queue["name"] for queue in mine.ask("active_queues")}

    late = mine.send("echo", 1, queue="late")
    assert mine.ask("add_consumer", queue="late") == {"ok": "add consumer late"}
    assert late.get(timeout=60) == 1 and queues() == {"celery", "late"}
    assert "late" in mine.ask("add_consumer", queue="late")["ok"], "said twice is no error"

    def cancelled():
        """Celery carries out what it was told at almost the same time in any order, adding after cancelling: then it is told again."""
        assert mine.ask("cancel_consumer", queue="late") == {"ok": "no longer consuming from late"}
        return queues() == {"celery"}

    wait_until(cancelled, 60)
    kept = mine.send("echo", 2, queue="late")
    assert mine.send("echo", 3).get(timeout=60) == 3
    assert not kept.ready()


def test_shutdown_is_warm(make_world):
    mine = make_world()
    result = mine.send("sleep", 8)
    mine.wait_active(result)
    mine.app.control.shutdown(destination=[mine.name])
    assert mine.worker.wait_end() == 0
    assert mine.stored(result.id)["status"] == "SUCCESS"
    assert mine.broker.unacked() == (0, 0)


def test_who_is_not_meant_does_not_answer(world):
    assert world.app.control.ping(destination=["nobody@nowhere"], timeout=0.5) == []
    assert world.app.control.inspect(pattern="nobody*", matcher="glob", timeout=0.5).ping() is None
    assert set(world.app.control.inspect(pattern=world.name[:4] + "*", matcher="glob", timeout=30, limit=1).ping()) == {world.name}
    assert set(world.app.control.inspect(pattern=f"^{world.name}$", matcher="pcre", timeout=30, limit=1).ping()) == {world.name}
