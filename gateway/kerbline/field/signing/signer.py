"""Signs a bundle with a release key: the index is spent, durably, before a signature exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerbline.bundle import Bundle, BundleFault, Root, load, loads, sign_off
from kerbline.field.signing import keys
from kerbline.field.signing.counter import Counter
from kerbline.field.signing.disk import Disk, RealDisk
from kerbline.field.signing.faults import SignerFault
from kerbline.field.signing.given import Given, Use, check
from kerbline.field.signing.lms import HEIGHT, Tree
from kerbline.field.signing.outlet import outlet, put
from kerbwire import release
from kerbwire.errors import RemoteError

WARN_PERCENT = 90
SIGNATURES = 1 << HEIGHT
SIGNATURE_ROOM_BYTES = 8192  # in a bundle, with its name and its place
RESERVED = 32  # the last signatures: for releases that bring the next root

TreeOf = Callable[[Path, Root, keys.Private], Tree]


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed: the bundle, its index, how many signatures are left for releases."""

    bundle: Bundle
    index: int
    left: int


def sign(
    path: Path,
    out: Path,
    folder: Path,
    witnesses: Path,
    *,
    say: Callable[[str], None],
    earlier: Sequence[Path] = (),
    adopt_index: int | None = None,
    from_dirty_tree: bool = False,
    replace: bool = False,
    disk: Disk | None = None,
    tree_of: TreeOf = keys.tree,
) -> Signed:
    """Sign the bundle at `path` into `out`, which may be the same; raises KerblineError, OSError.

    `earlier` are bundles of this key that are out; `adopt_index`: take over a key that this
    machine has not seen, from that index; `replace`: whatever is at `out`. `tree_of` makes the
    key's tree.
    """
    disk = disk or RealDisk()
    bundle = load(path, None)
    if bundle.signed_manifest:
        raise SignerFault(path, "signed", "is signed already", "build it again to sign it anew")
    out = outlet(out, replace=replace)
    if bundle.about.dirty and not from_dirty_tree:
        raise SignerFault(
            path,
            "dirty",
            "was built from a tree with changes that no commit has",
            "commit them and build again, or say --from-dirty-tree",
        )
    root, private = keys.load(folder)
    if bundle.next_root is not None and bundle.next_root.hss == root.hss:
        raise SignerFault(
            path,
            "next-root",
            f"its next root is {root} itself",
            "build it again with `--next-root` of another key's release.pub",
        )
    uses = _uses(root, bundle, earlier, say)
    used = [each.index for each in uses]
    witnesses.mkdir(mode=0o700, parents=True, exist_ok=True)
    witness = keys.witness_of(root, witnesses)
    counter, given = Counter(disk, folder, witness), Given(disk, witness)
    with keys.alone(folder, witnesses):
        _check_forked([*given.all(), *uses], folder, bundle, say)
        if adopt_index is not None:
            counter.adopt(adopt_index, used)
        _check_left(bundle, counter.next(used), folder)
        tree = tree_of(folder, root, private)
        _check_room(out, path)
        index = counter.take(used)
        given.add(Use(index, bundle.build.hex()))
    made = sign_off(
        bundle, root, lambda plain: _signed_manifest(plain, tree, index, root), private.ed25519
    )
    done = loads(made, out, root)  # a fault of the machine must not get out
    put(disk, out, made)
    left = max(SIGNATURES - RESERVED - index - 1, 0)
    if (index + 1) * 100 >= SIGNATURES * WARN_PERCENT:
        say(
            f"warning: {folder}: {left} signatures are left, and {RESERVED} for a release "
            "that brings the next root; make one: `kerbline firmware keygen`, then `build "
            "--next-root`"
        )
    return Signed(done, index, left)


def _check_room(out: Path, path: Path) -> None:
    """Raise OSError where the signed bundle can't be written: its index would be lost."""
    draft = out.with_name(out.name + ".new")
    try:
        disk = RealDisk()
        disk.write(draft, bytes(path.stat().st_size + SIGNATURE_ROOM_BYTES))
        disk.sync(draft)
    finally:
        draft.unlink(missing_ok=True)


def _signed_manifest(plain: bytes, tree: Tree, index: int, root: Root) -> bytes:
    signature = tree.sign(release.to_be_signed(plain), index)
    signed = release.joined(plain, signature)
    try:
        release.verified(signed, root.hss)
    except RemoteError:
        raise SignerFault(
            "this machine",
            "machine",
            f"made a signature that is wrong, with index {index}",
            "test its memory; sign on another one",
        ) from None
    return signed


def _check_forked(
    uses: Sequence[Use], folder: Path, bundle: Bundle, say: Callable[[str], None]
) -> None:
    """A key that was given away signs its successor, and nothing else."""
    try:
        check(uses, folder)
    except SignerFault as fault:
        if bundle.next_root is None:
            raise
        say(f"warning: {fault}")


def _uses(
    root: Root, bundle: Bundle, earlier: Sequence[Path], say: Callable[[str], None]
) -> list[Use]:
    """What somebody has seen of this root's signatures."""
    name = root.fingerprint.hex()
    found = [Use(each.index, each.from_build) for each in bundle.about.patches if each.root == name]
    for path in earlier:
        try:
            seen = load(path, root)
            found.append(Use(seen.index, seen.build.hex()))
        except BundleFault as fault:
            if fault.reason not in ("wrong-root", "unsigned"):
                raise
            say(f"{path}: not signed with this key; tells nothing of its index")
    return found


def _check_left(bundle: Bundle, index: int, folder: Path) -> None:
    if index >= SIGNATURES:
        raise SignerFault(
            folder,
            "used-up",
            f"all {SIGNATURES:,} signatures are used",
            "sign with the next root; nodes without it are updated by cable",
        )
    if index >= SIGNATURES - RESERVED and bundle.next_root is None:
        raise SignerFault(
            folder,
            "used-up",
            f"{SIGNATURES - index} signatures are left, for releases that bring the next root",
            "make a root with `kerbline firmware keygen`, and `build --next-root` its release.pub",
        )
