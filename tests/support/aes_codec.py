"""The other side of `--codec-keys`, in Python: AES-256-GCM by PyPI cryptography in the form of the official SDKs' encryption sample. The keys
are made of their names, so that a test needs nothing but those."""
import base64, dataclasses, os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

KEYS = {name: (name.encode() * 32)[:32] for name in ("spring", "summer", "autumn")}


class Aes(PayloadCodec):
    """Several keys: the first encrypts."""

    def __init__(self, *names):
        self.names = names

    async def encode(self, payloads):
        return [self.seal(p) for p in payloads]

    def seal(self, p):
        nonce = os.urandom(12)
        return Payload(metadata={"encoding": b"binary/encrypted", "encryption-key-id": self.names[0].encode()},
                       data=nonce + AESGCM(KEYS[self.names[0]]).encrypt(nonce, p.SerializeToString(), None))

    async def decode(self, payloads):
        return [self.open(p) for p in payloads]

    def open(self, p):
        if p.metadata.get("encoding") != b"binary/encrypted":
            return p
        name = p.metadata["encryption-key-id"].decode()
        if name not in self.names:
            raise ValueError(f"no key {name}")
        return Payload.FromString(AESGCM(KEYS[name]).decrypt(p.data[:12], p.data[12:], None))


def converter(*names):
    return dataclasses.replace(DataConverter.default, payload_codec=Aes(*names), failure_converter_class=DefaultFailureConverterWithEncodedAttributes)


def key_lines(*names):
    return "".join(f"{n} {base64.b64encode(KEYS[n]).decode()}\n" for n in names)


def key_file(folder, *names):
    """A file for --codec-keys: its path."""
    path = os.path.join(folder, "-".join(names) + ".keys")
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as f:
        f.write(key_lines(*names))
    return path
