//! What a name says about the value beside it.

/// What kind of value a name announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A secret.
    Secret,
    /// A secret, or the name of an authentication method.
    Method,
    /// Several secrets, or how many of them.
    Count,
    /// Key material, or the file that holds it.
    Key,
    /// `user:secret`, or a user alone.
    User,
    /// `user:secret`, or a user and a group.
    Owner,
    /// `user:secret`, or a secret alone.
    Credentials,
    /// A secret, or a plain word.
    Chosen,
    /// A secret, or any word that somebody has written.
    Random,
    /// A secret, or a port.
    Short,
}

/// A name that ends in one of these announces a secret: `dbpassword`, `storepass`.
const SECRET_ENDS: &str = "password passwd passphrase passphrases passcode passwrd passw passkey pass pwd pswd psw pw passwort \
    kennwort contrasena secret apikey apitoken requirepass psk mnemonic keypass setcookie";
/// A name that ends in one of these announces a secret or a method.
const METHOD_ENDS: &str = "token jwt";
/// The whole last part of a name.
const SECRET_WORDS: &str = "authorization bearer cookie masterauth primaryauth passin passout secrets passwords passwds apikeys \
    sas auths assertion otp totp pin pepper authdata jsessionid";
/// Words that end like a secret's name and are none.
const OTHER_WORDS: &str = "askpass bypass compass trespass multipass singlepass lifetoken encompass overpass";
/// A key of one of these kinds is a secret.
const KEY_KINDS: &str = "access account admin api app application auth authorization backup cipher client consumer crypt \
    crypto datadog dd decryption enc encrypt encryption function functions gossip hmac ingest ingestion \
    jwt license licence master openai pre private psk root secret sendgrid service session shared \
    signing ssh storage stripe subscription token unseal webhook wep wpa";
const KEY_ENDS: &str =
    "accesskey accountkey authkey privatekey secretkey encryptionkey masterkey sharedkey licensekey";
/// Keys that are known to many, or that only find something.
const OPEN_KEYS: &str = "ca cache cert column default fingerprint foreign gpg host idempotency index kms known object \
    partition peer pgp primary pub public publishable recv remote row sort trusted unique verify";
/// Names whose value is a secret when it is too disorderly to be anything else.
const RANDOM_WORDS: &str = "key keys encrypt salt session sessionid sid code seed jwk license licence invite serial ticket hash \
    nodekeyhex";
/// Behind a secret's name these still leave it a secret: `SECRET_KEY_BASE`, `PASSWORD_2`.
const NEUTRAL_ENDS: &str =
    "value string text plain b64 base64 raw base hex hash current new old placeholder admin root";
/// In front of a secret's name these make a switch or a number of it: `--no-password`, `--max-tokens`.
const SWITCHES: &str = "no skip without disable enable use with require requires allow ask prompt print show has is max min \
    num n generate rotate force list ignore validate keep";
/// A token of a language model, a place in a list and a Secret that is named are no secrets.
const OTHER_KINDS: &str = "bos cls end eos mask pad pull sep special start starting stop tls ssl unk cancellation existing next \
    page continue continuation resume image audio video delimiter separator max min prompt completion \
    output input idempotency";

/// The word is one of the list.
fn has(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|other| other == word)
}

/// What a name such as `--db-password`, `X-Api-Key` or `spring.datasource.password` announces.
pub(super) fn class(name: &str) -> Option<Class> {
    let mut parts = parts(name);
    let mut is_hash = false;
    while parts.len() > 1 && parts.last().is_some_and(|part| is_neutral(part)) {
        is_hash |= parts.pop().is_some_and(|part| part == "hash");
    }
    let last = parts.pop()?;
    if parts.first().is_some_and(|first| has(SWITCHES, first.as_str())) {
        return None;
    }
    let kind = parts.last().map_or("", String::as_str);
    let is_countable = ["token", "tokens", "secret", "secrets"].contains(&last.as_str());
    if (is_countable && has(OTHER_KINDS, kind)) || has(OTHER_WORDS, last.as_str()) {
        return None;
    }
    // `--discovery-token-ca-cert-hash`, `--build-hash`: only a secret's hash is like the secret.
    let is_header = parts.first().is_some_and(|first| first == "x");
    let class =
        of_parts(kind, last.trim_end_matches(|letter: char| letter.is_ascii_digit()), !parts.is_empty());
    match class {
        Some(Class::Secret) if is_hash => Some(Class::Method),
        Some(Class::Random) if is_hash => None,
        // The API key in a header such as `X-JFrog-Art-Api`.
        None if is_header && last == "api" => Some(Class::Chosen),
        None if is_header && !is_open(name) => Some(Class::Random),
        class => class,
    }
}

fn of_parts(kind: &str, last: &str, has_kind: bool) -> Option<Class> {
    let ends_in = |ends: &str| ends.split_whitespace().any(|end| last.ends_with(end));
    match last {
        "auth" | "authentication" | "authstring" | "hmac" => Some(Class::Method),
        // A personal access token.
        "pat" => Some(Class::Chosen),
        "info" if kind == "user" => Some(Class::User),
        "user" | "userpwd" | "login" => Some(Class::User),
        "credential" | "credentials" | "creds" | "cred" | "userpass" => Some(Class::Credentials),
        "sig" | "signature" => Some(Class::Key),
        "key" | "keys" if has(KEY_KINDS, kind) => Some(Class::Key),
        "key" | "keys" if has(OPEN_KEYS, kind) => None,
        "hash" => None,
        // The secret's own name in Vault, and what finds it elsewhere.
        "id" if ["secret", "session"].contains(&kind) => Some(Class::Random),
        "id" if kind == "token" => Some(Class::Method),
        "tokens" if has_kind => Some(Class::Count),
        _ if ends_in(KEY_ENDS) => Some(Class::Key),
        _ if ends_in(METHOD_ENDS) => Some(Class::Method),
        _ if has(SECRET_WORDS, last) || ends_in(SECRET_ENDS) => Some(Class::Secret),
        _ if has(RANDOM_WORDS, last) => Some(Class::Random),
        _ => None,
    }
}

fn is_neutral(part: &str) -> bool {
    has(NEUTRAL_ENDS, part) || part.bytes().all(|byte| byte.is_ascii_digit())
}

/// `dbPassword`, `DB_PASSWORD` and `db.password` are all `db`, `password`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for letter in name.chars() {
        let starts = letter.is_uppercase() && before.is_lowercase();
        if (starts || !letter.is_alphanumeric()) && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(part) = parts.last_mut()
        {
            part.extend(letter.to_lowercase());
        }
        before = letter;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// What an X-header is about when its disorderly value is no secret.
const OPEN_WORDS: &str = "channel chat document drive known playlist spreadsheet video address ca cert certificate checksum \
    cid cluster commit correlation digest etag file fingerprint folder hash id ids image integrity md5 \
    nonce peer pub pubkey public ref request rev revision sha sha1 sha256 sha512 tag trace uid version \
    wallet";

/// The value beside this name is disorderly although it is no secret: `--peer-id`, `--checksum`.
pub(super) fn is_open(name: &str) -> bool {
    parts(name).iter().any(|part| has(OPEN_WORDS, part.as_str()))
}

/// What a short option announces where another option names a user; elsewhere `-p` is a port.
pub(super) fn short_class(option: &str) -> Option<Class> {
    match option {
        "-p" | "-pw" => Some(Class::Short),
        "-P" | "-w" | "-k" | "-W" => Some(Class::Chosen),
        "-u" | "-U" => Some(Class::Owner),
        _ => None,
    }
}

/// An option that names a user.
pub(super) fn is_user_option(option: &str) -> bool {
    ["-u", "-U", "-l"].contains(&option)
        || parts(option)
            .last()
            .is_some_and(|last| ["user", "username", "uname", "login"].contains(&last.as_str()))
}

/// An option that says that a secret comes by standard input.
pub(super) fn is_stdin(option: &str) -> bool {
    let parts = parts(option);
    let has = |part: &str| parts.iter().any(|other| other == part);
    (has("stdin") && parts.len() > 1) || option.starts_with("--passphrase-fd") || option == "--with-token"
}

/// A setting whose value is the next word although no hyphen stands in front: `requirepass X`. Other plain words,
/// such as `secret` and `token`, are mostly commands.
pub(super) fn is_setting(word: &str) -> bool {
    ["authtoken", "masterauth", "private-key", "requirepass", "primaryauth"].contains(&word)
}

/// A name of several parts, which announces the next word as an option does: `consul_token X`, `dbPassword X`.
pub(super) fn is_compound(word: &str) -> bool {
    let is_name = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./:".contains(&byte));
    let has_hump =
        || word.as_bytes().windows(2).any(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase());
    is_name
        && ![".sig", ".key"].iter().any(|end| word.ends_with(end))
        && (word.trim_start_matches('_').contains(['_', '.']) || has_hump())
}
