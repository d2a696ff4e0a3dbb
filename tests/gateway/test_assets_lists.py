"""Lists of assets in three forms: what one gives, each takes; every fault with its place."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerbline.assets import Asset, Location
from kerbline.assets.asset import TYPES
from kerbline.assets.faults import AssetsFault
from kerbline.assets.lists import CSV, FORMS, GEOJSON, JSON, drafts, written
from kerbline.assets.merge import Merged, merged

LAMP = Asset("lamp-1", "Streetlight", location=Location("Point", ((18.1, 59.3),)), zone="z-1")


def imported(
    text: str | bytes,
    form: str | None = CSV,
    before: Sequence[Asset] = (),
    *,
    whole: bool = False,
    kinds: dict[str, str] | None = None,
) -> Merged:
    content = text if isinstance(text, bytes) else text.encode()
    return merged(before, drafts(content, f"a.{form}", form), kinds or {}, whole=whole)


def told(text: str | bytes, form: str | None = CSV) -> list[str]:
    with pytest.raises(AssetsFault) as fault:
        imported(text, form)
    return str(fault.value).splitlines()


# ---------------------------------------------------------------- there and back

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", fullmatch=True)
TEXTS = st.text(max_size=200).filter(
    lambda text: text.isprintable() and text == text.strip() and text[:1] not in tuple("=+-@")
) | st.just("")
LONS, LATS = st.floats(-180, 180), st.floats(-90, 90)
POSITIONS = st.tuples(LONS, LATS) | st.tuples(LONS, LATS, st.floats(-400, 9_000))
PLACES = st.one_of(
    st.none(),
    POSITIONS.map(lambda position: Location("Point", (position,))),
    st.lists(POSITIONS, min_size=2, max_size=5).map(
        lambda positions: Location("LineString", tuple(positions))
    ),
)
ASSETS = st.builds(
    Asset,
    NAMES,
    st.sampled_from(TYPES),
    TEXTS,
    PLACES,
    *(st.just("") | NAMES for _ in range(2)),
    TEXTS,
    TEXTS,
    st.sampled_from(["", "public", "personal"]),
)


@given(st.lists(ASSETS, max_size=5, unique_by=lambda asset: asset.id))
def test_what_one_form_gives_each_takes(assets: list[Asset]) -> None:
    first = {form: written(assets, form) for form in FORMS}
    for form, text in first.items():
        found = imported(text, form).assets
        assert found == tuple(assets)
        assert {other: written(found, other) for other in FORMS} == first


def test_the_form_is_told_by_the_content() -> None:
    for form in FORMS:
        assert imported(written([LAMP], form), None).assets == (LAMP,)
    assert imported(written([LAMP], GEOJSON), JSON).assets == (LAMP,)  # as many portals name it


def test_geojson_is_what_a_map_program_reads() -> None:
    street = Asset("s-1", "DeviceMeasurement", location=Location("LineString", ((1, 2), (3, 4, 5))))
    tree = json.loads(written([LAMP, street], GEOJSON))
    assert tree["type"] == "FeatureCollection"
    assert tree["features"][0] == {
        "type": "Feature",
        "id": "lamp-1",
        "geometry": {"type": "Point", "coordinates": [18.1, 59.3]},
        "properties": {"type": "Streetlight", "zone": "z-1"},
    }
    assert tree["features"][1]["geometry"]["coordinates"] == [[1, 2], [3, 4, 5]]


def test_csv_is_that_of_rfc_4180() -> None:
    text = written([Asset("lamp-1", "Streetlight", 'A "new", bright one')], CSV)
    assert text.splitlines(keepends=True) == [
        "id,type,name,lat,lon,location,group,zone,segment,owner,privacy\r\n",
        'lamp-1,Streetlight,"A ""new"", bright one",,,,,,,,\r\n',
    ]


# ---------------------------------------------------------------- what spreadsheets write


@pytest.mark.parametrize(
    "text",
    [
        "id;type;lat;lon;zone\r\nlamp-1;Streetlight;59.3;18.1;z-1\r\n",
        "id\ttype\tlat\tlon\tzone\nlamp-1\tStreetlight\t59.3\t18.1\tz-1\n",
        "sep=;\r\nid;type;lat;lon;zone\r\nlamp-1;Streetlight;59.3;18.1;z-1\r\n;;;;\r\n",
        "\ufeffid,type,lat,lon,zone\n lamp-1 ,Streetlight, 59.3,18.1,z-1\n\n",
        '"id","type","location","zone"\n"lamp-1","Streetlight",'
        '"{""type"": ""Point"", ""coordinates"": [18.1, 59.3]}","z-1"',
    ],
)
def test_tables_as_programs_save_them(text: str) -> None:
    assert imported(text).assets == (LAMP,)


def test_a_map_programs_numbers_are_no_ids() -> None:
    tree = json.loads(written([LAMP], GEOJSON))
    tree["name"] = "lamps"
    tree["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    (feature,) = tree["features"]
    feature["properties"]["id"] = feature["id"]
    feature["id"] = 17
    feature["properties"] |= {"owner": None, "lat": "59.0", "lon": "18.0", "location": ""}
    assert imported(json.dumps(tree), GEOJSON).assets == (LAMP,)


# ---------------------------------------------------------------- into a list that is there


def test_a_table_changes_what_it_has_columns_for() -> None:
    owned = Asset("lamp-1", "Streetlight", "Kaj", LAMP.location, "g-1", "z-1", owner="Hamnen")
    found = imported("id,zone,owner\nlamp-1,z-2,\n", before=[owned])
    assert found.assets == (Asset("lamp-1", "Streetlight", "Kaj", LAMP.location, "g-1", "z-2"),)
    assert (found.added, found.changed, found.same, found.removed) == (0, 1, 0, 0)
    moved = imported("id,lat,lon\nlamp-1,,\n", before=[owned]).assets[0]
    assert (moved.location, moved.owner) == (None, "Hamnen")


def test_replace_keeps_what_the_file_has_alone() -> None:
    before = [LAMP, Asset("lamp-2", "Streetlight")]
    found = imported("id,type\nlamp-2,Streetlight\n", before=before, whole=True)
    assert found.assets == (Asset("lamp-2", "Streetlight"),)
    assert (found.same, found.removed) == (1, 1)
    with pytest.raises(AssetsFault, match="an empty list would replace 2 assets"):
        imported("id,type\n", before=before, whole=True)


def test_the_device_says_what_an_asset_is_where_the_file_does_not() -> None:
    kinds = {"meter-1": "water_meter"}
    found = imported("id\nmeter-1\n", kinds=kinds)
    assert found.assets == (Asset("meter-1", "WaterConsumptionObserved"),)
    (fault,) = told("id\nmeter-1\n")
    assert fault.startswith(
        "a.csv:2: type: is missing, and no device of the config says; write one"
    )


def test_what_may_not_have_been_meant_is_noted() -> None:
    meter = Asset("m-1", "WaterConsumptionObserved")
    text = "id,type,lat,lon,privacy\nm-1,,,,public\nlamp-1,DeviceMeasurement,59.3,18.1,\n"
    rows = "".join(f"n-{n},Streetlight,59.3{n},18.1{n},\n" for n in range(5))
    text += rows + "n-9,Streetlight,18.1,59.3,\nn-10,Streetlight,0,0,\n"
    found = imported(text, before=[meter, LAMP], kinds={"m-1": "water_meter"})
    assert found.notes == (
        "m-1 was personal and is now public",
        "lamp-1 was a Streetlight and is now a DeviceMeasurement: the city sees a new entity",
        "lamp-1 was public and is now personal",
        "n-9 lies 5,646 km from the middle of the others: latitude and longitude swapped?",
        "n-10 lies 6,780 km from the middle of the others",
    )
    served = imported(rows and "id,type\nm-1,\n", before=[meter, LAMP], kinds={"lamp-1": "x"})
    assert served.notes == ()
    gone = imported(
        "id,type\nm-1,DeviceMeasurement\n", before=[LAMP], kinds={"lamp-1": "x"}, whole=True
    )
    assert gone.notes == ("lamp-1 is in the config and no longer in the list",)


def test_a_list_that_is_swapped_as_a_whole_is_noted() -> None:
    found = imported("id,type,lat,lon\nlamp-1,Streetlight,18.1,59.3\n")
    assert found.notes == (
        "most assets lie at lat 18.1, lon 59.3: are latitude and longitude swapped?",
    )


# ---------------------------------------------------------------- faults of tables


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("lamp 1,Streetlight,,,", 'id: "lamp 1" is not of the right form; write 1 to 32 letters'),
        (",Streetlight,,,", "id: is missing; write the id that the asset keeps for ever"),
        ("l-1,Lamp,,,", 'type: "Lamp" is not known; write one of "Streetlight", '),
        ("l-1,Streetlight,,,secret", 'privacy: "secret" is not known; write one of "public", '),
        ('l-1,Streetlight,"59,3",18,', 'lat: "59,3" has a decimal comma; write 59.3, with a point'),
        ("l-1,Streetlight,59°20',18,", 'lat: "59\\u00b020\'" is no number; write decimal degrees'),
        ("l-1,Streetlight,nan,18,", 'lat: "nan" is no number; write decimal degrees'),
        ("l-1,Streetlight,59.3,,", "lon: is missing where lat is given; write decimal degrees"),
        ("l-1,Streetlight,,18,", "lat: is missing where lon is given; write decimal degrees"),
        ("l-1,Streetlight,91,180,", "lat: 91 is out of range, -90 to 90; write decimal degrees"),
        (
            "l-1,Streetlight,118.1,59.3,",
            "lat: 118.1 is out of range, -90 to 90; swap the columns: lat and lon look exchanged",
        ),
        (
            "l-1,Streetlight,6580822.5,674032,",
            "lat: 6580822.5 is out of range, -90 to 90; these look like metres of a national grid",
        ),
        ("l-1,Streetlight,59.3,181,", "lon: 181 is out of range, -180 to 180; write decimal"),
        ("l-1,Streetlight,59,3,18,1,", "7 cells where the first row has 5; write as many; a cell "),
        ('l-1,Street"light,,,"x"y', "this is no CSV: ',' expected after '\"'; write a cell with"),
        ('l-1,"Street\nlight",,,', 'type: "Street\\nlight" is not known; write one of '),
    ],
)
def test_a_fault_of_a_row_is_told_with_its_line(row: str, fault: str) -> None:
    good = "g-1,Streetlight,,,"
    (line,) = told(f"id,type,lat,lon,privacy\n{good}\n{row}\n")
    assert line.startswith(f"a.csv:3: {fault}")


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ("id,Type", '"Type": is not a key that belongs here; did you mean type?'),
        ("id,latitude", '"latitude": is not a key that belongs here; did you mean lat?'),
        ("id,wattage", '"wattage": is not a key that belongs here; remove it; known here: id, '),
        ("id,zone,zone", '"zone": names two columns; remove one of them'),
        ("type,name", "id: is no column; name the columns in the first row: id, type, "),
    ],
)
def test_a_fault_of_the_first_row_is_told(header: str, fault: str) -> None:
    line, *more = told(f"{header}\n1" + ",z" * header.count(",") + "\n")
    assert not more
    assert line.startswith(f"a.csv:1: {fault}")


def test_rows_are_judged_beside_a_column_that_is_none() -> None:
    lines = told("id,wattage,type\nl 1,7,Streetlight\nl-2,7,Lamp\n")
    assert [line.split(": ")[1] for line in lines] == ['"wattage"', "id", "type"]


def test_a_file_with_nothing_in_it_is_told() -> None:
    assert told("\n;;\n") == ["a.csv: this is empty; name the right file"]


def test_the_line_of_a_row_is_that_where_it_begins() -> None:
    lines = told('id,type,name\nl-1,Streetlight,"a\nb\nc"\nl 2,Streetlight,\n')
    assert [line.split(": ")[0] for line in lines] == ["a.csv:2", "a.csv:5"]
    (line,) = told("sep=;\nid;type\nl 2;Streetlight\n")
    assert line.startswith("a.csv:3: id: ")


def test_an_id_given_twice_is_told_with_the_first() -> None:
    (line,) = told("id,type\nl-1,Streetlight\nl-2,Streetlight\nl-1,Streetlight\n")
    assert line.startswith('a.csv:4: id: "l-1" stands at line 2 already; write another one')
    tree = [{"id": "l-1", "type": "Streetlight"}] * 2
    (line,) = told(json.dumps(tree), JSON)
    assert line.startswith('a.json: asset 2 (l-1): id: "l-1" stands at asset 1 (l-1) already')


def test_a_name_that_a_table_program_would_run_is_told() -> None:
    (line,) = told('id,type,name\nl-1,Streetlight,"=HYPERLINK(1)"\n')
    assert line == 'a.csv:2: name: "=HYPERLINK(1)" looks like a formula; leave out the ='


def test_twenty_faults_are_told_and_the_others_counted() -> None:
    lines = told("id,type\n" + "".join(f"l {n},Lamp\n" for n in range(15)))
    assert len(lines) == 21
    assert lines[-1] == "and 10 more"
    assert [line.split(": ")[0] for line in lines[:3]] == ["a.csv:2", "a.csv:2", "a.csv:3"]


def test_a_list_of_a_whole_country_is_told() -> None:
    lines = told("id,type\n" + "".join(f"l{n},Streetlight\n" for n in range(20_001)))
    assert lines == ["a.csv: 20,001 assets; leave those of this gateway's district, 20,000 at most"]


def test_a_list_grows_no_longer_than_that_by_parts() -> None:
    full = [Asset(f"l{n}", "Streetlight") for n in range(20_000)]
    with pytest.raises(AssetsFault, match="20,001 assets in the list, 20,000 at most"):
        imported("id,type\nnew,Streetlight\n", CSV, before=full)
    assert imported("id,name\nl1,Quay\n", CSV, before=full).changed == 1
    assert imported("id,type\nnew,Streetlight\n", CSV, before=full, whole=True).added == 1


@pytest.mark.parametrize("form", FORMS)
def test_what_is_no_utf_8_is_told(form: str) -> None:
    (line,) = told("id,type,name\nl-1,Streetlight,Sjö".encode("latin-1"), form)
    assert line.startswith(f"a.{form}:2: this is not UTF-8; save the file as")
    (line,) = told("id,type\n".encode("utf-16"), form)
    assert line.startswith(f"a.{form}:1: this is UTF-16; save the file as")
    (line,) = told(b"PK\x03\x04\x14\x00\x08\x08\xf0", form)
    assert line.startswith(f"a.{form}:1: this is a workbook or an archive; save the file as")


# ---------------------------------------------------------------- faults of JSON and GeoJSON


def feature(**changes: object) -> str:
    one = {
        "type": "Feature",
        "id": "l-1",
        "geometry": {"type": "Point", "coordinates": [18.1, 59.3]},
        "properties": {"type": "Streetlight"},
        **changes,
    }
    return json.dumps({"type": "FeatureCollection", "features": [one]})


def point(*coordinates: object) -> dict[str, object]:
    return {"type": "Point", "coordinates": [*coordinates]}


DEEP: object = None
for _ in range(800):
    DEEP = [DEEP]

POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"properties": {"type": "Lamp"}}, 'type: "Lamp" is not known; write one of '),
        ({"properties": {"type": 7}}, 'type: 7 where a text belongs; write "text"'),
        (
            {"properties": {"type": "Streetlight", "lat": 5}, "geometry": None},
            "lat: stands among the properties; write it as the geometry",
        ),
        ({"properties": {"type": "Streetlight", "x": 5}}, '"x": is not a key that belongs here; '),
        ({"properties": {"type": "Streetlight", "id": "l-2"}}, 'id: "l-2" among the properties is'),
        ({"properties": [1]}, "properties: is no object; "),
        ({"geometry": POLYGON}, 'location: "Polygon" is no geometry of an asset; write a Point or'),
        ({"geometry": {"type": "Point"}}, "location: an object is no geometry; write {"),
        ({"geometry": DEEP}, "location: a list is no geometry; write {"),
        ({"geometry": point(DEEP, 1)}, "coordinates: a list is no number; write [longitude, "),
        ({"geometry": point("18", 59)}, 'coordinates: "18" is no number; write [longitude, '),
        ({"geometry": point(True, 59)}, "coordinates: true is no number; write [longitude, "),
        ({"geometry": point(18)}, "coordinates: a list is no position; write [longitude, latitude"),
        (
            {"geometry": point(59.3, 118.1)},
            "coordinates: 118.1 is out of range, -90 to 90; write [longitude, latitude]: they look",
        ),
        (
            {"geometry": point(674032, 6580822)},
            "coordinates: 6580822 is out of range, -90 to 90; these look like metres",
        ),
        (
            {"geometry": point(18, 59, 1e5)},
            "coordinates: 100000 m is no height; write it in metres",
        ),
        (
            {"geometry": {"type": "LineString", "coordinates": [[18, 59]]}},
            "location: a LineString of 1 positions; write 2 to 10,000",
        ),
        (
            {"geometry": {**point(18, 59), "epsg": 3006}},
            'location: "epsg" is not a key that belongs here; remove it; known here: type, coord',
        ),
    ],
)
def test_a_fault_of_a_feature_is_told_with_its_number_and_id(
    changes: dict[str, object], fault: str
) -> None:
    (line,) = told(feature(**changes), GEOJSON)
    head = "feature 1" if "properties" in fault[:10] else "feature 1 (l-1)"
    assert line.startswith(f"a.geojson: {head}: {fault}")
    assert line.isprintable()


@pytest.mark.parametrize(
    ("text", "form", "fault"),
    [
        ('[\n{"id": }]', JSON, "a.json:2: this is no JSON: "),
        ("[" * 5000, JSON, "a.json:1: this is no JSON: "),
        ("7", JSON, "a.json: this is no list of assets; write ["),
        ("[7]", JSON, "a.json: asset 1: 7 is no asset; write {"),
        ('[{"type": "Streetlight"}]', JSON, "a.json: asset 1: id: is missing; write the id"),
        ('[{"id": 7}]', JSON, "a.json: asset 1: id: 7 where a text belongs"),
        ("[]", GEOJSON, "a.geojson: type: this is no FeatureCollection; write {"),
        (
            '{"type": "FeatureCollection", "features": 1}',
            GEOJSON,
            "a.geojson: features: is no list",
        ),
        (
            '{"type": "FeatureCollection", "features": [{"type": "Point"}]}',
            GEOJSON,
            "a.geojson: feature 1: an object is no Feature; write {",
        ),
        (
            '{"type": "FeatureCollection", "crs": {"properties": {"name": "EPSG:3006"}}}',
            GEOJSON,
            "a.geojson: crs: this is another coordinate system; export in WGS 84 (EPSG:4326)",
        ),
        (
            '{"type": "FeatureCollection", "features": [{"type": "Feature", "id": "l-1"}]}',
            GEOJSON,
            "a.geojson: feature 1 (l-1): geometry: is missing; write null",
        ),
    ],
)
def test_a_fault_of_a_tree_is_told(text: str, form: str, fault: str) -> None:
    assert any(line.startswith(fault) for line in told(text, form))


def said(content: bytes, form: str) -> list[str]:
    """What is told of a file, nothing where it will do; anything else that happens is a bug."""
    try:
        drafts(content, "a", form)
    except AssetsFault as fault:
        return str(fault).splitlines()
    return []


@given(st.sampled_from(FORMS), st.binary(max_size=200) | st.text(max_size=200))
def test_whatever_stands_in_a_file_it_is_a_list_or_told_in_lines(
    form: str, text: bytes | str
) -> None:
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    assert all(line.isprintable() and len(line) < 400 for line in said(content, form))


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "type", "location", "coordinates", "features", "properties", "x"]
            ),
            inner
            | st.sampled_from(
                ["Feature", "FeatureCollection", "Point", "LineString", "Streetlight"]
            ),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.sampled_from([JSON, GEOJSON]), TREES)
def test_whatever_a_tree_holds_it_is_a_list_or_told_in_lines(form: str, tree: object) -> None:
    for each in (tree, [tree], {"type": "FeatureCollection", "features": [tree]}):
        assert all(map(str.isprintable, said(json.dumps(each).encode(), form)))
