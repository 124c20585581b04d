//! What a file is, in words of our own.

/// The kind of a PEM block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Certificate,
    /// OpenSSL's: a certificate and what it may be trusted for, which may be nothing.
    TrustedCertificate,
    PrivateKey,
    EncryptedKey,
    OpenSshKey,
    PublicKey,
    Request,
    RevocationList,
    Parameters,
    Other,
}

impl Label {
    pub(super) fn of(label: &[u8]) -> Self {
        match label {
            b"CERTIFICATE" | b"X509 CERTIFICATE" => Self::Certificate,
            b"TRUSTED CERTIFICATE" => Self::TrustedCertificate,
            b"PRIVATE KEY" | b"RSA PRIVATE KEY" | b"EC PRIVATE KEY" => Self::PrivateKey,
            b"ENCRYPTED PRIVATE KEY" => Self::EncryptedKey,
            b"OPENSSH PRIVATE KEY" => Self::OpenSshKey,
            b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Self::PublicKey,
            b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Self::Request,
            b"X509 CRL" => Self::RevocationList,
            b"EC PARAMETERS" | b"DH PARAMETERS" => Self::Parameters,
            _ => Self::Other,
        }
    }

    /// Its name in faults. Labels that are not known have none, since they are foreign text.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Certificate => "CERTIFICATE",
            Self::PrivateKey => "PRIVATE KEY",
            Self::EncryptedKey => "ENCRYPTED PRIVATE KEY",
            _ => "block",
        }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Certificate => "a certificate",
            Self::TrustedCertificate => "a TRUSTED CERTIFICATE of OpenSSL",
            Self::PrivateKey => "a private key",
            Self::EncryptedKey => "an encrypted private key",
            Self::OpenSshKey => "a private key of OpenSSH",
            Self::PublicKey => "a public key",
            Self::Request => "a certificate request",
            Self::RevocationList => "a revocation list",
            Self::Parameters => "the parameters of a key",
            Self::Other => "another kind of PEM block",
        }
    }

    pub(super) fn is_key(self) -> bool {
        matches!(self, Self::PrivateKey | Self::EncryptedKey | Self::OpenSshKey)
    }

    /// Whether it says what the file is: parameters come beside a key.
    pub(super) fn is_telling(self) -> bool {
        !matches!(self, Self::Parameters | Self::Other)
    }
}

/// What a file without a PEM block looks like.
pub(super) struct Content(pub(super) &'static str);

impl Content {
    /// `None` for a file that is empty.
    pub(super) fn of(file: &[u8]) -> Option<Self> {
        let text = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file).trim_ascii();
        let has = |word: &[u8]| super::find(text, word).is_some();
        let is_base64 =
            |byte: &u8| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=-_".contains(byte);
        Some(Self(match text {
            [] => return None,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16 text",
            // The tag of a sequence and a long length: all of X.509 and PKCS begin so.
            [0x30, 0x80..=0x84, ..] => "binary (DER or PKCS #12)",
            _ if text.iter().any(|byte| *byte < b'\t') => "binary",
            [b'{', ..] if has(b"\"kty\"") => "a JWK",
            [b'{' | b'[', ..] => "JSON",
            _ if has(b"apiVersion:") || has(b"\ndata:") => "a manifest of Kubernetes",
            _ if text.iter().all(is_base64) && text.len() > 60 => "base64 without BEGIN and END lines",
            _ => "text without a BEGIN line",
        }))
    }
}
