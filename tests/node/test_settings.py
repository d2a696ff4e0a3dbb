"""Settings are checked whole before a node believes them."""

import json

from kerbnode import boots, checking, identity, nvs, settings
from kerbwire import messages as m

GOOD = {"node_id": "sl-0001", "asset": "streetlight", "link": "uart", "uart": "/dev/pts/3"}


class Blobs:
    """An NVS in RAM."""

    def __init__(self) -> None:
        self.blobs = {}

    def get(self, name: str) -> "bytes | None":
        return self.blobs.get(name)

    def set(self, name: str, blob: bytes) -> None:
        self.blobs[name] = blob


def stored(given: "dict[str, object] | Blobs") -> Blobs:
    store = Blobs()
    nvs.set_checked(store, "settings", json.dumps(given).encode())
    store.set(identity.MARK, b"sl-0001\0streetlight")  # as a first boot leaves it
    return store


def refusal(given: "dict[str, object] | Blobs") -> "str | None":
    try:
        settings.load(given if isinstance(given, Blobs) else stored(given))
    except settings.SettingsError as error:
        return error.code
    return None


def changed(**changes: object) -> "dict[str, object]":
    given = dict(GOOD)
    given.update(changes)
    return given


def test_what_is_left_out_has_a_default() -> None:
    loaded = settings.load(stored(GOOD))
    assert loaded.node_id == "sl-0001"
    assert (loaded.baud, loaded.report_s, loaded.profile) == (115200, 900, checking.PROFILE)
    assert loaded.position is None
    assert (loaded.night, loaded.motion) == ((-2.5, 0, 0), (100, 20))


def test_all_can_be_set() -> None:
    loaded = settings.load(
        stored(
            changed(
                link="udp",
                gateway="192.0.2.1:5683",
                report_s=60,
                profile=[[-720, 80], [0, 20]],
                position=[52.37, 4.9],
                night_deg=0.25,
                dusk_min=-15,
                dawn_min=720,
                motion_pct=80,
                motion_hold_s=45,
            )
        )
    )
    assert (loaded.night, loaded.motion) == ((0.25, -15, 720), (80, 45))
    assert loaded.gateway == ("192.0.2.1", 5683)
    assert loaded.profile == ((-720, 80), (0, 20))
    assert loaded.position == (52.37, 4.9)


def test_each_fault_names_its_key() -> None:
    assert refusal(Blobs()) == "missing"
    assert refusal(changed(colour="red")) == "colour"
    assert refusal(changed(node_id="")) == "node_id"
    assert refusal(changed(node_id="x" * 17)) == "node_id"
    assert refusal(changed(asset="toaster")) == "asset"
    assert refusal(changed(link="udp")) == "gateway"
    assert refusal(changed(link="udp", gateway="host:0")) == "gateway"
    assert refusal(changed(baud=12)) == "baud"
    assert refusal(changed(report_s=0)) == "report_s"
    assert refusal(changed(profile=[[0, 101]])) == "profile"
    assert refusal(changed(profile=[[10, 1], [10, 2]])) == "profile"
    assert refusal(changed(night_deg=6.5)) == "night_deg"
    assert refusal(changed(night_deg="dusk")) == "night_deg"
    assert refusal(changed(dusk_min=1.5)) == "dusk_min"
    assert refusal(changed(dawn_min=-721)) == "dawn_min"
    assert refusal(changed(motion_pct=0)) == "motion_pct"
    assert refusal(changed(motion_hold_s=0)) == "motion_hold_s"
    assert refusal(changed(position=[100, 0])) == "position"
    assert refusal(changed(position=["north", 0])) == "position"
    assert refusal(changed(position=[52, None])) == "position"


def test_a_damaged_blob_is_noticed() -> None:
    store = stored(GOOD)
    store.set("settings", store.get("settings")[:-1] + b"\x00")
    assert refusal(store) == "damaged"
    nvs.set_checked(store, "settings", b"[1]")
    assert refusal(store) == "damaged"
    nvs.set_checked(store, "settings", b"{")
    assert refusal(store) == "damaged"


def test_the_key_and_its_generation_are_one_blob() -> None:
    store = Blobs()
    try:
        settings.load_key(store)
    except settings.SettingsError as error:
        assert error.code == "key"
    else:
        raise AssertionError("a node without a key")
    settings.store_key(store, 7, bytes(range(16)))
    assert settings.load_key(store) == (7, bytes(range(16)))
    assert list(store.blobs) == ["key"]


def test_boot_ids_count_on_from_a_random_start() -> None:
    store = Blobs()
    first = boots.next_boot_id(store, lambda count: b"\x12" * count)
    assert first == 0x1213
    assert boots.next_boot_id(store, lambda count: b"\x99" * count) == first + 1
    store.set("boot", b"\xff\xff\xff\xff")
    assert boots.next_boot_id(store, lambda count: b"\x00" * count) == 1


PROFILE_BYTES = bytes((0, 0, 80, 2, 208, 20))  # from -720 on 80 %, from 0 on 20 %
STEPS = ((-720, 80), (0, 20))


def test_a_config_lies_over_the_settings_for_good() -> None:
    store = stored(changed(report_s=60))
    wanted = settings.load(store)
    assert settings.configure(store, wanted, 3, {m.CONFIG_PROFILE: PROFILE_BYTES}) == m.OK
    for loaded in (wanted, settings.load(store)):
        assert (loaded.config_version, loaded.report_s, loaded.profile) == (3, 60, STEPS)
    assert settings.configure(store, wanted, 4, {m.CONFIG_REPORT_S: 120}) == m.OK
    for loaded in (wanted, settings.load(store)):  # what it leaves out is the settings' own again
        assert (loaded.config_version, loaded.report_s) == (4, 120)
        assert loaded.profile == checking.PROFILE


def test_a_config_sets_night_and_motion_and_leaves_what_it_does_not_name() -> None:
    store = stored(changed(dusk_min=5, motion_pct=90))
    wanted = settings.load(store)
    values = {m.CONFIG_NIGHT_CDEG: -83, m.CONFIG_DAWN_MIN: -20, m.CONFIG_MOTION_S: 8}
    assert settings.configure(store, wanted, 2, values) == m.OK
    for loaded in (wanted, settings.load(store)):
        assert abs(loaded.night[0] + 0.83) < 1e-6 and loaded.night[1:] == (5, -20)
        assert loaded.motion == (90, 8)
    clo = {m.CONFIG_CLO: bytes((0, 0, 0, 80, 1, 134, 160, 100))}
    assert settings.configure(store, wanted, 3, clo) == m.OK
    for loaded in (wanted, settings.load(store)):
        assert (loaded.motion, loaded.clo) == ((90, 20), ((0, 80), (100_000, 100)))
    assert settings.configure(store, wanted, 4, {m.CONFIG_CLO: b""}) == m.OK
    assert wanted.clo == ()
    assert settings.configure(store, wanted, 5, {m.CONFIG_MOTION_PCT: 60}) == m.OK
    for loaded in (wanted, settings.load(store)):
        assert (loaded.night, loaded.motion) == ((-2.5, 5, 0), (60, 20))


def test_a_config_is_taken_whole_or_not_at_all() -> None:
    store = stored(GOOD)
    wanted = settings.load(store)
    bad = (
        ({m.CONFIG_REPORT_S: 0}, m.OUT_OF_RANGE),
        ({m.CONFIG_REPORT_S: b"60"}, m.OUT_OF_RANGE),
        ({m.CONFIG_PROFILE: b""}, m.OUT_OF_RANGE),
        ({m.CONFIG_PROFILE: b"\x00\x00"}, m.OUT_OF_RANGE),
        ({m.CONFIG_PROFILE: 5}, m.OUT_OF_RANGE),
        ({m.CONFIG_PROFILE: PROFILE_BYTES + b"\x00\x00\x05"}, m.OUT_OF_RANGE),
        ({m.CONFIG_PROFILE: b"\x00\x00\x65"}, m.OUT_OF_RANGE),
        ({m.CONFIG_REPORT_S: 60, 77: 1}, m.UNSUPPORTED),
        ({m.CONFIG_NIGHT_CDEG: -1201}, m.OUT_OF_RANGE),
        ({m.CONFIG_NIGHT_CDEG: b"low"}, m.OUT_OF_RANGE),
        ({m.CONFIG_DUSK_MIN: 721, m.CONFIG_REPORT_S: 60}, m.OUT_OF_RANGE),
        ({m.CONFIG_DAWN_MIN: b""}, m.OUT_OF_RANGE),
        ({m.CONFIG_MOTION_PCT: 101}, m.OUT_OF_RANGE),
        ({m.CONFIG_CLO: 5}, m.OUT_OF_RANGE),
        ({m.CONFIG_CLO: b"\x00\x00\x00\x1d"}, m.OUT_OF_RANGE),
        ({m.CONFIG_CLO: b"\x00\x00\x00\x50\x00"}, m.OUT_OF_RANGE),
        ({m.CONFIG_MOTION_S: 1 << 40}, m.OUT_OF_RANGE),
    )
    for values, code in bad:
        assert settings.configure(store, wanted, 1, values) == code, values
        assert store.get("config") is None and wanted.report_s == 900
    assert settings.configure(store, wanted, 2, {m.CONFIG_REPORT_S: 60}) == m.OK
    assert settings.configure(store, wanted, 2, {m.CONFIG_REPORT_S: 70}) == m.OK  # a repeat
    assert settings.configure(store, wanted, 1, {m.CONFIG_REPORT_S: 70}) == m.REPLAYED
    assert wanted.report_s == settings.load(store).report_s == 60


def test_the_last_good_config_outlives_a_damaged_one() -> None:
    store = stored(GOOD)
    wanted = settings.load(store)
    for version in (1, 2):
        assert settings.configure(store, wanted, version, {m.CONFIG_REPORT_S: 60 * version}) == m.OK
    for blob in (b"", b"\x00" * 9, store.blobs["config"][:-1] + b"?"):
        store.set("config", blob)
        loaded = settings.load(store)
        assert (loaded.config_version, loaded.report_s) == (1, 60)
    nvs.set_checked(store, "config", b'{"version": 0}')
    nvs.set_checked(store, "config_was", b"[1")
    assert settings.load(store).config_version == 0


class Full(Blobs):
    """Takes nothing any more."""

    def set(self, name: str, blob: bytes) -> None:
        raise OSError(28)


def test_a_config_that_flash_refuses_is_not_taken() -> None:
    store = Full()
    store.blobs = stored(GOOD).blobs
    wanted = settings.load(store)
    assert settings.configure(store, wanted, 1, {m.CONFIG_REPORT_S: 60}) == m.FAILED
    assert (wanted.config_version, wanted.report_s) == (0, 900)


def test_damaged_settings_fall_back_to_the_last_good_ones_and_heal() -> None:
    store = stored(GOOD)
    assert settings.load(store).restored == ""
    boots.keep_good(store, settings.load(store))
    for bad in (b"", b"\x00" * 9, store.blobs["settings"][:-1] + b"?"):
        store.set("settings", bad)
        loaded = settings.load(store)
        assert (loaded.restored, loaded.node_id) == ("settings", "sl-0001")
    boots.keep_good(store, loaded)
    assert settings.load(store).restored == ""
    nvs.set_checked(store, "settings", json.dumps(changed(baud=12)).encode())
    assert settings.load(store).restored == "settings"
    store.set("settings_was", b"")
    assert refusal(store) == "baud"  # of the newest, which is the one to mend


def test_a_restored_config_says_so() -> None:
    store = stored(GOOD)
    wanted = settings.load(store)
    for version in (1, 2):
        assert settings.configure(store, wanted, version, {m.CONFIG_REPORT_S: 60 * version}) == m.OK
    store.set("config", b"?" * 20)
    loaded = settings.load(store)
    assert (loaded.restored, loaded.config_version) == ("config", 1)
    assert settings.configure(store, loaded, 3, {m.CONFIG_REPORT_S: 90}) == m.OK
    store.set("config", b"?" * 20)
    assert settings.load(store).config_version == 1  # the damaged one became nobody's last good one


def test_pins_and_build_are_the_boards_unless_given() -> None:
    loaded = settings.load(stored({"node_id": "n", "asset": "streetlight"}))
    assert (loaded.uart, loaded.tx, loaded.rx, loaded.de) == (None, None, None, None)
    assert loaded.build == "release"
    loaded = settings.load(stored(changed(uart=2, tx=17, rx=0, de=4, build="debug")))
    assert (loaded.uart, loaded.tx, loaded.rx, loaded.de) == (2, 17, 0, 4)
    assert loaded.build == "debug"
    for bad in ({"tx": -1}, {"rx": "x"}, {"de": 55}, {"build": "fast"}, {"uart": 1.5}):
        assert refusal(changed(**bad)) == next(iter(bad))


def test_failed_boots_are_counted_until_one_goes_well() -> None:
    store = Blobs()
    assert boots.failed_boots(store) == 0
    first = boots.next_boot_id(store, bytes, 1)
    assert boots.failed_boots(store) == 1
    assert boots.next_boot_id(store, bytes, boots.failed_boots(store) + 1) == first + 1
    assert boots.failed_boots(store) == 2
    boots.boot_went_well(store)
    assert boots.failed_boots(store) == 0
    assert boots.next_boot_id(store, bytes, 1) == first + 2
    boots.next_boot_id(store, bytes, 9999)
    assert boots.failed_boots(store) == 255
    assert boots.next_boot_id(Full(), lambda count: b"\x07" * count) == 0x07070707
