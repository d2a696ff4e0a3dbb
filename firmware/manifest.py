"""What a node's firmware consists of, for MicroPython's manifest tools and for `make firmware`."""

package("kerbwire", base_path="../protocol")  # noqa: F821 - given by the manifest's interpreter
package("kerbnode")  # noqa: F821
module("main.py")  # noqa: F821
module("slots.py")  # noqa: F821
module("choice.py")  # noqa: F821
module("boot.py")  # noqa: F821
