"""Reads provisioning with FiLiP's models, in an interpreter of its own: what of it came back."""

from __future__ import annotations

import json
import sys

from filip.models.ngsi_v2.iot import Device, ServiceGroup  # type: ignore[import-not-found]

told = json.load(sys.stdin)
found = {
    key: [
        json.loads(model.model_validate(each).model_dump_json(exclude_unset=True))
        for each in told[key]
    ]
    for key, model in (("services", ServiceGroup), ("devices", Device))
}
print(json.dumps(found))
