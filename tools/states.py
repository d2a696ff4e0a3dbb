"""Prints the handshake's states as the diagrams that protocol/wire.md shows.

.venv/bin/python -m tools.states
"""

from kerbwire.handshake import GATEWAY, INPUTS, NODE, STATES, TRANSITIONS

ROLES = ((NODE, "node"), (GATEWAY, "gateway"))


def diagram(role: int) -> str:
    """One role's transitions as a Mermaid state diagram, in a fenced block."""
    steps = sorted(
        (start, end, input_) for (r, start, input_), end in TRANSITIONS.items() if r == role
    )
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {STATES[0]}"]
    lines += [f"    {STATES[start]} --> {STATES[end]}: {INPUTS[i]}" for start, end, i in steps]
    return "\n".join([*lines, "```"])


def main() -> None:
    for role, name in ROLES:
        print(f"The {name}:\n\n{diagram(role)}\n")


if __name__ == "__main__":
    main()
