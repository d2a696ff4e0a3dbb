"""MicroPython's image: what is refused, what is remembered, and where it goes."""

from pathlib import Path

import pytest

from kerbline.field import flash_images
from kerbline.field.flash_images import Cache, ImageFault
from kerbline.sim import bench_chip

STOCK = bench_chip.stock_image("esp32", 40_000)
OTHER = bench_chip.stock_image("esp32", 40_000, seed=2)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def file(folder: Path, data: bytes) -> Path:
    path = folder / "mp.bin"
    path.write_bytes(data)
    return path


def test_an_image_is_named_once(tmp_path: Path, cache: Cache) -> None:
    found = flash_images.stock(file(tmp_path, STOCK), "esp32", "", cache)
    assert found.is_new and found.data == STOCK
    assert found.partitions["vfs"] == (0x20_0000, 2 << 20)
    flash_images.keep(found, cache)
    again = flash_images.stock(None, "esp32", "", cache)
    assert again.data == STOCK and not again.is_new
    with pytest.raises(ImageFault, match="--micropython"):
        flash_images.stock(None, "esp32s3", "", cache)


def test_another_image_wants_its_hash(tmp_path: Path, cache: Cache) -> None:
    first = flash_images.stock(file(tmp_path, STOCK), "esp32", "", cache)
    flash_images.keep(first, cache)
    with pytest.raises(ImageFault, match="another image than the last one"):
        flash_images.stock(file(tmp_path, OTHER), "esp32", "", cache)
    with pytest.raises(ImageFault, match="its SHA-256 is"):
        flash_images.stock(file(tmp_path, OTHER), "esp32", first.sha256, cache)
    digest = cache.put(OTHER)
    flash_images.keep(flash_images.stock(file(tmp_path, OTHER), "esp32", digest, cache), cache)
    assert flash_images.stock(None, "esp32", "", cache).data == OTHER


def test_a_damaged_cache_holds_nothing(tmp_path: Path, cache: Cache) -> None:
    flash_images.keep(flash_images.stock(file(tmp_path, STOCK), "esp32", "", cache), cache)
    (kept,) = (tmp_path / "cache" / "images").iterdir()
    kept.write_bytes(kept.read_bytes()[:-9])
    with pytest.raises(ImageFault, match="--micropython"):
        flash_images.stock(None, "esp32", "", cache)
    flash_images.keep(flash_images.stock(file(tmp_path, STOCK), "esp32", "", cache), cache)
    assert flash_images.stock(None, "esp32", "", cache).data == STOCK


def test_what_is_not_kept_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mp").mkdir()
    with pytest.raises(OSError, match="mp"):
        flash_images.replaced(tmp_path / "mp", b"x")
    assert [each.name for each in tmp_path.iterdir()] == ["mp"]


def test_old_images_go(cache: Cache) -> None:
    digests = [cache.put(bytes([n]) * 100) for n in range(flash_images.KEPT_BLOBS + 5)]
    assert sum(cache.get(each) is not None for each in digests) == flash_images.KEPT_BLOBS


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no image of an ESP32"),
        (b"PK\x03\x04" + bytes(5000), "no image of an ESP32"),
        (bench_chip.stock_image("esp32c3", 40_000), "is for esp32c3"),
        (STOCK[0xF000:], "no partitions"),
        (STOCK[:-5000], "damaged or cut off"),
        (STOCK[:0x1_1000] + b"x" + STOCK[0x1_1001:], "damaged or cut off"),
    ],
    ids=["empty", "zip", "other chip", "app alone", "cut", "flipped"],
)
def test_what_is_no_image_is_refused(tmp_path: Path, cache: Cache, data: bytes, told: str) -> None:
    with pytest.raises(ImageFault, match=told):
        flash_images.stock(file(tmp_path, data), "esp32", "", cache)


@pytest.mark.parametrize("chip", ["esp32", "esp32c3", "esp32s3", "esp32c6"])
def test_the_regions_leave_the_nvs_alone(tmp_path: Path, cache: Cache, chip: str) -> None:
    data = bench_chip.stock_image(chip, 40_000)
    found = flash_images.stock(file(tmp_path, data), chip, "", cache)
    at, size = found.partitions["nvs"]
    regions = flash_images.regions(found, b"fs" * 4096)
    assert all(each.end <= at or each.offset >= at + size for each in regions)
    base = bench_chip.BOOT_AT[chip]
    flash = bytearray(data)
    flash[at - base : at - base + size] = b"?" * size
    for each in regions[:2]:
        assert flash[each.offset - base : each.end - base] == each.data
    assert sum(len(each.data) for each in regions[:2]) == len(data) - size
    wiped = flash_images.regions(found, b"fs" * 4096, wipe=True)
    assert (wiped[-1].offset, wiped[-1].data) == (at, b"\xff" * size)


def test_an_app_that_is_not_laid_is_erased(tmp_path: Path, cache: Cache) -> None:
    """A node that has run it would take it again with the files that are laid now."""
    held = {bench_chip.OTA_0: bench_chip.app(size=9_000), bench_chip.OTA_0 + 1: b""}
    base = bench_chip.BOOT_AT["esp32"]
    data = bench_chip.stock_image()[: 0x8000 - base]
    data += bench_chip.apps("esp32", held)[0x8000 : bench_chip.APP_AT + 9_000 + 400]
    found = flash_images.stock(file(tmp_path, data), "esp32", "", cache)
    regions = {each.offset: each for each in flash_images.regions(found, b"fs" * 4096)}
    at = found.partitions["ota_1"][0]
    assert regions[at].data == b"\xff" * 4096
    assert found.partitions["otadata"][0] >= sum(found.partitions["nvs"]), "it is laid, erased"
    assert len(regions) == 4
