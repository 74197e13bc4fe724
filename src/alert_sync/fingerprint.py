"""The identity that Alertmanager gives an alert: FNV-1a, 64 bits, over its labels. Pure.

Needed only for payloads without fingerprints (before Alertmanager 0.19, and some of IRM's legacy integrations).
"""

from __future__ import annotations

from collections.abc import Mapping

_OFFSET = 14695981039346656037
_PRIME = 1099511628211
_64_BITS = 0xFFFFFFFFFFFFFFFF


def fingerprint(labels: Mapping[str, str]) -> str:
    """16 hexadecimal digits. Labels with an empty value do not count; names are sorted by their UTF-8 bytes."""
    present = {name.encode(): value.encode() for name, value in labels.items() if value}
    digest = _OFFSET
    for name in sorted(present):
        for byte in name + b"\xff" + present[name] + b"\xff":
            digest = (digest ^ byte) * _PRIME & _64_BITS
    return f"{digest:016x}"
