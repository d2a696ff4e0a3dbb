"""The messages of layer 3: their numbers, their classes, and the codes that travel in them.

A body is the type, a one-byte integer, then positional items; `protocol/messages.cddl` is the
normative list. What they do is the business of `handshake`, `uplink`, `intake`,
`orders` and `objects`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbwire.fields import Schema

# Frame classes (header bits 1..0).
CLASS_REPORT = 0
CLASS_CONTROL = 1
CLASS_OBJECT = 2
CLASS_PLAIN = 3

# Types. 0..23 so that each is one CBOR byte. Numbers in brackets are kept for kerbwire 1.0.
HELLO = 0
WELCOME = 1
HELLO_REQUEST = 2  # "HELLO?": a gateway that meets an unknown session asks for a new one
INFO = 3
REPORT = 4
EVENT = 5
GAP = 6
POLL = 7
COMMAND = 8
RESULT = 9
IDLE = 10
NEED_KEYFRAME = 11
BATCH = 12
DIAG = 13
CONFIG = 14
OFFER = 15
WANT = 16
BLOCK = 17
DISCOVER = 18
CLAIM = 19  # the sealed claim of a field tool, in answer to a HELLO? that permits it
ANCHOR = 21  # a record of its own kind: which uptime was which UTC
CALL = 22  # "who has an event to tell?", on a bus
# 20 is none

BACKFILL = 32  # no type on the wire: a REPORT sent later, whole, never a base for deltas

CLASS_OF = {  # all others that are sealed: control
    REPORT: CLASS_REPORT,
    EVENT: CLASS_REPORT,
    ANCHOR: CLASS_REPORT,
    OFFER: CLASS_OBJECT,
    BATCH: CLASS_REPORT,
    WANT: CLASS_OBJECT,
    BLOCK: CLASS_OBJECT,
}

# Kinds of objects.
OBJECT_SCHEMA = 1
OBJECT_UPDATE = 2  # a signed manifest
OBJECT_LOG = 3
OBJECT_PARTS = 4  # what a node lacks of a manifest's objects
OBJECT_IMAGE = 5  # a whole MicroPython image

# Operations of a CMD. What is not idempotent runs once, however often it comes.
OP_SET_LEVEL = 1  # level_pct 0..100, hold_s (0: until the next scheduled change), fade_ms
OP_RELEASE = 2  # back to the schedule
OP_IDENTIFY = 3  # seconds
OP_REBOOT = 4
OP_SERVICE = 5  # seconds that the console is open, 0 closes it
OP_ACTIVATE = 6  # boot what is staged
OP_ROLLBACK = 7  # back to the other slot

OP_NAMES = {
    OP_SET_LEVEL: "set_level",
    OP_RELEASE: "release",
    OP_IDENTIFY: "identify",
    OP_REBOOT: "reboot",
    OP_SERVICE: "service",
    OP_ACTIVATE: "activate",
    OP_ROLLBACK: "rollback",
}
IDEMPOTENT_OPS = (OP_SET_LEVEL, OP_RELEASE, OP_IDENTIFY)

# Codes of a RESULT.
OK = 0
NO_TIME = 1
EXPIRED = 2
REPLAYED = 3
UNSUPPORTED = 4
OUT_OF_RANGE = 5
FAILED = 6

RESULT_NAMES = {
    OK: "ok",
    NO_TIME: "no_time",
    EXPIRED: "expired",
    REPLAYED: "replayed",
    UNSUPPORTED: "unsupported",
    OUT_OF_RANGE: "out_of_range",
    FAILED: "failed",
}

ANCHOR_ZERO_S = 946_684_800  # 2000-01-01 UTC: an anchor's seconds count from there

# Keys of a CONFIG.
CONFIG_REPORT_S = 1  # seconds between reports
CONFIG_PROFILE = 2  # bytes: of each step 2 of minutes from the night's middle + 720, 1 of percent
CONFIG_NIGHT_CDEG = 3  # the sun's height at dusk and dawn, in 1/100 degree
CONFIG_DUSK_MIN = 4  # so many minutes later than that dusk, and dawn
CONFIG_DAWN_MIN = 5
CONFIG_MOTION_PCT = 6  # the level that a lamp's own motion sensor asks for ...
CONFIG_MOTION_S = 7  # ... until so long after the last motion
CONFIG_CLO = 8  # bytes: constant light output, of each step 3 of lamp hours, 1 of percent

# Keys of a DIAG: counts since boot, unless said otherwise.
DIAG_FREE_BYTES = 1  # of heap, now
DIAG_FLASH_FAULTS = 2  # failed writes of the log
DIAG_WAITING = 3  # records that are not kept by the gateway, now
DIAG_FRAME_FAULTS = 4  # frames refused
DIAG_SILENCES = 5  # of the gateway
DIAG_BUILD = 6  # bytes: the commit that the firmware was made from, its first 4
DIAG_BOARD = 7  # bytes: the board's name
DIAG_WIRE = 8  # the message set
DIAG_FAILED_BOOTS = 9  # in a row, before this one
DIAG_FLASH_ERASES = 10  # for the log

DIAG_NAMES = {
    DIAG_FREE_BYTES: "free_bytes",
    DIAG_FLASH_FAULTS: "flash_faults",
    DIAG_WAITING: "waiting",
    DIAG_FRAME_FAULTS: "frame_faults",
    DIAG_SILENCES: "silences",
    DIAG_BUILD: "build",
    DIAG_BOARD: "board",
    DIAG_WIRE: "wire",
    DIAG_FAILED_BOOTS: "failed_boots",
    DIAG_FLASH_ERASES: "flash_erases",
}

# Codes of an EVENT.
EV_BOOT = 1  # value: reset cause
EV_MOTION = 2
EV_MOTION_CLEAR = 3
EV_LAMP_FAILURE = 4
EV_CONTINUOUS_FLOW = 5  # value: hours
EV_BURST = 6  # value: litres an hour
EV_TAMPER = 7
EV_SENSOR_FAULT = 8
EV_CLOCK_JUMP = 9  # value: seconds
EV_SAFE_MODE = 10  # value: boots that failed in a row
EV_LAMP_CYCLING = 11  # value: how often it went out by itself
EV_DAY_BURNER = 12  # value: 0.1 W
EV_LAMP_RESTORED = 13  # value: 0.1 W
EV_BACKFLOW = 20  # value: litres
EV_BATTERY_LOW = 21  # value: mV
EV_FAN_FAILURE = 30  # value: 1 no air comes through, 2 its speed is wrong, 0 mended
EV_SENSOR_STUCK = 31  # value: bits as in `status`, 0: it moves again
EV_SERVICE = 40  # value: seconds that the console is open, 0: closed
EV_SETTINGS = 41  # a last good copy is in use; value: 1 the node's own settings, 2 CONFIG
EV_BROWN_OUT = 42  # the supply sagged: why the node started
EV_UPDATE = 43  # value: what became of an update, as below

EVENT_NAMES = {
    EV_BOOT: "boot",
    EV_MOTION: "motion",
    EV_MOTION_CLEAR: "motion_clear",
    EV_LAMP_FAILURE: "lamp_failure",
    EV_CONTINUOUS_FLOW: "continuous_flow",
    EV_BURST: "burst",
    EV_TAMPER: "tamper",
    EV_SENSOR_FAULT: "sensor_fault",
    EV_CLOCK_JUMP: "clock_jump",
    EV_SAFE_MODE: "safe_mode",
    EV_LAMP_CYCLING: "lamp_cycling",
    EV_DAY_BURNER: "day_burner",
    EV_LAMP_RESTORED: "lamp_restored",
    EV_BACKFLOW: "backflow",
    EV_BATTERY_LOW: "battery_low",
    EV_FAN_FAILURE: "fan_failure",
    EV_SENSOR_STUCK: "sensor_stuck",
    EV_SERVICE: "service_access",
    EV_SETTINGS: "settings_restored",
    EV_BROWN_OUT: "brown_out",
    EV_UPDATE: "update",
}

# What became of an update: below 10 a step of it, from there why the node refuses it.
UPDATE_CONFIRMED = 0
UPDATE_STAGED = 1  # all of it is there: it may be activated
UPDATE_TAKEN = 2  # the manifest is; parts are wanted
UPDATE_BOOTS_FAILED = 3  # the node is back at what it ran before, as in the next two
UPDATE_NO_ACK = 4  # within 120 s awake
UPDATE_ORDERED_BACK = 5
UPDATE_IMAGE = 6  # all else is there: the MicroPython image is wanted
UPDATE_SIGNATURE = 10
UPDATE_BOARD = 11  # of another class
UPDATE_SEQUENCE = 12  # not above what runs
UPDATE_EXPIRED = 13
UPDATE_MALFORMED = 14
UPDATE_PARTS = 15  # made against objects that are not here: send them whole
UPDATE_NO_ROOM = 16  # above UPDATE_BITS stands how many KiB are lacking
UPDATE_NO_ROOT = 17  # the node has no release key
UPDATE_FLASH = 18
UPDATE_DAMAGED = 19  # an object is not what its name says
UPDATE_NO_OTA = 20  # it needs another image, and the board has no second place for one
UPDATE_MEMORY = 21  # the heap has no room for it
UPDATE_CUT = 22  # the node restarted while it judged or applied it

UPDATE_BITS = 8  # of a value, which names it
UPDATE_NAMES = {
    UPDATE_CONFIRMED: "confirmed",
    UPDATE_STAGED: "staged",
    UPDATE_TAKEN: "taken",
    UPDATE_BOOTS_FAILED: "boots_failed",
    UPDATE_NO_ACK: "no_ack",
    UPDATE_ORDERED_BACK: "ordered_back",
    UPDATE_IMAGE: "image",
    UPDATE_SIGNATURE: "signature",
    UPDATE_BOARD: "board",
    UPDATE_SEQUENCE: "sequence",
    UPDATE_EXPIRED: "expired",
    UPDATE_MALFORMED: "malformed",
    UPDATE_PARTS: "parts",
    UPDATE_NO_ROOM: "no_room",
    UPDATE_NO_ROOT: "no_root",
    UPDATE_FLASH: "flash",
    UPDATE_DAMAGED: "damaged",
    UPDATE_NO_OTA: "no_ota",
    UPDATE_MEMORY: "memory",
    UPDATE_CUT: "cut",
}

# Reasons of a GAP.
GAP_POWER = 1
GAP_FULL = 2
GAP_LOG_LOST = 3
GAP_FLASH_FAULT = 4

GAP_NAMES = {
    GAP_POWER: "power",
    GAP_FULL: "full",
    GAP_LOG_LOST: "log_lost",
    GAP_FLASH_FAULT: "flash_fault",
}

# The message set. A newer one only adds types and trailing items, and a gateway speaks so many
# older ones: a type that a node can't know is never sent to it. Since 2: CALL.
# Since 3: the build in INFO, updates, CLAIM.
MESSAGES_VERSION = 3
OLDER_VERSIONS = 3


def spoken(version: int, newest: int = MESSAGES_VERSION) -> bool:
    """Does a gateway whose own set is `newest` speak a node's message set?"""
    return version >= max(1, newest - OLDER_VERSIONS)


class Info:
    """What INFO says of a node: who runs there and which records it still holds.

    `first_rseq` is the oldest record held, `next_rseq` the number that the next one gets;
    `command_id` the highest executed command; `uptime_s` the age of this boot at sending;
    `period_s` the usual distance of two reports, which deltas leave out: it stays what it is
    for as long as the session's engine lives; `build` names the manifest that runs, b"" for none.
    """

    __slots__ = (
        "boot_id",
        "build",
        "command_id",
        "config_version",
        "epoch",
        "firmware",
        "first_rseq",
        "messages_version",
        "next_rseq",
        "period_s",
        "schema",
        "schema_hash",
        "uptime_s",
    )

    def __init__(self, schema_hash: bytes, boot_id: int, epoch: int, firmware: int):
        self.schema_hash = schema_hash
        self.schema: Schema | None = None  # where it is the node's own, of no version
        self.boot_id = boot_id
        self.epoch = epoch
        self.build = b""
        self.firmware = firmware  # major << 16 | minor << 8 | patch
        self.first_rseq = 1
        self.next_rseq = 1
        self.command_id = 0
        self.config_version = 0
        self.uptime_s = 0
        self.period_s = 0
        self.messages_version = MESSAGES_VERSION
