"""The dashboard over TLS: other cookie, other origins, and no way round it."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.dashboard.crowd import RatesOnly
from tests.dashboard.serving import settings

from fundingarb.engine.clock import SystemClock
from fundingarb_dashboard.place import place_of
from fundingarb_dashboard.service import Dashboard

pytestmark = pytest.mark.anyio


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dashboard")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


async def test_login_over_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    said: list[str] = []
    place = place_of(settings(tls_certificate=cert, tls_key=key))
    dashboard = Dashboard(place, SystemClock(), said.append)
    try:
        await dashboard.start(RatesOnly())  # type: ignore[arg-type]
        assert dashboard.url is not None
        url, port = dashboard.url, dashboard.url.rpartition(":")[2]
        assert url.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=str(cert))
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as http:
            token = said[0].partition("#token=")[2].partition(" ")[0]
            plain = {"Origin": f"http://127.0.0.1:{port}"}
            async with http.post(
                f"{url}/api/login", json={"token": token}, headers=plain, ssl=trust
            ) as refused:
                assert refused.status == 403
            own = {"Origin": url}
            async with http.post(f"{url}/api/login", json={"token": token}, headers=own, ssl=trust) as answer:
                assert answer.status == 200
                cookie = answer.headers["Set-Cookie"]
                assert cookie.startswith(f"__Host-fundingarb_{port}=")
                assert "Secure" in cookie
                assert "max-age" in answer.headers["Strict-Transport-Security"]
            async with http.ws_connect(f"{url}/api/ws", headers=own, ssl=trust) as socket:
                assert '"SNAPSHOT"' in await socket.receive_str(timeout=30)
            with pytest.raises(aiohttp.ClientError):
                await http.get(f"http://127.0.0.1:{port}/api/health")
    finally:
        await dashboard.close()
