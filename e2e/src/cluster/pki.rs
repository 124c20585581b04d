//! Certificates and keys: one CA, P-256 throughout, service accounts included.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

use super::network::{API_SERVICE, CONTROL_PLANE, node_address};
use crate::Error;
use crate::command::{make_directory, write};

/// The directory of a cluster's certificates.
pub(crate) struct Pki {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Creates the CA and the key of service accounts.
    pub(crate) fn create(directory: &Path) -> Result<Self, Error> {
        make_directory(directory)?;
        let failed = |name: &'static str| move |source| Error::Certificate { name: name.to_owned(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("zastava-e2e", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(failed("the authority"))?;
        let certificate = params.self_signed(&key).map_err(failed("the authority"))?;
        write(&directory.join("ca.crt"), certificate.pem())?;
        write(&directory.join("ca.key"), key.serialize_pem())?;
        let accounts = KeyPair::generate().map_err(failed("service accounts"))?;
        write(&directory.join("service-accounts.key"), accounts.serialize_pem())?;
        write(&directory.join("service-accounts.pub"), accounts.public_key_pem())?;
        Ok(Self { directory: directory.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Creates the certificates of the API server, its clients and each node.
    pub(crate) fn issue_all(&self, nodes: &[String]) -> Result<(), Error> {
        let served =
            ["kubernetes", "kubernetes.default", "kubernetes.default.svc", API_SERVICE, CONTROL_PLANE];
        self.issue("kube-apiserver", "kube-apiserver", None, &served)?;
        // The groups and users that the API server's built-in roles are bound to.
        self.issue("apiserver-kubelet", "kube-apiserver-kubelet", Some("system:masters"), &[])?;
        self.issue("admin", "admin", Some("system:masters"), &[])?;
        for component in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
            self.issue(component, &format!("system:{component}"), None, &[])?;
        }
        for (index, node) in nodes.iter().enumerate() {
            let names = [node.as_str(), &node_address(index)];
            self.issue(node, &format!("system:node:{node}"), Some("system:nodes"), &names)?;
        }
        Ok(())
    }

    fn issue(&self, file: &str, user: &str, group: Option<&str>, names: &[&str]) -> Result<(), Error> {
        let failed = |source| Error::Certificate { name: user.to_owned(), source };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = subject(user, group);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        write(&self.directory.join(format!("{file}.crt")), certificate.pem())?;
        write(&self.directory.join(format!("{file}.key")), key.serialize_pem())
    }
}

/// A user is the common name, a group the organisation (Kubernetes, "X509 client certificates").
fn subject(user: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name
}
