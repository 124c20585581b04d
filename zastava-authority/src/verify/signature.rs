//! ES256 signatures (RFC 7518 section 3.4).

use p256::ecdsa::{Signature, VerifyingKey};

use super::ProofError;

/// Checks that `signature` (`r` and `s`, 32 bytes each) was made by the key with this point over
/// the SHA-256 of the message.
pub(super) fn check(point: &[u8; 64], message: &[u8], signature: &[u8]) -> Result<(), ProofError> {
    // 0x04: the point is not compressed.
    let mut sec1 = [4; 65];
    sec1[1..].copy_from_slice(point);
    let signature = Signature::from_slice(signature).map_err(|_| ProofError::Signature)?;
    if is_signed(&sec1, message, &signature) {
        return Ok(());
    }
    // Checked last: only a failure needs it.
    Err(VerifyingKey::from_sec1_bytes(&sec1).map_or(ProofError::Key, |_| ProofError::Signature))
}

#[cfg(not(feature = "client"))]
fn is_signed(sec1: &[u8; 65], message: &[u8], signature: &Signature) -> bool {
    use p256::ecdsa::signature::Verifier as _;
    VerifyingKey::from_sec1_bytes(sec1).is_ok_and(|key| key.verify(message, signature).is_ok())
}

/// Checks by the provider of the TLS library, in a quarter of the time. The answer is the same.
#[cfg(feature = "client")]
fn is_signed(sec1: &[u8; 65], message: &[u8], signature: &Signature) -> bool {
    use std::sync::LazyLock;

    use rustls::SignatureScheme::ECDSA_NISTP256_SHA256;
    use rustls::pki_types::SignatureVerificationAlgorithm;

    static ES256: LazyLock<&'static dyn SignatureVerificationAlgorithm> = LazyLock::new(|| {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let known = provider.signature_verification_algorithms.mapping;
        // TLS 1.3 ties the hash to the curve, and that pair is the first of the list.
        let (_, algorithms) = known
            .iter()
            .find(|(scheme, _)| *scheme == ECDSA_NISTP256_SHA256)
            .expect("every provider of TLS knows ECDSA with P-256 and SHA-256");
        algorithms[0]
    });
    // The provider reads signatures as TLS writes them, in ASN.1.
    ES256.verify_signature(sec1, message, signature.to_der().as_bytes()).is_ok()
}
