"""Signatures over stored files: OpenSSH's, made and checked by ``ssh-keygen -Y``.

A seal shows that a file was changed; a signature shows who vouches for it. The signature of ``bm25.json`` lies beside
it in ``bm25.json.sig``. It covers the file's bytes, and with them the SHA-256 of every run and table that it keeps.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from mdrbench.core.errors import DataError, SetupError, UsageError

NAMESPACE = "mdrbench"


def signature_of(path: Path) -> Path:
    """Return where the signature of a file lies."""
    return path.with_name(f"{path.name}.sig")


def sign(path: Path, key: Path) -> Path:
    """Sign a stored file; return the signature's path.

    Args:
        key: an OpenSSH private key, or a public key whose private key an agent holds.

    Raises:
        UsageError: there is no such key. DataError: ssh-keygen refuses to sign.
    """
    if not key.is_file():
        raise UsageError("no such key", where=str(key), mend="make one: `ssh-keygen -t ed25519`")
    signature = signature_of(path)
    signature.unlink(missing_ok=True)  # ssh-keygen asks before it replaces a file
    done = _ssh_keygen("-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(path))
    if done.returncode:
        raise DataError(f"ssh-keygen cannot sign: {_why(done)}", where=str(path), mend="check --key and its passphrase")
    return signature


def refused(path: Path, signers: Path) -> str | None:
    """Return why the signature of a stored file is not accepted, None if an allowed signer signed it.

    Args:
        signers: OpenSSH's file of allowed signers: ``NAME ssh-ed25519 KEY`` a line.

    Raises:
        UsageError: there is no such file.
    """
    if not signers.is_file():
        raise UsageError("no such file of signers", where=str(signers), mend="write `NAME ssh-ed25519 KEY` a line")
    signature = signature_of(path)
    if not signature.is_file():
        return "is not signed"
    common = ("-f", str(signers), "-n", NAMESPACE, "-s", str(signature))
    content = path.read_bytes()
    found = _ssh_keygen("-Y", "find-principals", *common, content=content)
    names = found.stdout.decode(errors="replace").split()
    if found.returncode or not names:
        return "is signed by a key that is not among the signers"
    done = _ssh_keygen("-Y", "verify", *common, "-I", names[0], content=content)
    return f"was changed after {names[0]} signed it ({_why(done)})" if done.returncode else None


def _ssh_keygen(*words: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", *words], input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise SetupError("ssh-keygen is not installed", mend="install OpenSSH 8.1 or newer") from None


def _why(done: subprocess.CompletedProcess[bytes]) -> str:
    text = (done.stderr or done.stdout).decode(errors="replace").strip()
    return text.splitlines()[-1] if text else f"exit code {done.returncode}"
