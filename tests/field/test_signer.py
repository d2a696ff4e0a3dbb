"""A release key: made once, signs what is given to it, refuses what would give it away."""

import copy
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from kerbline.bundle import BundleFault, Root, load
from kerbline.field.signing import keys, signer
from kerbline.field.signing.counter import FILE, Counter
from kerbline.field.signing.disk import RealDisk
from kerbline.field.signing.faults import SignerFault
from kerbline.field.signing.lms import Tree
from tests.field import releases


@cache
def _tree(folder: Path, root: Root, private: keys.Private) -> Tree:
    return keys.tree(folder, root, private)


def tree_once(_folder: Path, root: Root, private: keys.Private) -> Tree:
    """A tree takes a second; copies of a key's folder have the same one."""
    return copy.deepcopy(_tree(Path("/any"), root, private))  # each knows what it has signed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `key`, its `witnesses` and an unsigned bundle."""
    folder = tmp_path_factory.mktemp("releases")
    keys.generate(RealDisk(), folder / "key", folder / "witnesses")
    (folder / "this.kerb").write_bytes(releases.unsigned())
    return folder


class Desk:
    """Where somebody signs; `said` are the lines that he saw."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key"
        self.witnesses = folder / "witnesses"
        self.bundle = folder / "this.kerb"
        self.said: list[str] = []
        self.root = Root.load(self.key / keys.PUBLIC)

    def sign(
        self,
        out: str = "signed.kerb",
        *,
        adopt: int | None = None,
        earlier: tuple[str, ...] = (),
        replace: bool = False,
    ) -> signer.Signed:
        return signer.sign(
            self.bundle,
            self.folder / out,
            self.key,
            self.witnesses,
            say=self.said.append,
            earlier=[self.folder / each for each in earlier],
            adopt_index=adopt,
            replace=replace,
            tree_of=tree_once,
        )

    def refused(
        self, reason: str, *, adopt: int | None = None, earlier: tuple[str, ...] = ()
    ) -> str:
        """Signing is refused, and nothing is written."""
        with pytest.raises(SignerFault) as told:
            self.sign("refused.kerb", adopt=adopt, earlier=earlier)
        assert told.value.reason == reason, told.value
        assert not (self.folder / "refused.kerb").exists()
        return str(told.value)

    def next(self) -> int:
        return Counter(RealDisk(), self.key, keys.witness_of(self.root, self.witnesses)).next()


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Desk:
    shutil.copytree(made, tmp_path / "desk")
    return Desk(tmp_path / "desk")


def test_a_key_is_two_files_of_which_one_is_secret(desk: Desk) -> None:
    modes = {file.name: file.stat().st_mode & 0o777 for file in desk.key.iterdir()}
    assert modes == {"release.key": 0o600, "release.pub": 0o644, FILE: 0o600}
    assert desk.key.stat().st_mode & 0o777 == 0o700
    secret = (desk.key / "release.key").read_text().split()[-1]
    assert secret not in (desk.key / "release.pub").read_text()
    _, private = keys.load(desk.key)
    assert secret not in repr(private)


def test_what_is_signed_is_verified_by_its_root_alone(desk: Desk) -> None:
    done = desk.sign()
    assert (done.index, done.left) == (0, 1024 - 32 - 1)
    bundle = load(desk.folder / "signed.kerb", desk.root)
    assert bundle.verified and bundle.index == 0 and bundle.root == desk.root.fingerprint
    assert bundle.manifest_bytes == load(desk.bundle, None).manifest_bytes
    with pytest.raises(BundleFault) as told:
        load(desk.folder / "signed.kerb", releases.key().root)
    assert told.value.reason == "wrong-root"
    assert desk.sign("again.kerb").index == 1
    assert desk.said == []


def test_signed_in_its_place(desk: Desk) -> None:
    desk.sign("this.kerb")
    assert load(desk.bundle, desk.root).verified
    assert "is signed already" in desk.refused("signed")


def test_a_restored_backup_is_refused(desk: Desk) -> None:
    shutil.copytree(desk.key, desk.folder / "backup")
    desk.sign()
    shutil.rmtree(desk.key)
    (desk.folder / "backup").rename(desk.key)
    assert "a copy of the key from before" in desk.refused("restored")


def test_a_restored_machine_is_found_by_a_release(desk: Desk) -> None:
    """Key and witness came back together: what was released tells."""
    backup = desk.folder / "backup"
    for each in ("key", "witnesses"):
        shutil.copytree(desk.folder / each, backup / each)
    desk.sign()
    for each in ("key", "witnesses"):
        shutil.rmtree(desk.folder / each)
        (backup / each).rename(desk.folder / each)
    desk.refused("restored", earlier=("signed.kerb",))
    earlier = load(desk.folder / "signed.kerb", desk.root)
    desk.bundle.write_bytes(
        releases.following(earlier, sequence=8, files=releases.with_files({"kerbnode/a.mpy": b"M"}))
    )
    desk.refused("restored")
    desk.refused("too-low", adopt=0)
    assert desk.sign("more.kerb", adopt=1).index == 1


def test_bundles_of_others_tell_nothing(desk: Desk) -> None:
    (desk.folder / "theirs.kerb").write_bytes(releases.signed())
    desk.sign(earlier=("theirs.kerb", "this.kerb"))
    assert [line.partition(": ")[2] for line in desk.said] == [
        "not signed with this key; tells nothing of its index"
    ] * 2


def test_a_damaged_bundle_stops_it(desk: Desk) -> None:
    (desk.folder / "bad.kerb").write_bytes(releases.signed()[:-1])
    with pytest.raises(BundleFault):
        desk.sign(earlier=("bad.kerb",))
    assert desk.next() == 0


def test_a_lost_witness_is_told_and_mended(desk: Desk) -> None:
    desk.sign()
    shutil.rmtree(desk.witnesses)
    assert "--adopt --next-index N" in desk.refused("no-witness")
    assert "or more" in desk.refused("too-low", adopt=0)
    assert desk.sign("more.kerb", adopt=5).index == 5
    assert desk.sign("last.kerb").index == 6


def test_two_signers_do_not_meet(desk: Desk) -> None:
    with keys.alone(desk.key):
        desk.refused("busy")
    with keys.alone(desk.witnesses):  # a copy of the key beside it
        desk.refused("busy")
    assert desk.sign().index == 0


@pytest.mark.parametrize(
    ("index", "warned"), [(920, False), (921, True), (990, True)], ids=["90 %", "above", "last"]
)
def test_it_warns_before_the_end(desk: Desk, index: int, *, warned: bool) -> None:
    left = desk.sign(adopt=index).left
    assert left == 1024 - 32 - 1 - index
    assert [f"{left} signatures are left" in line for line in desk.said] == [True] * warned


def test_the_last_are_for_the_next_root(desk: Desk) -> None:
    assert "build --next-root" in desk.refused("used-up", adopt=992)
    desk.bundle.write_bytes(releases.unsigned(next_root=releases.stranger()))
    last = desk.sign(adopt=1023)
    assert (last.index, last.left) == (1023, 0)
    assert "0 signatures are left" in desk.said[-1]
    assert "all 1,024 signatures are used" in desk.refused("used-up")


def test_a_root_hands_over_to_the_next(desk: Desk) -> None:
    """Signed by the old one, it carries the new one; what follows is signed by that alone."""
    following = releases.key().root
    desk.bundle.write_bytes(releases.unsigned(next_root=following))
    desk.sign()
    between = load(desk.folder / "signed.kerb", desk.root)
    assert between.next_root == following and between.manifest.next_root == following.hss
    after = desk.folder / "after.kerb"
    after.write_bytes(releases.signed(sequence=8))
    assert load(after, between.next_root).verified
    with pytest.raises(BundleFault):
        load(after, desk.root)


def test_no_index_is_lost_where_nothing_can_be_written(desk: Desk) -> None:
    (desk.folder / "taken.kerb.new").mkdir()
    with pytest.raises(IsADirectoryError):
        desk.sign("taken.kerb")
    assert desk.next() == 0


def test_where_no_file_can_be_no_index_is_spent(desk: Desk) -> None:
    os.mkfifo(desk.folder / "pipe")
    (desk.folder / "loop").symlink_to("loop")
    for name in ("key", "pipe", "loop", "none/signed.kerb"):
        with pytest.raises(SignerFault) as told:
            desk.sign(name)
        assert told.value.reason == "out" and str(desk.folder / name) in str(told.value)
    assert desk.next() == 0 and not list(desk.folder.glob("*.new"))
    assert (desk.folder / "pipe").is_fifo()


def test_a_link_to_a_bundle_stays_a_link(desk: Desk) -> None:
    (desk.folder / "latest.kerb").symlink_to("this.kerb")
    desk.sign("latest.kerb")
    assert (desk.folder / "latest.kerb").is_symlink()
    assert load(desk.bundle, desk.root).index == 0


@pytest.mark.parametrize("name", ["out.kerb", "link.kerb", "key/release.key", "notes.txt"])
def test_what_cannot_be_made_again_is_not_written_over(desk: Desk, name: str) -> None:
    """A signed bundle is not: its index is spent; and a key is not, nor any other file."""
    desk.sign("out.kerb")
    (desk.folder / "link.kerb").symlink_to("out.kerb")
    (desk.folder / "notes.txt").write_text("notes")
    before = (desk.folder / name).read_bytes()
    with pytest.raises(SignerFault) as told:
        desk.sign(name)
    assert told.value.reason == "exists" and "--replace" in str(told.value)
    assert (desk.folder / name).read_bytes() == before and desk.next() == 1


def test_a_bundle_is_replaced_where_somebody_says_so(desk: Desk) -> None:
    desk.sign("out.kerb")
    assert desk.sign("out.kerb", replace=True).index == 1
    assert load(desk.folder / "out.kerb", desk.root).index == 1


def test_a_root_is_not_its_own_next_one(desk: Desk) -> None:
    desk.bundle.write_bytes(releases.unsigned(next_root=desk.root))
    desk.refused("next-root")
    assert desk.next() == 0


def test_a_root_with_the_same_tree_is_no_next_one(desk: Desk) -> None:
    """A node knows a root by its HSS key alone: it would go on with the tree that is used up."""
    other = Root(releases.key().root.ed25519, desk.root.hss)
    desk.bundle.write_bytes(releases.unsigned(next_root=other))
    desk.refused("next-root")
    fresh = Root(desk.root.ed25519, releases.key().root.hss)
    desk.bundle.write_bytes(releases.unsigned(next_root=fresh))
    assert desk.sign().index == 0


def test_an_index_that_two_laptops_gave_is_told(desk: Desk, tmp_path: Path) -> None:
    """Stick and witness were copied, and both go on: whoever sees both releases is told."""
    shutil.copytree(desk.folder, tmp_path / "other")
    other = Desk(tmp_path / "other")
    desk.sign("ours.kerb")
    other.bundle.write_bytes(releases.unsigned(sequence=9))
    other.sign("theirs.kerb")
    shutil.copy(tmp_path / "other" / "theirs.kerb", desk.folder)
    shutil.copy(desk.folder / "ours.kerb", tmp_path / "other")
    for each, seen in ((desk, "theirs.kerb"), (other, "ours.kerb")):
        text = each.refused("forked", earlier=(seen,))
        assert "index 0" in text and "make a new root" in text
        assert each.next() == 1
    other.refused("forked", earlier=("ours.kerb", "theirs.kerb"), adopt=7)
    assert desk.sign("more.kerb", earlier=("ours.kerb",)).index == 1


def test_two_releases_of_one_index_are_told_by_whoever_has_no_list(desk: Desk) -> None:
    desk.sign("ours.kerb")
    backup = desk.folder / "backup"
    shutil.copytree(desk.key, backup)
    shutil.rmtree(desk.witnesses)
    desk.bundle.write_bytes(releases.unsigned(sequence=9))
    (desk.key / FILE).unlink()
    assert desk.sign("theirs.kerb", adopt=0).index == 0  # nobody knows better
    shutil.rmtree(desk.witnesses)
    both = ("ours.kerb", "theirs.kerb")
    desk.refused("forked", earlier=both, adopt=7)


@pytest.mark.parametrize("name", ["key/release.key", f"key/{FILE}"])
def test_a_pipe_in_the_keys_folder_holds_nobody_up(desk: Desk, name: str) -> None:
    (desk.folder / name).unlink()
    os.mkfifo(desk.folder / name, 0o600)
    desk.refused("key" if "release" in name else "damaged")


def test_an_index_that_is_a_link_to_its_witness_vouches_for_nothing(desk: Desk) -> None:
    (desk.key / FILE).unlink()
    (desk.key / FILE).symlink_to(keys.witness_of(desk.root, desk.witnesses))
    with pytest.raises(OSError, match="symbolic links"):
        desk.sign()


def test_a_key_that_is_used_up_is_not_adopted(desk: Desk) -> None:
    """The index that the remedy of `too-low` would name is none."""
    desk.bundle.write_bytes(releases.unsigned(next_root=releases.stranger()))
    assert desk.sign(adopt=1023).index == 1023
    desk.refused("used-up", adopt=1023)


def test_what_nobody_can_build_again_is_not_signed(desk: Desk) -> None:
    desk.bundle.write_bytes(releases.unsigned(dirty=True))
    assert "--from-dirty-tree" in desk.refused("dirty")
    assert desk.next() == 0


def others_may_read(key: Path) -> None:
    (key / "release.key").chmod(0o640)


def no_secret(key: Path) -> None:
    (key / "release.key").unlink()


def half_a_secret(key: Path) -> None:
    text = (key / "release.key").read_text()
    (key / "release.key").write_text(text[:150])


def another_seed(key: Path) -> None:
    text = (key / "release.key").read_text()
    (key / "release.key").write_text(text[:-3] + ("00" if text[-3:-1] != "00" else "11") + "\n")


def no_index(key: Path) -> None:
    (key / FILE).unlink()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (others_may_read, "permission"),
        (no_secret, "key"),
        (half_a_secret, "key"),
        (another_seed, "key"),
        (no_index, "damaged"),
    ],
)
def test_a_key_that_is_not_whole_signs_nothing(
    desk: Desk, harm: Callable[[Path], None], reason: str
) -> None:
    harm(desk.key)
    desk.refused(reason)
    if harm is not no_index:
        assert desk.next() == 0, "an index is spent only when there is a key to sign with"


def test_a_key_is_made_in_a_new_folder_away_from_its_witness(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(SignerFault) as told:
        keys.generate(RealDisk(), desk.key, desk.witnesses)
    assert told.value.reason == "exists"
    with pytest.raises(SignerFault) as told:
        keys.generate(RealDisk(), tmp_path / "new", tmp_path / "new" / "witness")
    assert told.value.reason == "witness" and not (tmp_path / "new").exists()


def test_a_machine_that_miscalculates_lets_nothing_out(desk: Desk) -> None:
    """A wrong hash in a tree gives a one-time key away: what is signed is verified first."""

    class Wrong(Tree):
        def __init__(self, right: Tree) -> None:
            self._prv, self.public, self.signatures = right._prv, right.public, right.signatures

        def sign(self, message: bytes, index: int) -> bytes:
            made = bytearray(super().sign(message, index))
            made[500] ^= 1
            return bytes(made)

    with pytest.raises(SignerFault) as told:
        signer.sign(
            desk.bundle,
            desk.folder / "wrong.kerb",
            desk.key,
            desk.witnesses,
            say=desk.said.append,
            tree_of=lambda *key: Wrong(tree_once(*key)),
        )
    assert told.value.reason == "machine"
    assert not (desk.folder / "wrong.kerb").exists() and desk.next() == 1


def test_the_index_is_spent_before_there_is_a_signature(desk: Desk) -> None:
    spent: list[int] = []

    class Watched(Tree):
        def __init__(self, right: Tree) -> None:
            self._prv, self.public, self.signatures = right._prv, right.public, right.signatures

        def sign(self, message: bytes, index: int) -> bytes:
            assert desk.next() == index + 1
            spent.append(index)
            return super().sign(message, index)

    signer.sign(
        desk.bundle,
        desk.folder / "signed.kerb",
        desk.key,
        desk.witnesses,
        say=desk.said.append,
        tree_of=lambda *key: Watched(tree_once(*key)),
    )
    assert spent == [0]


@pytest.mark.nightly
def test_killed_at_any_time_a_bundle_is_signed_or_not(desk: Desk) -> None:
    """SIGKILL to whole signers: what is there after it is whole, and no index is there twice."""
    chance = random.Random(11)
    plain = desk.bundle.read_bytes()
    seen: dict[int, bytes] = {}
    cut = 0
    for number in range(60):
        desk.bundle.write_bytes(plain)
        words = ["sign", desk.bundle, "--key", desk.key, "--witness", desk.witnesses]
        with subprocess.Popen(
            [sys.executable, "-m", "kerbline", "firmware", *map(str, words)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": ":".join(path for path in sys.path if path)},
        ) as child:
            with suppress(subprocess.TimeoutExpired):
                if number % 10:  # each tenth ends by itself
                    child.wait(chance.uniform(0.8, 1.6))
            if number % 10:
                child.kill()
            assert child.stderr is not None
            said = child.stderr.read()
        assert said == b"", said
        bundle = load(desk.bundle, desk.root if desk.bundle.read_bytes() != plain else None)
        cut += bundle.index < 0
        if bundle.index >= 0:
            assert seen.setdefault(bundle.index, bundle.signed_manifest) == bundle.signed_manifest
            assert bundle.index < desk.next()
    assert cut and seen
