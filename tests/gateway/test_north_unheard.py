"""What no one has subscribed to, at a real broker: taken by it, but not delivered."""

from __future__ import annotations

from pathlib import Path

import aiomqtt
import pytest

from kerbline.north.mqtt import BrokerAddress, MqttPort
from kerbline.north.port import Message, NotConnected
from kerbline.sim.broker import Broker, BrokerKind
from tests.gateway.test_north_brokers import here, with_broker

MEASURES = Message("/json/key/lamp-1/attrs", b"{}")
SHARED = "$share/agents//json/+/+/attrs"  # as an IoT Agent does


@pytest.mark.parametrize("kind", [here(BrokerKind.MOSQUITTO)])
def test_what_nobody_hears_is_refused_where_that_is_wished(
    kind: BrokerKind, tmp_path: Path
) -> None:
    async def story(broker: Broker) -> None:
        address = BrokerAddress("127.0.0.1", broker.port, "gw-1")
        careless = MqttPort(address, [])
        await careless.connect()
        await careless.publish(MEASURES)
        await careless.close()

        port = MqttPort(address, [], heard=True)
        await port.connect()
        with pytest.raises(NotConnected, match="attrs is refused: No matching subscribers"):
            await port.publish(MEASURES, MEASURES)
        async with aiomqtt.Client("127.0.0.1", broker.port) as agent:
            await agent.subscribe(SHARED, qos=0)
            await port.publish(MEASURES, MEASURES)
        await port.close()

    assert with_broker(kind, tmp_path, story) == []
