"""The secret and the key pair of a run, and tokens signed with them."""

from __future__ import annotations

import datetime
import secrets
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


class Keys:
    """The secret and the key pair of this run, and tokens signed with them."""

    def __init__(self, folder: Path) -> None:
        """Makes new keys; the public one is written into `folder`."""
        self.secret = secrets.token_hex(32)
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.private = private
        self.public_path = folder / "public.pem"
        self.public_path.write_bytes(
            private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

        self._write_certificate(folder)

    def _write_certificate(self, folder: Path) -> None:
        """A certificate for the loopback with its key, for servers with TLS."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        (folder / "tls-cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "tls-key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def environment(self, algorithm: str) -> dict[str, str]:
        """What a server needs to verify tokens of this algorithm."""
        if algorithm == "HS256":
            own = {"MOZAIKS_JWT_SECRET": self.secret, "BENCH_SECRET": self.secret}
        else:
            path = str(self.public_path)
            own = {"MOZAIKS_JWT_PUBLIC_KEY_FILE": path, "BENCH_PUBLIC_KEY": path}
        return {**own, "BENCH_ALGORITHM": algorithm}

    def tokens(self, algorithm: str, users: int) -> list[str]:
        """One token a user, good for an hour."""
        key: Any = self.secret if algorithm == "HS256" else self.private
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        return [
            jwt.encode(
                {"sub": f"user{i}", "username": f"user{i}", "roles": ["user"], "exp": expires},
                key,
                algorithm=algorithm,
            )
            for i in range(users)
        ]
