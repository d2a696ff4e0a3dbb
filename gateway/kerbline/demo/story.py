"""The story of a night, a day and a leak: what is done to the street, and when."""

from __future__ import annotations

import asyncio
import io
import json
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from kerbline.demo import stage, view
from kerbline.demo.plan import WHOLE_S, Plan, plan, slack
from kerbline.demo.scene import Scene, Tail
from kerbline.demo.stage import Stage
from kerbline.sim.nodes import interpreter

BOOT_S = 3.0
LAMPS, LAMPS_IN_SHORT = 6, 3
CUT_NODE = "sl-0002"
FRAME_S = 0.2
DRAIN_S = 60.0
SVG_COLUMNS = 100


@dataclass(frozen=True, slots=True)
class Options:
    """How to tell it; `record` takes an SVG of two moments and the end."""

    headless: bool = False
    seconds: float = 60.0
    report: Path | None = None
    broker: str = "nats"
    keep: Path | None = None
    record: Path | None = None


def run(options: Options) -> int:
    """Tells the story; 0 when all of it happened and nothing was lost or doubled, else 1."""
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    async with AsyncExitStack() as stack:
        if options.keep is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kerbline-")))
        else:
            folder = options.keep
            folder.mkdir(parents=True)
        folder = folder.absolute()
        runs_on = interpreter()
        on_stage = Stage(folder, options.broker, runs_on)
        stack.push_async_callback(on_stage.close)
        stack.callback(signal.signal, signal.SIGINT, signal.SIG_IGN)  # let the clearing up end
        await on_stage.prepare()
        lamps = LAMPS if options.seconds >= WHOLE_S else LAMPS_IN_SHORT
        boot_s = BOOT_S * slack()
        story = Story(
            on_stage, plan(options.seconds, time.time_ns() // 1_000_000, lamps, boot_s), options
        )
        story.scene.say(f"the nodes run under {runs_on.name}, the broker is {options.broker}")
        figures = await story.tell()
    ran = {"interpreter": runs_on.name, "broker": options.broker, "seconds": options.seconds}
    story.print_report({**figures, **ran})
    return 1 if figures["faults"] else 0


class Story:
    """One telling. Its clock is the plan's: seconds after the nodes' start."""

    def __init__(self, on_stage: Stage, when: Plan, options: Options) -> None:
        self.scene = Scene(stage.names(when.street))
        self._stage = on_stage
        self._plan = when
        self._options = options
        self._console = Console(width=SVG_COLUMNS if options.headless else None, highlight=False)
        self._recorder = Console(
            record=True, width=SVG_COLUMNS, file=io.StringIO(), force_terminal=True
        )
        self._faults: list[str] = []
        self._printed = 0

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return time.time() - self._plan.start_real_ms / 1000

    async def tell(self) -> dict[str, object]:
        """All of it; the witness's figures with what did not happen among the faults."""
        await self._stage.begin(self._plan.street)
        watching = asyncio.create_task(self._watch())
        try:
            await self._happen()
            await self._drain()
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        status = await self._stage.end_gateway()
        figures = await self._stage.count()
        crashes = sum(node.crashes for node in self._stage.nodes.values())
        # What the witness can't know: what was meant to happen.
        did_not_happen = {
            f"the gateway ended with status {status}": status != 0,
            f"nodes ended by themselves {crashes} times": crashes > 0,
            "no power cut was seen": figures["power_cuts"] != 1,
            "no lamp rose ahead of the car": not figures["lamps_ahead"],
            "nothing came over Modbus": not figures["bridged"],
            "not all commands were carried out": figures["commands_ok"] != len(self.scene.asked),
        }
        self._faults += [fault for fault, true in did_not_happen.items() if true]
        counted = figures["faults"]
        assert isinstance(counted, list)
        return {**figures, "faults": self._faults + counted}

    async def _happen(self) -> None:
        """What is done to the street, in its order."""
        when, scene = self._plan, self.scene
        await self._until(when.command_s, lambda: self._heard() == len(scene.names))
        scene.say(f"{self._heard()} of {len(scene.names)} nodes are heard")
        await self._at(when.command_s)
        lamp = stage.last_lamp(when.street).asset
        await self._command("night", lamp, level_pct=10, hold_s=1)
        await self._at(when.car_s)
        speed = when.street.cars[0].speed_mps * 3.6
        scene.say(f"a car enters the street at {speed:.0f} km/h")
        await self._at(when.car_s + 0.3 * (when.fast_s - when.car_s))
        self._recorder.print(view.street(scene, when, self.now_s))
        await self._at(when.fast_s)
        scene.say("from here an hour passes each second; a pipe begins to leak")
        await self._at(when.cut_s)
        await self._power_cut()
        await self._at(when.outage_s)
        await self._broker_outage()
        await self._until(when.second_command_s, lambda: False)
        await self._command("day", lamp, level_pct=60, hold_s=3600)
        await self._at(when.stop_s)
        scene.say("the sources stop; what is on its way may arrive")

    async def _power_cut(self) -> None:
        asset = self.scene.names[CUT_NODE]
        self.scene.say(f"{asset} loses power for {self._plan.cut_for_s:.0f} s")
        await self._stage.cut_power(CUT_NODE)
        self.scene.up.discard(CUT_NODE)
        await self._at(self._plan.cut_s + self._plan.cut_for_s)
        self._stage.restore_power(CUT_NODE)
        self.scene.say(f"{asset} has power again")

    async def _broker_outage(self) -> None:
        scene = self.scene
        before = len(scene.published)
        scene.say(f"the broker is killed for {self._plan.outage_for_s:.0f} s")
        await self._stage.broker.kill()
        scene.broker_up = scene.gateway_online = False
        if self._stage.broker_answers():
            self._faults.append("the broker was not killed")
        await self._at(self._plan.outage_s + self._plan.outage_for_s)
        self._recorder.print("", view.frame(scene, self._plan, self.now_s, 0))
        await self._stage.broker.start()
        scene.broker_up = True
        scene.say(f"the broker is back; {scene.waiting} records wait for it")
        await self._until(self.now_s + 5, lambda: scene.gateway_online)
        if len(scene.published) <= before and not scene.gateway_online:
            self._faults.append("the gateway did not come back to the broker within 5 s")

    async def _command(self, name: str, asset: str, **arguments: int) -> None:
        level, hold = arguments["level_pct"], arguments["hold_s"]
        self.scene.asked.add(name)
        self.scene.say(f"an operator asks {asset} for {level} % for {hold} s of street time")
        command = {
            "id": name,
            "operation": "set_level",
            "arguments": {**arguments, "fade_ms": 0},
            "expires_at": time.time_ns() // 1_000_000 + 10_000,
        }
        await self._stage.command(asset, command)

    async def _drain(self) -> None:
        """Waits until all that was made has arrived and each command is answered, or DRAIN_S."""
        scene = self.scene

        def done() -> bool:
            arrived = not scene.waiting and scene.asked <= set(scene.results)
            return arrived or not self._stage.gateway_runs

        await self._until(self._plan.stop_s + 1.0, lambda: False)
        await self._until(self._plan.stop_s + DRAIN_S, done)
        if not self._stage.gateway_runs:
            self._faults.append(f"the gateway ended by itself: {self._stage.gateway_said()}")
        left = scene.waiting
        scene.say(f"{left} records have not arrived" if left else "every record has arrived")

    async def _watch(self) -> None:
        """Reads the logs and shows the street, until cancelled."""
        logs = [Tail(self._stage.folder / "made" / f"{node}.jsonl") for node in self.scene.names]
        messages = Tail(self._stage.published)
        live = Live(console=self._console, auto_refresh=False)
        if not self._options.headless and self._console.is_terminal:
            live.start()
        try:
            while True:
                for log in logs:
                    for line in log.new():
                        self.scene.saw_made(line)
                for line in messages.new():
                    self.scene.saw_published(line)
                if live.is_started:
                    self._printed = self.scene.said
                    room = view.events_in(self._console.height, self._plan)
                    frame = view.frame(self.scene, self._plan, self.now_s, room)
                    live.update(frame, refresh=True)
                else:
                    self._print_events()
                await asyncio.sleep(FRAME_S)
        finally:
            live.stop()

    def _print_events(self) -> None:
        fresh = self.scene.said - self._printed
        for at_s, text in list(self.scene.events)[-fresh:] if fresh else []:
            print(f"  {at_s:5.1f} s  {text}", flush=True)
        self._printed = self.scene.said

    def print_report(self, figures: dict[str, object]) -> None:
        """The figures: to the terminal, to the file asked for, and as the last line in JSON."""
        self._print_events()
        self._console.print(view.report(figures))
        line = json.dumps(figures) + "\n"
        if self._options.headless:
            sys.stdout.write(line)
        if self._options.report:
            self._options.report.write_text(line, encoding="utf-8")
        if self._options.record:
            for event in list(self.scene.events):
                self._recorder.print(view.event(*event))
            self._recorder.print(view.report(figures))
            drawn = self._recorder.export_svg(title="kerbline demo")
            # A picture that fetches fonts from elsewhere would tell who looks at it.
            drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
            self._options.record.write_text(drawn, encoding="utf-8")

    def _heard(self) -> int:
        return len({key[0] for key in self.scene.published})

    async def _at(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds - self.now_s, 0))

    async def _until(self, latest_s: float, true: Callable[[], bool]) -> None:
        while not true() and self.now_s < latest_s:  # noqa: ASYNC110 - what changes is in files
            await asyncio.sleep(FRAME_S / 4)
