"""Keys of another type than ours and kombu's, and servers that answer nonsense: said, and nothing is lost or ends."""

import random
import signal
import socket
import threading

import pytest

from services import wait_until


def test_a_queue_that_is_no_list_disturbs_no_other(make_worker, app, broker):
    worker = make_worker("-c", "1", "-Q", "one,two,three")
    broker.redis.set("three", "x")
    wait_until(lambda: worker.log_lines("ERROR.*the queue three is no list"), 30, worker.log)
    worker.process.send_signal(signal.SIGSTOP)  # so that many claims are full before they come to the third queue
    results = [app.send_task("celeriac.echo", (n,), queue=queue) for n in range(50) for queue in ("one", "two")]
    worker.process.send_signal(signal.SIGCONT)
    assert [result.get(timeout=30) for result in results] == [n for n in range(50) for _ in range(2)]
    broker.redis.delete("three")
    assert app.send_task("celeriac.echo", ("there",), queue="three").get(timeout=30) == "there"
    broker.wait_settled()
    worker.wait_log("the queue three is a list again")
    assert len(worker.log_lines("ERROR")) == 1


def test_a_queue_that_is_no_list_keeps_no_other_back(make_worker, app, broker):
    """What a dead worker held of the others is put back, and of it as soon as there is a list."""
    worker = make_worker("-c", "1", "-Q", "one,two")
    for queue in ("one", "two"):
        for n in range(300):
            app.send_task("celeriac.echo", (n,), queue=queue, countdown=600)
    wait_until(lambda: broker.unacked() == (600, 600), 30, "not all are held")
    worker.kill()
    broker.redis.set("two", "x")
    other = make_worker("-c", "1", "-Q", "other", node=worker.node)
    other.wait_log("WARNING.*WRONGTYPE")
    wait_until(lambda: broker.redis.llen("one") == 300 and broker.unacked() == (300, 300), 30, other.log)
    broker.redis.delete("two")
    wait_until(lambda: broker.redis.llen("two") == 300 and broker.unacked() == (0, 0), 30, other.log)


@pytest.mark.parametrize("key", ["unacked", "unacked_index", "celeriac:dead"])
def test_what_cannot_be_recorded_is_not_taken(make_worker, app, broker, key):
    worker = make_worker("-c", "1")
    broker.redis.set(key, "x")
    results = [app.send_task("celeriac.echo", (n,)) for n in range(50)]
    worker.wait_log("ERROR.*WRONGTYPE")
    assert broker.redis.llen("celery") > 0
    broker.redis.delete(key)
    assert [result.get(timeout=30) for result in results] == list(range(50))
    broker.wait_settled()
    assert len(worker.log_lines("ERROR.*WRONGTYPE")) < 10


def test_dead_letters_that_are_no_list(make_worker, app, broker):
    """Nobody makes room among them, and nothing is taken that could not be put there; it goes on when it is one."""
    broker.redis.set("celeriac:dead", "x")
    result = app.send_task("celeriac.echo", (1,))
    worker = make_worker("-c", "1", start=False).spawn()
    worker.wait_log("WARNING.*making room in celeriac:dead: WRONGTYPE")
    worker.wait_log("consumer: Cannot connect to .*WRONGTYPE")
    assert broker.redis.llen("celery") == 1 and broker.unacked() == (0, 0)
    broker.redis.delete("celeriac:dead")
    assert result.get(timeout=30) == 1


def test_a_server_that_permits_no_channels(make_worker, app, make_redis):
    """No remote control then, but a worker."""
    server = make_redis().start()
    server.client().execute_command("ACL", "SETUSER", "default", "resetchannels")
    worker = make_worker("-c", "1", CELERY_BROKER_URL=server.url(), CELERY_RESULT_BACKEND=server.url())
    worker.wait_log("control: .*NOPERM")
    assert worker.alive()


class Peer:
    """Answers every command with whatever `answer` makes of it."""

    def __init__(self, answer):
        self.answer, self.served, self.connections = answer, 0, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.socket.getsockname()[1]}/0"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                connection, _ = self.socket.accept()
                self.connections.append(connection)
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()
        except OSError:
            pass

    def serve(self, connection):
        try:
            stream = connection.makefile("rb")
            while line := stream.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int(stream.readline()[1:])
                    words.append(stream.read(size + 2)[:-2])
                self.served += 1
                connection.sendall(self.answer(words))
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    def close(self):
        self.socket.close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


HANDSHAKE = {b"AUTH", b"SELECT", b"CLIENT", b"PING"}
ANSWERS = {
    "nothing": lambda _: b"$-1\r\n",
    "a number": lambda _: b":-9223372036854775808\r\n",
    "text": lambda _: b"$1\r\nx\r\n",
    "an empty array": lambda _: b"*0\r\n",
    "arrays in arrays": lambda _: b"*2\r\n*1\r\n*1\r\n:1\r\n*0\r\n",
    "an error": lambda _: b"-WRONGTYPE no\r\n",
    "messages nobody asked for": lambda _: b"*4\r\n$8\r\npmessage\r\n$1\r\nx\r\n$1\r\nx\r\n:1\r\n",
    "anything": lambda _: random.choice([*ANSWERS.values()][:-1])(_),
}


@pytest.mark.parametrize("which", ANSWERS)
def test_a_server_that_answers_nonsense(make_worker, which):
    peer = Peer(lambda words: b"+PONG\r\n" if words[0].upper() in HANDSHAKE else ANSWERS[which](words))
    try:
        worker = make_worker("-c", "1", start=False, CELERY_BROKER_URL=peer.url, CELERY_RESULT_BACKEND=peer.url).spawn()
        wait_until(lambda: peer.served > 25 or not worker.alive(), 60, worker.log)
        assert worker.process.poll() in (None, 1), worker.log()
        assert "BUG" not in worker.log()
    finally:
        peer.close()
