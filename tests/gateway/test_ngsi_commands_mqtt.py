"""A gateway that nobody can reach: the broker notifies of what the city writes, over MQTT."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kerbline.assets import Asset
from kerbline.demo.stage import free_port
from kerbline.north.mqtt import BrokerAddress, MqttPort
from kerbline.north.port import Message
from kerbline.sim.broker import Broker, BrokerKind, program
from kerbline.sim.ngsi_ld_forward import Forwarder
from tests.gateway.ngsi_orders_scene import LAMP, LEVEL, POWER, Scene, attribute, opened

AT = f"/ngsi-ld/v1/entities/{LAMP}"
TOPIC = "city/gw-1/orders"
COMMANDS = """\
ttl_s = 30.0
[ngsi_ld.commands.mqtt]
host = "127.0.0.1"
port = {port}
topic = "city/gw-1/orders"
"""
pytestmark = pytest.mark.skipif(
    program(BrokerKind.MOSQUITTO) is None, reason="there is no mosquitto here"
)


class Post:
    """Publishes what the broker notifies, and what a test makes up."""

    def __init__(self, port: int) -> None:
        self._port = MqttPort(BrokerAddress("127.0.0.1", port, client_id="city"), [])
        self.sent: list[bytes] = []

    async def open(self) -> None:
        """Connect."""
        await self._port.connect()

    async def publish(self, uri: str, message: bytes, *, retained: bool = False) -> None:
        """One notification to its address."""
        assert uri.endswith(f"/{TOPIC}")
        self.sent.append(message)
        await self._port.publish(Message(TOPIC, message, retained))

    async def close(self) -> None:
        """Disconnect."""
        await self._port.close()


@asynccontextmanager
async def mosquitto(folder: Path) -> AsyncIterator[tuple[Scene, Post]]:
    folder.joinpath("mqtt").mkdir()
    broker = Broker(BrokerKind.MOSQUITTO, folder / "mqtt", free_port())
    await broker.start()
    post = Post(broker.port)
    await post.open()
    scene = Scene(folder, COMMANDS, Forwarder(post.publish), broker.port)
    try:
        async with opened(scene):
            yield scene, post
    finally:
        await post.close()
        await broker.stop()


def play(folder: Path, story: Callable[[Scene, Post], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with mosquitto(folder) as (scene, post):
            life = await scene.start()
            await scene.known()
            await life.report("lamp-1", 80)
            await scene.until(lambda: LEVEL in scene.broker.entities.now.get(LAMP, {}))
            await story(scene, post)

    asyncio.run(whole())


def levels(scene: Scene) -> list[Any]:
    return [command.arguments.get("level_pct") for command in scene.life.street.done]


def count(scene: Scene, name: str) -> int:
    return scene.life.counters.totals().get(f"city_orders.{name}", 0)


def words(scene: Scene) -> list[str]:
    return [each.split()[0] for each in scene.states()]


async def order(scene: Scene, value: float) -> None:
    assert (await scene.city("PATCH", f"{AT}/attrs/{LEVEL}", attribute(value)))[0] == 204


def notification(
    given: Mapping[str, object], *, number: int = 1, at: str = "", entity: str = LAMP
) -> bytes:
    """One as a broker without dates of its own would send it."""
    body = {
        "id": f"urn:ngsi-ld:Notification:x{number}",
        "type": "Notification",
        "subscriptionId": "urn:ngsi-ld:Subscription:stad:gw-1",
        "notifiedAt": at or datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "data": [{"id": entity, "type": "Streetlight", **given}],
    }
    return json.dumps({"metadata": {"Link": "x"}, "body": body}).encode()


def test_what_the_city_writes_at_the_broker_is_done_and_told(tmp_path: Path) -> None:
    async def story(scene: Scene, _: Post) -> None:
        (subscription,) = scene.broker.subscriptions.values()
        assert subscription["watchedAttributes"] == [LEVEL, POWER]
        await order(scene, 0.3)
        await scene.until(lambda: "OK" in words(scene))
        assert levels(scene) == [30]
        assert words(scene) == ["DELIVERED", "OK"]
        (command,) = scene.life.street.done
        assert command.source == "operator/ngsi-ld:platform"

    play(tmp_path, story)


@pytest.mark.parametrize("system_dates", [True, False])
@pytest.mark.parametrize("keeps_dates", [True, False])
def test_our_own_values_come_back_and_are_no_orders(
    tmp_path: Path,
    system_dates: bool,  # noqa: FBT001 - a parameter of the test
    keeps_dates: bool,  # noqa: FBT001
) -> None:
    async def story(scene: Scene, post: Post) -> None:
        scene.broker.system_dates, scene.broker.keeps_dates = system_dates, keeps_dates
        for level in (10, 20, 30, 40):
            await scene.life.report("lamp-1", level)
            await scene.life.report("lamp-2", level)
            wanted = level / 100
            now = scene.broker.entities.now
            await scene.until(lambda: now[LAMP][LEVEL]["value"] == wanted)  # noqa: B023
        await order(scene, 0.7)
        await scene.until(lambda: levels(scene) == [70])
        # The other attribute changes: the order is repeated beside it.
        power = f"{AT}/attrs/{POWER}"
        assert (await scene.city("PATCH", power, attribute("off")))[0] == 204
        await scene.until(lambda: len(levels(scene)) == 2)
        await scene.life.report("lamp-1", 1)
        await scene.until(lambda: now[LAMP][LEVEL]["value"] == 0.01)
        await order(scene, 0.7)  # again, after the lamp's own report
        await scene.until(lambda: len(levels(scene)) == 3)
        await asyncio.sleep(0.5)
        assert levels(scene) == [70, 0, 70]
        assert count(scene, "ours") >= 4
        assert len(post.sent) >= 8

    play(tmp_path, story)


@pytest.mark.parametrize("keeps_dates", [True, False])
def test_a_lamp_goes_off_and_back_to_what_it_reported_before(
    tmp_path: Path,
    keeps_dates: bool,  # noqa: FBT001
) -> None:
    """It reports each quarter of an hour: the broker still has that report's date."""

    async def story(scene: Scene, _: Post) -> None:
        scene.broker.keeps_dates = keeps_dates
        for number, value in enumerate((0, 0.8, 0.0, 0.8), 1):
            await order(scene, value)
            await scene.until(lambda: len(levels(scene)) == number)  # noqa: B023
        assert levels(scene) == [0, 80, 0, 80]

    play(tmp_path, story)


def test_one_notification_that_comes_twice_runs_once(tmp_path: Path) -> None:
    async def story(scene: Scene, post: Post) -> None:
        message = notification({LEVEL: attribute(0.2)})
        for _ in range(3):
            await post.publish(f"mqtt://x/{TOPIC}", message)
        await scene.until(lambda: count(scene, "seen") == 2)
        assert levels(scene) == [20]

    play(tmp_path, story)


def test_what_was_notified_too_long_ago_is_refused_as_expired(tmp_path: Path) -> None:
    async def story(scene: Scene, post: Post) -> None:
        old = notification({LEVEL: attribute(0.2)}, at="2026-01-01T00:00:00Z")
        await post.publish(f"mqtt://x/{TOPIC}", old)
        late = attribute(0.3, modifiedAt="2026-01-01T00:00:00Z")
        await post.publish(f"mqtt://x/{TOPIC}", notification({LEVEL: late}, number=2))
        await scene.until(lambda: words(scene) == ["EXPIRED", "EXPIRED"])
        assert levels(scene) == []

    play(tmp_path, story)


def test_what_is_no_order_is_refused_aloud_and_the_truth_is_told_again(tmp_path: Path) -> None:
    async def story(scene: Scene, _: Post) -> None:
        await order(scene, 1.5)
        await scene.until(lambda: words(scene) == ["REJECTED"])
        assert scene.states()[0].endswith("out_of_range: illuminanceLevel: 0 to 1")
        now = scene.broker.entities.now
        await scene.until(lambda: now[LAMP][LEVEL]["value"] == 0.8)
        scene.life.street.answer = "failed"
        await order(scene, 0.4)
        await scene.until(lambda: words(scene)[1:] == ["DELIVERED", "ERROR"])
        await scene.until(lambda: now[LAMP][LEVEL]["value"] == 0.8)
        assert levels(scene) == [40]

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (b"{", "not_json"),
        (b"[]", "no_notification"),
        (b'{"body": {"type": "Notification"}}', "no_data"),
        (b" " * 300_000, "too_long"),
        (notification({LEVEL: 1}, entity="urn:ngsi-ld:Streetlight:x:y"), "unknown_entity"),
    ],
)
def test_what_is_no_notification_is_counted_and_passed_over(
    tmp_path: Path, message: bytes, name: str
) -> None:
    async def story(scene: Scene, post: Post) -> None:
        await post.publish(f"mqtt://x/{TOPIC}", message)
        await scene.until(lambda: count(scene, name) == 1)
        await order(scene, 0.3)
        await scene.until(lambda: levels(scene) == [30])

    play(tmp_path, story)


def test_after_a_kill_no_order_is_done_again_and_a_new_one_is(tmp_path: Path) -> None:
    async def story(scene: Scene, post: Post) -> None:
        scene.broker.system_dates = False
        await post.publish(f"mqtt://x/{TOPIC}", notification({LEVEL: attribute(0.2)}))
        await scene.until(lambda: levels(scene) == [20])
        kept = notification({LEVEL: attribute(0.9)}, number=7)
        await post.publish(f"mqtt://x/{TOPIC}", kept, retained=True)
        await scene.until(lambda: levels(scene) == [20, 90])
        await scene.kill()
        await scene.start()
        await scene.until(lambda: count(scene, "retained") == 1)
        # A broker that knows no dates repeats the order beside another attribute's.
        repeated = {LEVEL: attribute(0.9), POWER: attribute("on")}
        await post.publish(f"mqtt://x/{TOPIC}", notification(repeated, number=8))
        await scene.until(lambda: levels(scene) == [100])
        assert count(scene, "seen") == 1
        await post.publish(f"mqtt://x/{TOPIC}", notification({LEVEL: 0.6}, number=9))
        await scene.until(lambda: levels(scene)[-1] == 60)

    play(tmp_path, story)


def test_what_is_written_of_a_group_is_done_by_each_of_its_lamps(tmp_path: Path) -> None:
    group = "urn:ngsi-ld:StreetlightGroup:stad:quay"

    async def whole() -> None:
        async with mosquitto(tmp_path) as (scene, post):
            scene.listed = tuple(Asset(f"lamp-{n}", "Streetlight", group="quay") for n in (1, 2))
            await scene.start()
            await scene.known()
            (subscription,) = scene.broker.subscriptions.values()
            assert group in [each["id"] for each in subscription["entities"]]
            written = notification({LEVEL: attribute(0.3)}, entity=group)
            for _ in range(2):  # QoS 1
                await post.publish(f"mqtt://x/{TOPIC}", written)
            await scene.until(lambda: any("group quay" in each for each in scene.states()))
            assert levels(scene) == [30, 30]
            assert len([each for each in scene.states() if "group quay" in each]) == 1
            wrong = notification({LEVEL: attribute(3)}, number=2, entity=group)
            await post.publish(f"mqtt://x/{TOPIC}", wrong)
            await scene.until(lambda: words(scene)[-1] == "REJECTED")
            assert "at group quay: out_of_range" in scene.states()[-1]

    asyncio.run(whole())
