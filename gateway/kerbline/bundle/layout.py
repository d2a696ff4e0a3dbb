"""The names of a bundle's members."""

UNSIGNED = "manifest.kbm"  # the manifest's bytes, until a signer has made SIGNED of them
SIGNED = "manifest.cose"
APPROVAL = "bundle.ed25519"  # the root's fingerprint, and Ed25519 over bundle.json
OBJECTS = "objects/"
PARTS = "parts/"
STARTS = "start/"
IMAGE = "image.bin"
SBOM = "sbom.cdx.json"
