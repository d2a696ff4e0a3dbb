// Holds the decoder against protocol/vectors, or the folder that KERBWIRE_VECTORS names.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as wire from "./kerbwire.mjs";

const folder = process.env.KERBWIRE_VECTORS ?? fileURLToPath(new URL("../vectors", import.meta.url));
const hex = (text) => Buffer.from(text, "hex");

/** A file of vectors; integers that a double can't hold come as text. */
function vectors(name) {
  const text = readFileSync(`${folder}/${name}.json`, "utf8");
  return JSON.parse(text.replace(/([[,:]\s*)(-?\d{16,})(?=\s*[\],}])/g, '$1"$2"'));
}

const SCHEMAS = vectors("schemas").schemas.map((one) => wire.makeSchema(one.name, one.version, one.fields));
const { given } = vectors("keys");
const KEYS = wire.sessionKeys(hex(given.key), hex(given.node_id), hex(given.node_nonce), hex(given.gateway_nonce));
const GREETING = { generation: given.generation, key: hex(given.key), nonce: hex(given.node_nonce) };

const code = (wanted) => (fault) => {
  assert.ok(fault instanceof wire.Fault, fault.stack);
  assert.equal(fault.code, wanted, fault.stack);
  return true;
};
const record = ([rseq, boot, uptime, values]) => ({ rseq, boot, uptime, values: values.map(BigInt) });
/** A gateway learns the schema from INFO; a node has its own. */
const receiver = (own) =>
  new wire.Receiver({ own, generation: given.generation, keys: KEYS, schemas: SCHEMAS, schema: own === wire.UP ? SCHEMAS[0] : null });

test("COBS", () => {
  const { good, malformed } = vectors("cobs");
  for (const { frame, stream } of good) {
    assert.deepEqual(wire.cobsEncode(hex(frame)), hex(stream));
    assert.deepEqual(new wire.StreamReader().push(hex(stream)), [hex(frame)]);
  }
  for (const { stream, error } of malformed) {
    const reader = new wire.StreamReader();
    const [fault] = reader.push(hex(stream));
    code(error)(fault);
    assert.deepEqual(reader.push(hex(good[0].stream)), [hex(good[0].frame)]);
  }
});

test("CBOR", () => {
  const { good, malformed } = vectors("cbor");
  for (const one of good) {
    const item = "integer" in one ? BigInt(one.integer) : hex(one.bytes);
    assert.deepEqual(wire.cborDecode(hex(one.cbor)), [item]);
    assert.deepEqual(wire.cborEncode(item), hex(one.cbor));
  }
  for (const one of malformed) assert.throws(() => wire.cborDecode(hex(one.cbor)), code("cbor"), one.cbor);
});

test("crypto", () => {
  const { ccm, hmac, hkdf } = vectors("crypto");
  for (const { name, key, nonce, aad, plain, sealed } of ccm) {
    assert.deepEqual(wire.ccmSeal(hex(key), hex(nonce), hex(aad), hex(plain)), hex(sealed), name);
    assert.deepEqual(wire.ccmOpen(hex(key), hex(nonce), hex(aad), hex(sealed)), hex(plain), name);
  }
  for (const { key, message, mac } of hmac) assert.deepEqual(wire.hmac(hex(key), hex(message)), hex(mac));
  for (const one of hkdf) assert.deepEqual(wire.hkdf(hex(one.salt), hex(one.secret), hex(one.info), one.length), hex(one.okm));
});

test("keys", () => {
  const keys = vectors("keys");
  assert.deepEqual(wire.ratchet(hex(keys.ratchet.key)), hex(keys.ratchet.next));
  assert.deepEqual(KEYS, { keys: [hex(keys.up_key), hex(keys.down_key)], iv: hex(keys.common_iv) });
  for (const one of keys.nonces) assert.deepEqual(wire.frameNonce(KEYS.iv, one.direction, one.fseq), hex(one.nonce));
});

test("schemas", () => {
  for (const [i, one] of vectors("schemas").schemas.entries()) assert.equal(SCHEMAS[i].hash.toString("hex"), one.hash);
});

for (const one of vectors("batch").batches) {
  test(`batch: ${one.name}`, () => {
    const base = one.base && record(one.base);
    const session = {
      schema: SCHEMAS.find((schema) => schema.name === one.schema) ?? wire.makeSchema(one.schema, 2, one.fields),
      schemas: SCHEMAS,
      boot: given.boot_id,
      period: one.period_s,
      findRecord: (rseq) => (base?.rseq === rseq ? base : undefined),
    };
    assert.deepEqual(wire.decodeBatch(hex(one.packed), session).records, one.records.map(record));
  });
}

/** Every frame of one exchange, in order: both ends open what is for them, and say what it was. */
function exchange(frames) {
  const ends = [receiver(wire.DOWN), receiver(wire.UP)];
  const opened = {};
  for (const { name, frame, stream } of frames) {
    const data = hex(frame);
    assert.deepEqual(wire.cobsEncode(data), hex(stream), name);
    assert.deepEqual(new wire.StreamReader().push(hex(stream)), [data], name);
    opened[name] = outcome(() => {
      if ((data[0] & 3) !== 3) return ends[(data[0] >> 5) & 1].open(data);
      if (name === "HELLO") return wire.verifyHello(data, { ...GREETING, nodeId: hex(given.node_id) });
      return wire.verifyWelcome(data, GREETING);
    });
  }
  return opened;
}

/** What it gives, or the code of its fault. */
function outcome(what) {
  try {
    return what();
  } catch (fault) {
    if (fault instanceof wire.Fault) return fault.code;
    throw fault;
  }
}

const poll = (seen, seenSpans, kept, keptSpans, credit = 1n) => ({ seen, kept, credit, seenSpans, keptSpans });

for (const kind of ["stream", "datagram"]) {
  test(`exchange: ${kind}`, () => {
    const got = exchange(vectors("exchange")[kind]);
    const datagram = kind === "datagram";
    assert.deepEqual(got.HELLO.nonce, GREETING.nonce);
    assert.deepEqual(got.WELCOME.nonce, hex(given.gateway_nonce));
    assert.equal(got.WELCOME.address, datagram ? 7 : 0);
    assert.equal(got.INFO.address, datagram ? 7 : null);
    const { boot_id, epoch, first_rseq, next_rseq, uptime_s, period_s, firmware, config_version } = given;
    const info = [3, SCHEMAS[0].hash, boot_id, epoch, first_rseq, next_rseq, uptime_s, period_s, firmware, given.command_id, config_version, hex(given.build)];
    assert.deepEqual(got.INFO.items, info);
    for (const name of ["keyframe", "delta", "backfill"]) {
      assert.deepEqual(got[`REPORT ${name}`].records, [record(given[name])], name);
    }
    assert.equal(got["REPORT base unknown"], "base");
    assert.equal(got["a type of the future"], "type");
    assert.deepEqual(got.EVENT.items, [...given.event.slice(0, 3), ...given.event[3].map(BigInt)]);
    assert.deepEqual(got.GAP.items, given.gap);
    assert.deepEqual(got.RESULT.items, [5, 0, 80n]);
    assert.deepEqual(got.CMD.items, given.command.flat().map((item, i) => (i ? BigInt(item) : item)));
    const offer = { fseq: 0, hold: 0n, utc: given.utc_ms, uncertainty: BigInt(given.uncertainty_ms) };
    assert.deepEqual(got["POLL with time"].poll, { ...poll(0, [], 0, []), offer });
    // The vectors state no values for these two: what was sent before them is their sense.
    assert.deepEqual(got["POLL seen"].poll, poll(0, [[3, 3]], 0, []));
    assert.deepEqual(got["POLL kept"].poll, poll(1, [[3, 5]], 1, [[3, 3]]));
  });
}

test("bus", () => {
  const got = exchange(vectors("bus").frames);
  assert.deepEqual(got["HELLO? by name"].items, [0, hex(given.node_id)]);
  assert.equal(got["WELCOME by name"].address, 7);
  assert.deepEqual(got["POLL for none"].poll, poll(0, [], 0, [], 0n));
  assert.deepEqual(got["POLL short"].poll, { credit: 1n });
  assert.deepEqual(got["POLL for four"].poll, poll(0, [[3, 3]], 0, [], 4n));
  assert.equal(got.IDLE.name, "IDLE");
  assert.deepEqual(got["HELLO? by name, and later items"].items.slice(0, 2), [0, hex(given.node_id)]);
  assert.deepEqual(got["DISCOVER, and later items"].items.slice(0, 4), [0, 64, 32, 6]);
  assert.deepEqual(got["CALL of all"].items, [1, 247]);
  assert.deepEqual(got["CALL, and later items"].items.slice(0, 2), [7, 7]);
  assert.equal(got["EVENT for a CALL"].name, "EVENT");
});

test("spans: the example of section 5", () => {
  const items = [10, 0, 1, 2, 14, 5, 4, 2, 0].map(BigInt);
  assert.deepEqual(wire.decodePoll(items).seenSpans, [[15, 16], [20, 24]]);
});

/** The spans of a set, its cumulative number's first. */
const spansOf = (cumulative, spans) => (cumulative ? [[1, cumulative], ...spans] : spans);

for (const { name, to, frames } of vectors("received").ends) {
  test(`received: ${name}`, () => {
    const end = receiver(to === "gateway" ? wire.DOWN : wire.UP);
    for (const one of frames) {
      const got = outcome(() => end.open(hex(one.frame)));
      const about = `${one.name}: ${got}`;
      if (one.error) assert.equal(got, one.error, about);
      else assert.equal(got.number, one.number, about);
      if (one.records?.length && got.records) assert.deepEqual(got.records, one.records.map(record), about);
      else if (one.records) assert.deepEqual(got.items.slice(0, 3), one.records[0].slice(0, 3), about);
      if (one.gap) assert.deepEqual(got.items, one.gap, about);
      if (one.seen) assert.deepEqual(spansOf(got.poll.seen, got.poll.seenSpans), one.seen, about);
      if (one.kept) assert.deepEqual(spansOf(got.poll.kept, got.poll.keptSpans), one.kept, about);
      if (got.poll) assert.deepEqual(got.poll.offer && Object.values(got.poll.offer).map(Number), one.offer ?? undefined, about);
    }
  });
}

for (const { to, state, name, frame, error } of vectors("malformed").frames) {
  test(`malformed: to a ${to}, ${state}: ${name}`, () => {
    assert.throws(() => meet(to, state, hex(frame)), code(error));
  });
}

const stream = new Map(vectors("exchange").stream.map((one) => [one.name, hex(one.frame)]));

function meet(to, state, frame) {
  const end = receiver(to === "gateway" ? wire.DOWN : wire.UP);
  if (state === "up") end.open(stream.get(to === "gateway" ? "INFO" : "POLL with time"));
  const plain = frame[0] >> 6 === 1 && (frame[0] & 3) === 3;
  if (!plain) return end.open(frame);
  if (to === "node") return wire.verifyWelcome(frame, GREETING);
  return wire.verifyHello(frame, { nodeId: hex(given.node_id), generation: given.generation + 1, key: wire.ratchet(hex(given.key)) });
}
