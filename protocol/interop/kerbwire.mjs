// A decoder of kerbwire, written from protocol/wire.md and messages.cddl alone. It shares nothing
// with any other implementation. It opens frames, both ways, and decodes REPORT, BATCH and POLL to
// their meaning and all other messages to their checked items. Comments name sections of wire.md.
//
// Times, numbers of records and counts are Numbers (all below 2^53), values of records are BigInts.

import { createCipheriv, createDecipheriv, createHash, createHmac, timingSafeEqual } from "node:crypto";

export class Fault extends Error {
  /** What section 10 calls a code: `short`, `tag`, `value`, ... */
  constructor(code, detail = "") {
    super(detail ? `${code}: ${detail}` : code);
    this.code = code;
  }
}

const check = (right, code, detail) => {
  if (!right) throw new Fault(code, detail);
};

export const UP = 0;
export const DOWN = 1;
const FRAME_BYTES = 254;
const TAG_BYTES = 8;
const MAC_BYTES = 8;
const CBOR_ITEMS = 64;
const REPLAY_WINDOW = 32;
const RATCHET_STEPS = 1000;
const SPANS_IN_POLL = 4;
const BATCH_RECORDS = 48;
const DELTA_REACH = 4096;
const BASE_REACH = 255;

const UINT32 = 2 ** 32 - 1;
const RSEQ = 2 ** 40 - 1;
const UINT64 = 2n ** 64n - 1n;
const VALUE = 2n ** 62n - 1n;

const bytes = (...parts) => Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.of(part) : part)));

// ---------------------------------------------------------------- section 1: frames on a line

/** One frame as it stands on a stream, with its zero. */
export function cobsEncode(frame) {
  check(frame.length <= FRAME_BYTES, "long");
  const out = [];
  let run = [];
  for (const byte of [...frame, 0]) {
    if (byte === 0) {
      out.push(run.length + 1, ...run);
      run = [];
    } else run.push(byte);
  }
  return Buffer.from([...out, 0]);
}

/** The frame in the bytes before a zero. */
export function cobsDecode(line) {
  check(line.length <= FRAME_BYTES + 1, "long");
  const out = [];
  for (let at = 0; at < line.length; ) {
    const next = at + line[at];
    check(line[at] !== 0 && next <= line.length, "cobs");
    out.push(...line.subarray(at + 1, next));
    if (next < line.length) out.push(0); // a run of 254 fills the longest line: none is behind it
    at = next;
  }
  return Buffer.from(out);
}

/** Cuts a stream into frames; what is no frame comes out as a Fault. */
export class StreamReader {
  #line = [];
  #long = false;

  push(chunk) {
    const out = [];
    for (const byte of chunk) {
      if (byte !== 0) {
        if (this.#line.length > FRAME_BYTES) this.#long = true;
        else this.#line.push(byte);
        continue;
      }
      try {
        check(!this.#long, "long");
        if (this.#line.length) out.push(cobsDecode(Buffer.from(this.#line)));
      } catch (fault) {
        out.push(fault);
      }
      this.#line = [];
      this.#long = false;
    }
    return out;
  }
}

/** The header of a frame: who speaks, in which class, and where the rest begins. */
export function parseHeader(frame, own) {
  check(frame.length >= 2, "short");
  check(frame.length <= FRAME_BYTES, "long");
  const b0 = frame[0];
  check(b0 >> 6 === 1, "layout");
  const direction = (b0 >> 5) & 1;
  check(direction !== own, "direction");
  const addressed = (b0 >> 4) & 1;
  const header = { direction, parity: (b0 >> 3) & 1, class: b0 & 3, address: addressed ? frame[1] : null };
  const width = header.class === 3 ? 0 : 1 + ((b0 >> 2) & 1);
  header.size = 1 + addressed + width;
  check(frame.length >= header.size + (width ? TAG_BYTES : 1), "short");
  header.fseqBits = 8 * width;
  header.fseq = width ? frame.readUIntBE(header.size - width, width) : null;
  header.bytes = frame.subarray(0, header.size);
  return header;
}

/** Which numbers came, and which one a few low bits mean. Section 1. */
export class ReplayWindow {
  highest = -1;
  #seen = new Set();

  number(fseq, bits) {
    const modulus = 2 ** bits;
    const middle = this.highest + 1;
    const past = (((fseq - middle) % modulus) + modulus) % modulus;
    const number = middle + (past > modulus / 2 ? past - modulus : past);
    check(number >= 0 && number > this.highest - REPLAY_WINDOW && !this.#seen.has(number), "replay");
    return number;
  }

  mark(number) {
    this.#seen.add(number);
    this.highest = Math.max(this.highest, number);
    for (const old of this.#seen) if (old <= this.highest - REPLAY_WINDOW) this.#seen.delete(old);
  }
}

// ---------------------------------------------------------------- section 1: CBOR items

/** One item at `at`: [item, position behind it]. Integers are BigInts. */
function cborItem(data, at) {
  const major = data[at] >> 5;
  const low = data[at] & 31;
  check(major <= 2 && low <= 27, "cbor");
  let argument = BigInt(low);
  at += 1;
  if (low >= 24) {
    const width = 1 << (low - 24);
    check(at + width <= data.length, "cbor");
    argument = BigInt("0x" + data.toString("hex", at, at + width));
    const least = width === 1 ? 24n : 1n << BigInt(4 * width);
    check(argument >= least, "cbor");
    at += width;
  }
  if (major === 0) return [argument, at];
  if (major === 1) return [-1n - argument, at];
  check(argument <= BigInt(data.length - at), "cbor");
  const end = at + Number(argument);
  return [data.subarray(at, end), end];
}

export function cborDecode(data) {
  const items = [];
  for (let at = 0; at < data.length; ) {
    check(items.length < CBOR_ITEMS, "cbor");
    let item;
    [item, at] = cborItem(data, at);
    items.push(item);
  }
  return items;
}

function cborHead(major, argument) {
  const n = BigInt(argument);
  if (n < 24n) return Buffer.of((major << 5) | Number(n));
  const step = [8n, 16n, 32n, 64n].findIndex((bits) => n < 1n << bits);
  const hex = n.toString(16).padStart(2 << step, "0");
  return bytes((major << 5) | (24 + step), Buffer.from(hex, "hex"));
}

/** An integer, or a byte string, in its shortest form. */
export function cborEncode(item) {
  if (item instanceof Uint8Array) return bytes(cborHead(2, item.length), item);
  const n = BigInt(item);
  return n < 0n ? cborHead(1, -1n - n) : cborHead(0, n);
}

const cborText = (text) => bytes(cborHead(3, text.length), Buffer.from(text)); // in AAD and info only
const cborArray = (...items) => bytes(cborHead(4, items.length), ...items);

// ---------------------------------------------------------------- section 2: keys

export const hmac = (key, message) => createHmac("sha256", key).update(message).digest();

export function hkdf(salt, secret, info, length) {
  const prk = hmac(salt, secret);
  let block = Buffer.alloc(0);
  let out = block;
  for (let i = 1; out.length < length; i += 1) {
    block = hmac(prk, bytes(block, info, i));
    out = bytes(out, block);
  }
  return out.subarray(0, length);
}

const NO_BYTES = Buffer.alloc(0);
export const ratchet = (key) => hkdf(NO_BYTES, key, Buffer.from("ratchet"), 16);
export const mac = (key, message) => hmac(hkdf(NO_BYTES, key, Buffer.from("hello"), 32), message).subarray(0, MAC_BYTES);

/** The two keys and the common IV of the session that two nonces make. */
export function sessionKeys(key, nodeId, nodeNonce, gatewayNonce) {
  const salt = bytes(nodeNonce, gatewayNonce);
  const derive = (id, text, length) =>
    hkdf(salt, key, cborArray(cborEncode(id), cborEncode(nodeId), cborEncode(10), cborText(text), cborEncode(length)), length);
  return {
    keys: [derive(Buffer.of(0), "Key", 16), derive(Buffer.of(1), "Key", 16)],
    iv: derive(NO_BYTES, "IV", 13),
  };
}

export function frameNonce(iv, direction, number) {
  const nonce = Buffer.alloc(13);
  nonce[0] = 1;
  nonce[7] = direction;
  nonce.writeUIntBE(Math.floor(number / 2 ** 32), 8, 1);
  nonce.writeUInt32BE(number % 2 ** 32, 9);
  return nonce.map((byte, i) => byte ^ iv[i]);
}

export const encStructure = (external) => cborArray(cborText("Encrypt0"), cborEncode(NO_BYTES), cborEncode(external));

export function ccmOpen(key, nonce, aad, sealed) {
  const cut = sealed.length - TAG_BYTES;
  const cipher = createDecipheriv("aes-128-ccm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAuthTag(sealed.subarray(cut));
  cipher.setAAD(aad, { plaintextLength: cut });
  try {
    const plain = cipher.update(sealed.subarray(0, cut));
    cipher.final();
    return plain;
  } catch {
    throw new Fault("tag");
  }
}

export function ccmSeal(key, nonce, aad, plain) {
  const cipher = createCipheriv("aes-128-ccm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad, { plaintextLength: plain.length });
  const text = cipher.update(plain);
  cipher.final();
  return bytes(text, cipher.getAuthTag());
}

// ---------------------------------------------------------------- messages.cddl: items and their bounds

// Each checks one item and gives it as a Number where its bound allows that.
const int = (low, high) => (item) => {
  check(typeof item === "bigint" && item >= low && item <= high, "value");
  return high <= Number.MAX_SAFE_INTEGER ? Number(item) : item;
};
const bstr = (low, high) => (item) => {
  check(item instanceof Uint8Array && item.length >= low && item.length <= high, "value");
  return item;
};
const uint32 = int(0, UINT32);
const rseq = int(1, RSEQ);
const cumulative = int(0, RSEQ);
const value = int(-VALUE, VALUE);
const uint = int(0n, UINT64);
const anyItem = (item) => item;
const valueOrBytes = (item) => (typeof item === "bigint" ? value(item) : item);

/** The leading items, each by its check; what stands behind them goes by `rest`, else is ignored. */
const row = (checks, rest) => (items) => {
  check(items.length >= checks.length, "value");
  const out = checks.map((one, i) => one(items[i]));
  return rest ? [...out, ...rest(items.slice(checks.length))] : out;
};
const arguments8 = (items) => {
  check(items.length <= 8, "value");
  return items.map(value);
};
/** Pairs of CONFIG and DIAG: keys rise, 16 at most. */
const pairs = (items) => {
  check(items.length % 2 === 0 && items.length <= 32, "value");
  let last = 0;
  return items.map((item, i) => {
    if (i % 2) return valueOrBytes(item);
    check(int(1, 255)(item) > last, "value");
    return (last = Number(item));
  });
};
const gapRow = (items) => {
  const [first, last, reason] = row([rseq, rseq, int(0, 255)])(items);
  check(first <= last, "value");
  return [first, last, reason];
};
/** From message set 3 on the build may follow: 8 bytes, or none. */
const infoItems = row([cumulative, bstr(8, 8), int(1, UINT32), uint32, cumulative, cumulative, uint32, uint32, uint32, cumulative, cumulative]);
const infoRow = (items) => {
  const checked = infoItems(items);
  if (checked[0] < 3 || items.length === checked.length) return checked;
  const build = bstr(0, 8)(items[checked.length]);
  check(build.length % 8 === 0, "value");
  return [...checked, build];
};
const handle = int(0, 255);
const wantRow = (items) =>
  items[0] instanceof Uint8Array ? row([bstr(8, 32)])(items) : row([handle, int(0, 2 ** 24), uint])(items);

// type: name, ways, class, items behind the type. REPORT, BATCH and POLL have decoders of their own.
const MESSAGES = new Map([
  [3, ["INFO", [UP], 1, infoRow]],
  [4, ["REPORT", [UP], 0, null]],
  [5, ["EVENT", [UP], 0, row([rseq, uint32, uint32, value, value])]],
  [6, ["GAP", [UP], 1, gapRow]],
  [7, ["POLL", [DOWN], 1, decodePoll]],
  [8, ["CMD", [DOWN], 1, row([rseq, uint, uint], arguments8)]],
  [9, ["RESULT", [UP], 1, row([cumulative, int(0, 255), value])]],
  [10, ["IDLE", [UP], 1, row([])]],
  [11, ["NEED_KEYFRAME", [DOWN], 1, row([])]],
  [12, ["BATCH", [UP], 0, null]],
  [13, ["DIAG", [UP], 1, pairs]],
  [14, ["CONFIG", [DOWN], 1, row([int(1, UINT32)], pairs)]],
  [15, ["OFFER", [UP, DOWN], 2, row([handle, bstr(16, 32), int(1, 2 ** 24), int(1, 224), int(0, 255)])]],
  [16, ["WANT", [UP, DOWN], 2, wantRow]],
  [17, ["BLOCK", [UP, DOWN], 2, row([handle, int(0, 2 ** 24 - 1), bstr(1, 224)])]],
  [21, ["ANCHOR", [UP], 0, row([rseq, uint32, uint32, int(0, 999), uint32, int(0, 999), int(0, 2 ** 31 - 1)])]],
]);

// Plain frames: type, way, ends in a MAC, how many items it may have. A wrong number of them is no such type.
const PLAIN = new Map([
  [0, ["HELLO", UP, true, [4], [anyItem, bstr(1, 16), uint32, bstr(8, 8)]]],
  [1, ["WELCOME", DOWN, true, [4, 5], [anyItem, uint32, bstr(8, 8), int(0, 254), bstr(1, 16)]]],
  [2, ["HELLO?", DOWN, false, [1, Infinity], [anyItem, int(0, 1), bstr(1, 16)]]],
  [18, ["DISCOVER", DOWN, false, [5, Infinity], [anyItem, int(0, 1), int(1, 4096), int(1, 32), int(1, 1000)]]],
  [22, ["CALL", DOWN, false, [3, Infinity], [anyItem, int(1, 255), int(1, 255)]]],
]);

// ---------------------------------------------------------------- section 5: POLL

/** Spans above `seen`: a count, then pairs (gap, length), from the highest down. */
function decodeSpans(items, at, above) {
  const count = int(0, SPANS_IN_POLL)(items[at]);
  const spans = [];
  let first = above;
  for (let i = 0; i < count; i += 1) {
    const gap = rseq(items[at + 1 + 2 * i]);
    const length = rseq(items[at + 2 + 2 * i]);
    const last = i === 0 ? above + gap : first - gap;
    first = last - length + 1;
    check(first > above && last <= RSEQ, "value");
    spans.unshift([first, last]);
  }
  return [spans, at + 1 + 2 * count];
}

export function decodePoll(items) {
  if (items.length === 1) return { credit: uint(items[0]) }; // section 15: the short form of a bus
  const [seen, behind, credit] = row([cumulative, cumulative, uint])(items);
  check(behind <= seen, "value");
  const poll = { seen, kept: seen - behind, credit };
  let at;
  [poll.seenSpans, at] = decodeSpans(items, 3, seen);
  [poll.keptSpans, at] = decodeSpans(items, at, poll.kept);
  if (items.length >= at + 4) {
    // section 7; fewer items are no offer
    const [fseq, hold, utc, uncertainty] = row([int(0, 65535), uint, int(1, 2 ** 43 - 1), uint])(items.slice(at));
    poll.offer = { fseq, hold, utc, uncertainty };
  }
  return poll;
}

// ---------------------------------------------------------------- section 9: schemas

export const LAST = 0, NOTHING = 1, LATEST = 2, TOTAL = 3, ELAPSED = 4, INTEGRAL = 5, HOURS = 6, SHARE = 7, SLOPE = 8;
const REFERS = new Set([LATEST, TOTAL, INTEGRAL, HOURS, SHARE, SLOPE]);

// The number of an asset class in a schema's encoding. Section 9.
const ASSET_CLASSES = { streetlight: 1, water_meter: 2, air_quality: 3 };

/** A schema from rows [name, scale, unit, predictor, other, argument, numbers]; a version 1 has the first three. */
export function makeSchema(name, version, rows) {
  const parts = [ASSET_CLASSES[name] ?? Number(name.slice("class_".length)), version];
  let start = 0;
  const fields = rows.map(([field, scale, unit, predictor = LAST, other = 0, argument = 0, count = 1]) => {
    parts.push(Buffer.from(field), scale, Buffer.from(unit));
    if (version > 1) parts.push(predictor, other, argument, count);
    const made = { name: field, scale, unit, predictor, other, argument: BigInt(argument), count, start };
    start += count;
    return made;
  });
  const encoding = bytes(...parts.map(cborEncode));
  const hash = createHash("sha256").update(encoding).digest().subarray(0, 8);
  return { name, version, fields, numbers: start, encoding, hash };
}

// ---------------------------------------------------------------- section 4: records

const inBounds = (record) => {
  check(record.rseq >= 1 && record.rseq <= RSEQ, "value", "rseq");
  check(record.uptime >= 0 && record.uptime <= UINT32, "value", "uptime");
  check(record.values.every((one) => one >= -VALUE && one <= VALUE), "value", "a value");
  return record;
};

/** REPORT. `session` has schema, schemas, boot, period and findBase(low byte). */
export function decodeReport(items, session) {
  check(items.length >= 1, "value");
  const n = int(0, DELTA_REACH)(items[0]);
  if (n === 0) {
    const [, number, boot, uptime] = row([anyItem, rseq, uint32, uint32])(items);
    const values = items.slice(4).map(value);
    const ends = [...session.schema.fields.slice(1).map((one) => one.start), session.schema.numbers];
    check(ends.includes(values.length), "value", "number of values");
    return { rseq: number, boot: boot || session.boot, uptime, values };
  }
  const [, low, mask] = row([anyItem, int(0, 255), int(0n, 2n ** 33n - 1n)])(items);
  const differences = items.slice(3).map(value);
  const base = session.findBase(low);
  check(base, "base");
  const count = base.values.length;
  check(mask < 2n ** BigInt(count + 1), "value", "mask");
  let used = 0;
  const difference = (i) => ((BigInt(mask) >> BigInt(i)) & 1n ? differences[used++] ?? 0n : 0n);
  const changes = base.values.map((_, i) => difference(i));
  const dt = difference(count);
  check(used === differences.length, "value", "number of differences");
  const seconds = BigInt(n * session.period) + dt;
  const elapsed = new Set(session.schema.fields.filter((one) => one.predictor === ELAPSED).map((one) => one.start));
  return inBounds({
    rseq: base.rseq + n,
    boot: base.boot,
    uptime: Number(BigInt(base.uptime) + seconds),
    values: base.values.map((one, i) => one + changes[i] + (elapsed.has(i) ? seconds : 0n)),
  });
}

// ---------------------------------------------------------------- section 4: BATCH

class Bits {
  #data;
  at = 0;

  constructor(data) {
    this.#data = data;
  }

  bit() {
    check(this.at < 8 * this.#data.length, "value", "bits missing");
    const bit = (this.#data[this.at >> 3] >> (7 - (this.at & 7))) & 1;
    this.at += 1;
    return bit;
  }

  bits(count) {
    let out = 0n;
    for (let i = 0; i < count; i += 1) out = (out << 1n) | BigInt(this.bit());
    return out;
  }

  ones(most) {
    let count = 0;
    while (count < most && this.bit()) count += 1;
    return count;
  }

  gamma() {
    const width = this.ones(16);
    check(width <= 15, "value", "gamma");
    return Number((1n << BigInt(width)) | this.bits(width)) - 1;
  }

  whole() {
    return this.bits(Number(this.bits(6)) + 1);
  }

  rice(k) {
    const high = this.ones(8);
    return high === 8 ? this.whole() : (BigInt(high) << BigInt(k)) | this.bits(k);
  }

  end() {
    const left = 8 * this.#data.length - this.at;
    check(left < 8 && this.bits(left) === 0n, "value", "padding");
  }
}

const unzigzag = (x) => (x & 1n ? -(x >> 1n) - 1n : x >> 1n);
const highestBit = (x) => 31 - Math.clz32(x);
/** a / b rounded down, b > 0. */
const floorDivide = (a, b) => (a >= 0n ? a / b : -((-a + b - 1n) / b));

/** One column of `total` numbers: what is left of each when it is foretold. */
function readColumn(bits, total, hasSlope) {
  const numbers = new Array(total).fill(0n);
  if (!bits.bit()) return { numbers, slope: 0n };
  const mode = Number(bits.bits(4));
  const signed = bits.bit() ? unzigzag : (x) => x;
  const slope = hasSlope ? bits.bits(4) : 0n;
  if (mode > 0) return { numbers: numbers.map(() => signed(bits.rice(mode - 1))), slope };
  const k = Number(bits.bits(4));
  const count = Number(bits.rice(Math.max(0, highestBit(total) - 2)));
  check(count <= total, "value", "count of a column");
  const g = highestBit(Math.max(1, Math.floor((total - count) / (count + 1))));
  let at = 0;
  for (let i = 0; i < count; i += 1) {
    at += Number(bits.rice(g));
    check(at < total, "value", "beyond the end of a column");
    numbers[at] = signed(bits.rice(k) + 1n);
    at += 1;
  }
  return { numbers, slope };
}

/** What each predictor of section 9 expects. `x` has before, other, step, seconds, slope, state and the field. */
const EXPECTED = {
  [LAST]: (x) => x.before,
  [NOTHING]: () => 0n,
  [LATEST]: (x) => x.other,
  [TOTAL]: (x) => x.before + x.sum,
  [ELAPSED]: (x) => x.before + x.seconds,
  [INTEGRAL]: (x) => x.before + floorDivide(x.other * x.seconds + x.argument / 2n, x.argument),
  [HOURS]: (x) => (x.other !== 0n ? x.before + floorDivide(x.state.lit + x.seconds, 3600n) : x.before),
  [SHARE]: ({ state, other }) => (state.all > 0n ? floorDivide(state.part * other + state.all / 2n, state.all) : 0n),
  [SLOPE]: (x) => x.before + floorDivide(x.step * x.slope + 2n ** x.argument / 2n, 2n ** x.argument),
};

/** What SHARE and HOURS remember from row to row. */
function remember(field, state, number, other, before, seconds) {
  if (field.predictor === SHARE && other > 0n) {
    state.part += number;
    state.all += other;
  }
  if (field.predictor === HOURS && before !== null) {
    if (other !== 0n) state.lit += seconds;
    const moved = number - before;
    if (moved !== 0n) state.lit = moved === floorDivide(state.lit, 3600n) ? state.lit - 3600n * moved : 0n;
  }
}

/** BATCH, from behind its type. `session` has schema, schemas, boot, period and findRecord(rseq). */
export function decodeBatch(packed, session) {
  const bits = new Bits(packed);
  let schema = session.schema;
  if (bits.bit()) {
    const hash = bits.bits(64).toString(16).padStart(16, "0");
    schema = session.schemas.find((one) => one.hash.toString("hex") === hash);
    check(schema?.name === session.schema.name && schema.version <= session.schema.version, "schema");
  }
  check(schema.version > 1, "schema", "it foretells nothing");
  const { fields } = schema;
  const count = bits.gamma() + 1;
  check(count <= BATCH_RECORDS, "value", "records");
  const firstRseq = bits.whole();
  check(firstRseq >= 1n && firstRseq + BigInt(count) - 1n <= BigInt(RSEQ), "value", "rseq");
  const rseq = Number(firstRseq);
  const distance = bits.gamma();
  check(distance <= DELTA_REACH, "value", "distance");

  let before; // the row before
  if (distance > 0) {
    before = session.findRecord(rseq - distance);
    check(before && before.values.length === schema.numbers, "base");
  } else {
    const boot = bits.bit() ? bits.whole() : BigInt(session.boot);
    check(boot >= 1 && boot <= UINT32, "value", "boot");
    const uptime = bits.whole();
    const values = fields.flatMap((field) =>
      Array.from({ length: field.count }, () => ([NOTHING, LATEST].includes(field.predictor) ? 0n : unzigzag(bits.whole()))),
    );
    before = { boot: Number(boot), uptime, values };
  }
  const { boot } = before;

  const times = readColumn(bits, count, false).numbers;
  const columns = fields.map((field) => readColumn(bits, count * field.count, field.predictor === SLOPE));
  bits.end();

  const order = [...fields.keys()].sort((a, b) => REFERS.has(fields[a].predictor) - REFERS.has(fields[b].predictor) || a - b);
  const numbersOf = (values, field) => values.slice(field.start, field.start + field.count);
  const otherOf = (values, { predictor, other }) =>
    values[fields[other].start + (predictor === LATEST ? fields[other].count - 1 : 0)];
  const states = fields.map(() => ({ lit: 0n, part: 0n, all: 0n }));
  fields.forEach((field, i) => remember(field, states[i], before.values[field.start], otherOf(before.values, field), null, 0n));

  const records = [];
  for (let r = 0; r < count; r += 1) {
    const usual = r > 0 ? session.period : distance * session.period;
    const seconds = times[r] + BigInt(usual);
    const values = new Array(schema.numbers).fill(0n);
    for (const i of order) {
      const field = fields[i];
      const other = otherOf(values, field);
      for (let j = 0; j < field.count; j += 1) {
        const last = before.values[field.start + j];
        const expected = EXPECTED[field.predictor]({
          before: last, other, seconds, slope: columns[i].slope, state: states[i], argument: field.argument,
          sum: numbersOf(values, fields[field.other]).reduce((a, b) => a + b, 0n),
          step: other - otherOf(before.values, field),
        });
        values[field.start + j] = expected + columns[i].numbers[r * field.count + j];
        remember(field, states[i], values[field.start + j], other, last, seconds);
      }
    }
    const uptime = BigInt(before.uptime) + seconds;
    records.push(inBounds({ rseq: rseq + r, boot, uptime: Number(uptime), values }));
    before = records[r];
  }
  return { schema, records };
}

// ---------------------------------------------------------------- sections 2 and 3: an end that listens

/** One end's ear in one session: opens what comes from the other end. Throws a Fault. */
export class Receiver {
  window = new ReplayWindow();
  schema = null; // INFO names it, with boot and period
  boot = 0;
  period = 0;
  #bases = []; // {fseq, record, batch}
  #top = 0; // the highest number seen

  /** `own` is our direction: DOWN at a gateway, UP at a node. */
  constructor({ own, generation, keys, schemas, schema = null }) {
    Object.assign(this, { own, generation, keys, schemas, schema });
  }

  /** {name, number, items or poll or records} of a sealed frame. */
  open(frame) {
    const header = parseHeader(frame, this.own);
    check(header.class !== 3, "class");
    check(header.parity === (this.generation & 1), "unknown_session");
    const number = this.window.number(header.fseq, header.fseqBits);
    const external = header.class === 0 && this.schema ? bytes(header.bytes, this.schema.hash) : header.bytes;
    const nonce = frameNonce(this.keys.iv, header.direction, number);
    const body = ccmOpen(this.keys.keys[header.direction], nonce, encStructure(external), frame.subarray(header.size));
    this.window.mark(number);
    return { number, address: header.address, ...this.#decode(body, header, number) };
  }

  #decode(body, header, fseq) {
    check(body.length, "type");
    const [type, behind] = cborItem(body, 0);
    const message = typeof type === "bigint" ? MESSAGES.get(Number(type)) : undefined;
    check(message && message[1].includes(header.direction), "type");
    const [name, , wanted, decode] = message;
    check(header.class === wanted, "class");
    check(this.own === UP || this.schema || name === "INFO", "type", "before INFO");
    if (name === "BATCH") {
      const { records, schema } = decodeBatch(body.subarray(behind), this.#context(fseq));
      this.#bases.push({ fseq, record: records.at(-1), batch: true });
      this.#seen(records.at(-1).rseq);
      return { name, records, schema };
    }
    const items = cborDecode(body).slice(1);
    if (name === "REPORT") {
      const record = decodeReport(items, this.#context(fseq));
      this.#bases.push({ fseq, record });
      this.#seen(record.rseq);
      return { name, records: [record] };
    }
    if (name === "POLL") return { name, poll: decode(items) };
    if (name === "INFO" && this.boot) return { name, items: [] }; // within a session it changes nothing
    const checked = decode(items);
    if (name === "INFO") this.#info(checked);
    if (name === "EVENT" || name === "ANCHOR") checked[1] ||= this.boot;
    if (name === "EVENT" || name === "ANCHOR" || name === "GAP") this.#seen(checked[name === "GAP" ? 1 : 0]);
    check(name !== "BLOCK", "object"); // nothing is ever offered to this end
    return { name, items: checked };
  }

  #seen(rseq) {
    this.#top = Math.max(this.#top, rseq);
  }

  #info([version, hash, boot, , , , , period]) {
    check(version >= 1, "version"); // no older one was ever
    this.schema = this.schemas.find((one) => one.hash.equals(hash)) ?? { hash, fields: null };
    Object.assign(this, { boot, period });
  }

  #context(fseq) {
    check(this.schema.fields, "schema");
    const highest = (fits) => this.#bases.filter(fits).map((base) => base.record).sort((a, b) => b.rseq - a.rseq)[0];
    const findBase = (low) => {
      const record = highest((base) => !base.batch && base.fseq < fseq && base.record.rseq % 256 === low);
      return record && this.#top - record.rseq <= BASE_REACH ? record : undefined;
    };
    const findRecord = (rseq) => highest((base) => base.record.rseq === rseq);
    return { schema: this.schema, schemas: this.schemas, boot: this.boot, period: this.period, findBase, findRecord };
  }
}

/** The items of a plain frame: {name, items, mac, covered}; whether the MAC is right is the caller's question. */
export function decodePlain(frame, own) {
  const header = parseHeader(frame, own);
  check(header.class === 3, "class");
  let covered = frame;
  const kind = PLAIN.get(frame[header.size]);
  check(kind && kind[1] === header.direction, "type");
  const [name, , sealed, counts, checks] = kind;
  if (sealed) {
    check(frame.length > header.size + MAC_BYTES, "short");
    covered = frame.subarray(0, frame.length - MAC_BYTES);
  }
  const items = cborDecode(covered.subarray(header.size));
  check(counts.includes(items.length) || (counts[1] === Infinity && items.length >= counts[0]), "type");
  const checked = items.map((item, i) => (checks[i] ?? anyItem)(item));
  return { name, address: header.address, items: checked.slice(1), covered, mac: frame.subarray(covered.length) };
}

/** A gateway meets HELLO. `known` is {nodeId, generation, key}: the generation of the next session, and its key. */
export function verifyHello(frame, known) {
  const { items, covered, mac: got } = decodePlain(frame, DOWN);
  const [nodeId, generation, nonce] = items;
  check(known.nodeId.equals(nodeId), "unknown_node");
  const steps = generation - known.generation;
  check(steps >= 0 && steps <= RATCHET_STEPS, "generation");
  let { key } = known;
  for (let i = 0; i < steps; i += 1) key = ratchet(key);
  check(timingSafeEqual(mac(key, covered), got), "mac");
  return { nodeId, generation, nonce, key };
}

/** A node meets WELCOME, or HELLO?. `greeting` is {generation, key, nonce}. */
export function verifyWelcome(frame, greeting) {
  const { name, items, covered, mac: got } = decodePlain(frame, UP);
  if (name !== "WELCOME") return { name, items };
  const [generation, nonce, address] = items;
  check(generation === greeting.generation, "mac"); // of another generation: its key is not ours
  check(timingSafeEqual(mac(greeting.key, bytes(covered, greeting.nonce)), got), "mac");
  return { name, generation, nonce, address };
}
