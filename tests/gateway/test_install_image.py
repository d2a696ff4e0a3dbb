"""An install over an image on trial: the switch, run as the board's prompt would."""

from __future__ import annotations

from binascii import a2b_base64

import pytest

from kerbline.field import install
from kerbline.firmware import build
from kerbnode.sim import app_image, partitions
from kerbnode.sim.chip.esp32 import Partition
from tests.gateway.boards_at_hand import small_job
from tests.node.ram_flash import BLOCK_BYTES, RamFlash

FILES, APP = 4, 2  # blocks
OTA = (partitions.FIRST, partitions.FIRST + 1)


class Blobs(dict[str, bytes]):
    """NVS of a board."""

    set_blob = dict.__setitem__
    erase_key = dict.__delitem__

    def commit(self) -> None:
        """It is there already."""


class Prompt:
    """Runs code as a board does whose esp32 has these partitions."""

    def __init__(self, chip: partitions.Chip) -> None:
        self.nvs = Blobs(image=b"of the node before")
        esp32 = type("esp32", (), {"Partition": type("P", (Partition,), {"chip": chip})})
        self._names = {"esp32": esp32, "n": self.nvs, "w": int, "a2b_base64": a2b_base64}
        self._names["x"] = lambda name: self.nvs.pop(name, None)

    def run(self, code: str, timeout_s: float = 0.0) -> str:
        """Run it."""
        exec(code, dict(self._names))
        return ""


@pytest.mark.parametrize("apps", [OTA, (0,)])
def test_the_image_under_a_fresh_node_stays(apps: tuple[int, ...]) -> None:
    flash = RamFlash(bytearray(b"\xff" * (FILES + 2 + 2 * APP) * BLOCK_BYTES))
    chip = partitions.Chip(flash, partitions.laid(FILES, APP, apps))
    for index in chip.apps:
        whole = app_image.image(bytes(5_000), f"image {index}")
        at = chip.at(index) * BLOCK_BYTES
        flash.image[at : at + len(whole)] = whole
    if apps == OTA:
        chip.set_boot(1)
    chip.boot()
    tried = chip.running
    prompt = Prompt(chip)
    plan = install.Plan(build.SLOTS[0], (), {}, {}, ())
    install._switch(prompt, small_job("node"), plan, fresh_key=True)  # type: ignore[arg-type]
    chip.boot()
    assert chip.running == tried
    assert "image" not in prompt.nvs and prompt.nvs["key"]
