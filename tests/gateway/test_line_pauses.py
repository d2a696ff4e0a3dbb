"""A line that is lost as soon as it is open is not opened five times a second."""

from kerbline.south.serial_line import LONGEST_PAUSE_S, PAUSE_S, Pauses


def test_a_port_that_hangs_up_at_once_is_opened_ever_less_often() -> None:
    pauses = Pauses()
    found = [pauses.after(0.01) for _ in range(8)]
    assert found[0] == PAUSE_S and found == sorted(found) and found[-1] == LONGEST_PAUSE_S
    assert pauses.after(60.0) == PAUSE_S


def test_a_line_that_is_pulled_now_and_then_is_there_again_soon() -> None:
    pauses = Pauses()
    assert {pauses.after(2.0) for _ in range(8)} == {PAUSE_S}
