//! ES256 signatures (RFC 7518 section 3.4).

use p256::ecdsa::{Signature, VerifyingKey};

/// Whether `signature` (`r` and `s`, 32 bytes each) is the key's over SHA-256 of the message. The
/// key is given twice: as it is, and as the two coordinates of its point.
#[cfg(not(feature = "client"))]
pub(super) fn is_signed_by(key: &VerifyingKey, _point: &[u8; 64], message: &[u8], signature: &[u8]) -> bool {
    use p256::ecdsa::signature::Verifier as _;
    Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

/// As above, by the provider of the TLS library, which takes a quarter of the time. The answer is
/// the same.
#[cfg(feature = "client")]
pub(super) fn is_signed_by(_key: &VerifyingKey, point: &[u8; 64], message: &[u8], signature: &[u8]) -> bool {
    use std::sync::LazyLock;

    use rustls::SignatureScheme::ECDSA_NISTP256_SHA256;
    use rustls::pki_types::SignatureVerificationAlgorithm;

    static ES256: LazyLock<&'static dyn SignatureVerificationAlgorithm> = LazyLock::new(|| {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let known = provider.signature_verification_algorithms.mapping;
        // TLS 1.3 ties the hash to the curve, and the first of the list is that pair.
        let (_, algorithms) = known
            .iter()
            .find(|(scheme, _)| *scheme == ECDSA_NISTP256_SHA256)
            .expect("every provider of TLS knows ECDSA with P-256 and SHA-256");
        algorithms[0]
    });
    let mut sec1 = [4; 65];
    sec1[1..].copy_from_slice(point);
    // The provider takes signatures as TLS writes them, in ASN.1.
    Signature::from_slice(signature)
        .is_ok_and(|signature| ES256.verify_signature(&sec1, message, signature.to_der().as_bytes()).is_ok())
}
