"""The broker that other tests ask for: what they rely on."""

import kombu


def test_node(rabbitmq):
    """A virtual host of its own for each test, counts as they are now."""
    vhost = rabbitmq.new_vhost()
    with kombu.Connection(rabbitmq.url(vhost)) as connection:
        producer = connection.Producer()
        kombu.Queue("letters")(connection.default_channel).declare()
        producer.publish("a", routing_key="letters")
        assert rabbitmq.ready("letters", vhost) == 1
        assert rabbitmq.ready("letters") is None, "another virtual host has it too"
        row = rabbitmq.queues(vhost)["letters"]
        assert (row["messages_ready"], row["durable"], row["consumers"]) == (1, True, 0)
    rabbitmq.delete_vhost(vhost)
