//! Signers of proofs.

use std::fmt;

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};

use super::jwk::point_of;

/// Why a signature could not be made.
pub type SignerError = Box<dyn std::error::Error + Send + Sync>;

/// Signs with a P-256 key by ES256 (RFC 7518 section 3.4): in this process, or in a security module.
pub trait ProofSigner: Send + Sync + fmt::Debug {
    /// The public point: its two coordinates of 32 bytes.
    fn public_key(&self) -> [u8; 64];

    /// The signature over SHA-256 of the message: `r` and `s`, 32 bytes each.
    ///
    /// # Errors
    /// Why it cannot sign. The request is then not sent.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError>;
}

/// Signs in Rust: deterministic (RFC 6979), with a key that is zeroized on drop.
pub(super) struct P256Signer(pub(super) SigningKey);

impl ProofSigner for P256Signer {
    fn public_key(&self) -> [u8; 64] {
        point_of(&self.0.verifying_key().into())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        let signature: Signature = self.0.try_sign(message)?;
        Ok(signature.to_bytes().into())
    }
}

impl fmt::Debug for P256Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256Signer")
    }
}

/// Signs by the provider of the TLS library, which is nearly four times as fast.
#[cfg(feature = "client")]
pub(super) struct ProviderSigner {
    signer: Box<dyn rustls::sign::Signer>,
    public_key: [u8; 64],
}

#[cfg(feature = "client")]
impl ProviderSigner {
    pub(super) fn new(key: &p256::SecretKey) -> Result<Self, SignerError> {
        use p256::pkcs8::EncodePrivateKey as _;
        use rustls::SignatureScheme::ECDSA_NISTP256_SHA256;
        use rustls::pki_types::PrivatePkcs8KeyDer;

        let der = key.to_pkcs8_der()?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let loaded = provider
            .key_provider
            .load_private_key(PrivatePkcs8KeyDer::from(der.as_bytes()).clone_key().into())?;
        let signer = loaded.choose_scheme(&[ECDSA_NISTP256_SHA256]).ok_or("the provider has no ES256")?;
        Ok(Self { signer, public_key: point_of(&key.public_key()) })
    }
}

#[cfg(feature = "client")]
impl ProofSigner for ProviderSigner {
    fn public_key(&self) -> [u8; 64] {
        self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        // TLS writes signatures in ASN.1, JOSE does not.
        let signature = Signature::from_der(&self.signer.sign(message)?)?;
        Ok(signature.to_bytes().into())
    }
}

#[cfg(feature = "client")]
impl fmt::Debug for ProviderSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderSigner")
    }
}
