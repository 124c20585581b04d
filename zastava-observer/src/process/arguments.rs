//! The words of a command line as they may leave the node: few, short, and without the secrets that
//! their names give away.

use super::capture::bounded;

/// A name that holds one of these says that its value is a secret.
const SECRET_NAMES: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "api-key", "credential"];
/// Stands where a secret stood.
const MASK: &str = "…";

/// The program and `max` words in all, each cut at a named length, secrets masked: `--password=…`,
/// the word after `--token`, `PASSWORD=…`, and the password of a URL.
pub(crate) fn cap_arguments(words: Vec<String>, max: usize) -> Vec<String> {
    let mut secret_follows = false;
    let mut masked = |word: String| {
        let follows = std::mem::replace(&mut secret_follows, false);
        if follows && !word.starts_with('-') {
            return MASK.to_owned();
        }
        match word.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
            None if word.starts_with('-') && is_secret(&word) => {
                secret_follows = true;
                word
            }
            _ => without_url_password(word),
        }
    };
    words.into_iter().take(max.max(1)).map(|word| bounded(&masked(word))).collect()
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    // The value of a file's name is no secret: --token-file /run/token.
    !name.ends_with("-file")
        && !name.ends_with("-path")
        && SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// `scheme://user:password@host` (RFC 3986 section 3.2.1).
fn without_url_password(word: String) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@').and_then(|(user_info, _)| user_info.split_once(':')) {
        Some((user, password)) => {
            format!("{scheme}://{user}:{MASK}{}", &rest[user.len() + 1 + password.len()..])
        }
        None => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, max: usize, wanted: &str) {
        let words = line.split(' ').map(str::to_owned).collect();
        assert_eq!(cap_arguments(words, max).join(" "), wanted);
    }

    #[test]
    fn secrets_that_their_names_give_away_are_masked() {
        check("api --password=hunter2 --port=80", 9, "api --password=… --port=80");
        check("api --auth-token hunter2 serve", 9, "api --auth-token … serve");
        check("api --token --verbose x", 9, "api --token --verbose x");
        check("env DB_PASSWORD=hunter2 api", 9, "env DB_PASSWORD=… api");
        check("api --API_KEY=hunter2", 9, "api --API_KEY=…");
        check("api --token-file=/run/token", 9, "api --token-file=/run/token");
        check("psql postgres://me:hunter2@db:5432/x?a=b", 9, "psql postgres://me:…@db:5432/x?a=b");
        check("curl https://host/a:b@c", 9, "curl https://host/a:b@c");
    }

    #[test]
    fn the_program_is_named_even_where_no_argument_is_wanted() {
        check("api serve", 0, "api");
        check("api serve fast", 2, "api serve");
    }
}
