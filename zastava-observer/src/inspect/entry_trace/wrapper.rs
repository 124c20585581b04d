//! Programs that start another one, which their own arguments name.

/// Such a program.
struct Wrapper {
    name: &'static str,
    /// Options whose value is the next word.
    valued: &'static str,
    /// How many words stand between the options and the program.
    operands: usize,
    /// Which of those is a user that the program runs as, counted from 1 on; 0 for none.
    user: usize,
}

const fn wrapper(name: &'static str, valued: &'static str, operands: usize, user: usize) -> Wrapper {
    Wrapper { name, valued, operands, user }
}

const WRAPPERS: &[Wrapper] = &[
    // Inits.
    wrapper("tini", "-p -e", 0, 0),
    wrapper("tini-static", "-p -e", 0, 0),
    wrapper("docker-init", "-p -e", 0, 0),
    wrapper("dumb-init", "-r --rewrite", 0, 0),
    wrapper("catatonit", "", 0, 0),
    wrapper("my_init", "", 0, 0),
    // Other users.
    wrapper("gosu", "", 1, 1),
    wrapper("su-exec", "", 1, 1),
    wrapper("chpst", "-u -U -b -e -/ -n -l -L -m -d -o -p -f -c -r -t", 0, 0),
    wrapper("setpriv", "", 0, 0),
    wrapper("setuidgid", "", 1, 1),
    wrapper("s6-setuidgid", "", 1, 1),
    wrapper("sudo", "-u -g -h -p -C -r -t -T -U -D --user --group", 0, 0),
    wrapper("runuser", "-u -g -G --user --group", 0, 0),
    wrapper("capsh", "", 0, 0),
    // Circumstances.
    wrapper("env", "-u -C --unset --chdir", 0, 0),
    wrapper("nice", "-n --adjustment", 0, 0),
    wrapper("ionice", "-c -n --class --classdata", 0, 0),
    wrapper("nohup", "", 0, 0),
    wrapper("setsid", "", 0, 0),
    wrapper("stdbuf", "-i -o -e", 0, 0),
    wrapper("timeout", "-s -k --signal --kill-after", 1, 0),
    wrapper("time", "-f -o", 0, 0),
    wrapper("taskset", "", 1, 0),
    wrapper("numactl", "", 0, 0),
    wrapper("chrt", "", 1, 0),
    wrapper("prlimit", "", 0, 0),
    wrapper("unshare", "", 0, 0),
    wrapper("linux32", "", 0, 0),
    wrapper("with-contenv", "", 0, 0),
    wrapper("xvfb-run", "-n -s -e -f -p -w", 0, 0),
    wrapper("dockerize", "-wait -template -stdout -stderr -timeout -wait-retry-interval", 0, 0),
    wrapper("wait-for-it", "", 0, 0),
    wrapper("wait-for-it.sh", "", 0, 0),
];

/// Whether the program starts another one.
pub(super) fn is_wrapper(name: &str) -> bool {
    WRAPPERS.iter().any(|wrapper| wrapper.name == name)
}

/// What a wrapper starts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Started {
    /// Which of its arguments the program is.
    pub(super) at: usize,
    /// Which of them names the user, if one does.
    pub(super) user: Option<usize>,
}

/// What a program with this name starts by these arguments; an argument that is not known is `None`. `None` if it
/// starts nothing, or that is not to be seen.
pub(super) fn started(name: &str, arguments: &[Option<&str>]) -> Option<Started> {
    let wrapper = WRAPPERS.iter().find(|wrapper| wrapper.name == name)?;
    let mut at = 0;
    // What is not known may be the user.
    while let Some(word) = *arguments.get(at)? {
        match word {
            "--" => {
                at += 1;
                break;
            }
            // `env A=b`, `sudo A=b`
            assignment if assignment.contains('=') && !assignment.starts_with('/') => at += 1,
            option if option.starts_with('-') && option.len() > 1 => {
                let has_value = wrapper.valued.split_whitespace().any(|valued| valued == option);
                at += if has_value { 2 } else { 1 };
            }
            _ => break,
        }
    }
    if wrapper.name.starts_with("wait-for-it") {
        // Its host comes first, as a plain word.
        at = arguments.iter().position(|word| *word == Some("--"))? + 1;
    }
    let user = (wrapper.user > 0).then(|| at + wrapper.user - 1);
    at += wrapper.operands;
    // What is not known may be an option.
    (at < arguments.len()
        && arguments[..at].iter().enumerate().all(|(of, word)| word.is_some() || Some(of) == user))
    .then_some(Started { at, user })
}

/// The words of `env -S`.
pub(super) fn split_words(name: &str, arguments: &[Option<&str>]) -> Option<(String, usize)> {
    let first = (*arguments.first()?)?;
    if name != "env" {
        return None;
    }
    if let Some(text) = first.strip_prefix("--split-string=") {
        return Some((text.to_owned(), 1));
    }
    let text = first.strip_prefix("-S").or_else(|| first.strip_prefix("-vS"))?;
    if text.is_empty() { Some(((*arguments.get(1)?)?.to_owned(), 2)) } else { Some((text.to_owned(), 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_what_is_started() {
        for (line, wanted) in [
            ("tini -- app x", Some("app")),
            ("tini -g -p SIGTERM app", Some("app")),
            ("tini", None),
            ("dumb-init --rewrite 15:3 -- app", Some("app")),
            ("gosu postgres app -x", Some("app")),
            ("su-exec 1000:1000 app", Some("app")),
            ("setpriv --reuid=1 --clear-groups app", Some("app")),
            ("env -i A=b -u C app D=e", Some("app")),
            ("nice -n 5 app", Some("app")),
            ("timeout -k 5 10 app", Some("app")),
            ("sudo -E -u me app", Some("app")),
            ("wait-for-it.sh db:5432 -t 30 -- app", Some("app")),
            ("wait-for-it.sh db:5432", None),
            ("redis-server /etc/redis.conf", None),
            ("env", None),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let arguments: Vec<Option<&str>> = words[1..].iter().copied().map(Some).collect();
            let found = started(words[0], &arguments).and_then(|started| arguments[started.at]);
            assert_eq!(found, wanted, "{line}");
        }
        let unknown = [None, Some("app")];
        assert_eq!(started("nice", &unknown), Some(Started { at: 0, user: None }));
        assert_eq!(started("timeout", &unknown), None);
        assert_eq!(started("gosu", &unknown), Some(Started { at: 1, user: Some(0) }));
    }
}
