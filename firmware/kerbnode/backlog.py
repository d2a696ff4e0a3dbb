"""Reports of the backlog that go in one batch; loaded beside the code that packs them."""

from kerbnode.records import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kerbnode.blocks import Record
    from kerbnode.journal import Journal
    from kerbwire.node import NodeSession


def gathered(
    journal: "Journal", session: "NodeSession", record: "Record", most_values: int
) -> "list[tuple[int, int, int, tuple[int, ...]]]":
    """A report, and those of its like right behind it that the session wants, of so many values."""
    reports = [plain(record)]
    number = record[0] + 1
    end = min(journal.next, record[0] + max(1, most_values // len(record[4])))
    while number < end and session.wants(number) and not journal.covering(number):
        following = journal.read(number)
        if following is None or following[1:3] != record[1:3]:
            break
        if len(following[4]) != len(record[4]):
            break
        reports.append(plain(following))
        number += 1
    return reports
