"""Public keys as JWKs (RFC 7517)."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519


def public_jwk(kid: str, public: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey, state: str) -> dict[str, Any]:
    """Return a public key as a JWK.

    Args:
        kid: id of the key.
        public: the key.
        state: of the key in its store, told beside it.
    """
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm

    if isinstance(public, ed25519.Ed25519PublicKey):
        jwk = dict(OKPAlgorithm.to_jwk(public, as_dict=True))
        algorithm = "EdDSA"
    else:
        jwk = dict(ECAlgorithm.to_jwk(public, as_dict=True))
        algorithm = "ES256"
    return {**jwk, "kid": kid, "use": "sig", "alg": algorithm, "state": state}
