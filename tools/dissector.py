"""Makes protocol/interop/kerbwire.lua, the Wireshark dissector, from kerbline's table of names.

python -m tools.dissector [--check]
"""

import sys

from kerbline.wiredump import CLASS_NAMES, DIRECTION_NAMES, MESSAGES
from kerbwire import messages as m
from kerbwire.frame import LAYOUT
from kerbwire.limits import MAC_BYTES, TAG_BYTES
from tools.trees import ROOT

TARGET = ROOT / "protocol" / "interop" / "kerbwire.lua"
PLAIN = (m.HELLO, m.WELCOME, m.HELLO_REQUEST, m.DISCOVER, m.CALL, m.CLAIM)  # all others are sealed
WITH_MAC = (m.HELLO, m.WELCOME)

_HEAD = """\
-- Wireshark dissector of kerbwire in UDP datagrams. Made by tools/dissector.py; do not edit.
-- tshark -X lua_script:kerbwire.lua -d udp.port==5683,kerbwire -r FILE
-- Sealed bodies stay sealed: `kerbline wire decode --keys` opens them.
"""

_BODY = """\

local kerbwire = Proto("kerbwire", "kerbwire")
local f = {
  direction = ProtoField.uint8("kerbwire.direction", "Direction", base.DEC, DIRECTIONS, 0x20),
  parity = ProtoField.uint8("kerbwire.parity", "Session parity", base.DEC, nil, 0x08),
  class = ProtoField.uint8("kerbwire.class", "Class", base.DEC, CLASSES, 0x03),
  address = ProtoField.uint8("kerbwire.address", "Address"),
  fseq = ProtoField.uint16("kerbwire.fseq", "Frame number (low bits)"),
  sealed = ProtoField.bytes("kerbwire.sealed", "Sealed body"),
  tag = ProtoField.bytes("kerbwire.tag", "Tag"),
  type = ProtoField.uint8("kerbwire.type", "Type", base.DEC, TYPES),
  mac = ProtoField.bytes("kerbwire.mac", "MAC"),
  item = ProtoField.string("kerbwire.item", "Item"),
}
kerbwire.fields = f
local bad = ProtoExpert.new(
  "kerbwire.bad", "no frame", expert.group.MALFORMED, expert.severity.ERROR)
kerbwire.experts = { bad }

-- The item at `at`: its text and the place after it; nil where there is none.
local function item(range, at, stop)
  if at >= stop then return nil end
  local head = range(at, 1):uint()
  local major, number = math.floor(head / 32), head % 32
  at = at + 1
  if number > 23 then
    local size = ({ [24] = 1, [25] = 2, [26] = 4, [27] = 8 })[number]
    if not size or at + size > stop then return nil end
    number = size == 8 and range(at, 8):uint64() or range(at, size):uint()
    at = at + size
  end
  if major == 0 then return tostring(number), at end
  if major == 1 then return "-1 - " .. tostring(number), at end
  if major ~= 2 or type(number) ~= "number" or at + number > stop then return nil end
  if number == 0 then return "h''", at end
  return tostring(range(at, number):bytes()), at + number
end

local function plain(buffer, at, tree, pinfo)
  local kind = buffer(at, 1):uint()
  local stop = buffer:len()
  tree:add(f.type, buffer(at, 1))
  pinfo.cols.info = TYPES[kind] or ("type " .. kind)
  if WITH_MAC[kind] then
    stop = stop - MAC_BYTES
    if stop <= at then
      tree:add_proto_expert_info(bad)
      return
    end
    tree:add(f.mac, buffer(stop, MAC_BYTES))
  end
  local names = ITEMS[kind] or {}
  local number, from = 1, at + 1
  while from < stop do
    local text, after = item(buffer, from, stop)
    if not text then
      tree:add_proto_expert_info(bad)
      return
    end
    tree:add(f.item, buffer(from, after - from), (names[number] or "more") .. "=" .. text)
    number, from = number + 1, after
  end
end

function kerbwire.dissector(buffer, pinfo, parent)
  local length = buffer:len()
  local first = length > 0 and buffer(0, 1):uint() or 0
  local tree = parent:add(kerbwire, buffer())
  pinfo.cols.protocol = "kerbwire"
  if length < 2 or math.floor(first / 64) ~= LAYOUT then
    tree:add_proto_expert_info(bad)
    return
  end
  local class, at = first % 4, 1
  tree:add(f.direction, buffer(0, 1))
  tree:add(f.class, buffer(0, 1))
  if math.floor(first / 16) % 2 == 1 then
    tree:add(f.address, buffer(1, 1))
    at = 2
  end
  if class == PLAIN_CLASS then
    if at < length then plain(buffer, at, tree, pinfo) else tree:add_proto_expert_info(bad) end
    return
  end
  local wide = math.floor(first / 4) % 2 + 1
  if length < at + wide + TAG_BYTES then
    tree:add_proto_expert_info(bad)
    return
  end
  tree:add(f.parity, buffer(0, 1))
  tree:add(f.fseq, buffer(at, wide))
  pinfo.cols.info = CLASSES[class] .. " #" .. buffer(at, wide):uint()
  at = at + wide
  if at < length - TAG_BYTES then
    tree:add(f.sealed, buffer(at, length - TAG_BYTES - at))
  end
  tree:add(f.tag, buffer(length - TAG_BYTES, TAG_BYTES))
end

DissectorTable.get("udp.port"):add_for_decode_as(kerbwire)
"""


def _table(name: str, entries: dict[int, str]) -> str:
    rows = "".join([f"  [{number}] = {text},\n" for number, text in entries.items()])
    return f"local {name} = {{\n{rows}}}\n"


def _quoted(words: tuple[str, ...]) -> str:
    return ", ".join([f'"{word}"' for word in words])


def text() -> str:
    """The dissector."""
    tables = [
        f"local LAYOUT, TAG_BYTES, MAC_BYTES, PLAIN_CLASS = "
        f"{LAYOUT}, {TAG_BYTES}, {MAC_BYTES}, {m.CLASS_PLAIN}\n",
        _table("DIRECTIONS", {i: f'"{name}"' for i, name in enumerate(DIRECTION_NAMES)}),
        _table("CLASSES", {i: f'"{name}"' for i, name in enumerate(CLASS_NAMES)}),
        _table("TYPES", {type_: f'"{MESSAGES[type_].name}"' for type_ in PLAIN}),
        _table("ITEMS", {type_: f"{{ {_quoted(MESSAGES[type_].items)} }}" for type_ in PLAIN}),
        _table("WITH_MAC", dict.fromkeys(WITH_MAC, "true")),
    ]
    return _HEAD + "".join(tables) + _BODY


def main() -> int:
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.read_text() == text() else 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
