//! TLS 1.3 between machines. Each machine has one key and shows it as it is (RFC 7250, no certificate): who knows its fingerprint
//! knows the machine, as with SSH. AES-256 is offered, and chosen, first.

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use std::fmt::{self, Debug, Display};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a key or a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("a key cannot be made: the system gives no random numbers")]
    Random,
    #[error("it holds no key of the kind Ed25519 (PKCS #8)")]
    Invalid,
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// What a machine is known by: SHA-256 of its public key (SubjectPublicKeyInfo).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(spki: &[u8]) -> Fingerprint {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, spki).as_ref());
        Fingerprint(bytes)
    }
}

impl Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHA256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.strip_prefix("SHA256:").ok_or(())?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| ())?;
        }
        Ok(Fingerprint(bytes))
    }
}

/// A machine's key.
pub struct MachineKey {
    signing: Arc<dyn SigningKey>,
    public: SubjectPublicKeyInfoDer<'static>,
}

impl Debug for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MachineKey({})", self.fingerprint())
    }
}

impl MachineKey {
    /// A new key, as the bytes to be kept (PKCS #8).
    pub fn generate() -> Result<Vec<u8>, KeyError> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        Ok(made.as_ref().to_vec())
    }

    /// The key of kept bytes.
    pub fn read(bytes: &[u8]) -> Result<MachineKey, KeyError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bytes));
        let signing = rustls::crypto::ring::sign::any_eddsa_type(match &key {
            PrivateKeyDer::Pkcs8(key) => key,
            _ => return Err(KeyError::Invalid),
        });
        let signing = signing.map_err(|_| KeyError::Invalid)?;
        let public = signing.public_key().ok_or(KeyError::Invalid)?.into_owned();
        Ok(MachineKey { signing, public })
    }

    /// One for once: of a client, which is known by its login.
    pub fn passing() -> Result<MachineKey, KeyError> {
        MachineKey::read(&MachineKey::generate()?)
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.public)
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        let shown = CertificateDer::from(self.public.to_vec());
        Arc::new(CertifiedKey::new(vec![shown], Arc::clone(&self.signing)))
    }
}

/// The key that the other end of a line has shown, and proven to have.
pub fn shown_by(line: &CommonState) -> Option<Fingerprint> {
    line.peer_certificates()?.first().map(|key| Fingerprint::of(key))
}

/// For who accepts connections with this key. Each caller shows a key, too, whichever it has; see [`shown_by`].
pub fn server(key: &MachineKey) -> Result<Arc<ServerConfig>, KeyError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(AnyKey(provider().signature_verification_algorithms)))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key.certified())));
    config.ignore_client_order = true;
    // A session is resumed by nobody: each is proven by the key.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The key that a server has shown, and the one that it has to have.
#[derive(Debug)]
pub struct Expected {
    known: Option<Fingerprint>,
    shown: Mutex<Option<Fingerprint>>,
    schemes: WebPkiSupportedAlgorithms,
}

impl Expected {
    /// `known`: only this one is taken; None: any.
    pub fn new(known: Option<Fingerprint>) -> Arc<Expected> {
        let schemes = provider().signature_verification_algorithms;
        Arc::new(Expected { known, shown: Mutex::new(None), schemes })
    }

    /// The key of the last handshake, also one that was refused.
    pub fn shown(&self) -> Option<Fingerprint> {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for Expected {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint::of(end_entity);
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        if self.known.is_some_and(|known| known != shown) {
            return Err(rustls::CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        proven(message, cert, dss, &self.schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Takes any caller that has the key that it shows.
#[derive(Debug)]
struct AnyKey(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        proven(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// How either end signs.
const SCHEMES: [SignatureScheme; 1] = [SignatureScheme::ED25519];

/// Has the end that shows this raw key signed the handshake with it?
fn proven(
    message: &[u8],
    key: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    schemes: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let spki = SubjectPublicKeyInfoDer::from(key.as_ref());
    verify_tls13_signature_with_raw_key(message, &spki, signed, schemes)
}

fn only_tls13() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is not spoken".to_owned())
}

/// For who connects, with this key, to a machine that has to show a key as expected.
pub fn client(expected: Arc<Expected>, own: &MachineKey) -> Result<Arc<ClientConfig>, KeyError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(expected)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(own.certified())));
    // The key counts, not the name.
    config.enable_sni = false;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{CipherSuite, ClientConnection, ServerConnection};

    fn key() -> MachineKey {
        MachineKey::passing().unwrap()
    }

    /// The handshake of two ends in memory; both connections, or the first error.
    fn meet(
        server: Arc<ServerConfig>,
        client: Arc<ClientConfig>,
    ) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
        let mut server = ServerConnection::new(server)?;
        let mut client = ClientConnection::new(client, ServerName::try_from("machine").unwrap())?;
        let mut bytes = Vec::new();
        while client.is_handshaking() || server.is_handshaking() {
            bytes.clear();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok((server, client))
    }

    #[test]
    fn a_key_is_known_by_its_fingerprint_and_aes_256_comes_first() {
        let (key, caller) = (key(), key());
        let expected = Expected::new(Some(key.fingerprint()));
        let (server, client) =
            meet(server(&key).unwrap(), client(Arc::clone(&expected), &caller).unwrap()).unwrap();
        assert_eq!(expected.shown(), Some(key.fingerprint()));
        let suite = client.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, CipherSuite::TLS13_AES_256_GCM_SHA384);
        assert_eq!(shown_by(&server), Some(caller.fingerprint()));
    }

    #[test]
    fn another_key_is_refused_and_shown() {
        let (key, other, caller) = (key(), key(), key());
        let expected = Expected::new(Some(other.fingerprint()));
        meet(server(&key).unwrap(), client(Arc::clone(&expected), &caller).unwrap()).unwrap_err();
        assert_eq!(expected.shown(), Some(key.fingerprint()));
    }

    #[test]
    fn who_has_no_such_key_cannot_show_it() {
        let (key, other, caller) = (key(), key(), key());
        let forged = MachineKey { signing: other.signing, public: key.public.clone() };
        let expected = Expected::new(Some(key.fingerprint()));
        meet(server(&forged).unwrap(), client(Arc::clone(&expected), &caller).unwrap()).unwrap_err();
        // Nor a caller.
        meet(server(&key).unwrap(), client(expected, &forged).unwrap()).unwrap_err();
    }

    #[test]
    fn a_fingerprint_is_read_as_it_is_written() {
        let fingerprint = key().fingerprint();
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 7 + 64);
        assert_eq!(text.parse(), Ok(fingerprint));
        for bad in ["", "SHA256:", "SHA256:zz", &text[..70], &text.replace("SHA256", "MD5")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
        assert!(format!("SHA256:{}", "é".repeat(32)).parse::<Fingerprint>().is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(matches!(MachineKey::read(b"no key"), Err(KeyError::Invalid)));
    }
}
