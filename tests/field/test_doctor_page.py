"""The technician's page has what the doctor says, word for word."""

from pathlib import Path

from tests.field import doctor_cases

ROOT = Path(__file__).parents[2]


def test_the_page_for_technicians_has_what_the_doctor_says() -> None:
    page = (ROOT / "docs" / "operate" / "technician.md").read_text(encoding="utf-8")
    missing = [row for row in doctor_cases.table().splitlines() if row not in page]
    assert not missing, "python -m tests.field.doctor_cases prints the table"
