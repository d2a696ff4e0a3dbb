"""Every bound of the protocol, by name; `protocol/wire.md` says in "Limits" why it is so."""

# How frames travel.
STREAM = 0  # COBS on a byte stream (UART, USB serial, TCP)
DATAGRAM = 1  # one frame is one datagram (UDP)
BUS = 2  # COBS on a line with many nodes, of which one speaks when it is asked (RS-485)

# Frames.
FRAME_BYTES = 254  # one COBS block: no frame is longer
TAG_BYTES = 8
NONCE_BYTES = 8  # the nonces of HELLO and WELCOME
BODY_BYTES = 242  # a frame less the longest header and the tag
MAC_BYTES = 8  # the truncated HMAC that ends HELLO and WELCOME
NODE_ID_BYTES = 16
KEY_BYTES = 16
SCHEMA_HASH_BYTES = 8

# CBOR of a body.
CBOR_ITEMS = 64
VALUES = 32  # numbers of one record
SPANS_IN_POLL = 4  # ranges of each acknowledgement
COMMAND_ARGS = 8
CONFIG_KEYS = 16

# Sessions.
REPLAY_WINDOW = 32
SESSION_FRAMES = 1 << 24
SESSION_MS = 7 * 86_400_000
FAILED_TAGS = 1 << 16  # then a new session
RATCHET_STEPS = 1000  # generations that a HELLO may be ahead ...
RATCHET_FREE_STEPS = 8  # ... of which so many are taken at any time
RATCHET_GAP_MS = 60_000  # ... and more once in that time: nothing is proven before them
HELLOS_ON_REQUEST = 3  # answers to a plain HELLO? ...
HELLO_REQUEST_MS = 10_000  # ... in any such time
HELLO_REQUEST_GAP_MS = 1000  # a gateway asks one peer at most once in that time

# Exchange.
UNACKED_FRAMES = 4
LOST_IN_ROW = 4  # then one frame a back-off step
TRIES = 5  # a control frame: once and four times more
BACKOFF_MIN_MS = 1000
BACKOFF_MAX_MS = 300_000
RTO_MIN_MS = 40  # RFC 6298 with a floor for a local link
RTO_START_MS = 500
RTO_MAX_MS = 10_000
ACK_DELAY_MS = 10  # a gateway gathers what it has seen for that long
IDLE_MS = 20_000  # a silent node says IDLE
SILENCE_MS = 65_000  # no valid frame for that long: the peer is gone
OFFER_MS = 60_000  # time between two time offers
BASE_REACH = 255  # a delta's base is at most so far below the newest record sent
DELTA_REACH = 4096  # and a record at most so far above its base
GATEWAY_BASES = 64  # records that a gateway keeps to decode deltas against
ACK_SPANS = 64  # spans of record numbers that a node remembers; it asks again for what it forgot
BATCH_RECORDS = 48  # of one BATCH
BATCH_BASES = 16  # last records of batches that a gateway keeps to decode batches against
HELD_SPANS = 1024  # and a gateway for each node
DEFERRED_COMMANDS = 8  # commands under way to one node
COPY_MS = 15  # what is urgent goes again after that time, as a datagram ...
COPIES = 16  # ... so often, until it is answered

# Objects.
OBJECTS = 2  # under way at a time, each way
OBJECT_BYTES = 1 << 24
OBJECT_HASH_BYTES = 16  # of its SHA-256, at least
BLOCK_BYTES = 224  # with header, heads and tag within a frame
WANTED_BLOCKS = 64  # bits of a WANT
SCHEMAS = 4  # that a gateway learns from one node
SCHEMA_BYTES = 2048  # of one schema's encoding
SCHEMA_NAME_BYTES = 32  # of a field's name

# Updates.
BUILD_BYTES = 8  # of a manifest's SHA-256: names the build
MANIFEST_BYTES = 8192
MANIFEST_NAME_BYTES = 48  # of a file's name
ROOT_BYTES = 52  # an HSS public key of one level

# A polled bus.
BUS_NODES = 247
BUS_ALL = 255  # the address of plain frames for all
POLL_CREDIT = 4  # frames in one window, at most
WINDOW_MS = 20  # a node answers within that time or not at all
ANSWER_MS = 25  # a gateway waits for the next byte of an answer
RELEASE_MS = 2  # after an answer: the node lets go of the line
REPOLLS = 2  # at once, where no answer comes
MISSED_TURNS = 2  # then a node is dead ...
PROBE_MIN_MS = 1000  # ... and asked after that time, doubling ...
PROBE_MAX_MS = 30_000  # ... up to that
TURN_MS = 100  # between two turns of a node that has nothing more to say
CALL_MS = 10  # after a CALL: who has an event to tell has begun by then
CALL_PAUSE_MS = 5  # between two of them at least: a turn
RUSHES = 3  # frames of an urgent command that go at once
KEYING_MS = 50  # from WELCOME until INFO is asked for
BABBLE_BYTES = 256  # outside any window: then a node babbles
BABBLE_MS = 60_000  # and is told of once in that time

# Discovery on a bus.
UNHEARD_MS = 60_000  # without a valid frame: a node looks for its gateway
DISCOVER_WINDOW = 4096  # slots of a window
DISCOVER_SLOTS = 32  # of them after one DISCOVER
DISCOVER_PAUSE_MS = 10_000  # after a search that found nobody
SLOT_LEAD_MS = 20  # from DISCOVER to the first slot: HELLO needs its MAC
SLOT_GUARD_MS = 2  # in a slot beside the longest HELLO
SLOT_LATE_MS = 1  # by which a node may begin late
ENROL_MS = 900_000  # the longest enrolment window

# Enrolment.
CLAIM_BYTES = 200  # the sealed claim that a node carries
STRANGERS = 32  # on a bus, whom a gateway asks for their claims at a time
