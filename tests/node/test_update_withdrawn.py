"""What a gateway withdraws is let go of, and goes on where it was when it is brought again."""

from node import test_update

__test__ = test_update.__test__  # for MicroPython alone

if test_update.vfs is not None:
    from kerbwire import cbor
    from kerbwire import messages as m
    from kerbwire.asking import NONE
    from node.test_update import SIGNED, Pole


def test_a_withdrawn_release_leaves_the_heap_and_keeps_its_blocks() -> None:
    with Pole() as pole:
        node = pole.node()
        assert node.given(m.OBJECT_UPDATE, SIGNED, blocks=3) == 3
        assert node.update is not None
        offer = cbor.encode([m.OFFER, 3, bytes(16), 1, 1, NONE])
        objects = node.session.objects
        items = cbor.decode(offer)
        node._take(objects.receive(m.OFFER, items, 0))
        assert node.update is None and node.told == []
        answer = objects.pull(0)
        assert answer is not None and cbor.decode(answer) == [m.WANT, 3, 0, 0]
        assert objects.deadline() is None
        whole = -(-len(SIGNED) // 224)
        assert node.given(m.OBJECT_UPDATE, SIGNED, handle=4) == whole - 3
        assert node.told == [m.UPDATE_TAKEN]
