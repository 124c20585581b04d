//! OpToks: short-lived OAuth 2.0 access tokens bound to a key (DPoP) or a certificate (mutual TLS), and the tower layer that attaches them.
